"""The renderers' networks: published sizes, any crop, one batch at a time, and phase told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engine.rendering.neural.guide import NEAR, cut
from engine.rendering.neural.networks import (
    FULL,
    HALF,
    LITE,
    LiteConfig,
    Network,
    NoState,
    UNet,
    UNetConfig,
    as_shown,
    build,
    examples,
    macs,
)
from kernels.developing import out_of_cells

SMALL_UNET = UNetConfig(size=32, base=4, levels=4)
SMALL_LITE = LiteConfig(size=32, widths=(8, 12), fine=8)


def noisy(network: Network, batch: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand(batch, *x.shape[1:]) for name, x in examples(network).items()}


def ready(config: UNetConfig | LiteConfig) -> Network:
    """Random everywhere: what begins at zero would hide what it ignores."""
    torch.manual_seed(0)
    network = build(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


def painted(network: Network, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        made, state = network(**inputs, state=NoState())
    assert state == NoState()
    return made.rgba


@pytest.mark.parametrize("config", [SMALL_UNET, SMALL_LITE], ids=["unet", "lite"])
def test_pictures_of_a_batch_never_touch(config: UNetConfig | LiteConfig) -> None:
    network = ready(config)
    inputs = noisy(network, 3)
    together = painted(network, inputs)
    alone = painted(network, {name: x[1:2] for name, x in inputs.items()})
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    assert 0 <= float(together.min()) <= float(together.max()) <= 1


@pytest.mark.parametrize("config", [SMALL_UNET, SMALL_LITE], ids=["unet", "lite"])
def test_every_input_is_heard(config: UNetConfig | LiteConfig) -> None:
    network = ready(config)
    inputs = noisy(network)
    before = painted(network, inputs)
    for name, x in inputs.items():
        changed = painted(network, {**inputs, name: 1 - x})
        assert float((changed - before).abs().max()) > 1e-4, name


@pytest.mark.parametrize("guidance", ["picture", "geometry", "depth"])
def test_every_kind_of_guidance(guidance: str) -> None:
    for network in (
        build(UNetConfig(guidance, size=32, base=4, levels=4)),  # type: ignore[arg-type]
        build(LiteConfig(guidance, size=32, widths=(8, 12), fine=8)),  # type: ignore[arg-type]
    ):
        side = network.config.size * network.config.enlarge
        assert painted(network.eval(), noisy(network)).shape == (1, 4, side, side)


@pytest.mark.parametrize("enlarge", [1, 2, 3])
def test_untrained_lite_draws_the_rasterised_picture(enlarge: int) -> None:
    network = build(LiteConfig(size=32, enlarge=enlarge, widths=(8, 12), fine=8)).eval()
    inputs = noisy(network)
    expected = F.interpolate(inputs["guidance"], scale_factor=float(enlarge), mode="bilinear")
    edge = enlarge  # where there is nothing to look at beyond, the outermost cell goes on
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(painted(network, inputs)[inside], expected[inside])


@pytest.mark.parametrize("guidance", ["picture", "geometry", "depth"])
def test_in_cells_it_is_the_same_network(guidance: str) -> None:
    config = LiteConfig(guidance, size=64, grid=4, widths=(8, 12), fine=8)  # type: ignore[arg-type]
    network = ready(config)
    shown, inputs = as_shown(network), noisy(network)
    told = cut({name: x.numpy() for name, x in inputs.items()}, config.grid)
    assert {n: x.shape for n, x in told.items()} == {
        n: tuple(x.shape) for n, x in examples(shown).items()
    }
    with torch.no_grad():
        feeds = {name: torch.from_numpy(x) for name, x in told.items()}
        cells = shown(**feeds, state=NoState())[0].cells[0].numpy()
    made = out_of_cells(cells, NEAR * config.enlarge)
    np.testing.assert_allclose(made, painted(network, inputs)[0].numpy(), atol=1e-5)
    assert isinstance(as_shown(build(SMALL_UNET)), UNet)


def test_lite_takes_crops() -> None:
    network = ready(SMALL_LITE)
    assert painted(network, examples(network, 64)).shape == (1, 4, 128, 128)


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 256, got 200"):
        UNetConfig(size=200)
    with pytest.raises(ValueError, match="multiple of 32"):
        LiteConfig(size=200)


def test_published_sizes() -> None:
    """pix2pix's U-Net has 54.4 M parameters; `lite` leaves room on two cores."""
    counted = {
        name: (sum(p.numel() for p in network.parameters()) / 1e6, macs(network) / 1e9)
        for name, network in {"full": build(FULL), "half": build(HALF), "lite": build(LITE)}.items()
    }
    assert FULL.widths == [64, 128, 256, 512, 512, 512, 512, 512]
    assert counted["full"] == (pytest.approx(54.4, abs=0.1), pytest.approx(6.25, abs=0.05))
    assert counted["half"] == (pytest.approx(13.6, abs=0.1), pytest.approx(1.65, abs=0.05))
    assert counted["lite"][0] < 1.5
    assert counted["lite"][1] <= 1.5
    assert LITE.size * LITE.enlarge == 512
