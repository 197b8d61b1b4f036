"""Beats of movement and of music: found where they were put, scored by hand, tested for chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.metrics.beats import Take, against_shuffled, audio_beats, beat_align, motion_beats


def swaying(rests: np.ndarray, frames: int) -> np.ndarray:
    """Poses [frames, 6] that rest for an instant at each of these frames, moving between them."""
    speed = np.full(frames, 1.0)
    for rest in rests:
        speed *= 1 - np.exp(-0.5 * ((np.arange(frames) - rest) / 4) ** 2)
    return np.cumsum(speed)[:, None] * np.array([0.02, 0.01, 0, 0, 0, 0.001])


def take(seed: int, frames: int = 1800, together: bool = True) -> Take:
    """A song whose beats come at its own tempo, and somebody who moves to them, or does not."""
    rng = np.random.default_rng(seed)
    beats = np.cumsum(rng.uniform(26, 40, 80))
    beats = beats[beats < frames - 20]
    rests = beats if together else rng.uniform(20, frames - 20, len(beats))
    motion = swaying(rests + rng.normal(0, 1, len(rests)), frames)
    return Take(motion_beats(motion), beats, frames)


def test_rests_are_found_where_they_are() -> None:
    rests = np.array([40, 85, 130, 190])
    found = motion_beats(swaying(rests, 240))
    assert len(found) == 4
    np.testing.assert_allclose(found, rests, atol=1.5)


def test_landmarks_count_by_their_mean_speed() -> None:
    """68 points of which one never rests: the others' rests are still found."""
    many = swaying(np.array([50, 100]), 150)[:, :3]
    points = np.repeat(many[:, None], 68, axis=1)
    points[:, 0] = np.arange(150)[:, None] * np.array([0.02, 0.01, 0])
    np.testing.assert_allclose(motion_beats(points), [50, 100], atol=1.5)


def test_a_head_that_never_rests_has_no_beats() -> None:
    even = np.arange(100.0)[:, None] * np.ones(6)
    assert len(motion_beats(even)) == 0
    assert len(motion_beats(np.zeros((1, 6)))) == 0
    assert beat_align(motion_beats(even), np.array([5.0])) == 0


def test_beat_align_by_hand() -> None:
    motion, audio = np.array([10.0, 40.0]), np.array([10.0, 43.0, 70.0])
    by_music = np.mean([1, np.exp(-9 / 18), np.exp(-900 / 18)])
    assert beat_align(motion, audio) == pytest.approx(by_music)
    assert beat_align(motion, audio, over="motion") == pytest.approx((1 + np.exp(-0.5)) / 2)
    assert np.isnan(beat_align(motion, np.zeros(0)))
    np.testing.assert_allclose(audio_beats([0, 0.5, 1]), [0, 15, 30])


def test_by_chance_it_scores_what_integration_says() -> None:
    """Rests every 30 frames, music anywhere: ∫exp(−d²/18) over ±15 frames / 30 = 0.25, the paper's
    own ground truth."""
    rng = np.random.default_rng(0)
    score = beat_align(np.arange(0, 30_000, 30.0), rng.uniform(0, 29_970, 20_000))
    assert score == pytest.approx(np.sqrt(18 * np.pi) / 30, abs=0.01)


def test_shuffled_songs_tell_dancing_from_chance() -> None:
    dancing = against_shuffled([take(seed) for seed in range(12)], 999)
    assert dancing.score > dancing.shuffled + 0.2
    assert dancing.p == pytest.approx(1 / 1000)
    careless = against_shuffled([take(seed, together=False) for seed in range(12)], 999)
    assert careless.p > 0.05


def test_p_by_hand() -> None:
    """Three songs: of the six ways to deal them out only the right one aligns: p → 1/6."""
    beats = [np.array([20.0, 100]), np.array([50.0, 130]), np.array([75.0, 160])]
    takes = [Take(b, b, 200) for b in beats]
    table = np.array([[beat_align(m, a) for a in beats] for m in beats])
    ways = [table[range(3), list(way)].mean() for way in itertools.permutations(range(3))]
    assert sum(way >= ways[0] - 1e-12 for way in ways) == 1
    result = against_shuffled(takes, 6000)
    assert result.score == pytest.approx(1)
    assert result.p == pytest.approx(1 / 6, abs=0.02)
    assert result.shuffled == pytest.approx(np.mean(ways), abs=0.02)
    assert result == against_shuffled(takes, 6000)


def test_pairs_are_compared_over_the_shorter_song() -> None:
    """Beats that the other song is too short to have do not count against it."""
    short = Take(np.array([10.0]), np.array([10.0]), 50)
    long = Take(np.array([10.0, 100, 200]), np.array([10.0, 100, 200]), 300)
    assert against_shuffled([short, long], 99).shuffled == pytest.approx(1)


def test_one_song_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="two songs or more, got 1"):
        against_shuffled([take(0)])
