"""The headset: band, two cups, and a microphone on the singer's left. The character's mark.

It is worn over the hair and painted after it. The face hides what looks away, and the cup that
turns away slides back behind the cheek, so nothing ever jumps between in front and behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import skia

from engine.rendering.identity import Palette
from engine.rendering.puppet.pen import (
    F64,
    blend,
    colour,
    curve,
    fill,
    line,
    radial,
    shade,
    smoothing,
)
from engine.rendering.puppet.rig import SHELL, SKULL, Pose, shell

EAR = np.array([118.0, 12.0, -20.0])  # middle of the viewer's right cup
KNOTS = (
    (116.0, 30.0, -8.0),
    (110.0, 62.0, 22.0),
    (88.0, 86.0, 58.0),
    (62.0, 99.0, 82.0),
    (44.0, 101.0, 92.0),
)
ARM = smoothing(17) @ np.array(KNOTS)  # the microphone's arm
DRUM = ((-12.0, 24.0), (-6.0, 27.0), (4.0, 26.0), (9.0, 19.0), (9.0, 11.0))  # along a cup, radius
ROUND = 16  # points on a circle
HORIZON = -0.2  # facing at which the band, standing off the hair, sinks behind it
SLIDE = 95.0  # units that a cup turned fully away slides back


def _arch() -> F64:
    """The headband's middle [25, 3], from ear to ear."""
    angle = np.linspace(-1.8, 1.8, 25)
    side = np.where(angle < 0, -1.0, 1.0) * np.pi / 2
    lift = 4.0 + 8.0 * (angle / 1.8) ** 2
    forwards = np.stack([0 * angle, 0 * angle, 8.0 - 18.0 * (angle / 1.8) ** 2], -1)
    return shell(side, np.abs(angle), lift) + forwards


def _ring(along: float, radius: float) -> F64:
    """Circle [ROUND, 3] about the ear, `along` units outside of it."""
    angle = np.linspace(0.0, 2 * np.pi, ROUND, endpoint=False)
    y, z = EAR[1] + radius * np.sin(angle), EAR[2] + radius * np.cos(angle)
    return np.stack([np.full(ROUND, EAR[0] + along), y, z], axis=-1)


ARCH = _arch()
ARCH_NORMALS = (ARCH - SKULL) / SHELL
ARCH_NORMALS /= np.linalg.norm(ARCH_NORMALS, axis=-1, keepdims=True)
CUP = np.stack([_ring(*slice_) for slice_ in DRUM])  # the last one is its light


class HeadsetArt:
    """Paints one identity's headset."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        dark = palette.outfit_line
        self.ink = butt(line(colour(dark), 13.0))
        self.band = butt(line(colour(palette.headset), 9.0))
        self.sheen = line(colour(palette.glow, 0.9), 1.8)
        self.rim = line(colour(dark), 3.2)
        self.body = fill(colour(palette.headset))
        self.pad = fill(colour(blend(palette.headset, palette.outfit_dark, 0.65)))
        self.face = fill(colour(blend(palette.headset, palette.outfit_dark, 0.12)))
        self.arm_ink, self.arm = line(colour(dark), 6.0), line(colour(palette.headset), 3.4)
        self.glow = line(colour(palette.glow), 3.0)
        self.heart = fill(colour(palette.glow))
        self.capsule = fill(colour(palette.outfit_line))
        light = blend(palette.outfit, "#ffffff", 0.4)
        inks = [colour(light), colour(palette.outfit_dark)]
        self.ball = shade(radial((-2.5, -2.5), 9.0, inks, [0.0, 1.0]))

    def headband(self, canvas: Any, pose: Pose, skull: Any) -> None:
        """The band over the hair; what has gone over the horizon of the skull is cut by it."""
        spots, seen = pose.flat(ARCH), np.flatnonzero(pose.facing(ARCH_NORMALS) > HORIZON)
        runs = np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1)
        whole = curve(spots)
        near = [spots[run] for run in runs if len(run) > 1]
        paints = self.ink, self.band, self.sheen
        if len(seen) < len(ARCH):
            _draw_outside(canvas, skull, whole, paints)
        for path in map(curve, near):
            _draw(canvas, path, paints)
        canvas.save()
        canvas.clipPath(skull, True)
        for run in near:
            for end, inner in ((run[0], run[1]), (run[-1], run[-2])):
                self._close(canvas, end, inner)
        canvas.restore()

    def _close(self, canvas: Any, end: F64, inner: F64) -> None:
        """Ink across an end of the band's visible part."""
        step = (end - inner) / max(1e-6, float(np.hypot(*(end - inner))))
        (x0, y0), (x1, y1) = end.tolist(), (end + 1.8 * step).tolist()
        canvas.drawLine(x0, y0, x1, y1, self.ink)

    def cups(self, canvas: Any, pose: Pose, face: Any) -> None:
        """Both cups; each is a short drum whose axis is the head's x. face: hides the far one."""
        for side in (-1.0, 1.0):
            canvas.save()
            if _away(pose, side) > 0.0:
                canvas.clipPath(face, skia.ClipOp.kDifference, True)
            self._cup(canvas, pose, side)
            canvas.restore()

    def _cup(self, canvas: Any, pose: Pose, side: float) -> None:
        away = (0.0, 0.0, SLIDE * _away(pose, side))
        *rings, disc = pose.flat(CUP * (side, 1.0, 1.0) - away)
        hull = _hull(rings)
        canvas.drawPath(hull, self.rim)
        canvas.drawPath(hull, self.body)
        near = pose.facing(np.array([side, 0.0, 0.0])) > 0.0
        if not near:
            canvas.drawPath(_loop(rings[0]), self.pad)
            return
        canvas.drawPath(_hull(rings[:2]), self.pad)
        canvas.drawPath(_hull(rings[1:]), self.body)
        canvas.drawPath(_loop(rings[3]), self.face)
        canvas.drawPath(_loop(disc), self.glow)

    def microphone(self, canvas: Any, pose: Pose, jaw: float, face: Any) -> None:
        """The arm along the jaw and the capsule. jaw: units down. face: hides what looks away."""
        share = np.linspace(0.0, 1.0, len(ARM))[:, None]
        dense = ARM + share * (0.0, 0.55 * jaw, 0.0)
        dense = dense - (1.0 - share) ** 2 * (0.0, 0.0, SLIDE * _away(pose, 1.0))
        normal = dense * (1.0, 0.0, 1.0) - (0.0, 0.0, 18.0)
        seen = pose.facing(normal / np.linalg.norm(normal, axis=-1, keepdims=True)) > 0.0
        spots, first = pose.flat(dense), int(np.argmax(seen))
        near, whole = curve(spots[first:]), curve(spots)
        paints = self.arm_ink, self.arm
        if first > 0:
            _draw_outside(canvas, face, whole, paints)
        _draw(canvas, near, paints)
        x, y = spots[-1].tolist()
        canvas.save()
        canvas.translate(x, y)
        canvas.drawCircle(0.0, 0.0, 8.2, self.capsule)
        canvas.drawCircle(0.0, 0.0, 6.6, self.ball)
        canvas.drawCircle(3.0, 3.4, 1.6, self.heart)
        canvas.restore()


def butt(paint: Any) -> Any:
    """The paint with its lines cut straight."""
    paint.setStrokeCap(skia.Paint.kButt_Cap)
    return paint


def _draw(canvas: Any, path: Any, paints: Sequence[Any]) -> None:
    """Draw a path, one paint over the other."""
    for paint in paints:
        canvas.drawPath(path, paint)


def _draw_outside(canvas: Any, hides: Any, path: Any, paints: Sequence[Any]) -> None:
    """Draw what is not hidden."""
    canvas.save()
    canvas.clipPath(hides, skia.ClipOp.kDifference, True)
    _draw(canvas, path, paints)
    canvas.restore()


def _away(pose: Pose, side: float) -> float:
    """How far one side of the head is turned from the viewer, 0 … 1."""
    return max(0.0, -float(pose.facing(np.array([side, 0.0, 0.0]))))


def _loop(spots: F64) -> Any:
    return curve(spots, closed=True)


def _hull(rings: list[F64]) -> Any:
    """Convex outline round rings [ROUND, 2]."""
    points = np.concatenate(rings).astype(np.float32)
    return _loop(cv2.convexHull(points)[:, 0].astype(np.float64)) if len(points) else skia.Path()
