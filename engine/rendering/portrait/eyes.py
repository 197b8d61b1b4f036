"""Eyes and lids of a photo: the white without its iris, the iris made whole, skin for shut lids."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.rendering.portrait.face import (
    ABOVE_LID,
    IRIS,
    LIP_BOTTOM,
    LIP_TOP,
    Face,
)
from engine.rendering.portrait.fitting import Pose
from engine.rendering.portrait.sheet import Sheet

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

EYEBALL = 2.05  # its radius, in radii of the iris
FULL, EDGE = 1.04, 1.16  # radii of the iris: opaque to here, gone from there
LID_ROWS = (-0.06, 0.25, 0.6, 0.9, 1.25)  # of a shut lid's skin: 0 its edge, 1 the fold above it
LID_PATCH = 32, 96  # texels, down and across


class Patch(NamedTuple):
    """A piece of texture and a mesh for it. points: [n, 3] at rest, where they move by themselves.
    source: [n, 2] texels. texture: [h, w, 4] premultiplied."""

    points: F32
    source: F32
    triangles: I32
    texture: U8


class Eye(NamedTuple):
    """centre: [3] of the eyeball. rows: points of the sheet along the upper and the lower lid.
    fold: those above the upper lid. lid: texture [h, w, 4] of a shut lid, its mesh's source and
    triangles."""

    centre: F64
    white: Patch
    iris: Patch
    rows: tuple[I32, I32]
    fold: I32
    lid: Patch


def make_eyes(
    face: Face, sheet: Sheet, pose: Pose, irises: F64, texture: U8, to_texel: tuple[float, float]
) -> tuple[Eye, Eye]:
    """Left and right eye.

    irises: [10, 2] mediapipe's, pixels of the view. texture: [h, w, 4] the photo, premultiplied.
    to_texel: factor and offset from pixels of the view to texels.
    """
    made = []
    for side, rows in zip(("Left", "Right"), face.openings[:2], strict=True):
        ring = irises[np.array(IRIS[side]) - 468] * to_texel[0] + to_texel[1]
        outline = sheet.places[np.concatenate([rows[0], rows[1][-2:0:-1]])]
        outline = outline.astype(np.float64) * to_texel[0] + to_texel[1]
        centre, radius = fit_iris(texture, outline, ring)
        depth = float(sheet.points[np.concatenate(rows), 2].mean())
        made.append(
            Eye(
                centre=_centre(pose, centre, radius, depth, to_texel),
                white=_white(texture, outline, centre, radius, pose, depth, to_texel),
                iris=_iris(texture, outline, centre, radius, pose, depth, to_texel),
                rows=rows,
                fold=_fold(face, side),
                lid=_lid(texture, sheet, rows, _fold(face, side), to_texel),
            )
        )
    return made[0], made[1]


def fit_iris(texture: U8, outline: F64, ring: F64) -> tuple[F64, float]:
    """Centre and radius, texels, at the strongest step from dark to light near mediapipe's ring.

    outline: [n, 2] of the opening; ring: [5, 2] centre and four points around.
    """
    grey = texture[..., :3].astype(np.float32).mean(-1)
    start = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean())
    angles = np.radians([-40, -25, -10, 5, 20, 35, 145, 160, 175, 190, 205, 220])
    rays = np.stack([np.cos(angles), np.sin(angles)], -1)
    opening = outline.astype(np.float32)
    best, found = -np.inf, (ring[0], start)
    for factor in np.linspace(0.8, 1.5, 29):
        for shift in np.linspace(-0.15, 0.15, 7) * start:
            centre, radius = ring[0] + [shift, 0.0], factor * start
            inner, outer = (centre + rays * radius * s for s in (0.93, 1.07))
            seen = [
                cv2.pointPolygonTest(opening, (float(x), float(y)), False) > 0 for x, y in outer
            ]
            if sum(seen) < 4:
                continue
            step = _sample(grey, outer[seen]) - _sample(grey, inner[seen])
            score = float(np.mean(step)) * (1.0 - 0.3 * abs(factor - 1.1))
            if score > best:
                best, found = score, (centre, radius)
    return found[0], float(found[1])


def _sample(grey: F32, places: F64) -> F32:
    at = (places - 0.5).astype(np.float32)
    got = cv2.remap(grey, at[:, 0], at[:, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(got[:, 0], np.float32)


def _centre(pose: Pose, at: F64, radius: float, depth: float, to_texel: tuple[float, float]) -> F64:
    """[3] the eyeball's, behind the iris."""
    factor, offset = to_texel
    iris = pose.lift((at - offset) / factor, depth)
    metres = radius / factor / pose.scale
    return np.asarray(iris - pose.turn @ [0.0, 0.0, metres * np.sqrt(EYEBALL**2 - 1.0)])


def _box(outline: F64, pad: float, texture: U8) -> tuple[int, int, int, int]:
    """First column and row, last column and row of a part of the texture around an opening."""
    size = np.ptp(outline[:, 0])
    low = np.floor(outline.min(0) - pad * size).astype(int)
    high = np.ceil(outline.max(0) + pad * size).astype(int)
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(high, [texture.shape[1], texture.shape[0]])
    return int(x0), int(y0), int(x1), int(y1)


def _within(shape: tuple[int, ...], outline: F64, shrink: int) -> U8:
    """[h, w] 255 well within an outline."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=shrink, borderValue=0))


def _white(
    texture: U8, outline: F64, iris: F64, radius: float, pose: Pose, depth: float,
    to_texel: tuple[float, float],
) -> Patch:  # fmt: skip
    """The eyeball as if it had no iris, and continued under the lids."""
    x0, y0, x1, y1 = _box(outline, 0.25, texture)
    part = texture[y0:y1, x0:x1]
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    known = _within(part.shape, outline - [x0, y0], max(1, round(0.06 * radius))) > 0
    known &= np.hypot(x - iris[0], y - iris[1]) > 1.12 * radius
    rgb = part[..., :3].copy()
    if known.sum() < 12:  # a drawing, or eyes nearly shut
        rgb[:] = np.percentile(part[..., :3].reshape(-1, 3), 90, axis=0)
    else:
        hole = np.where(known, 0, 255).astype(np.uint8)
        whole_eye = cv2.inpaint(rgb, hole, 3, cv2.INPAINT_TELEA)
        soft = cv2.GaussianBlur(whole_eye, (0, 0), max(0.8, 0.2 * radius))
        rgb = np.where(known[..., None], rgb, soft)
    whole = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 5), np.linspace(y0, y1, 4)), -1).reshape(-1, 2)
    factor, offset = to_texel
    return Patch(
        points=pose.lift((grid - offset) / factor, depth).astype(np.float32),
        source=(grid - [x0, y0]).astype(np.float32),
        triangles=quads(4, 5),
        texture=np.ascontiguousarray(whole),
    )


def _iris(
    texture: U8, outline: F64, iris: F64, radius: float, pose: Pose, depth: float,
    to_texel: tuple[float, float],
) -> Patch:  # fmt: skip
    """The iris as if no lid lay over it."""
    reach = EDGE * radius
    size = int(np.ceil(2 * reach)) + 4
    corner = np.round(iris - size / 2).astype(int)
    padded = cv2.copyMakeBorder(texture, size, size, size, size, cv2.BORDER_REPLICATE)
    x0, y0 = corner + size
    part = padded[y0 : y0 + size, x0 : x0 + size, :3].astype(np.float32)
    centre = iris - corner
    y, x = np.mgrid[0:size, 0:size] + 0.5
    r = np.hypot(x - centre[0], y - centre[1]) / radius
    known = _within(part.shape, outline - corner, max(1, round(0.05 * radius))) > 0
    whole = _completed(part, known, r, centre)
    alpha = np.clip((EDGE - r) / (EDGE - FULL), 0.0, 1.0)
    alpha = alpha * alpha * (3.0 - 2.0 * alpha) * 255.0
    patch = np.dstack([whole * (alpha / 255.0)[..., None], alpha])
    metres = reach / to_texel[0] / pose.scale
    disc, triangles = _disc(4, 20)
    at = pose.lift((iris - to_texel[1]) / to_texel[0], depth)
    flat = disc * metres
    ball = EYEBALL * radius / to_texel[0] / pose.scale
    bulge = np.sqrt(np.maximum(ball**2 - (flat**2).sum(1), 0.0)) - np.sqrt(
        ball**2 - (metres / EDGE) ** 2
    )
    local = np.column_stack([flat, bulge])
    places = pose.project(at + local @ pose.turn.T) * to_texel[0] + to_texel[1]
    return Patch(
        points=(at + local @ pose.turn.T).astype(np.float32),
        source=(places - corner).astype(np.float32),
        triangles=triangles,
        texture=np.ascontiguousarray(np.round(patch).astype(np.uint8)),
    )


def _completed(part: F32, known: NDArray[np.bool_], r: F64, centre: F64) -> F32:
    """[h, w, 3] where a lid hides the iris, what lies opposite of it, or the mean of its radius."""
    steps = np.clip((r * 12).astype(int), 0, 19)
    total = np.stack([np.bincount(steps[known], part[..., k][known], 20) for k in range(3)], -1)
    count = np.bincount(steps[known], minlength=20)[:, None]
    have = np.flatnonzero(count[:, 0])
    if not len(have):
        return part
    mean = total[have] / count[have]
    profile = np.stack([np.interp(r * 12 - 0.5, have, mean[:, k]) for k in range(3)], -1)
    height = part.shape[0]
    rows = np.clip(np.round(2 * centre[1] - 1 - np.arange(height)).astype(int), 0, height - 1)
    opposite, there = part[rows], known[rows]
    filled = np.where(there[..., None], 0.5 * opposite + 0.5 * profile, profile)
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 1.0)
    share = np.where(known, np.clip(2.0 * share - 1.0, 0.0, 1.0), 0.0)[..., None]
    return np.asarray(share * part + (1.0 - share) * filled, np.float32)


def _disc(rings: int, spokes: int) -> tuple[F64, I32]:
    """Points [1 + rings · spokes, 2] of a unit disc, and its triangles."""
    angle = np.arange(spokes) * 2 * np.pi / spokes
    around = np.stack([np.cos(angle), np.sin(angle)], -1)
    points = np.concatenate([np.zeros((1, 2)), *(around * (k + 1) / rings for k in range(rings))])
    after = np.roll(np.arange(spokes), -1)
    first = np.stack([np.zeros(spokes, int), 1 + np.arange(spokes), 1 + after], 1)
    triangles = [first]
    for k in range(rings - 1):
        a, b = 1 + k * spokes, 1 + (k + 1) * spokes
        one, two = np.arange(spokes), after
        triangles.append(np.stack([a + one, b + one, b + two], 1))
        triangles.append(np.stack([a + one, b + two, a + two], 1))
    return points, np.concatenate(triangles).astype(np.int32)


def quads(rows: int, columns: int) -> I32:
    """Triangles of a grid of points, row by row."""
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


# ---- lids ----------------------------------------------------------------------------------------


def _fold(face: Face, side: str) -> I32:
    """Points of the sheet above the upper lid, one for each point of the lid's edge."""
    row = {tuple(pair): 468 + k for k, pair in enumerate(face.halves.tolist())}
    ring = ABOVE_LID[side]
    out = [ring[0]]
    for a, b in pairwise(ring):
        out += [row.get((min(a, b), max(a, b)), b), b]
    return np.array(out, np.int32)


def lid_mesh(edge: F32, fold: F32) -> F32:
    """[rows · columns, 3] of a lid's skin in the picture. edge, fold: [columns, 3]."""
    reach = beyond_corner(len(edge))[:, None] * (fold - edge)
    return np.concatenate([edge + np.float32(t) * reach for t in LID_ROWS])


def beyond_corner(columns: int) -> F32:
    """[columns] how much farther than the fold a shut lid's skin reaches, from the outer corner
    on: there long lashes stand out beyond the lid."""
    return (1.0 + 0.9 * np.exp(-np.arange(columns) / 1.6)).astype(np.float32)


def _lid(
    texture: U8, sheet: Sheet, rows: tuple[I32, I32], fold: I32, to_texel: tuple[float, float]
) -> Patch:
    """Skin for a shut lid: the colour above the fold, smoothed, a line of lashes at its edge."""
    tall, wide = LID_PATCH
    to = sheet.places.astype(np.float64) * to_texel[0] + to_texel[1]
    edge = to[rows[0]]
    top = edge + beyond_corner(len(edge))[:, None] * (to[fold] - edge)
    column = np.linspace(0, len(edge) - 1, wide)
    index = np.arange(len(edge))
    at = lambda p: np.stack([np.interp(column, index, p[:, k]) for k in (0, 1)], -1)  # noqa: E731
    low, high = at(edge), at(top)
    above = np.stack([_colours(texture, low + t * (high - low)) for t in np.linspace(1.0, 1.9, 10)])
    skin = np.percentile(above, 65, axis=0)
    skin = cv2.GaussianBlur(skin.astype(np.float32)[None], (0, 0), wide / 10)[0]
    band = np.stack([_colours(texture, low + t * (high - low)) for t in np.linspace(-0.1, 0.5, 9)])
    lash = np.percentile(band.reshape(-1, 3), 4, axis=0)
    t = np.linspace(LID_ROWS[0], LID_ROWS[-1], tall)[::-1]
    shade = np.interp(t, [0.0, 0.35, 0.8, 1.2], [0.86, 1.0, 1.0, 0.97])
    inks = skin[None] * shade[:, None, None]
    line = np.interp(t, [-0.05, 0.06, 0.17], [1.0, 0.85, 0.0])[:, None]
    ends = np.interp(np.linspace(0, 1, wide), [0, 0.10, 0.9, 1], [0, 1, 1, 0])[None]
    line = (line * ends)[..., None]
    inks = inks * (1 - line) + lash * line
    corners = np.interp(np.linspace(0, 1, wide), [0, 0.04, 0.96, 1], [0, 1, 1, 0])[None]
    alpha = np.interp(t, [0.75, 1.2], [1.0, 0.0])[:, None] * corners
    patch = np.dstack([inks * alpha[..., None], alpha * 255.0])
    across = np.linspace(0.5, wide - 0.5, len(edge))
    down = np.interp(LID_ROWS, t[::-1], np.arange(tall)[::-1] + 0.5)
    source = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
    return Patch(
        points=np.zeros((0, 3), np.float32),
        source=source.astype(np.float32),
        triangles=quads(len(LID_ROWS), len(edge)),
        texture=np.ascontiguousarray(np.round(np.clip(patch, 0, 255)).astype(np.uint8)),
    )


def lip_colours(texture: U8, places: F64, face: Face, to_texel: tuple[float, float]) -> F64:
    """[2, n, 3] the lips along the edges of the mouth: the median across each lip."""
    out = []
    for row, beyond in zip(face.openings[2], (LIP_TOP, LIP_BOTTOM), strict=True):
        edge = places[row]
        at = np.linspace(0, len(row) - 1, len(beyond))
        outer = places[list(beyond)]
        index = np.arange(len(row))
        outer = np.stack([np.interp(index, at, outer[:, k]) for k in (0, 1)], -1)
        steps = [edge + t * (outer - edge) for t in (0.3, 0.4, 0.5, 0.6)]
        seen = [_colours(texture, step * to_texel[0] + to_texel[1]) for step in steps]
        out.append(np.median(seen, axis=0))
    return np.stack(out)


def _colours(texture: U8, places: F64) -> F32:
    """[n, 3] texels at places."""
    at = (places - 0.5).astype(np.float32)
    got = cv2.remap(
        np.ascontiguousarray(texture[..., :3]), at[:, 0], at[:, 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return got.reshape(-1, 3).astype(np.float32)
