"""How open a mouth is, read from pixels alone: a picture's likeness to the open mouth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.avatar import AvatarConfig, open_renderer
from engine.motion.blendshapes import JAW_OPEN
from engine.motion.resting import neutral
from engine.signals import F32, U8

WIDE = 0.7  # jawOpen of the open mouth
SIZE = 24  # pixels, each way, that a mouth is looked at with
CHANGED = 24  # of 255: pixels that change more belong to the mouth


class Mouth:
    """Where an avatar's mouth is while its head is at rest, and what opening it does to pixels.

    box: left, top, width, height in pixels. weights: [SIZE, SIZE] of the box's grey pixels, whose
    sum grows with the opening; a browser can use them as well.
    """

    def __init__(self, config: AvatarConfig) -> None:
        renderer = open_renderer(config)
        rest = neutral(0)
        shapes = rest.blendshapes.copy()
        shapes[JAW_OPEN] = WIDE
        shut = grey(renderer.draw(rest).rgba)
        wide = grey(renderer.draw(replace(rest, blendshapes=shapes)).rgba)
        rows, columns = np.nonzero(np.abs(wide - shut) > CHANGED)
        top, left = int(rows.min()), int(columns.min())
        self.box = (left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)
        self.weights: F32 = self._small(wide) - self._small(shut)

    def opening(self, picture: U8) -> float:
        """[H, W, 3 or 4] → how open, in the weights' own unit."""
        return float((self._small(grey(picture)) * self.weights).sum())

    def _small(self, picture: F32) -> F32:
        import cv2

        left, top, width, height = self.box
        part = np.ascontiguousarray(picture[top : top + height, left : left + width])
        return np.asarray(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.float32)


def grey(picture: U8) -> F32:
    """[H, W, 3 or 4] → [H, W] luminance, 0 … 255."""
    return (picture[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)
