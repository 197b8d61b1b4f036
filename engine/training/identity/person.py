"""Our own face in a person's shape: points, what the 52 shapes do to them, eyeballs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import INDEX, JAW_OPEN
from engine.rendering.portrait.face import LOWER_LID, UPPER_LID
from engine.training.identity.sounding import Measure
from engine.training.identity.warping import Warp

F64 = NDArray[np.float64]

CLOSE = INDEX["mouthClose"]
EYE_SIZE = (0.85, 1.15)  # least and most of an eyeball, our own being 1


class Person(NamedTuple):
    """rest, moved, slides, eyes, gain: as in `Measure`. warp: from our own face's space to this."""

    rest: F64
    moved: F64
    slides: F64
    eyes: F64
    gain: F64
    warp: Warp


def personal(ours: Measure, offset: NDArray) -> Person:
    """The person whose points lie [468, 3] metres off our own face's.

    What a shape reaches is bent as the face is: a lid of ours that meets the other lid meets it
    here too, however far these eyes are open.
    """
    warp = Warp(ours.rest, offset)
    rest = warp(ours.rest)
    reached = warp(ours.rest + ours.moved) - rest
    ajar = ours.rest + ours.moved[JAW_OPEN]
    reached[CLOSE] = warp(ajar + ours.moved[CLOSE]) - warp(ajar)  # it is told from the open jaw
    return Person(rest, reached, ours.slides, _eyeballs(ours, rest), ours.gain, warp)


def _eyeballs(ours: Measure, rest: F64) -> F64:
    """Each where its lids are, as large as the eye is wide."""
    eyes = ours.eyes.copy()
    for row, side in enumerate(("Left", "Right")):
        lids = [*UPPER_LID[side], *LOWER_LID[side][1:-1]]
        eyes[row, :3] += (rest[lids] - ours.rest[lids]).mean(0)
        corners = [UPPER_LID[side][0], UPPER_LID[side][-1]]
        wide, usual = (np.linalg.norm(np.diff(x[corners], axis=0)) for x in (rest, ours.rest))
        eyes[row, 3] *= np.clip(wide / usual, *EYE_SIZE)
    return eyes
