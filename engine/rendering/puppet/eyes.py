"""Eyes and brows, drawn as the viewer's right ones, outer corner at +x; the left are mirrored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import skia

from engine.rendering.identity import Palette, PuppetLook
from engine.rendering.puppet.expression import Brow, Eye
from engine.rendering.puppet.pen import (
    F64,
    blend,
    colour,
    curve,
    fill,
    lens,
    line,
    linear,
    radial,
    shade,
    smoothing,
)

# Lids at five places from the inner to the outer corner, y down from the middle of the open eye.
ACROSS = np.array([-25.5, -19.5, -3.0, 16.0, 27.0])
UPPER = np.array([7.0, -12.5, -25.5, -19.5, -1.0])
LOWER = np.array([7.0, 15.2, 19.0, 15.5, -1.0])
SLEEPING = np.array([9.5, 14.5, 17.5, 14.0, 5.5])
LAUGHING = np.array([11.0, 1.5, -4.5, 0.5, 9.5])
LASH = np.array([1.7, 4.0, 5.8, 5.8, 3.2])  # thickness of the upper lashes there
IRIS = (16.6, 20.6)  # half width and half height
TRAVEL = (17.0, 14.0)  # units the iris moves per radian of gaze


SMOOTH = smoothing(13)


def steps(values: F64) -> F64:
    """Five places smoothed to thirteen."""
    return np.asarray(SMOOTH @ values)


X, OPEN_TOP, THICK = steps(ACROSS), steps(UPPER), steps(LASH)


class EyeArt:
    """Draws one Eye or Brow on a canvas whose origin is the middle of the open eye."""

    def __init__(self, palette: Palette, look: PuppetLook) -> None:
        self.look = look
        self.height, self.width = look.eye_height, look.eye_width
        self.lash = fill(colour(palette.lash))
        self.lash_line = line(colour(palette.lash), 2.0 * min(1.0, 0.4 + 0.6 * look.lash))
        self.lower = line(colour(blend(palette.lash, palette.skin_line, 0.45)), 1.5)
        self.inner = line(colour(palette.skin_line, 0.55), 1.0)
        self.crease = line(colour(blend(palette.skin_line, palette.skin_shade, 0.25), 0.85), 1.5)
        self.cheek = blend(palette.skin_line, palette.skin_shade, 0.4)
        self.white = shade(
            linear(
                (0.0, -26.0),
                (0.0, 16.0),
                [colour("#cfd2ea"), colour("#ffffff"), colour("#ffffff")],
                [0.0, 0.55, 1.0],
            )
        )
        self.shadow = fill(colour(blend(palette.lash, palette.eye_dark, 0.55), 0.34))
        self.brow = fill(colour(palette.brow))
        self._iris_paints(palette)

    def _iris_paints(self, palette: Palette) -> None:
        _, ry = IRIS
        dark, eye, light = palette.eye_dark, palette.eye, palette.eye_light
        self.iris = shade(
            linear(
                (0.0, -ry),
                (0.0, ry),
                [colour(dark), colour(blend(dark, eye, 0.55)), colour(eye), colour(light)],
                [0.05, 0.34, 0.62, 1.0],
            )
        )
        self.ring = line(colour(blend(dark, "#000000", 0.25)), 2.2)
        self.pupil = shade(
            linear(
                (0.0, -9.0),
                (0.0, 10.0),
                [colour(blend(dark, "#000000", 0.55)), colour(blend(dark, eye, 0.25))],
                [0.35, 1.0],
            )
        )
        glow = blend(light, "#ffffff", 0.35)
        self.glow = shade(
            radial((0.0, 14.0), 13.0, [colour(glow, 0.95), colour(glow, 0.0)], [0.0, 1.0])
        )
        self.spark = fill(colour("#ffffff"))
        self.soft_spark = fill(colour("#ffffff", 0.75))
        self.rim = line(colour(glow, 0.55), 1.6)

    def draw_eye(self, canvas: Any, eye: Eye, side: float) -> None:
        """Paint one eye; side: +1 for the viewer's right, -1 for the left."""
        canvas.save()
        canvas.scale(1.07 * side * self.width, 1.07 * self.height)
        upper, lower = lids(eye)
        if float(np.max(lower - upper)) > 0.6:
            self._ball(canvas, eye, side, upper, lower)
        self._lower_lid(canvas, eye, lower)
        self._upper_lid(canvas, eye, upper)
        self._crease(canvas, eye, upper)
        canvas.restore()

    def _ball(self, canvas: Any, eye: Eye, side: float, upper: F64, lower: F64) -> None:
        top, bottom = np.stack([X, upper], -1), np.stack([X, lower], -1)
        canvas.save()
        canvas.clipPath(lens(top, bottom), True)
        canvas.drawPaint(self.white)
        self._iris(canvas, eye, side)
        drop = 6.5 * (1.0 - 0.7 * eye.wide) * (1.0 - 0.75 * eye.closed)
        canvas.drawPath(lens(top - np.array([0.0, 30.0]), top + np.array([0.0, drop])), self.shadow)
        canvas.restore()

    def _iris(self, canvas: Any, eye: Eye, side: float) -> None:
        rx, ry = IRIS
        canvas.save()
        canvas.translate(side * TRAVEL[0] * eye.look[0] - 0.8, -TRAVEL[1] * eye.look[1] - 2.4)
        shrink = 1.0 - 0.07 * eye.wide
        canvas.scale(shrink / self.width**0.5, shrink / self.height**0.35)
        disc = skia.Rect(-rx, -ry, rx, ry)
        canvas.drawOval(disc, self.iris)
        canvas.drawOval(skia.Rect(-13.0, 1.0, 13.0, 19.0), self.glow)
        canvas.drawArc(skia.Rect(-12.4, -14.0, 12.4, 16.4), 25.0, 130.0, False, self.rim)
        canvas.drawOval(disc, self.ring)
        canvas.drawOval(skia.Rect(-6.4, -9.6, 6.4, 7.6), self.pupil)
        canvas.scale(side, 1.0)  # the light comes from one place for both eyes
        canvas.drawOval(skia.Rect(-12.2, -16.6, -1.6, -4.4), self.spark)
        canvas.drawCircle(7.2, 8.6, 3.1, self.spark)
        canvas.drawCircle(-8.8, 6.4, 1.5, self.soft_spark)
        canvas.restore()

    def _lower_lid(self, canvas: Any, eye: Eye, lower: F64) -> None:
        """Thin line under the outer two thirds; it melts into the lashes of a closed eye."""
        if eye.closed < 0.97:
            edge = np.stack([X, lower + 0.4], -1)
            canvas.drawPath(curve(edge[:5]), self.inner)
            canvas.drawPath(curve(edge[3:]), self.lower)
            if self.look.lash > 0.8:
                fade = 1.0 - eye.closed
                for k, reach in ((10, 4.6), (9, 3.6)):
                    canvas.drawLine(
                        X[k], lower[k], X[k] + reach * fade, lower[k] + 3.4 * fade, self.lower
                    )
        lift = max(0.0, eye.squint - 0.15)
        if lift > 0.0:
            fold = lower[3:10] + 5.5 + 1.5 * np.sin(np.linspace(0.0, math.pi, 7))
            paint = line(colour(self.cheek, min(0.8, lift)), 1.5)
            canvas.drawPath(curve(np.stack([X[3:10], fold], -1)), paint)

    def _upper_lid(self, canvas: Any, eye: Eye, upper: F64) -> None:
        closed = eye.closed
        thick = THICK * self.look.lash * (1.0 - 0.30 * closed)
        under = np.stack([X, upper + 0.5], -1)
        over = np.stack([X, upper - thick], -1)
        wing = np.array([[33.5, upper[-1] + (1.0 - closed) * -5.5 + closed * 3.2]])
        tip = wing if self.look.lash > 0.8 else under[-1:] + np.array([1.5, -0.5])
        canvas.drawPath(lens(np.vstack([under, tip]), np.vstack([over, tip])), self.lash)
        if self.look.lash <= 0.8:
            return
        for k, dx, rise, fall in ((9, 8.5, -6.8, 6.5), (11, 8.0, -3.4, 6.0)):
            base, dy = over[k], rise + (fall - rise) * closed
            spike = skia.Path()
            spike.moveTo(base[0] - 5.0, float(np.interp(base[0] - 5.0, X, over[:, 1])) + 1.0)
            spike.quadTo(base[0] + 0.45 * dx, base[1] + 0.15 * dy, base[0] + dx, base[1] + dy)
            spike.quadTo(base[0] + 0.7 * dx, base[1] + 0.75 * dy, base[0] + 1.0, base[1] + 3.6)
            spike.close()
            canvas.drawPath(spike, self.lash)

    def _crease(self, canvas: Any, eye: Eye, upper: F64) -> None:
        rest = OPEN_TOP - 11.5 - 2.5 * eye.wide
        fold = rest + 0.30 * (upper - OPEN_TOP)
        spots = np.stack([X * 0.94, fold], -1)[3:11]
        canvas.drawPath(curve(spots), self.crease)

    def draw_brow(self, canvas: Any, brow: Brow, side: float) -> None:
        """Paint one brow; the canvas stands on its middle."""
        canvas.save()
        canvas.scale(side, 1.0)
        x = np.linspace(-22.0, 25.0, 7)
        share = np.linspace(0.0, 1.0, 7)
        raised = (
            brow.inner * (1 - share) ** 2
            + 2 * brow.middle * share * (1 - share)
            + brow.outer * share**2
        )
        arch = -1.0 + 3.0 * share - 6.5 * np.sin(math.pi * share**0.9) - raised
        thick = 2.2 * self.look.brow * np.array([0.4, 0.9, 1.0, 0.92, 0.75, 0.45, 0.1])
        spots = np.stack([x, arch], -1)
        canvas.drawPath(
            lens(spots - thick[:, None] * (0, 1), spots + thick[:, None] * (0, 1)), self.brow
        )
        canvas.restore()


def lids(eye: Eye) -> tuple[F64, F64]:
    """Heights [13] of the upper and lower lid from the inner to the outer corner."""
    look_up = eye.look[1]
    bulge = np.array([0.0, 0.75, 1.0, 0.8, 0.1])
    upper = UPPER - bulge * (4.5 * eye.wide + 4.0 * look_up - 6.5 * eye.squint)
    lower = LOWER - bulge * (8.5 * eye.squint + 1.5 * look_up - 1.5 * eye.wide)
    shut = SLEEPING + (LAUGHING - SLEEPING) * eye.happy
    closed = eye.closed
    upper = upper + (shut - upper) * closed
    lower = lower + (shut - lower) * closed * (0.35 + 0.65 * closed)
    upper = np.minimum(upper, lower)
    return steps(upper), steps(lower)
