"""Lamps, surfaces and film of the studio in which heads are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.lighting import Lamps
from kernels.raster import SAMPLES

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def _towards(*vector: float) -> F32:
    v = np.array(vector, np.float32)
    return v / np.float32(np.linalg.norm(v))


# Key from the viewer's upper left, soft fill opposite, a warm and a cool rim from behind. Linear.
DIRECTIONS = np.stack(
    [
        _towards(-0.55, 0.62, 0.95),
        _towards(0.85, 0.12, 0.75),
        _towards(0.85, 0.35, -0.62),
        _towards(-0.90, 0.22, -0.55),
    ]
)
COLOURS = np.array(
    [[1.72, 1.60, 1.46], [0.30, 0.33, 0.42], [1.30, 0.72, 0.86], [0.50, 0.72, 1.30]], np.float32
)
AMBIENT = np.array([[0.30, 0.32, 0.38], [0.12, 0.10, 0.10], [0.13, 0.12, 0.12]], np.float32)
LAMPS = Lamps(DIRECTIONS, COLOURS, AMBIENT)

#             wrap r, g, b      rough   F0     sheen
SURFACES = {
    "skin": (0.42, 0.20, 0.12, 0.46, 0.035, 0.10, 0.0, 0.0),
    "eye": (0.25, 0.22, 0.20, 0.27, 0.100, 0.00, 1.0, 0.0),
    "teeth": (0.30, 0.28, 0.26, 0.26, 0.045, 0.00, 0.0, 0.0),
    "tongue": (0.40, 0.20, 0.15, 0.38, 0.040, 0.00, 0.0, 0.0),
    "garment": (0.12, 0.12, 0.12, 0.70, 0.030, 0.20, 0.0, 0.0),
    "strands": (0.60, 0.60, 0.60, 0.50, 0.040, 0.00, 0.0, 0.0),
    "device": (0.02, 0.02, 0.02, 0.34, 0.050, 0.00, 0.0, 0.0),
}


def surface(part: str) -> F32:
    """[8] of the surface that a part of the rig has, by the first word of its name."""
    return np.array(SURFACES[part.split("_")[0]], np.float32)


def film(steps: int = 2047, exposure: float = 1.0) -> U8:
    """[steps + 1] display values from the square root of linear light, the last for 4.0.

    A filmic shoulder (Hable 2010's shape, own constants by Narkowicz 2015) under the sRGB curve.
    """
    light = (np.linspace(0.0, 2.0, steps + 1) ** 2) * exposure
    x = light * 0.62
    shaped = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    shaped = np.clip(shaped, 0.0, 1.0)
    encoded = np.where(
        shaped <= 0.0031308, 12.92 * shaped, 1.055 * np.maximum(shaped, 1e-9) ** (1 / 2.4) - 0.055
    )
    return np.clip(np.rint(255.0 * encoded), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class LightCamera:
    """Straight-on picture of the head as the key light sees it: [size, size] samples over `reach`
    metres either side of `centre`."""

    size: int = 240
    reach: float = 0.24
    centre: tuple[float, float, float] = (0.0, -0.04, 0.03)

    def axes(self) -> F32:
        """[3, 3]: right, down, towards the light."""
        forward = DIRECTIONS[0].astype(np.float64)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        return np.stack([right, -np.cross(forward, right), forward]).astype(np.float32)

    def frame(self) -> F32:
        """[3, 4] from the world to column, row as `kernels.raster` counts them and nearness (metres
        towards the light, plus 1)."""
        half = 0.5 * self.size
        middle = np.array([half, half / SAMPLES, 1.0])
        axes = self.axes().astype(np.float64) * (middle / [self.reach, self.reach, 1.0])[:, None]
        place = middle - axes @ np.array(self.centre)
        return np.column_stack([axes, place]).astype(np.float32)
