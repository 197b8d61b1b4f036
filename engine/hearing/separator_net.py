"""The separator as a torch module: the truth for training and export. Nothing live imports it.

Layer plan of a small causal TFC-TDF network with a band-shared GRU and a global GRU: band views in,
gains for two stems out, one 10 ms hop at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEMS = 2  # voice, accompaniment


@dataclass(frozen=True)
class SeparatorConfig:
    """Sizes. bands, mel: inputs and mel outputs; channels: of the band path; recurrent sizes."""

    bands: int = 96
    mel: int = 26
    channels: int = 24
    narrow: int = 12
    band_hidden: int = 32
    wide_hidden: int = 160


class Norm(nn.BatchNorm2d):
    """Batch norm whose evaluation is plain arithmetic, so that export keeps its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class CausalConv(nn.Module):
    """Depthwise 3 × 3 over (time, band) and pointwise, left-padded in time. [B, C, T, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels, channels, 3, padding=(0, 1), groups=channels, bias=False)
        self.point = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = Norm(channels)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """past: [B, C, 2, F], the two hops before x."""
        joined = torch.cat([past, x], dim=2)
        return F.relu(self.norm(self.point(self.depth(joined)))), joined[:, :, -2:]


class BlockState(NamedTuple):
    first: Tensor  # [B, C, 2, F]
    second: Tensor  # [B, C, 2, F]


class Block(nn.Module):
    """TFC-TDF: two causal convolutions, then a bottleneck across bands, both residual."""

    def __init__(self, channels: int, bands: int, narrow: int) -> None:
        super().__init__()
        self.first = CausalConv(channels)
        self.second = CausalConv(channels)
        self.squeeze = nn.Linear(bands, narrow)
        self.spread = nn.Linear(narrow, bands)

    def forward(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        y, first = self.first(x, state.first)
        y, second = self.second(y, state.second)
        x = x + y
        return x + self.spread(F.relu(self.squeeze(x))), BlockState(first, second)


class SeparatorState(NamedTuple):
    early_a: BlockState
    early_b: BlockState
    late_a: BlockState
    late_b: BlockState
    band_memory: Tensor  # [1, B·F, band_hidden]
    wide_memory: Tensor  # [1, B, wide_hidden]


class Gains(NamedTuple):
    mel: Tensor  # [B, T, 2, 26] amplitude gains in [0, 1] on the mel bands of voice, accompaniment
    bands: Tensor  # [B, T, 2, 96] amplitude gains in [0, 1] on the separator's own bands
    activity: Tensor  # [B, T] logit: does somebody sing?


class SeparatorNet(nn.Module):
    """views [B, T, 2, bands], state → Gains, state. Causal; T hops of 10 ms."""

    def __init__(self, config: SeparatorConfig) -> None:
        super().__init__()
        self.config = config
        c, half = config.channels, config.bands // 2
        self.enter = nn.Conv2d(2, c, (1, 5), stride=(1, 2), padding=(0, 2), bias=False)
        self.enter_norm = Norm(c)
        self.early_a, self.early_b = (Block(c, half, config.narrow) for _ in range(2))
        self.band_gru = nn.GRU(c, config.band_hidden, batch_first=True)
        self.band_out = nn.Linear(config.band_hidden, c)
        self.wide_in = nn.Linear(c * half, config.wide_hidden)
        self.wide_gru = nn.GRU(config.wide_hidden, config.wide_hidden, batch_first=True)
        self.wide_out = nn.Linear(config.wide_hidden, c * half)
        self.late_a, self.late_b = (Block(c, half, config.narrow) for _ in range(2))
        self.to_bands = nn.Conv2d(c, 2 * STEMS, 1)
        self.mel_in = nn.Conv2d(c, 4, 1)
        self.to_mel = nn.Linear(4 * half + config.wide_hidden, STEMS * config.mel)
        self.to_activity = nn.Linear(2 * config.wide_hidden, 1)

    @classmethod
    def from_config(cls, config: dict[str, int]) -> SeparatorNet:
        """Build from a plain dictionary, as exported files carry it."""
        return cls(SeparatorConfig(**config))

    def initial_state(self, batch: int = 1) -> SeparatorState:
        """Silence before the first hop."""
        c, half = self.config.channels, self.config.bands // 2

        def block() -> BlockState:
            return BlockState(torch.zeros(batch, c, 2, half), torch.zeros(batch, c, 2, half))

        return SeparatorState(
            block(), block(), block(), block(),
            torch.zeros(1, batch * half, self.config.band_hidden),
            torch.zeros(1, batch, self.config.wide_hidden),
        )  # fmt: skip

    def forward(self, views: Tensor, state: SeparatorState) -> tuple[Gains, SeparatorState]:
        x = F.relu(self.enter_norm(self.enter(views.transpose(1, 2))))  # [B, C, T, F]
        x, early_a = self.early_a(x, state.early_a)
        x, early_b = self.early_b(x, state.early_b)
        batch, c, hops, half = x.shape

        per_band = x.permute(0, 3, 2, 1).reshape(batch * half, hops, c)
        band, band_memory = self.band_gru(per_band, state.band_memory)
        band = self.band_out(band).reshape(batch, half, hops, c).permute(0, 3, 2, 1)

        wide_in = F.relu(self.wide_in(x.permute(0, 2, 1, 3).reshape(batch, hops, c * half)))
        wide, wide_memory = self.wide_gru(wide_in, state.wide_memory)
        x = x + band
        x = x + self.wide_out(wide).reshape(batch, hops, c, half).transpose(1, 2)

        x, late_a = self.late_a(x, state.late_a)
        x, late_b = self.late_b(x, state.late_b)
        gains = self._heads(x, wide, wide_in)
        after = SeparatorState(early_a, early_b, late_a, late_b, band_memory, wide_memory)
        return gains, after

    def _heads(self, x: Tensor, wide: Tensor, wide_in: Tensor) -> Gains:
        batch, _, hops, half = x.shape
        bands = self.to_bands(x).reshape(batch, STEMS, 2, hops, half)
        bands = bands.permute(0, 3, 1, 4, 2).reshape(batch, hops, STEMS, 2 * half)
        local = F.relu(self.mel_in(x)).permute(0, 2, 1, 3).reshape(batch, hops, 4 * half)
        mel = self.to_mel(torch.cat([local, wide], 2)).reshape(batch, hops, STEMS, -1)
        activity = self.to_activity(torch.cat([wide, wide_in], 2))[..., 0]
        return Gains(torch.sigmoid(mel), torch.sigmoid(bands), activity)
