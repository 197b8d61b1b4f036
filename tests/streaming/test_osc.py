"""The filled-in bundles against python-osc's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle

from streaming.osc import Bundles, Message, build

WORDS = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=9)
NUMBERS = st.floats(-1e6, 1e6, width=32)
ARGUMENTS = st.lists(st.one_of(WORDS, st.integers(-9, 9), NUMBERS), max_size=5).map(tuple)
MESSAGES = st.lists(st.tuples(WORDS.map("/".__add__), ARGUMENTS), min_size=1, max_size=12)


def with_values(messages: list[Message], values: list[float]) -> list[Message]:
    left = iter(values)
    return [
        (address, tuple(next(left) if isinstance(a, float) else a for a in arguments))
        for address, arguments in messages
    ]


@settings(max_examples=80, deadline=None)
@given(MESSAGES, st.integers(0, 1000), st.integers(120, 400))
def test_filled_in_is_what_python_osc_builds(messages, seed: int, limit: int) -> None:
    bundles = Bundles(messages, limit)
    values = np.random.default_rng(seed).normal(size=bundles.count).astype(np.float32)
    filled = bundles.filled(values)
    assert all(len(bundle) <= limit for bundle in filled)
    plain = build(with_values(messages, [float(v) for v in values]))
    assert b"".join(bundle[16:] for bundle in filled) == plain[16:]
    assert all(bundle[:16] == plain[:16] for bundle in filled)
    assert sum(len(OscBundle(bundle)._contents) for bundle in filled) == len(messages)


def test_earlier_bundles_stay_as_they_were() -> None:
    bundles = Bundles([("/a", (0.0,))])
    [first], [second] = bundles.filled([1.0]), bundles.filled([2.0])
    assert first != second
    assert first == build([("/a", (1.0,))])


def test_wrong_counts_and_giant_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 numbers"):
        Bundles([("/a", (0.0,))]).filled([1.0, 2.0])
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        Bundles([("/" + "a" * 100, ())], 100)
