"""The delay between a loudspeaker and a microphone, in a made-up room and through PulseAudio."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import run_live
from engine.timeline import SAMPLE_RATE
from streaming.calibration import (
    CHIRPS,
    Delay,
    chirp,
    keep_delay,
    kept_delay,
    measure,
    score,
)
from streaming.portaudio import Device
from streaming.ports import UserError
from tests.fakes import Clock
from tests.streaming.pulse import Pulse, serve_pulse

MIC = Device(0, "Mic", "ALSA", 1, 48_000)
BOX = Device(1, "Box", "ALSA", 2, 48_000)
LATENCY = 0.030  # s that the made-up output needs, and says so
BLOCK = 480


class Room:
    """A loudspeaker and a microphone, `delay` seconds apart as a show counts it."""

    def __init__(
        self, delay: float, loudness: float = 0.2, noise: float = 0.003, wander: float = 0.0
    ) -> None:
        self.clock, self.random = Clock(10.0), np.random.default_rng(0)
        self.delay, self.loudness, self.noise, self.wander = delay, loudness, noise, wander
        self.record: Callable[[np.ndarray], None] = lambda samples: None

    def open(self, device, channels, rate, heard):
        self.record = heard
        return self

    def play(self, device, channels, rate, fill):
        """Everything happens here, by the made-up clock: a block out, a block in, 10 ms on."""
        total = 2 * score().size + SAMPLE_RATE
        air = np.zeros(total)
        for start in range(0, total - 4 * BLOCK, BLOCK):
            jitter = self.random.uniform(0, 0.003)
            out = fill(BLOCK, LATENCY)[0]
            way = self.delay + LATENCY + self.wander * start / total
            at = start + round(way * SAMPLE_RATE)
            for late, share in ((0, 1.0), (0.004, 0.4), (0.011, 0.3)):  # the walls answer
                k = at + round(late * SAMPLE_RATE)
                air[k : k + BLOCK] += (share * self.loudness * out)[: max(0, total - k)]
            self.clock.t = 10.0 + (start + BLOCK) / SAMPLE_RATE
            hiss = self.noise * self.random.normal(size=BLOCK)
            now, self.clock.t = self.clock.t, self.clock.t + jitter
            self.record((air[start : start + BLOCK] + hiss).astype(np.float32)[None])
            self.clock.t = now
        return self

    def close(self) -> None: ...

    def measured(self) -> Delay:
        return measure(self, MIC, BOX, self.clock.now)


@pytest.mark.parametrize("seconds", [0.005, 0.061, 0.180, 0.400])
def test_a_rooms_delay_is_found_to_the_millisecond(seconds: float) -> None:
    delay = Room(seconds).measured()
    assert delay.heard == CHIRPS
    assert delay.seconds == pytest.approx(seconds, abs=0.001)
    assert delay.spread < 0.001


def test_a_noisy_room() -> None:
    delay = Room(0.08, loudness=0.1, noise=0.03).measured()
    assert delay.seconds == pytest.approx(0.08, abs=0.001)


def test_what_is_not_heard_is_said_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"heard 0 of 6 chirps: turn the loudspeaker up"):
        Room(0.08, loudness=0.0).measured()


def test_what_is_not_steady_is_not_kept() -> None:
    with pytest.raises(UserError, match="the delay is not steady"):
        Room(0.08, wander=0.060).measured()


def test_busy_devices() -> None:
    room = Room(0.08)
    room.open = lambda *_: (_ for _ in ()).throw(OSError("busy"))
    with pytest.raises(UserError, match="microphone Mic cannot be opened: busy"):
        room.measured()
    room = Room(0.08)
    room.play = lambda *_: (_ for _ in ()).throw(OSError("busy"))
    with pytest.raises(UserError, match="speaker Box cannot be opened: busy"):
        room.measured()


def test_kept_for_each_pair_and_read_with_care(tmp_path: Path) -> None:
    assert kept_delay("Mic", "Box", tmp_path) is None
    path = keep_delay("Mic", "Box", Delay(0.0617, 0.001, 6), tmp_path)
    keep_delay("Mic", "Headphones", Delay(0.02, 0.001, 6), tmp_path)
    assert kept_delay("Mic", "Box", tmp_path) == 0.0617
    assert kept_delay("Mic", "Headphones", tmp_path) == 0.02
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text('{"Box → Mic": "soon", "Headphones → Mic": -3}')
    assert kept_delay("Mic", "Box", tmp_path) is None
    assert kept_delay("Mic", "Headphones", tmp_path) is None


def test_the_chirp_is_short_soft_at_both_ends_and_not_too_loud() -> None:
    assert abs(chirp()[0]) < 1e-3
    assert abs(chirp()[-1]) < 1e-3
    assert np.abs(score()).max() <= 0.5


# ---- PulseAudio ---------------------------------------------------------------------------------


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    yield from serve_pulse(tmp_path, monkeypatch)


def test_a_cable_from_output_to_input(
    pulse: Pulse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("PULSE_SINK", "song")  # whose monitor is the microphone
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    asked = ["calibrate", "--input", "mic:pulse", "--output", "speaker:pulse"]
    assert any(run_live.main(asked) == 0 for _ in range(3))  # "close other programs and try again"
    said = capsys.readouterr().out
    assert said.startswith("from pulse to pulse: "), said
    kept = kept_delay("pulse", "pulse", tmp_path / "cantar")
    assert kept is not None, said
    assert -0.050 < kept < 0.150
