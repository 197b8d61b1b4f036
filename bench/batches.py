"""Many singers' networks in one step: how long it takes, and how many singers that is a second.

The shipped networks run for batch 1; these are the same weights in torch, for any batch, on the CPU
or on a GPU, there also captured as a CUDA graph, which no launch slows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.figures import Cell, Part, Plan, Table, of_rounds, timing
from bench.machine import apart
from bench.stages import one_torch_thread
from engine.timeline import FRAME_RATE, HOP_RATE
from engine.weights import shipped

NETWORKS = {"separator": ("separator.onnx", HOP_RATE), "MusicFace": ("musicface.onnx", FRAME_RATE)}
BATCHES = {"cpu": (1, 2, 4, 8, 16, 32), "cuda": (1, 4, 16, 64, 256, 1024)}
STEPS = 60  # for each batch, after …
WARM = 5
SPENT_S = 1.0  # for each; slow ones take fewer steps, but …
LEAST = 5  # … no fewer
COLUMNS = ("network", "device", "streams", "a step p50, ms", "p95, ms", "per stream, ms",
           "streams in real time")  # fmt: skip

Step = Callable[[], object]
Case = tuple[str, str, int]  # network, way, batch


def stepping(file: str, device: str, batch: int) -> Step:
    """A function that takes a shipped network one step on, for so many streams at once."""
    import onnx
    import torch

    from kernels.graphs.exporting import leaves_of
    from kernels.graphs.opening import load_module

    flat = load_module(shipped(file)).to(device)
    ports = onnx.load(str(shipped(file)), load_external_data=False).graph.input
    shapes = {port.name: [d.dim_value for d in port.type.tensor_type.shape.dim] for port in ports}
    chance = torch.Generator().manual_seed(0)
    feeds = [torch.rand(batch, *shapes[name][1:], generator=chance) for name in flat.inputs]
    state = leaves_of(flat.module.initial_state(batch))
    tensors = [tensor.to(device) for tensor in (*feeds, *state)]

    def step() -> object:
        with torch.inference_mode():
            return flat(*tensors)

    return step


def captured(step: Step) -> Step:
    """The same on a GPU as one CUDA graph."""
    import torch

    side: Any = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: graph.replay()


def clocked(step: Step, wait: Callable[[], object]) -> list[float]:
    """ms of some steps, each waited for."""
    for _ in range(WARM):
        step()
    wait()
    spent: list[float] = []
    began = time.perf_counter()
    while len(spent) < STEPS:
        if len(spent) >= LEAST and time.perf_counter() - began > SPENT_S:
            break
        start = time.perf_counter()
        step()
        wait()
        spent.append(1000 * (time.perf_counter() - start))
    return spent


def one_round(device: str, sizes: Sequence[int]) -> dict[Case, list[float]]:
    """ms of every network's steps, in every way and for every batch. Raises ImportError without
    torch."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    ways: dict[str, Callable[[Step], Step]] = {"eager": lambda step: step}
    if device == "cuda":
        ways["CUDA graph"] = captured
    with one_torch_thread("eager"):
        return {
            (network, way, batch): clocked(made(stepping(file, device, batch)), wait)
            for network, (file, _) in NETWORKS.items()
            for way, made in ways.items()
            for batch in sizes
        }


class Batches:
    """Rounds of all batches on a device."""

    def __init__(self, plan: Plan, device: str) -> None:
        self._device, self._rounds = device, list[dict[Case, list[float]]]()
        self._sizes = plan.some(BATCHES[device], BATCHES[device][:2])
        self._tell = plan.tell

    def take(self) -> None:
        """One more, in a process of its own. Raises ImportError without torch."""
        self._tell(f"batches, round {len(self._rounds) + 1}")
        self._rounds.append(apart(one_round, self._device, self._sizes))

    def report(self, part: Part) -> None:
        """All rounds, as a table, timings and curves."""
        rows: list[tuple[Cell, ...]] = []
        curves: dict[str, dict[str, list[float]]] = {}
        for network, way, batch in self._rounds[0]:
            rounds = [np.array(taken[network, way, batch]) for taken in self._rounds]
            found = of_rounds(timing(np.concatenate(rounds)), [*map(timing, rounds)])
            name = f"{network}, {way}"
            part.timings[f"{name} on {self._device}, {batch} streams"] = found
            rate, each = NETWORKS[network][1], found.p50 / batch
            real = int(np.floor(1000 / rate / each))
            rows.append((name, self._device, batch, found.p50, found.p95, each, real))
            curve = curves.setdefault(name, {"batch": [], "ms": []})
            curve["batch"].append(batch)
            curve["ms"].append(found.p50)
        part.tables["Batches"] = Table(COLUMNS, tuple(rows))
        part.curves["batches"] = curves
        part.notes.append(
            f"Batches: p50 is that of the quietest of {len(self._rounds)} rounds. A stream that"
            " waits for others waits up to a whole hop (10 ms) or frame (33 ms) more; that wait is"
            " not in these times."
        )
