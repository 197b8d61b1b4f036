"""Hair: locks that grow from the whorl over the shell of the head and hang, each a solid strip.

Every lock is a smooth shape from the whorl to its tip, so the hair has no seam at the temples and
no gap at the parting whichever way the head turns. Each is inked by a larger one below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import skia
from numpy.typing import NDArray

from engine.rendering.identity import Palette
from engine.rendering.puppet.pen import (
    F64,
    Ramp,
    blend,
    colour,
    curve,
    fill,
    lens,
    line,
    outset,
    smoothing,
)
from engine.rendering.puppet.rig import SHELL, SKULL, Pose, shell, skia_matrix
from engine.rendering.puppet.stage import Stage
from kernels.outlines import I32

PLACES = np.array([0.04, 0.2, 0.38, 0.55, 0.7, 0.83, 0.93, 1.0])  # along a lock, whorl to tip
WIDTH = np.array([1.0, 1.0, 1.0, 0.99, 0.9, 0.66, 0.36, 0.0])  # of its half width there
LIFT = np.array([1.5, 3.0, 4.0, 5.0, 5.0, 4.0, 2.5, 1.0])  # units off the shell
LAYERS = ("back", "sides", "front", "fringe")
DULL = {"back": 0.5, "sides": 0.13, "front": 0.0, "fringe": 0.0, "deep": 0.18}
RAMPS = ("shadow", "strand", "seam", "back", "sides", "front", "deep", "fringe", "fringe deep")
SEAM = 1.7  # units of ink around a lock
HANGING = np.linspace(0.38, 1.0, 8)  # where the cap does not hide the locks behind it
OVER_FACE = 3  # from which of PLACES on a lock may hang over the face
STRAND = 1.1  # units that a strand is wide
CORNERS = 43  # points along each side of what is filled
SMOOTH, SMOOTH_SHADE, SMOOTH_STRAND = (smoothing(CORNERS, n) for n in (8, 7, 5))
PARTING = np.radians(np.linspace(-84.0, 84.0, 9))
SCALP = np.stack([shell(PARTING, np.full(9, angle)) for angle in (0.98, 0.1)])  # rim, crown
SHINE = (0.44, 0.56)  # where the light rides on a lock of the fringe
# Round that light: which of three places along the lock, how far from its left to its right edge.
SPOT = ((1, 0.07), (0, 0.35), (1, 0.9), (2, 0.74), (1, 0.6), (2, 0.4), (1, 0.28), (2, 0.16))
GLOSS = np.zeros((len(SPOT), 6))  # from the places on the left edge, then on the right
for _row, (_place, _share) in zip(GLOSS, SPOT, strict=True):
    _row[[_place, 3 + _place]] = 1.0 - _share, _share


@dataclass(frozen=True)
class Lock:
    """One lock. root, tip: degrees of longitude, > 0 to the viewer's right. drop: y of its tip.
    width: units, half. bend: units its middle bows to the viewer's right. deep: a darker, lower
    lock. lift: factor on how far it stands off the head. flare: units its hanging part swings
    outwards."""

    root: float
    tip: float
    drop: float
    width: float
    bend: float = 0.0
    deep: bool = False
    lift: float = 1.0
    flare: float = 0.0


@dataclass(frozen=True)
class Style:
    """Layers of one hair style, each drawn in the order given, and how much its tips swing."""

    back: tuple[Lock, ...]
    sides: tuple[Lock, ...]
    front: tuple[Lock, ...]
    fringe: tuple[Lock, ...]
    hang: float  # y where the colour of the tips is reached
    swing: float


def _mirrored(*locks: Lock) -> tuple[Lock, ...]:
    """Each lock followed by its mirror image."""
    pairs = []
    for k in locks:
        pairs += [k, Lock(-k.root, -k.tip, k.drop, k.width, -k.bend, k.deep, k.lift, k.flare)]
    return tuple(pairs)


LONG = Style(
    back=_mirrored(
        Lock(172, 168, 262, 32, 0, True),
        Lock(150, 150, 276, 32, 4, True, 1.0, 6),
        Lock(132, 134, 262, 32, 8, True, 1.0, 14),
        Lock(112, 112, 284, 28, 0, True, 1.6, 26),
    ),
    sides=_mirrored(
        Lock(120, 108, 246, 26, 0, True, 2.0, 24),
        Lock(100, 98, 262, 22, 0, False, 2.0, 20),
    ),
    front=_mirrored(
        Lock(76, 70, 150, 8, 0, True, 1.0, 6),
        Lock(64, 62, 226, 14, 0, False, 1.2, 12),
    ),
    fringe=(
        Lock(-84, -68, 22, 16, -2, True, 0.7),
        Lock(86, 68, 18, 16, 2, True, 0.7),
        Lock(-68, -63, 36, 19, -5),
        Lock(72, 64, 32, 19, 5),
        Lock(-30, -41, -4, 19, -7, True),
        Lock(40, 50, -2, 18, 7, True),
        Lock(-50, -55, 8, 21, -7),
        Lock(57, 61, 8, 21, 7),
        Lock(-12, -25, -8, 20, -5),
        Lock(26, 35, -12, 19, 5),
        Lock(16, 16, -24, 14, 3, True),
        Lock(6, -4, 2, 22, -4),
    ),
    hang=235.0,
    swing=1.0,
)

SHORT = Style(
    back=_mirrored(
        Lock(172, 170, 112, 30, 0, True),
        Lock(146, 148, 118, 30, 0, True),
        Lock(122, 126, 108, 28, 4, True),
    ),
    sides=_mirrored(
        Lock(112, 108, 92, 24, 4, False, 1.4),
        Lock(97, 94, 70, 20, 2, False, 1.4),
    ),
    front=_mirrored(
        Lock(84, 84, 66, 14, 3, True, 1.6),
        Lock(74, 79, 48, 13, 4, False, 1.6),
    ),
    fringe=(
        Lock(-84, -84, 34, 17, -3, True),
        Lock(86, 84, 30, 17, 3, True),
        Lock(-60, -76, 14, 20, -6),
        Lock(70, 79, 6, 19, 6),
        Lock(-42, -63, -6, 20, -8, True),
        Lock(54, 69, -12, 19, 8),
        Lock(-26, -48, 0, 22, -11),
        Lock(40, 57, -28, 19, 10, True),
        Lock(16, 10, -40, 20, 0, True),
        Lock(-6, -28, -8, 22, -12),
        Lock(12, -8, -4, 20, -10),
        Lock(30, 43, -22, 21, 9),
    ),
    hang=130.0,
    swing=0.5,
)

STYLES = {"long": LONG, "short": SHORT}


def _polar(drop: float) -> float:
    """Angle from the whorl at which hair reaches the height `drop`."""
    below = drop - SKULL[1]
    return 0.5 * math.pi + below / SHELL[1] if below > 0 else math.acos(-below / SHELL[1])


def lock_points(lock: Lock, places: F64 = PLACES) -> F64:
    """Left edge, keel and right edge of a lock at rest: [3, n, 3].

    On the skull a lock is a gore of the shell; where it hangs it turns its flat side more to the
    front, as a round strand shows the same width from everywhere.
    """
    angle = places * _polar(lock.drop)
    hanging = np.clip((angle - 1.0) / 0.9, 0.0, 1.0)
    hanging = hanging * hanging * (3.0 - 2.0 * hanging)
    ring = np.sin(np.minimum(angle, 0.5 * math.pi))
    width = lock.width * np.interp(places, PLACES, WIDTH)
    wave = np.sin(np.clip(angle - 0.5 * math.pi, 0.0, 2.6) * 1.1)
    lift = lock.lift * np.interp(places, PLACES, LIFT) + lock.flare * wave
    middle = np.radians(lock.root + (lock.tip - lock.root) * places**1.6)
    middle = middle + lock.bend * 4.0 * places**2 * (1.0 - places) / (
        SHELL[0] * np.maximum(ring, 0.3)
    )
    reach = np.minimum(width / (SHELL[0] * np.maximum(ring, 0.05)), 0.42)
    front = middle * (1.0 - 0.62 * hanging)
    across = np.stack([np.cos(front), np.zeros_like(front), -np.sin(front)], -1) * width[:, None]
    keel = shell(middle, angle, lift)
    rows = []
    for k in (-1.0, 0.3, 1.0):
        gore, strand = shell(middle + k * reach, angle, lift), keel + k * across
        rows.append(gore + (strand - gore) * hanging[:, None])
    return np.stack(rows)


@dataclass(frozen=True)
class Strands:
    """A layer of locks laid flat for one frame. edges: left, keel and right edge [L, 3, n, 2].
    outlines: [L, parts, 2 CORNERS, 2] of each lock's seam and body, of its side away from the light
    and of a strand on it. facing: [L], how much each looks at the viewer."""

    edges: F64
    outlines: F64
    facing: F64


class HairArt:
    """Hair of one identity. `lay` poses it, the other calls paint its layers."""

    def __init__(self, palette: Palette, style: str) -> None:
        self.style = STYLES[style]
        self.palette = palette
        rows = [
            lock_points(lock, HANGING if name == "back" else PLACES)
            for name in LAYERS
            for lock in getattr(self.style, name)
        ]
        self.locks = np.stack(rows)  # [L, 3, n, 3], all layers
        ends = np.cumsum([0] + [len(getattr(self.style, name)) for name in LAYERS])
        self.layers = {name: slice(*ends[k : k + 2]) for k, name in enumerate(LAYERS)}
        normals = self.locks[:, 1, 4] - SKULL
        self.normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
        self.ink = line(colour(palette.hair_line), 4.0)
        self.shine = np.stack(
            [lock_points(lock, np.linspace(*SHINE, 3)) for lock in self.style.fringe]
        )
        self.inks = {name: self._inks(name) for name in LAYERS}
        shadow = colour(blend(palette.hair_deep, palette.hair_tip, 0.45), 0.32)
        self.plain = [
            Ramp([ink, ink], [0.0, 1.0]) for ink in (shadow, colour(palette.hair_line, 0.22))
        ]
        self.ramps = {dull: self._ramp(dull) for dull in DULL.values()}
        seam = blend(palette.hair_line, palette.hair_deep, 0.15)
        self.seam = Ramp([colour(seam, 0.0), colour(seam)], [0.0, 1.0])

    def _inks(self, layer: str) -> I32:
        """Which of RAMPS each part of each lock has, as `Strands` orders them."""
        deep = {"back": "back", "fringe": "fringe deep"}.get(layer, "deep")
        rows = [
            ("seam", deep if k.deep else layer, "shadow", "strand")
            for k in getattr(self.style, layer)
        ]
        return np.array([[RAMPS.index(name) for name in row] for row in rows], np.int32)

    def _ramp(self, dull: float) -> Ramp:
        """Colours from the whorl to the tips; dull: how deep in the shade, 0 … 1."""
        p = self.palette
        dusk = blend(p.hair_tip, p.hair_line, 0.25)
        inks = [p.hair_light, p.hair, p.hair, p.hair_deep, p.hair_tip]
        return Ramp([colour(blend(ink, dusk, dull)) for ink in inks], [0.0, 0.28, 0.5, 0.78, 1.0])

    def lay(self, pose: Pose, body: Pose, swing: tuple[float, float]) -> dict[str, Strands]:
        """Pose all layers. swing: `Motion.hair` in radians."""
        edges = self._posed(self.locks, pose, body, swing)
        outlines, facing = _outlines(edges), pose.facing(self.normals)
        return {
            name: Strands(edges[part], outlines[part], facing[part])
            for name, part in self.layers.items()
        }

    def _posed(self, points: F64, pose: Pose, body: Pose, swing: tuple[float, float]) -> F64:
        """Swing, turn and flatten points [..., 3] to [..., 2]; long hair half follows the body."""
        length = np.maximum(points[..., 1] + 60.0, 0.0)
        sway = self.style.swing * length * np.minimum(length / 150.0, 1.2)
        moved = points.copy()
        moved[..., 0] += sway * swing[0]
        moved[..., 2] += sway * swing[1]
        moved[..., 1] -= 0.3 * sway * (swing[0] ** 2 + swing[1] ** 2)
        low = 0.55 * np.clip((points[..., 1] - 90.0) / 170.0, 0.0, 1.0)[..., None]
        return pose.flat(moved) * (1.0 - low) + body.flat(moved) * low

    def _paint(self, pose: Pose, hang: float, dull: str) -> Any:
        """Paint down the head: light at the whorl, the tips' colour at height `hang`."""
        return self.ramps[DULL[dull]].paint(*self._ends(pose, hang))

    def _ends(self, pose: Pose, hang: float) -> tuple[float, float]:
        return pose.at(0.0, -160.0, 0.0)[1], pose.at(0.0, hang, 20.0)[1]

    def skull(self, pose: Pose) -> Any:
        """Outline of the head with its hair: an ellipse."""
        path = skia.Path.Circle(0.0, 0.0, 1.0)
        path.transform(skia_matrix(pose.outline(5.0)))
        return path

    def cap(self, canvas: Any, pose: Pose) -> None:
        """The skull's hair under all locks."""
        path = self.skull(pose)
        canvas.drawPath(path, self.ink)
        canvas.drawPath(path, self._paint(pose, 170.0, "sides"))

    def scalp(self, canvas: Any, pose: Pose) -> None:
        """What shows between the locks of the fringe above the hairline."""
        rim, crown = pose.flat(SCALP)
        canvas.drawPath(lens(rim, crown), self._paint(pose, 90.0, "deep"))

    def ramps_at(self, heights: F64, pose: Pose) -> NDArray[np.uint32]:
        """The colours of RAMPS at some heights, [9, H]."""
        top = pose.at(0.0, -112.0, 60.0)[1]
        hanging, short = self._ends(pose, self.style.hang), self._ends(pose, 95.0)
        rows = [ramp.at(heights, *hanging) for ramp in self.plain]
        rows.append(self.seam.at(heights, top, top + 62.0))
        rows += [self.ramps[DULL[name]].at(heights, *hanging) for name in RAMPS[3:7]]
        rows += [self.ramps[DULL[name]].at(heights, *short) for name in ("fringe", "deep")]
        return np.stack(rows)

    def layer(self, stage: Stage, name: str, strands: Strands, ramps: NDArray[np.uint32]) -> None:
        """Ink and fill one layer, lock by lock; ramps: `ramps_at` the heights of the stage."""
        parts = 2 if name == "back" else 4  # nobody sees strands back there
        outlines = strands.outlines[:, :parts].reshape(-1, 2 * CORNERS, 2)
        stage.fill(outlines, ramps, self.inks[name][:, :parts].ravel())

    def gloss(self, canvas: Any, pose: Pose, body: Pose, swing: tuple[float, float]) -> None:
        """The ring of light, lock by lock, where a lock faces the viewer."""
        edges = self._posed(self.shine, pose, body, swing)[:, ::2]
        spots = GLOSS @ edges.reshape(-1, 6, 2)
        normal = self.shine[:, 1, 1] - SKULL
        facing = pose.facing(normal / np.linalg.norm(normal, axis=-1, keepdims=True))
        for k, lock in enumerate(self.style.fringe):
            if facing[k] < 0.05 or lock.deep:
                continue
            path = curve(spots[k], closed=True, tension=0.45)
            alpha = 0.7 * min(1.0, 1.6 * float(facing[k]))
            canvas.drawPath(path, fill(colour(self.palette.hair_shine, alpha)))

    def ahoge(self, canvas: Any, pose: Pose, swing: tuple[float, float]) -> None:
        """The stray lock on top, which shows every swing."""
        spine = np.array(
            [[6, -138, 22], [-1, -160, 14], [6, -176, 12], [22, -182, 14], [38, -172, 18]], float
        )
        width = np.array([2.0, 3.6, 4.6, 3.6, 0.0])
        rise = np.array([0.0, 8.0, 22.0, 42.0, 60.0])
        spine[:, 0] += rise * 1.3 * swing[0]
        spine[:, 1] += rise * 0.8 * swing[1]
        along = np.gradient(spine[:, :2], axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], -1)
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        offset = np.concatenate([across * width[:, None], np.zeros((5, 1))], axis=-1)
        path = lens(pose.flat(spine + offset), pose.flat(spine - offset))
        canvas.drawPath(path, self.ink)
        canvas.drawPath(path, self._paint(pose, 60.0, "fringe"))


def _outlines(edges: F64) -> F64:
    """Edges [L, 3, n, 2] of locks → what is filled of them, one over the other, [L, 4, m, 2]."""
    left, keel, right = edges[:, 0], edges[:, 1], edges[:, 2]
    rims = SMOOTH @ np.stack([*outset(left, right, SEAM), left, right], 1)
    shade = SMOOTH_SHADE @ edges[:, 1:, 1:]
    strand = SMOOTH_STRAND @ keel[:, 2:-1]
    along = np.gradient(strand, axis=1)
    along *= 0.5 * STRAND / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    sides = [rims[:, 0], rims[:, 2], shade[:, 0], strand - across]
    others = [rims[:, 1], rims[:, 3], shade[:, 1], strand + across]
    return np.concatenate([np.stack(sides, 1), np.stack(others, 1)[:, :, ::-1]], axis=2)


def cast(layers: Sequence[Strands]) -> Any:
    """One path of all locks that look at the viewer, for the shadow they cast together."""
    edges = np.concatenate([strands.edges[strands.facing > 0.1] for strands in layers])
    low = edges[:, :, OVER_FACE:]
    path = skia.Path()
    for lock in low:
        path.addPath(lens(lock[0], lock[2]))
    return path
