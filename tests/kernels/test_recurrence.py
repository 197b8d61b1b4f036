"""The compiled recurrence against its plain twin, and its gradients against differences."""

from __future__ import annotations

import numpy as np
import torch

from engine.hearing.separator_net import _by_doubling, _hop_by_hop, remember
from kernels.recurrence import scan, scan_gradients, scan_plain


def parts(batch: int, hops: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    keep = rng.uniform(0, 1, (batch, hops, width))
    new, start = rng.normal(0, 1, (batch, hops, width)), rng.normal(0, 1, (batch, width))
    return keep.astype(np.float32), new.astype(np.float32), start.astype(np.float32)


def test_scan_equals_its_twin() -> None:
    for shape in ((1, 1, 1), (2, 300, 7), (3, 17, 192)):
        np.testing.assert_allclose(scan(*parts(*shape)), scan_plain(*parts(*shape)), atol=1e-5)


def test_every_way_to_remember_is_one_way() -> None:
    keep, new, start = (torch.from_numpy(x) for x in parts(2, 100, 5))
    expected = _hop_by_hop(keep, new, start)
    torch.testing.assert_close(remember(keep, new, start), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(_by_doubling(keep, new, start), expected, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_plain_way() -> None:
    keep, new, start = parts(2, 40, 5)
    slope = np.random.default_rng(1).normal(0, 1, new.shape).astype(np.float32)
    leaves = [torch.from_numpy(x).double().requires_grad_() for x in (keep, new, start)]
    (_hop_by_hop(*leaves) * torch.from_numpy(slope)).sum().backward()
    made = scan_gradients(keep, scan(keep, new, start), start, slope)
    for gradient, leaf in zip(made, leaves, strict=True):
        assert leaf.grad is not None
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-5)
