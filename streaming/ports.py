"""What a source and a sink are. One file each implements them; `schemes.py` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from engine.signals import Motion, Picture, Sound

if TYPE_CHECKING:
    from streaming.clock import Pacer
    from streaming.handover import DelayLine


class UserError(Exception):
    """Something the user can mend. The message says what was expected, what came and what to do.

    The command line prints it as one line and exits with 2.
    """


@runtime_checkable
class Source(Protocol):
    """Where sound comes from, at 48 kHz on one timeline that starts at sample 0.

    realtime: the world sets the pace (a microphone); otherwise `read` answers as fast as it can.
    length: samples in all, or None when not known.
    """

    realtime: bool
    length: int | None

    def read(self) -> Sound | None:
        """The next stretch (0 < n ≤ 4,800 samples), or None at the end.

        A real-time source blocks for at most 0.1 s; with nothing to give it returns an empty Sound.
        Raises UserError for sound that cannot be used (NaN, infinite samples, undecodable).
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class MotionSource(Protocol):
    """Where ready motion comes from (a motion file), frames in order from 0."""

    length: int | None  # frames

    def read(self) -> Motion | None: ...

    def close(self) -> None: ...


@runtime_checkable
class Sink(Protocol):
    """Where frames go: called once per frame n = 0, 1, 2 … with all that belongs to it.

    wants_picture, wants_sound: what it uses; the line makes nothing that nobody wants.
    """

    wants_picture: bool
    wants_sound: bool

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Take frame `motion.frame`. `sound` is its 1,600 samples of full-band sound.

        In a live show a skipped frame arrives with the picture shown before it (held).
        Raises UserError when the sink cannot go on.
        """
        ...

    def close(self) -> None:
        """Finish: what was written stays playable. Safe to call twice."""
        ...


@runtime_checkable
class Switchable(Protocol):
    """A sink that can be switched off and on while the show goes on (a camera)."""

    def switch(self, on: bool) -> None:
        """From any thread."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A sink with a clock of its own (a sound device), which takes its sound from the line itself
    rather than frame by frame."""

    def follow(self, sound: DelayLine | None, pacer: Pacer) -> None:
        """A live show begins. `sound`: what arrives, by sample index; None if there is none."""
        ...
