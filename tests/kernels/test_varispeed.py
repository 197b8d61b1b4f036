"""Sound read between its samples: against the formula, against a sine, and bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.varispeed import HALF, read_at, read_at_plain, table

NOISE = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)


def fast(source, at: float, step: float, count: int, cutoff: float = 1.0) -> np.ndarray:
    out = np.empty((source.shape[0], count), np.float32)
    read_at(source, at, step, table(cutoff), out)
    return out


@settings(max_examples=50, deadline=None)
@given(st.floats(HALF, 60), st.floats(0.9, 1.1), st.integers(1, 200), st.sampled_from([1.0, 0.9]))
def test_equals_the_formula(at: float, step: float, count: int, cutoff: float) -> None:
    plain = read_at_plain(NOISE, at, step, count, cutoff)
    assert np.abs(fast(NOISE, at, step, count, cutoff) - plain).max() < 2e-4


def test_whole_positions_are_copied() -> None:
    assert np.array_equal(fast(NOISE, 20, 1.0, 300), NOISE[:, 20:320])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 99), st.floats(0.999, 1.001))
def test_in_parts_as_whole(cut: int, step: float) -> None:
    whole = fast(NOISE, 20.25, step, 100)
    parts = [fast(NOISE, 20.25, step, cut), fast(NOISE, 20.25 + cut * step, step, 100 - cut)]
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-5


@pytest.mark.parametrize("hertz", [100, 1000, 8000, 16_000])
@pytest.mark.parametrize("step", [1.0002, 0.9995])
def test_a_sine_stays_a_sine(hertz: float, step: float) -> None:
    n = np.arange(50_000)
    sine = np.sin(2 * np.pi * hertz * n / 48_000).astype(np.float32)[None]
    got = fast(sine, 100.0, step, 48_000)
    expected = np.sin(2 * np.pi * hertz * (100 + step * np.arange(48_000)) / 48_000)
    error = np.sqrt(np.mean((got[0] - expected) ** 2) * 2)
    assert 20 * np.log10(error) < -80
