"""Separation by hand: ratios of known energies, known lags, known shares."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.separation import (
    area_under_curve,
    false_voice,
    lag_of,
    leak,
    mfcc_distance,
    over_suppression,
    si_sdr,
    usdr,
)

N = 16_000
T = np.arange(N) / N
VOICE = np.sin(2 * np.pi * 200 * T).astype(np.float32)
OTHER = np.sin(2 * np.pi * 300 * T).astype(np.float32)  # orthogonal to VOICE


@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_si_sdr_by_hand_whatever_the_scale(scale: float) -> None:
    assert si_sdr(scale * (VOICE + 0.1 * OTHER), VOICE) == pytest.approx(20, abs=1e-3)
    assert si_sdr(-scale * (VOICE + 0.1 * OTHER), VOICE) == pytest.approx(20, abs=1e-3)


def test_usdr_by_hand_minds_the_level() -> None:
    assert usdr(VOICE + 0.1 * OTHER, VOICE) == pytest.approx(20, abs=1e-3)
    assert usdr(0.5 * VOICE, VOICE) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert usdr(0 * VOICE, VOICE) == pytest.approx(0)


@pytest.mark.parametrize("lag", [-37, -1, 0, 1, 160])
def test_a_stated_lag_is_forgiven(lag: int) -> None:
    rng = np.random.default_rng(0)
    voice = rng.normal(0, 0.1, N).astype(np.float32)
    late = np.roll(voice, lag)
    assert lag_of(late, voice, 200) == lag
    assert lag_of(-late, voice, 200) == lag
    assert si_sdr(late, voice, lag) > 100
    assert usdr(late, voice, lag) > 100
    if lag:
        assert si_sdr(late, voice) < 0


def test_a_lag_out_of_reach_is_not_found() -> None:
    voice = np.random.default_rng(0).normal(0, 1, 4000).astype(np.float32)
    assert abs(lag_of(np.roll(voice, 500), voice, 100)) <= 100


def test_silence_is_no_error() -> None:
    assert np.isfinite(si_sdr(VOICE, 0 * VOICE))
    assert np.isfinite(si_sdr(0 * VOICE, VOICE))
    assert si_sdr(VOICE, VOICE) > 100


def test_leak_by_hand() -> None:
    assert leak(0.1 * OTHER, OTHER) == pytest.approx(-20, abs=1e-3)


def test_false_voice_by_hand() -> None:
    activity = np.array([0.9, 0.6, 0.4, 0.1, 0.7])
    assert false_voice(activity) == pytest.approx(3 / 5)
    assert false_voice(activity, np.array([1, 0, 0, 0, 1])) == pytest.approx(1 / 3)


def test_over_suppression_by_hand() -> None:
    truth = np.array([-20.0, -20, -20, -60])
    made = np.array([-21.0, -29.9, -31, -100])
    voiced = truth > -50
    assert over_suppression(made, truth, voiced) == pytest.approx(1 / 3)
    assert over_suppression(made, truth, voiced, drop=6) == pytest.approx(2 / 3)


def test_mfcc_distance_by_hand() -> None:
    truth = np.zeros((4, 26))
    made = truth.copy()
    made[0, :2] = [3, 4]
    made[1, 12] = 1
    made[2, 13:] = 99  # slopes
    assert mfcc_distance(made, truth) == pytest.approx(6 / 4)
    assert mfcc_distance(made, truth, np.array([1, 0, 0, 1])) == pytest.approx(5 / 2)
    with pytest.raises(ValueError, match=r"got \(4, 12\)"):
        mfcc_distance(made[:, :12], truth[:, :12])


def test_area_under_curve_by_hand() -> None:
    assert area_under_curve(np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])) == 1
    assert area_under_curve(np.array([1, 4, 3, 2]), np.array([0, 1, 0, 1])) == 0.75
    assert area_under_curve(np.zeros(6), np.array([1, 1, 0, 0, 0, 1])) == 0.5  # ties count half
    assert np.isnan(area_under_curve(np.zeros(3), np.ones(3)))


@pytest.mark.parametrize("other", [VOICE[:-1], VOICE[None]])
def test_sounds_must_be_of_one_length(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected two sounds"):
        si_sdr(VOICE, other)
    with pytest.raises(ValueError, match="longer than 20000"):
        usdr(VOICE, VOICE, 20_000)
