"""The sheet that a photo is printed on: one mesh over the whole view, open at eyes and mouth.

In the face its points are mediapipe's and move as our own head's skin does there; around the face
they follow less and less. Since it is one piece, there is no seam between face, hair and neck.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay

from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT, INDEX, JAW_OPEN
from engine.rendering.portrait.face import OVAL, Face
from engine.rendering.portrait.fitting import Likeness

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

SEALED = [
    index for name, index in INDEX.items()
    if name.startswith(("mouthPress", "mouthRoll", "mouthShrug", "mouthLeft", "mouthRight",
                        "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPucker",
                        "cheek", "jawLeft", "jawRight", "jawForward"))
]  # fmt: skip
PARTED = 0.06  # of the mouth's width: lips nearer to each other are closed in the photo
OVERLAP = 0.0005  # metres that a closed upper lid reaches beyond the lower one
REACH = 0.30  # of the face's width: how far round the face its skin is drawn along
NECK = 0.075  # metres below the chin where nothing turns with the head any more
RISE = 0.004  # metres that a full breath lifts the shoulders
CELLS = 10  # of the mesh across the face's width


class Sheet(NamedTuple):
    """points: [V, 3] with a shut mouth, else as in the photo; the face's come first. places: [V, 2]
    pixels of the view where the photo shows them. along: [V] 0 trunk … 1 skull. moved: [53, V, 3]
    by each shape at 1, then by a full breath."""

    points: F32
    places: F32
    along: F32
    moved: F32
    triangles: I32


def make_sheet(
    face: Face,
    like: Likeness,
    view: tuple[int, int],
    margin: int,
    matte: U8 | None,
    cut: F64,
) -> Sheet:
    """Lay the sheet.

    view: width and height in pixels. margin: pixels around it that the sheet covers too. matte:
    [h + 2 margin, w + 2 margin] how much is the person, or None where nobody knows. cut: [n, 2]
    pixels where lips that are shut in the photo part.
    """
    points, places, moved = _face(face, like, cut)
    ring = closed_oval(face)
    outer = _around(places[ring], view, margin)
    at = np.concatenate([ring, np.arange(len(points), len(points) + len(outer))])
    around = _triangulate(np.concatenate([places[ring], outer]), len(ring))
    spread = _Spread(around, len(ring) + len(outer))
    width = np.ptp(places[ring, 0])
    apart = _apart(outer, places[ring])

    behind = np.concatenate(
        [np.zeros(len(ring), bool), _behind(outer, apart, width, matte, margin)]
    )
    known = behind.copy()
    known[: len(ring)] = True
    depth = spread(known, np.where(behind, 0.0, np.append(points[ring, 2], 0 * apart))[:, None])
    outer_points = like.pose.lift(outer, depth[len(ring) :, 0])

    still = np.append(np.zeros(len(ring), bool), apart > 2.5 * REACH * width)
    still[: len(ring)] = True
    values = np.zeros((len(still), 52 * 3))
    values[: len(ring)] = moved[:, ring].transpose(1, 0, 2).reshape(len(ring), -1)
    drawn = spread(still, values, decay=width / CELLS / (REACH * width))[len(ring) :]
    drawn = drawn.reshape(-1, 52, 3).transpose(1, 0, 2)

    rest = np.concatenate([points, outer_points])
    along = np.ones(len(rest))
    along[len(points) :] = _along(outer_points, points, apart, width, matte is None)
    lift = np.zeros((1, len(rest), 3))
    lift[0, :, 1] = RISE * (1.0 - along)
    all_moved = np.concatenate([np.concatenate([moved, drawn], 1), lift])
    return Sheet(
        points=rest.astype(np.float32),
        places=np.concatenate([places, outer]).astype(np.float32),
        along=along.astype(np.float32),
        moved=all_moved.astype(np.float32),
        triangles=np.concatenate([at[around], face.triangles]).astype(np.int32),
    )


# ---- the face ------------------------------------------------------------------------------------


def _face(face: Face, like: Likeness, cut: F64) -> tuple[F64, F64, F64]:
    """Points with a shut mouth, their places in the photo, and what each shape adds."""
    places = like.places.copy()
    spread = _Spread(face.triangles, len(places))
    moved = (face.moved @ like.pose.turn.T.astype(np.float32)).astype(np.float64)
    moved *= _sizes(face, like)[:, None]
    upper, lower = face.openings[2]
    gap = places[lower] - places[upper]
    width = np.linalg.norm(places[upper[-1]] - places[upper[0]])
    if np.linalg.norm(gap, axis=1).max() < PARTED * width:
        places[upper] = places[lower] = cut  # between the lips: nothing of the photo is lost
    points = like.pose.lift(places, like.points[:, 2])
    points = _shut(points, moved, (upper, lower), spread)
    moved[SEALED] += _seal(moved[SEALED], points, (upper, lower), spread)
    for shape, rows in zip((EYE_BLINK_LEFT, EYE_BLINK_RIGHT), face.openings[:2], strict=True):
        moved[shape] += _blink(points, moved[shape], rows, spread)
    return points, places, moved


def _sizes(face: Face, like: Likeness) -> F64:
    """[P] how much larger than on our own face what moves is: mouths and eyes differ."""
    own, points = like.own, like.points
    out = np.ones(len(points))
    for k, rows in enumerate(face.openings):
        first, last = rows[0][0], rows[0][-1]
        ratio = np.linalg.norm(np.subtract(*points[[first, last], :2]))
        ratio /= np.linalg.norm(np.subtract(*own[[first, last], :2]))
        centre = own[rows[0]].mean(0)
        reach = 0.030 if k == 2 else 0.018  # metres
        near = np.exp(-(((own - centre) / reach) ** 2).sum(1))
        out += near * (np.clip(ratio, 0.5, 2.0) - 1.0)
    return out


def _shut(points: F64, moved: F64, rows: tuple[I32, I32], spread: _Spread) -> F64:
    """The face with its mouth shut: the jaw raised, then the lips laid together."""
    upper, lower = rows
    middle = len(upper) // 2
    opened = np.linalg.norm(moved[JAW_OPEN, lower[middle]] - moved[JAW_OPEN, upper[middle]])
    gap = np.linalg.norm(points[lower[middle], :2] - points[upper[middle], :2])  # as seen
    points = points - np.clip(0.9 * gap / opened, 0.0, 1.0) * moved[JAW_OPEN]
    meet = (points[upper] + points[lower]) / 2
    centre, width = meet.mean(0), np.linalg.norm(meet[-1] - meet[0])
    known = np.linalg.norm(points - centre, axis=1) > 0.85 * width
    values = np.zeros_like(points)
    for row in rows:
        known[row], values[row] = True, meet - points[row]
    return np.asarray(points + spread(known, values))


def _seal(moved: F64, points: F64, rows: tuple[I32, I32], spread: _Spread) -> F64:
    """What shapes [n, P, 3] must add so that lips which touch still do."""
    upper, lower = rows
    flat = moved.transpose(1, 0, 2).reshape(len(points), -1)
    meet = (flat[upper] + flat[lower]) / 2
    width = np.linalg.norm(points[upper[-1]] - points[upper[0]])
    known = np.linalg.norm(points - points[upper].mean(0), axis=1) > 0.85 * width
    values = np.zeros_like(flat)
    for row in rows:
        known[row], values[row] = True, meet - flat[row]
    return spread(known, values).reshape(len(points), -1, 3).transpose(1, 0, 2)


def _blink(points: F64, moved: F64, rows: tuple[I32, I32], spread: _Spread) -> F64:
    """What a blink must add so that the upper lid comes to lie on the lower one."""
    upper, lower = rows
    target = points[lower] + moved[lower]
    target[1:-1] += [0.0, -OVERLAP, OVERLAP]
    width = np.linalg.norm(points[upper[-1]] - points[upper[0]])
    edge = np.concatenate([upper, lower])
    to_edge = np.linalg.norm(points[:, None, :2] - points[None, edge, :2], axis=-1)
    over = (to_edge.argmin(1) < len(upper)) & (to_edge.min(1) < 0.42 * width)
    known = ~over
    known[edge] = True
    values = np.zeros_like(points)
    values[upper] = target - points[upper] - moved[upper]
    values[[upper[0], upper[-1]]] = 0.0
    return spread(known, values)


# ---- around the face -----------------------------------------------------------------------------


def closed_oval(face: Face) -> I32:
    """The face's outline, with the points between: [2 · 36], in order."""
    row = {tuple(pair): 468 + k for k, pair in enumerate(face.halves.tolist())}
    out: list[int] = []
    for a, b in zip(OVAL, (*OVAL[1:], OVAL[0]), strict=True):
        out += [a, row[min(a, b), max(a, b)]]
    return np.array(out, np.int32)


def _around(ring: F64, view: tuple[int, int], margin: int) -> F64:
    """Places outside of the face: rings close to it, then a grid out to the margin."""
    width, height = view
    step = np.ptp(ring[:, 0]) / CELLS
    centre = ring.mean(0)
    rings = [centre + (ring[k::2] - centre) * s for k, s in ((0, 1.09), (1, 1.20))]
    near = rings[-1]
    x = np.linspace(-margin, width + margin, max(4, round((width + 2 * margin) / step)))
    y = np.linspace(-margin, height + margin, max(4, round((height + 2 * margin) / step)))
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    outline = near.astype(np.float32)
    far = [cv2.pointPolygonTest(outline, (float(a), float(b)), True) < -0.6 * step for a, b in grid]
    out = np.concatenate([*rings, grid[far]])
    inside = (
        (out >= -margin).all(1) & (out[:, 0] <= width + margin) & (out[:, 1] <= height + margin)
    )
    return np.asarray(out[inside])


def _triangulate(places: F64, ring: int) -> I32:
    """Triangles [T, 3] between places of which the first `ring` are the outline of a hole."""
    triangles = Delaunay(places).simplices
    outline = places[:ring].astype(np.float32)
    centres = places[triangles].mean(1)
    outside = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) < 0 for x, y in centres]
    return np.asarray(triangles[outside], np.int32)


def _apart(places: F64, ring: F64) -> F64:
    """[n] pixels from the face's outline."""
    return np.asarray(np.linalg.norm(places[:, None] - ring[None], axis=-1).min(1))


def _behind(
    places: F64, apart: F64, width: float, matte: U8 | None, margin: int
) -> NDArray[np.bool_]:
    """Which places lie as far back as the middle of the skull: the head's outline and beyond."""
    far = apart > 0.75 * width
    if matte is None:
        return np.asarray(far | (apart > 0.45 * width))
    x, y = np.clip(np.rint(places + margin).astype(int), 0, np.array(matte.shape)[::-1] - 1).T
    return np.asarray(far | (matte[y, x] < 128))


def _along(outer: F64, points: F64, apart: F64, width: float, everywhere: bool) -> F64:
    """[n] how much of the head's turn places around the face follow."""
    chin = points[152, 1]
    up = np.clip((outer[:, 1] - (chin - NECK)) / (0.8 * NECK), 0.0, 1.0)
    out = up * up * (3.0 - 2.0 * up)
    if everywhere:  # the scene hangs on the head: let it stay where it is farther out
        near = np.clip(1.5 - apart / (0.6 * width), 0.0, 1.0)
        out = out * near * near * (3.0 - 2.0 * near)
    return np.asarray(out)


class _Spread:
    """Continues values that are known at some points of a mesh smoothly over the others."""

    def __init__(self, triangles: I32, count: int) -> None:
        sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        both = np.concatenate([sides, sides[:, ::-1]])
        linked = coo_matrix((np.ones(len(both)), both.T), (count, count)).tocsr()
        self.linked: csr_matrix = (linked > 0).astype(np.float64)
        self.links = np.asarray(self.linked.sum(1)).ravel()

    def __call__(self, known: NDArray[np.bool_], values: F64, decay: float = 0.0) -> F64:
        """values: [n, k], used where known. decay: per link, towards 0. Returns [n, k]."""
        known = known | (self.links == 0)
        free = np.flatnonzero(~known)
        out = np.where(known[:, None], values, 0.0)
        if len(free):
            laplace = diags(self.links * (1.0 + decay * decay)) - self.linked
            right = (self.linked @ out)[free]
            out[free] = splu(laplace.tocsr()[free][:, free].tocsc()).solve(right)
        return np.asarray(out)
