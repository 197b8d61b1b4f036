"""Asks mediapipe, in the environment that `make portrait` made, for the faces in a picture."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

FINDER = Path(__file__).with_name("finder.py")
PATIENCE = 120  # seconds; a cold start takes ten


class FinderMissing(ValueError):
    """mediapipe's environment was never made."""


class FinderFailed(ValueError):
    """mediapipe ended without an answer; the message has its last words."""


class Found(NamedTuple):
    """faces: each [478, 3] in shares of the picture's width, height and width. matte: [h, w] uint8,
    how much is person."""

    faces: list[NDArray[np.float64]]
    matte: NDArray[np.uint8]


def finder_python() -> Path:
    """The interpreter that has mediapipe. Raises FinderMissing."""
    named = os.environ.get("CANTAR_MEDIAPIPE_PYTHON")
    folder = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    path = Path(named) if named else Path(sys.prefix) / "portrait" / folder
    if not path.is_file():
        raise FinderMissing(f"no mediapipe: there is no {path}")
    return path


def ask(picture: NDArray[np.uint8]) -> Found:
    """Faces and person in a picture [H, W, 3] BGR. Raises FinderMissing, FinderFailed."""
    python, encoded = finder_python(), cv2.imencode(".png", picture)[1].tobytes()
    command = [str(python), str(FINDER)]
    try:
        ended = subprocess.run(command, input=encoded, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FinderFailed(f"mediapipe did not answer: {error}") from None
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    if ended.returncode or not lines:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise FinderFailed(f"mediapipe failed: {said[-1] if said else 'it said nothing'}")
    try:
        answer = json.loads(lines[-1])
        height, width, packed = answer["matte"]
        matte = np.frombuffer(base64.b64decode(packed), np.uint8).reshape(height, width)
        return Found([np.array(face, float).reshape(478, 3) for face in answer["faces"]], matte)
    except (ValueError, KeyError, TypeError):
        raise FinderFailed(f"mediapipe failed: it said {lines[-1][:80]}") from None


def main() -> None:
    """Whether mediapipe answers: what `make portrait` ends with."""
    try:
        ask(np.full((64, 64, 3), 128, np.uint8))
    except (FinderMissing, FinderFailed) as error:
        sys.exit(f"cantar: {error}")
    print("faces in photos can be found now: run_live.py --avatar photo.jpg")


if __name__ == "__main__":
    main()
