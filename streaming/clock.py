"""Time: ticks that follow the sound, and a file played at the pace of a clock.

Nothing here is a global clock: `now` (seconds, monotonic) and `sleep` are arguments.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import ceil, floor, inf

from engine.signals import Sound
from engine.timeline import FRAME_RATE, HOP, SAMPLE_RATE, frame_start
from streaming.handover import cut
from streaming.ports import Source

PERIOD = 1 / FRAME_RATE  # s between ticks
BLOCK = 1.0  # s of arrivals, of which the most punctual one counts
LEAST_ARRIVALS = 4  # in a block that counts
STALL = 0.5  # s without sound after which a block begins anew
PULL = 0.5  # 1/s: how fast the phase follows
LEARN = PULL**2 / 4  # 1/s²: how fast the rate follows; critically damped
LOCKED = 0.003  # s: only within this phase error is the rate learnt
MOST_OFF = 0.001  # the greatest rate error believed of a source: 1,000 ppm
MOST_SLEW = 0.05  # the greatest change of tempo while re-locking: 5 %
PATIENCE = 1.0  # s that the first tick waits for the first sound
NAP = 0.02  # s: the longest sleep, so that a moved phase or a stop is seen


class Pacer:
    """Thirty ticks a second, tick n at the moment sample 1,600·n entered plus a constant `delay`.

    When sample s entered is estimated from arrivals, which can only be late: of every second of
    arrivals the most punctual one counts (a minimum filter takes the jitter away), and drives a
    second-order loop that turns the estimate's phase and rate. The phase therefore never jumps: it
    is pulled, by at most 5 % of the tempo, and ticks never rewind and never burst. While no sound
    comes the ticks go on at the rate last learnt. Only before the first tick does the estimate move
    freely. Thread-safe.

    delay: seconds. skipped: ticks missed because the caller came too late; their numbers are
    passed over.
    """

    def __init__(
        self,
        delay: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.delay = delay
        self.skipped = 0
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._anchored = False  # by sound or by patience
        self._at_time, self._at_sample = 0.0, 0.0  # the estimate passes through this point …
        self._stretch = 0.0  # … at (1 + stretch) / 48,000 s per sample
        self._learnt = 0.0  # the lasting part of stretch: the source's own rate error
        self._tick = -1  # the last tick fired
        self._block_start = -inf
        self._arrivals = 0
        self._best = inf  # s: how late the block's most punctual arrival was
        self._last_arrival = -inf

    @property
    def rate_error(self) -> float:
        """How much slower than 48 kHz the source's clock runs: 100e-6 is 100 ppm slow."""
        return self._learnt

    @property
    def tick(self) -> int:
        """The last tick fired, -1 before the first."""
        return self._tick

    def start(self, t: float) -> None:
        """The show begins at `t`: the first tick waits a second for sound, then goes on alone."""
        with self._lock:
            if not self._anchored:
                self._at_time, self._at_sample = t + PATIENCE, 0.0
                self._anchored = True
                self._last_arrival = -inf

    def free(self, t: float) -> None:
        """Nothing will ever arrive (a motion file): sample 0 enters at `t`, by definition."""
        with self._lock:
            self._at_time, self._at_sample, self._anchored = t, 0.0, True

    def observe(self, index: int, t: float) -> None:
        """Sound up to sample `index` arrived at `t`. Call once per chunk, with growing `index`."""
        with self._lock:
            first = self._last_arrival == -inf
            stalled = t - self._last_arrival > STALL
            self._last_arrival = t
            if self._tick < 0:
                self._acquire(index, t, first)
                return
            if stalled:
                self._begin_block(t)
            self._best = min(self._best, t - self._entered(index))
            self._arrivals += 1
            if t - self._block_start >= BLOCK and self._arrivals >= LEAST_ARRIVALS:
                self._turn(self._best, t)
                self._begin_block(t)

    def entered(self, index: int) -> float:
        """When sample `index` entered, or will: seconds on the clock of `now`."""
        with self._lock:
            return self._entered(index)

    def sounding(self, t: float) -> float:
        """The sample (not whole) whose place in the show is `t`: it entered `delay` before. -inf
        while the show has not begun."""
        with self._lock:
            if not self._anchored:
                return -inf
            since = t - self.delay - self._at_time
            return self._at_sample + since * SAMPLE_RATE / (1 + self._stretch)

    def due(self, tick: int) -> float:
        """When a tick fires; infinity while the show has not begun."""
        with self._lock:
            return self._due(tick)

    def poll(self, t: float) -> int | None:
        """The tick due at `t`, once; None when it has fired already. Missed ones are skipped."""
        with self._lock:
            if self._due(self._tick + 1) > t:
                return None
            tick = self._tick + 1
            behind = (t - self._due(tick)) / (PERIOD * (1 + self._stretch))
            missed = max(0, floor(behind))
            self.skipped += missed
            self._tick = tick + missed
            return self._tick

    def tick_after(self, t: float) -> int:
        """The first tick not yet fired that fires at `t` or later."""
        with self._lock:
            following = self._tick + 1
            if not self._anchored:
                return following
            late = (t - self._due(following)) / (PERIOD * (1 + self._stretch))
            return following + max(0, ceil(late))

    def wait(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Sleep until the next tick and return its number; None as soon as `stopped()`."""
        while not stopped():
            tick = self.poll(self._now())
            if tick is not None:
                return tick
            self._sleep(max(0.0, min(NAP, self.due(self._tick + 1) - self._now())))
        return None

    def _entered(self, index: float) -> float:
        return self._at_time + (index - self._at_sample) * (1 + self._stretch) / SAMPLE_RATE

    def _due(self, tick: int) -> float:
        return self._entered(frame_start(tick)) + self.delay if self._anchored else inf

    def _acquire(self, index: int, t: float, first: bool) -> None:
        """Before the first tick: the most punctual arrival so far is the truth."""
        if first or t < self._entered(index):
            self._at_time, self._at_sample, self._anchored = t, float(index), True
        self._begin_block(t)

    def _begin_block(self, t: float) -> None:
        self._block_start, self._arrivals, self._best = t, 0, inf

    def _turn(self, late: float, t: float) -> None:
        """One step of the loop: `late` seconds is how far the estimate is ahead of the arrivals.

        The line is turned about the sample whose tick fires now, so the ticks stay continuous.
        """
        pivot = t - self.delay
        self._at_sample += (pivot - self._at_time) * SAMPLE_RATE / (1 + self._stretch)
        self._at_time = pivot
        if abs(late) < LOCKED:
            self._learnt = _clip(self._learnt + LEARN * BLOCK * late, MOST_OFF)
        self._stretch = _clip(self._learnt + PULL * late, MOST_SLEW)


def _clip(x: float, most: float) -> float:
    return max(-most, min(most, x))


class Paced:
    """A source that answers at once, played at the pace of a clock: sound arrives as from a
    microphone, in chunks of at most 10 ms, each when its last sample would have been recorded.

    The clock starts with the first read.
    """

    realtime = True

    def __init__(
        self,
        source: Source,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.length = source.length
        self.channels: int = getattr(source, "channels", 2)
        self._source = source
        self._now = now
        self._sleep = sleep
        self._start: float | None = None
        self._rest: Sound | None = None

    def read(self) -> Sound | None:
        """The next 10 ms at their time, or None at the end."""
        if self._rest is None or not self._rest.samples.shape[1]:
            self._rest = self._source.read()
        if self._rest is None:
            return None
        sound = cut(self._rest, self._rest.start, self._rest.start + HOP)
        self._rest = cut(self._rest, sound.end, self._rest.end)
        if self._start is None:
            self._start = self._now() - sound.start / SAMPLE_RATE
        self._sleep(max(0.0, self._start + sound.end / SAMPLE_RATE - self._now()))
        return sound

    def close(self) -> None:
        self._source.close()
