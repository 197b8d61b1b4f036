"""The mouth: lips, teeth, tongue, and the dark behind them."""

from __future__ import annotations

from typing import Any

import skia

from engine.rendering.identity import Palette
from engine.rendering.puppet.expression import Mouth
from engine.rendering.puppet.pen import Point, blend, colour, fill, line, linear, shade

TEETH = "#fffaf3"


def mix(a: float, b: float, share: float) -> float:
    """From a (share 0) to b (share 1)."""
    return a + (b - a) * share


class MouthArt:
    """Draws a Mouth in its own units: origin at the middle of the resting lips, y down."""

    def __init__(self, palette: Palette) -> None:
        self.lip = palette.lip
        self.ink = colour(blend(palette.lip, palette.mouth, 0.72))
        self.dark = colour(blend(palette.mouth, "#2a0614", 0.45))
        self.deep = colour(palette.mouth)
        self.tongue = fill(colour(palette.tongue))
        self.groove = line(colour(blend(palette.tongue, palette.mouth, 0.35)), 1.4)
        self.teeth = fill(colour(TEETH))
        self.teeth_line = line(colour(blend(TEETH, palette.mouth, 0.35)), 0.9)
        self.skin_mark = blend(palette.skin_line, palette.lip, 0.4)
        self.under = blend(palette.skin_shade, palette.lip, 0.25)

    def draw(self, canvas: Any, mouth: Mouth) -> None:
        """Paint the mouth; the canvas stands on the face already."""
        canvas.save()
        canvas.translate(mouth.shift, 0.0)
        self._lips(canvas, mouth)
        self._inside(canvas, mouth)
        self._tongue_out(canvas, mouth)
        self._lines(canvas, mouth)
        self._marks(canvas, mouth)
        canvas.restore()

    def _lips(self, canvas: Any, mouth: Mouth) -> None:
        upper, lower = mouth.lips
        path = opening(mouth, upper, lower)
        canvas.drawPath(path, fill(colour(self.lip, mouth.tint)))
        glint = mouth.tint * min(1.0, lower / 5.0)
        y = mouth.bottom + 0.5 * sum(mouth.drop) + 0.52 * lower
        reach = 0.28 * (mouth.corners[1][0] - mouth.corners[0][0]) * 0.5
        canvas.drawLine(
            mouth.jaw - reach, y, mouth.jaw + reach, y, line(colour("#ffffff", 0.5 * glint), 1.5)
        )

    def _inside(self, canvas: Any, mouth: Mouth) -> None:
        path = opening(mouth)
        top, bottom = mouth.top - max(mouth.lift), mouth.bottom + max(mouth.drop)
        gap = bottom - top
        canvas.save()
        canvas.clipPath(path, True)
        ramp = linear((0.0, top), (0.0, bottom + 1.0), (self.dark, self.deep), (0.0, 0.75))
        canvas.drawPaint(shade(ramp))
        width = 0.5 * (mouth.corners[1][0] - mouth.corners[0][0])
        if gap > 5.0:
            rise = 0.34 * gap
            bed = skia.Rect(
                mouth.jaw - 0.66 * width, bottom - rise, mouth.jaw + 0.66 * width, bottom + rise
            )
            canvas.drawOval(bed, self.tongue)
            canvas.drawLine(mouth.jaw, bottom - 0.6 * rise, mouth.jaw, bottom, self.groove)
        self._teeth(canvas, mouth, width)
        canvas.restore()

    def _teeth(self, canvas: Any, mouth: Mouth, width: float) -> None:
        upper, lower = mouth.teeth
        reach = mix(1.1, 0.72, mouth.roundness) * width
        if upper > 0.4:
            edge = mouth.top - 0.5 * sum(mouth.lift) + upper
            strip = skia.Rect(-reach, edge - upper - 14.0, reach, edge)
            corner = min(4.0, 0.5 * upper) * (1.0 - mouth.bite)
            canvas.drawRoundRect(strip, corner, corner, self.teeth)
        if lower > 0.4:
            edge = mouth.bottom + 0.5 * sum(mouth.drop) - lower
            strip = skia.Rect(
                mouth.jaw - 0.9 * reach, edge, mouth.jaw + 0.9 * reach, edge + lower + 14.0
            )
            canvas.drawRoundRect(strip, 2.0, 2.0, self.teeth)
            canvas.drawLine(
                mouth.jaw - 0.9 * reach, edge, mouth.jaw + 0.9 * reach, edge, self.teeth_line
            )

    def _tongue_out(self, canvas: Any, mouth: Mouth) -> None:
        if mouth.tongue < 0.02:
            return
        width = 0.30 * (mouth.corners[1][0] - mouth.corners[0][0])
        base = mouth.bottom - 5.0
        tip = mouth.bottom + 0.5 * sum(mouth.drop) + 17.0 * mouth.tongue
        path = skia.Path()
        path.moveTo(mouth.jaw - width, base)
        path.cubicTo(mouth.jaw - 1.05 * width, tip, mouth.jaw - 0.7 * width, tip, mouth.jaw, tip)
        path.cubicTo(
            mouth.jaw + 0.7 * width, tip, mouth.jaw + 1.05 * width, tip, mouth.jaw + width, base
        )
        canvas.drawPath(path, self.tongue)
        canvas.drawPath(path, line(self.ink, 1.7))
        canvas.drawLine(mouth.jaw, base + 2.0, mouth.jaw, mix(base, tip, 0.62), self.groove)

    def _lines(self, canvas: Any, mouth: Mouth) -> None:
        canvas.drawPath(through(edge(mouth, True)), line(self.ink, mouth.line))
        if mouth.tongue < 0.02:
            canvas.drawPath(through(edge(mouth, False)), line(self.ink, 0.72 * mouth.line))

    def _marks(self, canvas: Any, mouth: Mouth) -> None:
        (left, left_y), (right, right_y) = mouth.corners
        for x, y, sign, strength in (
            (left, left_y, -1.0, mouth.crease[0]),
            (right, right_y, 1.0, mouth.crease[1]),
        ):
            if strength > 0.02:
                path = skia.Path()
                path.moveTo(x + sign * 2.6, y - 3.2 * strength)
                path.quadTo(
                    x + sign * (3.8 + 2.2 * strength), y, x + sign * 2.6, y + 3.4 * strength
                )
                canvas.drawPath(path, line(colour(self.skin_mark, 0.7 * strength), 1.4))
        y = mouth.bottom + 0.5 * sum(mouth.drop) + mouth.lips[1] + 5.5
        width = 5.5 + 2.0 * mouth.chin
        shadow = skia.Path()
        shadow.moveTo(mouth.jaw - width, y)
        shadow.quadTo(mouth.jaw, y + 2.6 - 5.0 * mouth.chin, mouth.jaw + width, y)
        canvas.drawPath(shadow, line(colour(self.under, 0.45 + 0.5 * mouth.chin), 1.8))


def opening(mouth: Mouth, upper: float = 0.0, lower: float = 0.0) -> Any:
    """Closed path of the opening, or of the lips when thickened by `upper` and `lower` units."""
    there = edge(mouth, True, upper)
    back = edge(mouth, False, lower)[::-1]
    path = through(there)
    path.lineTo(*back[0])
    path.cubicTo(*back[1], *back[2], *back[3])
    path.cubicTo(*back[4], *back[5], *back[6])
    path.close()
    return path


def through(points: list[Point]) -> Any:
    """Path of the two cubics that `edge` gives."""
    path = skia.Path()
    path.moveTo(*points[0])
    path.cubicTo(*points[1], *points[2], *points[3])
    path.cubicTo(*points[4], *points[5], *points[6])
    return path


def edge(mouth: Mouth, upper: bool, grow: float = 0.0) -> list[Point]:
    """Upper or lower edge of the opening, from the viewer's left corner to the right one.

    Seven points of two cubics that meet in the middle; roundness turns their handles from a smile's
    to an oval's.
    """
    round_ = mouth.roundness
    sign = -1.0 if upper else 1.0
    beside = mouth.lift if upper else mouth.drop
    middle = (mouth.top if upper else mouth.bottom) + sign * (0.5 * sum(beside) + grow)
    centre = 0.0 if upper else mouth.jaw
    (xl, yl), (xr, yr) = mouth.corners
    spread = 0.35 * grow * round_
    xl, xr = xl - spread, xr + spread
    out = mix(0.34, 0.0, round_) if upper else mix(0.16, 0.0, round_)
    rise = mix(0.70, 0.56, round_)
    flat = mix(0.42, 0.56, round_) if upper else mix(0.60, 0.56, round_)
    tilt = 0.45 * (beside[1] - beside[0]) * sign
    return [
        (xl, yl),
        (xl + out * (centre - xl), mix(yl, middle - tilt, rise)),
        (centre - flat * (centre - xl), middle - tilt),
        (centre, middle),
        (centre + flat * (xr - centre), middle + tilt),
        (xr - out * (xr - centre), mix(yr, middle + tilt, rise)),
        (xr, yr),
    ]
