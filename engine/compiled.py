"""An exported network as a stateful part: one step in, one out, state ports held in a value."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.signals import F32
from kernels.graphs import open_graph


class CompiledState(NamedTuple):
    leaves: tuple[F32, ...]  # one array per state port, in the graph's order


class Compiled:
    """`feeds, state → answers, state` over a graph with ports `state.…` and `next_state.…`."""

    def __init__(self, path: Path, backend: str = "auto", precision: str = "fp32") -> None:
        """Raises what `open_graph` raises, and ValueError when the state ports do not pair up."""
        self.graph = open_graph(path, backend, precision)
        self.config = self.graph.meta.get("config", {})
        self._ports = tuple(name for name in self.graph.inputs if name.startswith("state."))
        self._after = tuple(f"next_{name}" for name in self._ports)
        unpaired = set(self._after) ^ {n for n in self.graph.outputs if n.startswith("next_state.")}
        if unpaired:
            raise ValueError(f"{path} has unpaired state ports: {', '.join(sorted(unpaired))}")

    def initial_state(self, batch: int = 1) -> CompiledState:
        """All zeros, which every exported module starts from. Graphs are exported for batch 1."""
        if batch != 1:
            raise ValueError(f"graphs are exported for batch 1, got {batch}")
        shapes = self.graph.inputs
        return CompiledState(tuple(np.zeros(shapes[name], np.float32) for name in self._ports))

    def __call__(
        self, feeds: dict[str, F32], state: CompiledState
    ) -> tuple[dict[str, F32], CompiledState]:
        answers = self.graph({**feeds, **dict(zip(self._ports, state.leaves, strict=True))})
        return answers, CompiledState(tuple(answers[name] for name in self._after))
