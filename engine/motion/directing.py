"""What a stage director may add to a motion: expressions laid over it, how large it plays, rest.

Everything here is a pure function of the motion and of numbers; who fades them is `streaming`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from engine.motion.blendshapes import ARKIT, INDEX
from engine.motion.resting import rested
from engine.signals import F32, Motion

MOST = 2.0  # of an intensity

# What is shown at weight 1, and what gives way to it.
OVERLAYS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 0.75, "cheekSquint": 0.5, "eyeSquint": 0.2},
    "grin": {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.4, "mouthUpperUp": 0.25,
             "mouthLowerDown": 0.2},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.6, "eyeSquint": 0.15},
    "angry": {"browDown": 0.9, "noseSneer": 0.4, "eyeSquint": 0.35, "mouthFrown": 0.3},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.8},
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.4},
    "wink_right": {"eyeBlinkRight": 1.0, "cheekSquintRight": 0.6, "mouthSmileRight": 0.4},
    "closed_eyes": {"eyeBlink": 1.0},
    "pout": {"mouthPucker": 0.7, "browInnerUp": 0.3, "mouthShrugLower": 0.3},
    "tongue": {"tongueOut": 1.0, "jawOpen": 0.25},
}  # fmt: skip
_AGAINST = {"mouthSmile": "mouthFrown", "mouthFrown": "mouthSmile", "browDown": "browOuterUp",
            "eyeWide": "eyeBlink"}  # fmt: skip
_MOUTH = [INDEX[name] for name in ARKIT if name.startswith(("jaw", "mouth", "tongue", "cheekPuff"))]
_LOOKS = [INDEX[name] for name in ARKIT if name.startswith("eyeLook")]


def _both(shapes: Mapping[str, float]) -> F32:
    """[52] from names, where a name without its side stands for both."""
    made = np.zeros(len(ARKIT), np.float32)
    for name, value in shapes.items():
        for full in (name,) if name in INDEX else (f"{name}Left", f"{name}Right"):
            made[INDEX[full]] = value
    return made


_LAID = {name: _both(shapes) for name, shapes in OVERLAYS.items()}
_GIVES_WAY = {
    name: _both({_AGAINST[shape]: 1.0 for shape in shapes if shape in _AGAINST})
    for name, shapes in OVERLAYS.items()
}


@dataclass(frozen=True)
class Direction:
    """mouth, head, eyes: how large each plays, 0 … 2, 1 as heard. rest: 0 … 1, how far the face is
    at rest. overlays: name → weight in [0, 1]. centre: yaw, pitch, roll in radians that are taken
    for straight ahead."""

    mouth: float = 1.0
    head: float = 1.0
    eyes: float = 1.0
    rest: float = 0.0
    overlays: Mapping[str, float] = field(default_factory=dict)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def plain(self) -> bool:
        """Whether it leaves every motion as it is."""
        sizes = (self.mouth, self.head, self.eyes)
        return (
            sizes == (1, 1, 1)
            and not (self.rest or any(self.centre))
            and not any(self.overlays.values())
        )


def directed(motion: Motion, direction: Direction) -> Motion:
    """The motion as directed; the same object where there is nothing to do."""
    if direction.plain:
        return motion
    shapes = motion.blendshapes.copy()
    shapes[_MOUTH] *= np.float32(direction.mouth)
    shapes[_LOOKS] *= np.float32(direction.eyes)
    head = motion.head.copy()
    head[:3] -= np.array(direction.centre, np.float32)
    head *= np.float32(direction.head)
    played = replace(
        motion,
        blendshapes=shapes,
        head=head,
        gaze=motion.gaze * np.float32(direction.eyes),
        hair=motion.hair * np.float32(direction.head),
        body=motion.body * np.float32(direction.head),
    )
    played = rested(played, direction.rest)
    laid = played.blendshapes
    for name, weight in direction.overlays.items():
        kept = laid * (1 - np.float32(weight) * _GIVES_WAY[name])
        laid = np.maximum(kept, np.float32(weight) * _LAID[name])
    return replace(played, blendshapes=np.clip(laid, 0, 1).astype(np.float32))
