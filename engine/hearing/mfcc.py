"""Mel-frequency cepstra: 13 coefficients and their first derivatives, 25 ms window, 10 ms hop.

MusicFace §3.2.1. The numbers follow python_speech_features 0.6 (26 mel bands, 512-point FFT,
pre-emphasis 0.97, lifter 22), with a Hamming window, and the log energy of band sums in c0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.signals import F32
from engine.timeline import FEATURE_RATE
from kernels.spectral import band_edges, mel_power, twiddles

WINDOW = 400  # samples at 16 kHz = 25 ms
FFT = 512
MEL_BANDS = 26
COEFFICIENTS = 13
FEATURES = 2 * COEFFICIENTS  # 26: coefficients and derivatives
LIFTER = 22
PREEMPHASIS = np.float32(0.97)
SLOPE_HOPS = 5  # hops that a derivative looks back over


def mel_edges() -> NDArray[np.float64]:
    """Hz where the triangles of the MEL_BANDS begin, peak and end: [MEL_BANDS + 2], 0 … 8 kHz."""
    top = 2595 * np.log10(1 + FEATURE_RATE / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top, MEL_BANDS + 2) / 2595) - 1))


def mel_bank() -> F32:
    """Triangular filterbank [MEL_BANDS, FFT/2 + 1], 0 … 8 kHz, as python_speech_features has it."""
    edges = np.floor((FFT + 1) * mel_edges() / FEATURE_RATE)
    bins = np.arange(FFT // 2 + 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (mid - low)
    falling = (high - bins) / (high - mid)
    bank = np.where(bins < mid, rising, falling)
    return np.where((bins >= low) & (bins < high), bank, 0.0).astype(np.float32)


def cepstral_basis() -> F32:
    """Orthonormal DCT-II with sinusoidal lifter: [COEFFICIENTS, MEL_BANDS]."""
    n = np.arange(COEFFICIENTS)[:, None]
    band = np.arange(MEL_BANDS)[None]
    dct = np.sqrt(2 / MEL_BANDS) * np.cos(np.pi * n * (2 * band + 1) / (2 * MEL_BANDS))
    dct[0] /= np.sqrt(2)
    lift = 1 + LIFTER / 2 * np.sin(np.pi * n / LIFTER)
    return (dct * lift).astype(np.float32)


BANK = mel_bank()
BASIS = cepstral_basis()
LOWS, HIGHS = band_edges(BANK)
COSINE, SINE = twiddles(FFT)
HAMMING = np.hamming(WINDOW).astype(np.float32)


def mel_of_frames(frames: F32) -> F32:
    """Mel band energies [k, 26] of frames that end with WINDOW samples and the one before them,
    [k, WINDOW + 1 or more]."""
    newest = frames[:, -WINDOW - 1 :]
    emphasised = newest[:, 1:] - PREEMPHASIS * newest[:, :-1]
    return mel_power(emphasised, HAMMING, COSINE, SINE, BANK, LOWS, HIGHS)


class SlopeState(NamedTuple):
    past: F32  # [SLOPE_HOPS - 1, streams, COEFFICIENTS], oldest first


def _slope_weights() -> F32:
    """Least-squares slope over the last SLOPE_HOPS hops, oldest first, per hop."""
    time = np.arange(SLOPE_HOPS) - (SLOPE_HOPS - 1) / 2
    return (time / (time**2).sum()).astype(np.float32)


class Slope:
    """Append first derivatives: [k, streams, 13] → [k, streams, 26].

    Causal: the slope is fitted to the last five hops only, so it waits for nothing; it describes
    the movement two hops ago, which the 39-hop windows behind it absorb.
    """

    def __init__(self, streams: int = 2) -> None:
        self.streams = streams
        self.weights = _slope_weights()

    def initial_state(self, batch: int = 1) -> SlopeState:
        """Zeros before the first hop. One show only: batch must be 1."""
        if batch != 1:
            raise ValueError(f"a slope follows one show, got batch {batch}")
        return SlopeState(np.zeros((SLOPE_HOPS - 1, self.streams, COEFFICIENTS), np.float32))

    def __call__(self, x: F32, state: SlopeState) -> tuple[F32, SlopeState]:
        joined = np.concatenate([state.past, x])
        slope = np.zeros_like(x)
        for lag, weight in enumerate(self.weights):
            slope += weight * joined[lag : lag + len(x)]
        return np.concatenate([x, slope], axis=2), SlopeState(joined[len(x) :].copy())
