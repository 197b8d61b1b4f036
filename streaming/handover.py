"""Hand-overs between threads. Each states its capacity and what it loses when it is full.

=========  =============================  =======================================================
Ring       so many ms of sound            everything in it (one long gap, counted) when sound would
                                          not fit; the sample index jumps and never rewinds
Latest     1 value (or a few frames)      the value that lay unread longest; counted
DelayLine  so many seconds of sound       nothing in a show that keeps up; what its reader left
                                          lying for longer than that, counted
=========  =============================  =======================================================

A hand-over can be closed (its readers drain it, then get None) or failed with a worker's exception
(readers and writers raise it).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from engine.signals import F32, Sound
from engine.timeline import FRAME, SAMPLE_RATE, frame_start


class Framed(Protocol):
    """A value that belongs to a frame: a Motion or a Picture."""

    @property
    def frame(self) -> int: ...


T = TypeVar("T", bound=Framed)


def samples_in(milliseconds: float) -> int:
    """Samples of the timeline in so many milliseconds, rounded."""
    return round(milliseconds * SAMPLE_RATE / 1000)


def join(sounds: Sequence[Sound]) -> Sound:
    """One Sound from sounds that follow each other without a gap."""
    if len(sounds) == 1:
        return sounds[0]
    stems = [sound.stems for sound in sounds if sound.stems is not None]
    if stems and len(stems) != len(sounds):
        raise ValueError("cannot join sounds with stems to sounds without")
    samples = np.concatenate([sound.samples for sound in sounds], axis=1)
    return Sound(samples, sounds[0].start, np.concatenate(stems, axis=1) if stems else None)


def cut(sound: Sound, start: int, end: int) -> Sound:
    """The part of a sound between two sample indices, clipped to what there is. A view."""
    a = min(max(start - sound.start, 0), sound.samples.shape[1])
    b = min(max(end - sound.start, a), sound.samples.shape[1])
    stems = None if sound.stems is None else sound.stems[:, a:b]
    return Sound(sound.samples[:, a:b], sound.start + a, stems)


class _Handover:
    """Closing and failing, and the condition that readers wait on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._reason: BaseException | None = None

    def close(self) -> None:
        """Nothing more will come. Readers drain what is there, then get None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, reason: BaseException) -> None:
        """A worker died: readers and writers raise its exception from now on."""
        with self._changed:
            self._reason = self._reason or reason
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def _await(self, ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait until what is waited for is there or will not come; the condition is held."""
        if timeout != 0:
            self._changed.wait_for(
                lambda: ready() or self._closed or self._reason is not None, timeout
            )
        self._check()

    def _check(self) -> None:
        if self._reason is not None:
            raise self._reason


class Ring(_Handover):
    """Sound waiting to be heard, at most `capacity_ms` of it: hearing's latency bound.

    Sound that would not fit empties the ring first: one long gap beats many short ones. The gap is
    counted in `gaps` and `lost` (samples); the next pull simply starts later, and the avatar
    realigns itself. Sound that lies before what was already pushed is refused and counted as lost,
    so the sample index never rewinds.
    """

    def __init__(self, capacity_ms: float) -> None:
        super().__init__()
        self.capacity = samples_in(capacity_ms)
        if self.capacity < FRAME:
            raise ValueError(f"a ring needs room for one frame (34 ms), got {capacity_ms:g} ms")
        self.gaps = 0
        self.lost = 0  # samples
        self.level_max = 0  # samples
        self._sounds: deque[Sound] = deque()
        self._level = 0
        self._end: int | None = None  # sample index up to which sound was pushed

    @property
    def level(self) -> int:
        """Samples waiting."""
        return self._level

    def push(self, sound: Sound) -> None:
        """Add sound; empty the ring first where it would not fit. Never blocks."""
        with self._changed:
            self._check()
            if self._end is not None and sound.start < self._end:
                fresh = cut(sound, self._end, sound.end)
                self.lost += sound.samples.shape[1] - fresh.samples.shape[1]
                sound = fresh
            if sound.samples.shape[1] == 0:
                return
            self._make_room(sound.samples.shape[1])
            fitting = cut(sound, sound.end - self.capacity, sound.end)
            self.lost += sound.samples.shape[1] - fitting.samples.shape[1]
            self._sounds.append(fitting)
            self._level += fitting.samples.shape[1]
            self._end = sound.end
            self.level_max = max(self.level_max, self._level)
            self._changed.notify_all()

    def _make_room(self, samples: int) -> None:
        if self._level + samples <= self.capacity:
            return
        self.gaps += 1
        self.lost += self._level
        self._sounds.clear()
        self._level = 0

    def pull(
        self, timeout: float | None = 0.0, limit: int | None = None, until: int = 0
    ) -> Sound | None:
        """All waiting sound up to the first gap, at most `limit` samples of it.

        Waits at most `timeout` seconds (None: for ever) for any sound that reaches sample `until`;
        then less will do. None when nothing came in time, or when the ring is closed and drained
        (`closed` tells which). Raises the reason of a failure.
        """
        with self._changed:
            self._await(lambda: bool(self._sounds) and (self._end or 0) >= until, timeout)
            if not self._sounds:
                return None
            sound = self._run(self.capacity if limit is None else limit)
            self._level -= sound.samples.shape[1]
            return sound

    def _run(self, limit: int) -> Sound:
        """Take sounds that follow each other, up to `limit` samples; the rest stays."""
        run: list[Sound] = []
        left = limit
        while self._sounds and left > 0 and (not run or self._sounds[0].start == run[-1].end):
            sound = self._sounds.popleft()
            if sound.samples.shape[1] > left:
                self._sounds.appendleft(cut(sound, sound.start + left, sound.end))
                sound = cut(sound, sound.start, sound.start + left)
            run.append(sound)
            left -= sound.samples.shape[1]
        return join(run)


class Latest(_Handover, Generic[T]):
    """The newest value, for a reader that may be slow. One slot unless `depth` says otherwise.

    A value put while all slots are taken replaces the one that lay longest; every value dropped
    unread is counted in `replaced`. `depth` > 1 keeps a few consecutive frames, for a reader that
    wants the one that is due rather than one that is early.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.depth = depth
        self.replaced = 0
        self._values: deque[T] = deque()

    def put(self, value: T) -> None:
        """Leave a value. Never blocks."""
        with self._changed:
            self._check()
            if len(self._values) == self.depth:
                self._values.popleft()
                self.replaced += 1
            self._values.append(value)
            self._changed.notify_all()

    def take(self, timeout: float | None = 0.0, due: int | None = None) -> T | None:
        """The newest value; with `due`, the oldest one that is not overdue (frame ≥ due), if any.

        Values older than the one returned are dropped and counted. Waits at most `timeout` seconds
        (None: for ever). None when nothing came in time, or when closed and drained. Raises the
        reason of a failure.
        """
        with self._changed:
            self._await(lambda: bool(self._values), timeout)
            if not self._values:
                return None
            keep = len(self._values) - 1
            if due is not None:
                timely = (i for i, value in enumerate(self._values) if value.frame >= due)
                keep = next(timely, keep)
            return self._drop_to(keep)

    def take_until(self, frame: int) -> T | None:
        """The newest value whose frame is not after `frame`; None if there is none. Never waits."""
        with self._changed:
            self._check()
            ready = [i for i, value in enumerate(self._values) if value.frame <= frame]
            return self._drop_to(ready[-1]) if ready else None

    def _drop_to(self, index: int) -> T:
        self.replaced += index
        for _ in range(index):
            self._values.popleft()
        return self._values.popleft()


class DelayLine:
    """The sound that people hear, kept until its picture leaves. Thread-safe.

    Holds `capacity_s` seconds of [channels, n] float32, addressed by absolute sample index; where
    no sound exists (before the start, in a gap, past the end) there is silence. Nothing is lost
    while the reader stays within the capacity. Counted: `overrun`, samples that were overwritten
    before anyone took them; `late`, samples that came after their frame had been taken. Stems ride
    along from the first sound that has them.
    """

    def __init__(self, channels: int, capacity_s: float) -> None:
        self.channels = channels
        self.capacity = round(capacity_s * SAMPLE_RATE)
        self.overrun = 0
        self.late = 0
        self._buffer: F32 = np.zeros((channels, self.capacity), np.float32)
        self._stems: F32 | None = None  # [2, capacity]
        self._taken = 0  # sample index before which everything was taken
        self._end = 0  # sample index up to which sound (or the silence of a gap) is in the buffer
        self._lock = threading.Lock()

    @property
    def level(self) -> int:
        """Samples between the reader and the writer."""
        return max(0, self._end - self._taken)

    def append(self, sound: Sound) -> None:
        """Put sound at its place. Mono is given to every channel; raises ValueError for other
        mismatches of channel count."""
        if sound.samples.shape[0] not in (1, self.channels):
            raise ValueError(f"expected {self.channels} channels, got {sound.samples.shape[0]}")
        with self._lock:
            fresh = cut(sound, max(self._end, self._taken), sound.end)
            self.late += sound.samples.shape[1] - fresh.samples.shape[1]
            if fresh.samples.shape[1] == 0:
                return
            self._silence(max(self._end, self._taken), fresh.start)
            self._put(fresh)
            oldest = fresh.end - self.capacity
            self.overrun += max(0, oldest - self._taken)
            self._taken = max(self._taken, oldest)
            self._end = fresh.end

    def take(self, frame: int) -> Sound:
        """The 1,600 samples of a frame, silent where nothing exists. Frames before it are done."""
        start = frame_start(frame)
        samples = np.zeros((self.channels, FRAME), np.float32)
        with self._lock:
            stems = None if self._stems is None else np.zeros((2, FRAME), np.float32)
            a, b = max(start, self._taken), min(start + FRAME, self._end)
            if a < b:
                where = np.arange(a, b) % self.capacity
                samples[:, a - start : b - start] = self._buffer[:, where]
                if stems is not None and self._stems is not None:
                    stems[:, a - start : b - start] = self._stems[:, where]
            self._taken = max(self._taken, start + FRAME)
        return Sound(samples, start, stems)

    def peek(self, start: int, n: int) -> F32:
        """[C, n] samples from `start` on, taken or not, silent where nothing is (any more)."""
        samples = np.zeros((self.channels, n), np.float32)
        with self._lock:
            a, b = max(start, 0, self._end - self.capacity), min(start + n, self._end)
            if a < b:
                samples[:, a - start : b - start] = self._buffer[:, np.arange(a, b) % self.capacity]
        return samples

    @property
    def end(self) -> int:
        """Sample index up to which there is sound."""
        return self._end

    def _silence(self, start: int, end: int) -> None:
        start = max(start, end - self.capacity)
        if start < end:
            where = np.arange(start, end) % self.capacity
            self._buffer[:, where] = 0
            if self._stems is not None:
                self._stems[:, where] = 0

    def _put(self, sound: Sound) -> None:
        newest = cut(sound, sound.end - self.capacity, sound.end)
        where = np.arange(newest.start, newest.end) % self.capacity
        self._buffer[:, where] = newest.samples
        if newest.stems is not None and self._stems is None:
            self._stems = np.zeros((2, self.capacity), np.float32)
        if self._stems is not None:
            self._stems[:, where] = 0 if newest.stems is None else newest.stems
