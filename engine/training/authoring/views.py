"""Depth pictures of the head from any side, to ask what sees what."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.raster import SAMPLES, cover

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PIXELS = 768  # of one picture, over 2 RADIUS
RADIUS = 0.36  # metres around CENTRE
CENTRE = np.array([0.0, -0.08, 0.0])


def seen_from(direction: ArrayLike, points: F64 | F32) -> F32:
    """Column, row and nearness (metres towards the viewer, plus 1) of points [..., 3] that a far
    viewer sees from a direction (a unit vector)."""
    towards = np.asarray(direction, np.float64)
    aside = np.array([0.0, 0.0, 1.0]) if abs(towards[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(aside, towards)
    right /= np.linalg.norm(right)
    scale = 0.5 * PIXELS / RADIUS
    axes = np.stack([right, -np.cross(towards, right), towards]) * [[scale], [scale], [1.0]]
    middle = np.array([PIXELS / 2, PIXELS / 2, 1.0]) - axes @ CENTRE
    return np.asarray(points @ axes.T + middle, np.float32)


def depth_picture(points: F64 | F32, triangles: NDArray, direction: ArrayLike) -> F32:
    """Largest nearness [PIXELS, PIXELS] of a mesh, 0 where nothing is."""
    depth = np.zeros((PIXELS, PIXELS), np.float32)
    seen = seen_from(direction, points)
    seen[:, 1] /= SAMPLES  # the picture's rows are samples
    cover(seen, triangles.astype(np.int32), False, depth, np.empty(depth.shape, np.int32))
    return depth
