"""The puppet: a vector character on a turning solid. No assets, no memory.

Skia draws it, but for the locks of hair, whose colours change from row to row only: those are most
of what is painted, and a kernel of ours fills them in half the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.avatar import RendererConfig
from engine.rendering.identity import Identity
from engine.rendering.puppet.body import BodyArt
from engine.rendering.puppet.expression import express
from engine.rendering.puppet.face import FaceArt
from engine.rendering.puppet.hair import HairArt, cast
from engine.rendering.puppet.headset import HeadsetArt
from engine.rendering.puppet.rig import body_pose, head_pose, soft_hold
from engine.rendering.puppet.stage import Stage
from engine.signals import Motion, Picture

SWING_LIMIT = 0.8  # radians


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers as they are, anything else as rest: one bad frame must not break the show."""
    numbers = np.asarray(values, np.float64)
    return numbers if np.isfinite(numbers).all() else np.nan_to_num(numbers, posinf=0.0, neginf=0.0)


class Puppet:
    """Draws motions as a 2-D character.

    identity: one whose renderers include `puppet`. config: size, framing, background, mirror.
    Raises ValueError for an identity without a puppet and for a bad config. One Puppet serves one
    thread; its pictures do not depend on what was drawn before.
    """

    def __init__(self, identity: Identity, config: RendererConfig) -> None:
        if "puppet" not in identity.renderers:
            raise ValueError(
                f"identity {identity.name!r} has no puppet; its renderers are "
                f"{', '.join(identity.renderers)}"
            )
        self.identity, self.config = identity, config
        self.stage = Stage(config, identity.palette)
        self.hair = HairArt(identity.palette, identity.puppet.hair)
        self.face = FaceArt(identity.palette, identity.puppet)
        self.body = BodyArt(identity.palette, identity.puppet)
        self.headset = HeadsetArt(identity.palette)

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion: [H, W, 4] uint8 RGBA, straight alpha. Pure."""
        canvas = self.stage.open()
        self._paint(canvas, motion)
        return Picture(motion.frame, self.stage.close())

    def _paint(self, canvas: Any, motion: Motion) -> None:
        """Back to front. One order holds for every turn of the head."""
        turn, breath = finite(motion.head), finite(motion.breath)
        pose, body = head_pose(turn), body_pose(turn, finite(motion.body), float(breath))
        sideways, forwards = finite(motion.hair).tolist()
        swing = soft_hold(sideways, SWING_LIMIT), soft_hold(forwards, SWING_LIMIT)
        expression = express(motion)
        hair, face, torso, headset = self.hair, self.face, self.body, self.headset
        stage, laid = self.stage, hair.lay(pose, body, swing)
        ramps = hair.ramps_at(stage.heights, pose)
        outline, neck = face.outline(pose, expression), torso.neck(pose, body)

        hair.layer(stage, "back", laid["back"], ramps)
        hair.cap(canvas, pose)
        hair.layer(stage, "sides", laid["sides"], ramps)
        torso.torso(canvas, body)
        torso.paint_neck(canvas, neck)
        face.throat(canvas, pose, outline, neck)
        torso.collarbones(canvas, body)
        torso.choker(canvas, pose, body, neck)
        torso.clothes(canvas, body)
        face.skin(canvas, pose, outline, cast([laid["fringe"], laid["front"]]), expression)
        face.nose(canvas, pose, expression)
        face.lips(canvas, pose, expression)
        face.both_eyes(canvas, pose, expression)
        hair.layer(stage, "front", laid["front"], ramps)
        hair.scalp(canvas, pose)
        hair.ahoge(canvas, pose, swing)
        hair.layer(stage, "fringe", laid["fringe"], ramps)
        hair.gloss(canvas, pose, body, swing)
        headset.headband(canvas, pose, hair.skull(pose))
        headset.cups(canvas, pose, outline)
        headset.microphone(canvas, pose, expression.chin[1], outline)
        face.both_brows(canvas, pose, expression)
