"""The line to file and live: the same frames, each once and in order, in time, whatever happens."""

from __future__ import annotations

import os
import signal
import threading
from itertools import chain, islice
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.motion.blendshapes import JAW_OPEN
from engine.motion.resting import FADE, HOLD, neutral, rest_weight, rested
from engine.signals import Motion, Picture, Sound
from engine.timeline import FRAME, FRAME_RATE, HOP, SAMPLE_RATE, frames_in
from streaming.clock import PERIOD, Pacer
from streaming.ladder import CALM, IN_A_ROW, LONGEST, STEPS, WINDOW, Ladder, enlarged
from streaming.line import BACKLOG, REGULAR, LiveConfig, LiveLine, held, sing
from streaming.live import (
    MARGIN,
    Stopping,
    Warmth,
    WorkerError,
    delay_of,
    run_file,
    run_live,
    stop_on_signals,
    warm_up,
)
from streaming.ports import UserError
from streaming.preview import ShowOver
from tests.fakes import (
    SIZE,
    Clock,
    FakeAvatar,
    FakeMotions,
    FakeSink,
    FakeSource,
    Simulation,
    SourceClock,
    arrivals,
    chunks,
    index_of,
    indexed,
    noise,
)

DELAY = 2 / 30 + 0.045  # s: lookahead 2 and a margin for 20 ms of jitter
JITTER = 0.020  # s
FIRST = Picture(-1, np.zeros((SIZE, SIZE, 4), np.uint8))


def make_line(lookahead=2, delay=DELAY, pictures=True, **more):
    clock = Clock(0.0)
    pacer = Pacer(delay, now=clock.now, sleep=clock.sleep)
    config = more.pop("config", LiveConfig())
    line = LiveLine(
        FakeAvatar(lookahead),
        pacer,
        config=config,
        first=FIRST if pictures else None,
        now=clock.now,
        **more,
    )
    pacer.start(0.0)
    return line, clock


def simulate(seconds, *, source=None, jitter=JITTER, seed=0, chunk=HOP, draw_s=None, **more):
    """A live show of indexed sound; returns the line and [(when, frame)]."""
    line, clock = make_line(**more)
    source = source or SourceClock(0.3, [(0, 1.0)])
    sim = Simulation(line, clock, **({"draw_s": draw_s} if draw_s else {}))
    sounds = arrivals(source, round(seconds * SAMPLE_RATE), jitter, Random(seed), chunk)
    return line, list(sim.run(sounds))


# ---- to file


@given(
    st.integers(1, 20_000),
    st.integers(0, 6),
    st.lists(st.integers(1, 4800), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=40)
def test_a_file_gives_every_frame_once_whatever_the_chunks(samples, lookahead, sizes):
    sound = indexed(0, samples).samples
    source = FakeSource(chunks(sound, chain(sizes, iter(lambda: 1600, 0))), channels=2)
    sink = FakeSink()
    frames = run_file(FakeAvatar(lookahead), source, [sink])
    assert frames == len(sink.frames) == frames_in(samples)
    assert [f.motion.frame for f in sink.frames] == list(range(frames))
    assert [f.picture.frame for f in sink.frames] == list(range(frames))
    heard = np.concatenate([f.sound.samples for f in sink.frames], axis=1)
    assert heard.shape[1] == frames * FRAME
    assert np.array_equal(heard[:, :samples], sound)  # full-band, untouched
    assert not heard[:, samples:].any()
    assert (sink.closed, source.closed) == (1, True)


@pytest.mark.parametrize("lookahead", [0, 2, 6])
def test_chunking_does_not_change_a_frame(lookahead):
    sound = noise(1.23)
    shows = []
    for size in (480, 1600, 4800, 77):
        shows.append(list(sing(FakeAvatar(lookahead), FakeSource(chunks(sound, size)))))
    for show in shows[1:]:
        for (one, _), (other, _) in zip(shows[0], show, strict=True):
            assert np.array_equal(one.blendshapes, other.blendshapes)
            assert np.array_equal(one.head, other.head)


def test_stems_go_on_to_the_end():
    sound = noise(0.5)
    with_stems = [
        Sound(s.samples, s.start, np.stack([s.samples[0], 0 * s.samples[0]]))
        for s in chunks(sound, 1600)
    ]
    show = list(sing(FakeAvatar(), FakeSource(with_stems)))
    assert len(show) == 15


def test_nothing_is_made_that_nobody_wants():
    avatar, sink = FakeAvatar(), FakeSink(wants_picture=False, wants_sound=False)
    run_file(avatar, FakeSource(chunks(noise(0.2), 1600)), [sink])
    assert avatar.drawn == []
    assert all(f.picture is None and f.sound is None for f in sink.frames)


def test_each_sink_gets_what_it_wants():
    eyes, ears = FakeSink(wants_sound=False), FakeSink(wants_picture=False)
    run_file(FakeAvatar(), FakeSource(chunks(noise(0.2), 1600)), [eyes, ears])
    assert all(f.picture is not None and f.sound is None for f in eyes.frames)
    assert all(f.picture is None and f.sound is not None for f in ears.frames)


def test_a_file_without_sound_is_refused():
    sink = FakeSink()
    with pytest.raises(UserError, match="holds no sound"):
        run_file(FakeAvatar(), FakeSource([]), [sink])
    assert sink.closed == 1


def test_memory_is_constant():
    """Nothing that a long file passes through grows: the delay line's level says it for sound."""
    levels = []
    avatar = FakeAvatar(6)
    show = sing(avatar, FakeSource(chunks(noise(20.0), 4800)))
    for _ in show:
        levels.append(show.gi_frame.f_locals["line"].level)
    assert max(levels) <= 8 * FRAME + 4800


def test_a_stopped_file_ends_early_with_finished_sinks():
    sink, seen = FakeSink(), []
    frames = run_file(
        FakeAvatar(),
        FakeSource(chunks(noise(3.0), 1600)),
        [sink],
        stopped=lambda: len(seen) >= 10,
        progress=seen.append,
    )
    assert 10 <= frames <= 12
    assert seen == list(range(1, frames + 1))
    assert sink.closed == 1


def test_when_the_input_breaks_what_was_written_is_taken_back():
    def broken():
        yield from chunks(noise(0.5), 1600)
        raise UserError("NaN at 0.5 s")

    sink, undone = FakeSink(), []
    with pytest.raises(UserError, match="NaN"):
        run_file(FakeAvatar(), FakeSource(broken()), [sink], undo=lambda: undone.append(1))
    assert (sink.closed, undone) == (1, [1])


def test_nothing_is_taken_back_before_anything_was_written_nor_when_a_sink_fails():
    class Full(FakeSink):
        def write(self, motion, picture, sound):
            super().write(motion, picture, sound)
            if motion.frame == 5:
                raise UserError("disk full")

    undone = []
    with pytest.raises(UserError, match="holds no sound"):
        run_file(FakeAvatar(), FakeSource([]), [FakeSink()], undo=lambda: undone.append(1))
    other = FakeSink()
    source = FakeSource(chunks(noise(0.5), 1600))
    with pytest.raises(UserError, match="disk full"):
        run_file(FakeAvatar(), source, [Full(), other], undo=lambda: undone.append(1))
    assert undone == []
    assert other.closed == 1


def test_a_gap_in_a_file_is_held_eased_to_rest_and_back():
    loud = np.ones((1, 2 * SAMPLE_RATE), np.float32)
    sounds = [*chunks(loud, 1600), *chunks(loud, 1600, start=6 * SAMPLE_RATE)]
    motions = [motion for motion, _ in sing(FakeAvatar(), FakeSource(sounds))]
    assert [motion.frame for motion in motions] == list(range(8 * 30))
    jaw = np.array([float(motion.blendshapes[JAW_OPEN]) for motion in motions])
    assert jaw[: 2 * 30 - 3].min() == 1
    assert jaw[130:178].max() == 0  # at rest
    assert jaw[-30:].min() == 1  # and back
    assert np.abs(np.diff(jaw))[60:].max() < 0.2  # gently


@settings(deadline=None)  # this machine may be busy
@given(st.integers(0, 100))
def test_rest_is_a_gentle_way_to_neutral(silent):
    weight = rest_weight(silent)
    assert weight == (0 if silent <= HOLD else min(1, (silent - HOLD) / FADE))
    motion = FakeAvatar()._motion(5, 0.8, 0.3)
    face = rested(motion, weight)
    if weight == 0:
        assert face is motion
    assert 0 <= face.blendshapes[JAW_OPEN] <= motion.blendshapes[JAW_OPEN]
    if weight == 1:
        assert np.array_equal(face.blendshapes, neutral(5).blendshapes)
        assert not face.head.any()
    assert held(None, 3).frame == 3


# ---- live, simulated


def test_an_hour_against_a_source_clock_that_is_200_ppm_off_with_20_ms_jitter():
    """Half an hour fast, half an hour slow: lips and voice together, ticks in phase, no growth."""
    samples = 3600 * SAMPLE_RATE
    fast, slow = 1 / (1 + 200e-6), 1 / (1 - 200e-6)
    source = SourceClock(0.5, [(0, fast), (samples // 2, slow)])
    line, clock = make_line()
    sim = Simulation(line, clock)
    skew, phase, levels = [], [], []
    for when, frame in sim.run(arrivals(source, samples, JITTER, Random(5), chunk=2 * HOP)):
        if frame.sound.samples[:, 0].any() or frame.motion.frame == 0:
            skew.append(index_of(frame.sound) - frame.picture.frame * FRAME)
        phase.append(when - source(frame.motion.frame * FRAME) - DELAY)
        levels.append(line.sound.level)
    assert len(phase) == 3600 * 30
    assert len(skew) == 3600 * 30
    # at the sink: sound and picture handed over at the same instant belong together
    assert max(map(abs, skew)) / SAMPLE_RATE <= 0.020
    # on the way: both leave one constant after the source's true instant
    assert np.abs(phase).max() <= 0.020
    assert np.abs(phase[-18_000:]).max() <= np.abs(phase[: 60 * 30 * 10]).max() + 0.001
    stats = line.stats
    assert (stats.skipped, stats.gaps, stats.missed, stats.lost, stats.realigned) == (0, 0, 0, 0, 0)
    assert stats.ring_max <= stats.ring_capacity
    assert max(levels) <= round((DELAY + JITTER) * SAMPLE_RATE) + 3 * FRAME
    assert (line.sound.late, line.sound.overrun) == (0, 0)
    assert stats.lateness.percentile(95) <= 115
    assert stats.lateness.percentile(99) <= 130


@pytest.mark.parametrize("lookahead", [0, 1, 2, 6])
def test_a_live_frame_equals_the_file_frame(lookahead):
    delay = delay_of(LiveConfig(margin_ms=45), lookahead, Warmth(0, 0, None))
    line, frames = simulate(4.0, lookahead=lookahead, delay=delay)
    source = FakeSource(chunks(indexed(0, 4 * SAMPLE_RATE).samples, 1600), channels=2)
    avatar = FakeAvatar(lookahead)
    show = list(sing(avatar, source))
    assert line.stats.skipped == 0
    assert len(frames) == len(show) == 120
    for (_, frame), (motion, sound) in zip(frames, show, strict=True):
        assert frame.motion.frame == frame.picture.frame == motion.frame
        assert np.array_equal(frame.motion.blendshapes, motion.blendshapes)
        assert np.array_equal(frame.motion.head, motion.head)
        assert np.array_equal(frame.picture.rgba, avatar.draw(motion).rgba)
        assert np.array_equal(frame.sound.samples, sound.samples)


def assert_each_once_in_order(frames, first=0):
    assert [f.motion.frame for _, f in frames] == list(range(first, first + len(frames)))


def test_slow_drawing_skips_pictures_never_sound_and_delay_does_not_grow():
    line, frames = simulate(20.0, draw_s=lambda t: 0.050, delay=DELAY + 0.05)
    assert_each_once_in_order(frames)
    assert all(index_of(f.sound) == f.motion.frame * FRAME for _, f in frames)
    assert all(f.picture.frame <= f.motion.frame for _, f in frames)
    lags = [f.motion.frame - f.picture.frame for _, f in frames[30:]]
    assert max(lags) <= 2
    assert line.stats.skipped > 0
    assert line.stats.gaps == 0
    assert line.stats.lateness.percentile(99) <= 1000 * (DELAY + 0.05 + JITTER)


def test_one_hiccup_is_one_held_picture_and_no_ladder():
    line, frames = simulate(10.0, draw_s=lambda t: 0.090 if 5 < t < 5.03 else 0.010)
    assert 1 <= line.stats.skipped <= 3
    assert line.ladder.level == 0
    assert all(f.picture is not None for _, f in frames)


def test_overload_steps_down_once_each_and_is_told_once(caplog):
    line, frames = simulate(30.0, draw_s=lambda t: 0.060 if t < 12 else 0.012)
    assert line.stats.steps == [STEPS[0]]
    assert [r.getMessage() for r in caplog.records] == [STEPS[0]]
    shown = [f.picture.frame for t, f in frames if 8 < t < 11]
    assert len(set(shown)) == pytest.approx(45, abs=6)  # an even 15 a second


def test_the_second_step_draws_smaller_pictures_at_the_same_size():
    line, clock = make_line(draw_small=lambda m: Picture(m.frame, np.full((4, 4, 4), 9, np.uint8)))
    sim = Simulation(line, clock, draw_s=lambda t: 0.150)
    source = SourceClock(0.3, [(0, 1.0)])
    frames = list(sim.run(arrivals(source, 20 * SAMPLE_RATE, JITTER, Random(0))))
    assert line.ladder.level == 2
    assert line.stats.steps == list(STEPS)
    last = frames[-1][1].picture
    assert last.rgba.shape == (SIZE, SIZE, 4)
    assert (last.rgba == 9).all()


@pytest.mark.parametrize("phase", range(0, WINDOW, 2))
def test_a_stall_of_a_second_that_is_over_takes_no_step(phase):
    ladder = Ladder(say=lambda text: None)
    for frame in range(20 * FRAME_RATE):
        ladder.observe(frame, skipped=(frame - phase) % (5 * FRAME_RATE) < FRAME_RATE)
    assert ladder.level == ladder.steps == 0


def test_the_ladder_goes_up_again_when_it_is_calm_and_less_eagerly_each_time():
    ladder, at = Ladder(say=lambda text: None), iter(range(10**9))

    def frames(n, skipped):
        for _ in range(n):
            ladder.observe(next(at), skipped)

    frames(IN_A_ROW * WINDOW, True)
    assert ladder.level == 1
    frames(CALM + 2, False)
    assert ladder.level == 0
    frames(IN_A_ROW * WINDOW, True)
    frames(CALM + 2, False)
    assert ladder.level == 1  # twice the patience now
    frames(CALM + 2, False)
    assert ladder.level == 0
    assert ladder.told == [STEPS[0]]
    assert ladder.steps == 2


def test_a_ladder_waits_for_two_minutes_at_most_and_forgets_once_a_step_up_lasts():
    ladder, at = Ladder(say=lambda text: None), iter(range(10**9))

    def frames_until(level, skipped):
        for n in range(10 * LONGEST):
            if ladder.level == level:
                return n
            ladder.observe(next(at), skipped)
        raise AssertionError("never")

    waits = []
    for _ in range(8):
        frames_until(1, skipped=True)
        waits.append(frames_until(0, skipped=False))
    assert max(waits) == waits[-1] == pytest.approx(LONGEST, abs=2)
    for _ in range(LONGEST + 1):
        ladder.observe(next(at), skipped=next(at) % 10 == 0)
    frames_until(1, skipped=True)
    assert frames_until(0, skipped=False) == pytest.approx(CALM, abs=2)


def test_a_ladder_without_steps_only_counts():
    ladder = Ladder(0)
    for frame in range(10 * WINDOW):
        ladder.observe(frame, True)
    assert ladder.level == 0
    assert all(ladder.wants(frame) for frame in range(4))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (16, 24)])
def test_enlarged_pictures_have_the_asked_size(size):
    small = Picture(3, np.arange(64, dtype=np.uint8).reshape(4, 4, 4))
    big = enlarged(small, *size)
    assert big.rgba.shape == (size[1], size[0], 4)
    assert big.frame == 3
    assert (big.rgba[0, 0] == small.rgba[0, 0]).all()
    assert (big.rgba[-1, -1] == small.rgba[-1, -1]).all()


def test_a_stalled_ticker_gives_every_frame_once_with_its_own_sound():
    """Ticks that were missed (a sink blocked for 0.2 s) still reach the sinks, in order."""
    line, clock = make_line()
    sim = Simulation(line, clock)
    source = SourceClock(0.3, [(0, 1.0)])
    frames = []
    for when, frame in sim.run(arrivals(source, 5 * SAMPLE_RATE, JITTER, Random(0))):
        frames.append((when, frame))
        if frame.motion.frame == 60:
            sim.block(0.2)
    assert_each_once_in_order(frames)
    assert all(index_of(f.sound) == f.motion.frame * FRAME for _, f in frames)
    assert line.stats.missed >= 5
    assert line.stats.lost == 0


def test_sinks_that_hang_for_seconds_cost_frames_not_memory(caplog):
    line, clock = make_line()
    sim = Simulation(line, clock)
    source = SourceClock(0.3, [(0, 1.0)])
    frames = []
    for _, frame in sim.run(arrivals(source, 20 * SAMPLE_RATE, JITTER, Random(0))):
        frames.append(frame)
        if frame.motion.frame == 60:
            sim.block(5.0)
    numbers = [f.motion.frame for f in frames]
    assert numbers == sorted(set(numbers))
    assert line.stats.lost >= BACKLOG
    assert line.sound.level <= line.sound.capacity
    assert line.stats.ring_max <= line.ring.capacity
    assert "too slow" in caplog.text
    assert frames[-1].motion.frame == 20 * 30 - 1


def test_the_sound_of_a_show_is_whole_whatever_hearing_loses():
    """Hearing hangs for half a second: the ring empties, the sound that people hear does not."""
    line, clock = make_line()
    sim = Simulation(line, clock)
    source = SourceClock(0.3, [(0, 1.0)])
    frames = []
    for when, frame in sim.run(arrivals(source, 6 * SAMPLE_RATE, JITTER, Random(0))):
        frames.append((when, frame))
        sim.hear_s = 0.5 if frame.motion.frame == 60 else 0.004
    assert line.stats.gaps >= 1
    assert line.stats.ring_max <= line.ring.capacity
    assert_each_once_in_order(frames)
    assert all(index_of(f.sound) == f.motion.frame * FRAME for _, f in frames)
    assert frames[-1][1].picture.frame == frames[-1][1].motion.frame


# ---- a microphone that goes away


def with_absence(before, after, away, source, jitter=JITTER):
    """Sound, then `away` seconds of nothing (empty sounds), then sound whose index goes on."""
    n = round(before * SAMPLE_RATE)
    random = Random(7)
    yield from arrivals(source, n, jitter, random)
    yield source(n) + 0.1, Sound(np.zeros((2, 0), np.float32), n)
    back = SourceClock(source(n) + away, [(0, 1.0)])
    for t, sound in arrivals(back, round(after * SAMPLE_RATE), jitter, random):
        yield t, indexed(sound.start + n, sound.samples.shape[1])


@pytest.mark.parametrize("away", [0.4, 0.9, 3.0, 60.0])
def test_an_unplugged_microphone_is_waited_for(away):
    line, clock = make_line()
    line.avatar._motion = lambda frame, jaw, yaw: FakeAvatar._motion(line.avatar, frame, 1.0, 0.2)
    source = SourceClock(0.3, [(0, 1.0)])
    sim = Simulation(line, clock)
    frames = list(sim.run(with_absence(3.0, 4.0, away, source)))
    assert_each_once_in_order(frames)
    total = 3.0 + away + 4.0
    assert len(frames) == pytest.approx(total * 30, abs=20)  # the show went on all the time
    gaps = np.diff([when for when, _ in frames])
    assert np.abs(gaps - PERIOD).max() <= 0.06 * PERIOD
    jaw = np.array([f.motion.blendshapes[JAW_OPEN] for _, f in frames])
    assert jaw[:88].min() == 1
    if away >= 3:
        assert jaw[90 + 60 : 90 + round(away * 30) - 10].max() == 0  # it rests
        resting = frames[90 + 60][1]
        assert (resting.picture.rgba[..., 0] == 0).all()  # and is drawn so
        assert line.stats.realigned == 1
        assert line.stats.rested > 0
    late = frames[-45:]
    assert all(f.picture.frame == f.motion.frame for _, f in late)  # it is back
    assert all(f.sound.samples.any() for _, f in late)
    lips = [index_of(f.sound) for _, f in late]
    assert np.all(np.diff(lips) == FRAME)
    assert jaw[-45:].min() == 1


@pytest.mark.parametrize("gulp", [0.05, 0.09])
def test_a_source_that_comes_in_gulps_is_shown_whole_a_little_later(gulp):
    """50 or 90 ms at once, as some sound servers give it: nothing is skipped, nothing cut off."""
    line, clock = make_line()
    source = SourceClock(0.3, [(0, 1.0)])
    sounds = arrivals(source, 10 * SAMPLE_RATE, 0.005, Random(3), chunk=round(gulp * SAMPLE_RATE))
    frames = list(Simulation(line, clock).run(sounds))
    assert_each_once_in_order(frames)
    assert all(index_of(f.sound) == f.motion.frame * FRAME for _, f in frames)
    assert line.sound.late == 0
    assert line.stats.skipped == 0
    assert line.pacer.delay <= DELAY + gulp


def test_the_backlog_of_a_device_that_hung_does_not_become_delay():
    """For 2 s nothing arrives, then all of it at once: old sound is dropped, the delay stays."""
    line, clock = make_line()
    source = SourceClock(0.3, [(0, 1.0)])
    random = Random(1)

    def hung():
        for t, sound in arrivals(source, 12 * SAMPLE_RATE, JITTER, random):
            yield (5.0 if 3.0 < t < 5.0 else t), sound

    frames = list(Simulation(line, clock).run(hung()))
    assert_each_once_in_order(frames)
    assert line.stats.ring_max <= line.ring.capacity
    late = frames[-30:]
    assert all(f.picture.frame == f.motion.frame for _, f in late)
    behind = [when - source(index_of(f.sound)) for when, f in late if f.sound.samples.any()]
    assert max(behind) <= DELAY + 0.05


def test_sound_that_comes_after_the_show_began_alone_finds_its_place():
    line, clock = make_line()
    source = SourceClock(4.0, [(0, 1.0)])
    frames = list(Simulation(line, clock).run(arrivals(source, 3 * SAMPLE_RATE, JITTER, Random(2))))
    assert_each_once_in_order(frames)
    assert line.stats.rested > 60
    late = frames[-30:]
    assert all(f.picture.frame == f.motion.frame for _, f in late)


def test_a_source_that_starts_late_on_its_own_timeline_starts_the_show_at_frame_0():
    line, clock = make_line()
    source = SourceClock(0.3, [(0, 1.0)])
    late = ((t, indexed(s.start + 12_345, s.samples.shape[1])) for t, s in
            arrivals(source, 2 * SAMPLE_RATE, JITTER, Random(2)))  # fmt: skip
    frames = list(Simulation(line, clock).run(late))
    assert_each_once_in_order(frames)
    assert index_of(frames[0][1].sound) == 12_345
    assert line.stats.skipped == 0


# ---- the threads


def seconds_of(sound, seconds):
    return sound[:, : round(seconds * SAMPLE_RATE)]


def test_a_real_show_of_a_second_and_a_half_equals_the_file():
    sound = noise(1.5, channels=2)
    live_sink, file_sink, lines = FakeSink(), FakeSink(), []
    source = FakeSource(chunks(sound, 1600), channels=2)
    stats = run_live(
        FakeAvatar(), source, [live_sink], LiveConfig(margin_ms=400), status=lines.append
    )
    run_file(FakeAvatar(), FakeSource(chunks(sound, 1600), channels=2), [file_sink])
    assert len(live_sink.frames) == len(file_sink.frames) == 45
    for live, file in zip(live_sink.frames, file_sink.frames, strict=True):
        assert np.array_equal(live.motion.blendshapes, file.motion.blendshapes)
        assert np.array_equal(live.sound.samples, file.sound.samples)
        if live.picture.frame == live.motion.frame:
            assert np.array_equal(live.picture.rgba, file.picture.rgba)
    assert stats.frames == 45
    assert stats.shown >= 30  # this machine may be busy
    assert lines
    assert live_sink.closed == 1
    assert source.closed
    assert not [t for t in threading.enumerate() if t.name.startswith("cantar")]


class RisingError(Exception):
    pass


def at_frame(number, error):
    def fail(motion):
        if motion.frame >= number:
            raise error

    return fail


def test_a_worker_that_dies_ends_the_show_with_its_reason():
    sink, source = FakeSink(), FakeSource(chunks(noise(9.0), 1600))
    avatar = FakeAvatar(on_draw=at_frame(5, RisingError("no more ink")))
    with pytest.raises(WorkerError, match="drawing stopped: RisingError: no more ink") as caught:
        run_live(avatar, source, [sink])
    assert isinstance(caught.value.__cause__, RisingError)
    assert len(sink.frames) < 60
    assert (sink.closed, source.closed) == (1, True)


def test_what_the_user_can_mend_passes_through_unchanged():
    def broken():
        yield from chunks(noise(0.2), 1600)
        raise UserError("NaN at 0.2 s")

    sink = FakeSink()
    with pytest.raises(UserError, match=r"^NaN at 0.2 s$"):
        run_live(FakeAvatar(), FakeSource(broken()), [sink])
    assert sink.closed == 1


def test_two_shows_in_one_process_do_not_touch_each_other():
    """Started together, watched from outside, without stopping each other for the garbage."""
    sound, lines, sinks = noise(0.5, channels=2), [], [FakeSink(), FakeSink()]

    def show(sink):
        source = FakeSource(chunks(sound, 1600), channels=2)
        run_live(FakeAvatar(), source, [sink], watch=lines.append, alone=False)

    threads = [threading.Thread(target=show, args=[sink]) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [line.stats.frames for line in lines] == [15, 15]
    for one, other in zip(*(sink.frames for sink in sinks), strict=True):
        assert np.array_equal(one.motion.blendshapes, other.motion.blendshapes)


def test_a_live_show_ends_when_asked():
    sink = FakeSink()
    endless = (indexed(n * 1600, 1600) for n in iter(int, 1))
    stats = run_live(
        FakeAvatar(), FakeSource(endless, channels=2), [sink], stopped=lambda: len(sink.frames) > 5
    )
    assert 5 < stats.frames < 30
    assert sink.closed == 1


def test_closing_the_window_ends_the_show_for_everyone_at_the_same_frame():
    class Window(FakeSink):
        def write(self, motion, picture, sound):
            super().write(motion, picture, sound)
            if motion.frame == 7:
                raise ShowOver

    for run in (run_file, run_live):
        window, other = Window(), FakeSink()
        run(FakeAvatar(), FakeSource(chunks(noise(5.0), 1600)), [window, other])
        assert len(window.frames) == len(other.frames) == 8
        assert window.closed == other.closed == 1


@pytest.mark.parametrize("run", [run_file, run_live])
def test_motion_is_played_back_without_hearing(run):
    motions = [FakeAvatar()._motion(n, n / 30, 0.0) for n in range(15)]
    avatar = FakeAvatar(on_hear=at_frame(0, RisingError("nothing to hear")))
    sink, source = FakeSink(), FakeMotions(motions)
    run(avatar, source, [sink])
    if run is run_file:
        assert [f.motion for f in sink.frames] == motions
        assert sink.frames[-1].picture is not None
    # Live, a busy machine may miss a tick: that frame then carries the motion before it.
    assert [f.motion.frame for f in sink.frames] == list(range(15))
    assert all(f.sound is None for f in sink.frames)
    assert source.closed


def test_sinks_are_finished_though_one_fails():
    class Stuck(FakeSink):
        def close(self):
            super().close()
            raise UserError("cannot finish")

    stuck, other = Stuck(), FakeSink()
    with pytest.raises(UserError, match="cannot finish"):
        run_file(FakeAvatar(), FakeSource(chunks(noise(0.1), 1600)), [stuck, other])
    assert (stuck.closed, other.closed) == (1, 1)


def test_a_live_show_goes_on_without_the_sink_that_fails(caplog):
    class Camera(FakeSink):
        def write(self, motion, picture, sound):
            super().write(motion, picture, sound)
            if motion.frame == 3:
                raise UserError("the virtual camera is gone")

    camera, other = Camera(), FakeSink()
    run_live(FakeAvatar(), FakeSource(chunks(noise(0.3), 1600)), [camera, other])
    assert [f.motion.frame for f in other.frames] == list(range(9))
    assert len(camera.frames) == 4
    assert (camera.closed, other.closed) == (1, 1)
    assert [r.getMessage() for r in caplog.records if "camera" in r.getMessage()] == [
        "the virtual camera is gone; the show goes on without it"
    ]
    with pytest.raises(UserError, match="camera is gone"):
        run_live(FakeAvatar(), FakeSource(chunks(noise(0.3), 1600)), [Camera()])


def test_what_a_device_recorded_before_the_show_is_forgotten():
    """A real-time source answers 50 chunks at once; the show begins with the sound of now."""
    never, sink = threading.Event(), FakeSink()

    class Microphone(FakeSource):
        def read(self):
            sound = super().read()
            if sound is not None and sound.start >= 50 * HOP:
                never.wait(0.01)
            return sound

    source = Microphone((indexed(n * HOP, HOP) for n in range(100)), realtime=True, channels=2)
    run_live(FakeAvatar(), source, [sink], LiveConfig(margin_ms=50))
    first = next(f.sound for f in sink.frames if f.sound.samples.any())
    assert index_of(first) >= 50 * HOP


# ---- small things


def test_warm_up_takes_both_paths_and_times_them():
    clock, heard = Clock(), []

    def on_hear(sound):
        heard.append(sound)
        clock.sleep(0.001)

    avatar = FakeAvatar(on_hear=on_hear, on_draw=lambda motion: clock.sleep(0.012))
    warmth = warm_up(avatar, channels=2, pictures=True, now=clock.now)
    assert warmth.hear_s == pytest.approx(0.001 * 100 / 30)
    assert warmth.draw_s == pytest.approx(0.012)
    assert warmth.first.frame == -1
    assert heard[0].samples.shape == (2, HOP)
    assert warm_up(avatar, channels=None, pictures=False) == Warmth(0.0, 0.0, None)


def test_the_delay_is_lookahead_and_what_was_measured():
    warmth = Warmth(0.004, 0.020, None)
    assert delay_of(LiveConfig(), 2, warmth) == pytest.approx(2 / 30 + 0.010 + 0.036)
    assert delay_of(LiveConfig(margin_ms=7), 1, warmth) == pytest.approx(1 / 30 + REGULAR)
    assert delay_of(LiveConfig(margin_ms=7), 0, warmth, with_sound=False) == pytest.approx(0.007)
    slow = Warmth(1.0, 1.0, None)
    assert delay_of(LiveConfig(), 0, slow) == MARGIN[1]
    assert delay_of(LiveConfig(), 0, Warmth(0.0, 0.0, None), with_sound=False) == MARGIN[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_the_second_one_insists(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), number)
        assert stopped()
        assert stopped.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert Stopping().signal is None


def test_config_is_checked():
    with pytest.raises(ValueError, match="ring_ms must be at least 100"):
        LiveConfig(ring_ms=50)
    with pytest.raises(ValueError, match="must be 0 to 1000"):
        LiveConfig(slack_ms=-1)


def test_fake_frames_depend_on_the_whole_past():
    """The stand-in is worth comparing with: another beginning gives another end."""
    sound = noise(1.0)
    other = sound.copy()
    other[:, :1600] = 1
    ends: list[Motion] = []
    for samples in (sound, other):
        show = sing(FakeAvatar(), FakeSource(chunks(samples, 1600)))
        ends.append(list(islice(show, 30))[-1][0])
    assert ends[0].head[0] != ends[1].head[0]
