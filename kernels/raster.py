"""Hot loops of drawing: which surface each sample sees.

A pixel has SAMPLES samples on a rotated grid: sample row SAMPLES y + s lies at height
y + (s + ½) / SAMPLES and OFFSETS[s] pixels from the pixel's left edge, so that every edge, upright
and flat ones too, is drawn in SAMPLES + 1 steps. Nearness is 1 / distance, 0 where nothing is.
Row 0 is on top.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Real = np.float32

OFFSETS = np.array([0.5, 5 / 6, 1 / 6], np.float32)
SAMPLES = len(OFFSETS)
SHELVES = 1024  # of depth, on which hair is sorted
NOTHING = -1
LEAST = np.float32(1e-9)  # area of a triangle that is drawn, in pixels times rows of samples
STRAND = -2  # in `seen`, this and less: a strand of hair, see `strand_code`


@njit(cache=True, nogil=True, fastmath=True)
def _ceil(x: Real) -> int:
    """As math.ceil, without leaving float32."""
    whole = int(x)
    return whole + 1 if np.float32(whole) < x else whole


@njit(cache=True, nogil=True, fastmath=True)
def _by_height(ax: Real, ay: Real, bx: Real, by: Real) -> tuple[Real, Real, Real, Real]:
    """Two points, the higher one first. Chosen, not branched to: nobody could guess the way."""
    turn = ay > by
    return (
        bx if turn else ax, by if turn else ay,
        ax if turn else bx, ay if turn else by,
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=True)
def _slopes(ax: Real, ay: Real, bx: Real, by: Real, cx: Real, cy: Real) -> tuple[Real, Real, Real]:
    """Columns per row along the edges a–c, a–b and b–c of a triangle with ay ≤ by ≤ cy."""
    upper = (bx - ax) / (by - ay) if by > ay else np.float32(0.0)
    lower = (cx - bx) / (cy - by) if cy > by else np.float32(0.0)
    return (cx - ax) / (cy - ay), upper, lower


@njit(cache=True, nogil=True, fastmath=True)
def _span(
    row: int, offset: Real, width: int, ax: Real, ay: Real, bx: Real, by: Real,
    slopes: tuple[Real, Real, Real],
) -> tuple[int, int]:  # fmt: skip
    """First column of a triangle in one row of samples, and the first beyond it; y in rows."""
    y = np.float32(row)
    one = ax + (y - ay) * slopes[0]
    upper, lower = ax + (y - ay) * slopes[1], bx + (y - by) * slopes[2]
    other = upper if y < by else lower
    left = max(_ceil(min(one, other) - offset), 0)
    return left, min(_ceil(max(one, other) - offset), width)


@njit(cache=True, nogil=True, fastmath=True)
def cover(picture: F32, triangles: I32, closed: bool, nearest: F32, seen: I32) -> None:
    """Enter triangles into the samples they are nearest at.

    picture: [V, 3] column, row (pixels), nearness. triangles: [T, 3], those of a closed surface
    counter-clockwise from outside; its backs are skipped. nearest, seen: [SAMPLES H, W], kept up
    to date; seen holds the triangle's number.
    """
    rows, width = nearest.shape
    finer, half = np.float32(SAMPLES), np.float32(0.5)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, bx, cx = picture[i, 0], picture[j, 0], picture[k, 0]
        ay, by, cy = picture[i, 1], picture[j, 1], picture[k, 1]
        ay, by, cy = finer * ay - half, finer * by - half, finer * cy - half
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if (closed and area >= 0.0) or abs(area) < LEAST:
            continue
        top, bottom = max(_ceil(min(ay, by, cy)), 0), min(_ceil(max(ay, by, cy)), rows)
        if top >= bottom or min(ax, bx, cx) >= width or max(ax, bx, cx) < 0:
            continue
        qa, qb, qc = picture[i, 2], picture[j, 2], picture[k, 2]
        inverse = np.float32(1.0) / area
        across = ((qb - qa) * (cy - ay) - (qc - qa) * (by - ay)) * inverse
        down = ((qc - qa) * (bx - ax) - (qb - qa) * (cx - ax)) * inverse
        x0, y0 = ax, ay  # nearness is told from here: from afar, slivers would lose their digits
        ax, ay, bx, by = _by_height(ax, ay, bx, by)
        bx, by, cx, cy = _by_height(bx, by, cx, cy)
        ax, ay, bx, by = _by_height(ax, ay, bx, by)
        slopes = _slopes(ax, ay, bx, by, cx, cy)
        s = top % SAMPLES
        for row in range(top, bottom):
            offset = OFFSETS[s]
            s = s + 1 if s < SAMPLES - 1 else 0
            left, right = _span(row, offset, width, ax, ay, bx, by, slopes)
            q = qa + (np.float32(left) + offset - x0) * across + (np.float32(row) - y0) * down
            for x in range(left, right):
                if q > nearest[row, x]:
                    nearest[row, x], seen[row, x] = q, t
                q += across


@njit(cache=True, nogil=True, fastmath=True)
def cover_ribbons(
    picture: F32, kinds: U8, pieces: I32, pattern: U8, nearest: F32, seen: I32
) -> None:
    """Enter ribbons of hair, whose pattern of strands leaves gaps.

    picture: [R, K, 2, 3] as for `cover`, K points from root to tip, left and right edge. kinds: [R]
    which row of the pattern. pieces: which to draw, r (K − 1) + k for what lies between points k
    and k + 1 of ribbon r, best from front to back. pattern: [n, along, across]: 0 a gap, else
    brightness, 128 = as is. nearest, seen: as for `cover`; seen holds `strand_code`s.
    """
    steps = picture.shape[1] - 1
    for piece in pieces:
        r, k = piece // steps, piece % steps
        edges, gaps = picture[r, k : k + 2], pattern[kinds[r]]
        if not _behind(edges, nearest):
            begins, length = np.float32(k) / np.float32(steps), np.float32(1.0) / np.float32(steps)
            _piece(edges, piece, begins, length, gaps, nearest, seen, False)
            _piece(edges, piece, begins, length, gaps, nearest, seen, True)


@njit(cache=True, nogil=True)
def front_to_back(shown: U8, near: F32, count: int) -> I32:
    """Pieces of the first `count` ribbons with an end that is shown, nearest first (but for what
    SHELVES shelves of depth do not tell apart). shown, near: [R, K] at the ribbons' points."""
    points = near.shape[1]
    low, high = near.min(), near.max()
    scale = np.float32(SHELVES - 1) / max(high - low, np.float32(1e-9))
    starts = np.zeros(SHELVES + 1, np.int32)
    shelf = np.full(count * (points - 1), -1, np.int32)
    for r in range(count):
        for k in range(points - 1):
            if shown[r, k] or shown[r, k + 1]:
                depth = high - np.float32(0.5) * (near[r, k] + near[r, k + 1])
                shelf[r * (points - 1) + k] = int(depth * scale)
                starts[int(depth * scale) + 1] += 1
    starts = np.cumsum(starts).astype(np.int32)
    out = np.empty(starts[-1], np.int32)
    for piece in range(len(shelf)):
        if shelf[piece] >= 0:
            out[starts[shelf[piece]]] = piece
            starts[shelf[piece]] += 1
    return out


@njit(cache=True, nogil=True, fastmath=True)
def strand_code(piece: int, along: Real, bright: int) -> int:
    """What `seen` holds for a strand: its piece, how far along it (0 … 1), its brightness."""
    return STRAND - (piece << 16 | int(along * np.float32(255.0)) << 8 | bright)


@njit(cache=True, nogil=True, fastmath=True)
def strand_read(code: int) -> tuple[int, Real, Real]:
    """Piece, how far along it (0 … 1), brightness (1 = as is) of a `strand_code`."""
    said = STRAND - code
    along = np.float32((said >> 8) & 255) * np.float32(1.0 / 255.0)
    return said >> 16, along, np.float32(said & 255) * np.float32(1.0 / 128.0)


@njit(cache=True, nogil=True, fastmath=True)
def _behind(edges: F32, nearest: F32) -> bool:
    """Whether something nearer lies at nine spots of a piece [2, 2, 3]."""
    rows, width = nearest.shape
    a, b, c, d = edges[0, 0], edges[0, 1], edges[1, 0], edges[1, 1]
    one = np.float32(1.0)
    for i in range(3):
        f = np.float32(0.15) + np.float32(0.35) * np.float32(i)
        for j in range(3):
            g = np.float32(0.20) + np.float32(0.30) * np.float32(j)
            wa, wb, wc, wd = (one - f) * (one - g), (one - f) * g, f * (one - g), f * g
            x = wa * a[0] + wb * b[0] + wc * c[0] + wd * d[0]
            y = wa * a[1] + wb * b[1] + wc * c[1] + wd * d[1]
            row = min(max(int(np.float32(SAMPLES) * y), 0), rows - 1)
            column = min(max(int(x), 0), width - 1)
            if wa * a[2] + wb * b[2] + wc * c[2] + wd * d[2] > nearest[row, column]:
                return False
    return True


@njit(cache=True, nogil=True, fastmath=True)
def _piece(
    edges: F32, piece: int, begins: Real, length: Real, pattern: U8, nearest: F32, seen: I32,
    second: bool,
) -> None:  # fmt: skip
    """One of the two triangles of a piece [2, 2, 3], which begins and is as long as 0 … 1 of its
    ribbon says."""
    rows, width = nearest.shape
    tall, wide = pattern.shape
    one, zero = np.float32(1.0), np.float32(0.0)
    finer, half = np.float32(SAMPLES), np.float32(0.5)
    b, c = edges[int(second), 1], edges[1, 0]
    a = edges[0, int(second)]
    # u across the ribbon and f along the piece, in 0 … 1, at a, b, c
    ua, ub, uc = (one, one, zero) if second else (zero, one, zero)
    fa, fb, fc = (zero, one, one) if second else (zero, zero, one)
    ax, bx, cx, qa, qb, qc = a[0], b[0], c[0], a[2], b[2], c[2]
    ay, by, cy = finer * a[1] - half, finer * b[1] - half, finer * c[1] - half
    if ay > by:
        ax, ay, qa, ua, fa, bx, by, qb, ub, fb = bx, by, qb, ub, fb, ax, ay, qa, ua, fa
    if by > cy:
        bx, by, qb, ub, fb, cx, cy, qc, uc, fc = cx, cy, qc, uc, fc, bx, by, qb, ub, fb
    if ay > by:
        ax, ay, qa, ua, fa, bx, by, qb, ub, fb = bx, by, qb, ub, fb, ax, ay, qa, ua, fa
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    top, bottom = max(_ceil(ay), 0), min(_ceil(cy), rows)
    if top >= bottom or abs(area) < LEAST:
        return
    inverse = one / area
    # weights of b and c are linear over the picture, and so is all that they mix
    bdx, bdy = (cy - ay) * inverse, (ax - cx) * inverse
    cdx, cdy = (ay - by) * inverse, (bx - ax) * inverse
    qb, qc, ub, uc, fb, fc = qb - qa, qc - qa, ub - ua, uc - ua, fb - fa, fc - fa
    dq, du, df = bdx * qb + cdx * qc, bdx * ub + cdx * uc, bdx * fb + cdx * fc
    down_q, down_u, down_f = bdy * qb + cdy * qc, bdy * ub + cdy * uc, bdy * fb + cdy * fc
    slopes = _slopes(ax, ay, bx, by, cx, cy)
    s = top % SAMPLES
    for row in range(top, bottom):
        offset = OFFSETS[s]
        s = s + 1 if s < SAMPLES - 1 else 0
        left, right = _span(row, offset, width, ax, ay, bx, by, slopes)
        x, y = np.float32(left) + offset - ax, np.float32(row) - ay
        q, u, f = qa + x * dq + y * down_q, ua + x * du + y * down_u, fa + x * df + y * down_f
        near, what = nearest[row], seen[row]
        for column in range(left, right):
            if q > near[column]:
                along = min(max(f, zero), one)
                i = min(int((begins + along * length) * np.float32(tall)), tall - 1)
                j = min(max(int(u * np.float32(wide)), 0), wide - 1)
                bright = pattern[i, j]
                if bright != 0:
                    near[column], what[column] = q, strand_code(piece, along, bright)
            q += dq
            u += du
            f += df


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
        if (closed and area >= 0) or abs(area) < LEAST / SAMPLES:
            continue
        weights, there = _inside(corner[:, :2], y, x)
        near = weights @ corner[:, 2]
        won = there & (near > nearest)
        nearest[won], seen[won] = near[won], t


def cover_ribbons_plain(
    picture: F32, kinds: U8, pieces: I32, pattern: U8, nearest: F32, seen: I32
) -> None:
    """As `cover_ribbons`, but for pieces that it believes hidden and that nevertheless peep out."""
    y, x = _sample_places(*nearest.shape)
    tall, wide = pattern.shape[1:]
    steps = picture.shape[1] - 1
    for piece in pieces:
        r, k = divmod(piece, steps)
        for spots in (((0, 0), (0, 1), (1, 0)), ((0, 1), (1, 1), (1, 0))):
            corner = np.array([picture[r, k + i, j] for i, j in spots], np.float64)
            if abs(_area(corner[:, :2])) < LEAST / SAMPLES:
                continue
            weights, there = _inside(corner[:, :2], y, x)
            near = weights @ corner[:, 2]
            along, across = np.moveaxis(weights @ np.array(spots, np.float64), -1, 0)
            along = np.clip(along, 0.0, 1.0)
            i = np.clip(((k + along) * tall / steps).astype(int), 0, tall - 1)
            j = np.clip((across * wide).astype(int), 0, wide - 1)
            bright = pattern[kinds[r], i, j].astype(np.int64)
            won = there & (near > nearest) & (bright != 0)
            code = STRAND - (int(piece) << 16 | (255.0 * along).astype(np.int64) << 8 | bright)
            nearest[won], seen[won] = near[won], code[won]


def front_to_back_plain(shown: U8, near: F32, count: int) -> I32:
    """As `front_to_back`."""
    depth = near.max() - np.float32(0.5) * (near[:count, 1:] + near[:count, :-1])
    scale = np.float32(SHELVES - 1) / max(near.max() - near.min(), np.float32(1e-9))
    pieces = np.flatnonzero(shown[:count, 1:] | shown[:count, :-1])
    shelf = (depth.ravel()[pieces] * scale).astype(int)
    return pieces[np.argsort(shelf, kind="stable")].astype(np.int32)
