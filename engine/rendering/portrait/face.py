"""What the portrait renderer knows of faces: mediapipe's points on a head of our own.

`face.npz` is made by `engine.training.portrait`. Points are mediapipe's 468 and the middles of the
edges between them, so that lids and lips bend smoothly. Lengths are metres on our own head; x to
the singer's left, y up, z forward; the eyes rest at y = 0.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

FACE = Path(__file__).with_name("face.npz")
POINTS, IRISES = 468, 10  # of mediapipe: on the skin, and around the irises

# Rings of mediapipe's points. "Left" is the singer's. Lids run from the outer corner over the upper
# lid to the inner one, and back along the lower lid; lips from the singer's right corner.
UPPER_LID = {
    "Left": (263, 466, 388, 387, 386, 385, 384, 398, 362),
    "Right": (33, 246, 161, 160, 159, 158, 157, 173, 133),
}
LOWER_LID = {
    "Left": (263, 249, 390, 373, 374, 380, 381, 382, 362),
    "Right": (33, 7, 163, 144, 145, 153, 154, 155, 133),
}
ABOVE_LID = {
    "Left": (359, 467, 260, 259, 257, 258, 286, 414, 463),
    "Right": (130, 247, 30, 29, 27, 28, 56, 190, 243),
}
IRIS = {"Left": (473, 474, 475, 476, 477), "Right": (468, 469, 470, 471, 472)}  # centre first
UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIP_TOP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIP_BOTTOM = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS = (
    *UPPER_LIP, *LOWER_LIP[1:-1],
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
    183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96, 62,
    76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77,
)  # fmt: skip


class Face(NamedTuple):
    """rest: [P, 3]. moved: [52, P, 3] by each shape at 1. halves: [P − 468, 2] the points between
    which the further ones lie. triangles: [T, 3], without the openings of eyes and mouth. opening:
    per opening (left eye, right eye, mouth) two equally long rows of points, upper and lower edge,
    corners included. mouth_*: teeth and tongue: rest [M, 3], moved [52, M, 3], triangles, colour
    [M, 3] linear. eyes: [2, 4] centres and radii of left and right eyeball. neck: [2, 3] where it
    leaves the trunk, where the skull sits."""

    rest: F32
    moved: F32
    halves: I32
    triangles: I32
    openings: tuple[tuple[I32, I32], ...]
    mouth_rest: F32
    mouth_moved: F32
    mouth_triangles: I32
    mouth_colour: F32
    eyes: F32
    neck: F32


@cache
def read_face() -> Face:
    """The shipped face."""
    with np.load(FACE, allow_pickle=False) as z:
        data = {name: z[name] for name in z.files}
    edges = {(int(a), int(b)): POINTS + k for k, (a, b) in enumerate(data["halves"])}

    def row(ring: tuple[int, ...]) -> I32:
        """A row of points with the halves between them."""
        out = [ring[0]]
        for a, b in pairwise(ring):
            out += [edges[min(a, b), max(a, b)], b]
        return np.array(out, np.int32)

    uppers = UPPER_LID["Left"], UPPER_LID["Right"], UPPER_LIP
    lowers = LOWER_LID["Left"], LOWER_LID["Right"], LOWER_LIP
    return Face(
        rest=data["rest"],
        moved=data["moved"].astype(np.float32) * np.float32(1e-3),
        halves=data["halves"].astype(np.int32),
        triangles=data["triangles"].astype(np.int32),
        openings=tuple((row(a), row(b)) for a, b in zip(uppers, lowers, strict=True)),
        mouth_rest=data["mouth_rest"],
        mouth_moved=data["mouth_moved"].astype(np.float32) * np.float32(1e-3),
        mouth_triangles=data["mouth_triangles"].astype(np.int32),
        mouth_colour=data["mouth_colour"].astype(np.float32) / np.float32(255),
        eyes=data["eyes"],
        neck=data["neck"],
    )
