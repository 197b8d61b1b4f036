"""What a GPU does with the networks, where there is one; else why not."""

from __future__ import annotations

import shutil

from bench.batches import batches
from bench.figures import Cell, Part, Plan, Table
from engine.weights import shipped


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
    """Networks in batches on the GPU, and whether TensorRT opens."""
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
    batches(plan, part, "cuda")
    tensorrt(plan, part)
    return part


def tensorrt(plan: Plan, part: Part) -> None:
    """Both networks through `open_graph(…, "tensorrt")`, for one stream."""
    from functools import partial

    import numpy as np

    from bench.batches import NETWORKS
    from bench.stages import LEAST, WARM, timed
    from kernels.graphs.opening import BackendUnavailable, open_graph

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
