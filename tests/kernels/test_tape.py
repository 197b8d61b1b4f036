"""The tape: each instruction against its plain twin, recorded networks against the originals."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.compiled import Compiled
from engine.rendering.identity import IDENTITIES
from engine.weights import shipped
from kernels import tape
from kernels.graphs import BackendUnavailable, open_graph
from kernels.graphs.exporting import export
from kernels.graphs.recording import Unsupported, aligned, bfloat16, record

CHANCE = np.random.default_rng(3)
SHIPPED = [shipped(name) for name in ("separator.onnx", "musicface.onnx")]


def code(*steps: tuple[int, ...]) -> np.ndarray:
    return np.array([step + (0,) * (tape.COLUMNS - len(step)) for step in steps], np.int64)


def both(steps: np.ndarray, memory: np.ndarray, weights=(), tables=()) -> np.ndarray:
    """What is in memory afterwards; both ways agree about it."""
    given = np.asarray(tables, np.int32), np.asarray(weights)
    if given[1].dtype != np.uint16:
        given = given[0], given[1].astype(np.float32)
    one, other = memory.copy(), memory.copy()
    tape.play(steps, *given, one)
    tape.play_plain(steps, *given, other)
    np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    return one


def numbers(count: int) -> np.ndarray:
    return CHANCE.normal(size=count).astype(np.float32)


# ---- instructions --------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("pitch", [7, 3])  # rows that lie apart, and that share numbers
@pytest.mark.parametrize("relu", [0, tape.RELU])
@pytest.mark.parametrize("stored", [np.float32, np.uint16])
def test_product(rows: int, pitch: int, relu: int, stored: type) -> None:
    width, outputs, apart = 7, 5, 8
    w = numbers(outputs * width)
    w = bfloat16(w) if stored == np.uint16 else w
    memory = numbers(300)
    step = (tape.PRODUCT, rows, 200, 0, width, 0, 100, outputs, apart, pitch, relu)
    after = both(code(step), memory, w)
    written = 200 + apart * np.arange(rows)[:, None] + np.arange(outputs)
    rest = np.setdiff1d(np.arange(300), written)
    np.testing.assert_array_equal(after[rest], memory[rest])
    assert not relu or (after[written] >= 0).all()


def test_what_comes_of_a_row_does_not_depend_on_where_among_four_it_is() -> None:
    """Bit for bit: hops are heard four at a time, wherever a chunk of sound happened to begin."""
    width, outputs = 48, 6
    x, w = numbers(8 * width).reshape(8, width), numbers(outputs * width)
    found = []
    for order in (np.arange(8), CHANCE.permutation(8)):
        memory = np.concatenate([x[order].ravel(), numbers(outputs) * 0, np.zeros(48, np.float32)])
        step = (tape.PRODUCT, 8, 8 * width + 6, 0, width, 0, 8 * width, 6, outputs, width)
        tape.play(code(step), np.zeros(0, np.int32), w, memory)
        made = memory[8 * width + 6 :].reshape(8, outputs)
        found.append(made[np.argsort(order)])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("run", [1, 3, 16])
def test_gather(run: int) -> None:
    starts = CHANCE.integers(0, 80, 4)
    after = both(code((tape.GATHER, 4 * run, 120, 0, run)), numbers(200), tables=starts)
    expected = np.concatenate([after[s : s + run] for s in starts])
    np.testing.assert_array_equal(after[120 : 120 + 4 * run], expected)


def test_norm_and_sum() -> None:
    after = both(code((tape.NORM, 60, 100, 0, 20, 60, 80)), numbers(200))
    made = (after[100:160].reshape(3, 20) - after[80:100]) / after[60:80]
    np.testing.assert_allclose(made.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(made.std(1), 1, atol=1e-3)
    both(code((tape.SUM, 6, 100, 0, 5)), numbers(120), tables=CHANCE.integers(0, 90, 30))


@pytest.mark.parametrize("which", [tape.RELU, tape.SIGMOID, tape.TANH, tape.ABS, tape.NEGATE])
def test_unary(which: int) -> None:
    edges = np.array([0, -0.0, 1e-9, 30, -30, 87, -87, 88, -88, 1e4, -1e4, 3e38, -3e38], np.float32)
    x = np.concatenate([edges, 5 * numbers(51)])
    after = both(code((tape.UNARY, 64, 64, 0, which)), np.concatenate([x, x]))
    assert np.isfinite(after).all()


@pytest.mark.parametrize("which", range(6))
def test_binary(which: int) -> None:
    both(code((tape.BINARY, 40, 90, 0, 45, which)), numbers(140))


# ---- networks ------------------------------------------------------------------------------------


class Kept(NamedTuple):
    past: Tensor
    sums: Tensor


class Made(NamedTuple):
    y: Tensor
    z: Tensor


class Everything(nn.Module):
    """What a small network may be made of, in ways that are easily confused."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(6, 8, 3, stride=2, padding=1, groups=2)
        self.two = nn.Conv1d(8, 8, 3, dilation=2, padding=2)
        self.flat = nn.Conv2d(2, 4, (2, 3), stride=(1, 2), padding=(0, 1), bias=False)
        self.norm = nn.LayerNorm(8)
        self.line = nn.Linear(8, 5)
        self.scale = nn.Parameter(torch.rand(8, 1) + 0.5)
        self.shift = nn.Parameter(torch.randn(8, 1))

    def initial_state(self, batch: int = 1) -> Kept:
        return Kept(torch.zeros(batch, 6, 4), torch.zeros(batch, 5))

    def forward(self, x: Tensor, state: Kept) -> tuple[Made, Kept]:
        joined = torch.cat([state.past, x], 2)
        a = F.relu(self.one(joined) * self.scale + self.shift)  # all of it goes into the weights
        b = self.two(a) - a  # what is read twice may not change
        c = self.norm(b.transpose(1, 2))
        d = torch.tanh(self.line(c)) * torch.sigmoid(c[..., :5]) / (2.0 + c[..., 3:].abs())
        picture = joined.reshape(1, 2, 3, -1)
        e = self.flat(picture).clamp(-0.5, 0.4)
        kept = Kept(joined[:, :, -4:], state.sums - d.sum(1))
        return Made(torch.cat([d, -d], 2), e.transpose(1, 3) * e[0, 0, 0, 0]), kept


def test_a_network_of_everything(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Everything().eval()
    export(module, {"x": torch.zeros(1, 6, 8)}, tmp_path / "a.onnx", {})
    exact, ours = (Compiled(tmp_path / "a.onnx", name) for name in ("onnxruntime", "numba"))
    states = [exact.initial_state(), ours.initial_state()]
    for _ in range(4):
        feeds = {"x": numbers(48).reshape(1, 6, 8)}
        (expected, states[0]), (found, states[1]) = exact(feeds, states[0]), ours(feeds, states[1])
        for name, value in expected.items():
            assert found[name].shape == value.shape
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def test_convolutions_and_what_is_known_go_into_the_weights(tmp_path: Path) -> None:
    export(Everything().eval(), {"x": torch.zeros(1, 6, 8)}, tmp_path / "a.onnx", {})
    steps = record(onnx.load(tmp_path / "a.onnx")).code
    products = steps[steps[:, 0] == tape.PRODUCT]
    assert len(products) == 2 + 1 + 1 + 1  # two groups, two convolutions, one line
    assert (products[:, -1] == tape.RELU).sum() == 2
    assert not (steps[steps[:, 0] == tape.UNARY][:, 4] == tape.RELU).any()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_plain_twin_plays_the_shipped_networks(path: Path) -> None:
    made = record(onnx.load(path))
    for port in made.inputs.values():
        made.memory[port.part] = 0.3 * numbers(port.part.stop - port.part.start)
    for weights in (made.weights, bfloat16(made.weights)):
        one, other = aligned(made.memory), made.memory.copy()
        tape.play(made.code, made.tables, weights, one)
        tape.play_plain(made.code, made.tables, weights, other)
        np.testing.assert_allclose(one, other, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_nothing_of_one_step_is_left_in_another(path: Path) -> None:
    """Not even of one that was given no numbers."""
    ours, fresh = open_graph(path, "numba"), open_graph(path, "numba")
    given = [
        {n: numbers(int(np.prod(shape))).reshape(shape) for n, shape in ours.inputs.items()}
        for _ in range(2)
    ]
    first = ours(given[0])
    kept = {name: value.copy() for name, value in first.items()}
    ours({name: np.full_like(x, np.nan) for name, x in given[0].items()})
    expected, found = fresh(given[1]), ours(given[1])
    for name in ours.outputs:
        np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(first[name], kept[name])


def test_what_cannot_be_recorded_says_so(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def initial_state(self, batch: int = 1) -> Kept:
            return Everything().initial_state(batch)

        def forward(self, x: Tensor, state: Kept) -> tuple[Made, Kept]:
            return Made(torch.cos(x), x), state

    class Crossed(Sorted):
        def forward(self, x: Tensor, state: Kept) -> tuple[Made, Kept]:
            return Made(x @ x.transpose(1, 2), x), state

    for module, what in ((Sorted(), "Cos"), (Crossed(), "MatMul")):
        export(module, {"x": torch.zeros(1, 6, 8)}, tmp_path / "a.onnx", {})
        with pytest.raises(Unsupported, match=what):
            record(onnx.load(tmp_path / "a.onnx"))
        with pytest.raises(BackendUnavailable, match=f"numba: a.onnx: {what}"):
            open_graph(tmp_path / "a.onnx", "numba")
    with pytest.raises(BackendUnavailable, match="asked fp16"):
        open_graph(SHIPPED[0], "numba", "fp16")
    with pytest.raises(BackendUnavailable, match="is no small network"):
        open_graph(IDENTITIES / "aria" / "neural-lite.onnx", "numba")


def test_bfloat16_is_the_nearest() -> None:
    x = np.concatenate([numbers(999), np.array([1.00390625, 1.01171875, 0, -0.0], np.float32)])
    expected = torch.from_numpy(x).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bfloat16(x), expected)
