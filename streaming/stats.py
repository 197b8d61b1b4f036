"""Counters and percentiles of a show, in constant memory however long it runs."""

from __future__ import annotations

from collections import deque
from math import ceil

import numpy as np

from engine.timeline import FRAME_RATE, SAMPLE_RATE

RECENT = 90  # frames the status line's fps looks back on: 3 s


class Histogram:
    """Percentiles of non-negative milliseconds from bins of 0.1 ms up to 2 s; keeps the maximum.

    A percentile is the upper edge of its bin, so it errs by at most 0.1 ms, upwards; values past
    2 s share the last bin and are reported as the maximum.
    """

    WIDTH = 0.1  # ms
    BINS = 20_000

    def __init__(self) -> None:
        self._counts = np.zeros(self.BINS + 1, np.int64)
        self.count = 0
        self.total = 0.0  # ms
        self.max = 0.0  # ms

    def add(self, ms: float) -> None:
        """Count one value. Negative ones (a clock's rounding) count as 0."""
        ms = max(0.0, ms)
        self._counts[min(int(ms / self.WIDTH), self.BINS)] += 1
        self.count += 1
        self.total += ms
        self.max = max(self.max, ms)

    def percentile(self, percent: float) -> float:
        """The value, in ms, that `percent` of all values do not exceed; 0 when there are none."""
        if not self.count:
            return 0.0
        wanted = max(1, ceil(self.count * percent / 100))
        bin_ = int(np.searchsorted(np.cumsum(self._counts), wanted))
        return self.max if bin_ >= self.BINS else min(self.max, (bin_ + 1) * self.WIDTH)

    @property
    def mean(self) -> float:
        """Mean in ms; 0 when there are no values."""
        return self.total / self.count if self.count else 0.0

    def __str__(self) -> str:
        p50, p95, p99 = (self.percentile(p) for p in (50, 95, 99))
        return f"p50 {p50:.1f} · p95 {p95:.1f} · p99 {p99:.1f} · max {self.max:.1f} ms"


class Stats:
    """What happened in a show. Written by the line, one writer per field.

    lateness: from sample 1,600·n entering the ring to picture n published, for pictures published
    on their own tick. hear: per frame of sound. draw: per picture.
    frames: given to the sinks. shown: of those, with their own picture. skipped: with an older
    picture though somebody sang. rested: with the resting face, since no sound came. lost: passed
    over, since the sinks were too slow. sound_late: samples that came after their frame had left.
    realigned: times that sound came back after its source had been away. replaced, gaps: counted
    by the hand-overs. missed: ticks that came too late. ring in samples. level: of the overload
    ladder. delay: seconds from sound to its picture, by which OBS must delay a microphone that
    it takes directly. drift: of a source with two devices, how far their clocks are apart, as a
    share; None for other sources.
    """

    def __init__(self) -> None:
        self.lateness = Histogram()
        self.hear = Histogram()
        self.draw = Histogram()
        self.frames = 0
        self.shown = 0
        self.skipped = 0
        self.rested = 0
        self.lost = 0
        self.sound_late = 0
        self.realigned = 0
        self.replaced = 0
        self.missed = 0
        self.gaps = 0
        self.ring = 0
        self.ring_max = 0
        self.ring_capacity = 0
        self.level = 0
        self.delay = 0.0
        self.drift: float | None = None
        self.steps: list[str] = []  # of the ladder, as logged; at most one per rung
        self._recent: deque[tuple[float, bool]] = deque(maxlen=RECENT)

    def published(self, t: float, fresh: bool) -> None:
        """A frame left at `t` seconds, with a picture of its own if `fresh`."""
        self.frames += 1
        self.shown += fresh
        self._recent.append((t, fresh))

    @property
    def fps(self) -> float:
        """New pictures per second over the last three seconds."""
        if len(self._recent) < 2:
            return 0.0
        elapsed = self._recent[-1][0] - self._recent[0][0]
        fresh = sum(fresh for _, fresh in list(self._recent)[1:])
        return fresh / elapsed if elapsed > 0 else 0.0

    @property
    def skipped_share(self) -> float:
        """Skipped frames among all, 0 … 1."""
        return self.skipped / self.frames if self.frames else 0.0

    def status_line(self) -> str:
        """One line while live."""
        clock = self.frames // FRAME_RATE
        drift = "" if self.drift is None else f" · clocks {1e6 * self.drift:+.0f} ppm apart"
        ladder = f" · overload step {self.level}" if self.level else ""
        return (
            f"{clock // 60:d}:{clock % 60:02d} · {self.fps:.1f} fps · "
            f"late {self.lateness.percentile(99):.0f} ms p99 · skipped {self.skipped} · "
            f"ring {_ms(self.ring):.0f}/{_ms(self.ring_capacity):.0f} ms · gaps {self.gaps} · "
            f"OBS Sync Offset {1000 * self.delay:.0f} ms{drift}{ladder}"
        )

    def summary(self) -> str:
        """A few lines at the end of a live show."""
        skipped = f"skipped {self.skipped} ({100 * self.skipped_share:.2f} %)"
        ring = f"max {_ms(self.ring_max):.0f} of {_ms(self.ring_capacity):.0f} ms"
        lines = [
            f"frames   {self.frames} ({self.frames / FRAME_RATE:.1f} s) · {skipped} · "
            + f"rested {self.rested} · replaced {self.replaced} · ticks missed {self.missed}",
            f"lateness {self.lateness}",
            f"hear     {self.hear} per frame",
            f"draw     {self.draw} per picture",
            f"ring     {ring} · gaps {self.gaps}",
        ]
        if self.lost:
            lines.append(f"lost     {self.lost} frames: the outputs were too slow")
        if self.sound_late:
            lines.append(f"sound    {_ms(self.sound_late):.0f} ms came too late for its frame")
        if self.realigned:
            lines.append(f"away     the source was away {self.realigned} times")
        return "\n".join(lines + [f"overload {step}" for step in self.steps])


def _ms(samples: int) -> float:
    return 1000 * samples / SAMPLE_RATE
