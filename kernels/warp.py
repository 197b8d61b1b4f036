"""Hot loops of one moving photo: textured triangles laid over a picture.

Pictures are [H, W, 4] uint8 RGBA with premultiplied alpha, row 0 on top; a pixel's sample is its
centre. Nearness is 1 / distance, 0 where nothing is.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]


@njit(cache=True, nogil=True, fastmath=True)
def warp(
    picture: F32, triangles: I32, source: F32, fade: F32, texture: U8, nearest: F32, out: U8
) -> None:
    """Lay triangles of a texture over `out`, in order, where nothing nearer was laid.

    picture: [V, 3] column, row (pixels), nearness. triangles: [T, 3], either side shows. source:
    [V, 2] column, row in the texture. fade: [V] in 0 … 1, how much of the texture is laid. texture:
    [h, w, 4] premultiplied. nearest: [H, W], kept up to date.
    """
    height, width = nearest.shape
    tall, wide = texture.shape[0] - 1, texture.shape[1] - 1
    half, zero, one = np.float32(0.5), np.float32(0.0), np.float32(1.0)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if picture[a, 1] > picture[b, 1]:
            a, b = b, a
        if picture[b, 1] > picture[c, 1]:
            b, c = c, b
        if picture[a, 1] > picture[b, 1]:
            a, b = b, a
        ay, by, cy = picture[a, 1] - half, picture[b, 1] - half, picture[c, 1] - half
        top, bottom = max(math.ceil(ay), 0), min(math.ceil(cy), height)
        if top >= bottom:
            continue
        ax, bx, cx = picture[a, 0] - half, picture[b, 0] - half, picture[c, 0] - half
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-6 or max(ax, bx, cx) < 0 or min(ax, bx, cx) > width:
            continue
        # what is mixed over the triangle is linear over the picture
        inverse = one / area
        bdx, bdy = (cy - ay) * inverse, (ax - cx) * inverse
        cdx, cdy = (ay - by) * inverse, (bx - ax) * inverse
        qa, qb, qc = picture[a, 2], picture[b, 2] - picture[a, 2], picture[c, 2] - picture[a, 2]
        ua, va, fa = source[a, 0] - half, source[a, 1] - half, fade[a]
        ub, uc = source[b, 0] - source[a, 0], source[c, 0] - source[a, 0]
        vb, vc = source[b, 1] - source[a, 1], source[c, 1] - source[a, 1]
        fb, fc = fade[b] - fa, fade[c] - fa
        dq, du = bdx * qb + cdx * qc, bdx * ub + cdx * uc
        dv, df = bdx * vb + cdx * vc, bdx * fb + cdx * fc
        long_ = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else zero
        lower = (cx - bx) / (cy - by) if cy > by else zero
        for row in range(top, bottom):
            y = np.float32(row) - ay
            first = ax + y * long_
            last = ax + y * upper if row < by else bx + (np.float32(row) - by) * lower
            if first > last:
                first, last = last, first
            left, right = max(math.ceil(first), 0), min(math.ceil(last), width)
            x = np.float32(left) - ax
            wb, wc = x * bdx + y * bdy, x * cdx + y * cdy
            q, u = qa + wb * qb + wc * qc, ua + wb * ub + wc * uc
            v, f = va + wb * vb + wc * vc, fa + wb * fb + wc * fc
            for column in range(left, right):
                if q > nearest[row, column]:
                    i = min(max(int(v), 0), tall - 1)
                    j = min(max(int(u), 0), wide - 1)
                    p = min(max(v - np.float32(i), zero), one)
                    s = min(max(u - np.float32(j), zero), one)
                    w11 = p * s
                    w01, w10 = s - w11, p - w11
                    w00 = one - s - w10
                    alpha = (
                        w00 * np.float32(texture[i, j, 3])
                        + w01 * np.float32(texture[i, j + 1, 3])
                        + w10 * np.float32(texture[i + 1, j, 3])
                        + w11 * np.float32(texture[i + 1, j + 1, 3])
                    ) * f
                    if alpha >= half:
                        nearest[row, column] = q
                        rest = one - alpha * np.float32(1 / 255)
                        for k in range(3):
                            ink = (
                                w00 * np.float32(texture[i, j, k])
                                + w01 * np.float32(texture[i, j + 1, k])
                                + w10 * np.float32(texture[i + 1, j, k])
                                + w11 * np.float32(texture[i + 1, j + 1, k])
                            ) * f
                            under = rest * np.float32(out[row, column, k])
                            out[row, column, k] = np.uint8(ink + under + half)
                        under = rest * np.float32(out[row, column, 3])
                        out[row, column, 3] = np.uint8(alpha + under + half)
                q += dq
                u += du
                v += dv
                f += df


@njit(cache=True, nogil=True, fastmath=True)
def paint(picture: F32, triangles: I32, colours: F32, nearest: F32, out: U8) -> None:
    """Lay triangles of mixed colours over `out`, opaque, where nothing nearer was laid.

    picture, nearest: as for `warp`. triangles: [T, 3], counter-clockwise from outside; backs are
    skipped. colours: [V, 3] in 0 … 255.
    """
    height, width = nearest.shape
    half, zero, one = np.float32(0.5), np.float32(0.0), np.float32(1.0)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = picture[a, 0] - half, picture[a, 1] - half
        bx, by = picture[b, 0] - half, picture[b, 1] - half
        cx, cy = picture[c, 0] - half, picture[c, 1] - half
        top, bottom = (
            max(math.ceil(min(ay, by, cy)), 0),
            min(math.floor(max(ay, by, cy)) + 1, height),
        )
        left, right = (
            max(math.ceil(min(ax, bx, cx)), 0),
            min(math.floor(max(ax, bx, cx)) + 1, width),
        )
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if top >= bottom or left >= right or area > -1e-6:
            continue
        inverse = one / area
        bdx, bdy = (cy - ay) * inverse, (ax - cx) * inverse
        cdx, cdy = (ay - by) * inverse, (bx - ax) * inverse
        for row in range(top, bottom):
            y = np.float32(row) - ay
            for column in range(left, right):
                x = np.float32(column) - ax
                wb, wc = x * bdx + y * bdy, x * cdx + y * cdy
                wa = one - wb - wc
                if wa >= zero and wb >= zero and wc >= zero:
                    q = wa * picture[a, 2] + wb * picture[b, 2] + wc * picture[c, 2]
                    if q > nearest[row, column]:
                        nearest[row, column] = q
                        for k in range(3):
                            ink = wa * colours[a, k] + wb * colours[b, k] + wc * colours[c, k]
                            out[row, column, k] = np.uint8(ink + half)
                        out[row, column, 3] = 255


@njit(cache=True, nogil=True, fastmath=True)
def shrink(fine: U8, factor: int, top: int, left: int, out: U8) -> None:
    """Replace a part of `out` by means of `factor`² pixels of `fine`, [h·factor, w·factor, 4].

    top, left: where the part begins; what lies outside `out` is left away.
    """
    share = np.float32(1.0 / (factor * factor))
    for y in range(fine.shape[0] // factor):
        row = top + y
        if row < 0 or row >= out.shape[0]:
            continue
        for x in range(fine.shape[1] // factor):
            column = left + x
            if column < 0 or column >= out.shape[1]:
                continue
            for k in range(4):
                total = 0
                for i in range(factor):
                    for j in range(factor):
                        total += fine[y * factor + i, x * factor + j, k]
                out[row, column, k] = np.uint8(np.float32(total) * share + np.float32(0.5))


@njit(cache=True, nogil=True)
def straighten(picture: U8) -> None:
    """From premultiplied to straight alpha, in place; nothing is black."""
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            alpha = int(picture[y, x, 3])
            if 0 < alpha < 255:
                for k in range(3):
                    ink = (int(picture[y, x, k]) * 255 + alpha // 2) // alpha
                    picture[y, x, k] = min(ink, 255)


# ---- plain twins ---------------------------------------------------------------------------------


def _shares(corner: NDArray, height: int, width: int) -> NDArray | None:
    """[H, W, 3] barycentric shares of pixel centres in a triangle [3, 2]; None for a flat one."""
    (ax, ay), (bx, by), (cx, cy) = corner - 0.5
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    if abs(area) < 1e-6:
        return None
    y, x = np.mgrid[0:height, 0:width]
    wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    return np.stack([1 - wb - wc, wb, wc], -1)


def _bilinear(texture: U8, u: NDArray, v: NDArray) -> NDArray:
    """Texels [..., 4] at columns u and rows v, the texture's edge held."""
    tall, wide = texture.shape[0] - 1, texture.shape[1] - 1
    u, v = np.clip(u - 0.5, 0, wide), np.clip(v - 0.5, 0, tall)
    j, i = np.minimum(u.astype(int), wide - 1), np.minimum(v.astype(int), tall - 1)
    s, p = (u - j)[..., None], (v - i)[..., None]
    upper = (1 - s) * texture[i, j] + s * texture[i, j + 1]
    lower = (1 - s) * texture[i + 1, j] + s * texture[i + 1, j + 1]
    return np.asarray((1 - p) * upper + p * lower)


def warp_plain(
    picture: F32, triangles: I32, source: F32, fade: F32, texture: U8, nearest: F32, out: U8
) -> None:
    """As `warp`."""
    for ids in triangles:
        corner = picture[ids].astype(np.float64)
        shares = _shares(corner[:, :2], *nearest.shape)
        if shares is None:
            continue
        near = shares @ corner[:, 2]
        u, v = np.moveaxis(shares @ source[ids].astype(np.float64), -1, 0)
        ink = _bilinear(texture, u, v) * (shares @ fade[ids].astype(np.float64))[..., None]
        won = (shares >= 0).all(-1) & (near > nearest) & (ink[..., 3] >= 0.5)
        over = ink + (1 - ink[..., 3:] / 255) * out
        nearest[won], out[won] = near[won], (over[won] + 0.5).astype(np.uint8)


def paint_plain(picture: F32, triangles: I32, colours: F32, nearest: F32, out: U8) -> None:
    """As `paint`."""
    for ids in triangles:
        corner = picture[ids].astype(np.float64)
        (ax, ay), (bx, by), (cx, cy) = corner[:, :2]
        shares = _shares(corner[:, :2], *nearest.shape)
        if shares is None or (bx - ax) * (cy - ay) - (cx - ax) * (by - ay) > 0:
            continue
        near = shares @ corner[:, 2]
        won = (shares >= 0).all(-1) & (near > nearest)
        nearest[won] = near[won]
        out[won, :3] = (shares[won] @ colours[ids] + 0.5).astype(np.uint8)
        out[won, 3] = 255


def shrink_plain(fine: U8, factor: int, top: int, left: int, out: U8) -> None:
    """As `shrink`."""
    h, w = fine.shape[0] // factor, fine.shape[1] // factor
    blocks = fine[: h * factor, : w * factor].reshape(h, factor, w, factor, 4)
    small = (blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + h, out.shape[0]), min(left + w, out.shape[1])
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = small[y0 - top : y1 - top, x0 - left : x1 - left]


def straighten_plain(picture: U8) -> None:
    """As `straighten`."""
    alpha = picture[..., 3:].astype(int)
    partly = ((alpha > 0) & (alpha < 255))[..., 0]
    inks = picture[..., :3].astype(int) * 255 + alpha // 2
    picture[partly, :3] = np.minimum(inks[partly] // alpha[partly], 255)
