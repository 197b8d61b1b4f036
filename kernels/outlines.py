"""Hot loops of the puppet: points of its solids on the picture plane, curves through them, filled
outlines, each in a colour that changes from row to row only.

Pixels are 32-bit words of four premultiplied bytes, alpha in the highest. Coverage is exact: every
side of an outline leaves in each row how much of each pixel lies to its right, and what has been
left is summed up along the row (Levien, "Inside the fastest font renderer in the world", 2016).

Each has a plain numpy twin of the same name with `_plain`; tests hold them together.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

WHOLE = 256  # a pixel that is covered wholly
EVEN, ODD = np.uint32(0x00FF00FF), np.uint32(0xFF00FF00)
EIGHT, TOP = np.uint32(8), np.uint32(24)


@njit(cache=True, nogil=True, error_model="numpy")
def flat(points: F64, matrix: F64, moved: F64, camera: float) -> F64:
    """Points [n, 3], turned by `matrix` [3, 3] and `moved` [3], as a camera that stands `camera`
    units before the picture plane sees them: [n, 2].
    """
    seen = np.empty((len(points), 2))
    for n in range(len(points)):
        x, y, z = points[n]
        depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + moved[2]
        near = camera / (camera - depth)
        for k in range(2):
            place = matrix[k, 0] * x + matrix[k, 1] * y + matrix[k, 2] * z + moved[k]
            seen[n, k] = place * near
    return seen


def flat_plain(points: F64, matrix: F64, moved: F64, camera: float) -> F64:
    """Twin of `flat`."""
    seen = points @ matrix.T + moved
    return seen[:, :2] * (camera / (camera - seen[:, 2:]))


@njit(cache=True, nogil=True)
def stretches(points: F64, closed: bool, tension: float) -> F64:
    """Cubic Bézier stretches of the Catmull-Rom curve through points [n, 2]: [n - 1, 6], one more
    where it is closed; the two handles and the end of each. tension: 0 gives straight lines.
    """
    count = len(points)
    made = np.empty((count if closed else count - 1, 6))
    reach = tension / 6.0
    for n in range(len(made)):
        a, b = n, (n + 1) % count
        before = (n - 1) % count if closed else max(n - 1, 0)
        beyond = (n + 2) % count if closed else min(n + 2, count - 1)
        for k in range(2):
            made[n, k] = points[a, k] + reach * _tangent(points, before, b, k)
            made[n, 2 + k] = points[b, k] - reach * _tangent(points, a, beyond, k)
            made[n, 4 + k] = points[b, k]
    return made


@njit(cache=True, nogil=True)
def _tangent(points: F64, before: int, beyond: int, k: int) -> float:
    """Of the point between two others."""
    return points[beyond, k] - points[before, k]


def stretches_plain(points: F64, closed: bool, tension: float) -> F64:
    """Twin of `stretches`."""
    if closed:
        around = np.concatenate([points[-1:], points, points[:2]])
    else:
        around = np.concatenate([points[:1], points, points[-1:]])
    reach, ends = tension / 6.0 * (around[2:] - around[:-2]), around[1:-1]
    return np.hstack([(ends + reach)[:-1], (ends - reach)[1:], ends[1:]])


@njit(cache=True, nogil=True, error_model="numpy")
def _faded(colour: np.uint32, share: np.uint32) -> np.uint32:
    """All four bytes times share / 256."""
    even = np.uint32((colour & EVEN) * share) >> EIGHT
    odd = np.uint32(((colour >> EIGHT) & EVEN) * share)
    return np.uint32((even & EVEN) | (odd & ODD))


@njit(cache=True, nogil=True, error_model="numpy")
def _shown(ink: np.uint32) -> np.uint32:
    """What an ink lets through of what lies below, in 256ths; whole pixels stay whole."""
    return np.uint32(np.uint32(WHOLE) - (ink >> TOP))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _trace(
    left: F32, reach: I32, ax: np.float32, ay: np.float32, bx: np.float32, by: np.float32
) -> None:
    """Leave one side in `left` [rows, columns + 2], coordinates from its corner: no more than what
    matters inside of it. reach: [rows, 2] the columns that hold anything."""
    if ay == by:
        return
    down = np.float32(1.0) if ay < by else np.float32(-1.0)
    if ay > by:
        ax, ay, bx, by = bx, by, ax, ay
    rows, wide = left.shape[0], np.float32(left.shape[1] - 2)
    slope = (bx - ax) / (by - ay)
    top, bottom = max(ay, np.float32(0.0)), min(by, np.float32(rows))
    x = ax + (top - ay) * slope
    for row in range(int(top), rows):
        y = max(np.float32(row), top)
        if y >= bottom:
            return
        tall = min(np.float32(row + 1), bottom) - y
        following = x + tall * slope
        one, other, high = min(x, following), max(x, following), tall * down
        if one < 0.0:
            before = high if other <= 0.0 else high * one / (one - other)
            left[row, 0] += before
            one, other, high = np.float32(0.0), max(other, np.float32(0.0)), high - before
        if other > wide:
            high = np.float32(0.0) if one >= wide else high * (wide - one) / (other - one)
            one, other = min(one, wide), wide
        if high != 0.0:
            _leave(left, row, one, other, high)
        reach[row, 0] = min(reach[row, 0], int(one))
        reach[row, 1] = max(reach[row, 1], int(other) + 2)
        x = following


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _leave(left: F32, row: int, one: np.float32, other: np.float32, tall: np.float32) -> None:
    """A stretch of a side in a row, `tall` high, that runs from column `one` to `other` ≥ one."""
    first = int(one)
    if other <= np.float32(first + 1):
        beyond = np.float32(0.5) * (one + other) - np.float32(first)
        left[row, first] += tall - tall * beyond
        left[row, first + 1] += tall * beyond
        return
    last = int(np.ceil(other))
    slope = np.float32(1.0) / (other - one)
    inside = np.float32(1.0) - (one - np.float32(first))
    before = np.float32(0.5) * slope * inside * inside  # share that pixel `first` gets
    left[row, first] += tall * before
    had = before
    for column in range(first + 1, last - 1):
        # the mean of how far the side has come, over this pixel
        middle = slope * (np.float32(column) + np.float32(0.5) - one)
        left[row, column] += tall * (middle - had)
        had = middle
    rest = other - np.float32(last - 1)
    final = np.float32(1.0) - np.float32(0.5) * slope * rest * rest
    left[row, last - 1] += tall * (final - had)
    left[row, last] += tall * (np.float32(1.0) - final)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _pour(
    picture: U32, y: int, x: int, left: F32, row: int, start: int, end: int, ink: np.uint32
) -> None:
    """Paint columns `start` … `end` of a row of `left`, whose corner is at (x, y − row), and wipe
    what the sides left there."""
    cover, k = np.float32(0.0), start
    while k < end:
        cover += left[row, k]
        left[row, k] = 0.0
        share = np.uint32(min(abs(cover), np.float32(1.0)) * np.float32(WHOLE) + np.float32(0.5))
        thin = _faded(ink, share)
        shown = _shown(thin)
        # Columns where no side left anything are covered as this one is.
        if share == np.uint32(0):
            k += 1
            while k < end and left[row, k] == 0.0:
                k += 1
        elif shown == np.uint32(1):
            picture[y, x + k] = thin
            k += 1
            while k < end and left[row, k] == 0.0:
                picture[y, x + k] = thin
                k += 1
        else:
            picture[y, x + k] = thin + _faded(picture[y, x + k], shown)
            k += 1
            while k < end and left[row, k] == 0.0:
                picture[y, x + k] = thin + _faded(picture[y, x + k], shown)
                k += 1


@njit(cache=True, nogil=True, error_model="numpy")
def fill(picture: U32, outlines: F32, ramps: U32, inks: I32, room: F32) -> None:
    """Fill outlines one after another.

    picture: [H, W], painted on. outlines: [K, n, 2] columns and rows, closed, of either sense; a
    part that is gone round twice is filled once. ramps: [R, H], a colour for each row. inks: [K]
    which ramp each has. room: [H (W + 2)] zeros to work in; they are zeros again afterwards.
    """
    height, width = picture.shape
    reach = np.empty((height, 2), np.int32)
    for k in range(outlines.shape[0]):
        outline, colours = outlines[k], ramps[inks[k]]
        xs, ys = outline[:, 0], outline[:, 1]
        if not np.isfinite(xs.sum() + ys.sum()):
            continue
        x0, x1 = max(int(np.floor(xs.min())), 0), min(int(np.ceil(xs.max())), width)
        y0, y1 = max(int(np.floor(ys.min())), 0), min(int(np.ceil(ys.max())), height)
        if x0 >= x1 or y0 >= y1:
            continue
        left = room[: (y1 - y0) * (x1 - x0 + 2)].reshape(y1 - y0, x1 - x0 + 2)
        reach[: y1 - y0, 0], reach[: y1 - y0, 1] = x1 - x0, 0
        fx, fy = np.float32(x0), np.float32(y0)
        ax, ay = xs[-1] - fx, ys[-1] - fy
        for n in range(outline.shape[0]):
            bx, by = xs[n] - fx, ys[n] - fy
            _trace(left, reach, ax, ay, bx, by)
            ax, ay = bx, by
        for row in range(y1 - y0):
            start, end = reach[row, 0], min(reach[row, 1], x1 - x0 + 2)
            last = min(end, x1 - x0)
            _pour(picture, y0 + row, x0, left, row, start, last, colours[y0 + row])
            for k in range(last, end):
                left[row, k] = 0.0


def fill_plain(picture: U32, outlines: F32, ramps: U32, inks: I32, lines: int = 64) -> None:
    """As `fill`, with the coverage from `lines` lines across each row, and in floating point."""
    height, width = picture.shape
    heights = (np.arange(height * lines) + 0.5) / lines
    columns = np.arange(width)
    for outline, ink in zip(outlines.astype(np.float64), inks, strict=True):
        cover = np.zeros((len(heights), width))
        for a, b in zip(np.roll(outline, 1, axis=0), outline, strict=True):
            upper, lower = (a, b) if a[1] < b[1] else (b, a)
            crossed = (heights >= upper[1]) & (heights < lower[1])
            share = (heights[crossed] - upper[1]) / (lower[1] - upper[1])
            x = upper[0] + share * (lower[0] - upper[0])
            sense = 1.0 if a[1] < b[1] else -1.0
            cover[crossed] += sense * np.clip(columns + 1 - x[:, None], 0.0, 1.0)
        whole = np.minimum(np.abs(cover.reshape(height, lines, width).mean(axis=1)), 1.0)
        colours = ramps[ink].copy().view(np.uint8).reshape(height, 1, 4) * whole[..., None]
        below = picture.view(np.uint8).reshape(height, width, 4)
        below[:] = np.round(colours + below * (1.0 - colours[..., 3:] / 255.0)).astype(np.uint8)
