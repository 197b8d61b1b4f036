"""The face: skin, shading, nose, cheeks, and where eyes, brows and mouth sit on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import skia

from engine.rendering.identity import Palette, PuppetLook
from engine.rendering.puppet.expression import Expression
from engine.rendering.puppet.eyes import EyeArt
from engine.rendering.puppet.mouth import MouthArt
from engine.rendering.puppet.pen import (
    Ramp,
    blend,
    colour,
    curve,
    fill,
    line,
    radial,
    shade,
)
from engine.rendering.puppet.rig import Pose, contour, face_depth, skia_matrix

EYE = (45.5, 15.0)  # middle of the viewer's right eye
SOCKET = 13.0  # units the eyes lie behind the face's surface
BROW = (46.0, -25.0)
MOUTH = 81.0
MOUTH_SIZE = 1.12
NOSE = 43.0
CHEEK = (54.0, 54.0)


class FaceArt:
    """Paints one identity's face."""

    def __init__(self, palette: Palette, look: PuppetLook) -> None:
        self.palette, self.look = palette, look
        self.eyes, self.mouth = EyeArt(palette, look), MouthArt(palette)
        self.ink = line(colour(palette.skin_line), 2.4)
        warm = blend(palette.skin, palette.skin_shade, 0.5)
        self.ramp = Ramp([colour(palette.skin), colour(palette.skin), colour(warm)], [0, 0.6, 1])
        self.shadow = fill(colour(palette.skin_shade, 0.75))
        self.nose_ink = line(colour(blend(palette.skin_line, palette.skin_shade, 0.3)), 1.9)
        self.nose_fill = fill(colour(palette.skin_shade, 0.65))
        self.nose_light = fill(colour("#ffffff", 0.75))
        self.mark = blend(palette.skin_line, palette.skin_shade, 0.4)

    def outline(self, pose: Pose, expression: Expression) -> Any:
        """Closed path of the face as seen."""
        jaw = np.array([expression.chin[0], expression.chin[1], expression.chin[2]])
        return curve(contour(pose, jaw, expression.puff, self.look.jaw), closed=True)

    def skin(
        self, canvas: Any, pose: Pose, outline: Any, hair: Any, expression: Expression
    ) -> None:
        """Skin with the shadow that the hair, one path, throws on it, and the cheeks."""
        top, bottom = pose.at(0.0, -40.0, 60.0)[1], pose.at(0.0, 122.0, 50.0)[1]
        canvas.drawPath(outline, self.ink)
        canvas.drawPath(outline, self.ramp.paint(top, bottom))
        canvas.save()
        canvas.clipPath(outline, True)
        canvas.save()
        drop = pose.matrix[:2, 1] * 9.0
        canvas.translate(float(drop[0]) + 2.0, float(drop[1]))
        canvas.drawPath(hair, self.shadow)
        canvas.restore()
        self._cheeks(canvas, pose, expression)
        canvas.restore()

    def _cheeks(self, canvas: Any, pose: Pose, expression: Expression) -> None:
        """Blush, stronger with a smile, and the light on blown cheeks."""
        for k, side in enumerate((-1.0, 1.0)):
            raised = expression.cheeks[k]
            strength = self.look.blush * (0.36 + 0.22 * expression.smile + 0.2 * raised)
            strength += 0.25 * expression.puff
            ink = self.palette.blush
            ramp = radial((0, 0), 24.0, [colour(ink, strength), colour(ink, 0.0)], [0.15, 1.0])
            canvas.save()
            canvas.concat(_on_face(pose, side * CHEEK[0], CHEEK[1] - 4.0 * raised))
            canvas.scale(1.0 + 0.15 * expression.puff, 0.56 + 0.25 * expression.puff)
            canvas.drawCircle(0, 0, 24.0, shade(ramp))
            canvas.restore()
            if expression.puff > 0.02:
                self._puff_mark(canvas, pose, side, expression.puff)

    def _puff_mark(self, canvas: Any, pose: Pose, side: float, puff: float) -> None:
        canvas.save()
        canvas.concat(_on_face(pose, side * 62.0, 66.0))
        canvas.scale(side, 1.0)
        arc = skia.Path()
        arc.moveTo(-22.0, 0.0)
        arc.quadTo(-19.0, 13.0, -6.0, 16.0)
        canvas.drawPath(arc, line(colour(self.mark, 0.8 * puff), 1.6))
        canvas.restore()

    def nose(self, canvas: Any, pose: Pose, expression: Expression) -> None:
        """A small shaded wedge: the tip stands out, so it shows which way the face looks."""
        sneer = 0.5 * sum(expression.sneer)
        depth = face_depth(0.0, NOSE)
        up = 2.2 * sneer
        wedge = np.array(
            [
                [1.0, NOSE - 13.0, depth + 5.0],
                [0.5, NOSE - up, depth + 17.0],
                [4.5, NOSE + 2.5 - up, depth + 9.0],
                [4.0, NOSE - 3.0, depth + 4.0],
            ]
        )
        spots = pose.flat(wedge)
        path = skia.Path()
        path.addPoly([skia.Point(*spot) for spot in spots.tolist()], True)
        canvas.drawPath(path, self.nose_fill)
        base = np.array(
            [[-3.5, NOSE + 2.2 - up, depth + 9.0], [0.3, NOSE + 3.4 - up, depth + 14.0], wedge[2]]
        )
        canvas.drawPath(curve(pose.flat(base)), self.nose_ink)
        x, y = pose.at(-1.2, NOSE - 4.0 - up, depth + 15.0)
        canvas.drawCircle(x, y, 1.7, self.nose_light)
        for k, side in enumerate((-1.0, 1.0)):
            if expression.sneer[k] > 0.02:
                self._wrinkle(canvas, pose, side, expression.sneer[k])

    def _wrinkle(self, canvas: Any, pose: Pose, side: float, strength: float) -> None:
        paint = line(colour(self.mark, 0.6 * strength), 1.4)
        depth = face_depth(0.0, 24.0) + 6.0
        for dy in (0.0, 7.0):
            marks = np.array([[side * 5.0, 20.0 + dy, depth], [side * 9.5, 18.0 + dy, depth - 4.0]])
            (x0, y0), (x1, y1) = pose.flat(marks).tolist()
            canvas.drawLine(x0, y0, x1, y1, paint)
        wing = np.array([[side * 8.0, NOSE - 3.0, depth], [side * 10.5, NOSE + 2.0, depth - 2.0]])
        (x0, y0), (x1, y1) = pose.flat(wing).tolist()
        canvas.drawLine(x0, y0, x1, y1, paint)

    def lips(self, canvas: Any, pose: Pose, expression: Expression) -> None:
        """The mouth, sinking a little with the jaw."""
        y = MOUTH + 0.14 * expression.chin[1]
        canvas.save()
        slope = (0.0, (face_depth(0.0, y + 8.0) - face_depth(0.0, y - 8.0)) / 16.0)
        canvas.concat(skia_matrix(pose.decal(0.0, y, face_depth(0.0, y) + 3.0, slope)))
        canvas.scale(MOUTH_SIZE, MOUTH_SIZE)
        self.mouth.draw(canvas, expression.mouth)
        canvas.restore()

    def both_eyes(self, canvas: Any, pose: Pose, expression: Expression) -> None:
        """Eyes, each laid into its socket."""
        for eye, side in zip(expression.eyes, (-1.0, 1.0), strict=True):
            canvas.save()
            canvas.concat(_on_face(pose, side * EYE[0], EYE[1], -SOCKET))
            self.eyes.draw_eye(canvas, eye, side)
            canvas.restore()

    def both_brows(self, canvas: Any, pose: Pose, expression: Expression) -> None:
        """Brows, drawn over the fringe so that they always tell."""
        for brow, side in zip(expression.brows, (-1.0, 1.0), strict=True):
            canvas.save()
            canvas.concat(_on_face(pose, side * BROW[0], BROW[1], -SOCKET + 6.0))
            self.eyes.draw_brow(canvas, brow, side)
            canvas.restore()

    def throat(self, canvas: Any, pose: Pose, outline: Any, neck: Any) -> None:
        """Shadow that the head throws on the neck; painted before the face."""
        canvas.save()
        canvas.clipPath(neck, True)
        canvas.translate(float(pose.matrix[0, 1]) * 20.0 + 4.0, 20.0)
        canvas.drawPath(outline, fill(colour(self.palette.skin_shade)))
        canvas.restore()


def _on_face(pose: Pose, x: float, y: float, dz: float = 0.0) -> Any:
    """Matrix that lays a drawing on the face's surface, averaged over the width of an eye."""
    reach = 16.0
    left, right = face_depth(x - reach, y), face_depth(x + reach, y)
    slope = 0.72 * (right - left) / (2 * reach)
    return skia_matrix(pose.decal(x, y, 0.5 * (left + right) + dz, (slope, 0.0)))
