"""The gate: its twin, chunking, bounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.gating import gate, gate_plain

OPTIONS = (0.05, 0.999, 200, 1 / 100, 1 / 500)


def song(seed: int, n: int = 3000) -> np.ndarray:
    random = np.random.default_rng(seed)
    loud = np.repeat(random.choice([0.001, 0.04, 0.3], n // 100), 100)
    return (random.normal(size=(2, n)) * loud).astype(np.float32)


def closed() -> np.ndarray:
    return np.array([0, 201, 0], np.float32)


def test_equals_its_twin() -> None:
    fast, plain, a, b = song(1), song(1), closed(), closed()
    gate(fast, a, *OPTIONS)
    gate_plain(plain, b, *OPTIONS)
    assert np.allclose(fast, plain, atol=1e-6)
    assert np.allclose(a, b, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.lists(st.integers(1, 2999), max_size=5))
def test_any_chunking_is_the_whole_and_nothing_grows(seed: int, cuts: list[int]) -> None:
    whole, parts, state = song(seed), song(seed), closed()
    gate(whole, closed(), *OPTIONS)
    for part in np.split(parts, sorted(cuts), axis=1):
        piece = np.ascontiguousarray(part)
        gate(piece, state, *OPTIONS)
        part[:] = piece
    assert np.allclose(parts, whole, atol=1e-5)
    assert (np.abs(whole) <= np.abs(song(seed)) + 1e-7).all()
