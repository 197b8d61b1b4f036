"""Int8: smaller, alike, refused where it is not, on every backend that has it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.rendering.neural.networks import LiteConfig, build, examples
from kernels.graphs import BackendUnavailable, open_graph, opening
from kernels.graphs.exporting import export
from kernels.graphs.quantising import quantise

pytest.importorskip("nncf")
if not opening._adds_bytes():
    pytest.skip("int8 needs a processor with VNNI", allow_module_level=True)
CONFIG = LiteConfig(size=64, widths=(16, 24), fine=8)


def closeness(made: dict, truth: dict) -> float:
    return 1 - float(np.abs(made["rgba"] - truth["rgba"]).mean())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    torch.manual_seed(0)
    module = build(CONFIG).eval()
    torch.nn.init.normal_(module.paint.weight, 0, 0.02)  # type: ignore[union-attr, arg-type]
    path = tmp_path_factory.mktemp("int8") / "lite.onnx"
    export(module, examples(module), path, asdict(CONFIG), bits=16)
    rng = np.random.default_rng(0)
    shapes = {name: x.shape for name, x in examples(module).items()}
    seen = [{n: rng.random(s).astype(np.float32) for n, s in shapes.items()} for _ in range(12)]
    return path, seen


@pytest.fixture(scope="module")
def small(network: tuple[Path, list[dict]]) -> Path:
    path, seen = network
    out = path.with_name("lite.int8.onnx")
    assert quantise(path, seen, closeness, out) > 0.99
    return out


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_int8_paints_what_fp32_paints(
    network: tuple[Path, list[dict]], small: Path, backend: str
) -> None:
    path, seen = network
    rounded, exact = open_graph(small, backend, "int8"), open_graph(path, backend)
    assert closeness(rounded(seen[0]), exact(seen[0])) > 0.98
    assert rounded.meta["config"] == exact.meta["config"]


def test_weights_take_a_byte_each(network: tuple[Path, list[dict]], small: Path) -> None:
    wide = sum(np.prod(t.dims) for t in onnx.load(str(small)).graph.initializer if t.data_type == 1)
    assert wide < 3000  # biases and scales
    assert small.stat().st_size < 2 * network[0].stat().st_size


def test_it_may_be_compared_with_what_it_was_made_from(
    network: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    path, seen = network
    asked = []

    def note(made: dict, truth: dict) -> float:
        asked.append(float(np.abs(truth["rgba"] - before(seen[0])["rgba"]).max()))
        return 0.5

    before = open_graph(path, "openvino")
    torch.manual_seed(7)
    other = build(CONFIG).eval()
    export(other, examples(other), tmp_path / "other.onnx", asdict(CONFIG))
    assert quantise(tmp_path / "other.onnx", seen, note, tmp_path / "a.onnx", like=path) == 0.5
    assert asked[0] < 1e-6


def test_a_file_runs_in_its_own_precision_only(
    network: tuple[Path, list[dict]], small: Path
) -> None:
    with pytest.raises(BackendUnavailable, match="is quantised: it does not run in fp32"):
        open_graph(small)
    for backend in ("eager", "tensorrt"):
        with pytest.raises(BackendUnavailable, match=backend):
            open_graph(small, backend, "int8")


def test_a_processor_that_would_overflow_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "cpuinfo"
    older.write_text("flags : sse2 avx2 avx512f\n")
    monkeypatch.setattr(opening, "PROCESSOR", older)
    monkeypatch.setattr(opening.platform, "machine", lambda: "x86_64")
    with pytest.raises(BackendUnavailable, match="int8 needs a processor with VNNI"):
        open_graph(small, "openvino", "int8")


def test_what_lost_too_much_is_refused(small: Path, tmp_path: Path) -> None:
    model = onnx.load(str(small))
    meta = json.loads(model.metadata_props[0].value)
    meta["quantised"]["likeness"] = 0.97
    onnx.helper.set_model_props(model, {"cantar": json.dumps(meta)})
    onnx.save(model, str(tmp_path / "worse.onnx"))
    with pytest.raises(BackendUnavailable, match=r"0\.9700 like itself in fp32, less than 0\.99"):
        open_graph(tmp_path / "worse.onnx", precision="int8")


def test_too_few_examples(network: tuple[Path, list[dict]], tmp_path: Path) -> None:
    path, seen = network
    with pytest.raises(ValueError, match="at least 4 examples"):
        quantise(path, seen[:1], closeness, tmp_path / "x.onnx")
