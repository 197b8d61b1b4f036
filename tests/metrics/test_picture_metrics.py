"""Sharpness falls with blur, likeness follows its formula, networks that are absent say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy.ndimage import gaussian_filter1d

from engine.metrics.picture import (
    WeightsAbsent,
    cpbd,
    edge_widths,
    fid,
    frechet_distance,
    gmsd,
    lpips,
    ssim,
    warping_error,
)


def bars(blur: float = 0.0, low: int = 40, high: int = 200) -> np.ndarray:
    """Vertical bars 32 pixels wide, blurred along the rows."""
    row = np.where(np.arange(256) // 32 % 2, high, low).astype(float)
    row = gaussian_filter1d(row, blur) if blur else row
    return np.tile(np.round(row), (128, 1)).astype(np.uint8)


# ---- sharpness ----------------------------------------------------------------------------------


def test_edge_widths_by_hand() -> None:
    """A ramp of five steps is five pixels wide, a cliff one, rising or falling alike."""
    row = np.array([10] * 9 + [20, 40, 80, 120, 130] + [130] * 9, float)
    ramp = np.tile(np.concatenate([row, row[::-1]]), (5, 1))
    widths = edge_widths(ramp)
    assert set(np.unique(widths[1:-1])) == {0, 5}
    assert (widths[2] > 0).sum() == 2
    cliff = np.tile(np.where(np.arange(30) < 15, 0.0, 255.0), (5, 1))
    assert set(np.unique(edge_widths(cliff)[1:-1])) == {0, 1}


def test_horizontal_edges_have_no_width() -> None:
    assert not edge_widths(bars().T.astype(float)).any()


def test_sharp_is_1_and_blur_only_takes_away() -> None:
    scores = [cpbd(bars(blur)) for blur in (0, 0.5, 1, 3)]
    assert scores[0] == 1
    assert scores[-1] == 0
    assert (np.diff(scores) <= 0).all()


def test_low_contrast_forgives_more_width() -> None:
    """Edges 4 pixels wide: beyond the 3 of strong contrast, within the 5 of weak contrast."""
    hill = np.repeat([0, 0.2, 0.5, 0.8, 1, 0.8, 0.5, 0.2], [28, 1, 1, 1, 30, 1, 1, 1])
    row = np.concatenate([np.tile(hill, 4), np.zeros(8)])

    def picture(contrast: int) -> np.ndarray:
        return np.tile(np.round(100 + contrast * row), (128, 1)).astype(np.uint8)

    for contrast, score in ((40, 1), (120, 0)):
        assert set(np.unique(edge_widths(picture(contrast).astype(float)))) == {0, 4}
        assert cpbd(picture(contrast)) == score


def test_colour_is_looked_at_in_grey_and_nothing_to_see_is_nan() -> None:
    assert cpbd(np.repeat(bars(1)[..., None], 3, axis=2)) == pytest.approx(cpbd(bars(1)), abs=1e-6)
    assert np.isnan(cpbd(np.full((64, 64), 7, np.uint8)))
    with pytest.raises(ValueError, match="64 pixels a side"):
        cpbd(np.zeros((63, 200), np.uint8))


# ---- likeness -----------------------------------------------------------------------------------


def test_ssim_of_equal_pictures_is_1_and_symmetric() -> None:
    one, other = bars(), bars(2)
    assert ssim(one, one) == pytest.approx(1)
    assert ssim(one, other) == pytest.approx(ssim(other, one))
    assert ssim(one, other) < 0.9


def test_ssim_by_hand() -> None:
    """Two even pictures differ in luminance only: (2ab + C1) / (a² + b² + C1)."""
    a, b = (np.full((20, 20), level, np.uint8) for level in (100, 150))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert ssim(a, b) == pytest.approx(expected)
    assert ssim(np.dstack([a, a, a]), np.dstack([a, b, a])) == pytest.approx((2 + expected) / 3)


def test_ssim_of_a_negative_by_hand() -> None:
    """An 11 × 11 window of noise around grey against its negative: structure −1."""
    rng = np.random.default_rng(0)
    noise = rng.integers(78, 178, (64, 64)).astype(np.uint8)
    assert ssim(noise, 255 - noise) < -0.9


def test_gmsd_of_equal_pictures_is_0_symmetric_and_grows() -> None:
    one, other = bars(), bars(2)
    assert gmsd(one, one) == 0
    assert gmsd(one, other) == pytest.approx(gmsd(other, one))
    noise = np.random.default_rng(0).normal(0, 1, one.shape)
    worse = [gmsd(one, np.clip(one + k * noise, 0, 255).astype(np.uint8)) for k in (4, 12, 40)]
    assert 0 < worse[0] < worse[1] < worse[2] < 0.4
    with pytest.raises(ValueError, match="one shape"):
        gmsd(one, one[1:])


def test_gmsd_by_hand() -> None:
    """Half of the picture has a slope that the other lacks: its similarity is c / (m² + c)."""
    ramp = np.zeros((40, 80), np.uint8)
    ramp[:, 40:] = 3 * np.arange(40)  # halved: 6 a pixel, Prewitt's slope 12
    flat = np.zeros_like(ramp)
    low, high = 170 / (12**2 + 170), 1.0
    assert gmsd(ramp, flat) == pytest.approx((high - low) / 2, rel=0.1)


def test_warping_error_by_hand() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (16, 40, 3)).astype(np.uint8)
    film = np.stack([wide[:, n : n + 32] for n in range(4)])  # moves one pixel to the left a frame
    flows = np.zeros((3, 16, 32, 2), np.float32)
    flows[..., 0] = 1
    flows[:, :, -1] = np.nan  # comes in from outside
    assert warping_error(film, flows) == 0
    assert warping_error(film, np.where(np.isnan(flows), np.nan, 0).astype(np.float32)) > 50
    assert np.isnan(warping_error(film, np.full_like(flows, np.nan)))
    lit = film.copy()
    lit[1::2] = np.clip(lit[1::2].astype(int) + 1, 0, 255)
    assert 0.9 < warping_error(lit, flows) <= 1


def test_frechet_distance_by_hand() -> None:
    """Equal spread, means 3 and 4 apart in two directions: 25. Spread 1 against 2: (2 − 1)²."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (500, 2))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x + np.array([3, 4]), x) == pytest.approx(25)
    line = x[:, :1]
    spread = line.std(ddof=1)
    centred = line - line.mean()
    assert frechet_distance(2 * centred, centred) == pytest.approx(spread**2)


def test_bad_shapes_are_told() -> None:
    with pytest.raises(ValueError, match="one shape above 10 pixels"):
        ssim(np.zeros((10, 99), np.uint8), np.zeros((10, 99), np.uint8))
    with pytest.raises(ValueError, match="n ≥ 2"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


# ---- with somebody's network --------------------------------------------------------------------


def graph(path: Path, inputs: list[str], nodes: list) -> Path:
    ports = [helper.make_tensor_value_info(i, TensorProto.FLOAT, [1, 3, "h", "w"]) for i in inputs]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "toy", ports, [out]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def test_fid_through_a_network(tmp_path: Path) -> None:
    """Features = mean colour: pictures brighter by half of the range in one channel are ¼ away."""
    mean = helper.make_node("ReduceMean", ["x"], ["out"], axes=[2, 3], keepdims=0)
    path = graph(tmp_path / "toy.onnx", ["x"], [mean])
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 100, (30, 12, 12, 3)).astype(np.uint8)
    bright = dark.copy()
    bright[..., 1] += 51
    assert fid(bright, dark, path) == pytest.approx(0.2**2, rel=1e-3)


def test_lpips_through_a_network(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "y"], ["d"]),
        helper.make_node("Abs", ["d"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["out"], axes=[1, 2, 3], keepdims=0),
    ]
    path = graph(tmp_path / "toy.onnx", ["x", "y"], nodes)
    black, white = np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 255, np.uint8)
    assert lpips(white, black, path) == pytest.approx(2)


def test_absent_weights_say_what_is_missing(tmp_path: Path) -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(WeightsAbsent, match=r"FID needs .* there is no .*none\.onnx: not measured"):
        fid(pictures, pictures, tmp_path / "none.onnx")
    with pytest.raises(WeightsAbsent, match="LPIPS needs"):
        lpips(pictures, pictures, tmp_path / "none.onnx")
