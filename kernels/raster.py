"""Hot loops of drawing: which surface each sample sees.

A pixel has SAMPLES samples on a rotated grid: sample row SAMPLES y + s lies at height
y + (s + ½) / SAMPLES and OFFSETS[s] pixels from the pixel's left edge, so that every edge, upright
and flat ones too, is drawn in SAMPLES + 1 steps. Nearness is 1 / distance, 0 where nothing is.
Row 0 is on top.

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

OFFSETS = np.array([0.5, 5 / 6, 1 / 6], np.float32)
SAMPLES = len(OFFSETS)
NOTHING = -1
STRAND = -2  # in `seen`, this and less: a strand of hair, whose colour is STRAND - seen (0xBBGGRR)


@njit(cache=True, nogil=True, fastmath=True)
def cover(picture: F32, triangles: I32, closed: bool, nearest: F32, seen: I32) -> None:
    """Enter triangles into the samples they are nearest at.

    picture: [V, 3] column, row (pixels), nearness. triangles: [T, 3], those of a closed surface
    counter-clockwise from outside; its backs are skipped. nearest, seen: [SAMPLES H, W], kept up
    to date; seen holds the triangle's number.
    """
    rows, width = nearest.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = picture[a, 0], picture[a, 1]
        bx, by = picture[b, 0], picture[b, 1]
        cx, cy = picture[c, 0], picture[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if (closed and area >= 0.0) or abs(area) < 1e-9:
            continue
        if ay > by:
            a, b, ax, ay, bx, by = b, a, bx, by, ax, ay
        if by > cy:
            b, c, bx, by, cx, cy = c, b, cx, cy, bx, by
        if ay > by:
            a, b, ax, ay, bx, by = b, a, bx, by, ax, ay
        finer, half = np.float32(SAMPLES), np.float32(0.5)
        ay, by, cy = finer * ay - half, finer * by - half, finer * cy - half
        top, bottom = max(math.ceil(ay), 0), min(math.ceil(cy), rows)
        if top >= bottom:
            continue
        inverse = np.float32(1.0) / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
        qa, qb, qc = picture[a, 2], picture[b, 2], picture[c, 2]
        across = ((qb - qa) * (cy - ay) - (qc - qa) * (by - ay)) * inverse
        down = ((qc - qa) * (bx - ax) - (qb - qa) * (cx - ax)) * inverse
        long_ = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else np.float32(0.0)
        lower = (cx - bx) / (cy - by) if cy > by else np.float32(0.0)
        for row in range(top, bottom):
            y = np.float32(row) - ay
            first = ax + y * long_
            last = ax + y * upper if row < by else bx + (np.float32(row) - by) * lower
            if first > last:
                first, last = last, first
            offset = OFFSETS[row % SAMPLES]
            left = max(math.ceil(first - offset), 0)
            right = min(math.ceil(last - offset), width)
            q = qa + (np.float32(left) + offset - ax) * across + y * down
            for x in range(left, right):
                if q > nearest[row, x]:
                    nearest[row, x] = q
                    seen[row, x] = t
                q += across


@njit(cache=True, nogil=True, fastmath=True)
def cover_ribbons(
    picture: F32, colours: F32, kinds: U8, pieces: I32, pattern: U8, nearest: F32, seen: I32
) -> None:
    """Enter ribbons of hair, whose pattern of strands leaves gaps.

    picture: [R, K, 2, 3] as for `cover`, K points from root to tip, left and right edge. colours:
    [R, K, 3] on the picture's scale, 0 … 255. kinds: [R] which row of the pattern. pieces: which
    to draw, r (K − 1) + k for what lies between points k and k + 1 of ribbon r, best from front to
    back. pattern: [n, along, across, 2]: 0 a gap, else opaque; brightness, 128 = as is. nearest,
    seen: as for `cover`; a strand's colour is in `seen`.
    """
    steps = picture.shape[1] - 1
    for piece in pieces:
        r, k = piece // steps, piece % steps
        edges, inks, gaps = picture[r], colours[r], pattern[kinds[r]]
        if not _behind(edges, k, nearest):
            _piece(edges, inks, k, gaps, nearest, seen, False)
            _piece(edges, inks, k, gaps, nearest, seen, True)


@njit(cache=True, nogil=True, fastmath=True)
def _behind(edges: F32, k: int, nearest: F32) -> bool:
    """Whether something nearer lies at nine spots of the piece between points k and k + 1."""
    rows, width = nearest.shape
    one = np.float32(1.0)
    for i in range(3):
        f = np.float32(0.15) + np.float32(0.35) * np.float32(i)
        for j in range(3):
            g = np.float32(0.20) + np.float32(0.30) * np.float32(j)
            x = y = q = np.float32(0.0)
            for n in range(2):
                for m in range(2):
                    w = (f if n else one - f) * (g if m else one - g)
                    x += w * edges[k + n, m, 0]
                    y += w * edges[k + n, m, 1]
                    q += w * edges[k + n, m, 2]
            row = min(max(int(np.float32(SAMPLES) * y), 0), rows - 1)
            column = min(max(int(x), 0), width - 1)
            if q > nearest[row, column]:
                return False
    return True


@njit(cache=True, nogil=True, fastmath=True)
def _piece(
    edges: F32, colours: F32, k: int, pattern: U8, nearest: F32, seen: I32, second: bool
) -> None:  # fmt: skip
    """One of the two triangles between points k and k + 1 of one ribbon."""
    rows, width = nearest.shape
    tall, wide = pattern.shape[0], pattern.shape[1]
    if second:
        a, b, c = (k, 1), (k + 1, 1), (k + 1, 0)
    else:
        a, b, c = (k, 0), (k, 1), (k + 1, 0)
    if edges[a[0], a[1], 1] > edges[b[0], b[1], 1]:
        a, b = b, a
    if edges[b[0], b[1], 1] > edges[c[0], c[1], 1]:
        b, c = c, b
    if edges[a[0], a[1], 1] > edges[b[0], b[1], 1]:
        a, b = b, a
    ax, bx, cx = edges[a[0], a[1], 0], edges[b[0], b[1], 0], edges[c[0], c[1], 0]
    finer, half = np.float32(SAMPLES), np.float32(0.5)
    ay = finer * edges[a[0], a[1], 1] - half
    by = finer * edges[b[0], b[1], 1] - half
    cy = finer * edges[c[0], c[1], 1] - half
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    top, bottom = max(math.ceil(ay), 0), min(math.ceil(cy), rows)
    if top >= bottom or abs(area) < 1e-6:
        return
    one, zero = np.float32(1.0), np.float32(0.0)
    inverse = one / area
    # weights of b and c are linear over the picture, and so is all that they mix
    bdx, bdy = (cy - ay) * inverse, -(cx - ax) * inverse
    cdx, cdy = -(by - ay) * inverse, (bx - ax) * inverse
    long_ = (cx - ax) / (cy - ay)
    upper = (bx - ax) / (by - ay) if by > ay else zero
    lower = (cx - bx) / (cy - by) if cy > by else zero
    qa = edges[a[0], a[1], 2]
    qb, qc = edges[b[0], b[1], 2] - qa, edges[c[0], c[1], 2] - qa
    steps = np.float32(tall) / np.float32(edges.shape[0] - 1)
    va = np.float32(a[0]) * steps
    vb, vc = np.float32(b[0] - a[0]) * steps, np.float32(c[0] - a[0]) * steps
    ua, ub, uc = np.float32(a[1] * wide), np.float32((b[1] - a[1]) * wide), np.float32(0.0)
    uc = np.float32((c[1] - a[1]) * wide)
    dq, du, dv = bdx * qb + cdx * qc, bdx * ub + cdx * uc, bdx * vb + cdx * vc
    red, green, blue = colours[k, 0], colours[k, 1], colours[k, 2]
    reds, greens = colours[k + 1, 0] - red, colours[k + 1, 1] - green
    blues, per_piece, most = colours[k + 1, 2] - blue, one / steps, np.float32(255.0)
    for row in range(top, bottom):
        y = np.float32(row) - ay
        first = ax + y * long_
        last = ax + y * upper if row < by else bx + (np.float32(row) - by) * lower
        if first > last:
            first, last = last, first
        offset = OFFSETS[row % SAMPLES]
        left = max(math.ceil(first - offset), 0)
        right = min(math.ceil(last - offset), width)
        x = np.float32(left) + offset - ax
        wb, wc = x * bdx + y * bdy, x * cdx + y * cdy
        q, u, v = qa + wb * qb + wc * qc, ua + wb * ub + wc * uc, va + wb * vb + wc * vc
        for column in range(left, right):
            if q > nearest[row, column]:
                i = min(max(int(v), 0), tall - 1)
                j = min(max(int(u), 0), wide - 1)
                if pattern[i, j, 0] != 0:
                    nearest[row, column] = q
                    share = v * per_piece - np.float32(k)
                    bright = np.float32(pattern[i, j, 1]) * np.float32(1.0 / 128.0)
                    r, g, b = red + share * reds, green + share * greens, blue + share * blues
                    ink = int(min(r * bright, most))
                    ink |= int(min(g * bright, most)) << 8
                    ink |= int(min(b * bright, most)) << 16
                    seen[row, column] = STRAND - ink
            q += dq
            u += du
            v += dv


@njit(cache=True, nogil=True, fastmath=True)
def nearness(picture: F32, triangles: I32, closed: bool, out: F32) -> None:
    """The light's picture: largest nearness [H, W] of triangles, one sample at each pixel's centre.

    picture, closed: as for `cover`.
    """
    height, width = out.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        half = np.float32(0.5)
        ax, ay = picture[a, 0] - half, picture[a, 1] - half
        bx, by = picture[b, 0] - half, picture[b, 1] - half
        cx, cy = picture[c, 0] - half, picture[c, 1] - half
        top = max(math.ceil(min(ay, by, cy)), 0)
        bottom = min(math.floor(max(ay, by, cy)) + 1, height)
        left = max(math.ceil(min(ax, bx, cx)), 0)
        right = min(math.floor(max(ax, bx, cx)) + 1, width)
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if top >= bottom or left >= right or (closed and area >= 0.0) or abs(area) < 1e-9:
            continue
        zero, one = np.float32(0.0), np.float32(1.0)
        inverse = one / area
        bdx, bdy = (cy - ay) * inverse, (ax - cx) * inverse
        cdx, cdy = (ay - by) * inverse, (bx - ax) * inverse
        qa, qb, qc = picture[a, 2], picture[b, 2] - picture[a, 2], picture[c, 2] - picture[a, 2]
        for row in range(top, bottom):
            y = np.float32(row) - ay
            for column in range(left, right):
                x = np.float32(column) - ax
                wb, wc = x * bdx + y * bdy, x * cdx + y * cdy
                if wb >= zero and wc >= zero and wb + wc <= one:
                    q = qa + wb * qb + wc * qc
                    if q > out[row, column]:
                        out[row, column] = q


# ---- plain twins ---------------------------------------------------------------------------------


def _inside(corner: NDArray, y: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:
    """Barycentric weights [..., 3] of places (x, y) in a triangle [3, 2], and which lie inside."""
    (ax, ay), (bx, by), (cx, cy) = corner
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    weights = np.stack([1 - wb - wc, wb, wc], -1)
    return weights, np.asarray((weights >= 0).all(-1))


def _area(corner: NDArray) -> float:
    (ax, ay), (bx, by), (cx, cy) = corner
    return float((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))


def _sample_places(rows: int, width: int) -> tuple[NDArray, NDArray]:
    """Height and column in pixels of every sample, [SAMPLES H, W] each."""
    row, column = np.mgrid[0:rows, 0:width]
    return (row + 0.5) / SAMPLES, column + OFFSETS[row % SAMPLES].astype(np.float64)


def cover_plain(picture: F32, triangles: I32, closed: bool, nearest: F32, seen: I32) -> None:
    """As `cover`."""
    y, x = _sample_places(*nearest.shape)
    for t, ids in enumerate(triangles):
        corner = picture[ids].astype(np.float64)
        area = _area(corner[:, :2])
        if (closed and area >= 0) or abs(area) < 1e-9:
            continue
        weights, there = _inside(corner[:, :2], y, x)
        near = weights @ corner[:, 2]
        won = there & (near > nearest)
        nearest[won], seen[won] = near[won], t


def cover_ribbons_plain(
    picture: F32, colours: F32, kinds: U8, pieces: I32, pattern: U8, nearest: F32, seen: I32
) -> None:
    """As `cover_ribbons`, but for pieces that it believes hidden and that nevertheless peep out."""
    y, x = _sample_places(*nearest.shape)
    tall, wide = pattern.shape[1:3]
    steps = picture.shape[1] - 1
    for r, k in zip(*divmod(pieces, steps), strict=True):
        for spots in (((0, 0), (0, 1), (1, 0)), ((0, 1), (1, 1), (1, 0))):
            corner = np.array([picture[r, k + i, j] for i, j in spots], np.float64)
            if abs(_area(corner[:, :2])) < 2.5e-7:
                continue
            weights, there = _inside(corner[:, :2], y, x)
            near = weights @ corner[:, 2]
            along, across = np.moveaxis(weights @ np.array(spots, np.float64), -1, 0)
            i = np.clip(((k + along) * tall / steps).astype(int), 0, tall - 1)
            j = np.clip((across * wide).astype(int), 0, wide - 1)
            cell = pattern[kinds[r], i, j]
            won = there & (near > nearest) & (cell[..., 0] != 0)
            ink = colours[r, k] + along[..., None] * (colours[r, k + 1] - colours[r, k])
            code = np.minimum(ink * (cell[..., 1:] / 128.0), 255.0).astype(np.int64)
            nearest[won], seen[won] = near[won], STRAND - (code @ [1, 256, 65536])[won]


def nearness_plain(picture: F32, triangles: I32, closed: bool, out: F32) -> None:
    """As `nearness`."""
    y, x = np.mgrid[0 : out.shape[0], 0 : out.shape[1]] + 0.5
    for ids in triangles:
        corner = picture[ids].astype(np.float64)
        area = _area(corner[:, :2])
        if abs(area) >= 1e-9 and not (closed and area >= 0):
            weights, there = _inside(corner[:, :2], y, x)
            near = weights @ corner[:, 2]
            won = there & (near > out)
            out[won] = near[won]
