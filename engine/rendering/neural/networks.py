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
from engine.rendering.neural.guide import CHANNELS, NEAR, REFERENCE, positions

RGBA = 4
REACH = 4  # kernel of the published convolutions; they step by two pixels
Kind = Literal["picture", "geometry", "depth"]


class NoState(NamedTuple):
    """Renderers remember nothing: `draw` is pure. The protocol asks for a state all the same."""


class Painted(NamedTuple):
    """rgba: [B, 4, H, W] in 0 … 1, premultiplied."""

    rgba: Tensor


class PaintedInCells(NamedTuple):
    """cells: [B, H / n, W / n, 4 n²] in 0 … 1, premultiplied: of n × n pixels, channel by channel,
    row by row."""

    cells: Tensor


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
    sees the rasterised picture, too, brightened or dimmed where the network doubts it, and begins
    as its enlargement: untrained it draws it."""

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
        spread = (config.grid // NEAR) ** 2
        self.spread = _conv(widths[0], config.fine * spread)
        self.near = nn.Conv2d(told * NEAR**2, config.fine, 1)
        self.fine = _Turn(config.fine)
        shown = RGBA * NEAR**2 if config.guidance == "picture" else 0
        self.paint = nn.Conv2d(config.fine + shown, RGBA * (NEAR * config.enlarge) ** 2, 3)
        if shown:
            self.doubt = nn.Conv2d(config.fine, shown, 1)
            for layer in (self.paint, self.doubt):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
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
        coarse = F.pixel_unshuffle(torch.cat([told, reference], 1), config.grid)
        near = F.pixel_unshuffle(told, NEAR)
        shown = near[:, : RGBA * NEAR**2] if config.guidance == "picture" else None
        made = F.pixel_shuffle(self._paint(coarse, near, shown, phase), NEAR * config.enlarge)
        if self.training:
            return Painted(made), state  # a clamp would hide from training what overshoots
        return Painted(made.clamp(0.0, 1.0)), state

    def _paint(self, coarse: Tensor, near: Tensor, shown: Tensor | None, phase: Tensor) -> Tensor:
        """All but cutting into cells (of the grid, of NEAR pixels) and putting together."""
        x = self.stem(self.squeeze(coarse) + self.where(phase)[:, :, None, None])
        skips = [x]
        for down, deep in zip(self.down, self.deep, strict=True):
            x = deep(down(F.relu(x)))
            skips.append(x)
        skips.pop()
        for rise, join in zip(self.rise, self.join, strict=True):
            x = join(F.interpolate(rise(x), scale_factor=2.0, mode="nearest") + skips.pop())
        x = F.pixel_shuffle(self.spread(F.relu(self.last(x))), self.config.grid // NEAR)
        x = F.relu(self.fine(x + self.near(near)))
        if shown is not None:
            x = torch.cat([x, shown * (1.0 + self.doubt(x))], 1)
        made: Tensor = self.paint(F.pad(x, (1, 1, 1, 1), mode="replicate"))
        return made


class LiteInCells(Lite):
    """`Lite` with the same weights, as shows run it: told, and painting, in cells, channels last.
    Cutting and putting together costs a runtime a third of the network's time; whoever makes the
    inputs, or reads the picture, goes over it anyway."""

    def forward(  # type: ignore[override]
        self,
        coarse: Tensor,
        near: Tensor,
        reference: Tensor,
        phase: Tensor,
        state: NoState,
        shown: Tensor | None = None,
    ) -> tuple[PaintedInCells, NoState]:
        """Of S × S pixels, channel by channel, row by row within a cell, C told and the eyes':
        coarse [B, S / g, S / g, (C + 1) g²] and reference [B, S / g, S / g, 4 g²] in cells of the
        grid g, near [B, S / 2, S / 2, (C + 1) · 4], and shown, the picture alone, where there is
        one, [B, S / 2, S / 2, 16]. phase [B, P]."""
        both = torch.cat([coarse, reference], 3)
        first, second = both.permute(0, 3, 1, 2), near.permute(0, 3, 1, 2)
        over = None if shown is None else shown.permute(0, 3, 1, 2)
        made = self._paint(first, second, over, phase).clamp(0.0, 1.0)
        return PaintedInCells(made.permute(0, 2, 3, 1)), state


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


def as_shown(network: Network) -> Network:
    """The network as shows run it, with the same weights."""
    if not isinstance(network, Lite):
        return network
    made = LiteInCells(network.config)
    made.load_state_dict(network.state_dict())
    return made.train(network.training)


def examples(network: Network, size: int = 0) -> dict[str, Tensor]:
    """Inputs of one picture by port name, all zero; size: of the guidance, if not its own."""
    config, side = network.config, size or network.config.size
    told, phase = CHANNELS[config.guidance], torch.zeros(1, positions(config.periods))
    if isinstance(network, LiteInCells):
        half, coarse = side // NEAR, side // network.config.grid
        in_cells = {
            "coarse": torch.zeros(1, coarse, coarse, (told + 1) * network.config.grid**2),
            "near": torch.zeros(1, half, half, (told + 1) * NEAR**2),
            "reference": torch.zeros(1, coarse, coarse, REFERENCE * network.config.grid**2),
            "phase": phase,
        }
        if config.guidance == "picture":
            in_cells["shown"] = torch.zeros(1, half, half, told * NEAR**2)
        return in_cells
    return {
        "guidance": torch.zeros(1, told, side, side),
        "eyes": torch.zeros(1, 1, side, side),
        "reference": torch.zeros(1, REFERENCE, side, side),
        "phase": phase,
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
