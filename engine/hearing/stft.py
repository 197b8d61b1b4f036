"""Short-time Fourier transform with a long asymmetric window and one hop of synthesis delay.

Wang & Bao, "Low-latency deep clustering" (arXiv 2106.11794): the analysis window is 64 ms long but
leans on its newest end, so frequency resolution is high while overlap-add needs only 20 ms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.signals import F32
from engine.timeline import FEATURE_HOP

LENGTH = 1024  # samples at 16 kHz = 64 ms
BINS = LENGTH // 2 + 1
SYNTHESIS = 2 * FEATURE_HOP  # samples that overlap-add touches
C64 = NDArray[np.complex64]


def analysis_window() -> F32:
    """[LENGTH]: a quarter sine up over LENGTH − H, a quarter cosine down over the last H."""
    rise = LENGTH - FEATURE_HOP
    n = np.arange(LENGTH)
    up = np.sin(np.pi * n / (2 * rise))
    down = np.cos(np.pi * (n - rise) / (2 * FEATURE_HOP))
    return np.where(n < rise, up, down).astype(np.float32)


def synthesis_window() -> F32:
    """[2H]: periodic Hann divided by the analysis window, so that hops add up to the input."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SYNTHESIS) / SYNTHESIS)
    return (hann / analysis_window()[LENGTH - SYNTHESIS :].astype(np.float64)).astype(np.float32)


ANALYSIS = analysis_window()
SYNTHESIS_WINDOW = synthesis_window()


def spectrum(frame: F32) -> C64:
    """[..., LENGTH] samples → [..., BINS]."""
    return np.fft.rfft(frame * ANALYSIS, axis=-1).astype(np.complex64, copy=False)


class InverseState(NamedTuple):
    tail: F32  # [H] the half-finished overlap


class InverseSTFT:
    """[k, BINS] spectra → [k·H] samples, one hop (10 ms) late."""

    def initial_state(self, batch: int = 1) -> InverseState:
        """Silence. One stream only: batch must be 1."""
        if batch != 1:
            raise ValueError(f"an inverse STFT makes one stream, got batch {batch}")
        return InverseState(np.zeros(FEATURE_HOP, np.float32))

    def __call__(self, x: C64, state: InverseState) -> tuple[F32, InverseState]:
        out = np.empty(len(x) * FEATURE_HOP, np.float32)
        tail = state.tail
        for k, bins in enumerate(x):
            newest = np.fft.irfft(bins, LENGTH)[LENGTH - SYNTHESIS :]
            piece = (newest * SYNTHESIS_WINDOW).astype(np.float32)
            out[k * FEATURE_HOP : (k + 1) * FEATURE_HOP] = tail + piece[:FEATURE_HOP]
            tail = piece[FEATURE_HOP:]
        return out, InverseState(tail)
