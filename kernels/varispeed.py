"""Reading sound between its samples, a little faster or slower: a windowed sinc of TAPS taps.

At whole positions and step 1 it copies, bit for bit; so two clocks that agree cost nothing. After
Smith, "Digital audio resampling" (ccrma.stanford.edu/~jos/resample): a table of the kernel at
PHASES places between two samples, and a straight line between those.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]

TAPS = 32
HALF = TAPS // 2  # samples that must be there on either side
PHASES = 512
BETA = 9.0  # of the Kaiser window: images 90 dB down


def kernel(distance: NDArray[np.float64], cutoff: float = 1.0) -> NDArray[np.float64]:
    """The kernel at `distance` samples from its middle. cutoff: of the Nyquist frequency."""
    inside = np.clip(1 - (distance / HALF) ** 2, 0, None)
    return cutoff * np.sinc(cutoff * distance) * np.i0(BETA * np.sqrt(inside)) / np.i0(BETA)


def table(cutoff: float = 1.0) -> F32:
    """[PHASES + 1, TAPS] of the kernel, for `read_at`. cutoff < 1 where the step is above 1."""
    phases = np.arange(PHASES + 1)[:, None] / PHASES
    taps = np.arange(TAPS)[None, :] - (HALF - 1)
    made = kernel(taps - phases, cutoff)
    if cutoff == 1.0:  # zeros of the sinc, exactly
        made[0], made[PHASES] = taps[0] == 0, taps[0] == 1
    return made.astype(np.float32)


@njit(cache=True, nogil=True)
def read_at(source: F32, at: float, step: float, weights: F32, out: F32) -> None:
    """out[:, j] = source at position `at` + j·`step`, in samples of `source` [C, n].

    Every position must have HALF samples on either side in `source`.
    """
    channels, count = out.shape
    for j in range(count):
        position = at + j * step
        first = math.floor(position)
        phase = (position - first) * PHASES
        row = int(phase)
        share = np.float32(phase - row)
        begin = int(first) - (HALF - 1)
        for c in range(channels):
            total = np.float32(0.0)
            for t in range(TAPS):
                weight = weights[row, t] + share * (weights[row + 1, t] - weights[row, t])
                total += weight * source[c, begin + t]
            out[c, j] = total


def read_at_plain(source: F32, at: float, step: float, count: int, cutoff: float = 1.0) -> F32:
    """What `read_at` gives, by the formula: [C, count]."""
    out = np.zeros((source.shape[0], count), np.float64)
    for j in range(count):
        position = at + j * step
        near = math.floor(position) - HALF + 1 + np.arange(TAPS)
        distance = near.astype(np.float64) - position
        out[:, j] = source[:, near] @ kernel(distance, cutoff)
    return out.astype(np.float32)
