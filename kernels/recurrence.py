"""First-order recurrences h[t] = keep[t] · h[t − 1] + new[t] over whole stretches, and their
gradients: a loop in C speed beside a plain twin."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@njit(cache=True, nogil=True, fastmath=True)
def scan(keep: F32, new: F32, start: F32) -> F32:
    """keep, new: [B, T, D], start: [B, D] → h [B, T, D]."""
    out = np.empty_like(new)
    batch, steps, width = new.shape
    for b in range(batch):
        before = start[b]
        for t in range(steps):
            row = out[b, t]
            for d in range(width):
                row[d] = keep[b, t, d] * before[d] + new[b, t, d]
            before = row
    return out


@njit(cache=True, nogil=True, fastmath=True)
def scan_gradients(keep: F32, out: F32, start: F32, slope: F32) -> tuple[F32, F32, F32]:
    """Of a loss whose slope by h is `slope` [B, T, D], `out` being h: its slopes by keep and new
    [B, T, D] and by start [B, D]."""
    by_keep, by_new = np.empty_like(out), np.empty_like(out)
    by_start = np.empty_like(start)
    batch, steps, width = out.shape
    for b in range(batch):
        flow = np.zeros(width, np.float32)
        for back in range(steps):
            t = steps - 1 - back
            before = out[b, t - 1] if t else start[b]
            for d in range(width):
                total = flow[d] + slope[b, t, d]
                by_new[b, t, d] = total
                by_keep[b, t, d] = total * before[d]
                flow[d] = total * keep[b, t, d]
        by_start[b] = flow
    return by_keep, by_new, by_start


def scan_plain(keep: F32, new: F32, start: F32) -> F32:
    """The same as `scan`, by numpy."""
    out, before = np.empty_like(new), start
    for t in range(new.shape[1]):
        before = out[:, t] = keep[:, t] * before + new[:, t]
    return out
