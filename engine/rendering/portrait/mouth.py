"""What shows between a photo's lips: teeth and tongue of our own head, in the photo's light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.rendering.portrait.face import Face
from engine.rendering.portrait.fitting import Likeness
from engine.rendering.portrait.sheet import Sheet
from kernels.deform import bend, normals, project
from kernels.warp import paint

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

CAVITY = np.array([46.0, 14.0, 16.0])  # 0 … 255, where nothing else is
DARKER = 0.016  # metres behind the front teeth where it is darker by a factor of e
WIDER = 1.12  # the cavity is painted a little beyond the lips, which then cover it
REFERENCE = 0.66  # brightness of skin in the light that CAVITY and teeth are told for


class Mouth:
    """Teeth, tongue and the dark behind them, fitted to one photo. Owns buffers, no memory."""

    def __init__(self, face: Face, like: Likeness, sheet: Sheet, skin: F64) -> None:
        """skin: [3] the photo's skin, 0 … 255."""
        turn = like.pose.turn
        self.rows = face.openings[2]
        upper, lower = self.rows
        own = face.rest[[*upper, *lower]] @ turn.T
        theirs = sheet.points[[*upper, *lower]]
        wide = np.linalg.norm(theirs[len(upper) - 1] - theirs[0])
        size = float(wide / np.linalg.norm(own[len(upper) - 1] - own[0]))
        from_, to = own.mean(0), theirs.mean(0)
        self.rest = (((face.mouth_rest @ turn.T) - from_) * size + to).astype(np.float32)
        self.moved = (face.mouth_moved @ turn.T.astype(np.float32)) * np.float32(size)
        self.triangles = face.mouth_triangles
        self.size = size
        self.front = float(self.rest[:, 2].max())
        self.light = _light(skin)
        self.ink = face.mouth_colour * 255.0 * self.light
        self.along = np.ones(len(self.rest), np.float32)
        self.posed, self.picture, self.normal = np.empty((3, *self.rest.shape), np.float32)
        count = len(upper)
        k = np.arange(count - 1)
        low = np.arange(count, 2 * count)
        strips = [np.stack([k, low[k], k + 1], 1), np.stack([k + 1, low[k], low[k + 1]], 1)]
        self.cavity = np.concatenate(strips).astype(np.int32)

    def pose(self, weights: F32, spine: F32, camera: F32) -> None:
        """Move by the 52 shapes and the head."""
        points = self.rest.copy()
        for shape in np.flatnonzero(weights[:52]):
            points += weights[shape] * self.moved[shape]
        bend(points, self.along, spine, self.posed)
        normals(self.posed, self.triangles, self.normal)
        project(self.posed, camera, self.picture)
        deep = (self.front - points[:, 2]) / (DARKER * self.size)
        self.shade = np.exp(-np.maximum(deep - 0.35, 0.0)) * (
            0.62 + 0.38 * np.abs(self.normal[:, 2])
        )

    def draw(self, lips: F32, magnify: F32, nearest: F32, out: U8) -> None:
        """Paint into a window. lips: [2, n, 3] upper and lower edge there. magnify: [3] factor from
        the picture to the window and its corner."""
        both = lips.reshape(-1, 3).copy()
        both[:, :2] = both[:, :2].mean(0) + WIDER * (both[:, :2] - both[:, :2].mean(0))
        both[:, 2] = 1e-6
        depth = np.repeat([0.55, 1.0], lips.shape[1])[:, None]
        colours = (CAVITY * self.light * depth).astype(np.float32)
        paint(both, self.cavity, colours, nearest, out)
        seen = self.picture.copy()
        seen[:, :2] = (seen[:, :2] - magnify[1:]) * magnify[0]
        ink = np.clip(self.ink * self.shade[:, None], 0, 255).astype(np.float32)
        paint(seen, self.triangles, ink, nearest, out)


def _light(skin: F64) -> F64:
    """[3] the photo's light beside that of a well-lit face: its brightness and half its colour."""
    brightness = float(np.clip(skin.mean() / 255.0 / REFERENCE, 0.30, 1.12))
    usual = np.array([1.17, 0.98, 0.85])  # skin's own colour, beside its mean
    cast = np.clip(skin / max(float(skin.mean()), 1.0) / usual, 0.6, 1.5)
    return np.asarray(brightness * np.sqrt(cast))
