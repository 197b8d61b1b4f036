"""Motion as the iPhone program iFacialMocap sends it: one line of text per frame, over UDP 49983.

    mouthSmile_R-0|eyeLookOut_L-12|…|=head#x,y,z,px,py,pz|rightEye#x,y,z|leftEye#x,y,z|

Shapes are whole per cents; angles degrees: x > 0 down, y > 0 to the singer's left, z > 0 to the
singer's right; places metres. The format is at ifacialmocap.com/for-developer. Receivers that ask
first (they send a greeting to a phone) need not: what comes to their port is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.motion.blendshapes import ARKIT
from engine.signals import Motion, Picture, Sound
from streaming.peers import Address, Datagrams, read_address

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

PORT = 49983


def _named(shape: str) -> str:
    """eyeBlinkLeft → eyeBlink_L; jawLeft and mouthLeft are directions, not sides."""
    for side in ("Left", "Right"):
        stem = shape.removesuffix(side)
        if stem != shape and stem not in ("jaw", "mouth"):
            return f"{stem}_{side[0]}"
    return shape


NAMES = tuple(_named(shape) for shape in ARKIT)


def line(motion: Motion) -> str:
    """One frame."""
    shapes = "".join(
        f"{name}-{round(100 * float(value))}|"
        for name, value in zip(NAMES, motion.blendshapes, strict=True)
    )
    yaw, pitch, roll = (math.degrees(float(angle)) for angle in motion.head[:3])
    head = _numbers(-pitch, yaw, roll, *(float(x) for x in motion.head[3:]))
    left, up = (math.degrees(float(angle)) for angle in motion.gaze)
    eye = _numbers(-up, left, 0.0)
    return f"{shapes}=head#{head}|rightEye#{eye}|leftEye#{eye}|"


def _numbers(*values: float) -> str:
    return ",".join(f"{value + 0.0:.6f}" for value in values)


def read_options(argument: str) -> Address:
    """What follows `ifm://`. Raises UserError."""
    return read_address("ifm", argument, PORT, ())


class IFacialMocap:
    """A sink that sends each frame's motion at once."""

    wants_picture = False
    wants_sound = False

    def __init__(
        self, argument: str, fmt: SinkFormat, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.peer = Datagrams(read_options(argument), "iFacialMocap receiver", now=now)

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self.peer.send([line(motion).encode()])

    def close(self) -> None:
        self.peer.close()


def check_ifacialmocap(argument: str, fmt: SinkFormat | None) -> None:
    """Raise UserError for an address that cannot be used."""
    read_options(argument)
