"""Ribbons of hair at one motion: swung, bent with the skull, lit, ready to be drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.rendering.head.rig import SWING_LIMIT, Hair, finite, softly
from engine.signals import Motion

F32 = NDArray[np.float32]
TRUE = np.float32(0.7)  # how far a ribbon lies flat on the head rather than faces the camera
SWING_PIVOT = np.array([0.0, 0.045, 0.0], np.float32)  # what hanging hair swings about


class Laid(NamedTuple):
    """points, tangents, normals: [R K, 3] in the world. edges: [R K 2, 3] left and right."""

    points: F32
    tangents: F32
    normals: F32
    edges: F32


@njit(cache=True, nogil=True, fastmath=True)
def _lay(
    rest: F32, normals: F32, hang: F32, width: F32, swing: F32, pivot: F32, skull: F32,
    points: F32, turned: F32, tangents: F32, edges: F32,
) -> None:  # fmt: skip
    ribbons, along = rest.shape[0], rest.shape[1]
    one = np.float32(1.0)
    for r in range(ribbons):
        for k in range(along):
            v = r * along + k
            h = hang[r, k]
            x, y, z = rest[r, k, 0] - pivot[0], rest[r, k, 1] - pivot[1], rest[r, k, 2] - pivot[2]
            # hair swings out freely, but inwards the head is in its way
            outwards = x * np.sign(swing[0]) * np.float32(1.0 / 0.06)
            free = np.float32(0.62) + np.float32(0.38) * min(max(outwards, -one), one)
            sideways, forwards = swing[0] * h * free, swing[1] * h
            # small turns about z and x, second order kept so that hair does not grow
            px = x - sideways * y - np.float32(0.5) * sideways * sideways * x
            py = y + sideways * x + forwards * z
            py -= np.float32(0.5) * (sideways * sideways + forwards * forwards) * y
            pz = z - forwards * y - np.float32(0.5) * forwards * forwards * z
            px, py, pz = px + pivot[0], py + pivot[1], pz + pivot[2]
            nx, ny, nz = normals[r, k, 0], normals[r, k, 1], normals[r, k, 2]
            for i in range(3):
                points[v, i] = skull[i, 0] * px + skull[i, 1] * py + skull[i, 2] * pz + skull[i, 3]
                turned[v, i] = skull[i, 0] * nx + skull[i, 1] * ny + skull[i, 2] * nz
        for k in range(along):
            v = r * along + k
            a, b = v - (k > 0), v + (k < along - 1)
            tx = points[b, 0] - points[a, 0]
            ty = points[b, 1] - points[a, 1]
            tz = points[b, 2] - points[a, 2]
            inverse = np.float32(1.0) / np.sqrt(tx * tx + ty * ty + tz * tz + np.float32(1e-12))
            tx, ty, tz = tx * inverse, ty * inverse, tz * inverse
            tangents[v, 0], tangents[v, 1], tangents[v, 2] = tx, ty, tz
            # towards the eye more than the head has it, so that no ribbon is seen edge-on
            nx, ny = turned[v, 0] * TRUE, turned[v, 1] * TRUE
            nz = abs(turned[v, 2]) * TRUE + (np.float32(1.0) - TRUE)
            sx, sy, sz = ty * nz - tz * ny, tz * nx - tx * nz, tx * ny - ty * nx
            inverse = np.float32(1.0) / np.sqrt(sx * sx + sy * sy + sz * sz + np.float32(1e-12))
            half = np.float32(0.5) * width[r, k] * inverse
            sx, sy, sz = sx * half, sy * half, sz * half
            x, y, z = points[v, 0], points[v, 1], points[v, 2]
            edges[2 * v, 0], edges[2 * v, 1], edges[2 * v, 2] = x - sx, y - sy, z - sz
            edges[2 * v + 1, 0], edges[2 * v + 1, 1] = x + sx, y + sy
            edges[2 * v + 1, 2] = z + sz


class HairPoser:
    """Computes where hair is; owns the buffers. normals: [R K, 3] of the hair laid last."""

    def __init__(self, hair: Hair) -> None:
        self.hair = hair
        count = hair.points.shape[0] * hair.points.shape[1]
        self._points, self.normals, self._tangents = np.empty((3, count, 3), np.float32)
        self._edges = np.empty((2 * count, 3), np.float32)

    def lay(self, motion: Motion, skull: F32) -> Laid:
        """skull: [3, 4] affine frame. The arrays are good until the next call."""
        # hair swings to the side it lags on: > 0 to the singer's left is a turn that takes the
        # hanging tips (below the pivot) towards +x
        swing = softly(finite(motion.hair), SWING_LIMIT).astype(np.float32)
        hair = self.hair
        _lay(
            hair.points, hair.normals, hair.hang, hair.width, swing, SWING_PIVOT, skull,
            self._points, self.normals, self._tangents, self._edges,
        )  # fmt: skip
        return Laid(self._points, self._tangents, self.normals, self._edges)
