"""Hair: locks grown from the scalp along a style's flow, kept off the head, made ribbons."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial import cKDTree

from engine.training.authoring.anatomy import smooth
from engine.training.authoring.parts import Part
from engine.training.authoring.recipes import Recipe
from engine.training.authoring.views import depth_picture, seen_from

F64 = NDArray[np.float64]

STEP = 0.0065  # metres of growth
POINTS = 13  # of a ribbon
LEAST = 0.0026  # metres that hair lies off the skin
HIDDEN = 0.0015  # metres that a point may lie under others and still count as seen
SEEN = 4  # points of a ribbon that views must see


@dataclass(frozen=True)
class Locks:
    """What `engine.rendering.head.rig.Hair` holds, unquantised, and the pattern of strands."""

    points: F64
    normals: F64
    width: F64
    open_: F64
    hang: F64
    tint: F64
    shift: F64
    kind: NDArray[np.int64]
    strand: F64
    shown: F64
    pattern: NDArray[np.uint8]


@dataclass(frozen=True)
class Style:
    """part: x of the parting. tip: y where locks end, and its deviation. lift: metres off the scalp
    at the root's crown and elsewhere. wave: amplitude, length in metres. side: how far out the hair
    stands beside the cheeks."""

    part: float
    tip: tuple[float, float]
    lift: tuple[float, float]
    wave: tuple[float, float]
    side: float


@dataclass(frozen=True)
class Coils:
    """Short curls. radius, rise: metres. turns: of each curl. recede: metres that the hairline lies
    farther back."""

    radius: float
    rise: float
    turns: float
    recede: float


COILS = {"coils": Coils(0.0024, 0.0085, 1.25, 0.010)}
STYLES = {
    "waves": Style(0.020, (-0.128, 0.004), (0.0170, 0.0130), (0.0050, 0.100), 0.010),
}


def below_hairline(p: F64, style: str) -> F64:
    """Metres outside the hair's edge at points on the head, < 0 on the scalp."""
    x, y, z = np.abs(p[..., 0]), p[..., 1], p[..., 2]
    front = 0.0665 - 7.5 * np.maximum(x - 0.012, 0.0) ** 2 - 0.010 * smooth(0.045, 0.066, x)
    side, nape = 0.006 + 0.0 * x, -0.062 + 0.0 * x
    if style in COILS:  # higher at the temples, a sideburn, a clean nape
        front = front + COILS[style].recede * (1.0 + smooth(0.010, 0.035, x))
        side, nape = 0.004 + 0.0 * x, -0.050 + 0.0 * x
    line = nape + (side - nape) * smooth(-0.028, -0.012, z)
    line = line + (front - line) * smooth(0.016, 0.052, z)
    ear = 0.012 - np.hypot((y + 0.016) / 1.6, z + 0.004)
    return np.asarray(np.maximum(line - y, np.where(x > 0.055, ear * 0.5, -1.0)))


class Scalp:
    """Signed distance and direction from the resting head."""

    def __init__(self, surface: Part) -> None:
        rest, triangles = surface.rest, surface.triangles
        corner = rest[triangles]
        turn = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        area = np.linalg.norm(turn, axis=1)
        self.corner, self.area = corner, area / 2
        self.normal = turn / np.maximum(area[:, None], 1e-12)
        middle = corner.mean(1)
        outer = (middle[:, 1] > -0.20) & (self._outwards(middle, self.normal) > -0.2)
        outer &= ~_on_ear(middle)  # hair lies over ears, not round them
        self.tree = cKDTree(middle[outer])
        self.middle, self.facing = middle[outer], self.normal[outer]

    @staticmethod
    def _outwards(middle: F64, normal: F64) -> F64:
        axis = middle - np.array([0.0, 0.02, 0.01])
        return np.asarray((axis * normal).sum(1) / np.linalg.norm(axis, axis=1))

    def near(self, p: F64) -> tuple[F64, F64]:
        """Distance (> 0 outside) and outward direction at points [N, 3], smoothed over 6 faces."""
        _, k = self.tree.query(p, 6)
        normal = self.facing[k].mean(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        return ((p[:, None] - self.middle[k]) * self.facing[k]).sum(-1).mean(1), normal

    def roots(
        self, count: int, style: str, chance: np.random.Generator, parting: float | None = None
    ) -> tuple[F64, F64]:
        """Points on the hairy part of the skin, evenly, and their normals; or only those along a
        parting at some x."""
        middle = self.corner.mean(1)
        hairy = (below_hairline(middle, style) < -0.001) & (
            self._outwards(middle, self.normal) > 0.1
        )
        temple = smooth(0.045, 0.062, np.abs(middle[:, 0])) * smooth(0.010, 0.035, middle[:, 2])
        share = self.area * hairy * (1.0 + 1.5 * temple)
        if parting is not None:
            share *= (np.abs(middle[:, 0] - parting) < 0.0030) & (middle[:, 1] > 0.05)
        tries = chance.choice(len(share), count * 6, p=share / share.sum())
        u = np.sqrt(chance.random((len(tries), 1)))
        v = chance.random((len(tries), 1))
        c = self.corner[tries]
        p = c[:, 0] * (1 - u) + c[:, 1] * u * (1 - v) + c[:, 2] * u * v
        kept = _spaced(p, count)
        return p[kept], self.normal[tries[kept]]


def _on_ear(p: F64) -> NDArray[np.bool_]:
    return np.asarray(
        (np.abs(p[:, 0]) > 0.062) & (np.hypot((p[:, 1] + 0.016) / 1.3, p[:, 2] + 0.006) < 0.030)
    )


def _spaced(p: F64, count: int) -> NDArray[np.int64]:
    """About `count` of the points, as far from each other as greed finds."""
    gap = np.sqrt(0.055 / count) * 1.1
    while True:
        tree, free, kept = cKDTree(p), np.ones(len(p), bool), []
        for k in range(len(p)):
            if free[k]:
                kept.append(k)
                free[tree.query_ball_point(p[k], gap)] = False
        if len(kept) >= count:
            return np.array(kept[:count])
        gap *= 0.93


def grow(surface: Part, recipe: Recipe) -> Locks:
    """All of one singer's hair."""
    look = recipe.hair
    chance = np.random.default_rng(look.seed)
    scalp = Scalp(surface)
    roots, normals = scalp.roots(look.ribbons, look.style, chance)
    if look.style in COILS:
        curves = _coils(roots, normals, COILS[look.style], chance)
        return _seen(_thicken(scalp, curves, np.zeros(len(roots)), recipe, chance), surface)
    style = STYLES[look.style]
    order = chance.permutation(len(roots))
    roots, normals = roots[order], normals[order]
    height = smooth(-0.06, 0.105, roots[:, 1])  # hair from higher up lies over hair from below
    layer = 0.22 * chance.random(len(roots)) + 0.78 * height
    line = scalp.roots(look.ribbons // 6, look.style, chance, style.part)
    roots, normals = np.concatenate([line[0], roots]), np.concatenate([line[1], normals])
    layer = np.concatenate([np.linspace(1.0, 1.1, len(line[0])), 0.95 * layer])
    curves = _curves(scalp, roots, normals, layer, style, chance)
    curves = _clumped(curves, style, chance)
    return _seen(_thicken(scalp, curves, layer, recipe, chance), surface)


def _coils(roots: F64, normals: F64, style: Coils, chance: np.random.Generator) -> F64:
    """Centre lines [N, POINTS, 3] of short curls that rise from the scalp."""
    n, t = len(roots), np.linspace(0, 1, POINTS)[None, :, None]
    axis = normals + 0.35 * chance.normal(size=(n, 3)) + np.array([0.0, -0.25, 0.0])
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    one = np.cross(axis, chance.normal(size=(n, 3)))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other = np.cross(axis, one)
    size = chance.uniform(0.7, 1.25, (n, 1, 1))
    turn = 2 * np.pi * style.turns * t * chance.choice([-1.0, 1.0], (n, 1, 1))
    round_ = (1 - np.cos(turn)) * one[:, None] + np.sin(turn) * other[:, None]
    short = 0.55 + 0.45 * smooth(-0.03, 0.04, roots[:, 1])[:, None, None]  # clipped at the sides
    rise = style.rise * short * t * axis[:, None]
    curl = roots[:, None] + 0.001 * normals[:, None]
    return np.asarray(curl + size * (rise + style.radius * round_))


def _curves(
    scalp: Scalp, roots: F64, normals: F64, layer: F64, style: Style, chance: np.random.Generator
) -> F64:
    """Centre lines [N, POINTS, 3]."""
    n = len(roots)
    side = np.where(roots[:, 0] + chance.normal(0, 0.0008, n) > style.part, 1.0, -1.0)
    top = smooth(0.045, 0.095, roots[:, 1])
    front = smooth(0.030, 0.080, roots[:, 2])
    crown = smooth(0.02, -0.05, roots[:, 2]) * top
    nape = smooth(0.03, -0.04, roots[:, 1]) * smooth(0.0, -0.03, roots[:, 2])
    tip = style.tip[0] + style.tip[1] * chance.normal(0, 1, n) + 0.030 * (1 - layer) * 0.5
    tip = tip + 0.018 * smooth(0.02, 0.08, roots[:, 2])
    d = normals * 0.45 + np.stack(
        [
            side * (0.85 - 0.45 * crown) * (1 - 0.85 * nape),
            0.10 - 0.9 * nape,
            0.34 * front - 0.55 * crown - 0.10,
        ],
        1,
    )
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    p, alive = roots + 0.0028 * normals, np.ones(n, bool)
    line, length = [p.copy()], np.zeros(n)
    for step in range(60):
        travelled = step * STEP
        down = np.array([0.0, -1.0, 0.0]) * (0.10 + 0.20 * smooth(0.01, 0.07, travelled))
        sweep = np.stack(
            [
                side * 0.10 * smooth(0.10, 0.02, np.full(n, travelled)),
                0 * side,
                0.05 * front * smooth(0.06, 0.0, np.full(n, travelled)) - 0.015,
            ],
            1,
        )
        d = d + down + sweep
        distance, normal = scalp.near(p)
        lift = _lift(p, style) * (0.20 + 0.80 * layer)
        low = smooth(0.05, -0.08, p[:, 1])  # below the ears hair falls free
        want = lift * smooth(0.0, 0.035, np.full(n, travelled)) + style.side * low * (
            0.4 + 0.6 * layer
        )
        pull = (want - distance) * (22.0 * (1 - 0.75 * low))
        d = d + normal * np.clip(pull, -0.45, 0.45)[:, None]
        ends = smooth(0.035, 0.0, p[:, 1] - tip)
        d[:, 0] -= 0.16 * ends * np.sign(p[:, 0])  # tips turn in
        d[:, 2] += 0.05 * ends * np.sign(p[:, 2] - 0.0)
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        q = p + STEP * d
        distance, normal = scalp.near(q)
        least = np.minimum(0.0015 + 0.3 * lift, 0.0015 + 0.06 * travelled)
        q = q + normal * np.maximum(least - distance, 0.0)[:, None]
        q = q + normal * (0.30 * (1 - 0.6 * low) * (want - np.maximum(distance, least)))[:, None]
        q = _off_face(q, side)
        alive &= q[:, 1] > tip
        p = np.where(alive[:, None], q, p)
        length += STEP * alive
        line.append(p.copy())
    even = _even(np.stack(line, 1))
    soft = gaussian_filter1d(even, 1.5, axis=1, mode="nearest")
    even = even + smooth(0.01, 0.06, _lengths(even))[..., None] * (soft - even)
    return _above(scalp, _waved(even, scalp, style, chance))


def _above(scalp: Scalp, lines: F64) -> F64:
    """Lines [N, POINTS, 3] lifted where smoothing has sunk them into the head."""
    flat = lines.reshape(-1, 3)
    distance, normal = scalp.near(flat)
    lifted = flat + np.clip(LEAST - distance, 0.0, 0.01)[:, None] * normal
    return np.asarray(lifted.reshape(lines.shape))


def _lift(p: F64, style: Style) -> F64:
    """Metres that the outermost hair stands off the scalp at points [N, 3]."""
    crown, edge = style.lift
    top = smooth(0.045, 0.095, p[:, 1])
    front = smooth(0.030, 0.080, p[:, 2])
    beside = smooth(0.0, 0.040, np.abs(p[:, 0] - style.part))
    temple = 0.007 * smooth(0.085, 0.050, p[:, 1]) * smooth(-0.050, 0.010, p[:, 1])
    return np.asarray(edge + (crown - edge) * top * beside + 0.004 * front * top * beside + temple)


def _off_face(q: F64, side: F64) -> F64:
    """Keep the face between temples and jaw free; above the brows a fringe may cross."""
    y = q[:, 1]
    limit = 0.040 + 0.016 * smooth(0.056, 0.015, y) + 0.004 * smooth(-0.02, -0.06, y)
    limit = limit * smooth(0.064, 0.050, y)
    limit = limit * smooth(0.040, 0.062, q[:, 2])
    facing = np.where(np.abs(q[:, 0]) < 0.01, side, np.sign(q[:, 0]))
    out = q.copy()
    short = np.maximum(limit - np.abs(q[:, 0]), 0.0)
    out[:, 0] += facing * np.minimum(short, 0.0055)
    return out


def _even(lines: F64) -> F64:
    """Resample polylines [N, S, 3] (which may stand still at their ends) to POINTS even points."""
    out = np.empty((len(lines), POINTS, 3))
    for k, line in enumerate(lines):
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        keep = np.concatenate([[True], np.diff(along) > 1e-7])
        at = along[-1] * np.linspace(0, 1, POINTS) ** 1.2  # finer at the root, where it bends most
        for axis in range(3):
            out[k, :, axis] = np.interp(at, along[keep], line[keep, axis])
    return out


def _lengths(lines: F64) -> F64:
    """Metres from the root, [N, POINTS]."""
    step = np.linalg.norm(np.diff(lines, axis=1), axis=2)
    return np.concatenate([np.zeros((len(lines), 1)), np.cumsum(step, 1)], 1)


def _waved(lines: F64, scalp: Scalp, style: Style, chance: np.random.Generator) -> F64:
    """Waves that follow from where a point is, so that neighbours swing together."""
    amplitude, wavelength = style.wave
    s = _lengths(lines)
    tangent = np.gradient(lines, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    distance, normal = scalp.near(lines.reshape(-1, 3))
    normal = normal.reshape(lines.shape)
    across = np.cross(tangent, normal)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    grown = amplitude * smooth(0.05, 0.13, s)
    round_ = np.arctan2(lines[..., 0], lines[..., 2] + 0.03)
    turn = -2 * np.pi * lines[..., 1] / wavelength + 2.2 * round_
    turn = turn + chance.normal(0, 0.15, (len(lines), 1))
    return (
        lines
        + (grown * np.sin(turn))[..., None] * across
        + (0.55 * grown * np.cos(turn) * 0.6)[..., None]
        * normal
        * (distance.reshape(s.shape) > 0.004)[..., None]
    )


def _clumped(lines: F64, style: Style, chance: np.random.Generator) -> F64:
    """Draw locks towards some leaders, more so at their tips."""
    leaders = chance.choice(len(lines), max(len(lines) // 6, 1), replace=False)
    middle = POINTS // 2
    _, near = cKDTree(lines[leaders][:, middle]).query(lines[:, middle])
    goal = lines[leaders[near]]
    pull = (
        0.40
        * np.linspace(0, 1, POINTS)[None, :, None] ** 1.3
        * chance.uniform(0.5, 1.0, (len(lines), 1, 1))
    )
    far = np.linalg.norm(goal - lines, axis=2).max(1)[:, None, None]
    return lines + pull * smooth(0.04, 0.012, far) * (goal - lines)


def _openness(points: F64, normals: F64) -> F64:
    """How much sky each point sees through the other hair, [N]."""
    tree = cKDTree(points)
    out = np.empty(len(points))
    for k, near in enumerate(tree.query_ball_point(points + 0.009 * normals, 0.0095)):
        out[k] = len(near)
    typical = np.median(out)
    open_ = np.clip(1.10 * np.exp(-0.62 * out / max(typical, 1.0)) + 0.08, 0.16, 1.0)
    return np.asarray(open_[tree.query(points, 16)[1]].mean(1))


def _thicken(
    scalp: Scalp, lines: F64, layer: F64, recipe: Recipe, chance: np.random.Generator
) -> Locks:
    n = len(lines)
    strands = 90
    fine = chance.choice(n, strands)
    wander = np.cumsum(chance.normal(0, 0.0010, (strands, POINTS, 3)), 1)
    flat = lines.reshape(-1, 3)
    distance, normal = scalp.near(flat)
    axis = flat - np.array([0.0, -0.02, 0.0])
    axis[:, 1] *= 0.5
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    free = smooth(0.008, 0.03, distance)[:, None]
    normal = normal * (1 - 0.7 * free) + axis * 0.7 * free
    normal = normal[cKDTree(flat).query(flat, 40)[1]].mean(1)  # neighbours shine alike
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    open_ = gaussian_filter1d(_openness(flat, normal).reshape(n, POINTS), 1.2, axis=1)
    shade = 0.2 * recipe.hair.length  # metres of root that lie in the shade of hair
    open_ *= 0.45 + 0.55 * smooth(0.0, shade, _lengths(lines))
    normal = normal.reshape(lines.shape)
    tangent = np.gradient(lines, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    tilt = np.radians(chance.normal(0, 3, n))[:, None, None]
    normal = np.cos(tilt) * normal + np.sin(tilt) * np.cross(tangent, normal)
    t = np.linspace(0, 1, POINTS)
    profile = np.interp(t, [0, 0.08, 0.20, 0.6, 0.90, 1.0], [0.35, 0.75, 1.05, 1.10, 1.0, 0.70])
    width = recipe.hair.width * np.sqrt(1400 / n) * chance.uniform(0.75, 1.25, (n, 1)) * profile
    hang = smooth(0.055, -0.10, lines[..., 1]) * smooth(0.01, 0.07, _lengths(lines))
    tint = _tint(lines, recipe, chance)
    order = np.argsort(-layer)
    edge = np.nonzero(
        (below_hairline(lines[:, 0], recipe.hair.style) > -0.010) & (lines[:, 0, 2] > 0.0)
    )[0]
    baby = _shortened(lines[edge], chance)
    points = np.concatenate([lines[order], lines[fine] + wander + 0.002 * normal[fine], baby])
    fine = np.concatenate([fine, edge])
    strands = len(fine)
    pick = np.concatenate([order, fine])
    thin = np.broadcast_to(np.linspace(0.00016, 0.00005, POINTS), (strands, POINTS))
    return Locks(
        points,
        normal[pick],
        np.concatenate([width[order], thin]),
        np.concatenate([open_[order], np.maximum(open_[fine], 0.8)]),
        hang[pick],
        tint[pick],
        chance.normal(0, 0.035, len(pick)),
        chance.integers(0, 6, len(pick)),
        np.concatenate([np.zeros(n), np.ones(strands)]),
        np.ones((len(pick), POINTS)),
        pattern(chance),
    )


def _seen(locks: Locks, surface: Part) -> Locks:
    """Leave out ribbons, and pieces, that lie under others from wherever the camera may look."""
    points, faces = shading_mesh(locks, 1)
    faces = np.concatenate([faces, surface.triangles + len(points)])
    points = np.concatenate([points, surface.rest])
    shown = np.zeros(locks.points.shape[:2], bool)
    for yaw in np.radians(np.arange(-60, 61, 15)):
        for pitch in np.radians([-22, 0, 22]):
            eye = np.array(
                [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
            )
            depth = depth_picture(points, faces, eye)
            place = seen_from(eye, locks.points)
            column, row = np.clip(place[..., :2].astype(int), 0, len(depth) - 1).transpose(2, 0, 1)
            shown |= depth[row, column] - place[..., 2] < HIDDEN
    kept = (shown.sum(1) >= SEEN) | (locks.strand == 1)
    locks = replace(locks, shown=maximum_filter1d(shown, 3, axis=1))
    rows = (f.name for f in fields(Locks) if f.name != "pattern")
    return replace(locks, **{name: getattr(locks, name)[kept] for name in rows})


def shading_mesh(locks: Locks, each: int = 3) -> tuple[F64, NDArray[np.int64]]:
    """Points and triangles of some locks as flat bands, to throw soft shade."""
    some = np.nonzero(locks.strand == 0)[0][::each]
    line, normal = locks.points[some], locks.normals[some]
    across = np.cross(np.gradient(line, axis=1), normal)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    half = 0.7 * locks.width[some][..., None] * across
    points = np.stack([line - half, line + half], axis=2).reshape(-1, 3)
    first = (np.arange(len(some)) * POINTS)[:, None] + np.arange(POINTS - 1)
    a = 2 * first.ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + 2], 1), np.stack([a + 1, a + 3, a + 2], 1)])
    return points, faces


def _shortened(lines: F64, chance: np.random.Generator) -> F64:
    """The first centimetres of locks, shifted a little towards the face: soft hair of the edge."""
    t = np.linspace(0, 1, POINTS)[None] * chance.uniform(0.10, 0.22, (len(lines), 1)) * (POINTS - 1)
    k = np.minimum(t.astype(int), POINTS - 2)
    rows = np.arange(len(lines))[:, None]
    out = lines[rows, k] + (t - k)[..., None] * (lines[rows, k + 1] - lines[rows, k])
    shift = chance.normal(0, 0.0022, (len(lines), 1, 3))
    shift[..., 1] -= 0.0022
    return np.asarray(out + shift)


def _tint(lines: F64, recipe: Recipe, chance: np.random.Generator) -> F64:
    """Albedo [N, POINTS, 3]: darker roots, lighter lengths, no two locks alike."""
    root, tip = np.array(recipe.hair.root), np.array(recipe.hair.tip)
    n = len(lines)
    t = smooth(0.085, -0.115, lines[..., 1])
    _, near = cKDTree(lines[:, POINTS // 3]).query(lines[:, POINTS // 3], 12)
    own = chance.normal(0, 1, (n, 2))
    lock = own[near].mean(1) * np.sqrt(12) + 0.5 * own
    lighter = np.clip(0.55 + 0.16 * lock[:, :1], 0, 1) * t
    if recipe.hair.style in COILS:  # grey hair among dark, more of it at the temples
        share = 0.30 + 0.35 * smooth(0.07, 0.0, lines[:, :1, 1])
        lighter = np.clip(share + 0.22 * own[:, :1], 0, 1) * np.ones(POINTS)
    value = np.exp(0.085 * lock[:, 1:, None])
    return np.asarray((root + lighter[..., None] * (tip - root)) * value)


def pattern(chance: np.random.Generator) -> NDArray[np.uint8]:
    """[6, 96, 18] brightness of one ribbon's strands, ragged at sides and tip; 0: a gap."""
    kinds, tall, wide = 6, 96, 18
    out = np.zeros((kinds, tall, wide))
    v = (np.arange(tall) + 0.5)[:, None] / tall
    for k in range(kinds):
        shade = gaussian_filter1d(chance.normal(1.0, 0.16, wide), 0.6)
        start = chance.uniform(-0.06, 0.10, wide)
        end = chance.uniform(0.88, 1.08, wide)
        for edge in (0, wide - 1):
            start[edge], end[edge] = chance.uniform(-0.1, 0.1), chance.uniform(0.80, 1.0)
        drift = 0.10 * np.sin(2 * np.pi * (v * chance.uniform(1, 2) + chance.random(wide)))
        rim = np.minimum(np.arange(wide), np.arange(wide)[::-1]) / (wide / 2)
        bright = np.clip(128 * (shade + drift), 60, 235) * (0.80 + 0.20 * np.sqrt(rim + 0.1))
        out[k] = bright * ((v > start) & (v < end))
    return out.astype(np.uint8)
