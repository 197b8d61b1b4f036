"""Motion to a page that draws the avatar itself (a user's VRM): one message a frame.

    {"frame": 71, "presets": [18], "shapes": [52], "gaze": [left, up],
     "chest": [x, y, z, w], "neck": […], "head": […]}

presets: VRM 1's, shapes: ARKit's, both in [0, 1] and in the order of NAMES, which `/config` tells
the page; gaze in radians; turns in the axes of `signals.Motion`. They go over a data
channel of WebRTC that repeats nothing: a lost message is a lost frame and delays no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from aiortc import RTCDataChannel

from engine.motion import vrm
from engine.motion.blendshapes import ARKIT
from engine.signals import Motion

LABEL = "motion"  # of the data channel
NAMES = {"presets": vrm.VRM1, "shapes": ARKIT}
MOST_WAITING = 4096  # bytes, about five frames


def motion_message(motion: Motion) -> str:
    """At most 900 bytes, so that it travels in one packet."""
    chest, neck, head = vrm.torso(motion)
    values: dict[str, Iterable[float]] = {
        "presets": vrm.vrm1(motion), "shapes": motion.blendshapes, "gaze": motion.gaze,
        "chest": chest, "neck": neck, "head": head,
    }  # fmt: skip
    rounded = {name: [_short(value) for value in row] for name, row in values.items()}
    return json.dumps({"frame": motion.frame, **rounded}, separators=(",", ":"))


def _short(value: float) -> float:
    """Rounded to a ten-thousandth: half a pixel of a face is coarser."""
    return round(float(value), 4) or 0.0


class MotionLane:
    """Messages for a page; what it does not take is lost. lost: how many were, of a channel's.

    Event loop only.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._channel: RTCDataChannel | None = None

    def open(self, channel: RTCDataChannel) -> None:
        """The page's channel, which gets everything from now on."""
        self._channel = channel

    def offer(self, message: str) -> None:
        """Send a frame, unless MOST_WAITING wait for the page already."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount + len(message) > MOST_WAITING:
            self.lost += 1
            return
        channel.send(message)

    def stop(self) -> None:
        self._channel = None
