"""Sound for measurements: a whole input as one array, an array as an input."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from engine.signals import F32, Sound
from engine.timeline import HOP, SAMPLE_RATE
from streaming.ports import Source
from streaming.schemes import open_source

# Made songs that no network was trained on: voice and accompaniment in two channels, 16 kHz.
HELD_OUT = tuple(
    sorted((Path(__file__).resolve().parents[1] / "tests" / "data").glob("held_out_*.flac"))
)


def read_sound(spec: str, seconds: float | None = None) -> F32:
    """An input of the command line (a file, `demo`), at most `seconds` of it: 48 kHz [C, n]."""
    source = open_source(spec, None, None, seconds=seconds)
    assert isinstance(source, Source)
    parts = []
    while (sound := source.read()) is not None:
        parts.append(sound.samples)
    source.close()
    return np.concatenate(parts, axis=1)


class Clip:
    """An array [C, n] at 48 kHz as a source that answers at once; again and again, up to `length`
    samples."""

    realtime = False

    def __init__(self, samples: F32, length: int | None = None) -> None:
        self.channels = samples.shape[0]
        self.length: int | None = samples.shape[1] if length is None else length
        self._samples = samples
        self._at = 0

    def read(self) -> Sound | None:
        """The next 10 ms, or None at the end."""
        assert self.length is not None
        n = min(HOP, self.length - self._at)
        if n <= 0:
            return None
        columns = np.arange(self._at, self._at + n) % self._samples.shape[1]
        sound = Sound(np.ascontiguousarray(self._samples[:, columns]), self._at)
        self._at = sound.end
        return sound

    def close(self) -> None:
        """Nothing to close."""


class Entering:
    """A source that notes when its samples enter.

    began: the instant at which sample 0 entered, as the most punctual chunk so far tells; others
    can only be late.
    """

    realtime = True

    def __init__(self, source: Source, *, has_backlog: bool = False) -> None:
        """has_backlog: it was recording before the show began, as a microphone was; a show forgets
        what such a source answers at once. Any other says first that there is nothing yet."""
        self._first = not has_backlog
        self.length, self.channels = source.length, getattr(source, "channels", 1)
        self._source = source
        self.began = float("inf")

    def read(self) -> Sound | None:
        if self._first:
            self._first = False
            return Sound(np.zeros((self.channels, 0), np.float32), 0)
        sound = self._source.read()
        if sound is not None and sound.samples.shape[1]:
            self.began = min(self.began, time.monotonic() - sound.end / SAMPLE_RATE)
        return sound

    def close(self) -> None:
        self._source.close()
