"""Teeth, gums and tongue. Each row of teeth is one band bent along its arch, scalloped at both its
edges; gaps between teeth are furrows of the band and lines of its texture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.motion.blendshapes import ARKIT, INDEX
from engine.training.authoring.anatomy import Anatomy, smooth
from engine.training.authoring.atlas import PATCHES
from engine.training.authoring.parts import SHAPES, Part, rigid, triangulate

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

UPPER = (0.0086, 0.0067, 0.0076, 0.0070, 0.0068, 0.0100)  # widths along the arch from the middle
LOWER = (0.0054, 0.0059, 0.0068, 0.0070, 0.0070, 0.0105)
RAISED = (0.0, 0.0008, 0.0001, 0.0009, 0.0012, 0.0016)  # edges of the upper teeth, off the plane
ARCH, DEPTH = 0.0295, 0.042  # half the width of the arch and how far back it reaches
WITHIN = np.array([0.0, 0.07, 0.25, 0.5, 0.75, 0.93])  # columns of the mesh across one tooth
UPPER_PLACE = np.array([-0.0040, 0.0007])  # biting edge and front from the base mesh's own, metres
LOWER_PLACE = np.array([-0.0100, -0.0014])
#         out of the arch, up from the edge: biting edge, crown, neck, gum (metres)
PROFILE = np.array(
    [
        [-0.0075, 0.0110], [-0.0052, 0.0060], [-0.0021, 0.0003], [-0.0009, 0.0000],
        [-0.0002, 0.0013], [0.0003, 0.0048], [0.0001, 0.0085], [0.0008, 0.0094],
        [0.0011, 0.0130], [-0.0020, 0.0190],
    ]
)  # fmt: skip
ROWS = np.array([0.0, 0.12, 0.25, 0.30, 0.38, 0.54, 0.70, 0.75, 0.87, 1.0])  # v in the texture
CROWN = slice(3, 7)  # rows of the profile that belong to a tooth's face


def teeth(body: Anatomy, upper: bool) -> Part:
    """One row of teeth with its gum; the lower follows the jaw as the base mesh's own does."""
    widths = np.array(UPPER if upper else LOWER)
    tooth = np.repeat(np.arange(len(widths)), len(WITHIN))
    f = np.tile(WITHIN, len(widths))
    along = np.concatenate([[0.0], np.cumsum(widths)])[tooth] + f * widths[tooth]
    side = np.column_stack([tooth, f, along])
    column = np.concatenate([side[:0:-1] * [1, 1, -1], side])
    points = _band(column, upper, *_place(body, upper))
    quads = _lattice(len(PROFILE), len(column))
    triangles = triangulate(quads if upper else quads[:, ::-1])
    u = np.broadcast_to((column[:, 0] + column[:, 1]) / len(widths), (len(PROFILE), len(column)))
    v = np.broadcast_to(ROWS[:, None], u.shape)
    corners = PATCHES["teeth"].texels(np.stack([v, u], -1).reshape(-1, 2))[triangles]
    part = rigid("teeth_upper" if upper else "teeth_lower", points, triangles, corners)
    return part if upper else _follow_jaw(part, body, np.ones(len(points)))


def _place(body: Anatomy, upper: bool) -> tuple[float, float]:
    """y of the biting edge and z of the front of a row."""
    own = body.points[body.ids(f"helper-{'upper' if upper else 'lower'}-teeth")]
    edge = own[:, 1].min() if upper else own[:, 1].max()
    down, ahead = UPPER_PLACE if upper else LOWER_PLACE
    return float(edge + down), float(own[:, 2].max() + ahead)


def _band(column: F64, upper: bool, edge: float, front: float) -> F64:
    """Points [R C, 3] of a row of teeth; column: [C, 3] tooth, place across it, metres along."""
    tooth, f, along = column[:, 0].astype(int), column[:, 1], column[:, 2]
    x, z, out = _arch(along, front)
    off = np.abs(2 * f - 1)  # 0 in a tooth's middle, 1 between two
    canine = tooth == 2
    round_ = np.where(canine, 0.0011 * off**1.4, 0.0007 * off**4 + 0.0002 * off**2)
    lift = round_ + (np.array(RAISED)[tooth] if upper else 0.5 * np.array(RAISED)[tooth])
    height = (1.0 if upper else 0.86) * (1 - 0.05 * tooth) + 0.10 * canine
    papilla = -0.0016 * off**3  # gum reaches down between two teeth
    belly = np.where(off > 0.99, -0.00055, 0.00025 * (1 - off**2))
    rows = []
    for r, (far, up) in enumerate(PROFILE):
        crown = CROWN.start <= r < CROWN.stop
        share = max(0.0, 1.0 - up / 0.0085)
        y = up * height + lift * share + papilla * (6 <= r <= 7)
        n = far + belly * (1.0 if crown else 0.0) * (0.4 if r == 6 else 1.0)
        sign = 1.0 if upper else -1.0
        rows.append(np.column_stack([x + n * out[:, 0], edge + sign * y, z + n * out[:, 1]]))
    return np.concatenate(rows)


def _arch(along: F64, front: float) -> tuple[F64, F64, F64]:
    """x, z and the outward direction [C, 2] (x, z) at metres along the arch from its middle."""
    x = np.linspace(0, ARCH * 1.25, 400)
    z = -DEPTH * (x / ARCH) ** 2.8
    run = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.interp(np.abs(along), run, x)
    slope = -DEPTH * 2.8 / ARCH * (at / ARCH) ** 1.8
    out = np.column_stack([-slope * np.sign(along), np.ones_like(at)])
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return np.sign(along) * at, front - DEPTH * (at / ARCH) ** 2.8, out


def _lattice(rows: int, columns: int) -> I64:
    """Quads [(R − 1) (C − 1), 4] of a grid of points, row by row."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns - 1]
    a = (r * columns + c).ravel()
    return np.stack([a, a + 1, a + columns + 1, a + columns], axis=1)


def _follow_jaw(part: Part, body: Anatomy, share: F64) -> Part:
    """Add the affine motion that each shape gives the base mesh's lower teeth, by shares [P]."""
    ids = body.ids("helper-lower-teeth")
    known = np.column_stack([body.points[ids], np.ones(len(ids))])
    wanted = np.column_stack([part.control, np.ones(len(part.control))])
    shapes = part.shapes.copy()
    for s in range(len(ARKIT)):
        moved = body.shapes[s, ids]
        if np.abs(moved).max() > 1e-5:
            fit = wanted @ np.linalg.lstsq(known, moved, rcond=None)[0]
            shapes[s] = shapes[s] + share[:, None] * fit
    return replace(part, shapes=shapes)


RINGS, AROUND = 15, 16


def tongue(body: Anatomy) -> Part:
    """A soft paddle that lies behind the lower teeth, follows the jaw and can be put out."""
    t = np.linspace(0, 1, RINGS) ** 0.85
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    half = 0.0162 * np.sqrt(np.clip(1 - (np.maximum(t - 0.35, 0) / 0.65) ** 2.2, 0.002, 1))
    half = half * (0.86 + 0.14 * smooth(0.0, 0.3, t))
    thick = 0.0105 * np.sqrt(np.clip(1 - (np.maximum(t - 0.30, 0) / 0.70) ** 3.0, 0.002, 1))
    edge, front = _place(body, upper=False)
    z = front - 0.060 + 0.0540 * t
    top = (
        edge
        - 0.0028
        + 0.0035 * np.sin(np.pi * np.clip(t * 1.05, 0, 1))
        - 0.010 * smooth(0.3, 0.0, t)
    )
    c, s = np.cos(turn), np.sin(turn)
    groove = 0.0009 * np.exp(-((c / 0.22) ** 2)) * (s > 0)
    lens = np.sign(s) * np.abs(s) ** np.where(s > 0, 0.85, 1.0)
    points = np.stack(
        [
            half[:, None] * c,
            top[:, None] - 0.5 * thick[:, None] * (1 - lens) - groove * half[:, None] / 0.0162,
            np.broadcast_to(z[:, None], (RINGS, AROUND)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    triangles = _tube()
    u = np.broadcast_to(0.5 + 0.5 * c * np.where(s > 0, 0.80, 1.0), (RINGS, AROUND))
    v = np.broadcast_to(t[:, None], u.shape)
    spot = np.clip(np.stack([u, v], -1).reshape(-1, 2), 0.03, 0.97)
    corners = PATCHES["tongue"].texels(spot)[triangles]
    shapes = np.zeros((SHAPES, len(points), 3))
    far = np.repeat(t, AROUND)
    rise = 0.0105 * smooth(0.2, 0.6, far) - 0.0120 * smooth(0.65, 1, far)
    shapes[INDEX["tongueOut"], :, 1] = rise
    shapes[INDEX["tongueOut"], :, 2] = 0.0375 * smooth(0.05, 0.95, far)
    whole = sparse.identity(len(points), format="csr")
    part = Part("tongue", points, shapes, whole, np.ones(len(points)), triangles, corners)
    return _follow_jaw(part, body, 0.35 + 0.55 * smooth(0.1, 0.8, far))


def _tube() -> I64:
    """Triangles of the tongue's rings, its tip closed."""
    k = np.arange(AROUND)
    rows = []
    for r in range(RINGS - 1):
        a, b = r * AROUND + k, r * AROUND + (k + 1) % AROUND
        rows += [np.stack([a, a + AROUND, b], 1), np.stack([b, a + AROUND, b + AROUND], 1)]
    last = (RINGS - 1) * AROUND
    rows.append(last + np.stack([0 * k[2:], k[1:-1], k[2:]], 1))
    return np.concatenate(rows)
