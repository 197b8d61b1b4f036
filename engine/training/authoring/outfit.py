"""Clothes cut from the body's own surface, and a stage headset bent round the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from engine.training.authoring.anatomy import Anatomy, headness, smooth
from engine.training.authoring.atlas import PATCHES
from engine.training.authoring.parts import Part, rigid, triangulate
from engine.training.authoring.subdivision import subdivide

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

NECKLINES = {
    # y of the edge: at the front's middle, where it meets the shoulder, at the back; half width
    "scoop": (-0.240, -0.190, -0.176, 0.082),
    "crew": (-0.214, -0.180, -0.166, 0.066),
}
THICKNESS = {"scoop": 0.0035, "crew": 0.005}


def covered(points: F64, style: str) -> F64:
    """Metres below the neckline, > 0 where the garment covers the body."""
    middle, shoulder, back, half = NECKLINES[style]
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    across = np.clip(x / half, 0.0, 1.6)
    front = middle + (shoulder - middle) * np.minimum(across**2.2, 1.15)
    front = front + 0.02 * np.maximum(across - 1.0, 0.0)
    line = back + (front - back) * smooth(-0.055, 0.015, z)
    return np.asarray(line - y)


def garment(body: Anatomy, style: str) -> Part:
    """Cloth over the trunk, clipped along its neckline, with a turned-in edge."""
    quads = body.skin
    used, compact = np.unique(quads[..., 0], return_inverse=True)
    compact = compact.reshape(quads.shape[:2])
    first, fine = subdivide(compact, len(used))
    texture = _corner_average(quads[..., 1], body.texture, compact, len(used))
    rest, uv = first @ body.points[used], first @ texture
    near = covered(rest, style) > -0.03
    keep = near[fine].all(1)
    skin, skin_normal = rest, _vertex_normals(rest, triangulate(fine))
    rest = _relaxed(rest, fine, near, 14)
    normal = _vertex_normals(rest, triangulate(fine))
    puff = THICKNESS[style] + 0.004 * smooth(0.02, 0.10, covered(rest, style))
    cloth = rest + normal * puff[:, None]
    sunk = puff - ((cloth - skin) * skin_normal).sum(1)
    cloth = cloth + skin_normal * np.maximum(sunk, 0.0)[:, None]
    triangles, cloth, uv, normal = _clip(
        triangulate(fine[keep]), cloth, uv, normal, covered(cloth, style)
    )
    triangles, cloth, uv = _hem(triangles, cloth, uv, normal)
    corners = PATCHES["cloth"].texels(_planar(cloth))[triangles]
    return rigid("garment", cloth, triangles, corners, headness(cloth))


def _planar(points: F64) -> F64:
    """Cloth coordinates: round the trunk, and down."""
    round_ = np.arctan2(points[:, 0], points[:, 2] + 0.06) / np.pi * 0.5 + 0.5
    down = np.clip((-0.14 - points[:, 1]) / 0.30, 0.0, 1.0)
    return np.column_stack([np.clip(round_, 0.01, 0.99), 1.0 - np.clip(down, 0.01, 0.99)])


def hidden(body: Anatomy, style: str) -> NDArray[np.bool_]:
    """Quads of the skin that the garment covers well inside its edge."""
    corner = body.points[body.skin[..., 0]]
    return np.asarray((covered(corner, style) > 0.022).all(1))


def _corner_average(uv_ids: I64, texture: F64, compact: I64, count: int) -> F64:
    out = np.zeros((count, 2))
    out[compact.ravel()] = texture[uv_ids.ravel()]
    return out


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


def _clip(
    triangles: I64, points: F64, uv: F64, normal: F64, inside: F64
) -> tuple[I64, F64, F64, F64]:
    """Keep what has inside ≥ 0, cutting triangles along the line; compact what is left."""
    cuts: dict[tuple[int, int], int] = {}
    points_, uv_, normal_ = list(points), list(uv), list(normal)

    def cut(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in cuts:
            t = inside[a] / (inside[a] - inside[b])
            cuts[key] = len(points_)
            points_.append(points[a] + t * (points[b] - points[a]))
            uv_.append(uv[a] + t * (uv[b] - uv[a]))
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
    return (
        compact.reshape(-1, 3),
        np.array(points_)[used],
        np.array(uv_)[used],
        np.array(normal_)[used],
    )


def _hem(triangles: I64, points: F64, uv: F64, normal: F64) -> tuple[I64, F64, F64]:
    """A rolled edge along the neckline: out a little, then in towards the skin."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    seen = {(int(a), int(b)) for a, b in edges}
    border = np.array([(a, b) for a, b in seen if (b, a) not in seen])
    border = border[points[border, 1].max(1) > -0.36]
    rim, compact = np.unique(border, return_inverse=True)
    compact = compact.reshape(-1, 2)
    up = np.array([0.0, 1.0, 0.0])
    rings = [
        points[rim] + 0.0012 * normal[rim] + 0.0010 * up,
        points[rim] + 0.0004 * normal[rim] + 0.0026 * up,
        points[rim] - 0.0022 * normal[rim] + 0.0020 * up,
        points[rim] - 0.0075 * normal[rim] - 0.0030 * up,
    ]
    base = len(points)
    n = len(rim)
    faces = []
    for k in range(len(rings)):
        low = rim[compact] if k == 0 else base + (k - 1) * n + compact
        high = base + k * n + compact
        faces.append(np.stack([low[:, 1], low[:, 0], high[:, 0]], 1))
        faces.append(np.stack([low[:, 1], high[:, 0], high[:, 1]], 1))
    return (
        np.concatenate([triangles, *faces]),
        np.concatenate([points, *rings]),
        np.concatenate([uv] + [uv[rim]] * len(rings)),
    )


def headset(surface: Part) -> Part:
    """An ear hook, a slim boom along the viewer's-right cheek, a small foam-tipped capsule."""
    rest = surface.rest
    tree = cKDTree(rest)
    path = np.array(
        [
            [0.0745, 0.004, 0.000],
            [0.0760, -0.016, 0.012],
            [0.0735, -0.032, 0.030],
            [0.0660, -0.048, 0.056],
            [0.0530, -0.060, 0.083],
            [0.0400, -0.0665, 0.104],
        ]
    )
    t = np.linspace(0, 1, len(path))
    fine = np.linspace(0, 1, 34)
    line = np.stack([np.polyval(np.polyfit(t, path[:, k], 4), fine) for k in range(3)], 1)
    line = _off(line, rest, tree, 0.0040)
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


def _off(line: F64, rest: F64, tree: cKDTree, gap: float) -> F64:
    """Hold a line at least `gap` off the surface."""
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
