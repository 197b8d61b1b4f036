"""Canonical correlation, speed of the head, roughness and pose error by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.canonical import canonical_correlations
from engine.metrics.head import ppe, rough, speed, speed_cca


def walk(seed: int, n: int = 2000, channels: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (n, channels)).cumsum(0)


# ---- laws ---------------------------------------------------------------------------------------


def test_an_invertible_map_changes_no_canonical_correlation() -> None:
    x, y = walk(0, channels=4), walk(1, channels=3) + walk(0, channels=3)
    turn = np.random.default_rng(2).normal(0, 1, (4, 4))
    base = canonical_correlations(x, y)
    np.testing.assert_allclose(canonical_correlations(x @ turn + 7, 1000 * y), base, atol=1e-9)
    np.testing.assert_allclose(canonical_correlations(y, x), base, atol=1e-9)
    assert (np.diff(base) <= 0).all()
    np.testing.assert_allclose(canonical_correlations(x, x @ turn), 1)


def test_of_single_numbers_it_is_the_size_of_their_correlation() -> None:
    x = walk(0, channels=1)[:, 0]
    y = x + walk(1, channels=1)[:, 0]
    expected = abs(np.corrcoef(x, -y)[0, 1])
    np.testing.assert_allclose(canonical_correlations(x, -y), [expected])


# ---- examples -----------------------------------------------------------------------------------


def test_canonical_correlation_by_hand() -> None:
    """x = (a, b), y = a + c of independent unit signals: the best pair is a with a + c, 1/√2."""
    n = np.arange(4096)
    a, b, c = (np.sqrt(2) * np.cos(2 * np.pi * k * n / len(n)) for k in (3, 7, 11))
    np.testing.assert_allclose(canonical_correlations(np.stack([a, b], 1), a + c), [2**-0.5])


def test_what_never_changes_correlates_with_nothing() -> None:
    still = np.ones((100, 6))
    assert canonical_correlations(still, walk(0, 100))[0] == 0
    half = np.concatenate([walk(0, 100, 1), still[:, :1]], 1)
    assert canonical_correlations(half, walk(0, 100, 1)) == pytest.approx([1])


def test_speed_has_no_sign() -> None:
    pose = np.array([[0.0, 1], [0.5, 0.25], [0.25, 0.25]])
    np.testing.assert_allclose(speed(pose), [[0.5, 0.75], [0.25, 0]])


def test_a_mirrored_performance_has_the_same_speed() -> None:
    """The paper's Fig. 4: opposite directions, equal speed; and another song's speed is not it."""
    one = walk(0)
    assert speed_cca(-one, one) == pytest.approx(1)
    assert speed_cca(walk(1), one) < 0.2


def test_rough_by_hand() -> None:
    """Yaw of t² degrees has a second difference of 2 everywhere: 4; a straight turn has none."""
    t = np.arange(50.0)
    yaw = np.radians(np.stack([t**2, 0 * t, 5 * t], 1))
    assert rough(yaw) == pytest.approx(4)
    assert rough(yaw[:, 1:]) == pytest.approx(0, abs=1e-12)
    both = np.radians(np.stack([t**2, -(t**2), 0 * t], 1))
    assert rough(both) == pytest.approx(8)


def test_ppe_by_hand() -> None:
    truth = np.zeros((2, 6))
    made = np.array([[3.0, 0, 4, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    assert ppe(made, truth) == pytest.approx((5 + 1) / 2)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [(10, 11), (2, 2), (0, 0)])
def test_sequences_must_be_of_one_length_and_long_enough(one: int, other: int) -> None:
    with pytest.raises(ValueError, match=f"got {one}, {other}"):
        canonical_correlations(np.zeros((one, 2)), np.zeros((other, 2)))
