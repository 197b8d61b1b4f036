"""Shipped networks. `manifest.json` says of each: sha256, how trained, on what, licence."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MANIFEST = FOLDER / "manifest.json"


class BadWeights(RuntimeError):
    """A shipped file is missing or is not the one the manifest describes."""


@cache
def shipped(name: str) -> Path:
    """Path of a shipped network such as `separator.onnx`, its sha256 checked once per process.

    Raises BadWeights when the file is missing, unlisted or changed.
    """
    listed = json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]
    path = FOLDER / name
    if name not in listed or not path.is_file():
        raise BadWeights(f"{name} is not shipped here; there are {', '.join(sorted(listed))}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != listed[name]["sha256"]:
        raise BadWeights(f"{path} was changed (sha256 {digest[:12]}…); check it out again")
    return path
