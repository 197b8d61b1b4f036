"""Silence as a source: endless, or so many seconds of it."""

from __future__ import annotations

import numpy as np

from engine.signals import Sound
from engine.timeline import FRAME, SAMPLE_RATE


class Silence:
    """One channel of zeros, as fast as it is asked for, `seconds` long (None: endless)."""

    realtime = False
    channels = 1

    def __init__(self, seconds: float | None = None) -> None:
        self.length = None if seconds is None else round(seconds * SAMPLE_RATE)
        self._at = 0

    def read(self) -> Sound | None:
        n = FRAME if self.length is None else min(FRAME, self.length - self._at)
        if n <= 0:
            return None
        sound = Sound(np.zeros((1, n), np.float32), self._at)
        self._at += n
        return sound

    def close(self) -> None:
        """Nothing is open."""
