"""Who sings in the shows for browsers, and where they wait between shows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.avatar import Avatar, AvatarConfig, Unseen
from engine.signals import Motion, Picture, Sound
from streaming.drawing import Drawing, DrawingProcess
from streaming.line import ShowConfig
from streaming.live import Warmth, warm_up
from streaming.wish import UNDRAWN

WARM_UPS = 3
KEEP = 1  # casts that wait, loaded, for the next show
SILENT, LOUD = -36.0, 4.0  # first cepstral coefficient where a meter begins and ends


class Undrawn(Unseen):
    """In the place of the process that draws, where a page draws for itself."""

    alive = True
    cpu_s = 0.0
    draw_small = Unseen.draw

    def ready(self) -> None:
        pass

    def close(self) -> None:
        pass


class Cast(NamedTuple):
    """An avatar, loaded and warm, with the process that draws it. Used by one show at a time."""

    config: ShowConfig
    avatar: Avatar
    drawing: Drawing | Undrawn
    warmth: Warmth


def prepare(config: ShowConfig, draws: Callable[[AvatarConfig], Drawing] = DrawingProcess) -> Cast:
    """Load and warm up; about a second. Raises what the avatar raises. draws: gives who draws."""
    drawn = config.renderer.name != UNDRAWN
    drawing = draws(config) if drawn else Undrawn()
    try:
        avatar = Avatar(config, drawing)
        drawing.ready()
        return Cast(config, avatar, drawing, _least_warmth(avatar, pictures=drawn))
    except BaseException:
        drawing.close()
        raise


def _least_warmth(avatar: Avatar, *, pictures: bool) -> Warmth:
    """Of a few runs the quickest times: what else runs while loading is not what a frame takes."""
    runs = [warm_up(avatar, channels=2, pictures=pictures) for _ in range(WARM_UPS)]
    return Warmth(min(r.hear_s for r in runs), min(r.draw_s for r in runs), runs[-1].first)


class Wings:
    """Where casts wait between shows: at most KEEP of them. Thread-safe."""

    def __init__(self, prepare: Callable[[ShowConfig], Cast] = prepare) -> None:
        self._prepare = prepare
        self._waiting: list[Cast] = []
        self._lock = threading.Lock()
        self._closed = False

    def take(self, config: ShowConfig) -> Cast:
        """A cast of this configuration: one that waits, or a new one."""
        while (cast := self._waiting_for(config)) is not None:
            if cast.drawing.alive:
                return cast
            self.dismiss(cast)  # its process died, in its last show or since
        return self._prepare(config)

    def _waiting_for(self, config: ShowConfig) -> Cast | None:
        with self._lock:
            for index, cast in enumerate(self._waiting):
                if cast.config == config:
                    return self._waiting.pop(index)
        return None

    def put(self, cast: Cast) -> None:
        """A cast is free; the one that waited longest goes home."""
        with self._lock:
            self._waiting.append(cast)
            extra = self._waiting[: -KEEP or None] if not self._closed else self._waiting
            self._waiting = self._waiting[len(extra) :]
        for leaving in extra:
            self.dismiss(leaving)

    @staticmethod
    def dismiss(cast: Cast) -> None:
        """Go home."""
        cast.drawing.close()

    def close(self) -> None:
        """All go home, now and from now on."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for cast in waiting:
            self.dismiss(cast)


class Performer:
    """The singer of a session: a cast that may be changed while it sings.

    voice, backing: 0 … 1, how loud the avatar hears each now, against the loudness of late.
    """

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.voice = 0.0
        self.backing = 0.0
        self._restyled = False
        self._drawing = threading.Lock()
        self._hearing = threading.Lock()

    @property
    def config(self) -> ShowConfig:
        return self.cast.config

    def initial_state(self) -> Any:
        return self.cast.avatar.initial_state()

    def hear(self, sound: Sound, state: Any) -> tuple[list[Motion], Any]:
        """As the avatar hears; the meters follow."""
        with self._hearing:
            motions, state = self.cast.avatar.hear(sound, state)
        if motions:
            loudest = state.windows.past[-4:, :, 0].max(axis=0)  # [2], of a frame's hops
            levels = np.clip((loudest - SILENT) / (LOUD - SILENT), 0, 1)
            self.voice, self.backing = float(levels[0]), float(levels[1])
        return motions, state

    def draw(self, motion: Motion) -> Picture:
        with self._drawing:
            return self.cast.drawing.draw(motion)

    def draw_small(self, motion: Motion) -> Picture:
        with self._drawing:
            return self.cast.drawing.draw_small(motion)

    def wear(self, style: int) -> None:
        """Sing in another style. Raises ValueError for one there is not."""
        self.cast.avatar.face.wear(style)
        self._restyled = True

    def leave(self) -> Cast:
        """Who sang, in the style of its configuration again."""
        if self._restyled:
            self.cast.avatar.face.wear(self.cast.config.style)
            self._restyled = False
        return self.cast

    def change(self, cast: Cast) -> Cast:
        """Somebody else sings on, from the next frame; returns who sang so far."""
        with self._drawing, self._hearing:
            before, self.cast = self.leave(), cast
        return before
