"""Hot loops of drawing: from the samples that `raster` made to the colours of pixels.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
Colours of pictures are premultiplied and on 0 … 255.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.raster import NOTHING, OFFSETS, SAMPLES, STRAND, strand_read

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Real = np.float32

EACH = np.float32(1.0 / SAMPLES)
SAME_DEPTH = np.float32(0.003)  # 1/m: samples of a pixel closer than this share their colour


class Scene(NamedTuple):
    """What samples may see, lit.

    picture: [V, 3] as for `cover`. triangles: [T, 3]. corners: [T, 3, 2] texture coordinates in
    texels. parts: [T]; samples of one part at about one depth share their colour. diffuse,
    specular: [V, 3] linear light. strands: [R, K, 3] colours on 0 … 255. texture: [h, w, 5] square
    roots of albedo, openness, gloss. tone: [n] from the square root of linear light, n for 4.0.
    """

    picture: F32
    triangles: I32
    corners: F32
    parts: U8
    diffuse: F32
    specular: F32
    strands: F32
    texture: U8
    tone: U8


# What runs for every sample takes numbers only: arrays that are handed on are counted each time.


@njit(cache=True, nogil=True, fastmath=True)
def _shares(
    ax: Real,
    ay: Real,
    bx: Real,
    by: Real,
    cx: Real,
    cy: Real,
    x: int,
    row: int,
) -> tuple[Real, Real, Real]:
    """How much of each corner of a triangle there is at one sample."""
    bx, by, cx, cy = bx - ax, by - ay, cx - ax, cy - ay
    px = np.float32(x) + OFFSETS[row % SAMPLES] - ax
    py = (np.float32(row) + np.float32(0.5)) * EACH - ay
    inverse = np.float32(1.0) / (bx * cy - cx * by)
    wb, wc = (px * cy - cx * py) * inverse, (bx * py - px * by) * inverse
    return np.float32(1.0) - wb - wc, wb, wc


@njit(cache=True, nogil=True, fastmath=True)
def _step(light: Real, steps: int) -> int:
    """Where a film of so many steps has a linear light."""
    root = np.sqrt(np.maximum(light, np.float32(0.0)))
    return min(int(root * np.float32(0.5) * np.float32(steps)), steps)


@njit(cache=True, nogil=True, fastmath=True)
def resolve(scene: Scene, nearest: F32, seen: I32, out: F32) -> None:
    """Colour of every pixel from its samples, premultiplied, [H, W, 4] on 0 … 255."""
    picture, triangles, corners, parts, diffuse, specular, strands, texture, tone = scene
    tall, wide, steps = texture.shape[0], texture.shape[1], tone.shape[0] - 1
    pieces, zero, most = strands.shape[1] - 1, np.float32(0.0), np.float32(255.0)
    byte, two = np.float32(1.0 / 255.0), np.float32(2.0)
    out[:] = zero
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            some = NOTHING
            for s in range(SAMPLES):
                some &= seen[SAMPLES * y + s, x]
            if some == NOTHING:
                continue
            had, had_near, alpha = -1, zero, zero
            r = g = b = red = green = blue = zero
            for s in range(SAMPLES):
                row = SAMPLES * y + s
                t, near = seen[row, x], nearest[row, x]
                if t == NOTHING:
                    continue
                alpha += EACH
                if t <= STRAND:
                    had = -1
                    piece, along, bright = strand_read(t)
                    i, j = piece // pieces, piece % pieces
                    far, along = along * bright, (np.float32(1.0) - along) * bright
                    r = min(along * strands[i, j, 0] + far * strands[i, j + 1, 0], most)
                    g = min(along * strands[i, j, 1] + far * strands[i, j + 1, 1], most)
                    b = min(along * strands[i, j, 2] + far * strands[i, j + 1, 2], most)
                elif parts[t] != had or abs(near - had_near) > SAME_DEPTH:
                    had, had_near = parts[t], near
                    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    wa, wb, wc = _shares(
                        picture[i, 0], picture[i, 1], picture[j, 0], picture[j, 1],
                        picture[k, 0], picture[k, 1], x, row,
                    )  # fmt: skip
                    u = wa * corners[t, 0, 0] + wb * corners[t, 1, 0] + wc * corners[t, 2, 0]
                    v = wa * corners[t, 0, 1] + wb * corners[t, 1, 1] + wc * corners[t, 2, 1]
                    u0, v0 = min(max(int(u), 0), wide - 2), min(max(int(v), 0), tall - 2)
                    fu, fv = u - np.float32(u0), v - np.float32(v0)
                    kd = fu * fv * byte
                    kb, kc = fu * byte - kd, fv * byte - kd
                    ka = byte - kb - kc - kd
                    ta, tb = texture[v0, u0], texture[v0, u0 + 1]
                    tc, td = texture[v0 + 1, u0], texture[v0 + 1, u0 + 1]
                    open_ = byte * ta[3]  # these two are smooth enough to be taken as they lie
                    gloss = byte * ta[4] * two
                    wa, wb, wc = wa * open_, wb * open_, wc * open_
                    al = ka * ta[0] + kb * tb[0] + kc * tc[0] + kd * td[0]
                    d = wa * diffuse[i, 0] + wb * diffuse[j, 0] + wc * diffuse[k, 0]
                    h = wa * specular[i, 0] + wb * specular[j, 0] + wc * specular[k, 0]
                    r = np.float32(tone[_step(al * al * d + gloss * h, steps)])
                    al = ka * ta[1] + kb * tb[1] + kc * tc[1] + kd * td[1]
                    d = wa * diffuse[i, 1] + wb * diffuse[j, 1] + wc * diffuse[k, 1]
                    h = wa * specular[i, 1] + wb * specular[j, 1] + wc * specular[k, 1]
                    g = np.float32(tone[_step(al * al * d + gloss * h, steps)])
                    al = ka * ta[2] + kb * tb[2] + kc * tc[2] + kd * td[2]
                    d = wa * diffuse[i, 2] + wb * diffuse[j, 2] + wc * diffuse[k, 2]
                    h = wa * specular[i, 2] + wb * specular[j, 2] + wc * specular[k, 2]
                    b = np.float32(tone[_step(al * al * d + gloss * h, steps)])
                red += EACH * r
                green += EACH * g
                blue += EACH * b
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red, green, blue
            out[y, x, 3] = most * alpha


@njit(cache=True, nogil=True, fastmath=True)
def survey(
    picture: F32, triangles: I32, normals: F32, strands: F32, nearest: F32, seen: I32,
    depth: F32, facing: F32, mask: F32,
) -> None:  # fmt: skip
    """What lies at every pixel: distance, direction, and how much of it is covered.

    picture: [V, 3] as for `cover`. normals: [V, 3]. strands: [R, K, 3] normals of ribbons. depth:
    [H, W] metres to the nearest sample's surface, 0 where there is none. facing: [H, W, 3] its unit
    normal, zero where nothing is. mask: [H, W] in 0 … 1.
    """
    pieces = strands.shape[1] - 1
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            count, best = 0, SAMPLES * y
            for row in range(SAMPLES * y, SAMPLES * (y + 1)):
                if seen[row, x] != NOTHING:
                    count += 1
                    if nearest[row, x] > nearest[best, x]:
                        best = row
            mask[y, x] = EACH * np.float32(count)
            depth[y, x] = np.float32(1.0) / nearest[best, x] if count else np.float32(0.0)
            facing[y, x, 0] = facing[y, x, 1] = facing[y, x, 2] = np.float32(0.0)
            t = seen[best, x]
            if t == NOTHING:
                continue
            square = np.float32(1e-12)
            if t <= STRAND:
                piece, along, _ = strand_read(t)
                i, j = piece // pieces, piece % pieces
                for n in range(3):
                    value = strands[i, j, n] + along * (strands[i, j + 1, n] - strands[i, j, n])
                    facing[y, x, n] = value
                    square += value * value
            else:
                i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc = _shares(
                    picture[i, 0], picture[i, 1], picture[j, 0], picture[j, 1],
                    picture[k, 0], picture[k, 1], x, best,
                )  # fmt: skip
                for n in range(3):
                    value = wa * normals[i, n] + wb * normals[j, n] + wc * normals[k, n]
                    facing[y, x, n] = value
                    square += value * value
            for n in range(3):
                facing[y, x, n] /= np.sqrt(square)


@njit(cache=True, nogil=True, fastmath=True)
def develop(light: F32, tone: U8) -> None:
    """Turn linear light [V, 3] into values 0 … 255, in place; tone: as for `resolve`."""
    for v in range(light.shape[0]):
        for k in range(3):
            light[v, k] = np.float32(tone[_step(light[v, k], tone.shape[0] - 1)])


@njit(cache=True, nogil=True, fastmath=True)
def strokes(
    picture: F32, widths: F32, colours: F32, starts: I32, slack: float, nearest: F32, out: F32
) -> None:
    """Lay thin strands over a resolved picture, finer than its samples could hold.

    picture: [V, 3] as for `cover`; strand n is the points starts[n] : starts[n + 1]. widths: [V]
    pixels. colours: [V, 4] on 0 … 255 and opacity 0 … 1. slack: nearness by which a strand may lie
    behind a surface and still be seen. out: [H, W, 4] premultiplied, 0 … 255.
    """
    height, width = out.shape[0], out.shape[1]
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    two = np.float32(2.0)
    for n in range(starts.shape[0] - 1):
        for p in range(starts[n], starts[n + 1] - 1):
            ax, ay, qa = picture[p, 0], picture[p, 1], picture[p, 2] + np.float32(slack)
            dx, dy = picture[p + 1, 0] - ax, picture[p + 1, 1] - ay
            dq = picture[p + 1, 2] - picture[p, 2]
            square = dx * dx + dy * dy
            if square < 1e-8:
                continue
            wa, dw = widths[p], widths[p + 1] - widths[p]
            pad = max(half * max(wa, wa + dw), half) + half
            left = max(math.floor(min(ax, ax + dx) - pad), 0)
            right = min(math.ceil(max(ax, ax + dx) + pad), width)
            top = max(math.floor(min(ay, ay + dy) - pad), 0)
            bottom = min(math.ceil(max(ay, ay + dy) + pad), height)
            inverse, size = one / square, one / np.sqrt(square)
            # along a row, pixels farther than `reach` from the line are farther than `pad` from it
            lean = dx / dy if abs(dy) > np.float32(1e-3) else zero
            reach = pad / (abs(dy) * size) if abs(dy) > np.float32(1e-3) else np.float32(width)
            for y in range(top, bottom):
                py = np.float32(y) + half - ay
                middle = ax + py * lean
                first = max(left, int(max(middle - reach, zero)))
                for x in range(first, min(right, int(middle + reach) + 1)):
                    px = np.float32(x) + half - ax
                    t = (px * dx + py * dy) * inverse
                    if t < zero or t >= one:
                        continue
                    wide = half * (wa + t * dw)
                    far = abs(px * dy - py * dx) * size
                    ink = min(max(wide, half) + half - far, one) * min(two * wide, one)
                    if ink <= zero:
                        continue
                    q = qa + t * dq
                    free = zero
                    for s in range(SAMPLES):
                        if q > nearest[SAMPLES * y + s, x]:
                            free += EACH
                    ink *= free * (colours[p, 3] + t * (colours[p + 1, 3] - colours[p, 3]))
                    for k in range(3):
                        c = colours[p, k] + t * (colours[p + 1, k] - colours[p, k])
                        out[y, x, k] += ink * (c - out[y, x, k])
                    out[y, x, 3] += ink * (np.float32(255.0) - out[y, x, 3])


@njit(cache=True, nogil=True, fastmath=True)
def finish(painted: F32, out: U8) -> None:
    """Lay a premultiplied picture [H, W, 4] (0 … 255) over what `out` [H, W, 4] holds; there alpha
    is straight, before and after."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            _lay(painted[y, x, 0], painted[y, x, 1], painted[y, x, 2], painted[y, x, 3], out[y, x])


@njit(cache=True, nogil=True, fastmath=True)
def finish_planes(made: F32, out: U8) -> None:
    """As `finish`, of planes [4, H, W] in 0 … 1, whose colours may say more than their alpha."""
    most = np.float32(255.0)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            alpha = min(max(made[3, y, x], np.float32(0.0)), np.float32(1.0)) * most
            red, green, blue = made[0, y, x] * most, made[1, y, x] * most, made[2, y, x] * most
            _lay(min(red, alpha), min(green, alpha), min(blue, alpha), alpha, out[y, x])


@njit(cache=True, nogil=True, fastmath=True)
def finish_cells(made: F32, out: U8) -> None:
    """As `finish_planes`, of cells [H / n, W / n, 4 n²] of n × n pixels, channel by channel."""
    most, half = np.float32(255.0), np.float32(0.5)
    zero, one = np.float32(0.0), np.float32(1.0)
    side = out.shape[0] // made.shape[0]
    area = side * side
    for y in range(made.shape[0]):
        for x in range(made.shape[1]):
            cell = made[y, x]
            least, largest = one, zero  # of alpha: most cells are all hers, or all backdrop
            for k in range(3 * area, 4 * area):
                least, largest = min(least, cell[k]), max(largest, cell[k])
            if largest * most <= np.float32(0.01):
                continue
            whole = least * most >= np.float32(254.99)
            for i in range(side):
                for j in range(side):
                    k = i * side + j
                    pixel = out[side * y + i, side * x + j]
                    if whole:
                        for channel in range(3):
                            colour = min(cell[channel * area + k], one)
                            pixel[channel] = np.uint8(colour * most + half)
                        pixel[3] = np.uint8(255)
                        continue
                    alpha = min(max(cell[3 * area + k], zero), one) * most
                    red, green = cell[k] * most, cell[area + k] * most
                    blue = cell[2 * area + k] * most
                    _lay(min(red, alpha), min(green, alpha), min(blue, alpha), alpha, pixel)


@njit(cache=True, nogil=True, fastmath=True)
def cells(painted: F32, eyes: F32, coarse: F32, near: F32, shown: F32) -> None:
    """A premultiplied picture [H, W, 4] (0 … 255) and a map of the eyes [H, W] as cells in 0 … 1,
    each channel by channel, row by row: coarse [H / n, W / n, 5 n²], near [H / 2, W / 2, 5 · 4],
    and the picture alone, shown [H / 2, W / 2, 4 · 4]."""
    byte, one = np.float32(1.0 / 255.0), np.float32(1.0)
    side = painted.shape[0] // coarse.shape[0]
    area = side * side
    for y in range(painted.shape[0]):
        row, first, odd = coarse[y // side], y % side * side, 2 * (y % 2)
        near_row, shown_row = near[y // 2], shown[y // 2]
        for column in range(coarse.shape[1]):
            cell = row[column]
            for j in range(side):
                x = column * side + j
                beside, alone, at = near_row[x >> 1], shown_row[x >> 1], odd + (x & 1)
                for k in range(4):
                    value = min(byte * painted[y, x, k], one)
                    cell[k * area + first + j] = value
                    beside[4 * k + at] = alone[4 * k + at] = value
                cell[4 * area + first + j] = beside[16 + at] = eyes[y, x]


@njit(cache=True, nogil=True, fastmath=True)
def planes(painted: F32, out: F32) -> None:
    """A premultiplied picture [H, W, 4] (0 … 255) as planes [4, H, W] in 0 … 1."""
    byte, one = np.float32(1.0 / 255.0), np.float32(1.0)
    for y in range(painted.shape[0]):
        for k in range(4):
            for x in range(painted.shape[1]):
                out[k, y, x] = min(byte * painted[y, x, k], one)


@njit(cache=True, nogil=True, fastmath=True)
def _lay(red: Real, green: Real, blue: Real, alpha: Real, out: U8) -> None:
    """One premultiplied colour over a straight one, [4]."""
    half, most, byte = np.float32(0.5), np.float32(255.0), np.float32(1.0 / 255.0)
    if alpha <= np.float32(0.01):
        return
    if alpha >= np.float32(254.99):
        out[0] = np.uint8(min(red + half, most))
        out[1] = np.uint8(min(green + half, most))
        out[2] = np.uint8(min(blue + half, most))
        out[3] = np.uint8(255)
        return
    under = np.float32(out[3]) * (most - alpha) * byte
    total = alpha + under
    scale = most / total if total >= half else np.float32(0.0)
    behind = under * byte
    out[0] = np.uint8(min((red + np.float32(out[0]) * behind) * scale + half, most))
    out[1] = np.uint8(min((green + np.float32(out[1]) * behind) * scale + half, most))
    out[2] = np.uint8(min((blue + np.float32(out[2]) * behind) * scale + half, most))
    out[3] = np.uint8(min(total + half, most))


def in_cells(planes: F32, side: int) -> F32:
    """Planes [C, H, W] as cells [H / side, W / side, C · side²], each channel by channel, row by
    row."""
    channels, height, width = planes.shape
    split = planes.reshape(channels, height // side, side, width // side, side)
    return split.transpose(1, 3, 0, 2, 4).reshape(height // side, width // side, -1)


def out_of_cells(cells: F32, side: int) -> F32:
    """The planes [C, H, W] of `in_cells`."""
    height, width, _ = cells.shape
    split = cells.reshape(height, width, -1, side, side).transpose(2, 0, 3, 1, 4)
    return split.reshape(-1, height * side, width * side)


# ---- plain twins ---------------------------------------------------------------------------------


def resolve_plain(scene: Scene, nearest: F32, seen: I32, out: F32) -> None:
    """As `resolve`, but every sample has its own colour."""
    picture, triangles, corners, _, diffuse, specular, strands, texture, tone = scene
    width = seen.shape[1]
    ink = np.zeros((*seen.shape, 3))
    row, column = np.nonzero(seen <= STRAND)
    values, bright = _strands(strands, seen[row, column])
    ink[row, column] = np.minimum(values * bright[:, None], 255.0)
    row, column = np.nonzero(seen >= 0)
    t = seen[row, column]
    corner = picture[triangles[t]].astype(np.float64)
    x, y = column + OFFSETS[row % SAMPLES].astype(np.float64), (row + 0.5) / SAMPLES
    weights = _weights(corner, x, y)
    u, v = np.einsum("nk,nkc->cn", weights, corners[t].astype(np.float64))
    texel = _bilinear(texture[..., :3].astype(np.float64) / 255.0, u, v)
    lit = np.einsum("nk,nkc->nc", weights, diffuse[triangles[t]])
    shine = np.einsum("nk,nkc->nc", weights, specular[triangles[t]])
    u0 = np.clip(u.astype(int), 0, texture.shape[1] - 2)
    v0 = np.clip(v.astype(int), 0, texture.shape[0] - 2)
    open_, gloss = texture[v0, u0, 3:4] / 255.0, texture[v0, u0, 4:5] / 127.5
    light = np.maximum(texel**2 * lit * open_ + shine * gloss * open_, 0.0)
    steps = len(tone) - 1
    ink[row, column] = tone[np.minimum((np.sqrt(light) * steps / 2.0).astype(int), steps)]
    out[..., :3] = ink.reshape(-1, SAMPLES, width, 3).mean(1)
    out[..., 3] = 255.0 * (seen != NOTHING).reshape(-1, SAMPLES, width).mean(1)


def _strands(strands: NDArray, codes: NDArray) -> tuple[NDArray, NDArray]:
    """What strands [R, K, C] carry at `strand_code`s [n], [n, C], and its brightness [n]."""
    said = STRAND - codes.astype(np.int64)
    r, k = np.divmod(said >> 16, strands.shape[1] - 1)
    along = ((said >> 8) & 255)[:, None] / 255.0
    return (1 - along) * strands[r, k] + along * strands[r, k + 1], (said & 255) / 128.0


def _weights(corner: NDArray, x: NDArray, y: NDArray) -> NDArray:
    """Barycentric weights [n, 3] of places (x, y) in triangles [n, 3, 2…]."""
    a, b, c = corner[:, 0], corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    px, py = x - a[:, 0], y - a[:, 1]
    area = b[:, 0] * c[:, 1] - c[:, 0] * b[:, 1]
    wb = (px * c[:, 1] - c[:, 0] * py) / area
    wc = (b[:, 0] * py - px * b[:, 1]) / area
    return np.stack([1 - wb - wc, wb, wc], axis=1)


def _bilinear(texture: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """Texels [n, C] at columns u and rows v."""
    u0 = np.clip(u.astype(int), 0, texture.shape[1] - 2)
    v0 = np.clip(v.astype(int), 0, texture.shape[0] - 2)
    fu, fv = (u - u0)[:, None], (v - v0)[:, None]
    above = texture[v0, u0] * (1 - fu) + texture[v0, u0 + 1] * fu
    below = texture[v0 + 1, u0] * (1 - fu) + texture[v0 + 1, u0 + 1] * fu
    return np.asarray(above * (1 - fv) + below * fv)


def survey_plain(
    picture: F32, triangles: I32, normals: F32, strands: F32, nearest: F32, seen: I32,
    depth: F32, facing: F32, mask: F32,
) -> None:  # fmt: skip
    """As `survey`."""
    height, width = depth.shape
    there = seen != NOTHING
    near = np.where(there, nearest, 0.0).reshape(height, SAMPLES, width)
    mask[:] = there.reshape(near.shape).mean(1)
    depth[:] = np.divide(1.0, near.max(1), out=np.zeros((height, width)), where=mask > 0)
    best = SAMPLES * np.arange(height)[:, None] + near.argmax(1)
    t = np.take_along_axis(seen, best, axis=0)
    y, x = np.nonzero(t >= 0)
    row, corner = best[y, x], triangles[t[y, x]]
    weights = _weights(
        picture[corner].astype(np.float64),
        x + OFFSETS[row % SAMPLES].astype(np.float64),
        (row + 0.5) / SAMPLES,
    )
    facing[:] = 0.0
    facing[y, x] = np.einsum("nk,nkc->nc", weights, normals[corner])
    facing[t <= STRAND] = _strands(strands, t[t <= STRAND])[0]
    facing[:] /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-6)


def develop_plain(light: F32, tone: U8) -> None:
    """As `develop`."""
    step = np.sqrt(np.maximum(light, 0.0)) * ((len(tone) - 1) / 2.0)
    light[:] = tone[np.minimum(step.astype(int), len(tone) - 1)]


def strokes_plain(
    picture: F32, widths: F32, colours: F32, starts: I32, slack: float, nearest: F32, out: F32
) -> None:
    """As `strokes`."""
    height, width = out.shape[:2]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    depth = nearest.reshape(height, SAMPLES, width)
    for first, last in pairwise(starts):
        for p in range(first, last - 1):
            a, d = picture[p].astype(np.float64), (picture[p + 1] - picture[p]).astype(np.float64)
            square = d[0] ** 2 + d[1] ** 2
            if square < 1e-8:
                continue
            t = ((x - a[0]) * d[0] + (y - a[1]) * d[1]) / square
            wide = 0.5 * (widths[p] + t * (widths[p + 1] - widths[p]))
            far = np.abs((x - a[0]) * d[1] - (y - a[1]) * d[0]) / np.sqrt(square)
            ink = np.minimum(np.maximum(wide, 0.5) + 0.5 - far, 1) * np.minimum(2 * wide, 1)
            near = (a[2] + slack + t * d[2])[:, None, :]
            ink = ink * (near > depth).mean(1)
            colour = colours[p] + t[..., None] * (colours[p + 1] - colours[p])
            ink = np.where((t >= 0) & (t < 1) & (ink > 0), ink * colour[..., 3], 0.0)[..., None]
            goal = np.concatenate([colour[..., :3], np.full((height, width, 1), 255.0)], -1)
            out += ink * (goal - out)


def finish_plain(painted: F32, out: U8) -> None:
    """As `finish`."""
    alpha = painted[..., 3:]
    behind = out[..., 3:] / 255.0 * (255.0 - alpha)
    total = alpha + behind
    with np.errstate(invalid="ignore", divide="ignore"):
        colour = (painted[..., :3] + out[..., :3] * (behind / 255.0)) * (255.0 / total)
    straight = np.concatenate([np.minimum(colour, 255.0), total], -1)
    laid = np.where(total < 0.5, 0.0, np.floor(straight + 0.5))
    out[:] = np.where(alpha <= 0.01, out, laid)


def finish_planes_plain(made: F32, out: U8) -> None:
    """As `finish_planes`."""
    painted = 255.0 * made.transpose(1, 2, 0).clip(0.0, 1.0)
    painted[..., :3] = np.minimum(painted[..., :3], painted[..., 3:])
    finish_plain(painted.astype(np.float32), out)


def finish_cells_plain(made: F32, out: U8) -> None:
    """As `finish_cells`."""
    finish_planes_plain(out_of_cells(made, out.shape[0] // made.shape[0]), out)


def cells_plain(painted: F32, eyes: F32, coarse: F32, near: F32, shown: F32) -> None:
    """As `cells`."""
    told = np.empty((5, *eyes.shape), np.float32)
    planes_plain(painted, told[:4])
    told[4] = eyes
    coarse[:] = in_cells(told, len(eyes) // len(coarse))
    near[:], shown[:] = in_cells(told, 2), in_cells(told[:4], 2)


def planes_plain(painted: F32, out: F32) -> None:
    """As `planes`."""
    out[:] = np.minimum(painted.transpose(2, 0, 1) / 255.0, 1.0)
