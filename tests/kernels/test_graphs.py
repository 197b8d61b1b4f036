"""Exported networks: every backend against eager, names kept, refusals that say why."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.compiled import Compiled
from engine.hearing.separator_net import SeparatorConfig, SeparatorNet
from engine.motion.musicface_net import SMALL, MusicFace
from engine.rendering.neural.networks import LiteConfig, NoState, Painted, build, examples
from kernels.graphs import BackendUnavailable, open_graph, opening
from kernels.graphs.exporting import export, widened
from kernels.graphs.opening import (
    SIZES,
    engine_cache,
    filled_up,
    load_module,
    sizes_up_to,
)

TOLERANCE = {"fp32": 2e-5, "bf16": 2e-2}
STEPS = 60


def _trained_like(module: torch.nn.Module) -> torch.nn.Module:
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(part.running_mean, 0, 0.1)
            torch.nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.nn.Module]]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("graphs")
    config = SeparatorConfig()
    separator, face = _trained_like(SeparatorNet(config)), _trained_like(MusicFace(SMALL))
    export(separator, {"views": torch.zeros(1, 1, 2, 96)}, folder / "a.onnx", asdict(config))
    inputs = {
        "windows": torch.zeros(1, 1, 2, 39, 26),
        "code": torch.zeros(1, 1, SMALL.code),
    }
    export(face, inputs, folder / "b.onnx", asdict(SMALL))
    return {"separator": (folder / "a.onnx", separator), "musicface": (folder / "b.onnx", face)}


@pytest.mark.parametrize("name", ["separator", "musicface"])
@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("eager", "fp32"),
        ("numba", "fp32"),
        ("numba", "bf16"),
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
        ("openvino", "bf16"),
        *(
            pytest.param(backend, precision, marks=pytest.mark.gpu)
            for backend, precision in (("cuda", "fp32"), ("cuda", "bf16"), ("tensorrt", "fp32"))
        ),
    ],
)
def test_looped_graph_equals_the_module_on_the_whole(
    exported: dict, name: str, backend: str, precision: str
) -> None:
    path, module = exported[name]
    try:
        part = Compiled(path, backend, precision)
    except BackendUnavailable as reason:
        if precision == "fp32":
            raise
        pytest.skip(str(reason))
    assert part.graph.backend == backend
    rng = np.random.default_rng(0)
    first, *rest = [n for n in part.graph.inputs if not n.startswith("state.")]
    x = rng.normal(0, 1, (1, STEPS, *part.graph.inputs[first][2:])).astype(np.float32)
    extra = {n: np.zeros(part.graph.inputs[n], np.float32) for n in rest}
    wide = [torch.zeros(1, STEPS, *part.graph.inputs[n][2:]) for n in rest]
    with torch.no_grad():
        whole, _ = module(torch.from_numpy(x), *wide, module.initial_state(1))
    state = part.initial_state()
    steps = []
    for n in range(STEPS):
        answer, state = part({first: x[:, n : n + 1], **extra}, state)
        steps.append(answer)
    for port in whole._fields:
        looped = np.concatenate([step[port] for step in steps], axis=1)
        expected = getattr(whole, port).numpy()
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(looped, expected, atol=TOLERANCE[precision] * scale)


@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [
        ("eager", 1e-5),
        pytest.param("cuda", 1e-4, marks=pytest.mark.gpu),
        pytest.param("tensorrt", 1e-4, marks=pytest.mark.gpu),
    ],
)
def test_a_batch_is_what_each_is_alone(tmp_path: Path, backend: str, tolerance: float) -> None:
    """Up to the rounding of floats: a larger batch may be summed in another order."""
    torch.manual_seed(1)
    network = build(LiteConfig(size=32, widths=(8, 12), fine=8)).eval()
    export(network, examples(network), tmp_path / "lite.onnx", asdict(network.config))
    alone = open_graph(tmp_path / "lite.onnx", "eager")
    together = open_graph(tmp_path / "lite.onnx", backend, most=SIZES[-1])
    assert together.backend == backend
    rng = np.random.default_rng(0)
    for count in range(1, SIZES[-1] + 1):
        feeds = {
            name: rng.random((count, *shape[1:]), np.float32)
            for name, shape in together.inputs.items()
        }
        made = together(feeds)["rgba"]
        each = [alone({name: x[n : n + 1] for name, x in feeds.items()}) for n in range(count)]
        expected = np.concatenate([one["rgba"] for one in each])
        np.testing.assert_allclose(made, expected, atol=tolerance)


@pytest.mark.parametrize("backend", ["eager", "numba", "onnxruntime", "openvino"])
def test_buffers_and_loans_change_no_answer(exported: dict, backend: str) -> None:
    graph = open_graph(exported["separator"][0], backend)
    rng = np.random.default_rng(2)
    feeds = [
        {n: rng.random(shape).astype(np.float32) for n, shape in graph.inputs.items()}
        for _ in range(2)
    ]
    expected = [graph(one) for one in feeds]
    written = {port: graph.buffer(port) for port in graph.inputs}
    for port, array in written.items():
        assert (array.shape, array.dtype) == (graph.inputs[port], np.float32)
    for one, answer in zip(feeds, expected, strict=True):
        for port, array in written.items():
            array[:] = one[port]
        borrowed = graph.borrow(written)
        for name in graph.outputs:
            np.testing.assert_array_equal(borrowed[name], answer[name])
    kept = graph(feeds[0])
    graph.borrow(feeds[1])
    for name in graph.outputs:  # what was answered, not lent, stays
        np.testing.assert_array_equal(kept[name], expected[0][name])


@pytest.mark.parametrize("backend", ["numba", "onnxruntime", "openvino"])
def test_buffers_are_zero_at_first(exported: dict, backend: str) -> None:
    graph = open_graph(exported["musicface"][0], backend)
    assert not any(graph.buffer(port).any() for port in graph.inputs)


def test_batches_are_filled_up_to_a_prepared_size() -> None:
    assert [sizes_up_to(most) for most in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 4], [1, 2, 4, 8]]
    for most in (0, 9):
        with pytest.raises(ValueError, match=f"a batch has 1 to 8, asked {most}"):
            sizes_up_to(most)
    x = np.ones((3, 2), np.float32)
    size, count, full = filled_up({"x": x}, SIZES)
    assert (size, count, full["x"].shape, full["x"].dtype) == (4, 3, (4, 2), np.float32)
    np.testing.assert_array_equal(full["x"][:3], x)
    assert not full["x"][3:].any()
    with pytest.raises(ValueError, match="a batch of 3 is larger than any"):
        filled_up({"x": x}, (1, 2))


def test_what_runs_one_at_a_time_says_so(exported: dict) -> None:
    path = exported["separator"][0]
    for backend in ("openvino", "onnxruntime"):
        with pytest.raises(BackendUnavailable, match=f"{backend}: .* one at a time"):
            open_graph(path, backend, most=2)
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailable, match=r"tensorrt: .*; cuda: ") as refusal:
            open_graph(path, most=2)  # a GPU, or none: never a processor
        assert "eager" not in str(refusal.value)


def test_state_ports_are_named_from_the_tree(exported: dict) -> None:
    graph = open_graph(exported["musicface"][0], "onnxruntime")
    assert "state.pose.hidden" in graph.inputs
    assert "next_state.pose.hidden" in graph.outputs


def test_the_file_is_the_checkpoint(exported: dict) -> None:
    """Parameters are initialisers under their own names, and load back unchanged."""
    for path, module in exported.values():
        names = {tensor.name for tensor in onnx.load(str(path)).graph.initializer}
        assert {name for name, _ in module.named_parameters()} <= names
        again = load_module(path).module.state_dict()
        for key, value in module.state_dict().items():
            if "num_batches" not in key:
                torch.testing.assert_close(again[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["eager", "numba", "onnxruntime", "openvino"])
@pytest.mark.parametrize("bits", [16, 8])
def test_weights_stored_in_few_bits_are_computed_in_full(
    exported: dict, tmp_path: Path, backend: str, bits: int
) -> None:
    """A half or a quarter of the size; the answers are those of the rounded weights, to float32's
    precision."""
    path, module = exported["separator"]
    narrow = tmp_path / "narrow.onnx"
    views = torch.randn(1, 1, 2, 96, generator=torch.Generator().manual_seed(3))
    export(module, {"views": views}, narrow, asdict(module.config), bits)
    assert narrow.stat().st_size < (bits / 32 + 0.1) * path.stat().st_size
    stored = {name: torch.from_numpy(w.copy()) for name, w in widened(onnx.load(narrow)).items()}
    exact = module.state_dict()
    for name in exact.keys() & stored.keys():
        off = (stored[name] - exact[name]).abs().max() / exact[name].abs().max().clamp(1e-9)
        assert off < (1e-3 if bits == 16 else 0.5 / 127 + 1e-3), name
    again = SeparatorNet(module.config).eval()
    again.load_state_dict({**exact, **{name: w for name, w in stored.items() if name in exact}})
    part = Compiled(narrow, backend)
    answer, _ = part({"views": views.numpy()}, part.initial_state())
    with torch.no_grad():
        expected, _ = again(views, again.initial_state(1))
    np.testing.assert_allclose(answer["bands"], expected.bands.numpy(), atol=2e-5)
    with pytest.raises(ValueError, match="bits must be 32, 16 or 8, got 4"):
        export(module, {"views": views}, narrow, asdict(module.config), 4)


def test_a_weight_that_is_called_scale_is_no_step_of_another(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(64, 64)
            self.inner.scale = torch.nn.Parameter(torch.arange(64.0))

        def initial_state(self, batch: int = 1) -> NoState:
            return NoState()

        def forward(self, x: torch.Tensor, state: NoState) -> tuple[Painted, NoState]:
            return Painted(self.inner(x) * self.inner.scale), state

    export(Scaled(), {"x": torch.zeros(1, 64)}, tmp_path / "a.onnx", {}, 8)
    found = widened(onnx.load(tmp_path / "a.onnx"))
    np.testing.assert_array_equal(found["inner.scale"], np.arange(64.0))
    assert "inner.weight.scale" not in found


def test_auto_prefers_a_compiled_backend(exported: dict) -> None:
    assert open_graph(exported["separator"][0]).backend in ("tensorrt", "cuda", "numba")


def test_auto_is_bf16_only_where_the_processor_itself_computes_in_it(
    exported: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = exported["separator"]
    rng = np.random.default_rng(0)
    shapes = open_graph(path, "openvino").inputs
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def answer(backend: str, precision: str) -> np.ndarray:
        return open_graph(path, backend, precision)(feeds)["bands"]

    same = np.testing.assert_array_equal
    same(answer("onnxruntime", "auto"), answer("onnxruntime", "fp32"))
    same(answer("numba", "auto"), answer("numba", "bf16"))  # only its weights are rounded
    if opening.PROCESSOR.exists() and "bf16" in opening.PROCESSOR.read_text():
        same(answer("openvino", "auto"), answer("openvino", "bf16"))
        assert (answer("openvino", "auto") != answer("openvino", "fp32")).any()
    older = tmp_path / "cpuinfo"
    older.write_text("flags : sse2 avx2 avx512f\n")
    monkeypatch.setattr(opening, "PROCESSOR", older)
    same(answer("openvino", "auto"), answer("openvino", "fp32"))
    with pytest.raises(BackendUnavailable, match="this processor does not compute in bf16"):
        open_graph(path, "openvino", "bf16")


def test_refusals_say_why(exported: dict, tmp_path: Path) -> None:
    path = exported["separator"][0]
    with pytest.raises(ValueError, match="unknown backend 'openvno'"):
        open_graph(path, "openvno")
    with pytest.raises(ValueError, match="unknown precision 'fp8'"):
        open_graph(path, precision="fp8")
    with pytest.raises(BackendUnavailable, match="is exact: it does not run in int8"):
        open_graph(path, precision="int8")
    with pytest.raises(BackendUnavailable, match="onnxruntime runs these graphs in fp32 or int8"):
        open_graph(path, "onnxruntime", "bf16")
    with pytest.raises(FileNotFoundError, match="no network at"):
        open_graph(tmp_path / "none.onnx")
    if not torch.cuda.is_available():
        for backend in ("tensorrt", "cuda"):
            with pytest.raises(BackendUnavailable, match=rf"{backend}: .*"):
                open_graph(path, backend)


def test_tensorrt_keeps_engines_apart_by_who_built_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = [engine_cache("H100", "580.1", "2.13"), engine_cache("H100", "580.2", "2.13")]
    assert kept[0] != kept[1]
    assert kept[0] == engine_cache("H100", "580.1", "2.13")
    if sys.platform == "linux":
        assert kept[0].is_relative_to(tmp_path / "cantar")


def test_a_file_may_not_name_foreign_code(exported: dict, tmp_path: Path) -> None:
    model = onnx.load(str(exported["separator"][0]))
    onnx.helper.set_model_props(model, {"cantar": '{"module": "os:system", "config": {}}'})
    onnx.save(model, str(tmp_path / "evil.onnx"))
    with pytest.raises(ValueError, match="no module of Cantar's"):
        open_graph(tmp_path / "evil.onnx", "eager")
