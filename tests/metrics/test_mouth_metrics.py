"""Does the mouth sing? By hand on a few frames."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics import mouth
from engine.motion.blendshapes import JAW_OPEN


def jaws(*values: float) -> np.ndarray:
    shapes = np.zeros((len(values), 52), np.float32)
    shapes[:, JAW_OPEN] = values
    return shapes


def test_levels_by_hand() -> None:
    """A frame of ones is 0 dB, a frame of tenths -20 dB, the end is filled up with silence."""
    sound = np.concatenate([np.ones(1600), np.full(1600, 0.1)]).astype(np.float32)
    levels = mouth.frame_levels(sound, 48_000, 3)
    np.testing.assert_allclose(levels, [0, -20, -120], atol=1e-3)


def test_away_from_voice_is_0_3_s_away_on_both_sides() -> None:
    voiced = np.zeros(60, bool)
    voiced[[20, 21, 45]] = True
    away = mouth.away_from_voice(voiced)
    nearest = np.abs(np.arange(60)[:, None] - np.flatnonzero(voiced)).min(1)
    np.testing.assert_array_equal(away, nearest >= 9)
    np.testing.assert_array_equal(mouth.away_from_voice(voiced, 0), ~voiced)
    assert mouth.away_from_voice(np.zeros(5, bool)).all()
    assert not mouth.away_from_voice(np.ones(5, bool)).any()


def test_open_and_shut_shares_by_hand() -> None:
    shapes = jaws(0.0, 0.05, 0.2, 0.6)
    assert mouth.shut_share(shapes) == 0.5
    assert mouth.open_share(shapes, np.array([False, True, True, True])) == pytest.approx(2 / 3)


def test_jaw_auc_by_hand() -> None:
    sung = np.array([False, False, True, True])
    assert mouth.jaw_auc(jaws(0, 0.1, 0.2, 0.9), sung) == 1
    assert mouth.jaw_auc(jaws(0, 0.3, 0.2, 0.9), sung) == 0.75
    assert mouth.jaw_auc(jaws(0, 0, 0, 0), sung) == 0.5


def test_loudness_correlation_by_hand() -> None:
    levels = np.array([-60.0, -20, -10, -5, 0])
    floor = np.maximum(levels, np.percentile(levels, 95) - 40)
    assert mouth.loudness_correlation(jaws(*(floor / 100 + 0.5)), levels) == pytest.approx(1)


@pytest.mark.parametrize("late", [-3, 0, 1, 4])
def test_lateness_finds_a_shift(late: int) -> None:
    rng = np.random.default_rng(0)
    jaw = np.convolve(rng.random(400), np.hanning(7), "same")
    assert mouth.lateness(np.roll(jaw, late), jaw) == pytest.approx(late, abs=0.3)
