"""What the face hears of each stem: MFCC relative to the running loudness of the whole sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.hearing import mfcc
from engine.signals import F32
from engine.timeline import HOP_RATE
from kernels.spectral import cepstra, over_loudness

MEMORY = 10.0 * HOP_RATE  # hops that the running loudness remembers
QUIET = 1e-6  # mel energy near -65 dBFS: below it, silence; it is not made louder
RANGE = 1e-4  # energies 40 dB under the running loudness count as silence


def silence() -> F32:
    """[26] features of a silent stem, the past before the first hop."""
    (still,) = cepstra(np.zeros((1, mfcc.MEL_BANDS), np.float32), RANGE, mfcc.BASIS)
    return np.concatenate([still, np.zeros(mfcc.COEFFICIENTS, np.float32)])


class LoudnessState(NamedTuple):
    hops: F32  # [B] audible hops, at most MEMORY
    level: F32  # [B] running mean of the mean mel energy


class Loudness:
    """Stems' mel energies [T, B, 2, 26] → the same over the running loudness of their sum.

    Running, never whole-clip, and it does not forget in silence.
    """

    def initial_state(self, batch: int = 1) -> LoudnessState:
        """Nothing heard yet."""
        return LoudnessState(np.zeros(batch, np.float32), np.zeros(batch, np.float32))

    def __call__(self, x: F32, state: LoudnessState) -> tuple[F32, LoudnessState]:
        relative, hops, level = over_loudness(x, state.hops, state.level, QUIET, MEMORY)
        return relative, LoudnessState(hops, level)
