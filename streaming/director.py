"""Directing a show while it runs: what is asked for from outside, faded in frame by frame.

Whoever asks (an OSC program, a key) does so from a thread of its own; the show takes the requests
with its next motion. Fades are counted in frames, so that a show that is played again looks the
same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.motion.directing import MOST, OVERLAYS, Direction, directed
from engine.signals import F32, Motion, Sound
from engine.timeline import FRAME_RATE
from streaming.ports import Switchable

FADE_S = 0.3  # s, where no other time is asked for
LONGEST_S = 60.0  # s of a fade
RECENTRE_S = 1.0  # s over which the head's middle is learnt
MOST_TEMPO = 2.0
RETURN_S = 1.5  # s in which a head that moved at another tempo comes back to where it is heard
NEAR = 1e-5  # rad, m: of that, what nobody sees
SIZES = ("mouth", "head", "eyes")


class BadRequest(ValueError):
    """Something that cannot be directed; the message says what can."""


@dataclass
class _Fade:
    """A number on its way."""

    value: float
    target: float
    step: float = 1.0  # a frame

    def move(self, frames: int) -> float:
        way = self.target - self.value
        self.value += max(-frames * self.step, min(frames * self.step, way))
        return self.value


class Tempo:
    """The same moves of head, shoulders and hair, quicker or calmer.

    A pose is speed × direction, summed up; here the speed is another one. What that leads astray is
    drawn back within RETURN_S, so a head can neither walk away nor stay away.
    """

    def __init__(self) -> None:
        self._heard: F32 | None = None  # [11] the last pose, as heard
        self._astray: F32 = np.zeros(11, np.float32)

    def __call__(self, motion: Motion, tempo: float, frames: int) -> Motion:
        """The next motion, `frames` after the last one; at tempo 1, in the end, the same object."""
        pose = np.concatenate([motion.head, motion.body, motion.hair]).astype(np.float32)
        if self._heard is not None:
            moved = np.float32(tempo - 1) * (pose - self._heard)
            keep = np.float32(np.exp(-frames / (RETURN_S * FRAME_RATE)))
            self._astray = keep * self._astray + moved
        self._heard = pose
        if tempo == 1 and float(np.abs(self._astray).max()) < NEAR:
            return motion
        head, body, hair = np.split(pose + self._astray, (6, 9))
        return replace(motion, head=head, body=body, hair=hair)


class Director:
    """Takes requests from any thread; `motion` and `sound` are the show's."""

    def __init__(
        self, restyle: Callable[[int], None] | None = None, style: int | None = None
    ) -> None:
        """restyle: wears another style from now on; raises ValueError for one there is not. style:
        the one worn so far."""
        self._restyle, self._style = restyle, style
        self._lock = threading.Lock()
        self._sizes = {name: _Fade(1.0, 1.0) for name in SIZES}
        self._tempo_asked = _Fade(1.0, 1.0)
        self._tempo = Tempo()
        self._rest = _Fade(0.0, 0.0)
        self._overlays: dict[str, _Fade] = {}
        self._centre = [_Fade(0.0, 0.0) for _ in range(3)]
        self._middle: F32 = np.zeros(3, np.float32)  # of the head, over the last second or so
        self._muted = False
        self.cameras: list[Switchable] = []  # of the show, added when it begins
        self._filmed = True
        self._frame = -1

    # -- requests

    def size(self, name: str, value: float, seconds: float = FADE_S) -> None:
        """How large `mouth`, `head` or `eyes` play; or `tempo`, how fast the head moves. Raises
        BadRequest."""
        if name == "tempo":
            with self._lock:
                _fade(self._tempo_asked, _within(value, MOST_TEMPO, name), seconds)
            return
        if name not in SIZES:
            raise BadRequest(f"unknown {name}; there are {', '.join(SIZES)}")
        with self._lock:
            _fade(self._sizes[name], _within(value, MOST, name), seconds)

    def overlay(self, name: str, weight: float = 1.0, seconds: float = FADE_S) -> None:
        """Lay an expression over the face; 0 takes it away. Raises BadRequest."""
        if name not in OVERLAYS:
            raise BadRequest(f"unknown expression {name}; there are {', '.join(OVERLAYS)}")
        with self._lock:
            fade = self._overlays.setdefault(name, _Fade(0.0, 0.0))
            _fade(fade, _within(weight, 1.0, name), seconds)

    def rest(self, on: bool, seconds: float = FADE_S) -> None:
        """Be away: the face at rest, whatever is heard; or come back. Raises BadRequest."""
        with self._lock:
            _fade(self._rest, float(on), seconds)

    def mute(self, on: bool) -> None:
        """Neither hear the microphone nor let it be heard."""
        self._muted = on

    def camera(self, on: bool) -> None:
        """Let other programs have the virtual camera, if the show has one, or take it again."""
        self._filmed = on
        for camera in self.cameras:
            camera.switch(on)

    def recentre(self, seconds: float = FADE_S) -> None:
        """Take where the head is now, on the average of a second, for straight ahead."""
        with self._lock:
            for fade, angle in zip(self._centre, self._middle, strict=True):
                _fade(fade, float(angle), seconds)

    def style(self, number: int) -> None:
        """Sing in another style. Raises BadRequest."""
        if self._restyle is None:
            raise BadRequest("this show cannot change its style")
        try:
            self._restyle(number)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        self._style = number

    def reset(self, seconds: float = FADE_S) -> None:
        """Everything as at the beginning, but the style."""
        for name in (*SIZES, "tempo"):
            self.size(name, 1.0, seconds)
        for name in tuple(self._overlays):
            self.overlay(name, 0.0, seconds)
        self.rest(False, seconds)
        self.mute(False)
        self.camera(True)
        with self._lock:
            for fade in self._centre:
                _fade(fade, 0.0, seconds)

    def asked(self) -> dict[str, Any]:
        """What is asked for now: where fades lead to. style: None where it was never chosen.
        camera: None where there is none."""
        with self._lock:
            return {
                **{name: fade.target for name, fade in self._sizes.items()},
                "tempo": self._tempo_asked.target,
                "overlays": {n: f.target for n, f in self._overlays.items() if f.target},
                "rest": bool(self._rest.target),
                "mute": self._muted,
                "camera": self._filmed if self.cameras else None,
                "style": self._style,
            }

    # -- the show

    def motion(self, motion: Motion) -> Motion:
        """The next motion, as directed; without requests, the same object."""
        with self._lock:
            frames = max(1, motion.frame - self._frame)
            self._frame = motion.frame
            share = min(1.0, frames / (RECENTRE_S * FRAME_RATE))
            self._middle = self._middle + np.float32(share) * (motion.head[:3] - self._middle)
            motion = self._tempo(motion, self._tempo_asked.move(frames), frames)
            overlays = {name: fade.move(frames) for name, fade in self._overlays.items()}
            self._overlays = {
                name: fade for name, fade in self._overlays.items() if fade.value or fade.target
            }
            yaw, pitch, roll = (fade.move(frames) for fade in self._centre)
            direction = Direction(
                **{name: fade.move(frames) for name, fade in self._sizes.items()},
                rest=self._rest.move(frames),
                overlays=overlays,
                centre=(yaw, pitch, roll),
            )
        return directed(motion, direction)

    def sound(self, sound: Sound) -> Sound:
        """What is heard of the next sound; the same object unless muted."""
        if not self._muted:
            return sound
        stems = None if sound.stems is None else np.zeros_like(sound.stems)
        return Sound(np.zeros_like(sound.samples), sound.start, stems)


def _fade(fade: _Fade, target: float, seconds: float) -> None:
    frames = max(1.0, _within(seconds, LONGEST_S, "seconds") * FRAME_RATE)
    fade.target, fade.step = target, max(abs(target - fade.value) / frames, 1e-9)


def _within(value: float, most: float, name: str) -> float:
    if not 0 <= value <= most:  # NaN too
        raise BadRequest(f"{name}: expected 0 to {most:g}, got {value:g}")
    return value
