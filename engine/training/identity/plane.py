"""The plane through the face that landmarks are laid on, and where eyes on it look.

Metres; x to the singer's left, y up, the axis of the rasteriser's camera at 0. A video's camera is
not known: it is taken for one that is as far away as ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import INDEX
from engine.rendering.head import DISTANCE, FRAMINGS
from engine.rendering.head.rig import GAZE_LIMIT, LIMITS, finite
from engine.rendering.portrait.face import IRIS
from engine.rendering.portrait.fitting import FACE_DEPTH

F64 = NDArray[np.float64]

FAR = DISTANCE - FACE_DEPTH  # metres from the camera to the plane
MIDDLE = FRAMINGS["bust"].foot + 0.5 * FRAMINGS["bust"].tall  # y of the camera
ROBUST = 3.0  # deviations from which a landmark counts less
BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]


class Placing(NamedTuple):
    """Where the plane lies in the video. scale: metres of a pixel. column, row: the axis's."""

    scale: float
    column: float
    row: float

    def plane(self, pixels: NDArray) -> F64:
        """[..., 2] metres of pixels [..., 2]."""
        return np.asarray((pixels - [self.column, self.row]) * [self.scale, -self.scale])

    def picture(self, size: int) -> F64:
        """[2, 3] from a pixel of the video to one of a picture of `size` pixels, framing `bust`."""
        grow = size * self.scale / FRAMINGS["bust"].tall
        middle = 0.5 * size
        # continuous places: the middle of the upper left pixel is at ½, cv2 takes it for 0
        x, y = (middle - grow * (at - 0.5) - 0.5 for at in (self.column, self.row))
        return np.array([[grow, 0.0, x], [0.0, grow, y]])


def seen(world: NDArray) -> F64:
    """[..., 2] on the plane, of points [..., 3]."""
    far = DISTANCE - world[..., 2:]
    return np.asarray(FAR * (world[..., :2] - [0.0, MIDDLE]) / far)


def slopes(world: F64) -> F64:
    """[F, 468, 2, 3] of `seen`."""
    far = DISTANCE - world[..., 2]
    out = np.zeros((*world.shape[:2], 2, 3))
    out[..., 0, 0] = out[..., 1, 1] = FAR / far
    out[..., 2] = seen(world) / far[..., None]
    return out


def gaze(eyes: F64, plane: F64, turn: F64, shift: F64) -> F64:
    """[F, 2] radians, sideways and up, mean of both eyes: where the ray through an iris meets its
    eyeball. eyes: [2, 4] centres and radii. plane: [F, 478, 2]. turn: [F, 3, 3]. shift: [F, 3]."""
    out = np.zeros((len(plane), 2))
    for (*centre, radius), side in zip(eyes, ("Left", "Right"), strict=True):
        at = plane[:, IRIS[side][0]]
        ray = np.column_stack([at[:, 0], at[:, 1], np.full(len(at), -FAR)])
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        middle = turn @ np.array(centre) + shift
        apart = middle - [0.0, MIDDLE, DISTANCE]
        along = (ray * apart).sum(1)
        beside = np.maximum(radius**2 - (apart**2).sum(1) + along**2, 0.0)
        hit = (along - np.sqrt(beside))[:, None] * ray - apart
        own = (turn.transpose(0, 2, 1) @ hit[..., None])[..., 0]
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        out += np.column_stack([np.arctan2(own[:, 0], own[:, 2]), np.arcsin(own[:, 1])]) / 2
    return GAZE_LIMIT * np.arctanh(np.clip(out / GAZE_LIMIT, -0.9, 0.9))


def angles(turn: F64) -> F64:
    """[F, 3] yaw, pitch, roll that the rig turns into these turns [F, 3, 3]: see `rig.turning` and,
    for the bend before its limits, `rig.softly`."""
    yaw = -np.arcsin(np.clip(turn[:, 2, 0], -1.0, 1.0))
    pitch = np.arctan2(-turn[:, 2, 1], turn[:, 2, 2])
    roll = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    out = np.column_stack([yaw, pitch, roll])
    room = 0.25 * LIMITS
    over = np.clip(np.abs(out) - 0.75 * LIMITS, 0.0, 0.9 * room)
    return finite(np.where(over > 0, np.sign(out) * (3 * room + room * over / (room - over)), out))
