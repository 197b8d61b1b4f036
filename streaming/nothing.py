"""The sink that keeps nothing: the whole line runs, so that it can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.signals import Motion, Picture, Sound

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat


class Nothing:
    """Wants pictures and sound like any other sink, and forgets them."""

    wants_picture = True
    wants_sound = True

    def __init__(self, _: str, fmt: SinkFormat) -> None:
        self.format = fmt

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Forget the frame."""

    def close(self) -> None:
        """Nothing is open."""
