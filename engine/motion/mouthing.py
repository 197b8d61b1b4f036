"""Gestures of a mouth as shapes of a face, in six manners of singing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import ARKIT, INDEX
from engine.motion.visemes import Articulation

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Style:
    """A manner of singing, every number a scale about 1 but smile (a base), closing and gaze.

    mouth: opening; lips: shaping; brows: their play; vigour: head speed; smile: shape value at
    rest; closing: about the share of held notes that close the eyes; away: share of glances off
    the audience; tension: squint and frown on climaxes; lean: what one side of the face does
    more, -1 … 1.
    """

    name: str
    mouth: float
    lips: float
    brows: float
    vigour: float
    smile: float
    closing: float
    away: float
    tension: float
    lean: float


STYLES: tuple[Style, ...] = (
    Style("shy", 0.80, 0.90, 0.70, 0.60, 0.05, 0.50, 0.55, 0.6, 0.2),
    Style("warm", 0.95, 1.00, 1.00, 0.85, 0.16, 0.45, 0.25, 0.7, -0.3),
    Style("pop", 1.00, 1.05, 1.05, 1.10, 0.12, 0.40, 0.30, 0.9, 0.3),
    Style("rock", 1.15, 1.00, 0.90, 1.35, 0.00, 0.45, 0.40, 1.6, -0.6),
    Style("dreamy", 0.88, 0.95, 1.15, 0.75, 0.07, 0.80, 0.50, 0.6, 0.1),
    Style("theatrical", 1.12, 1.15, 1.45, 1.25, 0.09, 0.60, 0.45, 1.2, 0.5),
)


class Face:
    """Shapes by name while they are added up: [T, 52]."""

    def __init__(self, frames: int, lean: float) -> None:
        self.shapes = np.zeros((frames, len(ARKIT)))
        self.lean = 0.08 * lean

    def add(self, name: str, amount: F64 | float) -> None:
        """Add to a shape, or to both sides of a `Left`/`Right` pair, leaning to one side."""
        if name in INDEX:
            self.shapes[:, INDEX[name]] += amount
            return
        self.shapes[:, INDEX[name + "Left"]] += amount * (1 + self.lean)
        self.shapes[:, INDEX[name + "Right"]] += amount * (1 - self.lean)


def knee(x: F64, bend: float = 0.65, top: float = 0.92) -> F64:
    """The identity up to `bend`, then bent so as never to pass `top`."""
    over = np.maximum(x - bend, 0) / (top - bend)
    return np.minimum(x, bend) + (top - bend) * np.tanh(over)


def act_mouth(
    face: Face, said: Articulation, gain: F64, audible: F64, style: Style, speech: bool
) -> None:
    """Gestures of the mouth → jaw*, mouth*, tongueOut; lips let go of what is no longer heard."""
    lips = style.lips * (0.8 if speech else 1.0) * audible
    apart = 1 - said.touch
    free = apart * (1 - 0.85 * said.bite)
    voiced_jaw = knee(gain * said.jaw)
    wide = voiced_jaw * (1 - 0.7 * said.pucker)
    jaw = free * (voiced_jaw + said.breath * (0.7 + 0.3 * style.mouth)) + 0.04 * said.touch
    jaw += 0.07 * said.bite * apart
    round_kept = 1 - 0.55 * said.touch
    face.add("jawOpen", jaw)
    face.add("mouthClose", 0.04 * said.touch)
    face.add("mouthPress", 0.62 * said.touch)
    face.add("mouthRollLower", 0.26 * said.touch + 0.55 * said.bite * apart)
    face.add("mouthRollUpper", 0.26 * said.touch)
    face.add("mouthPucker", lips * said.pucker * round_kept * (1 - 0.3 * voiced_jaw))
    face.add("mouthFunnel", lips * said.funnel * free)
    face.add("jawForward", 0.12 * said.funnel * free)
    face.add("mouthStretch", lips * (0.60 * said.spread + 0.12 * wide) * free)
    face.add("mouthDimple", lips * 0.28 * said.spread * apart)
    face.add("mouthSmile", lips * 0.30 * said.spread * apart)
    face.add("mouthLowerDown", (0.34 * said.teeth + 0.36 * wide * style.mouth) * free)
    upper = (0.22 * said.teeth + 0.24 * wide * style.mouth) * free + 0.26 * said.bite * apart
    face.add("mouthUpperUp", upper)
    face.add("mouthShrugLower", 0.15 * said.pucker * round_kept)
    face.add("tongueOut", said.tongue * free)
