"""Neck, shoulders and clothes. They turn with `Motion.body`; the neck joins them to the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import skia

from engine.rendering.identity import Palette, PuppetLook
from engine.rendering.puppet.pen import F64, Ramp, blend, colour, curve, fill, line
from engine.rendering.puppet.rig import Pose

Spots = Sequence[tuple[float, float, float]]
TORSO: Spots = (
    (-40, 150, -22), (-74, 164, -22), (-112, 178, -22), (-140, 202, -22), (-154, 246, -18),
    (-162, 320, -10), (-164, 420, -10),
)  # fmt: skip
COLLAR: Spots = (
    (46, 137, -18), (76, 152, -10), (104, 172, 2), (112, 196, 14), (88, 214, 34),
    (50, 232, 48), (6, 262, 54),
)  # fmt: skip
COLLAR_INNER: Spots = ((2, 238, 52), (26, 200, 42), (42, 168, 20), (46, 137, -18))
HOOD: Spots = (
    (44, 120, -30), (74, 132, -26), (98, 154, -14), (104, 176, 4), (84, 192, 26),
    (50, 204, 40), (20, 214, 46),
)  # fmt: skip
HOOD_INNER: Spots = ((10, 200, 44), (34, 178, 36), (50, 152, 14), (44, 120, -30))


def _mirror(spots: Spots) -> F64:
    return np.array(spots, float) * (-1.0, 1.0, 1.0)


class BodyArt:
    """Paints one identity's neck and clothes."""

    def __init__(self, palette: Palette, look: PuppetLook) -> None:
        self.palette, self.look = palette, look
        self.ink = line(colour(palette.outfit_line), 2.6)
        self.skin_ink = line(colour(palette.skin_line), 2.4)
        self.fold = line(colour(blend(palette.outfit_dark, palette.outfit_line, 0.4), 0.7), 2.0)
        self.trim = line(colour(palette.trim), 3.4)
        p = palette
        inks = [blend(p.outfit, "#ffffff", 0.08), p.outfit, p.outfit_dark]
        self.cloth = Ramp([colour(ink) for ink in inks], [0.0, 0.45, 1.0])
        inks = [blend(p.collar, "#ffffff", 0.15), blend(p.collar, p.outfit, 0.28)]
        self.linen = Ramp([colour(ink) for ink in inks], [0.2, 1.0])
        self.shirt = fill(colour(palette.shirt))

    def neck(self, pose: Pose, body: Pose) -> Any:
        """Closed path of the neck, from under the jaw down into the collar."""
        w = 34.0 * self.look.neck
        top = pose.flat(np.array([[-w, 66.0, -18.0], [w, 66.0, -18.0]]))
        throat = 0.5 * pose.flat(np.array([[-w, 108.0, -14.0], [w, 108.0, -14.0]]))
        throat += 0.5 * body.flat(np.array([[-w, 108.0, -14.0], [w, 108.0, -14.0]]))
        base = body.flat(
            np.array([[-w - 8, 146.0, -8.0], [-w - 34, 168.0, -4.0], [0.0, 262.0, 20.0]])
        )
        right = body.flat(np.array([[w + 34, 168.0, -4.0], [w + 8, 146.0, -8.0]]))
        spots = np.vstack([top[:1], throat[:1], base, right, throat[1:], top[1:]])
        return curve(spots, closed=True, tension=0.9)

    def paint_neck(self, canvas: Any, neck: Any) -> None:
        canvas.drawPath(neck, self.skin_ink)
        canvas.drawPath(neck, fill(colour(self.palette.skin)))

    def collarbones(self, canvas: Any, body: Pose) -> None:
        paint = line(colour(blend(self.palette.skin_line, self.palette.skin_shade, 0.6), 0.8), 1.7)
        for side in (-1.0, 1.0):
            spots = np.array([[8, 178, 22], [20, 173, 20], [38, 172, 12]], float) * (side, 1, 1)
            canvas.drawPath(curve(body.flat(spots)), paint)

    def torso(self, canvas: Any, body: Pose) -> None:
        """The jacket's mass with its folds."""
        left = np.array(TORSO, float) * (self.look.shoulders, 1, 1)
        spots = np.vstack([body.flat(left), body.flat(left * (-1, 1, 1))[::-1]])
        path = curve(spots, closed=True, tension=0.85)
        canvas.drawPath(path, self.ink)
        canvas.drawPath(path, self.cloth.paint(body.at(0, 160, 0)[1], body.at(0, 330, 0)[1]))
        for side in (-1.0, 1.0):
            arm = np.array([[104, 236, 10], [112, 270, 14], [112, 330, 16]], float) * (side, 1, 1)
            canvas.drawPath(curve(body.flat(arm)), self.fold)

    def clothes(self, canvas: Any, body: Pose) -> None:
        """What lies on the jacket and around the neck."""
        if self.look.outfit == "sailor":
            self._sailor(canvas, body)
        else:
            self._hoodie(canvas, body)

    def _sailor(self, canvas: Any, body: Pose) -> None:
        self._bib(canvas, body, 252.0)
        for side in (-1.0, 1.0):
            flap = self._flap(canvas, body, side, COLLAR, COLLAR_INNER)
            stripe = np.array(COLLAR[1:], float) * (0.93 * side, 1.0, 1.0) - (0.0, 9.0, -2.0)
            canvas.save()
            canvas.clipPath(flap, True)
            canvas.drawPath(curve(body.flat(stripe)), self.trim)
            canvas.restore()
        self._bow(canvas, body)

    def _bib(self, canvas: Any, body: Pose, foot: float) -> None:
        """Shirt that closes the neckline, down to a point at height `foot`."""
        half = [[0, 196, 40], [46, 176, 20], [44, 0.5 * (foot + 190), 42], [4, foot, 46]]
        right = np.array(half, float)
        spots = np.vstack([right, right[:0:-1] * (-1, 1, 1)])
        path = curve(body.flat(spots), closed=True, tension=0.3)
        canvas.drawPath(path, self.ink)
        canvas.drawPath(path, self.shirt)

    def _flap(self, canvas: Any, body: Pose, side: float, outer: Spots, inner: Spots) -> Any:
        scale = (side * self.look.shoulders**0.5, 1.0, 1.0)
        out, back = np.array(outer, float) * scale, np.array(inner, float) * scale
        path = curve(body.flat(out), tension=0.9)
        rest = body.flat(back).tolist()
        path.lineTo(*rest[0])
        path.quadTo(*rest[1], *rest[2])
        path.lineTo(*rest[3])
        path.close()
        canvas.drawPath(path, self.ink)
        canvas.drawPath(path, self.linen.paint(body.at(0, 140, 0)[1], body.at(0, 262, 0)[1]))
        return path

    def _bow(self, canvas: Any, body: Pose) -> None:
        p = self.palette
        light, dark = fill(colour(p.accent)), fill(colour(blend(p.accent, p.outfit_dark, 0.32)))
        knot_y, depth = 246.0, 62.0
        for side in (-1.0, 1.0):
            tail = [
                [4, knot_y, depth],
                [12, 272, depth],
                [30, 308, depth],
                [10, 300, depth],
                [0, 262, depth],
            ]
            loop = [
                [2, knot_y - 4, depth], [22, 224, depth - 2], [46, 222, depth - 8],
                [50, 246, depth - 8], [42, 264, depth - 6], [20, 262, depth],
            ]  # fmt: skip
            fold = [
                [6, knot_y, depth + 1],
                [24, 240, depth],
                [40, 246, depth - 4],
                [24, 252, depth],
            ]
            for spots, paint in ((tail, dark), (loop, light), (fold, dark)):
                path = curve(body.flat(np.array(spots, float) * (side, 1, 1)), closed=True)
                if spots is not fold:
                    canvas.drawPath(path, self.ink)
                canvas.drawPath(path, paint)
        x, y = body.at(0.0, knot_y, depth + 6.0)
        knot = skia.Rect(x - 10, y - 9, x + 10, y + 11)
        canvas.drawRoundRect(knot, 7, 7, self.ink)
        canvas.drawRoundRect(knot, 7, 7, light)
        canvas.drawCircle(x, y + 1, 4.6, fill(colour(p.trim)))
        canvas.drawCircle(x - 1.4, y - 0.4, 1.5, fill(colour("#ffffff", 0.9)))

    def _hoodie(self, canvas: Any, body: Pose) -> None:
        self._bib(canvas, body, 270.0)
        p = self.palette
        zip_line = body.flat(np.array([[0, 266, 48], [0, 290, 48], [0, 340, 44]], float))
        canvas.drawPath(curve(zip_line), line(colour(p.outfit_line), 5.0))
        canvas.drawPath(curve(zip_line), line(colour(p.trim), 1.8))
        for side in (-1.0, 1.0):
            self._flap(canvas, body, side, HOOD, HOOD_INNER)
            cord = np.array([[30, 208, 46], [33, 232, 50], [30, 262, 50]], float) * (side, 1, 1)
            path = curve(body.flat(cord))
            canvas.drawPath(path, line(colour(p.outfit_line), 5.4))
            canvas.drawPath(path, line(colour(p.trim), 3.0))
            x, y = body.at(side * 30.0, 264.0, 50.0)
            canvas.drawCircle(x, y, 3.6, fill(colour(p.shirt)))

    def choker(self, canvas: Any, pose: Pose, body: Pose, neck: Any) -> None:
        """A ribbon round the throat with a small light."""
        w = 33.0 * self.look.neck
        spots = np.array(
            [
                [-w - 4, 130, -14],
                [-0.6 * w, 138, 8],
                [0, 141, 16],
                [0.6 * w, 138, 8],
                [w + 4, 130, -14],
            ]
        )
        across = 0.35 * pose.flat(spots) + 0.65 * body.flat(spots)
        canvas.save()
        canvas.clipPath(neck, True)
        canvas.drawPath(curve(across), line(colour(self.palette.outfit_dark), 8.0))
        canvas.restore()
        x, y = across[2].tolist()
        canvas.drawCircle(x, y + 3, 5.4, fill(colour(self.palette.outfit_dark)))
        canvas.drawCircle(x, y + 3, 3.4, fill(colour(self.palette.glow)))
