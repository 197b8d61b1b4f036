"""How near is a face to the true one? Pure functions over vertices and landmarks.

Positions are [T, V, 3] (or [T, V, 2] in pixels) in any unit, and results are in that unit. Avatars
here move by 52 shapes: put them on a mesh first (rest + shapes · deltas). Vertex metrics are taken
without head pose, as both papers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Points = NDArray[np.floating]

LANDMARKS = 68
MOUTH = slice(48, 68)  # of the 68 landmarks


def lmd(made: Points, truth: Points) -> float:
    """Landmark Distance (Chen et al. 2018, as MusicFace §4.3 uses it): mean over frames and points
    of the Euclidean distance between lip landmarks [T, P, D], each frame's two sets first moved to
    a common centre."""
    return float(_distance(_centred(made), _centred(truth)).mean())


def m_lmd(made: Points, truth: Points) -> float:
    """SingingHead §V-C, M-LMD: `lmd` over the mouth's 20 of 68 landmarks [T, 68, D]."""
    return lmd(_all_68(made)[:, MOUTH], _all_68(truth)[:, MOUTH])


def f_lmd(made: Points, truth: Points) -> float:
    """SingingHead §V-C, F-LMD: `lmd` over all 68 landmarks [T, 68, D]."""
    return lmd(_all_68(made), _all_68(truth))


def lve(made: Points, truth: Points, lips: Sequence[int] | NDArray) -> float:
    """Lip Vertex Error (MeshTalk; SingingHead §V-B): mean over frames of the largest distance of
    any lip vertex. [T, V, 3]; `lips`: their indices. Of several samples of one song the paper
    reports the mean and the least."""
    return float(_distance(made, truth)[:, lips].max(1).mean())


def fve(made: Points, truth: Points, face: Sequence[int] | NDArray) -> float:
    """Face Vertex Error (SingingHead §V-B): mean distance over frames and the face's vertices."""
    return float(_distance(made, truth)[:, face].mean())


def fdd(made: Points, truth: Points, neutral: Points, upper: Sequence[int] | NDArray) -> float:
    """Upper-face Dynamics Deviation (CodeTalker, Xing et al. 2023; SingingHead §V-B): mean over the
    upper face's vertices of dyn(truth) − dyn(made), with dyn the deviation over time of a vertex's
    distance from its neutral place [V, 3]. > 0: the true face is livelier; nearer 0 is better.

    (SingingHead's code takes squared distances from the origin instead, which no text says.)
    """
    dynamics = [
        np.linalg.norm(np.asarray(side, np.float64) - neutral, axis=2)[:, upper].std(0)
        for side in (truth, made)
    ]
    return float((dynamics[0] - dynamics[1]).mean())


def diversity(samples: Points) -> float:
    """SingingHead §V-B, Diversity of n samples for one song: mean over all pairs of the L2 distance
    between their landmarks [n, T, 68, 3], all frames as one vector (as its code does; it grows with
    √T, so compare equal lengths: the paper's are 8 s, in metres). Raises ValueError for n < 2."""
    flat = np.asarray(samples, np.float64).reshape(len(samples), -1)
    if len(flat) < 2:
        raise ValueError(f"diversity needs two samples or more, got {len(flat)}")
    first, second = np.triu_indices(len(flat), 1)
    return float(np.linalg.norm(flat[first] - flat[second], axis=1).mean())


def fps(generate: Callable[[], int], now: Callable[[], float]) -> float:
    """SingingHead §V-B, FPS: frames made per second. `generate` makes some and says how many;
    `now` tells seconds."""
    began = now()
    frames = generate()
    return frames / (now() - began)


def _distance(made: Points, truth: Points) -> F64:
    """[T, V, D] → [T, V]. Raises ValueError where shapes differ."""
    made, truth = np.asarray(made, np.float64), np.asarray(truth, np.float64)
    if made.shape != truth.shape or made.ndim != 3:
        raise ValueError(f"expected two [T, V, D] of one shape, got {made.shape}, {truth.shape}")
    return np.linalg.norm(made - truth, axis=2)


def _centred(points: Points) -> F64:
    points = np.asarray(points, np.float64)
    return points - points.mean(axis=1, keepdims=True)


def _all_68(points: Points) -> Points:
    points = np.asarray(points)
    if points.ndim != 3 or points.shape[1] != LANDMARKS:
        raise ValueError(f"expected the 68 landmarks [T, 68, D], got {points.shape}")
    return points
