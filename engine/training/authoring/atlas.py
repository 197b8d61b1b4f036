"""Where each part's skin lies in the one texture of an identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

WIDTH, HEIGHT = 1536, 1920  # texels of the atlas
BASE = ("head", "torso", "mouth")  # patches that keep MakeHuman's own layout


@dataclass(frozen=True)
class Patch:
    """A rectangle of the atlas and the part of its source layout (u, v up) that it shows."""

    left: int
    top: int
    width: int
    height: int
    source: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)  # u0, v0, u1, v1

    def texels(self, uv: F64) -> F64:
        """Source coordinates [..., 2] as atlas texels [..., 2], column and row."""
        u0, v0, u1, v1 = self.source
        column = self.left + (uv[..., 0] - u0) / (u1 - u0) * self.width
        row = self.top + (v1 - uv[..., 1]) / (v1 - v0) * self.height
        return np.stack([column, row], axis=-1)

    def grid(self) -> tuple[F64, F64]:
        """Source coordinates u, v of each texel's centre, [height, width] each."""
        u0, v0, u1, v1 = self.source
        u = u0 + (np.arange(self.width) + 0.5) / self.width * (u1 - u0)
        v = v1 - (np.arange(self.height) + 0.5) / self.height * (v1 - v0)
        return np.broadcast_to(u, (self.height, self.width)), np.broadcast_to(
            v[:, None], (self.height, self.width)
        )


PATCHES = {
    "head": Patch(4, 4, 1016, 1912, (0.638, 0.145, 0.998, 0.822)),
    "torso": Patch(1028, 4, 500, 330, (0.10, 0.70, 0.66, 0.985)),
    "mouth": Patch(1028, 340, 250, 200, (0.752, 0.006, 0.93, 0.142)),
    "tongue": Patch(1290, 340, 120, 200),
    "teeth": Patch(1430, 340, 90, 530),
    "eye": Patch(1028, 550, 320, 320),
    "device": Patch(1360, 550, 60, 320),
    "cloth": Patch(1028, 880, 500, 960),
    "band": Patch(1028, 1852, 500, 56),
}


def head_patch(uv: F64) -> str:
    """Which patch a quad of the skin belongs to, from the middle of its source coordinates."""
    if uv[0] > 0.63 and uv[1] > 0.143:
        return "head"
    return "mouth" if uv[0] > 0.745 and uv[1] < 0.143 else "torso"
