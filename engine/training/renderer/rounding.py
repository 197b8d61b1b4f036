"""Make a `Lite` ready for int8. Its last convolution carries the rasterised picture beside what the
network adds to it. Rounded as they come, its weights would tint the whole picture, and one scale
for both would leave the picture too few steps: SSIM 0.80 to itself, 0.99 after what is done here.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.rendering.neural.networks import Lite, NoState
from engine.training.renderer.lessons import Batch

LEVELS = 127.0  # NNCF's steps from 0 to the largest weight
LEAST = 1e-3  # of a channel that never says anything
PATCHES = 2000  # of each picture, to be looked at
DAMPING = 1e-3  # of the mean power of an input
SEED = 0


def ready_for_int8(network: Lite, seen: list[Batch]) -> Lite:
    """A copy that does the same but for what LEVELS do not tell apart. seen: pictures to measure
    on."""
    fine = network.config.fine
    given = _given(network, seen)
    made = balanced(network, F.relu(given[:, :fine]).amax((0, 2, 3)))
    patches = _patches(_given(made, seen))
    weights = made.paint.weight
    with torch.no_grad():
        weights.copy_(on_levels(weights.flatten(1), patches.T @ patches).view_as(weights))
    return made


def balanced(network: Lite, tops: Tensor) -> Lite:
    """The same function whose fine channels are divided by `tops`, [fine]: one scale then fits them
    and the picture. Cross-layer equalisation (Nagel et al. 2019, §4.1): what comes before and after
    is divided and multiplied, and ReLU lets factors through."""
    made, top = copy.deepcopy(network), tops.clamp(min=LEAST)[:, None, None, None]
    cells = made.spread.out_channels // len(tops)
    with torch.no_grad():
        made.fine.conv.weight *= top.transpose(0, 1)
        many = top.repeat_interleave(cells, 0)
        for layer, by in ((made.spread, many), (made.near, top), (made.fine.conv, top)):
            assert layer.bias is not None
            layer.weight /= by
            layer.bias /= by.flatten()
        made.paint.weight[:, : len(tops)] *= top.transpose(0, 1)
        if network.config.guidance == "picture":
            made.doubt.weight *= top.transpose(0, 1)
    return made


def on_levels(weights: Tensor, moments: Tensor) -> Tensor:
    """Weights [O, n] on the levels that NNCF rounds to, one after the other, the largest first:
    what each rounding changes in what comes out is made up for by those that are still free
    (GPTQ, Frantar et al. 2023, §3). moments: [n, n], sums of products of the inputs."""
    return torch.stack([_row_on_levels(row, moments) for row in weights])


def _row_on_levels(row: Tensor, moments: Tensor) -> Tensor:
    step = row.abs().max() / LEVELS
    order = row.abs().argsort(descending=True)
    power = moments.double()[order][:, order]
    power += DAMPING * power.diagonal().mean() * torch.eye(len(row), dtype=torch.float64)
    spread = torch.linalg.cholesky(torch.linalg.inv(power), upper=True)
    left, out = (row[order] / step).double(), torch.empty(len(row), dtype=torch.float64)
    for k, value in enumerate(left):
        out[k] = value.round().clamp(-LEVELS, LEVELS)
        left[k + 1 :] -= (value - out[k]) / spread[k, k] * spread[k, k + 1 :]
    new = torch.empty_like(row)
    new[order] = (out * step).float()
    return new


def _given(network: Lite, seen: list[Batch]) -> Tensor:
    """[n, C, h, w] what the last convolution is given, one picture after the other."""
    found: list[Tensor] = []
    hook = network.paint.register_forward_hook(lambda _module, given, _made: found.append(given[0]))
    with torch.no_grad():
        for batch in seen:
            network(*batch[:-1], state=NoState())
    hook.remove()
    return torch.cat(found)


def _patches(given: Tensor) -> Tensor:
    """[N, C · 9] some of what a convolution of 3 × 3 sees."""
    chance = torch.Generator().manual_seed(SEED)
    out = []
    for picture in given:
        patches = F.unfold(picture[None], 3)[0].T
        out.append(patches[torch.randperm(len(patches), generator=chance)[:PATCHES]])
    return torch.cat(out)
