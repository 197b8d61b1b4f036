"""Skia in a few words: colours, smooth paths, paints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import skia
from numpy.typing import NDArray

from kernels.outlines import stretches

F64 = NDArray[np.float64]
Point = tuple[float, float]
NEAREST = skia.SamplingOptions(skia.FilterMode.kNearest)


def surface_on(pixels: NDArray[np.uint32]) -> Any:
    """Surface that draws into pixels [H, W], which must outlive it: skia's own 32-bit words of four
    premultiplied bytes, alpha in the highest."""
    height, width = pixels.shape
    info = skia.ImageInfo.MakeN32Premul(width, height)
    return skia.Surface.MakeRasterDirect(info, pixels, 4 * width)


@lru_cache(maxsize=1024)
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


class Ramp:
    """A vertical run of colours, painted once into a strip of pixels.

    Skia's raster backend fills from such a strip six times faster than from a gradient, as long as
    the strip is only moved and stretched, never turned: so these ramps stay upright.
    """

    STEPS = 512

    def __init__(self, inks: Sequence[int], stops: Sequence[float]) -> None:
        self.pixels = np.zeros(self.STEPS, np.uint32)
        surface = surface_on(self.pixels[:, None])
        paint = shade(linear((0.0, 0.0), (0.0, float(self.STEPS)), inks, stops))
        surface.getCanvas().drawPaint(paint)
        self.strip = surface.makeImageSnapshot()

    def at(self, heights: F64, top: float, bottom: float) -> NDArray[np.uint32]:
        """Pixels at some heights of the run from `top` to `bottom`."""
        step = (heights - top) * (self.STEPS / (bottom - top))
        return self.pixels[np.clip(step, 0, self.STEPS - 1).astype(np.intp)]

    def between(self, top: float, bottom: float) -> Any:
        """Shader that runs from height `top` to height `bottom`."""
        matrix = skia.Matrix()
        matrix.setAll(1, 0, 0, 0, (bottom - top) / self.STEPS, top, 0, 0, 1)
        return self.strip.makeShader(skia.TileMode.kClamp, skia.TileMode.kClamp, NEAREST, matrix)

    def paint(self, top: float, bottom: float) -> Any:
        """Paint for an area filled by `between`."""
        return shade(self.between(top, bottom))


def curve(points: F64 | Sequence[Point], closed: bool = False, tension: float = 1.0) -> Any:
    """Smooth path (Catmull-Rom) through points [n, 2]; tension 0 gives straight lines."""
    path = skia.Path()
    p = np.ascontiguousarray(points, np.float64)
    path.moveTo(*p[0].tolist())
    _follow(path, p, closed, tension)
    if closed:
        path.close()
    return path


def _follow(path: Any, points: F64, closed: bool = False, tension: float = 1.0) -> None:
    """Go on along a curve from its first point."""
    for stretch in stretches(points, closed, tension).tolist():
        path.cubicTo(*stretch)


def lens(left: F64, right: F64) -> Any:
    """Closed path down one smooth edge and back up the other; both are [n, 2] from root to tip."""
    path, back = curve(left), np.ascontiguousarray(right[::-1])
    path.lineTo(*back[0].tolist())
    _follow(path, back)
    path.close()
    return path


def outset(left: F64, right: F64, by: float) -> tuple[F64, F64]:
    """Edges [L, n, 2] of lenses that are larger by so much on each side and at the tip."""
    edges = np.stack([left, right], axis=1)
    along = np.empty_like(edges)
    along[:, :, 1:-1] = edges[:, :, 2:] - edges[:, :, :-2]
    along[:, :, 0] = edges[:, :, 1] - edges[:, :, 0]
    along[:, :, -1] = edges[:, :, -1] - edges[:, :, -2]
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    across = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    side = np.sign((across[:, 0] * (left - right)).sum(-1, keepdims=True))  # of a lens that twists
    side[:, -1] = side[:, -2]  # at the tip there is none
    outwards = np.stack([side * across[:, 0], -side * across[:, 1]], axis=1)
    outwards[:, :, -1] += along[:, :, -1]
    larger = edges + by * outwards
    return larger[:, 0], larger[:, 1]


def smoothing(count: int, knots: int = 5) -> F64:
    """Matrix [count, knots] that takes equally spaced values to `count` on the Catmull-Rom curve
    through them, straight beyond the ends."""
    rows, last = np.zeros((count, knots)), knots - 1
    for row, place in zip(rows, np.linspace(0.0, last, count), strict=True):
        k = min(int(place), last - 1)
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
            elif j > last:
                row[-2:] += -weight, 2.0 * weight
            else:
                row[j] += weight
    return rows
