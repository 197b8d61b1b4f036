"""How far a painted picture is from the true one. Pictures are [B, 4, H, W], premultiplied, 0 … 1.

UniSinger's terms (photo, LSGAN, feature matching; SingingHead §IV-B), its perceptual term replaced
by gradients at several scales and SSIM, which need nobody's weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 3
C1, C2 = 0.01**2, 0.03**2
REACH, SIGMA = 5, 1.5  # pixels, of SSIM's window
SINGER = 2.0  # what an error on the singer weighs more than one beside her
EYES = 4.0  # and on her eyes, more again


def photo_loss(made: Tensor, truth: Tensor, eyes: Tensor) -> Tensor:
    """Absolute difference, weighing more on the singer, most on her eyes.

    eyes: [B, 1, h, w] the attention map, at any size.
    """
    looked_at = F.interpolate(eyes, truth.shape[2:], mode="bilinear", align_corners=False)
    weight = 1.0 + SINGER * truth[:, 3:] + EYES * looked_at
    return (weight * (made - truth).abs()).mean() / (1.0 + SINGER / 2)


def gradient_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Absolute difference of both slopes, at full size and twice halved."""
    total = made.new_zeros(())
    for _ in range(SCALES):
        for axis in (2, 3):
            total = total + (made.diff(dim=axis) - truth.diff(dim=axis)).abs().mean()
        made, truth = F.avg_pool2d(made, 2), F.avg_pool2d(truth, 2)
    return total / SCALES


def ssim_loss(made: Tensor, truth: Tensor) -> Tensor:
    """1 − SSIM (Wang et al. 2004, Eq. 13), Gaussian window, all channels."""
    mx, my = _window(made), _window(truth)
    vx, vy = _window(made * made) - mx * mx, _window(truth * truth) - my * my
    both = _window(made * truth) - mx * my
    alike = (2 * mx * my + C1) * (2 * both + C2) / ((mx**2 + my**2 + C1) * (vx + vy + C2))
    return 1 - alike.mean()


def _window(x: Tensor) -> Tensor:
    """Gaussian blur of every channel, inside only."""
    place = torch.arange(-REACH, REACH + 1, device=x.device, dtype=x.dtype)
    bell = torch.exp(-(place**2) / (2 * SIGMA**2))
    bell = (bell / bell.sum()).repeat(x.shape[1], 1, 1, 1)
    x = F.conv2d(x, bell, groups=x.shape[1])
    return F.conv2d(x, bell.transpose(2, 3), groups=x.shape[1])


def fooling_loss(verdicts: Tensor) -> Tensor:
    """LSGAN: the painter wants its patches taken for true."""
    return ((verdicts - 1) ** 2).mean()


def judging_loss(false: Tensor, true: Tensor) -> Tensor:
    """LSGAN: the adversary wants to tell them apart."""
    return 0.5 * ((false**2).mean() + ((true - 1) ** 2).mean())


def matching_loss(made: list[Tensor], truth: list[Tensor]) -> Tensor:
    """Absolute difference of the adversary's features (pix2pixHD), the truth's held."""
    pairs = zip(made, truth, strict=True)
    return torch.stack([(a - b.detach()).abs().mean() for a, b in pairs]).mean()
