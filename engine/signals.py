"""What flows: Sound, Motion, Picture. Frozen values with their shape, unit and place in time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT
from engine.timeline import frame_time

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of sound at 48 kHz.

    samples: [C, n] float32, C = 1 or 2, what people hear, nominally in [-1, 1].
    start: sample index of the first column on the show's timeline.
    stems: [2, n] float32 or None. Mono voice and mono accompaniment, where they arrived apart
        (two inputs); hearing then separates nothing.
    """

    samples: F32
    start: int
    stems: F32 | None = None

    @property
    def end(self) -> int:
        """Sample index just after the last column."""
        return self.start + int(self.samples.shape[1])


def _zeros(n: int) -> F32:
    return np.zeros(n, np.float32)


@dataclass(frozen=True, slots=True)
class Motion:
    """How the singer looks at one frame.

    Right-handed, seen from the singer: yaw > 0 turns to the singer's left (the viewer's right),
    pitch > 0 up, roll > 0 tilts to the singer's right.

    frame: picture number; belongs to the sound that starts at frame / 30 s.
    blendshapes: [52] float32 in [0, 1], ARKit order (`blendshapes.ARKIT`).
    head: [6] float32: yaw, pitch, roll in radians; x, y, z in metres from rest.
    gaze: [2] float32 in radians relative to the head: > 0 to the singer's left, > 0 up.
    voice: probability in [0, 1] that somebody sings.
    hair: [2] float32 in radians: swing relative to the head, sideways (> 0 to the singer's left)
        and fore-and-aft (> 0 forward).
    body: [3] float32 in radians: yaw, pitch, roll of the shoulders.
    breath: fullness of the chest in [0, 1].
    """

    frame: int
    blendshapes: F32
    head: F32
    gaze: F32 = field(default_factory=lambda: _zeros(2))
    voice: float = 0.0
    hair: F32 = field(default_factory=lambda: _zeros(2))
    body: F32 = field(default_factory=lambda: _zeros(3))
    breath: float = 0.0

    @property
    def t(self) -> float:
        """Seconds of the sound that this motion belongs to."""
        return frame_time(self.frame)

    @property
    def closure(self) -> float:
        """How closed the eyes are, 0 … 1: the mean of the two blink shapes."""
        return float(self.blendshapes[[EYE_BLINK_LEFT, EYE_BLINK_RIGHT]].mean())


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn frame: rgba [H, W, 4] uint8, straight (not premultiplied) alpha, row 0 on top."""

    frame: int
    rgba: U8
