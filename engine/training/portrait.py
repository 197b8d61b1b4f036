"""Makes what the portrait renderer knows of faces: `engine/rendering/portrait/face.npz`.

python -m engine.training.portrait --identity aria

A head of our own is drawn at rest and with its mouth open, mediapipe's landmarks are found in both
pictures (`make portrait` first), and each is followed to the place on the head's skin that it
shows. There the 52 shapes are read off. Teeth and tongue come along as they are. To be run again
when the head's anatomy has changed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engine.avatar import RendererConfig
from engine.motion.blendshapes import ARKIT, INDEX
from engine.rendering.head import Head
from engine.rendering.identity import load_identity
from engine.rendering.portrait.face import (
    FACE,
    LIPS,
    LOWER_LID,
    LOWER_LIP,
    POINTS,
    UPPER_LID,
    UPPER_LIP,
)
from engine.rendering.portrait.finding import ask, finder_python
from engine.signals import Motion
from kernels.deform import project
from kernels.raster import NOTHING, OFFSETS, SAMPLES, cover

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

SIZE = 1536  # pixels of the pictures that landmarks are looked for in
MOUTH = ("teeth_upper", "teeth_lower", "tongue")
OPEN = {"jawOpen": 0.7}
THROAT = 0.085  # metres: skin behind this, where landmarks are, is inside the mouth or on the ears
MIDDLE = int(np.flatnonzero(OFFSETS == 0.5)[0])  # the sample in a pixel's middle column
EDGES = """
import json
from mediapipe.python.solutions.face_mesh import FACEMESH_TESSELATION
print(json.dumps(sorted(FACEMESH_TESSELATION)))
"""


ALONE = -1  # a point between two that are no neighbours on the other side


class Seen(NamedTuple):
    """One pose of the head in one picture. places: [478, 2] pixels of the landmarks. picture:
    [V, 3] of the vertices. hit: [SIZE, SIZE] the skin's triangle at each pixel, or NOTHING."""

    places: F64
    picture: F32
    hit: I32


class Spot(NamedTuple):
    """Places on the head's surface: corners [P, 3] vertices, shares [P, 3] that sum to 1."""

    corners: I32
    shares: F64

    def of(self, values: NDArray) -> F64:
        """Values [V, n] of vertices, at the places."""
        return np.asarray(np.einsum("pk,pkn->pn", self.shares, values[self.corners]))


def motion(shapes: dict[str, float]) -> Motion:
    values = np.zeros(52, np.float32)
    for name, value in shapes.items():
        values[INDEX[name]] = value
    return Motion(0, values, np.zeros(6, np.float32))


def see(head: Head, shapes: dict[str, float]) -> Seen:
    """Draw a pose and find the landmarks in it."""
    drawn = head.draw(motion(shapes)).rgba
    (face,) = ask(np.ascontiguousarray(drawn[..., 2::-1])).faces
    posed = head.poser.pose(motion(shapes))
    picture = np.empty_like(posed.points)
    project(posed.points, head.camera, picture)
    nearest = np.zeros((SAMPLES * SIZE, SIZE), np.float32)
    seen = np.full((SAMPLES * SIZE, SIZE), NOTHING, np.int32)
    cover(picture, head.rig.triangles, True, nearest, seen)
    hit = seen[MIDDLE::SAMPLES].copy()
    skin = head.rig.parts.index("skin")
    behind = posed.points[head.rig.triangles[hit], 2].mean(-1) < THROAT
    hit[(hit >= 0) & (behind | (head.rig.triangle_part[hit] != skin))] = NOTHING
    return Seen(face[:, :2] * SIZE, picture, hit)


def triangles_of(edges: I32) -> I32:
    """Triangles of a mesh that is given by its edges, without those that span an opening."""
    near: list[set[int]] = [set() for _ in range(POINTS)]
    for a, b in edges:
        near[a].add(int(b))
        near[b].add(int(a))
    found = {
        (a, b, c)
        for a in range(POINTS)
        for b in near[a]
        if b > a
        for c in near[a] & near[b]
        if c > b
    }
    sides = lambda t: [t[:2], t[1:], t[::2]]  # noqa: E731
    used = Counter(side for t in found for side in sides(t))
    found = {t for t in found if min(used[side] for side in sides(t)) < 3}  # around three others
    rings = [{*UPPER_LID[s], *LOWER_LID[s]} for s in ("Left", "Right")]
    rings.append({*UPPER_LIP, *LOWER_LIP})
    return np.array(sorted(t for t in found if not any(set(t) <= ring for ring in rings)), np.int32)


def split(triangles: I32) -> tuple[I32, I32]:
    """Cut each triangle into four. Returns the halved edges [n, 2] and the triangles."""
    sides = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    )
    halves, which = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = POINTS + which.reshape(3, -1)
    a, b, c = triangles.T
    four = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return halves.astype(np.int32), np.concatenate([np.stack(t, 1) for t in four]).astype(np.int32)


def middles(halves: I32, places: F64) -> F64:
    """[n, 2] between the points; along the edges of eyes and mouth on the curve."""
    out = places[halves].mean(1)
    row = {tuple(pair): k for k, pair in enumerate(halves.tolist())}
    for ring in (*UPPER_LID.values(), *LOWER_LID.values(), UPPER_LIP, LOWER_LIP):
        p = places[list(ring)]
        ends = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
        curve = (9 * (p[:-1] + p[1:]) - ends[:-3] - ends[3:]) / 16
        for a, b, place in zip(ring, ring[1:], curve, strict=False):
            out[row[min(a, b), max(a, b)]] = place
    return np.asarray(out)


def locate(seen: Seen, triangles: I32, places: F64) -> Spot:
    """Where on the skin places of a picture lie; the nearest skin for what shows none."""
    rows, columns = np.nonzero(seen.hit != NOTHING)
    corners, shares = np.empty((len(places), 3), np.int32), np.empty((len(places), 3))
    for k, (x, y) in enumerate(places):
        nearest = np.argmin((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2)
        column, row = columns[nearest], rows[nearest]
        ids = triangles[seen.hit[row, column]]
        spot = (
            (x, y)
            if abs(column + 0.5 - x) + abs(row + 0.5 - y) < 1.5
            else (column + 0.5, row + 0.5)
        )
        grid = np.vstack([seen.picture[ids, :2].T.astype(float), np.ones(3)])
        near = seen.picture[ids, 2].astype(float)
        share = np.clip(np.linalg.solve(grid, [*spot, 1.0]), 0.0, 1.0)
        share = share / near  # the picture's shares are not the surface's: undo the perspective
        corners[k], shares[k] = ids, share / share.sum()
    return Spot(corners, shares)


def shapes_of(head: Head) -> tuple[F32, F32]:
    """Points at rest [V, 3], and what each of the 52 shapes adds to them [52, V, 3]."""
    pose = lambda shapes: head.poser.pose(motion(shapes)).points.copy()  # noqa: E731
    rest, jaw = pose({}), pose({"jawOpen": 1.0})
    moved = np.stack([pose({name: 1.0}) - rest for name in ARKIT])
    moved[INDEX["mouthClose"]] = pose({"jawOpen": 1.0, "mouthClose": 1.0}) - jaw
    return rest, moved


def mirrored(rest: F64, moved: F64, mirror: I32) -> tuple[F64, F64]:
    """Both made the same left and right: landmarks are found a little apart."""
    flip = np.array([-1.0, 1.0, 1.0])
    twins = [
        INDEX[name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")]
        if name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
        else INDEX[{"Left": name[:-4] + "Right", "ight": name[:-5] + "Left"}[name[-4:]]]
        for name in ARKIT
    ]
    has = mirror != ALONE
    rest, moved = rest.copy(), moved.copy()
    rest[has] = (rest[has] + rest[mirror[has]] * flip) / 2
    moved[:, has] = (moved[:, has] + moved[twins][:, mirror[has]] * flip) / 2
    return rest, moved


def mirror_of(places: F64, halves: I32) -> I32:
    """The point on the other side, for each point, or ALONE. places: [468, 2] seen from ahead."""
    flipped = np.array([SIZE, 0.0]) + places * [-1.0, 1.0]
    apart = np.linalg.norm(places[:, None] - flipped[None], axis=-1)
    mirror = linear_sum_assignment(apart**2)[1]
    row = {tuple(pair): POINTS + k for k, pair in enumerate(halves.tolist())}
    pairs = np.sort(mirror[halves], axis=1).tolist()
    return np.array([*mirror, *(row.get(tuple(pair), ALONE) for pair in pairs)], np.int32)


def mouth_of(head: Head, rest: F32, moved: F32) -> dict[str, NDArray]:
    """Teeth and tongue."""
    rig = head.rig
    parts = [rig.parts.index(name) for name in MOUTH]
    vertices = np.concatenate([np.arange(rig.ends[p], rig.ends[p + 1]) for p in parts])
    number = np.full(len(rest), -1, np.int32)
    number[vertices] = np.arange(len(vertices))
    chosen = np.isin(rig.triangle_part, parts)
    triangles, corners = number[rig.triangles[chosen]], head.corners[chosen]
    texels = head.texture[
        np.clip(corners[..., 1].round().astype(int), 0, head.texture.shape[0] - 1),
        np.clip(corners[..., 0].round().astype(int), 0, head.texture.shape[1] - 1), :3,
    ].astype(float)  # fmt: skip
    total, count = np.zeros((len(vertices), 3)), np.zeros((len(vertices), 1))
    np.add.at(total, triangles.ravel(), texels.reshape(-1, 3))
    np.add.at(count, triangles.ravel(), 1.0)
    return {
        "mouth_rest": rest[vertices].astype(np.float32),
        "mouth_moved": (moved[:, vertices] * 1e3).astype(np.float16),
        "mouth_triangles": triangles.astype(np.uint16),
        "mouth_colour": (total / np.maximum(count, 1)).round().astype(np.uint8),
    }


def make(identity: str) -> dict[str, NDArray]:
    """Everything that `face.npz` holds."""
    config = RendererConfig(width=SIZE, height=SIZE, framing="face", background="scene")
    head = Head(load_identity(identity), config)
    listed = subprocess.run(
        [finder_python(), "-c", EDGES], capture_output=True, text=True, check=True
    )
    halves, triangles = split(triangles_of(np.array(json.loads(listed.stdout))))
    lips = np.isin(np.arange(POINTS), LIPS)
    opened = np.concatenate([lips, lips[halves].any(1)])
    rest, moved = shapes_of(head)
    points, deltas = np.empty((len(opened), 3)), np.empty((52, len(opened), 3))
    for shapes, chosen in (({}, ~opened), (OPEN, opened)):
        seen = see(head, shapes)
        places = np.concatenate([seen.places[:POINTS], middles(halves, seen.places)])
        spot = locate(seen, head.rig.triangles, places[chosen])
        points[chosen] = spot.of(rest)
        mirror = mirror_of(seen.places[:POINTS], halves)
        deltas[:, chosen] = np.stack([spot.of(one) for one in moved])
    points, deltas = mirrored(points, deltas, mirror)
    return {
        "rest": points.astype(np.float32),
        "moved": (deltas * 1e3).astype(np.float16),
        "halves": halves.astype(np.uint16),
        "triangles": triangles.astype(np.uint16),
        "eyes": head.rig.eyes,
        "neck": head.rig.neck,
        **mouth_of(head, rest, moved),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identity", default="aria")
    data = make(parser.parse_args().identity)
    np.savez_compressed(FACE, allow_pickle=False, **data)
    print(f"{FACE.name}: {FACE.stat().st_size // 1024} KB, {len(data['rest'])} points")


if __name__ == "__main__":
    main()
