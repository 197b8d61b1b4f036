"""A batched network: each gets its own answer, in order, together with those that wait; nobody
waits for those that do not."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engine.avatar import AvatarConfig, RendererConfig
from kernels.graphs import opening
from streaming.batching import Batched, may_share

MOST = 4
WRONG = -1.0  # what the network refuses


class Doubling:
    """A network that doubles: x [B, 2] → y [B, 2]. sizes: of the batches that it ran."""

    backend, meta = "eager", {}
    inputs, outputs = {"x": (1, 2)}, ("y",)

    def __init__(self):
        self.sizes = []

    def __call__(self, feeds):
        self.sizes.append(len(feeds["x"]))
        if WRONG in feeds["x"]:
            raise ValueError("not this one")
        return {"y": 2 * feeds["x"]}


def feeds(value):
    return {"x": np.full((1, 2), value, np.float32)}


def assert_doubled(answer, value):
    np.testing.assert_array_equal(answer["y"], np.full((1, 2), 2 * value, np.float32))


@pytest.fixture
def network():
    return Doubling()


@pytest.fixture
def batched(network):
    return Batched(network, MOST)


def test_those_that_wait_are_one_batch_and_each_gets_its_own(network, batched):
    asked = [batched.ask(feeds(n)) for n in range(3)]
    for n in (2, 0, 1):
        assert_doubled(batched.answer(asked[n]), n)
    assert network.sizes == [3]


def test_what_comes_alone_is_answered_at_once(network, batched):
    for n in range(3):
        assert_doubled(batched(feeds(n)), n)
    assert network.sizes == [1, 1, 1]


def test_batches_are_bounded_and_go_in_the_order_of_asking(network, batched):
    asked = [batched.ask(feeds(n)) for n in range(2 * MOST + 1)]
    batched.answer(asked[MOST])
    assert [one.answer.done() for one in asked] == [True] * (2 * MOST) + [False]
    assert_doubled(batched.answer(asked[-1]), 2 * MOST)
    assert network.sizes == [MOST, MOST, 1]


def test_only_what_is_wrong_is_told_so(network, batched):
    asked = [batched.ask(feeds(value)) for value in (1, WRONG, 3)]
    assert_doubled(batched.answer(asked[0]), 1)
    with pytest.raises(ValueError, match="not this one"):
        batched.answer(asked[1])
    assert_doubled(batched.answer(asked[2]), 3)
    assert network.sizes == [3, 1, 1, 1]
    assert_doubled(batched(feeds(4)), 4)


def test_many_threads_get_their_own(network, batched):
    together, wrong = threading.Barrier(3 * MOST), []

    def draw(who):
        together.wait(10)
        for n in range(50):
            value = 100.0 * who + n
            if not (batched(feeds(value))["y"] == 2 * value).all():
                wrong.append(value)

    threads = [threading.Thread(target=draw, args=(who,)) for who in range(3 * MOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not [thread for thread in threads if thread.is_alive()]
    assert not wrong
    assert sum(network.sizes) == 50 * len(threads)
    assert max(network.sizes) <= MOST


def test_only_networks_on_backends_that_batch_are_shared(monkeypatch, tmp_path):
    def shared(avatar, name, backend):
        return may_share(AvatarConfig(avatar, renderer=RendererConfig(name, backend=backend)))

    for backend in ("cuda", "tensorrt", "eager"):
        assert shared("aria", "neural-lite", backend)
        assert not shared("aria", "head", backend)
        assert not shared("lumi", "auto", backend)
    for backend in ("openvino", "onnxruntime"):
        assert not shared("aria", "neural-lite", backend)
    monkeypatch.setattr(opening, "NVIDIA", tmp_path / "none")
    assert not shared("aria", "neural-lite", "auto")
    monkeypatch.setattr(opening, "NVIDIA", tmp_path)
    assert shared("aria", "neural-lite", "auto")
