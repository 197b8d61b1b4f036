"""Hot loops of light: shadows, skin-like surfaces and strands, vertex by vertex.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
Directions are unit vectors, colours linear light.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.raster import SAMPLES

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

PI = math.pi


class Lamps(NamedTuple):
    """directions, colours: [L, 3] towards and of each light. ambient: [3, 3] from above, below and
    ahead."""

    directions: F32
    colours: F32
    ambient: F32


class Strands(NamedTuple):
    """Points along hair, [V, 3] or [V].

    tangents: root to tip. normals: out of the head. free: of the first light. open_: how much sky a
    point sees. shift: radians that its scales tilt the highlight. albedo: of the hair.
    """

    points: F32
    tangents: F32
    normals: F32
    free: F32
    open_: F32
    shift: F32
    albedo: F32


@njit(cache=True, nogil=True, fastmath=True)
def unshadowed(seen: F32, depth: F32, bias: float, reach: float, out: F32) -> None:
    """How much of the light arrives, [V] in 0 … 1, from nine looks around each point.

    seen: [V, 3] column, row and nearness of the points in the light's own picture, whose samples
    `depth` [SAMPLES H, W] hold the largest nearness. bias: nearness a point may lie behind. reach:
    samples.
    """
    height, width = depth.shape
    for v in range(seen.shape[0]):
        x, y, near = seen[v, 0], SAMPLES * seen[v, 1], seen[v, 2] + np.float32(bias)
        free = np.float32(0.0)
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                column = min(max(int(x + dx * reach), 0), width - 1)
                row = min(max(int(y + dy * reach), 0), height - 1)
                gap = (near - depth[row, column]) / np.float32(bias)
                free += min(max(gap, np.float32(0.0)), np.float32(1.0))
        out[v] = free * np.float32(1.0 / 9.0)


def unshadowed_plain(seen: F32, depth: F32, bias: float, reach: float, out: F32) -> None:
    """As `unshadowed`."""
    near, looks = seen[:, 2] + np.float32(bias), []
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            column = np.clip((seen[:, 0] + dx * reach).astype(int), 0, depth.shape[1] - 1)
            row = np.clip((SAMPLES * seen[:, 1] + dy * reach).astype(int), 0, depth.shape[0] - 1)
            looks.append(np.clip((near - depth[row, column]) / bias, 0.0, 1.0))
    out[:] = np.mean(looks, axis=0)


@njit(cache=True, nogil=True, fastmath=True)
def illuminate(
    points: F32, normals: F32, free: F32, eye: F32, lamps: Lamps, surface: F32,
    diffuse: F32, specular: F32,
) -> None:  # fmt: skip
    """Light that each vertex throws towards the eye.

    points, normals: [V, 3]. free: [V] what of the first light arrives. eye: [3]. surface: [8] wrap
    of red, green, blue (how far light creeps round, 0 … 1), roughness, F0, sheen, share of specular
    light kept in shadow, sharpness of the terminator (unused: 0).
    diffuse, specular: [V, 3] out; diffuse is per unit of albedo.
    Wrapped diffuse after Green (GPU Gems 1, 16), specular GGX with Kelemen's visibility.
    """
    directions, colours, ambient = lamps
    one, zero = np.float32(1.0), np.float32(0.0)
    wr, wg, wb = surface[0], surface[1], surface[2]
    rough, f0, sheen = surface[3], surface[4], surface[5]
    a2 = rough * rough * rough * rough
    for v in range(points.shape[0]):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        ex, ey, ez = eye[0] - points[v, 0], eye[1] - points[v, 1], eye[2] - points[v, 2]
        inverse = one / np.float32(math.sqrt(ex * ex + ey * ey + ez * ez))
        ex, ey, ez = ex * inverse, ey * inverse, ez * inverse
        facing = max(nx * ex + ny * ey + nz * ez, np.float32(0.04))
        up = np.float32(0.5) + np.float32(0.5) * ny
        ahead = max(nz, zero)
        r = ambient[0, 0] * up + ambient[1, 0] * (one - up) + ambient[2, 0] * ahead
        g = ambient[0, 1] * up + ambient[1, 1] * (one - up) + ambient[2, 1] * ahead
        b = ambient[0, 2] * up + ambient[1, 2] * (one - up) + ambient[2, 2] * ahead
        graze = (one - facing) * (one - facing)
        graze = graze * graze * sheen
        sr, sg, sb = r * graze, g * graze, b * graze
        for k in range(directions.shape[0]):
            lx, ly, lz = directions[k, 0], directions[k, 1], directions[k, 2]
            arrives = free[v] if k == 0 else one
            dot = nx * lx + ny * ly + nz * lz
            dr = max((dot + wr) / (one + wr), zero)
            dg = max((dot + wg) / (one + wg), zero)
            db = max((dot + wb) / (one + wb), zero)
            if k >= 2:  # from behind: a face hides its own front from it
                arrives = min(max((np.float32(0.36) - nz) * np.float32(2.8), zero), one)
            bleed = arrives + (one - arrives) * arrives * wr
            r += colours[k, 0] * dr * dr / (one + wr) * bleed * np.float32(1.15)
            g += colours[k, 1] * dg * dg / (one + wg) * arrives * np.float32(1.15)
            b += colours[k, 2] * db * db / (one + wb) * arrives * np.float32(1.15)
            if dot > zero:
                hx, hy, hz = lx + ex, ly + ey, lz + ez
                square = max(hx * hx + hy * hy + hz * hz, np.float32(1e-6))
                inverse = one / np.float32(math.sqrt(square))
                nh = min(max((nx * hx + ny * hy + nz * hz) * inverse, zero), one)
                vh = (ex * hx + ey * hy + ez * hz) * inverse
                spread = nh * nh * (a2 - one) + one
                fresnel = one - vh
                fresnel = fresnel * fresnel * fresnel * fresnel * fresnel
                fresnel = f0 + (one - f0) * fresnel
                # D F V, with V = 1 / (4 (v·h)²) and square = |l + e|² = 4 (v·h)²
                shine = a2 / (np.float32(PI) * spread * spread) * fresnel / square
                seen = arrives + (one - arrives) * surface[6] if k == 0 else arrives
                shine = (shine + graze * np.float32(0.5)) * dot * seen
                sr += colours[k, 0] * shine
                sg += colours[k, 1] * shine
                sb += colours[k, 2] * shine
        diffuse[v, 0], diffuse[v, 1], diffuse[v, 2] = r, g, b
        specular[v, 0], specular[v, 1], specular[v, 2] = sr, sg, sb


def illuminate_plain(
    points: F32, normals: F32, free: F32, eye: F32, lamps: Lamps, surface: F32,
    diffuse: F32, specular: F32,
) -> None:  # fmt: skip
    """As `illuminate`."""
    directions, colours, ambient = lamps
    wrap, (rough, f0, sheen, in_shadow) = surface[:3], surface[3:7]
    a2 = rough**4
    to_eye = _unit(eye - points)
    facing = np.maximum((normals * to_eye).sum(1), 0.04)
    sky = _sky(normals, ambient)
    graze = ((1 - facing) ** 4 * sheen)[:, None]
    diffuse[:], specular[:] = sky, sky * graze
    for k, (towards, colour) in enumerate(zip(directions, colours, strict=True)):
        arrives = (free if k == 0 else np.ones_like(free))[:, None]
        dot = (normals @ towards)[:, None]
        if k >= 2:
            arrives = np.clip((0.36 - normals[:, 2:]) * 2.8, 0.0, 1.0)
        wrapped = np.maximum((dot + wrap) / (1 + wrap), 0.0) ** 2 / (1 + wrap)
        bleed = np.concatenate([arrives + (1 - arrives) * arrives * wrap[0], arrives, arrives], 1)
        diffuse += colour * wrapped * bleed * 1.15
        half = towards + to_eye
        square = np.maximum((half**2).sum(1, keepdims=True), 1e-6)
        half = half / np.sqrt(square)
        nh = np.clip((normals * half).sum(1, keepdims=True), 0.0, 1.0)
        fresnel = f0 + (1 - f0) * (1 - (to_eye * half).sum(1, keepdims=True)) ** 5
        shine = a2 / (np.pi * (nh * nh * (a2 - 1) + 1) ** 2) * fresnel / square
        seen = arrives + (1 - arrives) * in_shadow if k == 0 else arrives
        specular += colour * (shine + 0.5 * graze) * np.maximum(dot, 0.0) * seen


def _unit(x: F32) -> F32:
    return np.asarray(x / np.sqrt((x * x).sum(1, keepdims=True)))


def _sky(normals: F32, ambient: F32) -> F32:
    """Light [V, 3] from above, below and ahead."""
    up = 0.5 + 0.5 * normals[:, 1:2]
    ahead = np.maximum(normals[:, 2:], 0.0)
    return np.asarray(up * ambient[0] + (1 - up) * ambient[1] + ahead * ambient[2])


@njit(cache=True, nogil=True, fastmath=True)
def illuminate_strands(strands: Strands, eye: F32, lamps: Lamps, shine: F32, out: F32) -> None:
    """Light of hair at points along strands, [V, 3], linear.

    shine: [5] colour of the second highlight, strength of the first and of the second.
    Kajiya and Kay 1989, two highlights after Marschner et al. 2003 as Scheuermann 2004 has it.
    """
    points, tangents, normals, free, open_, shift, albedo = strands
    directions, colours, ambient = lamps
    one, zero = np.float32(1.0), np.float32(0.0)
    for v in range(points.shape[0]):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        # scales tilt the tangent towards the root for one highlight, towards the tip for the other
        s = shift[v]
        tx, ty, tz = tangents[v, 0], tangents[v, 1], tangents[v, 2]
        ax, ay, az = tx - nx * (s + 0.10), ty - ny * (s + 0.10), tz - nz * (s + 0.10)
        bx, by, bz = tx + nx * (s + 0.16), ty + ny * (s + 0.16), tz + nz * (s + 0.16)
        na = one / np.float32(math.sqrt(ax * ax + ay * ay + az * az))
        nb = one / np.float32(math.sqrt(bx * bx + by * by + bz * bz))
        ex, ey, ez = eye[0] - points[v, 0], eye[1] - points[v, 1], eye[2] - points[v, 2]
        inverse = one / np.float32(math.sqrt(ex * ex + ey * ey + ez * ez))
        ex, ey, ez = ex * inverse, ey * inverse, ez * inverse
        sky = open_[v]
        up = np.float32(0.5) + np.float32(0.5) * ny
        ahead = max(nz, zero)
        r = sky * (ambient[0, 0] * up + ambient[1, 0] * (one - up) + ambient[2, 0] * ahead)
        g = sky * (ambient[0, 1] * up + ambient[1, 1] * (one - up) + ambient[2, 1] * ahead)
        b = sky * (ambient[0, 2] * up + ambient[1, 2] * (one - up) + ambient[2, 2] * ahead)
        r, g, b = r * albedo[v, 0], g * albedo[v, 1], b * albedo[v, 2]
        for k in range(directions.shape[0]):
            lx, ly, lz = directions[k, 0], directions[k, 1], directions[k, 2]
            arrives = sky * (free[v] if k == 0 else one)
            facing = nx * lx + ny * ly + nz * lz
            round_ = min(max(facing * np.float32(0.7) + np.float32(0.3), zero), one)
            tl = tx * lx + ty * ly + tz * lz
            across = np.float32(math.sqrt(max(one - tl * tl, zero)))
            hx, hy, hz = lx + ex, ly + ey, lz + ez
            square = max(hx * hx + hy * hy + hz * hz, np.float32(1e-6))
            inverse = one / np.float32(math.sqrt(square))
            th = (ax * hx + ay * hy + az * hz) * inverse * na
            first = max(one - th * th, zero)
            th = (bx * hx + by * hy + bz * hz) * inverse * nb
            second = max(one - th * th, zero)
            first = first * first * first * first
            first = first * first * first * first
            first = first * first * first * first
            second = second * second * second * second
            second = second * second * second
            lit = across * round_
            first *= shine[3] * round_
            second *= shine[4] * round_
            r += arrives * colours[k, 0] * (albedo[v, 0] * (lit + second * shine[0]) + first)
            g += arrives * colours[k, 1] * (albedo[v, 1] * (lit + second * shine[1]) + first)
            b += arrives * colours[k, 2] * (albedo[v, 2] * (lit + second * shine[2]) + first)
        out[v, 0], out[v, 1], out[v, 2] = r, g, b


def illuminate_strands_plain(
    strands: Strands, eye: F32, lamps: Lamps, shine: F32, out: F32
) -> None:
    """As `illuminate_strands`."""
    points, tangents, normals, free, open_, shift, albedo = strands
    directions, colours, ambient = lamps
    tilted = _unit(tangents - normals * (shift + 0.10)[:, None])
    other = _unit(tangents + normals * (shift + 0.16)[:, None])
    to_eye = _unit(eye - points)
    sky = open_[:, None]
    out[:] = sky * _sky(normals, ambient) * albedo
    for k, (towards, colour) in enumerate(zip(directions, colours, strict=True)):
        arrives = sky * (free[:, None] if k == 0 else 1.0)
        round_ = np.clip((normals @ towards)[:, None] * 0.7 + 0.3, 0.0, 1.0)
        across = np.sqrt(np.maximum(1 - (tangents @ towards)[:, None] ** 2, 0.0))
        half = _unit(towards + to_eye)
        first = np.maximum(1 - (tilted * half).sum(1, keepdims=True) ** 2, 0.0) ** 64
        second = np.maximum(1 - (other * half).sum(1, keepdims=True) ** 2, 0.0) ** 12
        first, second = first * shine[3] * round_, second * shine[4] * round_
        out += arrives * colour * (albedo * (across * round_ + second * shine[:3]) + first)
