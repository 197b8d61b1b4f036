"""How the avatar rests while no sound comes: the last motion, eased to neutral."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.signals import Motion
from engine.timeline import FRAME_RATE

HOLD = FRAME_RATE // 2  # frames (0.5 s) that the last motion is held
FADE = FRAME_RATE // 2  # frames (0.5 s) from there to neutral, and back when sound returns


def neutral(frame: int) -> Motion:
    """The resting face, looking straight ahead."""
    return Motion(frame, np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32))


def rest_weight(silent: int) -> float:
    """How far a face is at rest, 0 … 1, after so many frames without sound."""
    return min(1.0, max(0.0, (silent - HOLD) / FADE))


def rested(motion: Motion, weight: float) -> Motion:
    """A motion eased to neutral: `weight` 0 leaves it (the same object), 1 is neutral.

    Eased by the smoothstep 3w² - 2w³, so that the face starts and stops gently.
    """
    if weight <= 0:
        return motion
    keep = np.float32(1 - weight * weight * (3 - 2 * weight))
    return replace(
        motion,
        blendshapes=motion.blendshapes * keep,
        head=motion.head * keep,
        gaze=motion.gaze * keep,
        voice=float(motion.voice * keep),
        hair=motion.hair * keep,
        body=motion.body * keep,
    )
