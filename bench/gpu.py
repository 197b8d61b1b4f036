"""What a GPU does with the networks, where there is one; else why not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.batches import NETWORKS, Batches
from bench.figures import Cell, Part, Plan, Table
from bench.stages import LEAST, WARM, timed
from engine.rendering.identity import load_identity
from engine.rendering.neural.painter import weights
from engine.timeline import FRAME_RATE
from engine.weights import shipped
from kernels.graphs.opening import GPU, SIZES, BackendUnavailable, open_graph

PICTURES = ("backend", "pictures", "a batch p50, ms", "p95, ms", "per picture, ms",
            "sessions in real time")  # fmt: skip


def missing() -> str | None:
    """Why nothing can be measured on a GPU here; None when it can."""
    try:
        import torch
    except ImportError as error:
        return f"{error}; pip install 'cantar[torch]'"
    if torch.cuda.is_available():
        return None
    seen = "" if shutil.which("nvidia-smi") else ", and there is no nvidia-smi"
    return f"torch {torch.__version__} sees no CUDA GPU{seen}"


def measure(plan: Plan) -> Part:
    """Networks and pictures in batches on the GPU, and whether TensorRT opens."""
    part = Part("The same networks on a GPU")
    why = missing()
    if why is not None:
        part.notes.append(f"Not measured: {why}")
        return part
    import torch

    about = torch.cuda.get_device_properties(0)
    facts: list[tuple[Cell, ...]] = [
        ("GPU", about.name),
        ("memory, GB", round(about.total_memory / 1e9, 1)),
        ("torch", torch.__version__),
        ("CUDA", str(torch.version.cuda)),
    ]
    part.tables["Where"] = Table(("what", "it is"), tuple(facts))
    batches = Batches(plan, "cuda")
    for _ in range(plan.rounds(1)):
        batches.take()
    batches.report(part)
    tensorrt(plan, part)
    pictures(plan, part)
    return part


def tensorrt(plan: Plan, part: Part) -> None:
    """Both networks through `open_graph(…, "tensorrt")`, for one stream."""
    for network, (file, _) in NETWORKS.items():
        plan.tell(f"{network} on TensorRT")
        try:
            graph = open_graph(shipped(file), "tensorrt")
        except BackendUnavailable as reason:
            part.notes.append(f"TensorRT is not measured: {reason}")
            return
        feeds = {name: np.zeros(shape, np.float32) for name, shape in graph.inputs.items()}
        found = timed([partial(graph, feeds)] * (LEAST + WARM))
        part.timings[f"{network} on TensorRT, 1 stream, with its copies"] = found


def pictures(
    plan: Plan, part: Part, backends: Sequence[str] = GPU, precision: str = "bf16"
) -> None:
    """Aria's `neural-lite` as sessions share it, for every size of batch, with its copies to the
    GPU and back; guidance is not in these times."""
    path = weights(load_identity("aria"), "neural-lite")
    rows: list[tuple[Cell, ...]] = []
    for backend in backends:
        plan.tell(f"pictures on {backend}")
        try:
            graph = open_graph(path, backend, precision, SIZES[-1])
        except BackendUnavailable as reason:
            part.notes.append(f"Pictures in batches are not measured: {reason}")
            continue
        for size in SIZES:
            feeds = {n: np.zeros((size, *s[1:]), np.float32) for n, s in graph.inputs.items()}
            found = timed([partial(graph, feeds)] * (LEAST + WARM))
            part.timings[f"neural-lite on {backend}, {size} pictures"] = found
            real = int(size * 1000 / FRAME_RATE / found.p50)
            rows.append((backend, size, found.p50, found.p95, found.p50 / size, real))
    part.tables["Pictures in batches"] = Table(PICTURES, tuple(rows))
