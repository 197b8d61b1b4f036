"""What a head's picture shows where: the face, and where each pixel's surface was before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.rendering.head import Head
from engine.signals import F32, Motion
from kernels.raster import OFFSETS, SAMPLES

Bool = NDArray[np.bool_]

FACE = ("skin", "eye_l", "eye_r", "teeth_upper", "teeth_lower", "tongue")
SKULL = 0.9  # how much of a vertex goes with the skull, at least, for it to be the face's
SAMPLE = 0  # of each pixel, the one that tells
CLOSE = 0.004  # metres: two surfaces no farther apart are taken for one


class Shown(NamedTuple):
    """triangle: [H, W] index, negative for hair and nothing. shares: [H, W, 3] of its corners."""

    triangle: NDArray[np.int32]
    shares: F32


def shown(head: Head, motion: Motion) -> Shown:
    """What lies at each pixel of a motion's picture."""
    head.guide(motion)
    triangle = head.seen[SAMPLE::SAMPLES].copy()
    corners = head.picture[head.rig.triangles[np.maximum(triangle, 0)]]  # [H, W, 3, (x, y, near)]
    y, x = np.indices(triangle.shape, np.float32)
    x, y = x + OFFSETS[SAMPLE], y + (SAMPLE + 0.5) / SAMPLES
    (ax, ay), (bx, by), (cx, cy) = (corners[..., k, :2].transpose(2, 0, 1) for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    area = np.where(np.abs(area) < 1e-9, 1.0, area)
    b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    return Shown(triangle, np.stack([1 - b - c, b, c], -1).astype(np.float32))


def face(head: Head, motion: Motion) -> Bool:
    """[H, W] where the face is seen: skin of the skull, eyes, the mouth's inside."""
    triangle = shown(head, motion).triangle
    rig = head.rig
    parts = [rig.parts.index(name) for name in FACE]
    skull = rig.along[rig.triangles].min(1) >= SKULL
    own = np.isin(rig.triangle_part, parts) & skull
    return np.where(triangle >= 0, own[np.maximum(triangle, 0)], False)


def flow(head: Head, before: Motion, now: Motion) -> F32:
    """[H, W, 2] pixels (x, y) from each of the picture of `now` to where its surface was in that of
    `before`; nan for hair, for nothing, and where it was hidden."""
    there = shown(head, now)
    depth = head.guide(before).depth  # and head.picture: where the corners were
    corners = head.picture[head.rig.triangles[np.maximum(there.triangle, 0)]]
    was = (there.shares[..., None] * corners).sum(2)
    y, x = np.indices(there.triangle.shape, np.float32)
    here = np.stack([x + OFFSETS[SAMPLE], y + (SAMPLE + 0.5) / SAMPLES], -1)
    moved = was[..., :2] - here
    column, row = (np.rint(was[..., k] - 0.5).astype(int) for k in range(2))
    high, wide = there.triangle.shape
    inside = (column >= 0) & (column < wide) & (row >= 0) & (row < high)
    found = depth[row.clip(0, high - 1), column.clip(0, wide - 1)]
    apart = np.abs(found - 1 / np.maximum(was[..., 2], 1e-6))
    seen = (there.triangle >= 0) & inside & (apart < CLOSE)
    return np.where(seen[..., None], moved, np.nan).astype(np.float32)
