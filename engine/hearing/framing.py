"""Samples to hops: the one place where a stream of any chunking becomes whole 10 ms hops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.signals import F32
from engine.timeline import FEATURE_HOP


class FramerState(NamedTuple):
    buffer: F32  # [streams, length + hop - 1]: the past, then the part of a hop that has come
    filled: np.ndarray  # [] int64, samples of the current hop that have come


class Framer:
    """[streams, n] samples → [k, streams, length] overlapping frames, one per completed hop.

    Frame k ends with the last sample of hop k; before the first sample there was silence.
    """

    def __init__(self, length: int, streams: int = 1, hop: int = FEATURE_HOP) -> None:
        self.length, self.streams, self.hop = length, streams, hop

    def initial_state(self, batch: int = 1) -> FramerState:
        """Silence. One show only: batch must be 1."""
        if batch != 1:
            raise ValueError(f"a framer cuts one show, got batch {batch}")
        size = self.length + self.hop - 1
        return FramerState(np.zeros((self.streams, size), np.float32), np.array(0))

    def __call__(self, x: F32, state: FramerState) -> tuple[F32, FramerState]:
        filled = int(state.filled)
        # `buffer` is right-aligned: its last `length - hop + filled` samples are what came.
        past = self.length - self.hop + filled
        joined = np.concatenate([state.buffer[:, state.buffer.shape[1] - past :], x], axis=1)
        count = (filled + x.shape[1]) // self.hop
        frames = np.empty((count, self.streams, self.length), np.float32)
        for k in range(count):
            frames[k] = joined[:, k * self.hop : k * self.hop + self.length]
        keep = joined[:, count * self.hop :]
        buffer = np.zeros_like(state.buffer)
        buffer[:, buffer.shape[1] - keep.shape[1] :] = keep
        return frames, FramerState(buffer, np.array((filled + x.shape[1]) % self.hop))
