"""A person's rig: a base's, bent to the person's shape, without the base's hair and device.

Hair that is not the person's would lie in the guidance. Brows, lashes, teeth and tongue come along;
eyeballs stay round. The textures are the base's: the guidance is geometry, no colours.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from engine.motion.blendshapes import JAW_OPEN
from engine.rendering.identity import load_identity
from engine.training.identity.person import CLOSE, Person

F64 = NDArray[np.float64]

HAIR = (
    "hair_points", "hair_normals", "hair_width", "hair_open", "hair_hang", "hair_tint",
    "hair_shift", "hair_kind", "hair_shown", "hair_strand",
)  # fmt: skip
TEXTURES = ("colour.webp", "surface.webp")
DROPPED = "device"  # the part of the base that is nobody's anatomy
MILLI = 1e3  # shapes are stored in millimetres


def shape(base: str, person: Person, folder: Path, name: str) -> None:
    """Write an identity whose geometry is the person's, whole or not at all."""
    source, partial = load_identity(base), folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with np.load(source.folder / "rig.npz", allow_pickle=False) as stored:
        rig = {key: stored[key] for key in stored.files}
    np.savez_compressed(partial / "rig.npz", allow_pickle=False, **bent(rig, person))
    for texture in TEXTURES:
        shutil.copy(source.folder / texture, partial / texture)
    said = {
        "name": name,
        "title": name,
        "renderers": ["head"],
        "origin": f"The geometry of {source.name} ({source.licence}), bent to a person's shape.",
        "licence": source.licence,
        "assets": {"rig": "rig.npz", "colour": TEXTURES[0], "surface": TEXTURES[1]},
    }
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    (partial / "identity.yaml").write_text(text, encoding="utf-8")
    os.replace(partial, folder)


def bent(rig: dict[str, NDArray], person: Person) -> dict[str, NDArray]:
    """The arrays of `rig.npz` in the person's shape."""
    control = rig["control"].astype(np.float64)
    moved, starts, index = rig["shape_moved"] / MILLI, rig["shape_starts"], rig["shape_index"]
    out, warp = dict(rig), person.warp
    placed, reached = warp(control), np.empty_like(moved, np.float64)
    jaw = np.zeros_like(control)
    rows = slice(starts[JAW_OPEN], starts[JAW_OPEN + 1])
    jaw[index[rows]] = moved[rows]
    for number in range(len(starts) - 1):
        rows = slice(starts[number], starts[number + 1])
        points = control[index[rows]]
        if number == CLOSE:  # it is told from the open jaw
            points = points + jaw[index[rows]]
        reached[rows] = warp(points + moved[rows]) - warp(points)
    for eye, side in zip(range(2), "lr", strict=True):
        own = _of_part(rig, f"eye_{side}")
        before, after = rig["eyes"][eye].astype(np.float64), person.eyes[eye]
        placed[own] = after[:3] + (control[own] - before[:3]) * (after[3] / before[3])
        of_eye = np.isin(index, own)
        reached[of_eye] = moved[of_eye]
    out["control"] = placed.astype(np.float32)
    out["shape_moved"] = (MILLI * reached).astype(np.float16)
    out["eyes"] = person.eyes.astype(np.float32)
    return _without(out)


def _of_part(rig: dict[str, NDArray], part: str) -> NDArray:
    """Numbers of the control points that a part's vertices are made of."""
    first, last = _ends(rig, part)
    starts = rig["mix_starts"]
    return np.unique(rig["mix_index"][starts[first] : starts[last]])


def _ends(rig: dict[str, NDArray], part: str) -> tuple[int, int]:
    number = _parts(rig).index(part)
    return int(rig["ends"][number]), int(rig["ends"][number + 1])


def _parts(rig: dict[str, NDArray]) -> list[str]:
    said = json.loads(bytes(rig["look"]).decode())
    return [str(part) for part in said["parts"]]


def _without(rig: dict[str, NDArray]) -> dict[str, NDArray]:
    """Without hair but for one lock of no width within the head (a head has some), and without the
    triangles of what is DROPPED."""
    out = {**rig, **{key: rig[key][:1] for key in HAIR}}
    for key in ("hair_points", "hair_width", "hair_strand"):
        out[key] = np.zeros_like(out[key])
    if DROPPED in _parts(rig):
        kept = rig["triangle_part"] != _parts(rig).index(DROPPED)
        for key in ("triangles", "corners", "triangle_part"):
            out[key] = rig[key][kept]
    return out
