"""Pictures of nobody real that can sing, with their landmarks placed by hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import yaml

from engine.avatar import RendererConfig
from engine.rendering.head import Head
from engine.rendering.identity import load_identity
from engine.rendering.portrait.face import read_face
from engine.rendering.portrait.fitting import DISTANCE, Pose
from engine.rendering.portrait.landmarks import NAMES
from engine.signals import Motion

STILL = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))


@cache
def aria(size: int, background: str = "scene") -> np.ndarray:
    """[size, size, 4] Aria at rest, drawn by her head: the photo whose every movement is known."""
    config = RendererConfig(width=size, height=size, background=background)
    return Head(load_identity("aria"), config).draw(STILL).rgba


@cache
def places(size: int) -> dict[str, list[float]]:
    """Where `aria` has the points that can be placed by hand."""
    camera = Head(load_identity("aria"), RendererConfig(width=size, height=size)).camera
    face = read_face()
    x0, y0, z0 = camera[3:]
    shifted = face.rest - [x0, y0, z0 - DISTANCE]
    seen = Pose(np.eye(3), np.array([*camera[:3], 0, 0, DISTANCE], np.float32)).project(shifted)
    out = {name: seen[k] for name, k in NAMES.items() if k < len(seen) and "iris" not in name}
    for side in ("left", "right"):
        corners = out[f"eye_{side}_inner"], out[f"eye_{side}_outer"]
        out[f"iris_{side}"] = np.mean(corners, axis=0)
    for name in ("lips_upper_inner", "lips_lower_inner"):  # they meet, as far as can be seen
        out[name] = (seen[NAMES["lips_upper_inner"]] + seen[NAMES["lips_lower_inner"]]) / 2
    return {name: [round(float(v), 2) for v in place] for name, place in out.items()}


def put_aria(
    folder: Path, name: str = "photo.png", size: int = 512, background: str = "scene",
    consent: bool = True,
) -> Path:  # fmt: skip
    """The picture as a file, with photo.landmarks.yaml beside it."""
    path = folder / name
    rgba = aria(size, background)
    kept = rgba if background == "transparent" else rgba[..., :3]
    code = cv2.COLOR_RGBA2BGRA if background == "transparent" else cv2.COLOR_RGB2BGR
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(kept), code))
    said = {"consent": consent, "points": places(size)}
    path.with_suffix(".landmarks.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return path
