"""Hair, shoulders and breath: the stream's laws, and springs that behave like springs."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.secondary import DT, Secondary, SecondaryConfig, spring_step
from engine.stateful import flatten

RIGHT = {"yaw": 0, "pitch": 1, "roll": 2, "x": 3, "y": 4, "z": 5}


def wander(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A head that looks about and a voice that comes and goes."""
    rng = np.random.default_rng(seed)
    head = np.cumsum(rng.normal(0, 0.02, (frames, 6)), axis=0)
    return (0.4 * np.sin(head)).astype(np.float32), rng.random(frames).astype(np.float32)


def run(head: np.ndarray, voice: np.ndarray, chunks: list[int]) -> list[np.ndarray]:
    part = Secondary()
    state, at, parts = part.initial_state(), 0, []
    for length in chunks:
        piece = (head[at : at + length], voice[at : at + length])
        out, state = part(piece, state)
        parts.append(out)
        at += length
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def step(name: str, size: float, frames: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Response to one head value that jumps after one second."""
    head = np.zeros((frames, 6), np.float32)
    head[30:, RIGHT[name]] = size
    part = Secondary()
    out, _ = part((head, np.zeros(frames, np.float32)), part.initial_state())
    return out


@pytest.mark.parametrize("chunks", [[1] * 300, [127, 173], [7, 1, 128, 164], [0, 300, 0]])
def test_any_chunking_gives_the_same_bits(chunks: list[int]) -> None:
    head, voice = wander(300)
    for whole, pieces in zip(run(head, voice, [300]), run(head, voice, chunks), strict=True):
        np.testing.assert_array_equal(whole, pieces)


def test_the_future_never_changes_the_past() -> None:
    head, voice = wander(200)
    other, more = head.copy(), voice.copy()
    other[120:], more[120:] = 0.4, 1.0
    for a, b in zip(run(head, voice, [200]), run(other, more, [200]), strict=True):
        np.testing.assert_array_equal(a[:120], b[:120])
        assert np.abs(a[120:] - b[120:]).max() > 0


def test_two_interleaved_streams_never_touch() -> None:
    part = Secondary()
    streams = [wander(90, seed) for seed in (1, 2)]
    states = [part.initial_state(), part.initial_state()]
    got: list[list[np.ndarray]] = [[], []]
    for n in range(90):
        for k, (head, voice) in enumerate(streams):
            out, states[k] = part((head[n : n + 1], voice[n : n + 1]), states[k])
            got[k].append(out[0])
    for k, (head, voice) in enumerate(streams):
        np.testing.assert_array_equal(np.concatenate(got[k]), run(head, voice, [90])[0])


def test_the_old_state_stays_valid_and_shapes_never_change() -> None:
    part = Secondary()
    first = part.initial_state()
    kept = {name: leaf.copy() for name, leaf in flatten(first).items()}
    _, last = part(wander(50), first)
    for name, leaf in flatten(first).items():
        np.testing.assert_array_equal(leaf, kept[name])
    for name, leaf in flatten(last).items():
        assert leaf.shape == kept[name].shape
        assert leaf.dtype == kept[name].dtype


@pytest.mark.parametrize("size", [0.0, 0.3, 3.0])
def test_an_hour_stays_bounded(size: float) -> None:
    frames = 30 * 3600 if size == 0.3 else 30 * 600
    rng = np.random.default_rng(5)
    head = rng.normal(0, size, (frames, 6)).astype(np.float32)
    voice = (rng.random(frames) < 0.7).astype(np.float32)
    part = Secondary()
    (hair, body, breath), state = part((head, voice), part.initial_state())
    limit = SecondaryConfig().hair_limit
    assert np.isfinite(body).all()
    assert np.abs(hair).max() <= limit
    assert np.abs(body).max() <= max(1e-6, 2.0 * size)
    assert 0.0 <= breath.min() <= breath.max() <= 1.0
    assert 0.0 <= state.lungs[1] <= 1.0


@pytest.mark.parametrize(
    ("name", "swing"), [("yaw", 0), ("roll", 0), ("x", 0), ("pitch", 1), ("z", 1)]
)
def test_hair_lags_behind_the_head_and_comes_to_rest(name: str, swing: int) -> None:
    hair, _, _ = step(name, 0.2 if name in "xz" else 0.3)
    assert hair[30, swing] < -0.01  # left behind
    assert hair[31:60, swing].max() > hair[-1, swing] + 0.005  # overshoots
    assert np.abs(np.diff(hair[-10:], axis=0)).max() < 1e-4
    if name in ("yaw", "x", "z"):
        assert abs(hair[-1, swing]) < 1e-3
    else:
        assert hair[-1, swing] < -0.05  # gravity keeps hanging hair upright
    assert np.abs(hair[:, 1 - swing]).max() < 1e-6


@pytest.mark.parametrize(("name", "axis"), [("yaw", 0), ("pitch", 1), ("roll", 2)])
def test_shoulders_follow_lazily(name: str, axis: int) -> None:
    _, body, _ = step(name, 0.4)
    share = SecondaryConfig().body_share[axis]
    assert 0.0 < body[30, axis] < 0.1 * 0.4 * share
    assert body[-1, axis] == pytest.approx(0.4 * share, rel=1e-3)
    assert body[:, axis].max() < 1.05 * 0.4 * share


def test_the_first_frame_does_not_jerk() -> None:
    head = np.full((30, 6), 0.2, np.float32)
    hair, body, _ = run(head, np.zeros(30, np.float32), [30])
    assert np.abs(np.diff(hair, axis=0)).max() < 1e-6
    assert np.abs(np.diff(body, axis=0)).max() < 1e-6


def test_breath_falls_while_singing_and_rises_in_pauses() -> None:
    voice = np.zeros(900, np.float32)
    voice[300:600] = 1.0
    _, _, breath = run(np.zeros((900, 6), np.float32), voice, [900])
    assert breath[200:300].max() - breath[200:300].min() > 0.1  # quiet breathing goes on
    assert np.all(np.diff(breath[345:600]) < 0.0)
    assert breath[599] < 0.2
    assert breath[600 + 60] > 0.6
    assert np.abs(np.diff(breath)).max() < 0.06


@pytest.mark.parametrize("damping", [0.05, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("frequency", [0.1, 2.0, 14.0, 80.0])
def test_spring_steps_are_exact_and_stable(frequency: float, damping: float) -> None:
    whole, half = spring_step(frequency, damping), spring_step(frequency, damping, DT / 2)
    np.testing.assert_allclose(whole, half @ half, rtol=1e-9, atol=1e-9)
    assert np.abs(np.linalg.eigvals(whole)).max() < 1.0


def test_bad_input_is_refused() -> None:
    part = Secondary()
    state = part.initial_state()
    ok = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"head must be \[T, 6\]"):
        part((np.zeros((4, 5), np.float32), ok), state)
    with pytest.raises(ValueError, match="voice must be"):
        part((np.zeros((5, 6), np.float32), ok), state)
    with pytest.raises(ValueError, match="finite"):
        part((np.full((4, 6), np.nan, np.float32), ok), state)
    with pytest.raises(ValueError, match="batch=2"):
        part.initial_state(2)
