"""Where the face in a picture is: found once by mediapipe, or placed by hand; and who consented.

beside the picture   photo.landmarks.yaml   placed by hand (docs/portrait.md), has the last word
in the user's cache  portraits/HASH.json    what mediapipe found, and the consent
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from scipy.interpolate import RBFInterpolator

from engine.config import ConfigError, read
from engine.rendering.identity import Identity
from engine.rendering.portrait.face import (
    IRIS,
    LOWER_LID,
    LOWER_LIP,
    POINTS,
    UPPER_LID,
    UPPER_LIP,
    read_face,
)
from engine.rendering.portrait.finding import FinderFailed, FinderMissing, Found, ask
from engine.rendering.portrait.fitting import STEADY, stand
from engine.rendering.portrait.ground import smaller
from engine.rendering.portrait.photo import BadPortrait, read_photo

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

TELLS = "docs/portrait.md tells how"
LOOKED_AT = 1024  # pixels of the longer side that mediapipe gets
TURNED = np.radians(32.0)  # farther turned, half of the face is missing
SMALLEST_FACE = 56  # pixels
SHUT = 0.07  # mean height by width of an eye that is shut
CONSENT = (
    "the person shown agreed to be animated, or it is me, or it shows nobody real, "
    "and I may use the picture"
)

# Names that can be placed by hand, with their point of mediapipe's. Left is the singer's left.
NAMES = {
    "forehead": 10, "temple_left": 356, "temple_right": 127, "cheek_left": 361, "cheek_right": 132,
    "jaw_left": 379, "jaw_right": 150, "chin": 152,
    "brow_left_inner": 336, "brow_left_middle": 334, "brow_left_outer": 300,
    "brow_right_inner": 107, "brow_right_middle": 105, "brow_right_outer": 70,
    "eye_left_outer": 263, "eye_left_top": 386, "eye_left_inner": 362, "eye_left_bottom": 374,
    "eye_right_outer": 33, "eye_right_top": 159, "eye_right_inner": 133, "eye_right_bottom": 145,
    "iris_left": 473, "iris_right": 468,
    "nose_bridge": 168, "nose_tip": 4, "nose_left": 327, "nose_right": 98,
    "mouth_left": 291, "mouth_right": 61, "lip_top": 0, "lip_bottom": 17,
    "lips_upper_inner": 13, "lips_lower_inner": 14,
}  # fmt: skip
KINDS_NEEDED = ("chin", "forehead", "eye", "mouth", "lip", "iris", "cheek")
NEEDED = ("nose_tip", *(name for name in NAMES if name.split("_")[0] in KINDS_NEEDED))


class Landmarks(NamedTuple):
    """photo: [H, W, 4] RGBA. points: [478, 2] pixels of it, in mediapipe's order. cut_out: its own
    alpha says what is the person. rough: [h, w] how much is person, over the whole picture."""

    photo: U8
    points: F64
    cut_out: bool
    rough: U8 | None


@dataclass(frozen=True)
class HandPlaced:
    """What photo.landmarks.yaml says. points: [x, y] in pixels of the picture by name. iris: their
    radius in pixels (0: as usual). consent: whether the person agreed."""

    points: dict
    iris: float = 0.0
    consent: bool = False


@dataclass
class Record:
    """What is kept of a picture. points: [478][2] in shares of its width and height, or none.
    matte: height, width and base64 of so many bytes, or none."""

    points: list = field(default_factory=list)
    matte: list = field(default_factory=list)
    consent: str = ""


def landmarks_of(identity: Identity, consent: bool = False) -> Landmarks:
    """Read the picture of an identity and where its face is; ask mediapipe when nobody knows yet.

    consent: the user has just confirmed CONSENT; that is kept. Raises BadPortrait.
    """
    path = identity.folder / identity.assets["portrait"]
    photo, scale = read_photo(path)
    kept = cache_folder() / "portraits" / f"{_hash(path)}.json"
    record = _read_record(kept)
    hand = path.with_suffix(".landmarks.yaml")
    if hand.is_file():
        placed = _read_hand(hand)
        agreed, points, rough = placed.consent, _from_hand(placed, hand) * scale, None
    else:
        if not record.points:
            record = _find(photo, path, record)
            _keep(kept, record)
        agreed, rough = False, _matte(record)
        points = np.array(record.points) * photo.shape[1::-1]
    if consent and not record.consent:
        record.consent = CONSENT
        _keep(kept, record)
    if not (agreed or record.consent):
        raise BadPortrait(f"{path.name} shows a face: confirm once with --consent that {CONSENT}")
    _check(points, path)
    return Landmarks(photo, points, bool((photo[..., 3] < 250).mean() > 0.02), rough)


# ---- the cache -----------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where this user's caches of Cantar lie; it may not exist yet."""
    return user_cache_path("cantar", appauthor=False)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _read_record(path: Path) -> Record:
    """What `_keep` kept; an empty record when there is nothing that can be read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        record = Record(**said)
        if record.points and np.array(record.points, float).shape != (POINTS + 10, 2):
            return Record()
        return record
    except (OSError, ValueError, TypeError, RecursionError):
        return Record()


def _keep(path: Path, record: Record) -> None:
    """Whole or not at all, readable by this user only: it says what somebody looks like."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(vars(record), file)
        os.replace(draft, path)
    except OSError as error:
        raise BadPortrait(
            f"cannot keep landmarks and consent in {path.parent}: {error.strerror or error}; "
            "XDG_CACHE_HOME may name another folder"
        ) from None


def _matte(record: Record) -> U8 | None:
    if not record.matte:
        return None
    height, width, packed = record.matte
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(height, width)


# ---- mediapipe -----------------------------------------------------------------------------------


def _find(photo: U8, path: Path, record: Record) -> Record:
    found = _ask(photo, path)
    if not found.faces:
        raise BadPortrait(
            f"no face found in {path.name}: it must be seen from the front and fill a good part of "
            f"the picture; for a drawing, place its landmarks by hand ({TELLS})"
        )
    if len(found.faces) > 1:
        raise BadPortrait(
            f"{len(found.faces)} faces found in {path.name}, and one can sing: crop it to one"
        )
    height, width = found.matte.shape
    matte = [height, width, base64.b64encode(found.matte.tobytes()).decode()]
    points = np.round(found.faces[0][:, :2], 6).tolist()
    return Record(points, matte, record.consent)


def _ask(photo: U8, path: Path) -> Found:
    alpha = photo[..., 3:] / 255.0
    flat = (photo[..., 2::-1] * alpha + 128 * (1 - alpha) + 0.5).astype(np.uint8)
    scale = min(1.0, LOOKED_AT / max(photo.shape[:2]))
    small = smaller(flat, scale)
    try:
        return ask(small)
    except FinderMissing:
        beside = path.with_suffix(".landmarks.yaml").name
        raise BadPortrait(
            f"nobody knows yet where the face in {path.name} is: run `make portrait` once to have "
            f"it found, or place its landmarks by hand in {beside} ({TELLS})"
        ) from None
    except FinderFailed as error:
        raise BadPortrait(f"the face in {path.name} was not found: {error}") from None


# ---- by hand -------------------------------------------------------------------------------------


def _read_hand(path: Path) -> HandPlaced:
    try:
        return read(HandPlaced, path)
    except ConfigError as error:
        raise BadPortrait(str(error)) from None


def _from_hand(placed: HandPlaced, path: Path) -> F64:
    """[478, 2] pixels of the file: our own face bent through the points that were placed."""
    missing = [name for name in NEEDED if name not in placed.points]
    unknown = [str(name) for name in placed.points if name not in NAMES]
    if missing or unknown:
        what = f"points {', '.join(missing)} are missing" if missing else f"no point {unknown[0]}"
        raise BadPortrait(f"{path.name}: {what}; {TELLS}")
    known = {name: _place(placed.points[name], name, path) for name in placed.points}
    face = read_face()
    skin = [name for name in known if not name.startswith("iris")]
    ids, there = np.array([NAMES[name] for name in skin]), np.array([known[n] for n in skin])
    pose = stand(face.rest[ids].astype(np.float64), there)
    seen = pose.project(face.rest[:POINTS] @ pose.turn.T)
    size = np.ptp(seen[:, 0])
    bent = RBFInterpolator(seen[ids] / size, there - seen[ids], smoothing=1e-4)
    points = seen + bent(seen / size)
    points[ids] = there
    _part_lips(points, known)
    irises = np.empty((10, 2))
    for side in ("Left", "Right"):
        name = side.lower()
        across = np.linalg.norm(np.subtract(known[f"eye_{name}_outer"], known[f"eye_{name}_inner"]))
        radius = placed.iris or 0.21 * across
        ring = radius * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]])
        irises[np.array(IRIS[side]) - POINTS] = known[f"iris_{name}"] + ring
    return np.concatenate([points, irises])


def _part_lips(points: F64, known: dict[str, F64]) -> None:
    """Part the lips as far all along as was said of their middle; shut if nothing was said."""
    upper, lower = list(UPPER_LIP[1:-1]), list(LOWER_LIP[1:-1])
    gap = points[lower] - points[upper]
    ours = float(np.linalg.norm(gap, axis=1).max())
    above, below = known.get("lips_upper_inner"), known.get("lips_lower_inner")
    said = 0.0 if above is None or below is None else float(np.linalg.norm(below - above))
    middle = points[upper] + gap / 2
    gap *= said / max(ours, 1e-6)
    points[upper], points[lower] = middle - gap / 2, middle + gap / 2


def _place(said: Any, name: str, path: Path) -> F64:
    if (
        isinstance(said, list) and len(said) == 2
        and all(isinstance(v, int | float) and np.isfinite(v) for v in said)
    ):  # fmt: skip
        return np.array(said, float)
    raise BadPortrait(f"{path.name}: {name}: expected [x, y] in pixels, got {said!r}")


# ---- is it a face that can sing? -----------------------------------------------------------------


def _check(points: F64, path: Path) -> None:
    tall = float(np.ptp(points[:POINTS, 1]))
    if tall < SMALLEST_FACE:
        raise BadPortrait(
            f"the face in {path.name} is {tall:.0f} pixels tall, too small to move well: take a "
            f"larger picture, or crop it (at least {SMALLEST_FACE}, better 250)"
        )
    face = read_face()
    yaw, pitch, _ = stand(face.rest[STEADY].astype(np.float64), points[STEADY]).angles()
    turned = max(abs(yaw), abs(pitch))
    if turned > TURNED:
        raise BadPortrait(
            f"the face in {path.name} is turned away by {np.degrees(turned):.0f} "
            "degrees: a picture from the front is needed, both eyes and the whole mouth to be seen"
        )
    for side in ("Left", "Right"):
        upper, lower = points[list(UPPER_LID[side])], points[list(LOWER_LID[side])]
        wide = np.linalg.norm(upper[-1] - upper[0])
        if np.linalg.norm(upper - lower, axis=1).mean() < SHUT * wide:
            raise BadPortrait(f"an eye in {path.name} is shut: open eyes are needed to look around")
