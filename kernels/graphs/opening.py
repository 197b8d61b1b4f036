"""`open_graph(path, backend)`: a named backend works or says why not; only `auto` looks further."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import math
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

Array = NDArray[Any]
log = logging.getLogger(__name__)

LEAST_LIKENESS = 0.99  # of a quantised network to itself in fp32 (SSIM, where it makes pictures)
NVIDIA = Path("/dev/nvidiactl")  # there wherever NVIDIA's driver runs
DRIVER = Path("/proc/driver/nvidia/version")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
PROCESSOR = Path("/proc/cpuinfo")  # Linux's list of what the processor has
ADDING_BYTES = ("vnni", "amx_int8", "asimddp")
SMALL = 1 << 16  # numbers that go into a small network at each step
GPU = ("tensorrt", "cuda")
BATCHING = (*GPU, "eager")  # backends that take several at once
SIZES = (1, 2, 4, 8)  # of the batches that a GPU's graphs and engines are made for


class BackendUnavailable(RuntimeError):
    """The runtime cannot be had here. The message says why and what would mend it."""


class Graph(Protocol):
    """A network with named ports. Calling it is pure: state goes in and comes out by name.

    inputs: shape of each input port. outputs: names in order. meta: what the exporter wrote.
    One that was opened for more than one at once takes as many along the first axis of its ports.
    `buffer` and `borrow` spare copies where pictures are large: what is fed from a port's buffer is
    read where it lies, what is borrowed lies where the next call writes.
    """

    backend: str
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    meta: dict[str, Any]

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]: ...

    def buffer(self, port: str) -> Array:
        """Memory for an input, zero at first; a call that is fed anything else may overwrite it."""
        ...

    def borrow(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """As calling it, but the answers may be gone with the next call."""
        ...


class CopyingGraph(ABC):
    """Buffers and loans of a graph that copies what goes in and out, or needs not."""

    inputs: dict[str, tuple[int, ...]]

    @abstractmethod
    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """See Graph."""

    def buffer(self, port: str) -> Array:
        """See Graph."""
        return np.zeros(self.inputs[port], np.float32)

    def borrow(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """See Graph."""
        return self(feeds)


def _describe(path: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...], dict[str, Any]]:
    """Input shapes, output names and metadata of an ONNX file, without its weights."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    inputs = {
        port.name: tuple(dim.dim_value for dim in port.type.tensor_type.shape.dim)
        for port in model.graph.input
    }
    outputs = tuple(port.name for port in model.graph.output)
    meta = {
        prop.key: json.loads(prop.value) for prop in model.metadata_props if prop.key == "cantar"
    }
    return inputs, outputs, meta.get("cantar", {})


@cache
def _openvino_core() -> Any:
    """One for the process, never let go: when the last one goes, OpenVINO unloads its plugin and
    with it the stack that signals are handled on, and the next Ctrl-C crashes the interpreter."""
    import openvino as ov

    return ov.Core()


def _computes_bf16(core: Any) -> bool:
    """Whether the processor itself does; OpenVINO also offers it where it must emulate it, slower
    than fp32."""
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return able and PROCESSOR.exists() and "bf16" in PROCESSOR.read_text()


def _adds_bytes() -> bool:
    """Whether the processor sums products of bytes in 32 bits: one that has to do it in 16
    overflows, and paints something else."""
    if platform.machine().lower() == "arm64":  # Apple's all do
        return True
    return PROCESSOR.exists() and any(flag in PROCESSOR.read_text() for flag in ADDING_BYTES)


def _rest(precision: str, core: Any) -> str:
    """What OpenVINO computes in where it does not compute in int8."""
    if precision == "int8":
        precision = "bf16" if _computes_bf16(core) else "fp32"
    return "bf16" if precision == "bf16" else "f32"


class _Numba(CopyingGraph):
    """Our own: the network as a tape that one compiled loop plays (kernels/tape.py). For small
    ones: between two frames of a show the caches forget a runtime's layers, but not so this."""

    backend = "numba"

    def __init__(self, path: Path, precision: str) -> None:
        import onnx

        from kernels.graphs.recording import Unsupported, aligned, bfloat16, record
        from kernels.tape import play

        if precision not in ("auto", "bf16", "fp32"):
            raise BackendUnavailable(f"numba runs networks in fp32 or bf16, asked {precision}")
        self.inputs, self.outputs, self.meta = _describe(path)
        if sum(math.prod(shape) for shape in self.inputs.values()) > SMALL:
            raise BackendUnavailable(f"numba: {path.name} is no small network")
        try:
            tape = record(onnx.load(str(path)))
        except Unsupported as error:
            raise BackendUnavailable(f"numba: {path.name}: {error}") from error
        weights = tape.weights if precision == "fp32" else aligned(bfloat16(tape.weights))
        self._play, self._memory = play, tape.memory
        self._tape = tape.code, tape.tables, weights, tape.memory
        self._in, self._out = tape.inputs, tape.outputs

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        for name, port in self._in.items():
            self._memory[port.part] = feeds[name].reshape(-1)
        self._play(*self._tape)
        return {
            name: self._memory[port.part].reshape(port.shape).copy()
            for name, port in self._out.items()
        }


class _OpenVino:
    backend = "openvino"

    def __init__(self, path: Path, precision: str) -> None:
        try:
            import openvino as ov
        except ImportError as error:
            raise BackendUnavailable(f"openvino: {error}; pip install openvino") from error
        core = _openvino_core()
        if precision == "auto":
            precision = "bf16" if _computes_bf16(core) else "fp32"
        if precision == "fp16" or (precision == "bf16" and not _computes_bf16(core)):
            raise BackendUnavailable(f"openvino: this processor does not compute in {precision}")
        self.inputs, self.outputs, self.meta = _describe(path)
        options = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # else activations would be rounded with weights
            "INFERENCE_PRECISION_HINT": _rest(precision, core),
        }
        self._compiled = core.compile_model(str(path), "CPU", options)
        self._request = self._compiled.create_infer_request()
        # Ports are bound once, to memory of OpenVINO's own that we see as arrays: handing arrays
        # over at each call costs as much as inferring. Ports keep their order in the file.
        self._in, self._out = {}, {}
        for index, (name, shape) in enumerate(self.inputs.items()):
            tensor = ov.Tensor(ov.Type.f32, ov.Shape(shape))
            self._request.set_input_tensor(index, tensor)
            self._in[name] = tensor.data
            self._in[name].fill(0)
        for index, name in enumerate(self.outputs):
            tensor = ov.Tensor(ov.Type.f32, self._request.get_output_tensor(index).shape)
            self._request.set_output_tensor(index, tensor)
            self._out[name] = tensor.data

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return {name: array.copy() for name, array in self.borrow(feeds).items()}

    def buffer(self, port: str) -> Array:
        """See Graph."""
        return self._in[port]

    def borrow(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """See Graph."""
        for name, array in self._in.items():
            if feeds[name] is not array:
                np.copyto(array, feeds[name])
        self._request.infer(share_outputs=True)  # else all that is copied next is copied here, too
        return self._out


class _OnnxRuntime(CopyingGraph):
    backend = "onnxruntime"

    def __init__(self, path: Path, precision: str) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendUnavailable(f"onnxruntime: {error}; pip install onnxruntime") from error
        if precision not in ("fp32", "int8"):
            raise BackendUnavailable(
                f"onnxruntime runs these graphs in fp32 or int8, asked {precision}"
            )
        self.inputs, self.outputs, self.meta = _describe(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning would burn most of two cores at a paced 30 fps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(self.outputs, self._session.run(list(self.outputs), feeds), strict=True))


class _Eager(CopyingGraph):
    """The torch module itself, built from the class, configuration and weights in the file. It
    takes any batch."""

    backend = "eager"

    def __init__(self, path: Path, precision: str, most: int = 1) -> None:
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailable(f"eager: {error}; pip install 'cantar[torch]'") from error
        if precision != "fp32":
            raise BackendUnavailable(f"eager runs in fp32 only, asked {precision}")
        self.inputs, self.outputs, self.meta = _describe(path)
        self._torch = torch
        self._module = load_module(path)

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        with self._torch.inference_mode():
            tensors = [self._torch.from_numpy(np.ascontiguousarray(feeds[n])) for n in self.inputs]
            answers = self._module(*tensors)
        return {name: t.numpy() for name, t in zip(self.outputs, answers, strict=True)}


class _TensorRT(_Eager):
    """The eager module compiled by torch-tensorrt. Unverified here: no such machine was at hand."""

    backend = "tensorrt"

    def __init__(self, path: Path, precision: str, most: int = 1) -> None:
        if precision == "int8":
            raise BackendUnavailable("tensorrt: builds from the exact network, in fp32 or fp16")
        try:
            import torch_tensorrt
        except Exception as error:  # it raises a plain Exception when libnvinfer is missing
            reason = str(error).splitlines()[0]
            raise BackendUnavailable(
                f"tensorrt: {reason}; needs an NVIDIA GPU and pip install 'cantar[gpu]'"
            ) from error
        import torch

        if not torch.cuda.is_available():
            raise BackendUnavailable("tensorrt: torch sees no CUDA GPU on this machine")
        super().__init__(path, "fp32")
        types = {torch.float16} if precision != "fp32" else {torch.float32}
        module = self._module.cuda()
        driver = DRIVER.read_text(encoding="utf-8") if DRIVER.is_file() else str(torch.version.cuda)
        kept = engine_cache(torch.cuda.get_device_name(), driver, torch_tensorrt.__version__)
        self._compiled = {
            size: torch_tensorrt.compile(
                module,
                inputs=[torch.zeros(size, *s[1:], device="cuda") for s in self.inputs.values()],
                enabled_precisions=types,
                cache_built_engines=True,
                reuse_cached_engines=True,
                immutable_weights=False,  # else engines are not kept
                engine_cache_dir=str(kept),
            )
            for size in sizes_up_to(most)
        }

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        size, count, full = filled_up(feeds, self._compiled)
        with self._torch.inference_mode():
            tensors = [self._torch.from_numpy(full[name]).cuda() for name in self.inputs]
            answers = [t[:count].cpu().numpy() for t in self._compiled[size](*tensors)]
        return dict(zip(self.outputs, answers, strict=True))


def engine_cache(*makers: str) -> Path:
    """Where engines are kept that were built by a GPU, its driver and TensorRT's binding; they run
    on no others. Within, torch-tensorrt names each by its network."""
    key = hashlib.sha256("\n".join(makers).encode()).hexdigest()[:16]
    return user_cache_path("cantar", appauthor=False) / "tensorrt" / key


def sizes_up_to(most: int) -> list[int]:
    """Those of SIZES that batches of up to `most` need. Raises ValueError beyond the largest."""
    if not 1 <= most <= SIZES[-1]:
        raise ValueError(f"a batch has 1 to {SIZES[-1]}, asked {most}")
    return [size for size in SIZES if size < 2 * most]


def filled_up(feeds: dict[str, Array], sizes: Iterable[int]) -> tuple[int, int, dict[str, Array]]:
    """The smallest size that holds a batch, how many it is, and the batch with zeros behind it.
    Raises ValueError where none holds it."""
    count = len(next(iter(feeds.values())))
    holding = [size for size in sizes if size >= count]
    if not holding:
        raise ValueError(f"a batch of {count} is larger than any that was prepared for")
    size = min(holding)
    rest = size - count
    full = {
        n: np.concatenate([x, np.zeros((rest, *x.shape[1:]), x.dtype)]) for n, x in feeds.items()
    }
    return size, count, full


class _Recorded(NamedTuple):
    """A CUDA graph, and the tensors that it reads (by port) and writes."""

    graph: Any
    given: dict[str, Any]
    made: Any


class _Cuda(_Eager):
    """The eager module on an NVIDIA GPU without TensorRT: channels last, mixed precision, a CUDA
    graph for each size of batch that is recorded at the start, then replayed. Unverified: no such
    machine was at hand."""

    backend = "cuda"

    def __init__(self, path: Path, precision: str, most: int = 1) -> None:
        if not NVIDIA.exists():  # asked before torch, which the live path does without
            raise BackendUnavailable(f"cuda: this machine has no NVIDIA driver (no {NVIDIA})")
        if precision == "int8":
            raise BackendUnavailable("cuda: runs the exact network, in fp32, bf16 or fp16")
        super().__init__(path, "fp32")
        torch = self._torch
        if not torch.cuda.is_available():
            raise BackendUnavailable("cuda: torch sees no CUDA GPU; is it a build for the CPU?")
        self._module = self._module.cuda().to(memory_format=torch.channels_last)
        wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self._mixed = torch.autocast("cuda", wanted, enabled=wanted is not None)
        self._recorded = {size: self._record(size) for size in sizes_up_to(most)}

    def _record(self, size: int) -> _Recorded:
        torch = self._torch
        given = {n: torch.zeros(size, *s[1:], device="cuda") for n, s in self.inputs.items()}
        with torch.inference_mode(), self._mixed:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # what is chosen at first calls must not be recorded
                for _ in range(3):
                    self._module(*given.values())
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # other threads may run other networks meanwhile: only this one's calls are recorded
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                made = self._module(*given.values())
        return _Recorded(graph, given, made)

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        size, count, full = filled_up(feeds, self._recorded)
        graph, given, made = self._recorded[size]
        with self._torch.inference_mode():
            for name, tensor in given.items():
                tensor.copy_(self._torch.from_numpy(full[name]))
            graph.replay()
            answers = [tensor[:count].float().cpu().numpy() for tensor in made]
        return dict(zip(self.outputs, answers, strict=True))


_OPENERS: dict[str, Callable[..., Graph]] = {
    "tensorrt": _TensorRT,
    "cuda": _Cuda,
    "numba": _Numba,
    "openvino": _OpenVino,
    "onnxruntime": _OnnxRuntime,
    "eager": _Eager,
}
BACKENDS = ("auto", *_OPENERS)


def may_batch(backend: str) -> bool:
    """Whether a backend may take several at once, told without opening it: `auto` does where it
    may find a GPU."""
    return backend in BATCHING or (backend == "auto" and NVIDIA.exists())


def open_graph(
    path: Path | str, backend: str = "auto", precision: str = "fp32", most: int = 1
) -> Graph:
    """Open an exported network.

    backend: one of BACKENDS; `auto` tries TensorRT, CUDA, numba (small networks only), OpenVINO,
    ONNX Runtime, eager in that order.
    precision: fp32, or what the backend has of bf16, fp16 and, for a quantised file, int8; `auto`
    is bf16 in numba (of the weights; it computes in fp32) and in OpenVINO on a processor that
    computes in it, fp32 elsewhere.
    most: at once, up to 8; `auto` then looks for a GPU only, since processors gain nothing by it.
    Raises BackendUnavailable with the reason (with every reason, for `auto`), also for a quantised
    network that lost too much; ValueError for an unknown name, FileNotFoundError when there is no
    such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no network at {path}")
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; there are {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
    _check_quantised(path, precision)
    if backend != "auto":
        return _open(backend, path, precision, most)
    reasons = []
    for name in _OPENERS if most == 1 else GPU:
        try:
            graph = _open(name, path, precision, most)
        except BackendUnavailable as reason:
            reasons.append(str(reason))
            continue
        log.info("%s runs on %s", path.name, graph.backend)
        return graph
    raise BackendUnavailable(f"no backend can run {path.name}: " + "; ".join(reasons))


def _open(backend: str, path: Path, precision: str, most: int) -> Graph:
    if precision == "auto" and backend not in ("numba", "openvino"):
        precision = "fp32"
    if most == 1:
        return _OPENERS[backend](path, precision)
    if backend not in BATCHING:
        raise BackendUnavailable(f"{backend}: runs networks as they were exported, one at a time")
    return _OPENERS[backend](path, precision, most)


def _check_quantised(path: Path, precision: str) -> None:
    """Int8 is for networks that were quantised, and that stayed what they were."""
    quantised = _describe(path)[2].get("quantised")
    if (quantised is not None) != (precision == "int8"):
        kind = "exact" if quantised is None else "quantised"
        raise BackendUnavailable(f"{path.name} is {kind}: it does not run in {precision}")
    if quantised is not None and not _adds_bytes():
        raise BackendUnavailable(
            f"{path.name}: int8 needs a processor with VNNI (or Arm's dot product), and none is "
            "known of here: take bf16 or fp32"
        )
    if quantised is not None and quantised["likeness"] < LEAST_LIKENESS:
        raise BackendUnavailable(
            f"{path.name} was measured {quantised['likeness']:.4f} like itself in fp32, less than "
            f"{LEAST_LIKENESS}: take bf16 or fp32"
        )


def load_module(path: Path) -> Any:
    """The torch module an ONNX file was exported from, with the file's own weights, flat ports.

    Only classes of Cantar's own `engine` package are named by such files; anything else is refused.
    """
    import onnx
    import torch

    from kernels.graphs.exporting import Flat, widened

    inputs, _, meta = _describe(path)
    where, _, name = meta.get("module", "").partition(":")
    if not where.startswith("engine."):
        raise ValueError(f"{path.name} names no module of Cantar's (found {where!r})")
    module = getattr(importlib.import_module(where), name).from_config(meta["config"])
    found = widened(onnx.load(str(path)))
    weights = {name: torch.from_numpy(values.copy()) for name, values in found.items()}
    module.load_state_dict(
        {key: weights[key] for key in module.state_dict() if key in weights}, strict=False
    )
    missing = [key for key, _ in module.named_parameters() if key not in weights]
    if missing:
        raise ValueError(f"{path.name} lacks the weights {', '.join(missing[:3])} …")
    return Flat(module, [name for name in inputs if not name.startswith("state.")]).eval()
