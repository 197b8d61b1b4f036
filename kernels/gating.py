"""A noise gate, sample by sample: what stays below a threshold fades to silence."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@njit(cache=True, nogil=True)
def gate(
    x: F32, state: F32, threshold: float, fall: float, hold: int, opening: float, closing: float
) -> None:
    """Gate x [C, n] in place; all channels open and close together.

    state: [3] envelope, samples since it was loud, gain; changed. The envelope is the loudest
    channel's, falling by `fall` a sample. Open while it is above `threshold`, and `hold` samples
    after it was last above half of it; the gain moves by `opening` and `closing` a sample.
    """
    envelope, quiet, gain = float(state[0]), float(state[1]), float(state[2])
    for n in range(x.shape[1]):
        loudest = 0.0
        for c in range(x.shape[0]):
            loudest = max(loudest, abs(float(x[c, n])))
        envelope = max(loudest, envelope * fall)
        if envelope > threshold or (quiet <= hold and envelope > 0.5 * threshold):
            quiet = 0.0
        else:
            quiet = min(quiet + 1.0, hold + 1.0)
        gain = min(1.0, gain + opening) if quiet <= hold else max(0.0, gain - closing)
        for c in range(x.shape[0]):
            x[c, n] *= np.float32(gain)
    state[0], state[1], state[2] = envelope, quiet, gain


def gate_plain(
    x: F32, state: F32, threshold: float, fall: float, hold: int, opening: float, closing: float
) -> None:
    """Twin of `gate`, in the interpreter."""
    gate.py_func(x, state, threshold, fall, hold, opening, closing)
