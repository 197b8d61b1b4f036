"""Eyes: sampled blinks, long closings, the smoothing of both, and where the eyes look.

MusicFace §3.3.3, Eqs. 8–9. As printed, Eq. 9 lets any positive ê_long mask the blinks; here a long
closing wins above a threshold, with hysteresis. The temporal Gaussian is one-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.signals import F32
from engine.timeline import FRAME_RATE


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
GAUSSIAN = np.exp(-0.5 * (np.arange(5) / 1.3) ** 2).astype(np.float32)  # over this and 4 frames ago
GAUSSIAN /= GAUSSIAN.sum()
GAZE_LIMIT = 0.4  # radians
GAZE_STEP = np.float32(0.45)  # share of the way to a new glance covered each frame


class EyesState(NamedTuple):
    """Clocks in frames. closed: a long closing lasts. past: [4] unsmoothed closure."""

    events: np.ndarray  # [] int64, random events drawn
    until_blink: F32  # []
    blink_left: F32  # []
    closed: F32  # []
    past: F32  # [4]
    fixation_left: F32  # []
    glance: F32  # [2]
    gaze: F32  # [2]


def _f(value: float) -> F32:
    return np.array(value, np.float32)


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
        zeros = np.zeros
        return EyesState(
            np.array(1), _f(first), _f(0), _f(0), zeros(4, np.float32),
            _f(0), zeros(2, np.float32), zeros(2, np.float32),
        )  # fmt: skip

    def __call__(self, x: tuple[F32, F32], state: EyesState) -> tuple[tuple[F32, F32], EyesState]:
        closing, head = x
        closure = np.empty(len(closing), np.float32)
        gaze = np.empty((len(closing), 2), np.float32)
        for n in range(len(closing)):
            raw, state = self._shut(float(closing[n]), state)
            recent = np.concatenate([[np.float32(raw)], state.past])
            closure[n] = min(1.0, float(GAUSSIAN @ recent))
            state = self._look(head[n], state._replace(past=recent[:4]))
            gaze[n] = state.gaze
        return (closure, gaze), state

    def _generator(self, event: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self.seed, counter=event))

    def _uniform(self, event: int, seconds: tuple[float, float]) -> float:
        return float(self._generator(event).uniform(*seconds)) * FRAME_RATE

    def _shut(self, closing: float, state: EyesState) -> tuple[float, EyesState]:
        """Eq. 9: the long closing if there is one, else the blink."""
        closed = closing > (OPEN if state.closed else CLOSE)
        if closed:
            fresh = state._replace(closed=_f(1), blink_left=_f(0))
            return min(1.0, max(0.0, closing)), fresh
        if state.closed:  # eyes have just opened: the next blink is a whole interval away
            wait = self._uniform(int(state.events), self.config.interval)
            state = state._replace(closed=_f(0), until_blink=_f(wait), events=state.events + 1)
        if state.blink_left > 0:
            left = float(state.blink_left) - 1
            if left <= 0:
                wait = self._uniform(int(state.events), self.config.interval)
                state = state._replace(until_blink=_f(wait + left), events=state.events + 1)
            return min(1.0, float(state.blink_left)), state._replace(blink_left=_f(max(0.0, left)))
        until = float(state.until_blink) - 1
        if until <= 0:
            lasts = self._uniform(int(state.events), self.config.duration)
            return 0.0, state._replace(blink_left=_f(lasts), events=state.events + 1)
        return 0.0, state._replace(until_blink=_f(until))

    def _look(self, head: F32, state: EyesState) -> EyesState:
        left = float(state.fixation_left) - 1
        if left <= 0:
            chance = self._generator(int(state.events))
            glance = chance.normal(0, self.config.glance).astype(np.float32)
            left = float(chance.uniform(*self.config.fixation)) * FRAME_RATE
            state = state._replace(glance=glance, events=state.events + 1)
        goal = state.glance - np.float32(self.config.steady) * head[:2]
        gaze = state.gaze + GAZE_STEP * (np.clip(goal, -GAZE_LIMIT, GAZE_LIMIT) - state.gaze)
        return state._replace(fixation_left=_f(left), gaze=gaze.astype(np.float32))
