"""Distances between faces, by hand on a few points."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.face import diversity, f_lmd, fdd, fps, fve, lmd, lve, m_lmd


def still(frames: int = 2, points: int = 4) -> np.ndarray:
    return np.zeros((frames, points, 3))


def test_lmd_by_hand() -> None:
    """Two of four points move by 3 and 1 apart along x: centred, everyone is off by something."""
    made = still(1)
    made[0, :, 0] = [4, 0, 0, 0]
    assert lmd(made, still(1)) == pytest.approx((3 + 1 + 1 + 1) / 4)


def test_lmd_forgives_a_moved_face_and_nothing_else() -> None:
    truth = np.random.default_rng(0).normal(0, 1, (5, 20, 2))
    assert lmd(truth + np.arange(10).reshape(5, 1, 2), truth) == pytest.approx(0, abs=1e-12)
    assert lmd(1.1 * truth, truth) > 0.05


def test_mouth_and_face_landmarks() -> None:
    truth = np.zeros((1, 68, 2))
    made = truth.copy()
    made[0, 48:68, 1] = np.tile([1.0, -1.0], 10)  # the lips part around their own centre
    assert m_lmd(made, truth) == pytest.approx(1)
    assert f_lmd(made, truth) == pytest.approx(20 / 68)
    with pytest.raises(ValueError, match=r"68 landmarks .* got \(1, 20, 2\)"):
        m_lmd(made[:, :20], truth[:, :20])


def test_lve_takes_each_frames_worst_lip_and_fve_the_mean() -> None:
    made = still()
    made[0, 1] = [3, 4, 0]
    made[1, 2] = [0, 0, 2]
    made[:, 3] = 100  # not a lip
    assert lve(made, still(), [1, 2]) == pytest.approx((5 + 2) / 2)
    assert fve(made, still(), [0, 1, 2]) == pytest.approx((5 + 2) / 6)


def test_fdd_by_hand() -> None:
    """Vertex 0 goes 0, 2 from its neutral place (deviation 1), ours stays: 1; of two vertices ½."""
    neutral = np.ones((2, 3))
    truth = np.tile(neutral, (2, 1, 1))
    made = truth.copy()
    truth[1, 0, 2] += 2
    assert fdd(made, truth, neutral, [0]) == pytest.approx(1)
    assert fdd(made, truth, neutral, [0, 1]) == pytest.approx(0.5)
    assert fdd(truth, made, neutral, [0]) == pytest.approx(-1)
    assert fdd(truth, truth, neutral, [0, 1]) == 0


def test_diversity_by_hand() -> None:
    """Three samples, 3, 4 and 5 apart."""
    samples = np.zeros((3, 1, 68, 3))
    samples[1, 0, 0, 0] = 3
    samples[2, 0, 1, 1] = 4
    assert diversity(samples) == pytest.approx((3 + 4 + 5) / 3)
    with pytest.raises(ValueError, match="two samples or more, got 1"):
        diversity(samples[:1])


def test_fps_by_a_clock_that_is_told() -> None:
    times = iter([10.0, 14.0])
    assert fps(lambda: 240, lambda: next(times)) == 60


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 4, 3\), \(3, 4, 3\)"):
        fve(still(), still(3), [0])
