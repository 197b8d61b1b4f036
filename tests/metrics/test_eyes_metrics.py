"""Blinks, their rate and lengths, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.eyes import (
    EDGES,
    blink_duration,
    blink_rate,
    closing_distribution,
    closing_durations,
    closings,
    duration_distance,
    eye_cca,
)
from engine.motion.eyes import PAPER, PEOPLE, Eyes


def shut(*stretches: tuple[int, int], frames: int = 300) -> np.ndarray:
    closure = np.zeros(frames, np.float32)
    for start, end in stretches:
        closure[start:end] = 1
    return closure


def test_closings_by_hand() -> None:
    closure = shut((10, 16), (100, 115), (200, 216))
    assert closings(closure).tolist() == [[10, 16], [100, 115], [200, 216]]
    np.testing.assert_allclose(closing_durations(closure), [0.2, 0.5, 16 / 30])
    assert blink_rate(closure) == pytest.approx(2 / 10)  # 16 frames are a long closing
    assert blink_duration(closure) == pytest.approx(0.35)


def test_what_the_ends_cut_off_has_no_duration_but_counts() -> None:
    closure = shut((0, 4), (50, 53), (298, 300))
    np.testing.assert_allclose(closing_durations(closure), [0.1])
    assert blink_rate(closure) == pytest.approx(3 / 10)


def test_half_closed_is_not_closed() -> None:
    assert len(closings(0.49 * shut((5, 9)))) == 0
    assert len(closings(0.5 * shut((5, 9)))) == 1


def test_open_eyes() -> None:
    assert blink_rate(shut()) == 0
    assert np.isnan(blink_duration(shut()))
    assert closing_distribution([]).sum() == 0
    assert np.isnan(duration_distance([], [0.2]))


def test_distribution_by_hand() -> None:
    shares = closing_distribution([0.15, 0.18, 0.9, 7.0])
    assert len(shares) == len(EDGES) - 1
    assert shares.sum() == pytest.approx(1)
    assert shares[1] == pytest.approx(0.5)
    assert shares[-1] == pytest.approx(0.25)  # what is longer than the last edge


def test_distance_between_distributions_by_hand() -> None:
    """Half of the mass moves 0.4 s."""
    assert duration_distance([0.2, 0.2], [0.2, 0.6]) == pytest.approx(0.2)
    assert duration_distance([0.3, 0.1], [0.1, 0.3]) == 0


def test_cca_of_eyes_is_the_size_of_their_correlation() -> None:
    truth = shut((30, 90))
    assert eye_cca(0.3 * truth + 0.1, truth) == pytest.approx(1)
    late = np.roll(truth, 30)
    assert eye_cca(late, truth) == pytest.approx(abs(np.corrcoef(late, truth)[0, 1]))


@pytest.mark.parametrize(("config", "rate", "seconds"), [(PAPER, 0.53, 0.28), (PEOPLE, 0.35, 0.23)])
def test_the_samplers_own_laws_are_measured(config, rate, seconds) -> None:
    """Ten minutes of nothing but blinks; each is sampled in whole frames, so a little longer."""
    eyes, frames = Eyes(config, seed=1), 18_000
    nothing = np.zeros(frames, np.float32), np.zeros((frames, 6), np.float32)
    (closure, _), _ = eyes(nothing, eyes.initial_state())
    assert blink_rate(closure) == pytest.approx(rate, abs=0.04)
    assert blink_duration(closure) == pytest.approx(seconds, abs=0.05)
    assert closing_durations(closure).max() <= 0.5
