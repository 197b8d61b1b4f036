"""A head's asset, and its geometry at one motion.

`rig.npz` holds what moves, `colour.webp` and `surface.webp` how it looks. Lengths are metres; x to
the singer's left, y up, z forward; the eyes rest at y = 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import ARKIT, INDEX, LOOK_RANGE
from engine.signals import Motion
from kernels.deform import bend, blend, combine, normals

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

FRAMES = 17  # of the spine, trunk to skull
TRUNK = np.array([0.0, -0.42, -0.03])  # what the shoulders turn about
LIMITS = np.radians([50.0, 32.0, 36.0])  # yaw, pitch, roll that still look like a neck
GAZE_LIMIT = 0.55  # radians
SWING_LIMIT = 0.40
BREATH_LIMIT = 1.2


class BadRig(ValueError):
    """A head asset that cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Hair:
    """Ribbons. points, normals: [R, K, 3]. width, open_, hang: [R, K]: metres, 0 … 1 of sky that is
    seen, 0 (root) … 1 of how freely it hangs. tint: [R, K, 3] albedo. shift: [R] radians. kind: [R]
    row of the pattern. strand: [R] bool, drawn as one fine hair. shown: [R, K] 0 where others lie
    over it wherever one looks from."""

    points: F32
    normals: F32
    width: F32
    open_: F32
    hang: F32
    tint: F32
    shift: F32
    kind: U8
    strand: NDArray[np.bool_]
    shown: U8


@dataclass(frozen=True)
class Rig:
    """Everything that a head is at rest. Vertices of part p: ends[p] : ends[p + 1]."""

    control: F32
    shape_starts: I32
    shape_index: I32
    shape_moved: F32
    mix_starts: I32
    mix_index: I32
    mix_share: F32
    along: F32
    triangles: I32
    corners: F32
    parts: tuple[str, ...]
    ends: tuple[int, ...]
    triangle_part: U8
    casters: I32
    strand_starts: I32
    strand_width: F32
    strand_kind: U8
    eyes: F32
    neck: F32
    hair: Hair
    pattern: U8
    look: dict


class Posed(NamedTuple):
    """points, normals: [V, 3]. spine: [FRAMES, 3, 4] affine frames, trunk to skull."""

    points: F32
    normals: F32
    spine: F32


def read_rig(folder: Path) -> Rig:
    """Read `rig.npz` of an identity. Raises BadRig."""
    path = folder / "rig.npz"
    try:
        with np.load(path, allow_pickle=False) as z:
            data = {name: z[name] for name in z.files}
        return _rig(data)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise BadRig(f"{path}: {error}") from None


def _rig(z: dict[str, NDArray]) -> Rig:
    def f32(name: str, scale: float = 1.0) -> F32:
        return np.ascontiguousarray(z[name].astype(np.float32) * np.float32(scale))

    def i32(name: str) -> I32:
        return np.ascontiguousarray(z[name].astype(np.int32))

    hair = Hair(
        points=f32("hair_points", 1e-5),
        normals=_unit(f32("hair_normals")),
        width=f32("hair_width", 1e-5),
        open_=f32("hair_open", 1 / 255),
        hang=f32("hair_hang", 1 / 255),
        tint=f32("hair_tint", 1 / 65535),
        shift=f32("hair_shift"),
        kind=z["hair_kind"].astype(np.uint8),
        strand=z["hair_strand"].astype(bool),
        shown=z["hair_shown"].astype(np.uint8),
    )
    look = json.loads(bytes(z["look"]).decode())
    return Rig(
        control=f32("control"),
        shape_starts=i32("shape_starts"),
        shape_index=i32("shape_index"),
        shape_moved=f32("shape_moved", 1e-3),
        mix_starts=i32("mix_starts"),
        mix_index=i32("mix_index"),
        mix_share=f32("mix_share"),
        along=f32("along", 1 / 255),
        triangles=i32("triangles"),
        corners=f32("corners", 1 / 16),
        parts=tuple(look["parts"]),
        ends=tuple(int(n) for n in z["ends"]),
        triangle_part=z["triangle_part"].astype(np.uint8),
        casters=i32("casters"),
        strand_starts=i32("strand_starts"),
        strand_width=f32("strand_width", 1e-6),
        strand_kind=z["strand_kind"].astype(np.uint8),
        eyes=f32("eyes"),
        neck=f32("neck"),
        hair=hair,
        pattern=np.ascontiguousarray(z["pattern"]),
        look=look,
    )


def read_texture(folder: Path, scale: float) -> U8:
    """[h, w, 5] square roots of albedo, openness, gloss, at `scale` of their stored size."""
    layers = []
    for name in ("colour.webp", "surface.webp"):
        path = folder / name
        stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if stored is None:
            raise BadRig(f"{path}: no picture that can be read")
        size = round(stored.shape[1] * scale), round(stored.shape[0] * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        layers.append(cv2.resize(stored, size, interpolation=way)[..., ::-1])
    return np.ascontiguousarray(np.concatenate([layers[0], layers[1][..., :2]], axis=-1))


def _unit(x: F32) -> F32:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.float32(1e-6))


# ---- a motion ------------------------------------------------------------------------------------


def finite(values: object) -> F64:
    """Numbers as they are, anything else as rest: one bad frame must not break the show."""
    return np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)


def softly(value: F64, limit: F64 | float) -> F64:
    """The value itself up to 3/4 of the limit, then bending towards the limit."""
    limit = np.asarray(limit, np.float64)
    over = np.maximum(np.abs(value) - 0.75 * limit, 0.0)
    room = 0.25 * limit
    return np.asarray(
        np.where(over > 0, np.sign(value) * (0.75 * limit + room * over / (room + over)), value)
    )


def turning(yaw: float, pitch: float, roll: float) -> F64:
    """[3, 3] of a turn whose signs are those of `signals.Motion`."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def shape_weights(motion: Motion) -> F32:
    """[53] weights: the 52 shapes as a face can wear them, then the breath."""
    w = np.clip(finite(motion.blendshapes), 0.0, 1.0)
    for side in ("Left", "Right"):
        blink = w[INDEX[f"eyeBlink{side}"]]
        for name in ("eyeWide", "eyeSquint", "eyeLookDown", "eyeLookUp"):
            w[INDEX[name + side]] *= 1.0 - blink  # the lid has only so far to go
    w[INDEX["mouthClose"]] = min(w[INDEX["mouthClose"]], w[INDEX["jawOpen"]])
    breath = float(np.clip(finite(motion.breath), 0.0, BREATH_LIMIT))
    return np.append(w, breath).astype(np.float32)


def gazes(motion: Motion) -> F64:
    """[2, 2] sideways and up of the singer's left and right eye: the gaze, or what the eyeLook
    shapes say where there is none."""
    gaze = finite(motion.gaze)
    w = np.clip(finite(motion.blendshapes), 0.0, 1.0)
    out = np.empty((2, 2))
    for row, (side, sign) in enumerate((("Left", 1.0), ("Right", -1.0))):
        outwards = w[INDEX[f"eyeLookOut{side}"]] - w[INDEX[f"eyeLookIn{side}"]]
        upwards = w[INDEX[f"eyeLookUp{side}"]] - w[INDEX[f"eyeLookDown{side}"]]
        said = np.array([sign * outwards, upwards]) * LOOK_RANGE
        out[row] = np.where(gaze != 0.0, gaze, said)
    return GAZE_LIMIT * np.tanh(out / GAZE_LIMIT)


def spine(motion: Motion, neck: F32) -> F32:
    """[FRAMES, 3, 4]: where the frames between trunk and skull stand.

    neck: [2, 3] where the neck leaves the trunk and where the skull sits on it. The trunk turns by
    `motion.body`, the skull by `motion.head`; the neck between them bends like a rod.
    """
    head, body = finite(motion.head), softly(finite(motion.body), 0.5)
    skull = turning(*softly(head[:3], LIMITS))
    trunk = turning(*body)
    shift = np.clip(head[3:], -0.35, 0.35)
    low, high = neck.astype(np.float64)
    between = _between(trunk, skull)
    joints = np.linspace(low, high, FRAMES)
    steps = np.einsum("kij,kj->ki", between[1:], np.diff(joints, axis=0))
    place = np.cumsum(np.concatenate([[trunk @ (low - TRUNK) + TRUNK], steps]), axis=0)
    share = np.linspace([0.75, 0.6, 1.0], 1.0, FRAMES)
    out = np.empty((FRAMES, 3, 4))
    out[..., :3] = between
    out[..., 3] = place - np.einsum("kij,kj->ki", between, joints) + share * shift
    return out.astype(np.float32)


def _between(a: F64, b: F64) -> F64:
    """[FRAMES, 3, 3] turns from a to b along the shortest way, at equal angles (Rodrigues)."""
    vector = cv2.Rodrigues(a.T @ b)[0].ravel()
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    about = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    at = np.linspace(0, angle, FRAMES)[:, None, None]
    return np.asarray(a @ (np.eye(3) + np.sin(at) * about + (1 - np.cos(at)) * (about @ about)))


class Poser:
    """Computes geometry; owns the buffers that a picture needs, and no memory of what was drawn."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._control = np.empty_like(rig.control)
        self._mixed = np.empty((len(rig.along), 3), np.float32)
        self._points = np.empty_like(self._mixed)
        self._normals = np.empty_like(self._mixed)
        self._eyes = [slice(*self._range(f"eye_{side}")) for side in "lr"]

    def _range(self, part: str) -> tuple[int, int]:
        k = self.rig.parts.index(part)
        return self.rig.ends[k], self.rig.ends[k + 1]

    def pose(self, motion: Motion) -> Posed:
        """Geometry of one motion; the arrays are good until the next call."""
        rig = self.rig
        blend(
            rig.control, shape_weights(motion), rig.shape_starts, rig.shape_index,
            rig.shape_moved, self._control,
        )  # fmt: skip
        combine(self._control, rig.mix_starts, rig.mix_index, rig.mix_share, self._mixed)
        for part, gaze, eye in zip(self._eyes, gazes(motion), rig.eyes, strict=True):
            turn = turning(gaze[0], gaze[1], 0.0).astype(np.float32)
            self._mixed[part] = (self._mixed[part] - eye[:3]) @ turn.T + eye[:3]
        frames = spine(motion, rig.neck)
        bend(self._mixed, rig.along, frames, self._points)
        normals(self._points, rig.triangles, self._normals)
        return Posed(self._points, self._normals, frames)


__all__ = ["ARKIT", "BadRig", "Hair", "Posed", "Poser", "Rig", "read_rig", "read_texture"]
