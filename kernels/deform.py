"""Hot loops that move and light a mesh: blend shapes, subdivide, bend a neck, normals, light.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
Lengths are metres, directions unit vectors, colours linear light.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

PI = math.pi


@njit(cache=True, nogil=True, fastmath=True)
def blend(rest: F32, weights: F32, starts: I32, index: I32, moved: F32, out: F32) -> None:
    """rest plus every shape by its weight.

    rest, out: [P, 3]. weights: [S]. Shape s moves the points index[starts[s] : starts[s + 1]] by
    the same rows of `moved`, [n, 3].
    """
    for p in range(rest.shape[0]):
        for k in range(3):
            out[p, k] = rest[p, k]
    for s in range(weights.shape[0]):
        w = weights[s]
        if w != 0.0:
            for j in range(starts[s], starts[s + 1]):
                p = index[j]
                out[p, 0] += w * moved[j, 0]
                out[p, 1] += w * moved[j, 1]
                out[p, 2] += w * moved[j, 2]


def blend_plain(rest: F32, weights: F32, starts: I32, index: I32, moved: F32, out: F32) -> None:
    """As `blend`."""
    out[:] = rest
    for s, w in enumerate(weights):
        rows = slice(starts[s], starts[s + 1])
        np.add.at(out, index[rows], w * moved[rows])


@njit(cache=True, nogil=True, fastmath=True)
def combine(points: F32, starts: I32, index: I32, share: F32, out: F32) -> None:
    """Sparse rows times points: out[v] = Σ share[j] · points[index[j]] over its row j.

    points: [P, 3]. starts: [V + 1]. index, share: [n]. out: [V, 3].
    """
    for v in range(out.shape[0]):
        x = y = z = np.float32(0.0)
        for j in range(starts[v], starts[v + 1]):
            p, s = index[j], share[j]
            x += s * points[p, 0]
            y += s * points[p, 1]
            z += s * points[p, 2]
        out[v, 0], out[v, 1], out[v, 2] = x, y, z


def combine_plain(points: F32, starts: I32, index: I32, share: F32, out: F32) -> None:
    """As `combine`."""
    for v in range(len(out)):
        row = slice(starts[v], starts[v + 1])
        out[v] = share[row] @ points[index[row]]


@njit(cache=True, nogil=True, fastmath=True)
def bend(points: F32, along: F32, spine: F32, out: F32) -> None:
    """Move each point by the spine's frame where it hangs.

    points, out: [V, 3]. along: [V] in 0 … 1, trunk to skull. spine: [K, 3, 4] affine frames at
    equal steps of `along`; between two of them they are mixed.
    """
    steps = spine.shape[0] - 1
    for v in range(points.shape[0]):
        at = along[v] * steps
        k = min(int(at), steps - 1)
        f = np.float32(at - k)
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        for r in range(3):
            a, b = spine[k, r], spine[k + 1, r]
            out[v, r] = (
                (a[0] + f * (b[0] - a[0])) * x
                + (a[1] + f * (b[1] - a[1])) * y
                + (a[2] + f * (b[2] - a[2])) * z
                + (a[3] + f * (b[3] - a[3]))
            )


def bend_plain(points: F32, along: F32, spine: F32, out: F32) -> None:
    """As `bend`."""
    at = along * np.float32(len(spine) - 1)
    k = np.minimum(at.astype(int), len(spine) - 2)
    frames = spine[k] + (at - k)[:, None, None] * (spine[k + 1] - spine[k])
    out[:] = np.einsum("vrc,vc->vr", frames[..., :3], points) + frames[..., 3]


@njit(cache=True, nogil=True, fastmath=True)
def normals(points: F32, triangles: I32, out: F32) -> None:
    """Unit normals [V, 3] of a mesh: the mean of its triangles [T, 3], weighted by their area."""
    out[:] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y, z = points[a, 0], points[a, 1], points[a, 2]
        ux, uy, uz = points[b, 0] - x, points[b, 1] - y, points[b, 2] - z
        vx, vy, vz = points[c, 0] - x, points[c, 1] - y, points[c, 2] - z
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for p in (a, b, c):
            out[p, 0] += nx
            out[p, 1] += ny
            out[p, 2] += nz
    for v in range(out.shape[0]):
        size = math.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2)
        inverse = np.float32(1.0 / max(size, 1e-20))
        out[v, 0] *= inverse
        out[v, 1] *= inverse
        out[v, 2] *= inverse


def normals_plain(points: F32, triangles: I32, out: F32) -> None:
    """As `normals`."""
    corners = points[triangles]
    turn = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out[:] = 0.0
    for k in range(3):
        np.add.at(out, triangles[:, k], turn)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20)


@njit(cache=True, nogil=True, fastmath=True)
def carry(points: F32, frame: F32, out: F32) -> None:
    """Points [V, 3] through one affine frame [3, 4]."""
    for v in range(points.shape[0]):
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        for r in range(3):
            out[v, r] = frame[r, 0] * x + frame[r, 1] * y + frame[r, 2] * z + frame[r, 3]


def carry_plain(points: F32, frame: F32, out: F32) -> None:
    """As `carry`."""
    out[:] = points @ frame[:, :3].T + frame[:, 3]


@njit(cache=True, nogil=True, fastmath=True)
def project(points: F32, camera: F32, out: F32) -> None:
    """World points [V, 3] to the picture [V, 3]: column, row (pixels), 1 / distance (1/m).

    camera: [6] focal length in pixels, centre column and row, position x, y, z; it looks along −z.
    """
    focal, cx, cy, ex, ey, ez = camera
    for v in range(points.shape[0]):
        near = np.float32(1.0) / max(ez - points[v, 2], np.float32(0.05))
        out[v, 0] = cx + focal * (points[v, 0] - ex) * near
        out[v, 1] = cy - focal * (points[v, 1] - ey) * near
        out[v, 2] = near


def project_plain(points: F32, camera: F32, out: F32) -> None:
    """As `project`."""
    focal, cx, cy, ex, ey, ez = camera
    out[:, 2] = 1.0 / np.maximum(ez - points[:, 2], np.float32(0.05))
    out[:, 0] = cx + focal * (points[:, 0] - ex) * out[:, 2]
    out[:, 1] = cy - focal * (points[:, 1] - ey) * out[:, 2]
