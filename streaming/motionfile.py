"""The public motion format: one JSON object per line, a header and then one per frame.

    {"cantar_motion": 1, "fps": 30, "blendshapes": [52 names], "lookahead": 2, "source": "demo"}
    {"frame": 0, "t": 0.0, "blendshapes": [52 numbers in 0…1],
     "head": {"yaw", "pitch", "roll" in radians, "x", "y", "z" in metres},
     "eyes": {"closure": 0…1, "gaze": [x, y] in radians}, "voice": 0…1,
     "extra": {"hair": [2], "body": [3], "breath": 0…1}}

Conventions are those of `engine.signals.Motion`. `eyes.closure` is derived from the blendshapes and
only checked on reading. `extra` is what exact playback needs beyond the public part; others may
leave it out, and other keys are ignored. Every line is flushed, so a killed writer leaves whole
lines, at most the last one cut.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Generator, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TextIO, TypeGuard

import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME_RATE, frame_time
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

VERSION = 1
HEAD = ("yaw", "pitch", "roll", "x", "y", "z")
TIME_TOLERANCE = 1e-3  # seconds; other writers may round `t`
TURN = math.pi + 1e-6  # radians; π itself is a little more in float32
FINITE = float(np.finfo(np.float32).max)

Order = list[int] | None  # where each of our 52 shapes stands in a file's lists; None: as ours

log = logging.getLogger("cantar")


class MotionWriter:
    """A sink that writes each frame's motion as one flushed line; no frame, no file."""

    wants_picture = False
    wants_sound = False

    def __init__(self, path: str, fmt: SinkFormat) -> None:
        self.path, self._format = path, fmt
        self._file: TextIO | None = None

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Append `motion`; raises UserError when the disk does not take it."""
        try:
            if self._file is None:
                self._file = open(self.path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
                self._file.write(header_line(self._format))
            self._file.write(frame_line(motion))
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def header_line(fmt: SinkFormat) -> str:
    header = {
        "cantar_motion": VERSION,
        "fps": fmt.fps,
        "blendshapes": list(ARKIT),
        "lookahead": fmt.lookahead,
        "source": fmt.source,
    }
    return json.dumps(header, ensure_ascii=False) + "\n"


def frame_line(motion: Motion) -> str:
    """One frame as a line of JSON from which the same Motion can be read, bit for bit."""
    frame = {
        "frame": motion.frame,
        "t": round(motion.t, 6),
        "blendshapes": _numbers(motion.blendshapes),
        "head": dict(zip(HEAD, _numbers(motion.head), strict=True)),
        "eyes": {"closure": round(motion.closure, 6), "gaze": _numbers(motion.gaze)},
        "voice": float(motion.voice),
        "extra": {
            "hair": _numbers(motion.hair),
            "body": _numbers(motion.body),
            "breath": float(motion.breath),
        },
    }
    return json.dumps(frame, separators=(",", ":"), allow_nan=False) + "\n"


def _numbers(values: F32) -> list[float]:
    """Floats whose JSON is the shortest that gives the same float32 back: 0.1, not 0.100000001."""
    return [float(str(value)) for value in np.asarray(values, np.float32)]


class MotionReader:
    """A motion file played back, frames in order from 0.

    length: frames in all. lookahead, source: as its header states them.
    """

    def __init__(self, path: str, *, seconds: float | None = None) -> None:
        """Open `path` and check all of it, so that a show never stops at a bad line.

        Reads `round(seconds · 30)` frames at most. A cut last line (from a writer that was killed)
        is left out with a warning. Raises UserError, with the line's number, for anything that is
        not the format: another version, other than the 52 names (any order is taken), numbers
        missing, not finite or out of range, frames out of order, no frames.
        """
        self.path = path
        limit = None if seconds is None else round(seconds * FRAME_RATE)
        self._order, header = _read_header(path)
        self.lookahead = header["lookahead"]
        self.source = str(header.get("source", ""))
        self.length: int | None = sum(1 for _ in _read_motions(path, self._order, limit, warn=True))
        if not self.length:
            raise UserError(f"{path} holds no frames")
        self._motions = _read_motions(path, self._order, self.length, warn=False)

    def read(self) -> Motion | None:
        return next(self._motions, None)

    def close(self) -> None:
        self._motions.close()


def _read_header(path: str) -> tuple[Order, dict[str, Any]]:
    """The order of the file's shapes, and its header."""
    number, text = next(_lines(path), (1, ""))
    where = f"{path} line {number}"
    header = _object(text, where, "the header of a motion file")
    if header.get("cantar_motion") is None:
        raise UserError(f'{where}: not a motion file (no "cantar_motion" in its first line)')
    if header["cantar_motion"] != VERSION:
        raise UserError(f"{where}: version {header['cantar_motion']!r}; this reads {VERSION}")
    if header.get("fps") != FRAME_RATE:
        raise UserError(f"{where}: fps is {header.get('fps')!r}, expected {FRAME_RATE}")
    names = header.get("blendshapes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: blendshapes must be the list of the 52 ARKit names")
    _check_names(names, where)
    lookahead = header.setdefault("lookahead", 0)
    if type(lookahead) is not int or lookahead < 0:
        raise UserError(f"{where}: lookahead is {lookahead!r}, expected frames, 0 or more")
    in_order = names == list(ARKIT)
    return None if in_order else [names.index(name) for name in ARKIT], header


def _check_names(names: Sequence[str], where: str) -> None:
    unknown = [name for name in names if name not in ARKIT]
    missing = [name for name in ARKIT if name not in names]
    if unknown:
        near = get_close_matches(unknown[0], missing or ARKIT, 1, 0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"{where}: unknown blendshape {unknown[0]!r}{hint}")
    if missing:
        raise UserError(f"{where}: {len(missing)} of 52 blendshapes missing: {', '.join(missing)}")
    if len(names) != len(ARKIT):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: blendshape {twice} is listed twice")


def _read_motions(
    path: str, order: Order, limit: int | None, *, warn: bool
) -> Generator[Motion, None, None]:
    """The frames of a file whose header is good, `limit` at most; a cut last line ends them."""
    lines = _lines(path)
    next(lines)
    frame = 0
    for number, text in lines:
        if frame == limit:
            return
        where = f"{path} line {number}"
        if not text.endswith("\n") and _is_cut(text):
            if warn:
                log.warning("%s is cut off; the show ends with frame %d", where, frame - 1)
            return
        if not text.strip():
            continue
        yield _motion(_object(text, where, "a frame"), frame, order, where)
        frame += 1


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, from 1."""
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; give a motion file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield from enumerate(file, 1)
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a motion file (not text)") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _is_cut(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def _object(text: str, where: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not JSON; expected {what}") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected {what} as a JSON object")
    return value


def _motion(data: dict[str, Any], frame: int, order: Order, where: str) -> Motion:
    """Check one frame's object and give its Motion."""
    if type(data.get("frame")) is not int or data["frame"] != frame:
        raise UserError(f"{where}: frame is {data.get('frame')!r}, expected {frame}")
    t = _number(data, "t", where, FINITE)
    if abs(t - frame_time(frame)) > TIME_TOLERANCE:
        raise UserError(f"{where}: t is {t:g}, expected {frame_time(frame):.6f} (frame / 30)")
    if order is not None and len(data.get("blendshapes") or ()) == len(ARKIT):
        data["blendshapes"] = [data["blendshapes"][index] for index in order]
    shapes = _vector(data, "blendshapes", len(ARKIT), where, 0.0, 1.0)
    head, eyes = _part(data, "head", where), _part(data, "eyes", where)
    extra = _part(data, "extra", where) if "extra" in data else {}
    angles = [_number(head, key, f"{where}: head", TURN) for key in HEAD[:3]]
    place = [_number(head, key, f"{where}: head", FINITE) for key in HEAD[3:]]
    _number(eyes, "closure", f"{where}: eyes", 1.0, 0.0)
    return Motion(
        frame,
        shapes,
        np.array(angles + place, np.float32),
        gaze=_vector(eyes, "gaze", 2, f"{where}: eyes", -TURN, TURN),
        voice=_number(data, "voice", where, 1.0, 0.0),
        hair=_optional(extra, "hair", 2, where),
        body=_optional(extra, "body", 3, where),
        breath=_number(extra, "breath", f"{where}: extra", 1.0, 0.0) if "breath" in extra else 0.0,
    )


def _part(data: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{where}: {key} must be an object")
    return value


def _number(
    data: dict[str, Any], key: str, where: str, most: float, least: float | None = None
) -> float:
    """`data[key]`, a finite number in [`least`, `most`] (`least` defaults to -`most`)."""
    value = data.get(key)
    if not _is_number(value):
        raise UserError(f"{where}: {key} must be a number, got {json.dumps(value)[:40]}")
    least = -most if least is None else least
    if not least <= value <= most:
        raise UserError(f"{where}: {key} is {value:g}, expected {_range(least, most)}")
    return float(value)


def _vector(
    data: dict[str, Any], key: str, size: int, where: str, least: float, most: float
) -> F32:
    """`data[key]`, so many finite numbers in a range, as float32."""
    values = data.get(key)
    if not isinstance(values, list) or len(values) != size:
        got = f"{len(values)}" if isinstance(values, list) else json.dumps(values)[:40]
        raise UserError(f"{where}: {key} must be a list of {size} numbers, got {got}")
    if not all(map(_is_number, values)):
        bad = next(value for value in values if not _is_number(value))
        raise UserError(f"{where}: {key} must hold numbers, got {json.dumps(bad)[:40]}")
    vector = np.array(values, np.float64)
    fine = (vector >= least) & (vector <= most)
    if not fine.all():
        index = int(np.argmin(fine))
        name = ARKIT[index] if size == len(ARKIT) else f"{key}[{index}]"
        raise UserError(f"{where}: {name} is {values[index]:g}, expected {_range(least, most)}")
    return vector.astype(np.float32)


def _optional(extra: dict[str, Any], key: str, size: int, where: str) -> F32:
    if key not in extra:
        return np.zeros(size, np.float32)
    return _vector(extra, key, size, f"{where}: extra", -FINITE, FINITE)


def _is_number(value: object) -> TypeGuard[float]:
    """True for JSON numbers that a float holds: not true, not an integer of a thousand digits."""
    return type(value) is float or (type(value) is int and abs(value) < 1 << 53)


def _range(least: float, most: float) -> str:
    return "a finite number" if most == FINITE else f"{least:.3g} to {most:.3g}"
