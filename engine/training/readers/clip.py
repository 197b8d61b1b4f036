"""What every reader gives, and what every reader refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from engine.signals import F32
from engine.timeline import FEATURE_RATE, FRAME_RATE

SLACK = 0.1  # seconds by which a sound may be shorter than its motion; silence fills it up


class BadCorpus(ValueError):
    """A corpus that cannot be read: which file, what was expected, what came, what to do."""


@dataclass(frozen=True)
class Clip:
    """One stretch of a recorded performance, at 30 frames a second.

    name: as the corpus calls it. subject: index of the singer in the reader's `subjects`.
    voice, backing: [n] float32 at 16 kHz, n = frames · 16,000 / 30, rounded down.
    expression: [T, E] in the corpus's own face space. head: [T, 6] yaw, pitch, roll in radians and
    x, y, z in metres, from the clip's own middle (its median), signs as in `signals.Motion`.
    closing: [T] 0 … 1, long eye closings. identity: coefficients of the singer's shape.
    """

    name: str
    subject: int
    voice: F32
    backing: F32
    expression: F32
    head: F32
    closing: F32
    identity: F32

    def __len__(self) -> int:
        return len(self.expression)


def samples_of(frames: int) -> int:
    """Samples at 16 kHz that so many frames last, rounded down."""
    return frames * FEATURE_RATE // FRAME_RATE


def read_names(path: Path) -> list[str]:
    """The clips that a split lists, one a line, with or without a suffix. Raises BadCorpus."""
    if not path.is_file():
        raise BadCorpus(f"{path} is missing: it lists the clips of its split, one name a line")
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    names = [Path(line.strip()).stem for line in lines if line.strip()]
    if not names:
        raise BadCorpus(f"{path} lists no clips")
    twice = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if twice:
        raise BadCorpus(f"{path} lists {min(twice)} twice")
    return names


def read_sound(path: Path, frames: int) -> F32:
    """A sound file of any rate and channel count as [samples_of(frames)] at 16 kHz mono.

    Raises BadCorpus when it is missing, unreadable, not finite or too short for its motion.
    """
    if not path.is_file():
        raise BadCorpus(f"{path} is missing: unpack the corpus's sound archives beside the others")
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadCorpus(f"{path} cannot be read as sound ({error}); download it again") from None
    if not np.isfinite(sound).all():
        raise BadCorpus(f"{path} holds samples that are not finite")
    mono = soxr.resample(sound.mean(1), rate, FEATURE_RATE).astype(np.float32)
    missing = frames / FRAME_RATE - len(mono) / FEATURE_RATE
    if missing > SLACK:
        raise BadCorpus(
            f"{path} is truncated: {len(mono) / FEATURE_RATE:.2f} s of sound for "
            f"{frames / FRAME_RATE:.2f} s of motion; download it again"
        )
    wanted = samples_of(frames)
    return np.pad(mono, (0, max(0, wanted - len(mono))))[:wanted]


def checked(array: object, shape: tuple[int, ...], what: str, path: Path) -> F32:
    """`array` as float32 if it is a finite array of numbers of this shape (-1: any length).

    Raises BadCorpus that says what was expected and what came.
    """
    wanted = "×".join("T" if n < 0 else str(n) for n in shape)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise BadCorpus(f"{path}: {what} must be numbers [{wanted}], got {kind}")
    fits = array.ndim == len(shape) and all(n < 0 or n == m for n, m in zip(shape, array.shape))  # noqa: B905
    if not fits:
        got = "×".join(map(str, array.shape))
        raise BadCorpus(f"{path}: {what} must be [{wanted}], got [{got}]: another release?")
    if not np.isfinite(array).all():
        raise BadCorpus(f"{path}: {what} holds values that are not finite")
    return array.astype(np.float32)


def head_pose(turn: Rotation, place: NDArray) -> F32:
    """Rotations [T] and places [T, 3] in metres → poses [T, 6], as `Clip.head` has them.

    Axes: x to the singer's left, y up, z out of the face. The renderers turn about y first, then x,
    then z; yaw > 0 is left, pitch > 0 up (against x), roll > 0 to the singer's right.
    """
    yaw, down, roll = np.unwrap(turn.as_euler("yxz"), axis=0).T
    return np.concatenate([np.stack([yaw, -down, roll], 1), place], 1).astype(np.float32)


def centred(pose: F32) -> F32:
    """Poses [T, 6] from their median, which is the singer's rest."""
    return (pose - np.median(pose, axis=0)).astype(np.float32)
