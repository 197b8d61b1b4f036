"""How much sky each texel of the skin sees: ambient occlusion, from depth pictures all round."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.motion.blendshapes import INDEX
from engine.training.authoring.atlas import HEIGHT, WIDTH
from engine.training.authoring.parts import Part
from engine.training.authoring.skin import spread
from engine.training.authoring.views import depth_picture, seen_from
from kernels.deform import normals

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

DIRECTIONS = 240
REACH = 0.09  # metres: what lies farther off no longer darkens
BIAS = 0.0022
# Hidden skin must see some light: lids droop and the mouth is ajar while it is measured.
AJAR = {"jawOpen": 0.30, "eyeBlinkLeft": 0.30, "eyeBlinkRight": 0.30}


def ajar(part: Part) -> F64:
    """Vertices [V, 3] of a part in the pose in which openness is measured."""
    control = part.control + sum(w * part.shapes[INDEX[name]] for name, w in AJAR.items())
    return np.asarray(part.mixing @ control)


def measure(parts: list[Part], more: tuple[F64, I64] | None = None) -> F64:
    """[HEIGHT / 2, WIDTH / 2] in 0 … 1 for the first of the parts; all of them throw shade.

    more: points and triangles of what else throws shade.
    """
    points = [ajar(part) for part in parts]
    triangles = [part.triangles for part in parts]
    if more is not None:
        points.append(more[0])
        triangles.append(more[1])
    first = np.cumsum([0] + [len(p) for p in points[:-1]])
    scene = np.concatenate(points).astype(np.float32)
    faces = np.concatenate([t + n for t, n in zip(triangles, first, strict=True)]).astype(np.int32)
    place, facing = _texels(parts[0], points[0])
    seen, weight = np.zeros((2, *place.shape[:2]), np.float32)
    for direction in _sphere(DIRECTIONS):
        depth = depth_picture(scene, faces, direction)
        _look(seen_from(direction, place), facing @ direction, depth, seen, weight)
    return np.asarray(seen / np.maximum(weight, 1e-6), np.float64)


def _texels(part: Part, points: F64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Place and normal [h, w, 3] of every texel, at half the atlas's size."""
    facing = np.empty((len(points), 3), np.float32)
    normals(points.astype(np.float32), part.triangles.astype(np.int32), facing)
    corners = np.concatenate([points[part.triangles], facing[part.triangles]], axis=-1)
    laid = spread(part.corners / 2, corners, (HEIGHT // 2, WIDTH // 2)).astype(np.float32)
    place, normal = laid[..., :3], laid[..., 3:]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return place + 0.0008 * normal, normal


def _sphere(count: int) -> NDArray[np.float32]:
    """Directions [count, 3], even over the sphere (Fibonacci's lattice)."""
    k = np.arange(count) + 0.5
    y, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.cos(turn), y, r * np.sin(turn)], 1).astype(np.float32)


@njit(cache=True)
def _look(place, cosine, depth, seen, weight):  # type: ignore[no-untyped-def]
    """Add one direction: place [h, w, 3] in its picture, cosine [h, w] to the normal."""
    tall, wide = depth.shape
    for y in range(place.shape[0]):
        for x in range(place.shape[1]):
            c = cosine[y, x]
            if c <= 0.02:
                continue
            column, row = int(place[y, x, 0]), int(place[y, x, 1])
            weight[y, x] += c
            if 0 <= column < wide and 0 <= row < tall:
                over = depth[row, column] - place[y, x, 2]
                if over < BIAS or over > REACH:
                    seen[y, x] += c
            else:
                seen[y, x] += c
