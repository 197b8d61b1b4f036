"""PatchGAN (Isola et al. 2017, §2.2.2): is each patch of a picture true, given the guidance?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchGAN(nn.Module):
    """70 × 70 patches of [condition, picture], as UniSinger's renderer is trained with.

    Instance norm instead of batch norm: a batch of one or two has no statistics.
    """

    def __init__(self, condition: int, width: int = 64, levels: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        layers = [nn.Conv2d(condition + 4, widths[0], 4, 2, 1)]
        for level in range(levels):
            step = 2 if level < levels - 1 else 1
            layers.append(nn.Conv2d(widths[level], widths[level + 1], 4, step, 1))
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv2d(widths[-1], 1, 4, 1, 1)

    def forward(self, condition: Tensor, picture: Tensor) -> list[Tensor]:
        """Features of every layer, then the verdicts [B, 1, h, w]. condition: [B, C, h, w] of any
        size; it is brought to the picture's."""
        if condition.shape[2:] != picture.shape[2:]:
            condition = F.interpolate(
                condition, picture.shape[2:], mode="bilinear", align_corners=False
            )
        x, features = torch.cat([condition, picture], 1), []
        for depth, layer in enumerate(self.layers):
            x = layer(x)
            x = F.leaky_relu(F.instance_norm(x) if depth else x, 0.2)
            features.append(x)
        return [*features, self.last(x)]
