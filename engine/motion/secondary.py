"""What follows the head by itself: hair, shoulders, breath; advanced left of the motion.

Hair and shoulders are damped springs, integrated exactly over a frame whose input is held, so no
frame rate or stiffness can make them blow up. A spring's position follows a target; hair reports
how far it lags behind the head plus how far gravity pulls it, shoulders report the position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.timeline import FRAME_RATE

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DT = 1.0 / FRAME_RATE  # seconds


@dataclass(frozen=True)
class SecondaryConfig:
    """How loose everything hangs.

    *_frequency: Hz of the undamped spring. *_damping: 1 = no overshoot. hair_carry: hair radians
    lagging per radian of head (yaw, pitch, roll). hair_reach: metres of head shift per radian of
    lag. hair_gravity: how much of a tilt (pitch, roll) hanging hair undoes. hair_limit: radians.
    body_share: shoulder radians per radian of head (yaw, pitch, roll). Breathing: rest_rate in
    breaths per second, exhale and inhale in seconds of time constant.
    """

    hair_frequency: float = 1.7
    hair_damping: float = 0.30
    hair_carry: tuple[float, float, float] = (0.55, 0.55, 0.55)
    hair_reach: float = 0.25
    hair_gravity: tuple[float, float] = (0.45, 0.75)
    hair_limit: float = 0.5
    body_frequency: float = 0.65
    body_damping: float = 0.9
    body_share: tuple[float, float, float] = (0.34, 0.16, 0.22)
    chest_frequency: float = 1.1
    rest_rate: float = 0.24
    inhale: float = 0.45
    exhale: float = 3.5


class SecondaryState(NamedTuple):
    """All float64. springs: [6, 2] position and speed of hair (2), shoulders (3) and chest (1), in
    radians, fullness, and both per second. lungs: [2] the fullness that the chest is heading for,
    and the phase of the resting breath in turns. begun: [], 0 before the first frame: that one
    settles without a jerk.
    """

    springs: F64
    lungs: F64
    begun: F64


def spring_step(frequency: float, damping: float, dt: float = DT) -> F64:
    """Exact propagator [2, 2] of (distance from the target, speed) over dt seconds.

    frequency in Hz, damping as a ratio: under, at or above 1. Its eigenvalues lie inside the unit
    circle for every positive frequency and damping.
    """
    omega = 2.0 * math.pi * frequency
    decay = damping * omega
    gap = omega * omega - decay * decay
    turn = math.sqrt(abs(gap)) * dt
    if gap > 0.0:
        even, odd = math.cos(turn), math.sin(turn) / turn
    elif gap < 0.0:
        even, odd = math.cosh(turn), math.sinh(turn) / turn
    else:
        even, odd = 1.0, 1.0
    fade = math.exp(-decay * dt)
    step = [
        [even + decay * dt * odd, dt * odd],
        [-omega * omega * dt * odd, even - decay * dt * odd],
    ]
    return fade * np.array(step)


class Secondary:
    """Stateful part: head [T, 6] and voice [T] → hair [T, 2], body [T, 3] and breath [T].

    Units and signs as in `signals.Motion`; one call may bring any number of frames, and any cutting
    of a show into calls gives bit-equal results.
    """

    def __init__(self, config: SecondaryConfig | None = None) -> None:
        self.config = config = config or SecondaryConfig()
        hair = spring_step(config.hair_frequency, config.hair_damping).tolist()
        body = spring_step(config.body_frequency, config.body_damping).tolist()
        chest = spring_step(config.chest_frequency, 1.0).tolist()
        self._steps = (hair, hair, body, body, body, chest)
        self._keep = (math.exp(-DT / config.inhale), math.exp(-DT / config.exhale))

    def initial_state(self, batch: int = 1) -> SecondaryState:
        """State before the first frame of one singer. Raises ValueError unless batch is 1."""
        if batch != 1:
            raise ValueError(f"Secondary follows one head per state, got batch={batch}")
        return SecondaryState(np.zeros((6, 2)), np.zeros(2), np.zeros(()))

    def __call__(
        self, x: tuple[F32, F32], state: SecondaryState
    ) -> tuple[tuple[F32, F32, F32], SecondaryState]:
        """Advance by T frames. Raises ValueError when head is not [T, 6] or voice not [T].

        In plain numbers: a frame has a hundred of them, each of which would wait for numpy.
        """
        poses, voices = _checked(*x)
        springs, (air, phase) = state.springs.tolist(), state.lungs.tolist()
        begun = bool(state.begun)
        made = np.empty((len(poses), 6), np.float32)
        for n, (pose, voice) in enumerate(zip(poses, voices, strict=True)):
            carried, targets = self._targets(*pose)
            if not begun:
                springs = [*((target, 0.0) for target in targets), springs[-1]]
                begun = True
            air, phase = self._breathe(voice, air, phase)
            springs = list(map(_swing, self._steps, (*targets, air), springs))
            side, fore, *body, chest = (position for position, _ in springs)
            hair = self._limit(side - carried[0]), self._limit(fore - carried[1])
            made[n] = (*hair, *body, min(max(chest, 0.0), 1.0))
        after = SecondaryState(np.array(springs), np.array([air, phase]), np.array(float(begun)))
        return (made[:, :2], made[:, 2:5], made[:, 5]), after

    def _targets(
        self, yaw: float, pitch: float, roll: float, x: float, _y: float, z: float
    ) -> tuple[tuple[float, float], tuple[float, ...]]:
        """Where the head carries the hair, and where each spring of hair and shoulders wants to
        be.
        """
        c = self.config
        side = yaw * c.hair_carry[0] + roll * c.hair_carry[2] + x / c.hair_reach
        fore = pitch * c.hair_carry[1] + z / c.hair_reach
        hanging = side - roll * c.hair_gravity[1], fore - pitch * c.hair_gravity[0]
        shoulders = (a * share for a, share in zip((yaw, pitch, roll), c.body_share, strict=True))
        return (side, fore), (*hanging, *shoulders)

    def _breathe(self, voice: float, air: float, phase: float) -> tuple[float, float]:
        """Singing lets the air out; silence fills the chest and then goes on breathing quietly."""
        quiet = 1.0 - voice
        phase = (phase + quiet * self.config.rest_rate * DT) % 1.0
        phase += voice * 0.1 * (round(phase) - phase)  # a pause starts by inhaling
        rest = 0.62 - 0.26 * math.cos(2.0 * math.pi * phase)
        goal = quiet * rest + voice * 0.06
        keep = quiet * self._keep[0] + voice * self._keep[1]
        return goal + (air - goal) * keep, phase

    def _limit(self, swing: float) -> float:
        """Soft bound: straight near rest, never beyond hair_limit."""
        return swing / math.sqrt(1.0 + (swing / self.config.hair_limit) ** 2)


def _swing(
    step: list[list[float]], target: float, spring: tuple[float, float]
) -> tuple[float, float]:
    """Position and speed after one frame of `step`."""
    (near, drive), (pull, lasting) = step
    away, speed = spring[0] - target, spring[1]
    return target + near * away + drive * speed, pull * away + lasting * speed


def _checked(head: F32, voice: F32) -> tuple[list[list[float]], list[float]]:
    head = np.asarray(head, np.float32)
    voice = np.asarray(voice, np.float32)
    if head.ndim != 2 or head.shape[1] != 6:
        raise ValueError(f"head must be [T, 6] (yaw, pitch, roll, x, y, z), got {head.shape}")
    if voice.shape != head.shape[:1]:
        raise ValueError(f"voice must be [T] = [{len(head)}], got {voice.shape}")
    poses, voices = head.tolist(), voice.tolist()
    if not all(map(math.isfinite, (*voices, *chain.from_iterable(poses)))):
        raise ValueError("head and voice must be finite numbers")
    return poses, [min(max(v, 0.0), 1.0) for v in voices]
