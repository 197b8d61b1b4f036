"""Skia in a few words: colours, smooth paths, paints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import skia
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Point = tuple[float, float]


def colour(text: str, alpha: float = 1.0) -> int:
    """`#rrggbb` and an opacity in [0, 1] as a skia colour."""
    red, green, blue = (int(text[k : k + 2], 16) for k in (1, 3, 5))
    return int(skia.Color(red, green, blue, round(255 * min(max(alpha, 0.0), 1.0))))


def blend(a: str, b: str, share: float) -> str:
    """`#rrggbb` between a (share 0) and b (share 1)."""
    mixed = (
        round((1 - share) * int(a[k : k + 2], 16) + share * int(b[k : k + 2], 16))
        for k in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)


def fill(ink: int) -> Any:
    """Paint for a plain area."""
    return skia.Paint(AntiAlias=True, Color=ink)


def line(ink: int, width: float) -> Any:
    """Paint for a line with round ends, `width` in design units."""
    return skia.Paint(
        AntiAlias=True,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        StrokeCap=skia.Paint.kRound_Cap,
        StrokeJoin=skia.Paint.kRound_Join,
        Color=ink,
    )


def linear(start: Point, end: Point, inks: Sequence[int], stops: Sequence[float]) -> Any:
    """Shader that runs from start to end."""
    return skia.GradientShader.MakeLinear([start, end], list(inks), list(stops))


def radial(centre: Point, radius: float, inks: Sequence[int], stops: Sequence[float]) -> Any:
    """Shader that runs from the centre outwards."""
    return skia.GradientShader.MakeRadial(centre, radius, list(inks), list(stops))


def shade(shader: Any) -> Any:
    """Paint for an area filled by a shader."""
    return skia.Paint(AntiAlias=True, Shader=shader)


def curve(points: F64 | Sequence[Point], closed: bool = False, tension: float = 1.0) -> Any:
    """Smooth path (Catmull-Rom) through points [n, 2]; tension 0 gives straight lines."""
    p = np.asarray(points, np.float64)
    before, after = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0)
    if not closed:
        before[0], after[-1] = p[0], p[-1]
    reach = (after - before) * (tension / 6.0)
    leave, arrive = (p + reach).tolist(), (p - reach).tolist()
    corners = p.tolist()
    path = skia.Path()
    path.moveTo(*corners[0])
    for k in range(1, len(corners)):
        path.cubicTo(*leave[k - 1], *arrive[k], *corners[k])
    if closed:
        path.cubicTo(*leave[-1], *arrive[0], *corners[0])
        path.close()
    return path


def lens(left: F64, right: F64) -> Any:
    """Closed path down one smooth edge and back up the other; both are [n, 2] from root to tip."""
    path = curve(left)
    back = right[::-1]
    before, after = np.roll(back, 1, axis=0), np.roll(back, -1, axis=0)
    before[0], after[-1] = back[0], back[-1]
    reach = (after - before) / 6.0
    leave, arrive, corners = (back + reach).tolist(), (back - reach).tolist(), back.tolist()
    path.lineTo(*corners[0])
    for k in range(1, len(corners)):
        path.cubicTo(*leave[k - 1], *arrive[k], *corners[k])
    path.close()
    return path


def bezier(start: Point, *pieces: Sequence[float], closed: bool = False) -> Any:
    """Path of cubic (6 numbers), quadratic (4) and straight (2) pieces."""
    path = skia.Path()
    path.moveTo(*start)
    for piece in pieces:
        if len(piece) == 6:
            path.cubicTo(*piece)
        elif len(piece) == 4:
            path.quadTo(*piece)
        else:
            path.lineTo(*piece)
    if closed:
        path.close()
    return path


def smoothing(count: int) -> F64:
    """Matrix [count, 5] that takes five equally spaced values to `count` on the Catmull-Rom curve
    through them, straight beyond the ends."""
    rows = np.zeros((count, 5))
    for row, place in zip(rows, np.linspace(0.0, 4.0, count), strict=True):
        k = min(int(place), 3)
        t = place - k
        basis = (
            -0.5 * t + t * t - 0.5 * t**3,
            1.0 - 2.5 * t * t + 1.5 * t**3,
            0.5 * t + 2.0 * t * t - 1.5 * t**3,
            -0.5 * t * t + 0.5 * t**3,
        )
        for j, weight in zip(range(k - 1, k + 3), basis, strict=True):
            if j < 0:
                row[:2] += 2.0 * weight, -weight
            elif j > 4:
                row[3:] += -weight, 2.0 * weight
            else:
                row[j] += weight
    return rows
