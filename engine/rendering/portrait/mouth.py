"""What shows between a photo's lips: teeth and tongue of our own head, in the photo's light."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.rendering.portrait.eyes import quads
from engine.rendering.portrait.face import Face
from engine.rendering.portrait.fitting import Likeness
from engine.rendering.portrait.sheet import Sheet
from kernels.deform import bend, normals, project
from kernels.warp import paint

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

CAVITY = np.array([50.0, 13.0, 14.0])  # 0 … 255, where nothing else is
THROAT, TIP = 0.052, 0.022  # metres behind the front teeth: where it is dark, where it is not yet
DARK = 0.10  # of the light that is left there
ABOVE = np.array([0.0, 0.55, 0.83])  # where the light comes from that falls into the mouth
INSIDE = (0.0, 0.0008, 0.0013)  # metres that the inside of a lip reaches into the opening …
BACK = (0.0, 0.0040, 0.0090)  # … and backwards
INSIDE_SHADE = (0.62, 0.45, 0.20), (0.92, 0.78, 0.45)  # of the upper and lower lip's colour there
CROWDED = 0.35  # of the opening's height, at most, is the inside of one lip
WIDER = 1.12  # the cavity is painted a little beyond the lips, which then cover it
REFERENCE = 0.66  # brightness of skin in the light that CAVITY and teeth are told for


class Mouth:
    """Teeth, tongue, the insides of the lips and the dark, fitted to a photo. Owns buffers only."""

    def __init__(self, face: Face, like: Likeness, sheet: Sheet, skin: F64, lips: F64) -> None:
        """skin: [3] the photo's skin, 0 … 255. lips: [2, n, 3] its lips along their edges."""
        turn = like.pose.turn
        upper, lower = self.rows = face.openings[2]
        count = len(upper)
        own = face.rest[[*upper, *lower]] @ turn.T
        theirs = sheet.points[[*upper, *lower]]
        wide = np.linalg.norm(theirs[count - 1] - theirs[0])
        self.size = float(wide / np.linalg.norm(own[count - 1] - own[0]))
        middle = own.mean(0)
        rest = (face.mouth_rest @ turn.T - middle) * self.size + theirs.mean(0)
        self.rest = rest.astype(np.float32)
        self.moved = (face.mouth_moved @ turn.T.astype(np.float32)) * np.float32(self.size)
        self.triangles = face.mouth_triangles
        deep = face.mouth_rest[:, 2].max() - face.mouth_rest[:, 2]
        light = np.clip((THROAT - deep) / (THROAT - TIP), 0.0, 1.0)
        self.depth = DARK + (1.0 - DARK) * light * light * (3.0 - 2.0 * light)
        self.light = _light(skin)
        self.ink = face.mouth_colour * 255.0 * self.light
        self.gloom = 0.6 * CAVITY * self.light * (1.0 - self.depth[:, None])
        self.along = np.ones(len(self.rest), np.float32)
        self.posed, self.picture, self.normal = np.empty((3, *self.rest.shape), np.float32)
        self.shade = np.ones((len(self.rest), 1))
        self.cavity = both_ways(quads(2, count))
        self.strip = both_ways(quads(len(BACK), count))
        self.lips = np.empty((2, len(BACK), count, 3), np.float32)
        colour = cv2.GaussianBlur(lips.astype(np.float32), (5, 1), 0)
        shades = np.array(INSIDE_SHADE)[..., None, None]
        self.lip_ink = (shades * colour[:, None]).reshape(2, -1, 3).astype(np.float32)

    def pose(self, weights: F32, spine: F32, camera: F32, sheet: F32) -> None:
        """Move by the 52 shapes and the head. sheet: [V, 3] the sheet's points, posed."""
        points = self.rest.copy()
        for shape in np.flatnonzero(weights[:52]):
            points += weights[shape] * self.moved[shape]
        bend(points, self.along, spine, self.posed)
        normals(self.posed, self.triangles, self.normal)
        project(self.posed, camera, self.picture)
        facing = 0.62 + 0.38 * np.abs(self.normal @ ABOVE)
        self.shade = (self.depth * facing)[:, None]
        self._pose_lips(sheet, spine[-1, :, 2], camera)

    def _pose_lips(self, sheet: F32, forwards: F32, camera: F32) -> None:
        edges = sheet[np.stack(self.rows)]
        gap = edges[1] - edges[0]
        height = np.linalg.norm(gap, axis=1, keepdims=True)
        inwards = gap / np.maximum(height, 1e-6)
        for k, (inside, back) in enumerate(zip(INSIDE, BACK, strict=True)):
            step = inwards * np.minimum(inside * self.size, CROWDED * height)
            self.lips[0, k] = edges[0] + step - back * self.size * forwards
            self.lips[1, k] = edges[1] - step - back * self.size * forwards
        flat = self.lips.reshape(-1, 3)
        project(flat, camera, flat)

    def draw(self, place: Callable[[F32], F32], nearest: F32, out: U8) -> None:
        """Paint into a window. place: points of the picture to the window."""
        lips = place(self.lips)
        hole = lips[:, 0].reshape(-1, 3).copy()
        hole[:, :2] = hole[:, :2].mean(0) + WIDER * (hole[:, :2] - hole[:, :2].mean(0))
        hole[:, 2] = 1e-6
        depth = np.repeat([0.55, 1.0], lips.shape[2])[:, None]
        colours = (CAVITY * self.light * depth).astype(np.float32)
        paint(hole, self.cavity, colours, nearest, out)
        ink = self.ink * self.shade + self.gloom
        ink = np.clip(ink, 0, 255).astype(np.float32)
        paint(place(self.picture), self.triangles, ink, nearest, out)
        for lip, colour in zip(lips, self.lip_ink, strict=True):
            paint(lip.reshape(-1, 3), self.strip, colour, nearest, out)


def between_lips(texture: U8, upper: F64, lower: F64) -> F64:
    """[n, 2] texels where shut lips part: below the dark line, which is the upper lip's shadow."""
    middle = (upper + lower) / 2
    across = middle[-1] - middle[0]
    width = float(np.linalg.norm(across))
    down = np.array([-across[1], across[0]]) / width
    steps = np.linspace(-0.02, 0.05, 29) * width
    at = (middle[:, None] + steps[None, :, None] * down - 0.5).astype(np.float32)
    grey = np.ascontiguousarray(texture[..., :3]).astype(np.float32).mean(-1)
    seen = cv2.remap(grey, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    darkest = seen[:, :18].argmin(1)
    lit = 0.35 * seen.min(1) + 0.65 * np.median(seen[:, 20:], axis=1)
    over = (np.arange(len(steps)) >= darkest[:, None]) & (seen >= lit[:, None])
    found = np.where(over.any(1), steps[over.argmax(1)], 0.0)
    taper = np.minimum(1.0, 4.0 * np.sin(np.linspace(0.0, np.pi, len(middle))))
    smooth = cv2.GaussianBlur(found[None], (5, 1), 0)[0] * taper
    return np.asarray(middle + np.maximum(smooth, 0.0)[:, None] * down)


def without_teeth(texture: U8, upper: F64, lower: F64, lips: F64) -> None:
    """Darken teeth that glint between lips which are all but shut; they would stick to the lips.

    texture: [h, w, 4], changed in place. upper, lower: [n, 2] texels, the lips' edges. lips:
    [2, n, 3] their colours.
    """
    slit = np.zeros(texture.shape[:2], np.uint8)
    outline = np.concatenate([upper, lower[::-1]]) - 0.5
    cv2.fillPoly(slit, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    cv2.polylines(slit, [np.round(outline * 16).astype(np.int32)], True, 255, 2, cv2.LINE_8, 4)
    lip = np.median(lips.reshape(-1, 3), axis=0)
    inks = texture[..., :3].astype(np.float64)
    red = inks[..., 0] - inks[..., 1:].mean(-1)
    bright = (inks.mean(-1) > 0.8 * lip.mean()) & (red < 0.75 * (lip[0] - lip[1:].mean()))
    teeth = ((slit > 0) & bright).astype(np.float32)
    share = np.maximum(teeth, cv2.GaussianBlur(teeth, (3, 3), 0))[..., None]
    texture[..., :3] = (inks * (1 - share) + 0.5 * lip * share).astype(np.uint8)


def both_ways(triangles: I32) -> I32:
    """Triangles seen from either side."""
    return np.concatenate([triangles, triangles[:, [0, 2, 1]]])


def _light(skin: F64) -> F64:
    """[3] the photo's light beside that of a well-lit face: its brightness and half its colour."""
    brightness = float(np.clip(skin.mean() / 255.0 / REFERENCE, 0.30, 1.12))
    usual = np.array([1.17, 0.98, 0.85])  # skin's own colour, beside its mean
    cast = np.clip(skin / max(float(skin.mean()), 1.0) / usual, 0.6, 1.5)
    return np.asarray(brightness * np.sqrt(cast))
