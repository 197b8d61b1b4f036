"""Singing into a microphone over a backing from a file: the best input, nothing to separate.

                 ┌─▶ monitor: the backing, played to the singer now
    backing ─────┤
                 └─▶ delayed by the way from monitor to microphone ─┬─▶ + microphone: for people
    microphone ───▶ echo canceller, the backing as its reference ───┴─▶ stems: for the avatar

Everything is placed on the microphone's own timeline. The monitor's device has another clock, which
follows (`speaker.Following`); how far they are apart is `drift`. The delay is what `run_live.py
calibrate` measured for this pair of devices. Over what another program plays: `loopback.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from engine.hearing.echo import EchoCanceller
from engine.signals import F32, Sound
from engine.timeline import HOP, SAMPLE_RATE
from streaming.clock import Pacer
from streaming.handover import DelayLine
from streaming.twoinputs import Part

AHEAD = 1.5  # s of backing that are read before they are played
HELD = 4.0  # s of backing that are kept
BEGIN = 1.0  # s after the microphone at which the backing begins: devices are awake by then
EARLY = 0.040  # s that the canceller's reference is ahead: some drivers play sooner than they say


class Ear(Protocol):
    """The microphone: a real-time source of mono or stereo."""

    channels: int

    def read(self) -> Sound | None: ...

    def close(self) -> None: ...


class Monitor(Protocol):
    """Plays the backing to the singer; a `Speaker`."""

    @property
    def drift(self) -> float: ...

    def follow(self, sound: DelayLine | None, pacer: Pacer) -> None: ...

    def close(self) -> None: ...


class WholeHops:
    """Sound cut into whole hops; what is left waits for the next. A gap throws it away."""

    def __init__(self) -> None:
        self._rest: Sound | None = None

    def __call__(self, sound: Sound) -> Sound:
        rest = self._rest
        if rest is not None and sound.start == rest.end:
            sound = Sound(np.concatenate([rest.samples, sound.samples], axis=1), rest.start)
        n = sound.samples.shape[1] // HOP * HOP
        self._rest = Sound(sound.samples[:, n:], sound.start + n)
        return Sound(np.ascontiguousarray(sound.samples[:, :n]), sound.start)


class Duet:
    """A microphone and the backing that belongs to it, put together: for people as a sum, for the
    avatar apart, without what loudspeakers let into the microphone."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._cancel = EchoCanceller()
        self._echo = self._cancel.initial_state()

    def __call__(self, hops: Sound, backing: F32, ahead: F32) -> Sound:
        """hops: of the microphone. backing: [C, n] as the singer heard it. ahead: [C, n] the same
        earlier, so that it is never behind its own echo."""
        pair = np.stack([hops.samples.mean(axis=0), ahead.mean(axis=0)])
        clean, self._echo = self._cancel(pair, self._echo)
        heard = self._wide(hops.samples) + self._wide(backing)
        return Sound(heard, hops.start, np.stack([clean[0], backing.mean(axis=0)]))

    def _wide(self, samples: F32) -> F32:
        return np.broadcast_to(samples, (self._channels, samples.shape[1]))


class Karaoke:
    """Microphone and backing as one real-time source with `stems` = (voice, backing).

    channels: 2 when either is stereo. length: of the show in samples: the backing, and the second
    before it; None when the file does not say.
    """

    realtime = True

    def __init__(
        self,
        ear: Ear,
        backing: Part,
        monitor: Monitor | None,
        delay: float = 0.0,
        seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """delay: seconds from a sample's being heard from the monitor to its entering."""
        self._ear, self._backing, self._monitor, self._now = ear, backing, monitor, now
        self._limit = None if seconds is None else round(seconds * SAMPLE_RATE)
        self._begin, self._delay = round(BEGIN * SAMPLE_RATE), round(delay * SAMPLE_RATE)
        self._line = DelayLine(backing.channels, HELD)
        self._pacer = Pacer(0.0, now=now)
        self._whole = WholeHops()
        self._end: int | None = None  # of the backing, on the microphone's timeline
        self.channels = max(ear.channels, backing.channels)
        self._duet = Duet(self.channels)
        self.length = None if backing.length is None else backing.length + self._begin
        self._load(0)
        if monitor is not None:
            monitor.follow(self._line, self._pacer)

    @property
    def drift(self) -> float:
        """How much slower than the microphone the monitor runs: 100e-6 is 100 ppm."""
        return 0.0 if self._monitor is None else self._monitor.drift

    def read(self) -> Sound | None:
        """What was sung, in whole hops, with the backing that belongs to it. None at the end."""
        sound = self._ear.read()
        if sound is None:
            return None
        if sound.samples.shape[1]:
            t = self._now()
            self._pacer.observe(sound.end, t)
            self._pacer.poll(t)
            self._load(sound.end)
        hops = self._whole(sound)
        if self._over(hops.start):
            return None
        return self._sung(hops) if hops.samples.shape[1] else hops

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
        self._ear.close()
        self._backing.close()

    def _over(self, at: int) -> bool:
        ends = [end for end in (self._limit, self._end) if end is not None]
        return bool(ends) and at - self._delay >= min(ends)

    def _load(self, at: int) -> None:
        """Have the backing read as far as the monitor may want it."""
        while self._end is None and self._line.end < at + round(AHEAD * SAMPLE_RATE):
            part = self._backing.read()
            if part is None:
                self._end = self._line.end
                return
            self._line.append(Sound(part.samples, part.start + self._begin))

    def _sung(self, hops: Sound) -> Sound:
        n = hops.samples.shape[1]
        backing = self._line.peek(hops.start - self._delay, n)
        ahead = self._line.peek(hops.start - self._delay + round(EARLY * SAMPLE_RATE), n)
        return self._duet(hops, backing, ahead)
