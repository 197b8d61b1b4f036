"""Known words on the lips: the mouth of sounds whose times are known, laid over what is heard.

Hearing alone learns of a consonant when it sounds, and through other instruments often never; who
knows the words closes the lips in time. How far the mouth opens is still the sound's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.motion.mouthing import STYLES, Face, act_mouth
from engine.motion.visemes import Articulation, Phone, articulate
from engine.signals import Motion
from engine.timeline import FRAME_RATE

TRUST = 0.7  # share of the known mouth where a sound is known; the rest is heard
LEAST = 0.01  # of a known mouth: less is none
OPENING = 0.95  # of the jaw, when somebody surely sings
SURE = 2 / 3  # of Motion.voice: from there on lips take the whole shape
MOUTH = [n for n, name in enumerate(ARKIT) if name.startswith(("jaw", "mouth", "tongue"))]


class KnownWords:
    """Sung sounds with their times in the show: `motion → motion`, pure.

    Where no sound is known, the motion comes back as it was: what is sung there is heard.
    """

    def __init__(self, phones: Sequence[Phone]) -> None:
        """phones: in any order; they may overlap where words do."""
        end = max((phone.end for phone in phones), default=0.0)
        frames = int(np.ceil((end + 1.0) * FRAME_RATE))
        times = (np.arange(frames) + 0.5) / FRAME_RATE
        self._said = articulate(tuple(phones), end, times)

    def __call__(self, motion: Motion, style: int) -> Motion:
        """With the mouth of what is known to be sung now, in this style (mouthing.STYLES)."""
        if not 0 <= motion.frame < len(self._said.voiced):
            return motion
        share = TRUST * float(self._said.voiced[motion.frame])
        if share < LEAST:
            return motion
        manner = STYLES[min(style, len(STYLES) - 1)]
        said = self._at(motion.frame)
        face = Face(1, manner.lean)
        gain = np.array([OPENING * motion.voice])
        act_mouth(face, said, gain, np.array([min(1.0, motion.voice / SURE)]), manner, speech=False)
        known = face.shapes[0].clip(0, 1).astype(np.float32)
        shapes = motion.blendshapes.copy()
        shapes[MOUTH] += np.float32(share) * (known[MOUTH] - shapes[MOUTH])
        return replace(motion, blendshapes=shapes)

    def _at(self, frame: int) -> Articulation:
        now = slice(frame, frame + 1)
        return Articulation(
            **{field.name: getattr(self._said, field.name)[now] for field in fields(Articulation)}
        )
