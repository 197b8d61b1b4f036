"""What a neural renderer is told about a picture: depth, normals, mask, where the eyes are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.raster import SAMPLES

F32 = NDArray[np.float32]

WIDE, TALL = 1.45, 1.05  # of an eye's region, in radii of the eyeball
NEAR = 0.030  # metres that a surface may lie before or behind an eye and still belong to it
OPEN = 0.5  # attention to an open eye; a closed one has 1


class Guidance(NamedTuple):
    """depth: [H, W] metres from the camera, 0 where nothing is. normals: [H, W, 3] in the world,
    zero where nothing is. mask: [H, W] in 0 … 1. eyes: [H, W], 0 beside the eyes, on
    them and their lids 0.5 (open) … 1 (closed): the papers' eye attention map."""

    depth: F32
    normals: F32
    mask: F32
    eyes: F32


def eye_attention(nearest: F32, camera: F32, eyes: F32, skull: F32, closure: F32) -> F32:
    """[H, W] of what was covered.

    nearest: [SAMPLES H, W] as for `kernels.raster.cover`. camera: [6] as `kernels.deform.project`
    takes it. eyes: [2, 4] centres and radii at rest, left and right. skull: [3, 4] affine frame.
    closure: [2] in 0 … 1.
    """
    focal, column, row, _, y0, z0 = map(float, camera)
    out = np.zeros((len(nearest) // SAMPLES, nearest.shape[1]), np.float32)
    for eye, closed in zip(eyes, closure, strict=True):
        centre = skull[:, :3] @ eye[:3] + skull[:, 3]
        far = float(z0 - centre[2])
        wide, tall = (extent * float(eye[3]) * focal / far for extent in (WIDE, TALL))
        x = column + focal * float(centre[0]) / far
        y = row - focal * float(centre[1] - y0) / far
        top, bottom = _within(y, tall, out.shape[0])
        left, right = _within(x, wide, out.shape[1])
        near = nearest[SAMPLES * top : SAMPLES * bottom, left:right]
        near = near.reshape(bottom - top, SAMPLES, right - left).max(1)
        depth = 1.0 / np.maximum(near, np.float32(1e-6))
        across = (np.arange(left, right) + 0.5 - x) / wide
        up = (np.arange(top, bottom) + 0.5 - y)[:, None] / tall
        inside = np.clip(4.0 * (1.0 - np.hypot(across, up)), 0.0, 1.0)
        inside = inside * (np.abs(depth - (far - float(eye[3]))) < NEAR)
        known = out[top:bottom, left:right]
        np.maximum(known, inside * (OPEN + (1.0 - OPEN) * float(closed)), out=known)
    return out


def _within(middle: float, reach: float, size: int) -> tuple[int, int]:
    """First pixel about a middle, and the first beyond, inside a picture of `size`."""
    return max(0, min(size, int(middle - reach))), max(0, min(size, int(middle + reach) + 2))
