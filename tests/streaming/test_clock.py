"""The pacer follows a source's clock through drift, jitter and stalls, without a real one."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from engine.signals import Sound
from engine.timeline import FRAME, HOP, SAMPLE_RATE
from streaming.clock import PATIENCE, PERIOD, Paced, Pacer
from tests.fakes import Clock, FakeSource, SourceClock, chunks, indexed

DELAY = 0.110  # s
JITTER = 0.020  # s
HOUR = 3600 * SAMPLE_RATE
FAST, SLOW = 1 / (1 + 200e-6), 1 / (1 - 200e-6)


def ticks(pacer, clock, source, samples, jitter=JITTER, seed=0, silent=(), chunk=HOP):
    """Feed arrivals and fire ticks in order of time; yields (tick, when).

    silent: [(from sample, to sample)] that never arrive.
    """
    random, start, last = Random(seed), 0, 0.0
    while True:
        while start < samples and any(a <= start < b for a, b in silent):
            start += chunk
        late = random.uniform(0, jitter)
        arrival = max(last, source(start + chunk) + late) if start < samples else np.inf
        due = pacer.due(pacer.tick + 1)
        if min(arrival, due) == np.inf or (start >= samples and due > source(samples) + DELAY):
            return
        if arrival <= due:
            clock.t = last = arrival
            start += chunk
            pacer.observe(start, arrival)
        else:
            clock.t = max(clock.t, due) + 1e-9
            tick = pacer.poll(clock.t)
            if tick is not None:
                yield tick, clock.t


def phases(pairs, source):
    """Seconds by which each tick missed the true instant of its sample, plus the delay."""
    return np.array([when - source(tick * FRAME) - DELAY for tick, when in pairs])


@pytest.mark.parametrize("ratio", [FAST, SLOW], ids=["200 ppm fast", "200 ppm slow"])
def test_an_hour_of_drift_and_jitter_stays_in_phase_and_does_not_grow(ratio):
    clock = Clock(0.0)
    pacer, source = Pacer(DELAY, now=clock.now), SourceClock(3.0, [(0, ratio)])
    phase = phases(ticks(pacer, clock, source, HOUR, seed=1), source)
    assert len(phase) == pytest.approx(3600 * 30, abs=1)
    assert np.abs(phase).max() <= 0.020
    settled = np.abs(phase[60 * 30 :]).max()
    assert settled <= 0.003
    assert np.abs(phase[-600 * 30 :]).max() <= settled  # no growth
    assert pacer.rate_error == pytest.approx(ratio - 1, abs=100e-6)
    assert pacer.skipped == 0


def test_a_clock_that_turns_from_fast_to_slow_is_followed():
    clock = Clock(0.0)
    half = HOUR // 12
    source = SourceClock(0.0, [(0, FAST), (half, SLOW)])
    pacer = Pacer(DELAY, now=clock.now)
    phase = phases(ticks(pacer, clock, source, 2 * half, seed=2), source)
    assert np.abs(phase[30 * 30 :]).max() <= 0.005


@pytest.mark.parametrize("seed", range(5))
def test_ticks_count_up_by_one_and_never_burst(seed):
    clock, source = Clock(0.0), SourceClock(0.0, [(0, SLOW)])
    pacer = Pacer(DELAY, now=clock.now)
    pairs = list(ticks(pacer, clock, source, 60 * SAMPLE_RATE, seed=seed))
    assert [tick for tick, _ in pairs] == list(range(len(pairs)))
    gaps = np.diff([when for _, when in pairs])
    assert gaps.min() >= 0.94 * PERIOD
    assert gaps.max() <= 1.06 * PERIOD


def test_missed_ticks_are_skipped_and_counted():
    clock = Clock(0.0)
    pacer = Pacer(DELAY, now=clock.now)
    pacer.observe(HOP, clock.t)
    assert pacer.poll(pacer.due(0) + 1e-6) == 0
    late = pacer.due(7) + 0.3 * PERIOD
    assert pacer.poll(late) == 7
    assert pacer.skipped == 6
    assert pacer.poll(late) is None  # no burst
    assert pacer.tick_after(late) == 8
    assert pacer.tick_after(pacer.due(10) + 1e-6) == 11


def test_while_no_sound_comes_the_ticks_go_on_and_then_lock_again():
    clock, source = Clock(0.0), SourceClock(0.0, [(0, FAST)])
    pacer = Pacer(DELAY, now=clock.now)
    away = (30 * SAMPLE_RATE, 90 * SAMPLE_RATE)
    pairs = list(ticks(pacer, clock, source, 150 * SAMPLE_RATE, seed=3, silent=[away]))
    phase = phases(pairs, source)
    gaps = np.diff([when for _, when in pairs])
    assert np.abs(gaps - PERIOD).max() <= 0.06 * PERIOD
    assert np.abs(phase).max() <= 0.020
    assert np.abs(phase[-30 * 30 :]).max() <= 0.005


def test_a_shifted_source_is_followed_smoothly():
    """A device that from now on delivers 80 ms later: the ticks slow down until they fit."""
    clock = Clock(0.0)
    pacer = Pacer(DELAY, now=clock.now)
    turn = 20 * SAMPLE_RATE
    source = SourceClock(0.0, [(0, 1.0), (turn, 1 + 0.080 * SAMPLE_RATE), (turn + 1, 1.0)])
    pairs = list(ticks(pacer, clock, source, 60 * SAMPLE_RATE, seed=4))
    gaps = np.diff([when for _, when in pairs])
    assert gaps.min() >= 0.94 * PERIOD
    assert gaps.max() <= 1.06 * PERIOD
    assert np.abs(phases(pairs, source)[-20 * 30 :]).max() <= 0.005


def test_the_first_arrivals_set_the_phase_freely():
    clock = Clock(0.0)
    pacer = Pacer(DELAY, now=clock.now)
    pacer.start(0.0)
    pacer.observe(HOP, 0.030)  # 20 ms late
    pacer.observe(2 * HOP, 0.0200)  # punctual
    assert pacer.entered(0) == pytest.approx(0.0)
    assert pacer.due(0) == pytest.approx(DELAY)


def test_without_sound_the_first_tick_waits_a_second_and_no_longer():
    clock = Clock(5.0)
    pacer = Pacer(DELAY, now=clock.now, sleep=clock.sleep)
    pacer.start(clock.t)
    assert [pacer.wait() for _ in range(3)] == [0, 1, 2]
    assert clock.t == pytest.approx(5.0 + PATIENCE + DELAY + 2 * PERIOD, abs=1e-6)


def test_waiting_ends_when_stopped():
    clock = Clock()
    pacer = Pacer(DELAY, now=clock.now, sleep=clock.sleep)
    pacer.free(clock.t + 1e9)
    naps = iter([False, False, True])
    assert pacer.wait(lambda: next(naps)) is None
    assert clock.t < 101


def test_a_motion_file_ticks_by_definition():
    clock = Clock(0.0)
    pacer = Pacer(0.0, now=clock.now, sleep=clock.sleep)
    pacer.free(clock.t)
    assert [pacer.wait() for _ in range(4)] == [0, 1, 2, 3]
    assert clock.t == pytest.approx(3 * PERIOD)


def test_a_paced_file_arrives_in_hops_when_they_would_have_been_recorded():
    clock = Clock(50.0)
    samples = indexed(0, 3 * FRAME + 7).samples
    file = FakeSource(chunks(samples, FRAME), channels=2)
    paced = Paced(file, now=clock.now, sleep=clock.sleep)
    got: list[Sound] = []
    while (sound := paced.read()) is not None:
        assert sound.samples.shape[1] <= HOP
        assert clock.t == pytest.approx(50.0 + sound.end / SAMPLE_RATE)
        got.append(sound)
    assert np.array_equal(np.concatenate([s.samples for s in got], axis=1), samples)
    assert [s.start for s in got[1:]] == [s.end for s in got[:-1]]
    paced.close()
    assert file.closed
