"""Eyes: sampled blinks, long closings, the smoothing of both, and where the eyes look.

MusicFace §3.3.3, Eqs. 8–9. As printed, Eq. 9 lets any positive ê_long mask the blinks; here a long
closing wins above a threshold, with hysteresis. The temporal Gaussian is one-sided.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.signals import F32
from engine.timeline import FRAME_RATE

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class EyesConfig:
    """Blinks and glances. interval: seconds U(a, b) from one blink's end to the next one's start;
    duration: seconds U(a, b) of a blink. fixation: seconds U(a, b) that a glance lasts.
    glance: deviation of a glance in radians (sideways, up). steady: share of a head turn that the
    eyes undo to stay with the audience.
    """

    interval: tuple[float, float] = (1.2, 2.0)
    duration: tuple[float, float] = (0.10, 0.45)
    fixation: tuple[float, float] = (0.6, 3.0)
    glance: tuple[float, float] = (0.07, 0.035)
    steady: float = 0.55


PAPER = EyesConfig()  # ~0.53 blinks a second
PEOPLE = EyesConfig(interval=(1.4, 3.9), duration=(0.13, 0.33))  # 0.35 a second of 0.23 s
BLINKS = {"paper": PAPER, "people": PEOPLE}

CLOSE, OPEN = 0.55, 0.35  # long closing begins above, ends below
GAUSSIAN = [math.exp(-0.5 * (ago / 1.3) ** 2) for ago in range(5)]  # over this and 4 frames ago
GAUSSIAN = [weight / sum(GAUSSIAN) for weight in GAUSSIAN]
GAZE_LIMIT = 0.4  # radians
GAZE_STEP = 0.45  # share of the way to a new glance covered each frame


class EyesState(NamedTuple):
    """All float64 but events."""

    events: np.ndarray  # [] int64, random events drawn
    clocks: F64  # [3] frames until the next blink, left of this one, left of this glance
    closed: F64  # [] 1 while a long closing lasts
    recent: F64  # [5] unsmoothed closure, newest first
    glance: F64  # [2]
    gaze: F64  # [2]


@dataclass(slots=True)
class _Now:
    """EyesState in plain numbers: a frame has a few dozen, each of which would wait for numpy."""

    events: int
    until_blink: float
    blink_left: float
    glance_left: float
    closed: bool
    recent: list[float]
    glance: list[float]
    gaze: list[float]


def _unpacked(state: EyesState) -> _Now:
    until_blink, blink_left, glance_left = state.clocks.tolist()
    recent, glance, gaze = state.recent.tolist(), state.glance.tolist(), state.gaze.tolist()
    events, closed = int(state.events), bool(state.closed)
    return _Now(events, until_blink, blink_left, glance_left, closed, recent, glance, gaze)


def _packed(now: _Now) -> EyesState:
    clocks = now.until_blink, now.blink_left, now.glance_left
    floats = clocks, float(now.closed), now.recent, now.glance, now.gaze
    return EyesState(np.array(now.events), *map(np.array, floats))


class Eyes:
    """(closing [T], head [T, 6]) → (closure [T] in [0, 1], gaze [T, 2] in radians).

    Chance is a counter and a seed: the same show blinks the same, however it is cut.
    """

    def __init__(self, config: EyesConfig = PAPER, seed: int = 0) -> None:
        self.config, self.seed = config, seed

    def initial_state(self, batch: int = 1) -> EyesState:
        """Eyes open, the first blink drawn. One singer: batch must be 1."""
        if batch != 1:
            raise ValueError(f"eyes belong to one singer, got batch {batch}")
        first = self._uniform(0, self.config.interval)
        return _packed(_Now(1, first, 0.0, 0.0, False, [0.0] * 5, [0.0] * 2, [0.0] * 2))

    def __call__(self, x: tuple[F32, F32], state: EyesState) -> tuple[tuple[F32, F32], EyesState]:
        closing, head = x
        closure = np.empty(len(closing), np.float32)
        gaze = np.empty((len(closing), 2), np.float32)
        now = _unpacked(state)
        turns = head[:, :2].tolist()
        for n, (closed, turn) in enumerate(zip(closing.tolist(), turns, strict=True)):
            now.recent = [self._shut(closed, now), *now.recent[:4]]
            closure[n] = min(1.0, sum(map(operator.mul, GAUSSIAN, now.recent)))
            self._look(turn, now)
            gaze[n] = now.gaze
        return (closure, gaze), _packed(now)

    def _generator(self, event: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self.seed, counter=event))

    def _uniform(self, event: int, seconds: tuple[float, float]) -> float:
        return float(self._generator(event).uniform(*seconds)) * FRAME_RATE

    def _drawn(self, now: _Now, seconds: tuple[float, float]) -> float:
        """Frames that the next event lasts."""
        now.events += 1
        return self._uniform(now.events - 1, seconds)

    def _shut(self, closing: float, now: _Now) -> float:
        """Eq. 9: the long closing if there is one, else the blink."""
        if closing > (OPEN if now.closed else CLOSE):
            now.closed, now.blink_left = True, 0.0
            return min(1.0, max(0.0, closing))
        if now.closed:  # eyes have just opened: the next blink is a whole interval away
            now.closed = False
            now.until_blink = self._drawn(now, self.config.interval)
        if now.blink_left > 0:
            shut, left = min(1.0, now.blink_left), now.blink_left - 1
            if left <= 0:
                now.until_blink = self._drawn(now, self.config.interval) + left
            now.blink_left = max(0.0, left)
            return shut
        now.until_blink -= 1
        if now.until_blink <= 0:
            now.blink_left = self._drawn(now, self.config.duration)
        return 0.0

    def _look(self, turn: list[float], now: _Now) -> None:
        """Move the gaze towards the glance, which a head's turn hardly takes along."""
        now.glance_left -= 1
        if now.glance_left <= 0:
            chance = self._generator(now.events)
            now.events += 1
            now.glance = chance.normal(0, self.config.glance).tolist()
            now.glance_left = float(chance.uniform(*self.config.fixation)) * FRAME_RATE
        for axis in range(2):
            goal = now.glance[axis] - self.config.steady * turn[axis]
            goal = min(max(goal, -GAZE_LIMIT), GAZE_LIMIT)
            now.gaze[axis] += GAZE_STEP * (goal - now.gaze[axis])
