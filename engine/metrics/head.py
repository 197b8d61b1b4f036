"""Does the head move like a singer's? Pure functions over head poses.

A pose is [6]: yaw, pitch, roll in radians; x, y, z in metres (SingingHead's own six numbers are
FLAME's global and neck rotation instead; every function here takes either).
"""

from __future__ import annotations

import numpy as np

from engine.metrics.canonical import canonical_correlations
from engine.signals import F32


def speed(pose: F32) -> np.ndarray:
    """Poses [T, 6] → |p_t − p_(t−1)| per frame [T − 1, 6] (MusicFace Eq. 6: speed has no sign)."""
    return np.abs(np.diff(np.asarray(pose, np.float64), axis=0))


def speed_cca(made: F32, truth: F32) -> float:
    """MusicFace §4.3, "CCA" of pose realism: the first canonical correlation of the moving speeds
    of two head poses [T, 6]. The paper does not say which of the six it reports; we take the first.
    Higher is better; noise of 2,000 frames still gives about 0.1."""
    return float(canonical_correlations(speed(made), speed(truth))[0])


def rough(angles: F32) -> float:
    """MusicFace Eq. 14: the mean over time of R″(t)², with R the three Euler angles [T, 3].

    Angles in radians; the result is in (degrees per frame²)², the unit in which the paper's 0.06 to
    0.24 are movements of a head. R″ is the second difference; its square is summed over the angles.
    """
    second = np.diff(np.degrees(np.asarray(angles, np.float64)), n=2, axis=0)
    return float((second**2).sum(1).mean())


def ppe(made: F32, truth: F32) -> float:
    """SingingHead §V-B, Pose Parameter Error: mean over frames of the L2 distance between two
    six-number poses [T, 6]. With ours, radians and metres are added as they are."""
    return float(np.linalg.norm(np.asarray(made, np.float64) - truth, axis=1).mean())
