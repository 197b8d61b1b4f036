"""The neural renderers as torch modules: the truth for training and export. Nothing live imports
this file.

`UNet` is UniSinger's face renderer (SingingHead §IV-B, after Isola et al.'s pix2pix): eight levels
64 … 512 down to one or two pixels, skips, from a rasterised head, reference and temporal position
to a portrait; MusicFace adds the eye attention map (§3.1). `Lite` says the same with dense
convolutions on a coarse grid, for two processor cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.norms import Norm2d
from engine.rendering.neural.guide import CHANNELS, REFERENCE, positions

RGBA = 4
REACH = 4  # kernel of the published convolutions; they step by two pixels
Kind = Literal["picture", "geometry", "depth"]


class NoState(NamedTuple):
    """Renderers remember nothing: `draw` is pure. The protocol asks for a state all the same."""


class Painted(NamedTuple):
    """rgba: [B, 4, H, W] in 0 … 1, premultiplied."""

    rgba: Tensor


@dataclass(frozen=True)
class UNetConfig:
    """guidance: what the rasteriser tells. size: pixels a side, in and out. base: channels of the
    first level; 64 is published (`full`), 32 is `half`. levels: halvings. periods: how many of
    `guide.PERIODS` tell the temporal position."""

    guidance: Kind = "picture"
    size: int = 256
    base: int = 64
    levels: int = 8
    periods: int = 2

    def __post_init__(self) -> None:
        if self.size % 2**self.levels:
            raise ValueError(f"size must be a multiple of {2**self.levels}, got {self.size}")

    @property
    def enlarge(self) -> int:
        """Pixels of the picture for one of the guidance, along a side."""
        return 1

    @property
    def widths(self) -> list[int]:
        """Channels of each level: 64, 128, 256, 512, 512 …"""
        return [self.base * min(2**level, 8) for level in range(self.levels)]


class UNet(nn.Module):
    """The published renderer. Where Fig. 8 draws residual blocks and the text counts channels only,
    the blocks are pix2pix's: with them the network has the 54 M parameters that we compare."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config, widths = config, config.widths
        heard = CHANNELS[config.guidance] + 1 + REFERENCE + positions(config.periods)
        deepest = config.levels - 1
        self.down = nn.ModuleList(
            nn.Conv2d(before, width, REACH, 2, 1, bias=level in (0, deepest))
            for level, (before, width) in enumerate(zip([heard, *widths[:-1]], widths, strict=True))
        )
        self.down_norms = nn.ModuleList(Norm2d(width) for width in widths[1:-1])
        after = [*widths[-2::-1], RGBA]
        before = [widths[-1], *(2 * width for width in widths[-2::-1])]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, REACH, 2, 1, bias=level == deepest)
            for level, (a, b) in enumerate(zip(before, after, strict=True))
        )
        self.up_norms = nn.ModuleList(Norm2d(width) for width in after[:-1])

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> UNet:
        return cls(UNetConfig(**config))

    def initial_state(self, batch: int = 1) -> NoState:
        return NoState()

    def forward(
        self, guidance: Tensor, eyes: Tensor, reference: Tensor, phase: Tensor, state: NoState
    ) -> tuple[Painted, NoState]:
        """guidance [B, C, S, S], eyes [B, 1, S, S], reference [B, 4, S, S], phase [B, P]."""
        x = torch.cat([guidance, eyes, reference], 1)
        where = phase[:, :, None, None].expand(-1, -1, *guidance.shape[2:])
        x = torch.cat([x, where], 1)
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(F.leaky_relu(x, 0.2) if level else x)
            if 0 < level < len(self.down) - 1:
                x = self.down_norms[level - 1](x)
            skips.append(x)
        x = skips.pop()
        for up, norm in zip(self.up, self.up_norms, strict=False):
            x = torch.cat([norm(up(F.relu(x))), skips.pop()], 1)
        return Painted(torch.sigmoid(self.up[-1](F.relu(x)))), state


@dataclass(frozen=True)
class LiteConfig:
    """size: of the guidance. enlarge: the picture is so many times as large. grid: pixels of the
    guidance in a cell of the coarse grid, along a side. widths: channels there and at each halving.
    fine: channels of the last stage, at half the guidance's size."""

    guidance: Kind = "picture"
    size: int = 256
    enlarge: int = 2
    grid: int = 4
    widths: tuple[int, ...] = (64, 96, 128, 160)
    fine: int = 16
    periods: int = 2

    def __post_init__(self) -> None:
        step = self.grid * 2 ** (len(self.widths) - 1)
        if self.size % step or self.grid % 2:
            raise ValueError(f"size must be a multiple of {step} and grid even, got {self.size}")


def _conv(before: int, after: int, step: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, step, 1)


class _Turn(nn.Module):
    """x + conv(relu(x)), [B, C, H, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu(x))


class Lite(nn.Module):
    """Space to depth, a dense U-Net with added skips, and back in two steps. The last convolution
    sees the rasterised picture, too, and begins as its enlargement: untrained it draws it."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config, widths = config, config.widths
        told = CHANNELS[config.guidance] + 1
        cell = config.grid**2
        self.squeeze = nn.Conv2d((told + REFERENCE) * cell, widths[0], 1)
        self.where = nn.Linear(positions(config.periods), widths[0])
        self.stem = _Turn(widths[0])
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_conv(a, b, 2) for a, b in pairs)
        self.deep = nn.ModuleList(_Turn(b) for _, b in pairs)
        self.rise = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in reversed(pairs))
        self.join = nn.ModuleList(_Turn(a) for a, _ in reversed(pairs))
        self.last = _Turn(widths[0])
        spread = (config.grid // 2) ** 2
        self.spread = _conv(widths[0], config.fine * spread)
        self.near = nn.Conv2d(told * 4, config.fine, 1)
        self.fine = _Turn(config.fine)
        shown = RGBA * 4 if config.guidance == "picture" else 0
        self.paint = nn.Conv2d(config.fine + shown, RGBA * (2 * config.enlarge) ** 2, 3)
        if shown:
            nn.init.zeros_(self.paint.weight)
            nn.init.zeros_(self.paint.bias)  # type: ignore[arg-type]
            self.paint.weight.data[:, config.fine :] = _enlarging(config.enlarge)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lite:
        return cls(LiteConfig(**{**config, "widths": tuple(config["widths"])}))

    def initial_state(self, batch: int = 1) -> NoState:
        return NoState()

    def forward(
        self, guidance: Tensor, eyes: Tensor, reference: Tensor, phase: Tensor, state: NoState
    ) -> tuple[Painted, NoState]:
        """guidance [B, C, S, S], eyes [B, 1, S, S], reference [B, 4, S, S], phase [B, P]; S may be
        any multiple of 32: what is made is `enlarge` times as large."""
        config = self.config
        told = torch.cat([guidance, eyes], 1)
        x = self.squeeze(F.pixel_unshuffle(torch.cat([told, reference], 1), config.grid))
        x = self.stem(x + self.where(phase)[:, :, None, None])
        skips = [x]
        for down, deep in zip(self.down, self.deep, strict=True):
            x = deep(down(F.relu(x)))
            skips.append(x)
        skips.pop()
        for rise, join in zip(self.rise, self.join, strict=True):
            x = join(F.interpolate(rise(x), scale_factor=2.0, mode="nearest") + skips.pop())
        x = F.pixel_shuffle(self.spread(F.relu(self.last(x))), config.grid // 2)
        near = F.pixel_unshuffle(told, 2)
        x = F.relu(self.fine(x + self.near(near)))
        if config.guidance == "picture":
            x = torch.cat([x, near[:, : 4 * RGBA]], 1)
        x = self.paint(F.pad(x, (1, 1, 1, 1), mode="replicate"))
        x = F.pixel_shuffle(x, 2 * config.enlarge)
        if self.training:
            return Painted(x), state  # a clamp would hide from training what overshoots
        return Painted(x.clamp(0.0, 1.0)), state


def _enlarging(times: int) -> Tensor:
    """Weights [4 n², 16, 3, 3], n = 2 · times, with which a convolution over a picture's cells of
    2 × 2 pixels enlarges it: bilinearly, as cells of n × n."""
    side = 2 * times
    line = torch.zeros(side, 2, 3)  # a new pixel's share of pixel `old` of the cell `step` away
    for new in range(side):
        place = (new + 0.5) / times - 0.5
        for old in range(2):
            for step in range(3):
                line[new, old, step] = max(0.0, 1.0 - abs(place - (2 * (step - 1) + old)))
    both = torch.einsum("aik,bjl->abijkl", line, line)
    weights = torch.zeros(RGBA, side, side, RGBA, 2, 2, 3, 3)
    for channel in range(RGBA):
        weights[channel, :, :, channel] = both
    return weights.reshape(RGBA * side**2, RGBA * 4, 3, 3)


Network = UNet | Lite
HALF = UNetConfig(base=32)
FULL = UNetConfig()
LITE = LiteConfig()


def build(config: UNetConfig | LiteConfig) -> Network:
    """The network of a configuration."""
    return Lite(config) if isinstance(config, LiteConfig) else UNet(config)


def examples(network: Network, size: int = 0) -> dict[str, Tensor]:
    """Inputs of one picture by port name, all zero; size: of the guidance, if not its own."""
    config, side = network.config, size or network.config.size
    return {
        "guidance": torch.zeros(1, CHANNELS[config.guidance], side, side),
        "eyes": torch.zeros(1, 1, side, side),
        "reference": torch.zeros(1, REFERENCE, side, side),
        "phase": torch.zeros(1, positions(config.periods)),
    }


def macs(network: Network, size: int = 0) -> int:
    """Multiplications of one picture, counted while it is made."""
    counted = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.ConvTranspose2d):
            counted += inputs[0].numel() * module.weight[0].numel()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            counted += made.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.no_grad():
        network.eval()(**examples(network, size), state=NoState())
    for hook in hooks:
        hook.remove()
    return counted
