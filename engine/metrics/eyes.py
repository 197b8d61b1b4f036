"""Do the eyes blink and close like a singer's? Pure functions over eye closure.

Closure is [T] in 0 … 1 at 30 frames a second: `Motion.closure`, or OpenFace's AU45_r normalised per
video as MusicFace §4.2 does it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance

from engine.metrics.canonical import canonical_correlations
from engine.signals import F32
from engine.timeline import FRAME_RATE

SHUT = 0.5  # closure from which eyes count as closed
LONG = 0.5  # seconds, τ of MusicFace §4.2: longer is a long-time closing, not a blink
EDGES = np.arange(
    0.0, 3.1, 0.1
)  # seconds, bins of MusicFace's Fig. 9; what is longer joins the last


def eye_cca(made: F32, truth: F32) -> float:
    """MusicFace §4.3, "CCA" of eye realism: canonical correlation of two eye states [T]. Of single
    numbers that is the size of their correlation."""
    return float(canonical_correlations(made, truth)[0])


def closings(closure: F32) -> NDArray[np.int64]:
    """Every stretch of closed eyes, blinks and long ones: first frame and the one after. [n, 2]"""
    shut = np.concatenate([[False], np.asarray(closure) >= SHUT, [False]])
    return np.flatnonzero(shut[1:] != shut[:-1]).reshape(-1, 2)


def closing_durations(closure: F32) -> NDArray[np.float64]:
    """Seconds of every closing (MusicFace Fig. 9); those cut off by either end are left out."""
    found = closings(closure)
    whole = found[(found[:, 0] > 0) & (found[:, 1] < len(closure))]
    return (whole[:, 1] - whole[:, 0]) / FRAME_RATE


def blink_rate(closure: F32) -> float:
    """Blinks (closings of at most LONG) per second of show: Table 2's "blinks/s"."""
    durations = np.diff(closings(closure), axis=1) / FRAME_RATE
    return float((durations <= LONG).sum() * FRAME_RATE / len(closure))


def blink_duration(closure: F32) -> float:
    """Mean seconds of a blink: Table 2's "blink dur."; nan where nobody blinks."""
    durations = closing_durations(closure)
    blinks = durations[durations <= LONG]
    return float(blinks.mean()) if len(blinks) else float("nan")


def closing_distribution(durations: ArrayLike, edges: ArrayLike = EDGES) -> NDArray[np.float64]:
    """Durations in seconds → share of them in each bin (MusicFace Fig. 9); zeros if there are none.

    [len(edges) − 1]
    """
    edges = np.asarray(edges, np.float64)
    inside = np.clip(durations, edges[0], np.nextafter(edges[-1], 0))
    counts, _ = np.histogram(inside, edges)
    return counts / max(1, counts.sum())


def duration_distance(made: ArrayLike, truth: ArrayLike) -> float:
    """Seconds by which durations must be moved to turn one distribution into the other
    (Wasserstein-1): one number for what Fig. 9 shows. nan when either is empty."""
    made, truth = np.asarray(made), np.asarray(truth)
    return float(wasserstein_distance(made, truth)) if len(made) and len(truth) else float("nan")
