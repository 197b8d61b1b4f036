"""What follows the head by itself: hair, shoulders, breath; advanced left of the motion.

Hair and shoulders are damped springs, integrated exactly over a frame whose input is held, so no
frame rate or stiffness can make them blow up. A spring's position follows a target; hair reports
how far it lags behind the head plus how far gravity pulls it, shoulders report the position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.timeline import FRAME_RATE

F32 = NDArray[np.float32]

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
    """All float32. position, velocity: [5] springs (hair 2, shoulders 3), rad and rad/s.

    chest: [2] fullness and its speed. air: [1] fullness the chest is heading for. phase: [1] of the
    resting breath, in turns. begun: [1], 0 before the first frame: that one settles without a jerk.
    """

    position: F32
    velocity: F32
    chest: F32
    air: F32
    phase: F32
    begun: F32


def spring_step(frequency: float, damping: float, dt: float = DT) -> F32:
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
    return (fade * np.array(step, np.float64)).astype(np.float32)


class Secondary:
    """Stateful part: head [T, 6] and voice [T] → hair [T, 2], body [T, 3] and breath [T].

    Units and signs as in `signals.Motion`; one call may bring any number of frames, and any cutting
    of a show into calls gives bit-equal results.
    """

    def __init__(self, config: SecondaryConfig | None = None) -> None:
        self.config = config = config or SecondaryConfig()
        hair = spring_step(config.hair_frequency, config.hair_damping)
        body = spring_step(config.body_frequency, config.body_damping)
        self._springs: F32 = np.stack([hair, hair, body, body, body], axis=-1)  # [2, 2, 5]
        self._chest = spring_step(config.chest_frequency, 1.0)
        self._keep = (math.exp(-DT / config.inhale), math.exp(-DT / config.exhale))

    def initial_state(self, batch: int = 1) -> SecondaryState:
        """State before the first frame of one singer. Raises ValueError unless batch is 1."""
        if batch != 1:
            raise ValueError(f"Secondary follows one head per state, got batch={batch}")
        zeros = [np.zeros(n, np.float32) for n in (5, 5, 2, 1, 1, 1)]
        return SecondaryState(*zeros)

    def __call__(
        self, x: tuple[F32, F32], state: SecondaryState
    ) -> tuple[tuple[F32, F32, F32], SecondaryState]:
        """Advance by T frames. Raises ValueError when head is not [T, 6] or voice not [T]."""
        head, voice = _checked(*x)
        frames = head.shape[0]
        carry, target = self._targets(head)
        hair = np.empty((frames, 2), np.float32)
        body = np.empty((frames, 3), np.float32)
        breath = np.empty(frames, np.float32)
        for n in range(frames):
            state = self._swing(target[n], state)
            state = self._breathe(voice[n], state)
            hair[n] = self._limit(state.position[:2] - carry[n])
            body[n] = state.position[2:]
            breath[n] = min(max(state.chest[0], np.float32(0.0)), np.float32(1.0))
        return (hair, body, breath), state

    def _targets(self, head: F32) -> tuple[F32, F32]:
        """Where the head carries the hair [T, 2] and where each spring wants to be [T, 5]."""
        c = self.config
        yaw, pitch, roll, x, _, z = (head[:, k] for k in range(6))
        carry = np.empty((len(head), 2), np.float32)
        carry[:, 0] = yaw * f32(c.hair_carry[0]) + roll * f32(c.hair_carry[2])
        carry[:, 0] += x * f32(1.0 / c.hair_reach)
        carry[:, 1] = pitch * f32(c.hair_carry[1]) + z * f32(1.0 / c.hair_reach)
        target = np.empty((len(head), 5), np.float32)
        target[:, 0] = carry[:, 0] - roll * f32(c.hair_gravity[1])
        target[:, 1] = carry[:, 1] - pitch * f32(c.hair_gravity[0])
        for k, angle in enumerate((yaw, pitch, roll)):
            target[:, 2 + k] = angle * f32(c.body_share[k])
        return carry, target

    def _swing(self, target: F32, state: SecondaryState) -> SecondaryState:
        if not state.begun[0]:
            still = np.zeros(5, np.float32)
            return state._replace(
                position=target.copy(), velocity=still, begun=np.ones(1, np.float32)
            )
        away = state.position - target
        a = self._springs
        position = target + (a[0, 0] * away + a[0, 1] * state.velocity)
        velocity = a[1, 0] * away + a[1, 1] * state.velocity
        return state._replace(position=position, velocity=velocity)

    def _breathe(self, voice: np.float32, state: SecondaryState) -> SecondaryState:
        """Singing lets the air out; silence fills the chest and then goes on breathing quietly."""
        quiet = f32(1.0) - voice
        phase = state.phase + quiet * f32(self.config.rest_rate * DT)
        phase = phase - np.floor(phase)
        phase = phase + voice * f32(0.1) * (np.round(phase) - phase)  # a pause starts by inhaling
        rest = f32(0.62) - f32(0.26) * np.cos(f32(2.0 * math.pi) * phase)
        goal = quiet * rest + voice * f32(0.06)
        keep = quiet * f32(self._keep[0]) + voice * f32(self._keep[1])
        air = goal + (state.air - goal) * keep
        away, speed = state.chest[0] - air[0], state.chest[1]
        a = self._chest
        chest = np.empty(2, np.float32)
        chest[0] = air[0] + (a[0, 0] * away + a[0, 1] * speed)
        chest[1] = a[1, 0] * away + a[1, 1] * speed
        return state._replace(phase=phase, air=air, chest=chest)

    def _limit(self, swing: F32) -> F32:
        """Soft bound: straight near rest, never beyond hair_limit."""
        return swing / np.sqrt(f32(1.0) + (swing / f32(self.config.hair_limit)) ** 2)


def f32(value: float) -> np.float32:
    """One float32 number, so that no step is silently done in float64."""
    return np.float32(value)


def _checked(head: F32, voice: F32) -> tuple[F32, F32]:
    head = np.asarray(head, np.float32)
    voice = np.asarray(voice, np.float32)
    if head.ndim != 2 or head.shape[1] != 6:
        raise ValueError(f"head must be [T, 6] (yaw, pitch, roll, x, y, z), got {head.shape}")
    if voice.shape != head.shape[:1]:
        raise ValueError(f"voice must be [T] = [{len(head)}], got {voice.shape}")
    if not (np.isfinite(head).all() and np.isfinite(voice).all()):
        raise ValueError("head and voice must be finite numbers")
    return head, np.clip(voice, f32(0.0), f32(1.0))
