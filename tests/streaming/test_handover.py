"""Each hand-over keeps its capacity, counts what it loses, and never mixes up time."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.signals import Sound
from engine.timeline import FRAME, SAMPLE_RATE
from streaming.handover import DelayLine, Latest, Ring, cut, join, samples_in
from tests.fakes import FakeAvatar, index_of, indexed

MS_100 = SAMPLE_RATE // 10


def motion(frame):
    return FakeAvatar()._motion(frame, 0.0, 0.0)


# ---- Ring


@settings(deadline=None)  # this machine may be busy
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(1, 6000)),
            st.tuples(st.just("skip"), st.integers(1, 3000)),
            st.tuples(st.just("pull"), st.integers(1, 6000)),
        ),
        max_size=40,
    )
)
def test_ring_keeps_its_capacity_and_accounts_for_every_sample(steps):
    ring, at, pushed, pulled, last = Ring(100), 0, 0, 0, 0
    for step, n in steps:
        if step == "push":
            ring.push(indexed(at, n))
            at, pushed = at + n, pushed + n
        elif step == "skip":
            at += n
        else:
            sound = ring.pull(limit=n)
            if sound is not None:
                assert sound.start >= last  # the index never rewinds
                assert index_of(sound) == sound.start  # and tells the truth
                assert index_of(sound, -1) == sound.end - 1
                last, pulled = sound.end, pulled + sound.samples.shape[1]
        assert ring.level <= ring.level_max <= ring.capacity == MS_100
        assert pushed == pulled + ring.lost + ring.level


def test_ring_empties_when_full_and_counts_one_gap():
    ring = Ring(100)
    for start in range(0, MS_100 + 480, 480):
        ring.push(indexed(start, 480))
    assert (ring.gaps, ring.lost, ring.level) == (1, MS_100, 480)
    assert ring.pull().start == MS_100


def test_a_chunk_larger_than_the_ring_leaves_its_newest_part():
    ring = Ring(100)
    ring.push(indexed(0, 3 * MS_100))
    sound = ring.pull()
    assert (sound.start, sound.end, ring.lost) == (2 * MS_100, 3 * MS_100, 2 * MS_100)


def test_ring_refuses_to_rewind():
    ring = Ring(100)
    ring.push(indexed(1000, 500))
    ring.push(indexed(800, 900))
    ring.push(indexed(0, 480))
    sound = ring.pull()
    assert (sound.start, sound.end, ring.lost) == (1000, 1700, 700 + 480)


def test_a_pull_stops_at_a_gap():
    ring = Ring(100)
    ring.push(indexed(0, 480))
    ring.push(indexed(480, 480))
    ring.push(indexed(2000, 480))
    assert ring.pull().end == 960
    assert ring.pull().start == 2000
    assert ring.pull() is None


def test_ring_needs_room_for_a_frame():
    with pytest.raises(ValueError, match="got 20 ms"):
        Ring(20)


# ---- both: ends


@pytest.mark.parametrize("make", [lambda: Ring(100), lambda: Latest()])
def test_closed_is_drained_then_none_and_failed_raises(make):
    handover = make()
    take = handover.pull if isinstance(handover, Ring) else handover.take
    put = handover.push if isinstance(handover, Ring) else handover.put
    put(indexed(0, 480) if isinstance(handover, Ring) else motion(0))
    handover.close()
    assert take(None) is not None
    assert take(None) is None
    assert handover.closed
    handover.fail(RuntimeError("the worker's reason"))
    with pytest.raises(RuntimeError, match="the worker's reason"):
        take(None)
    with pytest.raises(RuntimeError, match="the worker's reason"):
        put(indexed(480, 480) if isinstance(handover, Ring) else motion(1))


@pytest.mark.parametrize("ending", ["put", "close", "fail"])
def test_a_waiting_reader_wakes(ending):
    latest, got = Latest(), []

    def read():
        try:
            got.append(latest.take(timeout=20))
        except RuntimeError as error:
            got.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    {
        "put": lambda: latest.put(motion(7)),
        "close": latest.close,
        "fail": lambda: latest.fail(RuntimeError("dead")),
    }[ending]()
    reader.join(20)
    assert not reader.is_alive()
    what = got[0].frame if ending == "put" else got[0]
    assert what == {"put": 7, "close": None, "fail": "dead"}[ending]


# ---- Latest


def test_one_slot_an_unread_value_is_replaced_and_counted():
    latest = Latest()
    for frame in range(5):
        latest.put(motion(frame))
    assert latest.take().frame == 4
    assert latest.take() is None
    assert latest.replaced == 4


def test_due_takes_the_oldest_that_is_not_overdue_else_the_newest():
    latest = Latest(depth=8)
    for frame in (3, 4, 5, 6):
        latest.put(motion(frame))
    assert latest.take(due=5).frame == 5
    assert latest.replaced == 2
    assert latest.take(due=9).frame == 6
    assert latest.replaced == 2


def test_take_until_leaves_what_is_early():
    latest = Latest(depth=4)
    for frame in (3, 4, 6):
        latest.put(motion(frame))
    assert latest.take_until(2) is None
    assert latest.take_until(5).frame == 4
    assert latest.replaced == 1
    assert latest.take_until(6).frame == 6


@settings(deadline=None)  # this machine may be busy
@given(st.integers(1, 5), st.lists(st.integers(0, 3), max_size=60))
def test_latest_never_holds_more_than_its_depth_and_counts_the_rest(depth, steps):
    latest, put, taken = Latest(depth=depth), 0, 0
    for step in steps:
        if step:
            latest.put(motion(put))
            put += 1
        elif latest.take() is not None:
            taken += 1
        assert put - taken - latest.replaced <= depth


# ---- DelayLine


@settings(deadline=None)  # this machine may be busy
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.integers(0, 4))
def test_delay_line_gives_every_sample_at_its_place_in_any_chunking(sizes, ahead):
    line, at, frame = DelayLine(2, 2.0), 0, 0
    for n in sizes:
        line.append(indexed(at, n))
        at += n
        while (frame + 1 + ahead) * FRAME <= at:
            sound = line.take(frame)
            assert np.array_equal(sound.samples, indexed(frame * FRAME, FRAME).samples)
            frame += 1
        assert line.level <= line.capacity
    assert (line.overrun, line.late) == (0, 0)


def test_delay_line_is_silent_where_nothing_exists():
    line = DelayLine(2, 1.0)
    line.append(indexed(0, 1000))
    line.append(indexed(2000, 500))
    first, second, third = (line.take(frame).samples for frame in range(3))
    assert np.array_equal(first[:, :1000], indexed(0, 1000).samples)
    assert not first[:, 1000:].any()
    assert not second[:, : 2000 - FRAME].any()
    assert np.array_equal(second[:, 2000 - FRAME : 2500 - FRAME], indexed(2000, 500).samples)
    assert not third.any()
    assert third.shape == (2, FRAME)


def test_a_gap_longer_than_the_line_leaves_nothing_old_behind():
    line = DelayLine(1, 0.1)
    line.append(Sound(np.ones((1, 4800), np.float32), 0))
    for frame in range(3):
        line.take(frame)
    line.append(Sound(np.ones((1, 100), np.float32), 48_000))
    assert line.take(29).samples.sum() == 0
    assert line.take(30).samples.sum() == 100


def test_delay_line_counts_what_is_late_and_what_is_overrun():
    line = DelayLine(1, 0.1)
    line.take(0)
    line.append(Sound(np.ones((1, 2000), np.float32), 0))
    assert line.late == FRAME
    line.append(Sound(np.ones((1, 8000), np.float32), 2000))
    assert line.overrun == 10_000 - 4800 - FRAME
    assert line.level <= line.capacity
    assert line.take(4).samples.sum() == FRAME


def test_mono_is_given_to_both_channels_and_other_counts_are_refused():
    line = DelayLine(2, 1.0)
    line.append(Sound(np.ones((1, FRAME), np.float32), 0))
    assert line.take(0).samples.sum() == 2 * FRAME
    with pytest.raises(ValueError, match="expected 2 channels, got 3"):
        line.append(Sound(np.ones((3, 10), np.float32), FRAME))


# ---- cutting and joining


@settings(deadline=None)  # this machine may be busy
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_cut_and_join(a, b, n):
    sound = Sound(indexed(100, n).samples, 100, np.zeros((2, n), np.float32))
    part = cut(sound, a, b)
    assert part.stems.shape[1] == part.samples.shape[1]
    if part.samples.shape[1]:
        assert index_of(part) == part.start >= 100
        assert part.end <= min(max(b, 100), 100 + n)
    middle = 100 + n // 2
    whole = join([cut(sound, 100, middle), cut(sound, middle, 100 + n)])
    assert np.array_equal(whole.samples, sound.samples)
    assert whole.stems.shape == sound.stems.shape


def test_milliseconds_become_samples():
    assert samples_in(200) == 9600


def test_a_pull_may_wait_for_a_whole_frame() -> None:
    """Sound that comes in pieces is handed over together once it reaches `until`."""
    ring, pulled = Ring(200), []
    reader = threading.Thread(target=lambda: pulled.append(ring.pull(30.0, until=1600)))
    reader.start()
    for start in range(0, 1920, 480):
        ring.push(Sound(np.zeros((1, 480), np.float32), start))
    reader.join(30.0)
    assert [(sound.start, sound.end >= 1600) for sound in pulled] == [(0, True)]
    ring.push(Sound(np.zeros((1, 480), np.float32), 1920))
    assert ring.pull(0.0, until=10_000) is not None
