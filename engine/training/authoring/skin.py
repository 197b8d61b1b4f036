"""Paint an identity's texture: skin, lips, lids, scalp, eyes, teeth, tongue, cloth.

Most layers are functions of where a texel lies on the resting head: islands meet without seams.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from engine.training.authoring.anatomy import Anatomy, smooth
from engine.training.authoring.atlas import BASE, HEIGHT, PATCHES, WIDTH
from engine.training.authoring.hair import below_hairline
from engine.training.authoring.outfit import DRAPE
from engine.training.authoring.parts import Part, Strands
from engine.training.authoring.recipes import Colour, Recipe

F64 = NDArray[np.float64]


@dataclass
class Canvas:
    """albedo: [H, W, 3] linear. gloss: [H, W], 1 is plain skin. openness: [H, W] 0 … 1."""

    albedo: F64
    gloss: F64
    openness: F64

    def lay(self, where: F64, colour: Colour | F64) -> None:
        """Mix a colour in by a mask [H, W]."""
        self.albedo += where[..., None] * (np.asarray(colour) - self.albedo)


def paint(body: Anatomy, parts: list[Part], strands: Strands, recipe: Recipe) -> Canvas:
    """The whole atlas, without occlusion."""
    canvas = Canvas(
        np.zeros((HEIGHT, WIDTH, 3)), np.ones((HEIGHT, WIDTH)), np.ones((HEIGHT, WIDTH))
    )
    surface = parts[0]
    place = spread(surface.corners, surface.rest[surface.triangles])
    _skin(canvas, place, body, strands, recipe)
    for part in parts:
        if part.name == "tongue":
            _tongue(canvas)
        elif part.name == "garment":
            _cloth(canvas, recipe)
    _eye(canvas, recipe)
    _teeth(canvas)
    _flat(canvas)
    return canvas


def shade(canvas: Canvas, openness: F64) -> None:
    """Lay the baked openness to the sky [h, w] over the skin; what overlaps in the atlas (eyes,
    teeth) keeps what was painted. Light that comes round by way of other skin lifts its darks."""
    height, width = canvas.openness.shape
    large = cv2.resize(cv2.GaussianBlur(openness, (0, 0), 2.0), (width, height))
    for patch in (PATCHES[name] for name in BASE):
        area = (
            slice(patch.top - 2, patch.top + patch.height + 2),
            slice(patch.left - 2, patch.left + patch.width + 2),
        )
        canvas.openness[area] = 0.40 + 0.60 * np.clip(large[area], 0, 1) ** 0.7


def save(folder: Path, canvas: Canvas, quality: int = 95) -> None:
    """Write `colour.webp` (square roots of albedo) and `surface.webp` (openness, gloss)."""
    colour = np.rint(255 * np.sqrt(np.clip(canvas.albedo, 0, 1))).astype(np.uint8)
    surface = np.stack([canvas.openness, np.clip(canvas.gloss / 2, 0, 1), 0 * canvas.gloss], -1)
    surface = np.rint(255 * np.clip(surface, 0, 1)).astype(np.uint8)
    for name, picture in (("colour.webp", colour), ("surface.webp", surface)):
        cv2.imwrite(str(folder / name), picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])


def spread(corners: F64, values: F64, size: tuple[int, int] = (HEIGHT, WIDTH)) -> F64:
    """Values at triangle corners [T, 3, C] over the atlas [*size, C]; gutters take the nearest."""
    out = np.full((*size, values.shape[-1]), np.nan)
    _fill(corners, values, out)
    empty = np.isnan(out[..., 0])
    near = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return np.asarray(out[near[0], near[1]])


@njit(cache=True)
def _fill(corners: F64, values: F64, out: F64) -> None:
    height, width, channels = out.shape
    for t in range(corners.shape[0]):
        a, b, c = corners[t]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if abs(area) < 1e-9:
            continue
        left = max(int(np.floor(min(a[0], b[0], c[0]))) - 1, 0)
        right = min(int(np.ceil(max(a[0], b[0], c[0]))) + 1, width)
        top = max(int(np.floor(min(a[1], b[1], c[1]))) - 1, 0)
        bottom = min(int(np.ceil(max(a[1], b[1], c[1]))) + 1, height)
        for y in range(top, bottom):
            for x in range(left, right):
                px, py = x + 0.5 - a[0], y + 0.5 - a[1]
                wb = (px * (c[1] - a[1]) - (c[0] - a[0]) * py) / area
                wc = ((b[0] - a[0]) * py - px * (b[1] - a[1])) / area
                if wb >= -0.02 and wc >= -0.02 and wb + wc <= 1.02:
                    for k in range(channels):
                        out[y, x, k] = (
                            values[t, 0, k] * (1 - wb - wc) + values[t, 1, k] * wb
                            + values[t, 2, k] * wc
                        )  # fmt: skip


def noise(p: F64, size: float, seed: int, octaves: int = 1) -> F64:
    """Smooth noise of about unit deviation at points [..., 3]; size: metres of one bump."""
    flat = np.ascontiguousarray(np.broadcast_to(p, p.shape).reshape(-1, 3), np.float64)
    return np.asarray(_noise(flat, size, seed, octaves).reshape(p.shape[:-1]))


@njit(cache=True)
def _noise(p: F64, size: float, seed: int, octaves: int) -> F64:
    out = np.zeros(len(p))
    cell, f = np.empty(3, np.int64), np.empty(3)
    for n in range(len(p)):
        loud, scale = 1.0, 1.0 / size
        for octave in range(octaves):
            for k in range(3):
                q = p[n, k] * scale + 17.3 * (seed + octave)
                cell[k] = int(np.floor(q))
                t = q - cell[k]
                f[k] = t * t * (3 - 2 * t)
            for corner in range(8):
                w, key = 1.0, np.int64(seed + 101 * octave)
                for k in range(3):
                    up = (corner >> k) & 1
                    w *= f[k] if up else 1 - f[k]
                    step = 73856093 if k == 0 else (19349663 if k == 1 else 83492791)
                    key = (key * 1103515245 + (cell[k] + up) * step) & 0x7FFFFFFFFFFF
                    key = ((key ^ (key >> 13)) * 1274126177) & 0x7FFFFFFFFFFF
                out[n] += loud * w * (((key >> 8) & 0xFFFF) / 32768.0 - 1.0)
            loud *= 0.62
            scale *= 2.0
    return 2.2 * out


def _near(p: F64, points: F64, reach: float) -> F64:
    """Metres from texels [H, W, 3] to the nearest of some points, at most `reach`."""
    low, high = points.min(0) - reach, points.max(0) + reach
    close = ((p > low) & (p < high)).all(-1)
    out = np.full(p.shape[:2], reach)
    out[close] = np.minimum(cKDTree(points).query(p[close], distance_upper_bound=reach)[0], reach)
    return out


def _bump(p: F64, x: float, y: float, wide: float, tall: float) -> F64:
    """A soft spot on both sides of the front of the face."""
    spot = np.exp(-(((np.abs(p[..., 0]) - x) / wide) ** 2) - ((p[..., 1] - y) / tall) ** 2)
    return np.asarray(spot * smooth(0.0, 0.05, p[..., 2]))


def _masks(body: Anatomy, name: str) -> F64:
    """One of MakeHuman's skin masks, laid into the atlas: [H, W] 0 … 1."""
    picture = cv2.imread(str(body.textures / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise FileNotFoundError(f"no mask {name!r} among {body.textures}")
    tall, wide = picture.shape
    out = np.zeros((HEIGHT, WIDTH))
    for patch in (PATCHES[name] for name in BASE):
        u, v = patch.grid()
        column = (u * wide - 0.5).astype(np.float32)
        row = ((1 - v) * tall - 0.5).astype(np.float32)
        there = cv2.remap(picture, column, row, cv2.INTER_CUBIC) / 255.0
        out[patch.top : patch.top + patch.height, patch.left : patch.left + patch.width] = there
    return out


def _skin(canvas: Canvas, p: F64, body: Anatomy, strands: Strands, recipe: Recipe) -> None:
    tone = recipe.skin
    base, warm = np.array(tone.base), np.array(tone.warm)
    blotch = np.clip(0.5 + 0.22 * noise(p, 0.030, 1, 3), 0, 1)
    canvas.albedo[:] = base + blotch[..., None] * 0.40 * (warm - base)
    red = np.array([1.02, 0.80, 0.76])
    flush = tone.blush_strength * (
        _bump(p, 0.044, -0.034, 0.020, 0.017)
        + 0.55 * np.exp(-((p[..., 0] / 0.012) ** 2) - ((p[..., 1] + 0.036) / 0.012) ** 2)
        * smooth(0.10, 0.125, p[..., 2])
        + 0.25 * _bump(p, 0.0, -0.092, 0.016, 0.010)
    )  # fmt: skip
    flush *= 1.0 + 0.12 * noise(p, 0.016, 4, 2)
    canvas.lay(np.clip(flush, 0, 1), tone.blush)
    ears = _masks(body, "ears")
    canvas.albedo *= 1 + 0.55 * ears[..., None] * (red - 1)
    shade = _bump(p, 0.029, -0.0155, 0.014, 0.0045)  # under the eyes
    canvas.albedo *= 1 - 0.16 * shade[..., None] * np.array([0.7, 1.0, 0.85])
    canvas.albedo *= 1 + 0.06 * _bump(p, 0.0, 0.05, 0.03, 0.015)[..., None] * np.array([1, 1, 0.7])
    lids = cv2.GaussianBlur(_masks(body, "eyelids"), (0, 0), 3)
    canvas.lay(tone.lid_strength * np.clip(lids, 0, 1) * smooth(-0.004, 0.006, p[..., 1]), tone.lid)
    _liner(canvas, p, strands, recipe)
    _spots(canvas, p, tone.freckles)
    grain = noise(p, 0.0016, 7, 2)
    canvas.albedo *= 1 + 0.020 * grain[..., None] * np.array([0.8, 1.0, 1.1])
    canvas.albedo *= 1 + 0.030 * noise(p, 0.007, 9, 2)[..., None] * np.array([0.5, 1.0, 1.0])
    canvas.gloss[:] = 0.85 + 0.10 * noise(p, 0.0011, 8, 2) + 0.08 * noise(p, 0.012, 12, 2)
    canvas.gloss += 0.35 * np.exp(-((p[..., 0] / 0.012) ** 2)) * smooth(0.11, 0.128, p[..., 2])
    canvas.gloss += 0.18 * _bump(p, 0.0, 0.045, 0.03, 0.02) + 0.10 * _bump(
        p, 0.045, -0.018, 0.014, 0.01
    )
    _wrinkles(canvas, p, tone.lines)
    _beard(canvas, p, body, recipe)
    _lips(canvas, p, body, recipe)
    _brow_shadow(canvas, p, strands, recipe)
    _scalp(canvas, p, recipe)
    inside = np.clip(_masks(body, "inside-mouth"), 0, 1)
    canvas.lay(inside, (0.30, 0.075, 0.070))
    throat = inside * smooth(0.092, 0.050, p[..., 2])
    canvas.albedo *= 1 - 0.80 * throat[..., None]
    canvas.gloss *= 1 - 0.75 * inside
    for side in "lr":  # flesh that is seen between lid and eyeball
        centre, radius = body.eye(side)
        bare = smooth(1.20, 1.04, np.linalg.norm(p - centre, axis=-1) / radius)
        canvas.lay(bare, 0.3 * np.array([0.66, 0.34, 0.31]) + 0.7 * np.array(tone.base))
        canvas.gloss += 0.4 * bare


def _lips(canvas: Canvas, p: F64, body: Anatomy, recipe: Recipe) -> None:
    lips = np.clip(cv2.GaussianBlur(_masks(body, "lips"), (0, 0), 2.2), 0, 1)
    lines = noise(p * np.array([1.0, 0.12, 0.12]), 0.0011, 21, 2)
    colour = np.array(recipe.skin.lips) * (1 + 0.07 * lines[..., None])
    canvas.albedo += (0.86 * lips)[..., None] * (colour - canvas.albedo)
    canvas.gloss += lips * (0.62 + 0.14 * lines)


def _liner(canvas: Canvas, p: F64, strands: Strands, recipe: Recipe) -> None:
    """Darker edges of the lids, where the lashes grow."""
    strength = min(recipe.lash_length, 1.0)
    shade = 0.30 * np.array(recipe.skin.base)
    roots = strands.control[strands.kind == 0][:, 0]
    near = _near(p, roots, 0.006)
    upper = smooth(-0.002, 0.001, p[..., 1])
    line = smooth(0.0016, 0.0003, near) * (0.35 + 0.65 * upper)
    canvas.lay(0.80 * strength * line, (0.035, 0.018, 0.015))
    canvas.lay(0.30 * strength * smooth(0.0055, 0.0008, near) * upper, shade)


def _spots(canvas: Canvas, p: F64, strength: float) -> None:
    """Freckles over nose and cheeks, and a few moles."""
    chance = np.random.default_rng(3)
    if strength > 0:
        where = _bump(p, 0.030, -0.030, 0.024, 0.014) + _bump(p, 0.0, -0.022, 0.014, 0.014)
        cells = noise(p, 0.0026, 31, 1)
        canvas.lay(
            strength * np.clip(where, 0, 1) * smooth(1.15, 1.75, cells) * 0.8, (0.36, 0.17, 0.09)
        )
    for x, y in chance.uniform((-0.06, -0.08), (0.06, 0.06), (5, 2)):
        d = np.hypot(p[..., 0] - x, p[..., 1] - y)
        canvas.lay(0.6 * smooth(0.0011, 0.0004, d) * (p[..., 2] > 0.05), (0.16, 0.07, 0.045))


def _wrinkles(canvas: Canvas, p: F64, strength: float) -> None:
    """Lines across the forehead and beside the eyes."""
    if strength <= 0:
        return
    x, y = np.abs(p[..., 0]), p[..., 1]
    wander = 0.0016 * noise(p * np.array([1.0, 0.2, 0.2]), 0.022, 81, 2)
    lines = np.zeros(x.shape)
    for k, height in enumerate((0.045, 0.054, 0.063)):
        curve = height + 1.6 * x**2 * (1 - k) + wander * (1 + 0.4 * k)
        lines += np.exp(-(((y - curve) / 0.0008) ** 2)) * smooth(0.042, 0.018, x)
    for side in (-1.0, 0.0, 1.0):
        curve = 0.002 + 0.0045 * side + 0.55 * side * (x - 0.052) + 0.4 * wander
        lines += 0.7 * np.exp(-(((y - curve) / 0.0006) ** 2)) * _bump(p, 0.055, 0.0, 0.006, 0.02)
    lines *= strength * smooth(0.02, 0.06, p[..., 2])
    canvas.albedo *= 1 - 0.34 * np.clip(lines, 0, 1)[..., None]
    canvas.gloss *= 1 - 0.30 * np.clip(lines, 0, 1)


def _beard(canvas: Canvas, p: F64, body: Anatomy, recipe: Recipe) -> None:
    """A short boxed beard: along the jaw, round the mouth; grey on the chin."""
    if recipe.hair.beard <= 0:
        return
    where = _bearded(p, _mouth(p, body)) * (1 - np.clip(_masks(body, "ears"), 0, 1))
    hairs = noise(p * np.array([1.0, 0.45, 1.0]), 0.0010, 85, 2)
    thick = np.clip(where * (0.80 + 0.28 * hairs + 0.10 * noise(p, 0.006, 86, 2)), 0, 1)
    dark, grey = np.array(recipe.hair.root) * 1.6, np.array(recipe.hair.tip) * 1.3
    share = np.clip(0.22 + 0.34 * _bump(p, 0.0, -0.10, 0.022, 0.02) + 0.22 * hairs, 0, 1)
    canvas.lay(recipe.hair.beard * thick, dark + share[..., None] * (grey - dark))
    canvas.gloss *= 1 - 0.6 * thick


def _mouth(p: F64, body: Anatomy) -> tuple[float, float, float]:
    """Half width, y of the upper edge and of the lower edge of the lips."""
    lips = p[_masks(body, "lips") > 0.5]
    x, y = np.abs(lips[:, 0]), lips[:, 1]
    middle = y[x < 0.008]
    return float(x.max()), float(middle.max()), float(middle.min())


def _bearded(p: F64, mouth: tuple[float, float, float]) -> F64:
    """0 … 1 of how much beard grows at points on the head."""
    half, top, low = mouth
    x, y, z = np.abs(p[..., 0]), p[..., 1], p[..., 2]
    across = [0.0, half, half + 0.018, 0.066, 0.074]
    cheek = np.interp(x, across, [low, low, low + 0.008, -0.036, 0.0])
    edge = 0.0020 * noise(p, 0.004, 84, 2)
    below = smooth(-0.002, 0.006, cheek - y + edge)
    bare = smooth(0.0035, 0.007, x) * smooth(half * 0.72, half * 0.45, x)
    below = below * (1 - bare * smooth(low - 0.0085, low - 0.0035, y))  # beside the soul patch
    jaw = np.interp(z, [-0.02, 0.02, 0.10], [-0.062, -0.095, -0.128])  # the neck is shaved
    below = below * smooth(-0.006, 0.006, y - jaw + edge) * smooth(-0.004, 0.012, z)
    lip = smooth(-0.001, 0.003, top + 0.0115 - 0.004 * (x / half) ** 2 - y + edge)
    lip = lip * smooth(half + 0.006, half + 0.001, x + edge) * (y > low - 0.004)
    lip = lip * smooth(0.06, 0.09, z)
    return np.asarray(np.maximum(below, lip))


def _brow_shadow(canvas: Canvas, p: F64, strands: Strands, recipe: Recipe) -> None:
    hairs = strands.control[strands.kind == 1].reshape(-1, 3)
    near = _near(p, hairs, 0.004)
    canvas.lay(0.42 * smooth(0.0030, 0.0004, near), np.array(recipe.hair.brow) * 1.6)


def _scalp(canvas: Canvas, p: F64, recipe: Recipe) -> None:
    inside = -below_hairline(p, recipe.hair.style)
    streaks = noise(p * np.array([1.0, 0.25, 0.25]), 0.0014, 41, 2)
    edge = 0.0012 * noise(p, 0.008, 42, 2) + 0.0007 * streaks
    beside = smooth(0.020, 0.055, np.abs(p[..., 0]))  # at the temples hair thins out
    where = smooth(-0.008, 0.006, inside + edge - 0.008 * beside)
    canvas.lay(0.96 * where, np.array(recipe.hair.root) * 0.8)
    canvas.gloss *= 1 - 0.8 * where


def _tongue(canvas: Canvas) -> None:
    area = _area("tongue", 2)
    shape = canvas.gloss[area].shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / np.array(shape)[:, None, None]
    p = np.stack([x, y, 0 * x], -1) * 0.05
    bumps = noise(p, 0.0016, 51, 2)
    colour = np.array([0.62, 0.25, 0.24]) * (1 + 0.06 * bumps[..., None])
    groove = np.exp(-(((x - 0.5) / 0.045) ** 2)) * smooth(0.02, 0.2, y)
    colour = colour * (1 - 0.22 * groove[..., None] * np.array([0.8, 1.0, 1.0]))
    canvas.albedo[area] = colour
    canvas.openness[area] = 0.10 + 0.80 * smooth(0.95, 0.10, y)  # y = 0 is the tip
    canvas.gloss[area] = 0.95 + 0.35 * bumps


def _eye(canvas: Canvas, recipe: Recipe) -> None:
    """White with fine vessels, iris with fibres, limbal ring and pupil; planar from the front."""
    patch = PATCHES["eye"]
    area = (
        slice(patch.top - 4, patch.top + patch.height + 4),
        slice(patch.left - 4, patch.left + patch.width + 4),
    )
    shape = canvas.gloss[area].shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float)
    x, y = (
        (x - shape[1] / 2 + 0.5) / (patch.width / 2),
        (y - shape[0] / 2 + 0.5) / (patch.height / 2),
    )
    r, a = np.hypot(x, y), np.arctan2(y, x)
    p = np.stack([x, y, 0 * x], -1) * 0.014
    white = np.array([0.78, 0.755, 0.735]) * (1 + 0.02 * noise(p, 0.002, 61, 2))[..., None]
    corner = smooth(0.62, 0.98, np.abs(x))
    white = white * (1 - corner[..., None] * np.array([0.10, 0.36, 0.36]))
    veins = np.abs(noise(p * np.array([0.35, 1.0, 1.0]), 0.0011, 62, 3))
    white = white * (
        1
        - (smooth(0.10, 0.0, veins) * smooth(0.55, 0.95, r))[..., None]
        * np.array([0.02, 0.20, 0.20])
    )
    ring = np.stack([np.cos(a), np.sin(a), 0.10 * r], -1) * 0.014
    fibre = noise(ring, 0.0009, 63, 3) + 0.5 * noise(ring, 0.0004, 64, 2)
    inner, middle, outer = (np.array(c) for c in recipe.iris)
    t = np.clip((r - 0.19) / (0.50 - 0.19) + 0.05 * fibre, 0, 1)
    iris = inner + smooth(0.05, 0.45, t)[..., None] * (middle - inner)
    iris = iris + smooth(0.70, 1.0, t)[..., None] * (outer - iris)
    iris = iris * np.clip(1 + 0.34 * fibre, 0.35, 2.0)[..., None]
    lit = 1 + 0.75 * smooth(-0.2, 0.5, y) * smooth(0.5, 0.3, r) - 0.35 * smooth(0.1, -0.5, y)
    iris = np.clip(iris * lit[..., None], 0, 1)
    pupil = smooth(0.180, 0.205, r)
    iris = iris * pupil[..., None] + 0.004
    edge = smooth(0.475, 0.530, r)[..., None]
    colour = iris + edge * (white - iris)
    ball = 1 - 0.42 * smooth(-0.05, -0.75, y) - 0.18 * smooth(0.55, 1.0, r)  # the lid's shadow
    canvas.albedo[area] = np.clip(colour * ball[..., None], 0, 1)
    canvas.gloss[area] = 1.0 + 0.6 * smooth(0.60, 0.48, r)


def _area(name: str, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a patch and of a margin around it."""
    patch = PATCHES[name]
    return (
        slice(patch.top - margin, patch.top + patch.height + margin),
        slice(patch.left - margin, patch.left + patch.width + margin),
    )


def _teeth(canvas: Canvas) -> None:
    """Half a row, from its middle (below) to its end; from the tongue's side over the edge to the
    gum, as `mouth.ROWS` has it."""
    area, patch = _area("teeth", 2), PATCHES["teeth"]
    row, column = np.mgrid[0 : patch.height + 4, 0 : patch.width + 4].astype(float) - 1.5
    v, u = np.clip(column / patch.width, 0, 1), np.clip(1 - row / patch.height, 0, 1)
    tooth = 6 * u
    between = np.abs(tooth - np.rint(tooth)) * 1.2  # about tooth widths, in units of 7 mm
    crown = np.clip((v - 0.30) / 0.40, 0, 1)
    p = np.stack([u * 0.045, v * 0.02, 0 * u], -1)
    colour = np.array([0.80, 0.765, 0.695]) + smooth(0.45, 1.0, crown)[..., None] * np.array(
        [-0.06, -0.11, -0.16]
    )
    colour = colour * (1 + 0.025 * noise(p, 0.004, 91, 2))[..., None]
    colour = colour * (1 - 0.06 * smooth(0.16, 0.02, crown)[..., None] * np.array([1.3, 1.0, 0.5]))
    line = smooth(0.085, 0.015, between) * smooth(0.02, 0.12, np.rint(tooth) + 0.1)
    line = line * smooth(0.0, 0.2, crown + 0.1)
    colour = colour * (1 - line[..., None] * np.array([0.42, 0.55, 0.64]))
    gum = np.array([0.56, 0.235, 0.225]) * (1 + 0.08 * noise(p, 0.002, 92, 2))[..., None]
    gum = gum * (1 - 0.25 * smooth(0.78, 0.95, v))[..., None]
    where = np.maximum(smooth(0.700, 0.735, v), smooth(0.10, 0.04, v))[..., None]
    canvas.albedo[area] = colour + where * (gum - colour)
    canvas.gloss[area] = 0.85 - 0.2 * where[..., 0]
    depth = np.interp(tooth, [0, 1.5, 2.6, 3.6, 5, 6], [0.95, 0.90, 0.58, 0.30, 0.13, 0.06])
    canvas.openness[area] = depth * np.where(v < 0.28, 0.45, 1.0)


def _cloth(canvas: Canvas, recipe: Recipe) -> None:
    """Fine jersey with soft folds, and a stitched band along the neckline."""
    area = _area("cloth", 4)
    shape = canvas.gloss[area].shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float) - 4
    down = y / PATCHES["cloth"].height * DRAPE  # metres below the neckline
    p = np.stack([x * 1e-3, down, 0 * x], -1)
    folds = noise(p * np.array([1.0, 0.35, 1.0]), 0.055, 71, 2)
    grain = noise(p * np.array([1.0, 0.6, 1.0]), 0.0022, 72, 2)
    colour = np.array(recipe.cloth) * (1 + 0.10 * folds + 0.07 * grain)[..., None]
    seam = np.exp(-(((down - 0.0100) / 0.0012) ** 2))
    stitch = np.exp(-(((down - 0.0140) / 0.0005) ** 2)) * (np.cos(2 * np.pi * x / 9.0) > -0.3)
    colour = colour * (1 - 0.45 * seam - 0.22 * stitch)[..., None]
    canvas.albedo[area] = np.clip(colour, 0, 1)
    canvas.gloss[area] = 0.8
    area = _area("band", 4)
    shape = canvas.gloss[area].shape
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float) - 4
    rib = 1 + 0.22 * np.cos(2 * np.pi * x / 6.25)
    canvas.albedo[area] = np.array(recipe.trim) * rib[..., None]
    canvas.gloss[area] = 0.7


def _flat(canvas: Canvas) -> None:
    patch = PATCHES["device"]
    rows = slice(patch.top - 2, patch.top + patch.height + 2)
    columns = slice(patch.left - 2, patch.left + patch.width + 2)
    canvas.albedo[rows, columns] = (0.020, 0.020, 0.022)
    half = patch.top + patch.height // 2
    canvas.gloss[rows, columns] = 1.0
    canvas.gloss[patch.top : half, columns] = 0.12  # foam: rows count downwards from v = 1
