"""Renderers for a drawing process to open: their functions are imported by name, in the child."""

from __future__ import annotations

import os
import signal
import sys
import threading

from engine.avatar import AvatarConfig
from engine.signals import Motion
from tests.fakes import FakeAvatar

# Frames at which a fickle one misbehaves.
DIVIDES, LOCAL, KILLED, EXITS, HANGS = range(101, 106)


def open_steady(config: AvatarConfig) -> FakeAvatar:
    return FakeAvatar(size=config.renderer.width)


def open_fickle(config: AvatarConfig) -> FakeAvatar:
    return FakeAvatar(size=config.renderer.width, on_draw=_misbehave)


def open_never(config: AvatarConfig) -> FakeAvatar:
    raise ValueError("no ink for " + config.avatar)


def _misbehave(motion: Motion) -> None:
    class Local(Exception):
        pass

    if motion.frame == DIVIDES:
        raise ZeroDivisionError("no more ink")
    if motion.frame == LOCAL:
        raise Local("a blot")
    if motion.frame == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if motion.frame == EXITS:
        sys.exit(3)
    if motion.frame == HANGS:
        threading.Event().wait()
