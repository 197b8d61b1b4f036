"""What a neural renderer is told about a picture: depth, normals, mask, where the eyes are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def eye_attention(depth: F32, camera: F32, eyes: F32, skull: F32, closure: F32) -> F32:
    """[H, W] from a depth picture.

    camera: [6] as `kernels.deform.project` takes it. eyes: [2, 4] centres and radii at rest, left
    and right. skull: [3, 4] affine frame. closure: [2] in 0 … 1.
    """
    focal, column, row, _, y0, z0 = camera
    y, x = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]].astype(np.float32) + np.float32(0.5)
    out = np.zeros_like(depth)
    for eye, closed in zip(eyes, closure, strict=True):
        centre = skull[:, :3] @ eye[:3] + skull[:, 3]
        far = z0 - centre[2]
        radius = eye[3] * focal / far
        across = (x - (column + focal * centre[0] / far)) / (WIDE * radius)
        up = (y - (row - focal * (centre[1] - y0) / far)) / (TALL * radius)
        inside = np.clip(4.0 * (1.0 - np.hypot(across, up)), 0.0, 1.0)
        inside = inside * (np.abs(depth - (far - eye[3])) < NEAR)
        out = np.maximum(out, inside * np.float32(OPEN + (1.0 - OPEN) * closed))
    return out.astype(np.float32)
