"""Batch norms that export keeps: their evaluation is plain arithmetic on named parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Plain(nn.modules.batchnorm._BatchNorm):
    """x: [B, C, …]; statistics over all but C."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        shape = (-1,) + (1,) * (x.dim() - 2)
        return x * scale.reshape(shape) + shift.reshape(shape)


class Norm1d(_Plain, nn.BatchNorm1d):
    """x: [B, C] or [B, C, T]; learns quickest where x lies in memory as [B, T, C]."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.dim() == 2:
            return super().forward(x)
        rows = x.transpose(1, 2)
        return super().forward(rows.flatten(0, 1)).view(rows.shape).transpose(1, 2)


class Norm2d(_Plain, nn.BatchNorm2d):
    """x: [B, C, H, W]."""
