"""A microphone over a backing: what people hear, what the avatar hears, what the singer hears."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import fftconvolve

from engine.signals import Sound
from engine.timeline import HOP, SAMPLE_RATE
from streaming.clock import Pacer
from streaming.handover import DelayLine
from streaming.karaoke import BEGIN, Karaoke
from streaming.ports import Source
from streaming.speaker import Following
from tests.fakes import Clock, FakeSource, chunks
from tests.hearing.test_echo import band, decibels, room, singer

LATE = round(BEGIN * SAMPLE_RATE)


class Box:
    """A monitor that only remembers what it is to follow."""

    def __init__(self) -> None:
        self.line: DelayLine | None = None
        self.pacer: Pacer | None = None
        self.closed = False
        self.drift = 0.0

    def follow(self, sound: DelayLine | None, pacer: Pacer) -> None:
        self.line, self.pacer = sound, pacer

    def close(self) -> None:
        self.closed = True


class Room:
    """A microphone whose blocks of 10 ms arrive by a made-up clock."""

    channels = 1

    def __init__(self, sung: np.ndarray, clock: Clock, block: int = HOP) -> None:
        self._sounds = iter([
            Sound(sung[None, start : start + block].astype(np.float32), start)
            for start in range(0, sung.size - block + 1, block)
        ])  # fmt: skip
        self._clock, self.closed = clock, False

    def read(self) -> Sound | None:
        sound = next(self._sounds, None)
        if sound is not None:
            self._clock.t = 100.0 + sound.end / SAMPLE_RATE
        return sound

    def close(self) -> None:
        self.closed = True


def show(sung: np.ndarray, backing: np.ndarray, delay: float = 0.0, block: int = HOP):
    clock, box = Clock(), Box()
    source = FakeSource(chunks(backing[None].astype(np.float32), 1600), channels=1)
    source.length = backing.size
    return Karaoke(Room(sung, clock, block), source, box, delay, now=clock.now), box, clock


def drained(karaoke: Karaoke) -> Sound:
    """All of it as one sound."""
    sounds = [s for s in iter(karaoke.read, None) if s.samples.shape[1]]
    assert all(a.end == b.start for a, b in itertools.pairwise(sounds))
    return Sound(
        np.concatenate([s.samples for s in sounds], axis=1),
        sounds[0].start,
        np.concatenate([s.stems for s in sounds], axis=1),
    )


@pytest.mark.parametrize("delay", [0.0, 0.0625])
@pytest.mark.parametrize("block", [HOP, 441, 1024])
def test_voice_and_backing_meet_where_the_singer_heard_them(delay: float, block: int) -> None:
    backing = np.random.default_rng(0).normal(size=SAMPLE_RATE) * 0.1
    sung = np.random.default_rng(1).normal(size=3 * SAMPLE_RATE) * 0.1
    heard = drained(show(sung, backing, delay, block)[0])
    expected = np.zeros(heard.end)
    shift = LATE + round(delay * SAMPLE_RATE)
    expected[shift : shift + backing.size] = backing[: max(0, heard.end - shift)]
    assert np.allclose(heard.stems[1], expected, atol=1e-6)
    assert np.allclose(heard.samples[0], sung[: heard.end] + expected, atol=1e-6)
    assert heard.end == pytest.approx(shift + backing.size, abs=2 * block)  # then it is over


def test_is_a_source_and_closes_what_it_opened() -> None:
    karaoke, box, _ = show(np.zeros(4800), np.zeros(4800))
    assert isinstance(karaoke, Source)
    assert (karaoke.realtime, karaoke.channels, karaoke.length) == (True, 1, 4800 + LATE)
    karaoke.close()
    assert box.closed
    assert karaoke._ear.closed
    assert karaoke._backing.closed


def test_the_monitor_plays_each_sample_when_it_enters() -> None:
    """By the pacer: sample s of the backing is heard at the instant at which s enters."""
    backing = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE) * 0.1
    karaoke, box, clock = show(np.zeros(4 * SAMPLE_RATE), backing)
    following = Following(box.line, box.pacer, SAMPLE_RATE, now=clock.now)
    played, lead = [], 0.040
    for block in range(250):
        karaoke.read()
        played.append(following.fill(HOP, lead)[0])
        assert block < 60 or following.error == pytest.approx(0, abs=0.001)
    out = np.concatenate(played)
    begun = int(np.flatnonzero(out)[0])
    entered = begun + HOP + round(lead * SAMPLE_RATE)  # the clock when it sounds, in samples
    assert entered == pytest.approx(LATE, abs=48)
    assert following.late == 0


def test_what_loudspeakers_let_in_is_taken_out_of_what_the_avatar_hears() -> None:
    n = 9 * SAMPLE_RATE
    voice, backing = singer(n), band(n)
    played = np.concatenate([np.zeros(LATE), backing])[:n]
    echo = fftconvolve(played, room(2))[:n]
    echo *= 10 ** ((decibels(voice) - 3 - decibels(echo)) / 20)
    karaoke, _, _ = show(voice + echo, backing, delay=0.020)
    heard = drained(karaoke)
    late = slice(6 * SAMPLE_RATE, heard.end)
    left = heard.stems[0, late] - voice[late]
    assert decibels(left) < decibels(echo[late]) - 10
    people = heard.samples[0, late] - heard.stems[1, late]
    assert np.allclose(people, (voice + echo)[late], atol=1e-5)  # untouched


def test_a_microphone_that_was_away_comes_back_in_place() -> None:
    backing = np.ones(4 * SAMPLE_RATE) * 0.1
    karaoke, _, clock = show(np.zeros(48_000), backing)
    for _ in range(10):
        karaoke.read()
    karaoke._ear._sounds = iter(
        [
            Sound(np.zeros((1, 0), np.float32), 90_000),
            Sound(np.zeros((1, 1000), np.float32), 96_100),
        ]
    )
    assert karaoke.read().samples.shape == (1, 0)
    back = karaoke.read()
    assert (back.start, back.samples.shape[1]) == (96_100, 960)
    assert np.allclose(back.stems[1], 0.1)
    assert clock.t > 100
