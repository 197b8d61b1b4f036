"""Two devices, two clocks: what is captured is put where it was heard, however far they drift."""

from __future__ import annotations

import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from scipy.signal import fftconvolve

from engine.signals import F32, Sound
from engine.timeline import HOP, SAMPLE_RATE
from streaming.loopback import Loopback, SystemSound
from streaming.ports import Source, UserError
from streaming.schemes import open_source
from tests.fakes import Clock
from tests.hearing.test_echo import band, decibels, room, singer
from tests.streaming.pulse import Pulse, serve_pulse

LATE = 0.060  # s from a sound's capture to its entering from the microphone


class Heard:
    """A device: what it hears at each instant of the clock, sampled by a clock of its own.

    hears: sound as a function of true seconds. off: how much faster its clock runs, ppm. When asked
    without patience it gives only what has arrived.
    """

    channels = 1

    def __init__(self, hears, clock: Clock, off: float, *, waits: bool, jitter: float) -> None:
        self._hears, self._clock, self._waits = hears, clock, waits
        self._rate = SAMPLE_RATE * (1 + off * 1e-6)
        self._jitter, self._random = jitter, Random(int(off))
        self._at, self._due, self.arrived = 0, 0.0, 0.0
        self.closed = False
        self._plan()

    def _plan(self) -> None:
        on_time = 100.0 + (self._at + HOP) / self._rate
        self._due = max(self._due, on_time + self._random.uniform(0, self._jitter))

    def read(self) -> Sound:
        if self._due > self._clock.t:
            if not self._waits:
                return Sound(np.zeros((1, 0), np.float32), self._at)
            self._clock.t = self._due
        true = (self._at + np.arange(HOP)) / self._rate
        sound = Sound(self._hears(true)[None].astype(np.float32), self._at)
        self.arrived = self._due
        self._at += HOP
        self._plan()
        return sound

    def close(self) -> None:
        self.closed = True


def tune(seconds: np.ndarray) -> np.ndarray:
    """A sound that tells its own time: the part of a second that has passed."""
    return 0.5 * (seconds % 1.0)


def sampled(sound: F32):
    """An array at 48 kHz as a function of seconds."""
    index = np.arange(sound.size, dtype=np.float64)
    return lambda true: np.interp(true * SAMPLE_RATE, index, sound, left=0, right=0)


def show(sung, played, off: tuple[float, float] = (0, 0), jitter: float = 0.0) -> Loopback:
    clock = Clock()
    ear = Heard(sung, clock, off[0], waits=True, jitter=jitter)
    captured = Heard(played, clock, off[1], waits=False, jitter=jitter)
    return Loopback(ear, captured, LATE, now=clock.now)


def apart(hops: Sound, backing: F32, ahead: F32) -> Sound:
    return Sound(hops.samples, hops.start, np.stack([hops.samples[0], backing[0]]))


def lag(stem: F32, start: int, rate: float) -> float | None:
    """Seconds by which a stretch of the backing's stem is later than it was heard; None about the
    turn of a second."""
    heard = ((start + np.arange(stem.size)) / rate - LATE) % 1.0
    if heard.min() < 0.1 or heard.max() > 0.9:
        return None
    return float(np.median(heard - 2.0 * stem))


@pytest.mark.parametrize("off", [(200, -100), (-150, 150)])
def test_clocks_that_drift_are_brought_together(off: tuple[float, float]) -> None:
    """Three minutes: the backing stays where it was heard, and the drift is told."""
    loopback = show(lambda true: 0 * true, tune, off, jitter=0.004)
    loopback._duet = apart  # the echo canceller has its own tests, and takes its time
    rate = SAMPLE_RATE * (1 + off[0] * 1e-6)
    lags = []
    for block in range(18_000):
        sound = loopback.read()
        if block > 6000 and block % 130 == 0:
            lags.append(lag(sound.stems[1], sound.start, rate))
    lags = [late for late in lags if late is not None]
    assert len(lags) > 50
    assert max(map(abs, lags)) <= 0.005
    assert abs(lags[-1] - lags[0]) <= 0.003
    assert loopback.jumps == 0
    assert 1e6 * loopback.drift == pytest.approx(off[1] - off[0], abs=25)


def test_what_loudspeakers_let_in_is_taken_out_of_what_the_avatar_hears() -> None:
    n = 9 * SAMPLE_RATE
    voice, played = singer(n), band(n)
    echo = fftconvolve(played, room(2))[:n]
    echo = np.concatenate([np.zeros(round(LATE * SAMPLE_RATE)), echo])[:n]
    echo *= 10 ** ((decibels(voice) - 3 - decibels(echo)) / 20)
    loopback = show(sampled(voice + echo), sampled(played))
    parts = [loopback.read() for _ in range(890)]
    stems = np.concatenate([part.stems for part in parts if part.samples.shape[1]], axis=1)
    late = slice(6 * SAMPLE_RATE, 8 * SAMPLE_RATE)
    left = stems[0, late] - voice[late]
    assert decibels(left) < decibels(echo[late]) - 10


def test_a_band_that_stops_is_silence_and_comes_back_in_its_place() -> None:
    loopback = show(lambda true: 0 * true, tune)
    captured = loopback._band
    for _ in range(300):
        loopback.read()
    resume, captured.read = captured.read, lambda: Sound(np.zeros((1, 0), np.float32), 0)
    quiet = [loopback.read().stems[1] for _ in range(500)]
    assert not quiet[-1].any()
    captured.read = resume
    back = [loopback.read() for _ in range(300)][-60:]
    lags = [lag(sound.stems[1], sound.start, SAMPLE_RATE) for sound in back]
    assert max(abs(late) for late in lags if late is not None) <= 0.005


def test_is_a_source_and_closes_what_it_opened() -> None:
    clock = Clock()
    ear = Heard(tune, clock, 0, waits=True, jitter=0)
    captured = Heard(tune, clock, 0, waits=False, jitter=0)
    loopback = Loopback(ear, captured, LATE, seconds=1.0, now=clock.now)
    assert isinstance(loopback, Source)
    assert (loopback.realtime, loopback.channels, loopback.length) == (True, 1, SAMPLE_RATE)
    assert sum(1 for _ in iter(loopback.read, None)) == 100
    loopback.close()
    assert ear.closed
    assert captured.closed


# ---- what cannot be -----------------------------------------------------------------------------


def test_elsewhere_the_line_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(UserError, match=r"PulseAudio or PipeWire; give .* --backing mic:CABLE"):
            SystemSound()


def test_without_a_sound_server_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "refused")
    )
    with pytest.raises(UserError, match="and neither answers here"):
        open_source(voice="mic", backing="loopback")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="apt install pulseaudio-utils"):
        open_source(voice="mic", backing="loopback")


def test_only_a_microphone_sings_over_what_is_live() -> None:
    for backing in ("loopback", "mic:CABLE"):
        with pytest.raises(UserError, match=f"--backing {backing} is live: it needs --voice mic"):
            open_source(voice="silence", backing=backing)


# ---- with real devices --------------------------------------------------------------------------


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    yield from serve_pulse(tmp_path, monkeypatch)


def test_what_the_system_plays_is_the_backing(pulse: Pulse, tmp_path: Path) -> None:
    """A player plays 330 Hz by the system's default sink; the microphone hears 1 kHz."""
    subprocess.run(["pactl", "set-default-sink", "cable"], check=True)
    players = [
        subprocess.Popen(["paplay", f"--device={sink}", str(tone(tmp_path / f"{sink}.wav", hertz))])
        for sink, hertz in (("cable", 330), ("song", 1000))
    ]
    source = open_source(voice="mic:pulse", backing="loopback")
    stems: list[F32] = []
    until = time.monotonic() + 20
    while sum(part.shape[1] for part in stems) < 4 * SAMPLE_RATE and time.monotonic() < until:
        sound = source.read()
        if sound.stems is not None:
            stems.append(sound.stems)
    source.close()
    for player in players:
        player.kill()
        player.wait()
    voice, backing = np.concatenate(stems, axis=1)[:, -SAMPLE_RATE:]
    assert strongest(backing) == pytest.approx(330, abs=5)
    assert strongest(voice) == pytest.approx(1000, abs=5)


def tone(path: Path, hertz: float) -> Path:
    t = np.arange(15 * SAMPLE_RATE) / SAMPLE_RATE
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((9000 * np.sin(2 * np.pi * hertz * t)).astype("<i2").tobytes())
    return path


def strongest(samples: F32) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax() * SAMPLE_RATE / samples.size)
