"""Clothes cut from the body's own surface, and a stage headset bent round the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from engine.training.authoring.anatomy import Anatomy, headness, smooth
from engine.training.authoring.atlas import PATCHES
from engine.training.authoring.parts import Part, refined, rigid, triangulate
from engine.training.authoring.subdivision import subdivide

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

NECKLINES = {
    # y of the edge: at the front's middle, where it meets the shoulder, at the back; half width
    "scoop": (-0.206, -0.156, -0.146, 0.074),
    "crew": (-0.186, -0.150, -0.138, 0.078),
}
DRAPE = 0.30  # metres below the neckline that the cloth's texture reaches
NEAR_EDGE = 0.02  # metres from the neckline within which cloth has small triangles
THICKNESS = {"scoop": 0.0048, "crew": 0.0055}


def covered(points: F64, style: str) -> F64:
    """Metres below the neckline, > 0 where the garment covers the body."""
    middle, shoulder, back, half = NECKLINES[style]
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    across = x / half
    front = middle + (shoulder - middle) * np.minimum(across, 1.0) ** 2.2
    front = front + 0.9 * np.maximum(x - half, 0.0)  # what lies farther out is always covered
    line = back + (front - back) * smooth(-0.055, 0.015, z)
    return np.asarray(line - y)


def garment(body: Anatomy, style: str) -> Part:
    """Cloth over the trunk, clipped along its neckline, which a band finishes."""
    quads = body.skin
    used, compact = np.unique(quads[..., 0], return_inverse=True)
    compact = compact.reshape(quads.shape[:2])
    finer, fine = subdivide(compact, len(used))
    rest = finer @ body.points[used]
    near = covered(rest, style) > -0.03
    skin, skin_normal = rest, _vertex_normals(rest, triangulate(fine))
    rest = _relaxed(rest, fine, near, 30)
    normal = _vertex_normals(rest, triangulate(fine))
    puff = THICKNESS[style] + 0.004 * smooth(0.02, 0.10, covered(rest, style))
    cloth = rest + normal * puff[:, None]
    sunk = puff - ((cloth - skin) * skin_normal).sum(1)
    cloth = cloth + skin_normal * np.maximum(sunk, 0.0)[:, None]
    edge = np.any(np.abs(covered(rest[compact], style)) < NEAR_EDGE, axis=1)
    faces = refined(compact, fine.reshape(-1, 4, 4), np.zeros((*compact.shape, 2)), edge)[0]
    faces = faces[near[faces].all(1)]
    triangles, cloth, normal = _clip(faces, cloth, normal, covered(cloth, style))
    corners = PATCHES["cloth"].texels(_draped(cloth, style))[triangles]
    band, faces, spot = _neckband(triangles, cloth, normal)
    band_corners = PATCHES["band"].texels(spot)[faces]
    wrapped = band_corners[..., 0].max(1) - band_corners[..., 0].min(1) > 250
    band_corners[wrapped, :, 0] = PATCHES["band"].left + 2.0
    points = np.concatenate([cloth, band])
    return rigid(
        "garment",
        points,
        np.concatenate([triangles, faces + len(cloth)]),
        np.concatenate([corners, band_corners]),
        _following(points, body),
    )


def _draped(points: F64, style: str) -> F64:
    """Cloth coordinates: round the trunk, and down from the neckline."""
    round_ = np.arctan2(points[:, 0], points[:, 2] + 0.06) / np.pi * 0.5 + 0.5
    down = np.clip(covered(points, style) / DRAPE, 0.0, 1.0)
    return np.column_stack([np.clip(round_, 0.01, 0.99), 1.0 - np.clip(down, 0.01, 0.99)])


def hidden(body: Anatomy, style: str) -> NDArray[np.bool_]:
    """Quads of the skin that the garment covers well inside its edge."""
    corner = body.points[body.skin[..., 0]]
    return np.asarray((covered(corner, style) > 0.014).all(1))


def _relaxed(points: F64, quads: I64, free: NDArray[np.bool_], steps: int) -> F64:
    """Cloth hangs smoother than the body beneath it."""
    ends = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    both = np.concatenate([ends, ends[:, ::-1]])
    n = len(points)
    graph = sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
    graph = sparse.diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    out = points.copy()
    for _ in range(steps):
        out[free] += 0.5 * ((graph @ out)[free] - out[free])
    return out


def _vertex_normals(points: F64, triangles: I64) -> F64:
    corner = points[triangles]
    turn = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], turn)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))


def _clip(triangles: I64, points: F64, normal: F64, inside: F64) -> tuple[I64, F64, F64]:
    """Keep what has inside ≥ 0, cutting triangles along the line; compact what is left."""
    cuts: dict[tuple[int, int], int] = {}
    points_, normal_ = list(points), list(normal)

    def cut(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in cuts:
            t = inside[a] / (inside[a] - inside[b])
            cuts[key] = len(points_)
            points_.append(points[a] + t * (points[b] - points[a]))
            normal_.append(normal[a] + t * (normal[b] - normal[a]))
        return cuts[key]

    out = []
    for triangle in triangles:
        polygon: list[int] = []
        for k in range(3):
            a, b = int(triangle[k]), int(triangle[(k + 1) % 3])
            if inside[a] >= 0:
                polygon.append(a)
            if (inside[a] >= 0) != (inside[b] >= 0):
                polygon.append(cut(a, b))
        out += [[polygon[0], polygon[k], polygon[k + 1]] for k in range(1, len(polygon) - 1)]
    used, compact = np.unique(np.array(out), return_inverse=True)
    return compact.reshape(-1, 3), np.array(points_)[used], np.array(normal_)[used]


BAND_STEPS, BAND_AROUND = 120, 6


def _neckband(triangles: I64, points: F64, normal: F64) -> tuple[F64, I64, F64]:
    """A knitted band over the neckline's cut edge: points, triangles, texture [V, 2] in 0 … 1."""
    loop = _rim(triangles, points)
    line, out = _evenly(points[loop], normal[loop], BAND_STEPS)
    along = np.roll(line, -1, 0) - np.roll(line, 1, 0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    out -= (out * along).sum(1, keepdims=True) * along
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    down = np.cross(along, out)
    down *= -np.sign(down[:, 1:].mean())
    turn = 2 * np.pi * np.arange(BAND_AROUND) / BAND_AROUND
    ring = (0.0012 + 0.0022 * np.cos(turn))[:, None, None] * out
    ring = ring + (0.0022 + 0.0062 * np.sin(turn))[:, None, None] * down
    tube = (line + ring).transpose(1, 0, 2).reshape(-1, 3)
    k = np.arange(BAND_STEPS)[:, None] * BAND_AROUND
    j = np.arange(BAND_AROUND)[None]
    a, b = k + j, k + (j + 1) % BAND_AROUND
    c, d = np.roll(a, -1, 0), np.roll(b, -1, 0)
    faces = triangulate(np.stack([a, c, d, b], -1).reshape(-1, 4))
    if _inward(tube, faces, line):
        faces = faces[:, ::-1]
    u = np.repeat(np.arange(BAND_STEPS) / BAND_STEPS, BAND_AROUND)
    v = np.tile(0.5 + 0.5 * np.sin(turn), BAND_STEPS)
    return tube, faces, np.column_stack([u, v])


def _following(points: F64, body: Anatomy) -> F64:
    """How far cloth follows the skull: exactly as the skin beneath it, which must not poke out."""
    skin = body.points[np.unique(body.skin[..., 0])]
    distance, near = cKDTree(skin).query(points, 4)
    share = 1.0 / (distance + 1e-4)
    return np.asarray((share * headness(skin)[near]).sum(1) / share.sum(1))


def _inward(tube: F64, faces: I64, line: F64) -> bool:
    """Whether a tube's faces look at its middle line."""
    corner = tube[faces]
    turn = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    middle = corner.mean(1)
    _, near = cKDTree(line).query(middle)
    return bool((turn * (middle - line[near])).sum() < 0)


def _rim(triangles: I64, points: F64) -> I64:
    """Points of the neckline's border in order."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    seen = {(int(a), int(b)) for a, b in edges}
    after = {a: b for a, b in seen if (b, a) not in seen and points[[a, b], 1].max() > -0.30}
    loop = [max(after, key=lambda k: points[k, 1])]
    while after.get(loop[-1], loop[0]) != loop[0] and len(loop) <= len(after):
        loop.append(after[loop[-1]])
    return np.array(loop)


def _evenly(line: F64, normal: F64, count: int) -> tuple[F64, F64]:
    """A closed line and its normals at `count` even steps, smoothed."""
    closed = np.concatenate([line, line[:1]])
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, run[-1], count, endpoint=False)
    both = np.concatenate([closed, np.concatenate([normal, normal[:1]])], axis=1)
    even = np.stack([np.interp(at, run, both[:, k]) for k in range(6)], 1)
    even = gaussian_filter1d(even, 4.0, axis=0, mode="wrap")
    return even[:, :3], even[:, 3:]


def headset(surface: Part) -> Part:
    """An ear hook, a slim boom along the viewer's-right cheek, a small foam-tipped capsule."""
    rest = surface.rest
    tree = cKDTree(rest)
    path = np.array(
        [
            [0.0752, -0.020, 0.014],
            [0.0748, -0.026, 0.021],
            [0.0735, -0.032, 0.030],
            [0.0660, -0.048, 0.056],
            [0.0530, -0.060, 0.083],
            [0.0400, -0.0665, 0.104],
        ]
    )
    t = np.linspace(0, 1, len(path))
    fine = np.linspace(0, 1, 34)
    line = np.stack([np.polyval(np.polyfit(t, path[:, k], 4), fine) for k in range(3)], 1)
    line = _off(line, rest, tree, np.linspace(0.0040, 0.0125, len(line)))
    line = line[19:]  # the rest would only poke through swinging hair
    boom = _tube(line, np.full(len(line), 0.00135), 10)
    tip = line[-1]
    along = line[-1] - line[-4]
    along /= np.linalg.norm(along)
    s = np.linspace(-1, 1, 12)
    capsule = tip + np.outer(s * 0.0065, along)
    foam = _tube(capsule, 0.0052 * np.sqrt(np.maximum(1 - np.abs(s) ** 2.6, 0.01)), 14)
    pieces = [(boom, 0.25), (foam, 0.75)]
    points: list[F64] = []
    triangles: list[I64] = []
    corners: list[F64] = []
    for (p, f), row in pieces:
        triangles.append(f + sum(len(q) for q in points))
        points.append(p)
        spot = PATCHES["device"].texels(np.full((len(p), 2), [0.5, row]))
        corners.append(spot[f])
    return rigid(
        "device", np.concatenate(points), np.concatenate(triangles), np.concatenate(corners)
    )


def _off(line: F64, rest: F64, tree: cKDTree, gap: F64) -> F64:
    """Hold a line at least `gap` [N] off the surface: a jaw needs room to swing."""
    out = line.copy()
    middle = np.array([0.0, 0.0, 0.02])
    for _ in range(20):
        distance, k = tree.query(out)
        outward = out - middle
        outward[:, 1] *= 0.3
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        inside = ((out - rest[k]) * outward).sum(1) < 0
        short = np.where(inside, gap + distance, np.maximum(gap - distance, 0))
        out += 0.6 * short[:, None] * outward
        out[1:-1] = 0.5 * out[1:-1] + 0.25 * (out[:-2] + out[2:])
    return out


def _tube(line: F64, radius: F64, around: int) -> tuple[F64, I64]:
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.0, 1.0, 0.15])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.cos(turn)[None, :, None] * side[:, None] + np.sin(turn)[None, :, None] * up[:, None]
    points = (line[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    k = np.arange(around)
    rows = []
    for r in range(len(line) - 1):
        a, b = r * around + k, r * around + (k + 1) % around
        rows += [np.stack([a, b, a + around], 1), np.stack([b, b + around, a + around], 1)]
    ends = [np.stack([0 * k[2:], k[1:-1], k[2:]], 1)[:, ::-1]]
    last = (len(line) - 1) * around
    ends.append(last + np.stack([0 * k[2:], k[1:-1], k[2:]], 1))
    return points, np.concatenate(rows + ends)
