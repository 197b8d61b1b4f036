"""Reading what is needed of a user's VRM file: where its bones are at rest.

A VRM is a binary glTF whose JSON has the extension `VRM` (version 0) or `VRMC_vrm` (version 1).
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

from streaming.ports import UserError

MOST = 64 << 20  # bytes of JSON that a file may begin with
_HEADER = struct.Struct("<4sIIII")  # magic, version, length; first chunk's length and type
_JSON = 0x4E4F534A

Place = tuple[float, float, float]


def rest_places(path: str) -> dict[str, Place]:
    """Each humanoid bone's place relative to its parent, as Unity has it: metres; x right, y up,
    z forward. Keys as in `UnityEngine.HumanBodyBones`: Head, LeftEye …

    Raises UserError for a file that is missing or is no VRM.
    """
    return _places(_read(path, path), path)


def check_vrm(path: Path) -> None:
    """Raise UserError, which names the file but not its folder, unless it is a VRM, and whole."""
    _places(_read(str(path), path.name), path.name)


def _places(model: dict[str, Any], name: str) -> dict[str, Place]:
    extensions: Any = model.get("extensions")
    try:
        nodes = model["nodes"]
        if "VRMC_vrm" in extensions:
            bones = extensions["VRMC_vrm"]["humanoid"]["humanBones"]
            numbers = {name: bone["node"] for name, bone in bones.items()}
            return {_unity(n): _flipped(nodes[i], x=-1) for n, i in numbers.items()}
        bones = extensions["VRM"]["humanoid"]["humanBones"]
        return {_unity(b["bone"]): _flipped(nodes[b["node"]], z=-1) for b in bones}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise UserError(f"{name} is not a VRM model (a glTF without VRM's bones)") from None


def _read(path: str, name: str) -> dict[str, Any]:
    """The JSON of a file; `name` is what a refusal calls it."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or header[:4] != b"glTF":
                raise UserError(f"{name} is not a VRM model (expected a binary glTF file)")
            _, version, length, size, kind = _HEADER.unpack(header)
            if version != 2 or kind != _JSON or size > MOST:
                raise UserError(f"{name} is not a VRM model (expected glTF version 2)")
            if length > os.fstat(file.fileno()).st_size:
                raise UserError(f"{name} is cut short; copy it again")
            model = json.loads(file.read(size))
    except OSError as error:
        raise UserError(f"cannot read the model {name}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{name} is not a VRM model (its description is damaged)") from None
    if not isinstance(model, dict):
        raise UserError(f"{name} is not a VRM model (its description is damaged)")
    return model


def _unity(bone: str) -> str:
    return bone[0].upper() + bone[1:]


def _flipped(node: dict[str, Any], x: int = 1, z: int = 1) -> Place:
    """glTF's right-handed place in Unity's axes: VRM 0 models look along -z, VRM 1 along +z."""
    a, b, c = (float(value) for value in node.get("translation", (0, 0, 0)))
    return x * a, b, z * c
