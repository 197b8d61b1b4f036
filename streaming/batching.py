"""One network for many sessions: what they ask for at the same time runs as one batch."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.avatar import AvatarConfig, Renderer, renderer_of
from engine.rendering.identity import load_identity
from engine.signals import F32
from kernels.graphs import Graph, open_graph
from kernels.graphs.opening import CopyingGraph, may_batch

MOST = 8  # pictures in a batch
NEURAL = ("neural", "neural-lite")  # renderers that run a network
_OPENING = threading.Lock()


class Asked(NamedTuple):
    """What somebody waits for. feeds: of one, by port."""

    feeds: dict[str, F32]
    answer: Future[dict[str, F32]]


class Batched(CopyingGraph):
    """A network that runs once for all who wait for it. Thread-safe.

    It never waits for more to come: whoever finds it idle runs it, together with those who asked
    while it ran, in the order in which they came. As many wait as there are sessions: each draws
    one picture at a time. What it makes is what the graph makes of each alone, up to the rounding
    of floats, for runtimes sum in another order for another batch.
    """

    def __init__(self, graph: Graph, most: int) -> None:
        """most: at once; the graph was opened for as many."""
        self.backend, self.meta = graph.backend, graph.meta
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._graph, self._most = graph, most
        self._waiting: list[Asked] = []
        self._running = False
        self._turn = threading.Condition()

    def __call__(self, feeds: dict[str, F32]) -> dict[str, F32]:
        """As the graph itself, for one."""
        return self.answer(self.ask(feeds))

    def ask(self, feeds: dict[str, F32]) -> Asked:
        """Get in line; somebody has to wait for the answer."""
        asked = Asked(feeds, Future())
        with self._turn:
            self._waiting.append(asked)
        return asked

    def answer(self, asked: Asked) -> dict[str, F32]:
        """Wait for it, or run it. Raises what the graph raises for this one alone."""
        while batch := self._batch_with(asked):
            try:
                self._run(batch)
            finally:
                with self._turn:
                    self._running = False
                    self._turn.notify_all()
        return asked.answer.result()

    def _batch_with(self, asked: Asked) -> list[Asked]:
        """Those whose turn it is, to be run here; nobody, once this one has been answered."""
        with self._turn:
            self._turn.wait_for(lambda: asked.answer.done() or not self._running)
            if asked.answer.done():
                return []
            self._running = True
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            return batch

    def _run(self, batch: list[Asked]) -> None:
        try:
            feeds = {n: np.concatenate([asked.feeds[n] for asked in batch]) for n in self.inputs}
            made = self._graph(feeds)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for asked in batch:  # alone, only those fail whose fault it is
                self._run([asked])
            return
        for n, asked in enumerate(batch):
            asked.answer.set_result({name: x[n : n + 1] for name, x in made.items()})


def may_share(config: AvatarConfig) -> bool:
    """Whether a renderer runs a network on a backend that may take several pictures at once."""
    return may_batch(config.renderer.backend) and renderer_of(config) in NEURAL


def open_batched(config: AvatarConfig) -> Renderer:
    """A neural renderer whose network is run together with those of all others of this process.

    Raises what opening it raises, BackendUnavailable where it cannot take several at once.
    """
    from engine.rendering.neural.painter import Painter

    look = replace(config.renderer, name=renderer_of(config))
    return Painter(load_identity(config.avatar), look, _opened)


def _opened(path: Path, backend: str, precision: str) -> Batched:
    with _OPENING:  # else two who come at once would have a network each
        return _opened_once(path, backend, precision)


@functools.cache
def _opened_once(path: Path, backend: str, precision: str) -> Batched:
    return Batched(open_graph(path, backend, precision, MOST), MOST)
