"""Voice and backing from two files: sung together for people, apart for the avatar.

Hearing then separates nothing. With a microphone as the voice: `karaoke.py`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.signals import F32, Sound
from engine.timeline import FRAME, SAMPLE_RATE


class Part(Protocol):
    """One of the two: a Source that is not real-time."""

    length: int | None
    channels: int

    def read(self) -> Sound | None: ...

    def close(self) -> None: ...


class TwoInputs:
    """The sum of two parts with `stems` = (voice, backing); the shorter is padded with silence.

    channels: 2 when either part is stereo. length: of the longer part, None when not known.
    The sum is plain addition, so peaks above 1 are kept, as in the files.
    """

    realtime = False

    def __init__(self, voice: Part, backing: Part, seconds: float | None = None) -> None:
        """`seconds` cuts both parts at the same sample."""
        self._parts = (_Reader(voice), _Reader(backing))
        self._limit = None if seconds is None else round(seconds * SAMPLE_RATE)
        self.channels = max(voice.channels, backing.channels)
        lengths = [part.length for part in (voice, backing)]
        known = [length for length in lengths if length is not None]
        self.length = max(known) if len(known) == 2 else None
        self._at = 0

    def read(self) -> Sound | None:
        """The next 1,600 samples (fewer at the end), or None. Raises UserError as its parts do."""
        want = FRAME if self._limit is None else min(FRAME, self._limit - self._at)
        voice, backing = (part.take(want) for part in self._parts)
        n = max(voice.shape[1], backing.shape[1])
        if n == 0:
            return None
        voice, backing = _padded(voice, n), _padded(backing, n)
        heard = _as_channels(voice, self.channels) + _as_channels(backing, self.channels)
        stems = np.stack([voice.mean(axis=0), backing.mean(axis=0)])
        sound = Sound(heard, self._at, stems)
        self._at = sound.end
        return sound

    def close(self) -> None:
        for part in self._parts:
            part.close()


class _Reader:
    """Gives a part in stretches of the wanted length, shorter only at its end."""

    def __init__(self, part: Part) -> None:
        self._part, self._rest = part, np.zeros((part.channels, 0), np.float32)
        self.close = part.close

    def take(self, want: int) -> F32:
        """[C, n] with n ≤ `want`."""
        while self._rest.shape[1] < want:
            sound = self._part.read()
            if sound is None:
                break
            self._rest = np.concatenate([self._rest, sound.samples], axis=1)
        taken, self._rest = self._rest[:, : max(0, want)], self._rest[:, max(0, want) :]
        return taken


def _padded(samples: F32, n: int) -> F32:
    return np.pad(samples, ((0, 0), (0, n - samples.shape[1])))


def _as_channels(samples: F32, channels: int) -> F32:
    return np.broadcast_to(samples, (channels, samples.shape[1]))
