"""The separator as a torch module: the truth for training and export. Nothing live imports it.

Band views in, gains for two stems out, one 10 ms hop at a time: convolutions over bands and two
hops, gated memories of what came earlier, and a drawing of the gains beside what was just heard.
The memories are linear recurrences whose gates hear the input only (Martin & Cundy 2018; "minGRU",
Feng et al. 2024), so a whole stretch trains at the speed of matrix products, not hop by hop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.norms import Norm2d
from kernels import recurrence

STEMS = 2  # voice, accompaniment
VIEWS = 2  # of each band: against the loudness, and against its own mean
SKETCH, BESIDE = 12, 32  # channels of what memory draws, and of what draws the gains
FEW = 8  # hops that are unrolled, so that exported graphs hold them
FASTEST, SLOWEST = 1.0, 400.0  # hops that memories last before training


@dataclass(frozen=True)
class SeparatorConfig:
    """Sizes. bands (a multiple of 8), mel: inputs and mel outputs; channels: of the finest
    convolution; width: of what flows through time; layers: of memory.
    """

    bands: int = 96
    mel: int = 26
    channels: int = 24
    width: int = 192
    layers: int = 5


class SeparatorState(NamedTuple):
    views: Tensor  # [B, 2, bands], of the hop before
    fine: Tensor  # [B, channels, bands / 2]
    middle: Tensor  # [B, 2 channels, bands / 4]
    memory: Tensor  # [B, layers, width]


class Gains(NamedTuple):
    mel: Tensor  # [B, T, 2, 26] amplitude gains in [0, 1] on the mel bands of voice, accompaniment
    bands: Tensor  # [B, T, 2, 96] amplitude gains in [0, 1] on the separator's own bands
    activity: Tensor  # [B, T] logit: does somebody sing?


class Listen(nn.Module):
    """This hop and the one before, neighbouring bands, half as many bands out. [B, C, T, F]."""

    def __init__(self, inputs: int, outputs: int, reach: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, (2, reach), stride=(1, 2), padding=(0, reach // 2), bias=False
        )
        self.norm = Norm2d(outputs)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """before: [B, C, F], the hop before x."""
        return F.relu(self.norm(self.conv(torch.cat([before[:, :, None], x], 2))))


class Memory(nn.Module):
    """What to keep, to take in, to tell; then a thought about this hop alone. Residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hear = nn.LayerNorm(width)
        self.gates = nn.Linear(width, 3 * width)
        self.tell = nn.Linear(width, width)
        self.pause = nn.LayerNorm(width)
        self.think = nn.Linear(width, 2 * width)
        self.conclude = nn.Linear(2 * width, width)
        lasting = torch.logspace(math.log10(FASTEST), math.log10(SLOWEST), width)
        with torch.no_grad():
            self.gates.bias[:width] = torch.log(lasting)  # sigmoid(log n) = n / (n + 1)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, T, width], before: [B, width] → x and what is held after every hop, like x."""
        keep, new, tell = self.gates(self.hear(x)).float().chunk(3, dim=2)
        keep = torch.sigmoid(keep)
        held = remember(keep, (1 - keep) * new, before)
        x = x + self.tell(F.silu(tell) * held)
        return x + self.conclude(F.relu(self.think(self.pause(x)))), held


class SeparatorNet(nn.Module):
    """views [B, T, 2, bands], state → Gains, state. Causal; T hops of 10 ms.

    last: [B, T], one at the hop after which the state is wanted, zero elsewhere, so that a graph of
    T hops serves fewer; None: after the last. T hops at once read the weights once.
    """

    def __init__(self, config: SeparatorConfig) -> None:
        super().__init__()
        self.config = config
        c, width = config.channels, config.width
        half, coarsest = config.bands // 2, config.bands // 8
        self.fine = Listen(VIEWS, c, 5)
        self.middle = Listen(c, 2 * c, 3)
        self.coarse = Listen(2 * c, 3 * c, 3)
        self.gather = nn.Linear(3 * c * coarsest, width)
        self.memories = nn.ModuleList(Memory(width) for _ in range(config.layers))
        self.settle = nn.LayerNorm(width)
        self.draw = nn.Linear(width, SKETCH * half)
        self.beside = nn.Conv2d(SKETCH + c, BESIDE, (1, 3), padding=(0, 1))
        self.to_bands = nn.Conv2d(BESIDE, 2 * STEMS, (1, 3), padding=(0, 1))
        self.mel_in = nn.Conv2d(BESIDE, 4, 1)
        self.to_mel = nn.Linear(4 * half + width, STEMS * config.mel)
        self.to_activity = nn.Linear(width, 1)

    @classmethod
    def from_config(cls, config: dict[str, int]) -> SeparatorNet:
        """Build from a plain dictionary, as exported files carry it."""
        return cls(SeparatorConfig(**config))

    def initial_state(self, batch: int = 1) -> SeparatorState:
        """Silence before the first hop."""
        bands, c = self.config.bands, self.config.channels
        return SeparatorState(
            torch.zeros(batch, VIEWS, bands),
            torch.zeros(batch, c, bands // 2),
            torch.zeros(batch, 2 * c, bands // 4),
            torch.zeros(batch, self.config.layers, self.config.width),
        )

    def forward(
        self, views: Tensor, state: SeparatorState, last: Tensor | None = None
    ) -> tuple[Gains, SeparatorState]:
        seen = views.transpose(1, 2).contiguous(memory_format=torch.channels_last)
        fine = self.fine(seen, state.views)
        middle = self.middle(fine, state.fine)
        coarse = self.coarse(middle, state.middle)
        x, memory = self._recall(self.gather(coarse.transpose(1, 2).flatten(2)), state.memory, last)
        looks = [_at(look.transpose(1, 2), last) for look in (seen, fine, middle)]
        return self._gains(x, fine), SeparatorState(looks[0], looks[1], looks[2], memory)

    def _recall(self, x: Tensor, before: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor]:
        """x: [B, T, width], before: [B, layers, width] → x in the light of all before, memory."""
        kept = []
        for layer, memory in enumerate(self.memories):
            x, held = memory(x, before[:, layer])
            kept.append(_at(held, last))
        return self.settle(x), torch.stack(kept, 1)

    def _gains(self, x: Tensor, fine: Tensor) -> Gains:
        batch, _, hops, half = fine.shape
        sketch = self.draw(x).reshape(batch, hops, SKETCH, half).transpose(1, 2)
        y = F.relu(self.beside(torch.cat([sketch, fine], 1)))
        bands = self.to_bands(y).reshape(batch, STEMS, 2, hops, half)
        bands = bands.permute(0, 3, 1, 4, 2).reshape(batch, hops, STEMS, 2 * half)
        local = F.relu(self.mel_in(y)).transpose(1, 2).flatten(2)
        mel = self.to_mel(torch.cat([local, x], 2)).unflatten(2, (STEMS, self.config.mel))
        return Gains(torch.sigmoid(mel), torch.sigmoid(bands), self.to_activity(x)[..., 0])


def _at(x: Tensor, last: Tensor | None) -> Tensor:
    """x [B, T, …] at the hop that `last` [B, T] points at, [B, …]."""
    if last is None:
        return x[:, -1]
    return (x * last.reshape(*last.shape, *(1,) * (x.dim() - 2))).sum(1)


def remember(keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
    """keep, new [B, T, D], start [B, D] → h[t] = keep[t] · h[t − 1] + new[t], [B, T, D]."""
    if new.shape[1] <= FEW:
        return _hop_by_hop(keep, new, start)
    if new.device.type == "cpu":
        out: Tensor = _Scan.apply(keep, new, start)
        return out
    return _by_doubling(keep, new, start)


def _hop_by_hop(keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
    rows, row = [], start
    for t in range(new.shape[1]):
        row = keep[:, t] * row + new[:, t]
        rows.append(row)
    return torch.stack(rows, 1)


def _by_doubling(keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
    """In log2 T rounds for devices that do many things at once: after each, h[t] knows the effect
    of twice as many hops. Hillis & Steele 1986.
    """
    new = torch.cat([new[:, :1] + keep[:, :1] * start[:, None], new[:, 1:]], 1)
    reach = 1
    while reach < new.shape[1]:
        earlier = F.pad(new[:, :-reach], (0, 0, reach, 0))
        new = new + keep * earlier
        keep = keep * F.pad(keep[:, :-reach], (0, 0, reach, 0))
        reach *= 2
    return new


class _Scan(torch.autograd.Function):
    """The same by a compiled loop."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
        arrays: Any = [x.detach().contiguous().numpy() for x in (keep, new, start)]
        out = recurrence.scan(*arrays)
        ctx.kept = arrays[0], out, arrays[2]
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, ...]:
        keep, out, start = ctx.kept
        gradients = recurrence.scan_gradients(keep, out, start, slopes[0].contiguous().numpy())
        return tuple(torch.from_numpy(g) for g in gradients)
