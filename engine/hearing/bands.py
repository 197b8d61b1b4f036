"""What the separator sees: 96 band powers of the long spectrum, normalised by what came before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.hearing.stft import BINS, LENGTH
from engine.signals import F32
from engine.timeline import FEATURE_RATE
from kernels.spectral import band_edges, running_views

LINEAR, ERB = 64, 32
BANDS = LINEAR + ERB
FLOOR = 1e-7  # power: about -70 dBFS
MEMORY = 300.0  # hops (3 s) that a running mean remembers


def band_bank() -> F32:
    """[BANDS, BINS] triangles that sum to one in every bin.

    64 linear to 1 kHz (harmonics stay apart), then 32 on the ERB-rate scale to 8 kHz.
    """

    def erb(hertz: float) -> float:
        return 21.4 * float(np.log10(1 + 0.00437 * hertz))

    linear = np.arange(1, LINEAR + 1) * 1000 / LINEAR
    rate = np.linspace(erb(1000), erb(FEATURE_RATE / 2), ERB + 1)[1:]
    centres = np.concatenate([linear, (10 ** (rate / 21.4) - 1) / 0.00437])
    hertz = np.arange(BINS) * FEATURE_RATE / LENGTH
    position = np.interp(hertz, centres, np.arange(BANDS))
    return np.maximum(0, 1 - np.abs(position - np.arange(BANDS)[:, None])).astype(np.float32)


BANK = band_bank()
LOWS, HIGHS = band_edges(BANK)


class BandState(NamedTuple):
    hops: F32  # [B] hops heard, at most MEMORY
    level: F32  # [B] running mean power
    means: F32  # [B, BANDS] running mean of each band's log power, dB


class BandViews:
    """Band powers [T, B, 96] → network input [T, B, 2, 96]: each band against the running loudness,
    and against its own running mean; both of the past only. Silence teaches the means nothing, or a
    song's first chord would seem to come out of nowhere for seconds, as only voices do."""

    def initial_state(self, batch: int = 1) -> BandState:
        """Nothing heard yet."""
        return BandState(
            np.zeros(batch, np.float32),
            np.zeros(batch, np.float32),
            np.full((batch, BANDS), 10 * np.log10(FLOOR), np.float32),
        )

    def __call__(self, x: F32, state: BandState) -> tuple[F32, BandState]:
        views, hops, level, means = running_views(
            x, state.hops, state.level, state.means, FLOOR, MEMORY
        )
        return views, BandState(hops, level, means)
