"""The parts of a rig, ready to be packed: skin, eyes, lashes and brows.

A part's vertices are sparse mixtures of its control points; shapes move control points only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from engine.motion.blendshapes import ARKIT
from engine.training.authoring.anatomy import Anatomy, breathing, headness, smooth
from engine.training.authoring.atlas import PATCHES, head_patch
from engine.training.authoring.recipes import Recipe
from engine.training.authoring.subdivision import subdivide

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
SHAPES = len(ARKIT) + 1  # the last is a full breath


@dataclass(frozen=True)
class Part:
    """control: [P, 3]. shapes: [53, P, 3]. mixing: [V, P] sparse. along: [V] trunk to skull.
    triangles: [T, 3]. corners: [T, 3, 2] atlas texels."""

    name: str
    control: F64
    shapes: F64
    mixing: sparse.csr_matrix
    along: F64
    triangles: I64
    corners: F64
    coarse: I64 = field(
        default_factory=lambda: np.zeros((0, 3), int)
    )  # stand-in that casts shadows

    @property
    def rest(self) -> F64:
        """Vertices [V, 3] at rest."""
        return np.asarray(self.mixing @ self.control)


@dataclass(frozen=True)
class Strands:
    """Lashes and brows. control: [N, K, 3]. shapes: [53, N, K, 3]. width: [N, K] metres.
    kind: [N] 0 lash, 1 brow."""

    control: F64
    shapes: F64
    width: F64
    kind: I64 = field(default_factory=lambda: np.zeros(0, int))


def triangulate(quads: I64) -> I64:
    """[Q, 4, ...] → [2 Q, 3, ...]."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(
        -1, 3, *quads.shape[2:]
    )


def rigid(name: str, points: F64, triangles: I64, corners: F64, along: F64 | float = 1.0) -> Part:
    """A part that no expression moves; it breathes as far as it belongs to the trunk."""
    shapes = np.zeros((SHAPES, *points.shape))
    weight = np.broadcast_to(np.asarray(along, float), len(points)).copy()
    shapes[-1] = breathing(points) * (1.0 - weight)[:, None]
    identity = sparse.identity(len(points), format="csr")
    return Part(name, points, shapes, identity, weight, triangles, corners)


COARSE = 0.0052  # metres: a quad with shorter edges is fine enough as it is


def skin(body: Anatomy, hidden: NDArray[np.bool_], bald: Callable[[F64], F64]) -> Part:
    """The skin, subdivided where its quads are large and seen.

    hidden: [Q] quads of `body.skin` that clothes cover for good. bald: metres that a point lies
    outside the hair, < 0 under it.
    """
    quads = body.skin[~hidden]
    used, compact = np.unique(quads[..., 0], return_inverse=True)
    compact = compact.reshape(quads.shape[:2])
    mixing, fine = subdivide(compact, len(used))
    control = body.points[used]
    shapes = np.concatenate([body.shapes[:, used], breathing(control)[None]])
    texture = body.texture[quads[..., 1]]
    island = np.array([head_patch(t) for t in texture.mean(1)])
    texels = np.stack([PATCHES[p].texels(t) for p, t in zip(island, texture, strict=True)])
    corner = control[compact]
    edge = np.linalg.norm(corner - np.roll(corner, -1, 1), axis=2).mean(1)
    middle = corner.mean(1)
    inside = (middle[:, 2] < 0.105) & (island == "mouth")
    split = (edge > COARSE) & (bald(middle) > -0.020) & ~inside
    triangles, corners = refined(compact, fine.reshape(-1, 4, 4), texels, split)
    kept = np.union1d(triangles, np.arange(len(used)))
    triangles, mixing = np.searchsorted(kept, triangles), mixing[kept]
    along = headness(np.asarray(mixing @ control))
    return Part("skin", control, shapes, mixing, along, triangles, corners, triangulate(compact))


def refined(quads: I64, fine: I64, texels: F64, split: NDArray[np.bool_]) -> tuple[I64, F64]:
    """Triangles of quads [Q, 4] whose `split` ones are replaced by their four quarters `fine`
    [Q, 4, 4]; the others take up the points that their split neighbours set on common edges."""
    middle = fine[:, :, 1]  # the point on the edge from corner k to k + 1
    busy = np.zeros(fine.max() + 1, bool)
    busy[middle[split]] = True
    half = (texels + np.roll(texels, -1, 1)) / 2
    centre = np.broadcast_to(texels.mean(1, keepdims=True), texels.shape)
    quarter = np.stack([texels, half, centre, np.roll(half, 1, 1)], axis=2)
    triangles = [triangulate(fine[split].reshape(-1, 4))]
    corners = [triangulate(quarter[split].reshape(-1, 4, 2))]
    for q in np.nonzero(~split)[0]:
        ring, spots = [], []
        for k in range(4):
            ring.append(quads[q, k])
            spots.append(texels[q, k])
            if busy[middle[q, k]]:
                ring.append(middle[q, k])
                spots.append(half[q, k])
        fan = [(0, k, k + 1) for k in range(1, len(ring) - 1)]
        triangles.append(np.array(ring)[np.array(fan)])
        corners.append(np.array(spots)[np.array(fan)])
    return np.concatenate(triangles), np.concatenate(corners)


def eye(body: Anatomy, side: str) -> Part:
    """The front of an eyeball with its cornea: rings about the axis of gaze."""
    centre, radius = body.eye(side)
    spokes = 36
    angle = np.radians(np.concatenate([np.linspace(4, 34, 10), np.linspace(41, 118, 7)]))
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    ring = np.sin(angle)[:, None] * np.stack([np.cos(turn), np.sin(turn)])[:, None]
    disc = np.concatenate([np.zeros((1, 2)), ring.transpose(1, 2, 0).reshape(-1, 2)])
    depth = np.cos(np.concatenate([[0.0], np.repeat(angle, spokes)]))
    bulge = np.where(
        depth > 0, 0.085 * np.maximum(1.0 - (disc**2).sum(1) / 0.54**2, 0.0) ** 1.2, 0.0
    )
    points = centre + radius * np.column_stack([disc, depth + bulge])
    k = np.arange(spokes)
    fan = np.stack([np.zeros(spokes, int), 1 + k, 1 + (k + 1) % spokes], 1)
    rows = [fan]
    for r in range(len(angle) - 1):
        a, b = 1 + r * spokes + k, 1 + r * spokes + (k + 1) % spokes
        rows += [np.stack([a, a + spokes, b], 1), np.stack([b, a + spokes, b + spokes], 1)]
    triangles = np.concatenate(rows)
    texels = PATCHES["eye"].texels(0.5 + 0.5 * disc * [1, 1])
    return rigid(f"eye_{side}", points, triangles, texels[triangles])


# ---- lashes and brows ---------------------------------------------------------------------------


def lashes(body: Anatomy, recipe: Recipe, chance: np.random.Generator) -> Strands:
    """Curved hairs on the edges of the lids; they turn with the lid when it closes."""
    strands = []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        centre, radius = body.eye(side)
        for strip, upper, count in (("2", True, 84), ("1", False, 40)):
            ids = body.ids(f"helper-{side}-eyelashes-{strip}")
            margin, near = _margin(body.points[ids], centre)
            place = np.sort(chance.uniform(0.03, 0.97, count))
            if upper:
                place = 0.5 + 0.5 * np.sign(place - 0.5) * np.abs(2 * place - 1) ** 0.9
            roots = np.stack([np.interp(place, near, margin[:, k]) for k in range(3)], 1)
            out = sign * (roots[:, 0] - centre[0]) / radius  # -1 nose … 1 temple
            length = 0.0054 * (0.60 + 0.42 * np.clip(out + 0.4, 0, 1.2)) if upper else 0.0023
            length = recipe.lash_length * length * chance.uniform(0.62, 1.12, count)
            length = length * smooth(0.0, 0.10, place) * smooth(1.02, 0.93, place) + 0.0006
            fan = np.column_stack(
                [
                    sign * 0.66 * out + chance.normal(0, 0.15, count),
                    np.full(count, 0.12 if upper else -0.55),
                    np.full(count, 0.95),
                ]
            )
            fan /= np.linalg.norm(fan, axis=1, keepdims=True)
            rise = np.array([0.0, 0.85 if upper else -0.18, -0.22 if upper else 0.0])
            t = np.linspace(0, 1, 5)[None, :, None]
            curve = fan[:, None] * t + rise * t**2.0
            points = roots[:, None] + length[:, None, None] * curve
            shapes = _lid_motion(body, ids, points, centre)
            width = np.linspace(0.00026, 0.00005, 5) * (1.0 if upper else 0.50)
            widths = np.broadcast_to(width, points.shape[:2]) * chance.uniform(
                0.8, 1.15, (count, 1)
            )
            strands.append(Strands(points, shapes, widths, np.zeros(count, int)))
    return join(strands)


def _margin(strip: F64, centre: F64) -> tuple[F64, F64]:
    """Edge of a lid as a smooth curve [40, 3], and its parameter, from a strip of lash helpers."""
    order = np.quantile(strip[:, 0], np.linspace(0, 1, 19))
    roots = []
    for low, high in pairwise(order):
        some = strip[(strip[:, 0] >= low) & (strip[:, 0] <= high)]
        roots.append(some[np.linalg.norm(some - centre, axis=1).argmin()])
    line = np.array(roots)[np.argsort(np.array(roots)[:, 0])]
    t = np.linspace(0, 1, len(line))
    fine = np.linspace(0, 1, 40)
    return np.stack([np.polyval(np.polyfit(t, line[:, k], 4), fine) for k in range(3)], 1), fine


def _lid_motion(body: Anatomy, ids: I64, points: F64, centre: F64) -> F64:
    """Shapes [53, N, K, 3] of lashes: the root goes with its lid, the hair turns about the eye."""
    near = cKDTree(body.points[ids]).query(points[:, 0], 4)[1]
    shapes = np.zeros((SHAPES, *points.shape))
    offset = points - points[:, :1]
    arm = points[:, 0] - centre
    for s in range(len(ARKIT)):
        root = body.shapes[s, ids][near].mean(1)
        if np.abs(root).max() < 1e-6:
            continue
        angle = np.arctan2(arm[:, 1], arm[:, 2])
        moved = arm + root
        turn = np.arctan2(moved[:, 1], moved[:, 2]) - angle
        if "Blink" in ARKIT[s]:
            turn = turn * 1.8
        c, sn = np.cos(turn)[:, None], np.sin(turn)[:, None]
        turned = np.stack(
            [
                offset[..., 0],
                c * offset[..., 1] + sn * offset[..., 2],
                c * offset[..., 2] - sn * offset[..., 1],
            ],
            -1,
        )
        shapes[s] = root[:, None] + turned - offset
    return shapes


def brows(body: Anatomy, surface: Part, recipe: Recipe, chance: np.random.Generator) -> Strands:
    """Fine hairs in an arch over each eye, combed up near the nose and along the arch outwards."""
    rest = surface.rest
    front = np.nonzero((rest[:, 2] > 0.085) & (rest[:, 1] > 0.004) & (rest[:, 1] < 0.05))[0]
    tree = cKDTree(rest[front][:, :2])
    moved = np.stack([surface.mixing @ surface.shapes[s] for s in range(SHAPES)])
    strands = []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        centre, _ = body.eye(side)
        count = int(420 * recipe.brow_thickness)
        t = chance.beta(1.15, 1.25, count)
        across = chance.uniform(-1, 1, count)
        x = centre[0] * sign - 0.0175 + 0.0435 * t
        arch = (
            0.0200
            + 0.0058 * np.sin(np.pi * np.minimum(t * 1.12, 1.0) * 0.86)
            - 0.0050 * smooth(0.55, 1.05, t)
        )
        half = recipe.brow_thickness * (
            0.0029 * smooth(-0.12, 0.30, t) * (1 - 0.72 * smooth(0.35, 1.05, t)) + 0.0004
        )
        y = arch + half * across
        near = tree.query(np.column_stack([sign * x, y]), 3)[1]
        root = rest[front][near].mean(1)
        root[:, 0], root[:, 1] = sign * x, y
        lean = np.radians(
            62
            - 68 * smooth(0.0, 0.55, t)
            - 14 * across * smooth(0.2, 0.6, t)
            - 18 * smooth(0.6, 1, t)
        )
        lean += chance.normal(0, 0.12, count)
        length = (
            0.0072
            * chance.uniform(0.6, 1.1, count)
            * (1 - 0.30 * t)
            * (0.72 + 0.28 * smooth(0, 0.2, t))
        )
        s = np.linspace(0, 1, 4)[None, :]
        bendy = lean[:, None] - 0.5 * s * smooth(0, 0.4, t)[:, None] * np.sign(lean)[:, None] * 0.5
        px = x[:, None] + length[:, None] * s * np.cos(bendy)
        py = y[:, None] + length[:, None] * s * np.sin(bendy)
        near_all = tree.query(np.stack([sign * px, py], -1), 3)[1]
        pz = rest[front][near_all][..., 2].mean(-1) + 0.0004 + 0.0010 * np.sin(np.pi * s)
        points = np.stack([sign * px, py, pz], -1)
        shapes = moved[:, front][:, near_all].mean(-2)
        width = np.linspace(1.0, 0.30, 4) * 0.00023
        widths = np.broadcast_to(width, points.shape[:2]) * chance.uniform(0.75, 1.2, (count, 1))
        strands.append(Strands(points, shapes, widths, np.ones(count, int)))
    return join(strands)


def join(strands: list[Strands]) -> Strands:
    """One bundle of several, resampled to the longest."""
    longest = max(s.control.shape[1] for s in strands)
    return Strands(
        np.concatenate([_resample(s.control, longest) for s in strands]),
        np.concatenate([_resample(s.shapes, longest) for s in strands], axis=1),
        np.concatenate([_resample(s.width[..., None], longest)[..., 0] for s in strands]),
        np.concatenate([s.kind for s in strands]),
    )


def _resample(x: F64, count: int) -> F64:
    """Linear interpolation along the last but one axis."""
    at = np.linspace(0, x.shape[-2] - 1, count)
    k = np.minimum(at.astype(int), x.shape[-2] - 2)
    f = (at - k)[:, None]
    return np.asarray(x[..., k, :] * (1 - f) + x[..., k + 1, :] * f)
