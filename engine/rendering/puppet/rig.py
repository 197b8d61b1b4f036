"""The solid under the drawing: a skull, a face and how they turn.

Design units: the face is about 190 wide. x to the viewer's right (the singer's left), y down, z
towards the viewer, origin between the eyes at skull depth. One metre is METRE units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import skia

from engine.rendering.puppet.pen import F64, Point
from kernels.outlines import flat

Row = tuple[float, float, float]
Affine = tuple[Row, Row]  # the upper two rows of a matrix

METRE = 1150.0  # design units per metre
CAMERA = 1700.0  # design units from the camera to the head at rest
NECK = np.array([0.0, 78.0, -22.0])  # what the head turns about
SKULL = np.array([0.0, -34.0, -8.0])  # centre of the hair's shell
SHELL = np.array([112.0, 120.0, 112.0])  # its radii
CROWN = math.radians(11.0)  # how far forward of the top the whorl lies
YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT = (math.radians(v) for v in (42.0, 30.0, 35.0))

# The face as a pile of ellipses: height, half width, depth of the centre, front and rear radius.
SLICES = np.array(
    [
        [-90.0, 86.0, 4.0, 74.0, 50.0],
        [-40.0, 94.0, 3.0, 84.0, 48.0],
        [0.0, 96.0, 2.0, 86.0, 42.0],
        [26.0, 95.0, 2.0, 86.0, 36.0],
        [48.0, 89.5, 6.0, 80.0, 32.0],
        [66.0, 79.0, 12.0, 73.0, 30.0],
        [82.0, 64.0, 22.0, 62.0, 28.0],
        [95.0, 46.0, 34.0, 47.0, 24.0],
        [105.0, 29.0, 45.0, 33.0, 18.0],
        [112.0, 14.0, 54.0, 20.0, 10.0],
        [115.0, 0.0, 64.0, 0.0, 0.0],
    ]
)
HEIGHTS = np.linspace(-90.0, 115.0, 206)
CONTOUR = np.array([-88.0, -60.0, -30.0, 0.0, 18.0, 36.0, 54.0, 70.0, 84.0, 96.0, 105.0, 111.5])


def _smooth_table() -> F64:
    """SLICES resampled every unit of height by monotone-ish cubic interpolation: [206, 4]."""
    y, values = SLICES[:, 0], SLICES[:, 1:]
    slope = np.gradient(values, y, axis=0)
    k = np.clip(np.searchsorted(y, HEIGHTS, side="right") - 1, 0, len(y) - 2)
    h = (y[k + 1] - y[k])[:, None]
    t = ((HEIGHTS - y[k]) / (y[k + 1] - y[k]))[:, None]
    a, b, m, n = values[k], values[k + 1], slope[k] * h, slope[k + 1] * h
    smooth = (1 + 2 * t) * (1 - t) ** 2 * a + t * (1 - t) ** 2 * m
    return np.asarray(smooth + t * t * (3 - 2 * t) * b + t * t * (t - 1) * n)


TABLE = _smooth_table()
ROWS = TABLE[:, :3].tolist()  # for single points, where numpy is slow


def slice_at(y: F64) -> tuple[F64, F64, F64, F64]:
    """Half width, centre depth, front and rear radius of the face at heights y."""
    columns = [np.asarray(np.interp(y, HEIGHTS, TABLE[:, k])) for k in range(4)]
    return columns[0], columns[1], columns[2], columns[3]


def face_depth(x: float, y: float) -> float:
    """z of the face's front at (x, y)."""
    place = min(max(y - HEIGHTS[0], 0.0), len(ROWS) - 1.001)
    k = int(place)
    share = place - k
    width, centre, front = (a + share * (b - a) for a, b in zip(ROWS[k], ROWS[k + 1], strict=True))
    inside = max(0.0, 1.0 - (x / max(width, 1.0)) ** 2)
    return float(centre + front * math.sqrt(inside))


def shell(longitude: F64, angle: F64, lift: F64 | float = 0.0) -> F64:
    """Points [n, 3] on the hair's shell.

    longitude: radians from straight ahead, > 0 to the viewer's right. angle: radians down from the
    whorl; past the equator the hair hangs straight down. lift: units outwards.
    """
    bowl = np.minimum(angle, 0.5 * np.pi)
    ring, down = np.sin(bowl), np.cos(bowl)
    radii = SHELL + np.asarray(lift)[..., None] * np.ones(3)
    x = radii[..., 0] * ring * np.sin(longitude)
    z = radii[..., 2] * ring * np.cos(longitude)
    y = -radii[..., 1] * down + SHELL[1] * (angle - bowl)
    lean = CROWN * np.clip(1.0 - angle / (0.5 * np.pi), 0.0, 1.0)
    cos, sin = np.cos(lean), np.sin(lean)
    return np.stack([x, y * cos + z * sin, z * cos - y * sin], axis=-1) + SKULL


def rotation(yaw: float, pitch: float, roll: float) -> F64:
    """Matrix [3, 3] of the head's turn in design axes; signs as in `signals.Motion`."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    turn = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    nod = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
    tilt = np.array([[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(tilt @ nod @ turn)


@dataclass(frozen=True)
class Pose:
    """Where a solid stands: turned by `matrix` about `pivot`, then moved by `shift` (units)."""

    matrix: F64
    pivot: F64
    shift: F64

    @cached_property
    def _moved(self) -> F64:
        return self.pivot + self.shift - self.matrix @ self.pivot

    @cached_property
    def _rows(self) -> list[list[float]]:
        """For single points, where numpy is slow."""
        return np.column_stack([self.matrix, self._moved]).tolist()

    def view(self, points: F64) -> F64:
        """Points [..., 3] as the camera meets them, before perspective."""
        return points @ self.matrix.T + self._moved

    def flat(self, points: F64) -> F64:
        """Points [..., 3] on the picture plane [..., 2], design units."""
        shape = points.shape[:-1]
        rows = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        return flat(rows, self.matrix, self._moved, CAMERA).reshape(*shape, 2)

    def at(self, x: float, y: float, z: float) -> Point:
        """One point on the picture plane."""
        rows = self._rows
        seen, high, depth = (a * x + b * y + c * z + moved for a, b, c, moved in rows)
        near = CAMERA / (CAMERA - depth)
        return seen * near, high * near

    def facing(self, normals: F64) -> F64:
        """How much directions [..., 3] look at the camera, -1 … 1."""
        return np.asarray(normals @ self.matrix[2])

    def across(self) -> tuple[float, float]:
        """The picture's left-to-right, untilted, in the head's own (x, z): cosine, sine of yaw."""
        tilt = math.atan2(self.matrix[0, 1], self.matrix[1, 1])
        row = math.cos(tilt) * self.matrix[0] - math.sin(tilt) * self.matrix[1]
        length = math.hypot(row[0], row[2])
        return float(row[0] / length), float(row[2] / length)

    def decal(
        self, x: float, y: float, z: float, slope: tuple[float, float] = (0.0, 0.0)
    ) -> Affine:
        """Matrix that lays local units on the face around (x, y, z).

        slope: how z changes per unit of x and of y there.
        """
        reach = 12.0
        u, v = self.at(x, y, z)
        right = self.at(x + reach, y, z + reach * slope[0])
        down = self.at(x, y + reach, z + reach * slope[1])
        across = (right[0] - u) / reach, (down[0] - u) / reach, u
        return across, ((right[1] - v) / reach, (down[1] - v) / reach, v)

    def outline(self, lift: float) -> Affine:
        """Ellipse of the hair's shell, `lift` units off, as a matrix of the unit circle."""
        spread = self.matrix @ np.diag((SHELL + lift) ** 2) @ self.matrix.T
        root = np.linalg.cholesky(spread[:2, :2])
        centre = self.view(SKULL)
        zoom = CAMERA / (CAMERA - centre[2])
        (a, b, u), (c, d, v) = (np.column_stack([root, centre[:2]]) * zoom).tolist()
        return (a, b, u), (c, d, v)


def skia_matrix(affine: Affine) -> skia.Matrix:
    matrix = skia.Matrix()
    matrix.setAll(*affine[0], *affine[1], 0.0, 0.0, 1.0)
    return matrix


def head_pose(head: F64) -> Pose:
    """Pose of the skull from `Motion.head`; angles beyond what can be drawn are softly held."""
    yaw, pitch, roll, x, y, z = (float(v) for v in head)
    matrix = rotation(
        soft_hold(yaw, YAW_LIMIT), soft_hold(pitch, PITCH_LIMIT), soft_hold(roll, ROLL_LIMIT)
    )
    return Pose(matrix, NECK, _shift(x, y, z))


def body_pose(head: F64, body: F64, breath: float) -> Pose:
    """Pose of the shoulders: turned by `Motion.body`, moved by part of the head's shift."""
    yaw, pitch, roll = (soft_hold(float(v), 0.5) for v in body)
    x, y, z = (float(v) for v in head[3:])
    shift = _shift(0.75 * x, 0.6 * y, z)
    shift[1] -= 5.0 * (breath - 0.4)
    return Pose(rotation(yaw, pitch, roll), np.array([0.0, 250.0, -30.0]), shift)


def soft_hold(value: float, limit: float) -> float:
    """The value itself up to 3/4 of the limit, then bending towards the limit."""
    knee = 0.75 * limit
    over = abs(value) - knee
    if over <= 0.0:
        return value
    room = limit - knee
    return math.copysign(knee + room * over / (room + over), value)


def _shift(x: float, y: float, z: float) -> F64:
    """Metres of head shift (y up) as design units (y down)."""
    reach = np.clip(np.array([x, -y, z]), -0.35, 0.35)
    return np.asarray(reach * METRE)


def contour(pose: Pose, jaw: F64, puff: float, squareness: float) -> F64:
    """Outline of the face as seen: [2 n + 2, 2] from the viewer's right temple round the chin.

    The widest point of every slice of the face in the direction of the picture. jaw: [3] units that
    the chin moves by. puff: 0 … 1 of blown cheeks.
    """
    y = CONTOUR
    width, centre, front, rear = slice_at(y)
    low = np.clip((y - 40.0) / 60.0, 0.0, 1.0)
    width = width + 9.0 * puff * np.exp(-(((y - 62.0) / 26.0) ** 2))
    width = width * (1.0 + (squareness - 1.0) * 0.9 * low)
    across = pose.across()
    width = width * (1.0 - 0.12 * abs(across[1]) * low)  # a turned jaw looks slimmer
    sides = []
    for sign in (1.0, -1.0):
        depth = np.where(sign * across[1] > 0.0, front, rear)
        angle = np.arctan2(sign * depth * across[1], sign * width * across[0])
        x, z = width * np.cos(angle), centre + depth * np.sin(angle)
        spots = np.stack([x, y, z], axis=-1) + low[:, None] * jaw
        sides.append(spots)
    chin = np.array([[0.0, 115.0, 62.0]]) + jaw
    brow = np.array([[0.0, -112.0, 50.0]])
    return pose.flat(np.concatenate([sides[0], chin, sides[1][::-1], brow]))
