"""Pictures made to fit what shows them: alpha laid over a background, sizes letterboxed."""

from __future__ import annotations

import numpy as np

from engine.signals import U8


def flatten(rgba: U8, background: U8) -> U8:
    """Lay straight-alpha `rgba` [H, W, 4] over `background` ([3] or [H, W, 3]): [H, W, 3].

    An opaque picture comes back as a view of itself.
    """
    alpha = rgba[..., 3:]
    if int(alpha.min()) == 255:
        return rgba[..., :3]
    weight = alpha.astype(np.uint16)
    # at most 255 · 255 + 127, which uint16 holds
    mixed = rgba[..., :3] * weight + background * (255 - weight)
    return ((mixed + np.uint16(127)) // np.uint16(255)).astype(np.uint8)


def checkerboard(height: int, width: int, square: int = 16) -> U8:
    """[H, W, 3]: two light greys, what image programs show behind transparency."""
    rows, columns = np.arange(height)[:, None] // square, np.arange(width)[None] // square
    grey = np.where((rows + columns) % 2, 204, 153).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def letterbox_place(
    height: int, width: int, to_height: int, to_width: int
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a picture centred in a larger or smaller frame, undistorted."""
    scale = min(to_height / height, to_width / width)
    fitted = max(1, round(height * scale)), max(1, round(width * scale))
    return (to_height - fitted[0]) // 2, (to_width - fitted[1]) // 2, *fitted
