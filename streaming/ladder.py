"""The overload ladder: which pictures are drawn, and how big, when drawing cannot keep up.

Skipping single pictures is how the line always answers; the steps here are what follows when that
goes on: half the pictures, then smaller ones. Sound is never touched and delay never grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from engine.signals import Picture
from engine.timeline import FRAME_RATE

log = logging.getLogger("cantar")

WINDOW = FRAME_RATE // 2  # frames judged together
IN_A_ROW = 4  # windows that must be bad: fewer pictures are no answer to a stall that is over
TOO_MANY = 1 / 3  # share of the drawn-for frames skipped; of fewer, skipping shows more than half
CALM = 5 * FRAME_RATE  # frames without a skip before a step back up is tried …
IMPATIENCE = 2  # … and how much longer each time after one that failed, …
LONGEST = 120 * FRAME_RATE  # … up to this; one that lasted longer than that was no failure
STEPS = (
    "drawing cannot keep up: 15 pictures a second instead of 30",
    "drawing still cannot keep up: pictures at half the size, enlarged",
)


class Ladder:
    """Counts skipped frames and steps down or up. `level` 0: everything; 1: 15 fps; 2: also small.

    steps: how often it stepped down. told: what was logged, each step once a show.
    """

    def __init__(self, levels: int = len(STEPS), say: Callable[[str], None] = log.warning) -> None:
        self.level = 0
        self.steps = 0
        self.told: list[str] = []
        self._levels = levels
        self._say = say
        self._seen = self._skipped = self._bad = self._calm = self._since = 0
        self._patience = CALM

    @property
    def stride(self) -> int:
        """Every which frame is drawn."""
        return 1 if self.level == 0 else 2

    def wants(self, frame: int) -> bool:
        """Whether this frame is to be drawn."""
        return frame % self.stride == 0

    def observe(self, frame: int, skipped: bool) -> None:
        """A frame left, with its own picture or `skipped`."""
        if not self.wants(frame):
            return
        self._seen += 1
        self._skipped += skipped
        self._calm = 0 if skipped else self._calm + self.stride
        self._since += self.stride
        if self._seen >= WINDOW:
            self._bad = self._bad + 1 if self._skipped > TOO_MANY * self._seen else 0
            if self._bad == IN_A_ROW:
                self._down()
                self._bad = 0
            self._seen = self._skipped = 0
        if self.level and self._calm >= self._patience:
            self._up()

    def _down(self) -> None:
        if self.level == self._levels:
            return
        step = STEPS[self.level]
        if self._since > self._patience:
            self._patience = CALM
        self.level += 1
        self.steps += 1
        self._calm = self._since = 0
        if step not in self.told:
            self.told.append(step)
            self._say(step)

    def _up(self) -> None:
        self.level -= 1
        self._calm = self._since = self._seen = self._skipped = self._bad = 0
        self._patience = min(LONGEST, IMPATIENCE * self._patience)


def enlarged(picture: Picture, width: int, height: int) -> Picture:
    """A picture brought to [height, width, 4] by repeating pixels (nearest neighbour)."""
    h, w = picture.rgba.shape[:2]
    if (h, w) == (height, width):
        return picture
    rows = np.arange(height) * h // height
    columns = np.arange(width) * w // width
    return Picture(picture.frame, np.ascontiguousarray(picture.rgba[rows][:, columns]))
