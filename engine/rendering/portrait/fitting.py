"""How the head in a photo stands: our own face turned, sized and shaped until it fits.

Space is the singer's: metres at our own head's size, x to the picture's right, y up, z towards the
camera, the origin between the eyeballs. The photo's pose is its rest: nothing is turned upright.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from engine.rendering.portrait.face import LIPS, POINTS, Face

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DISTANCE = 1.35  # metres from the camera to the origin: how portraits are taken
FACE_DEPTH = 0.09  # metres: where sizes are measured
JAW = (
    152, 148, 176, 149, 150, 136, 172, 377, 400, 378, 379, 365, 397, 288, 58, 361, 132, 199, 200,
    18, 175, 83, 313, 201, 421, 208, 428, 171, 396, 32, 262, 194, 418,
)  # fmt: skip
STEADY = np.setdiff1d(np.arange(POINTS), [*LIPS, *JAW])  # points that say how the head stands


class Pose(NamedTuple):
    """turn: [3, 3] from our own head's axes to the singer's. camera: [6] as
    `kernels.deform.project` takes it."""

    turn: F64
    camera: F32

    @property
    def scale(self) -> float:
        """Pixels per metre at the face."""
        return float(self.camera[0]) / (DISTANCE - FACE_DEPTH)

    def project(self, points: NDArray) -> F64:
        """Pixels [..., 2] of points [..., 3] in the singer's space."""
        far = DISTANCE - points[..., 2]
        x = self.camera[1] + self.camera[0] * points[..., 0] / far
        y = self.camera[2] - self.camera[0] * points[..., 1] / far
        return np.stack([x, y], -1)

    def lift(self, places: NDArray, depth: NDArray | float) -> F64:
        """Points [..., 3] at pixels [..., 2] and depths z."""
        z = np.broadcast_to(np.asarray(depth, np.float64), places.shape[:-1])
        far = DISTANCE - z
        x = (places[..., 0] - self.camera[1]) * far / self.camera[0]
        y = (self.camera[2] - places[..., 1]) * far / self.camera[0]
        return np.stack([x, y, z], -1)

    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll of the photo's head in radians, signs as in `signals.Motion`."""
        t = self.turn
        yaw = -float(np.arcsin(np.clip(t[2, 0], -1.0, 1.0)))
        return yaw, float(np.arctan2(t[2, 1], t[2, 2])), float(np.arctan2(t[1, 0], t[0, 0]))


def stand(model: NDArray, places: NDArray) -> Pose:
    """The pose in which model points [n, 3] come nearest to places [n, 2] of the picture."""
    middle, spread = places.mean(0), places.std()
    size = spread / model[:, :2].std() * (DISTANCE - FACE_DEPTH)
    start = np.array([0.0, 0.0, 0.0, np.log(size), *middle])

    def pose(p: F64) -> Pose:
        camera = np.array([np.exp(p[3]), p[4], p[5], 0.0, 0.0, DISTANCE], np.float32)
        return Pose(np.asarray(cv2.Rodrigues(p[:3])[0], np.float64), camera)

    def off(p: F64) -> F64:
        focal, turn = np.exp(p[3]), cv2.Rodrigues(p[:3])[0]
        x, y, z = turn @ model.T
        far = DISTANCE - z
        there = np.stack([p[4] + focal * x / far, p[5] - focal * y / far], -1)
        return np.asarray((there - places).ravel() / spread)

    scale = np.array([1, 1, 1, 1, spread, spread])
    found = least_squares(off, start, loss="soft_l1", f_scale=0.05, x_scale=scale)
    return pose(found.x)


class Likeness(NamedTuple):
    """Our own face in the photo's likeness. points: [P, 3] as in the photo. places: [P, 2] their
    pixels. own: [P, 3] our own face's points in that pose, unlike the person's."""

    pose: Pose
    points: F64
    places: F64
    own: F64


def liken(face: Face, landmarks: NDArray) -> Likeness:
    """Fit our own face to a photo's landmarks [478, 2], pixels."""
    pose = stand(face.rest[STEADY].astype(np.float64), landmarks[STEADY])
    own = face.rest @ pose.turn.T
    seen = pose.project(own)
    apart = landmarks[:POINTS] - seen[:POINTS]
    apart = np.concatenate([apart, apart[face.halves].mean(1)])
    places = seen + apart
    return Likeness(pose, pose.lift(places, own[:, 2]), places, own)
