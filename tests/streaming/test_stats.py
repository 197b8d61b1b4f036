"""Percentiles within a bin of the truth, and no growth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.stats import Histogram, Stats


@settings(deadline=None)  # this machine may be busy
@given(st.lists(st.floats(0, 1900), min_size=1, max_size=200), st.sampled_from([50, 95, 99, 100]))
def test_percentiles_are_right_to_a_tenth_of_a_millisecond(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert exact - 1e-6 <= histogram.percentile(percent) <= exact + Histogram.WIDTH + 1e-6
    assert histogram.max == max(values)
    assert histogram.mean == pytest.approx(np.mean(values))


def test_a_histogram_of_nothing_and_of_the_absurd():
    histogram = Histogram()
    assert (histogram.percentile(99), histogram.mean, histogram.max) == (0, 0, 0)
    histogram.add(-3.0)
    histogram.add(1e9)
    assert histogram.percentile(50) == pytest.approx(0.1)
    assert histogram.percentile(99) == 1e9


def test_memory_does_not_grow():
    stats = Stats()
    for n in range(20_000):
        stats.published(n / 30, fresh=True)
        stats.lateness.add(n % 100)
    assert len(stats._recent) == stats._recent.maxlen
    assert stats.lateness._counts.nbytes < 200_000
    assert stats.frames == stats.shown == 20_000


def test_fps_counts_new_pictures_only():
    stats = Stats()
    for n in range(100):
        stats.published(n / 30, fresh=n % 2 == 0)
    assert stats.fps == pytest.approx(15, abs=0.3)


def test_the_status_line_says_it_all_in_one_line():
    stats = Stats()
    for n in range(75 * 30):
        stats.published(n / 30, fresh=True)
        stats.lateness.add(97.0)
    stats.ring, stats.ring_capacity, stats.delay = 480, 9600, 0.0987
    line = stats.status_line()
    assert line == (
        "1:15 · 30.0 fps · late 97 ms p99 · skipped 0 · ring 10/200 ms · gaps 0 · "
        "OBS Sync Offset 99 ms"
    )
    stats.level = 1
    assert stats.status_line().endswith("overload step 1")
    stats.level, stats.drift = 0, 35.2e-6  # of a microphone's clock and a backing's
    assert stats.status_line().endswith("OBS Sync Offset 99 ms · clocks +35 ppm apart")


def test_the_summary_names_what_went_wrong_only_then():
    stats = Stats()
    assert "away" not in stats.summary()
    stats.realigned, stats.lost, stats.steps = 2, 5, ["drawing cannot keep up"]
    stats.sound_late = 4800
    summary = stats.summary()
    assert "the source was away 2 times" in summary
    assert "5 frames" in summary
    assert "100 ms came too late" in summary
    assert "overload drawing cannot keep up" in summary
