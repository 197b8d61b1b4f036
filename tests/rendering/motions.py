"""Motions that renderers are tested with."""

from __future__ import annotations

import numpy as np

from engine.motion.blendshapes import INDEX
from engine.signals import Motion


def motion(
    head: tuple[float, ...] = (), gaze: tuple[float, float] = (0, 0), **values: float
) -> Motion:
    """A still motion: head in radians and metres, gaze in radians, shapes by name."""
    shapes = np.zeros(52, np.float32)
    for name, value in values.items():
        shapes[INDEX[name]] = value
    turn = np.zeros(6, np.float32)
    turn[: len(head)] = head
    return Motion(7, shapes, turn, gaze=np.array(gaze, np.float32))


def busy() -> Motion:
    """A motion in which everything moves."""
    rng = np.random.default_rng(3)
    return Motion(
        frame=41,
        blendshapes=(0.6 * rng.random(52)).astype(np.float32),
        head=np.array([0.3, -0.1, 0.15, 0.02, -0.01, 0.03], np.float32),
        gaze=np.array([0.2, -0.1], np.float32),
        voice=0.7,
        hair=np.array([0.1, -0.2], np.float32),
        body=np.array([0.1, 0.02, 0.05], np.float32),
        breath=0.8,
    )
