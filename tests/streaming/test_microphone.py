"""The microphone: its logic with a made-up device and clock, then a real PulseAudio."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.signals import Sound
from engine.timeline import SAMPLE_RATE
from streaming.microphone import GONE, Microphone, MicrophoneConfig, list_microphones
from streaming.portaudio import Device
from streaming.ports import Source, UserError
from tests.streaming.pulse import Pulse, serve_pulse

USB = Device(3, "USB Audio", "ALSA", 2, 44100)
HEADSET = Device(1, "Headset (hw:1,0)", "ALSA", 1, 16000)


class World:
    """A clock, and sound devices that can be plugged and unplugged."""

    def __init__(self, *devices: Device, rates: tuple[int, ...] = (48000,)) -> None:
        self.time, self.devices, self.rates = 100.0, list(devices), rates
        self.started = 0
        self.alive = True  # what is opened gives sound
        self.heard: Callable[[np.ndarray], None] = lambda samples: None
        self.opened: tuple[Device, int, int] | None = None

    def now(self) -> float:
        return self.time

    def system(self) -> World:
        self.started += 1
        return self

    def inputs(self) -> list[Device]:
        return self.devices

    def default_input(self) -> Device | None:
        return self.devices[0] if self.devices else None

    def open(self, device: Device, channels: int, rate: int, heard) -> World:
        if rate not in self.rates:
            raise OSError("invalid sample rate")
        self.alive, self.opened, self.heard = True, (device, channels, rate), heard
        return self

    def running(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.alive = False

    def microphone(
        self, name: str = "", seconds: float | None = None, **config: float
    ) -> Microphone:
        return Microphone(
            name, config=MicrophoneConfig(**config), seconds=seconds, system=self.system,
            now=self.now, patience=0,
        )  # fmt: skip

    def give(self, samples: np.ndarray) -> None:
        """The device delivers a block [C, n]; the clock moves on by its length."""
        assert self.opened is not None
        self.time += samples.shape[1] / self.opened[2]
        self.heard(samples)


def block(value: float, channels: int = 2, n: int = 480) -> np.ndarray:
    return np.full((channels, n), value, np.float32)


def read(microphone: Microphone) -> Sound:
    sound = microphone.read()
    assert sound is not None
    return sound


def test_gives_what_it_hears_and_empties_between() -> None:
    world = World(USB)
    microphone = world.microphone()
    assert isinstance(microphone, Source)
    assert (microphone.realtime, microphone.channels, microphone.length) == (True, 2, None)
    assert read(microphone).samples.shape == (2, 0)
    for n in range(3):
        world.give(block(n))
    for n in range(3):
        sound = read(microphone)
        assert (sound.start, sound.samples.shape, sound.samples[0, 0]) == (480 * n, (2, 480), n)
    assert (read(microphone).start, read(microphone).samples.shape) == (1440, (2, 0))


def test_mono_devices_stay_mono() -> None:
    world = World(HEADSET)
    microphone = world.microphone()
    assert microphone.channels == 1
    assert world.opened == (HEADSET, 1, 48000)


def test_one_channel_of_many() -> None:
    mixer = Device(0, "Mixer", "ASIO", 8, 48000)
    world = World(mixer)
    microphone = world.microphone(channel=3)
    assert microphone.channels == 1
    assert world.opened == (mixer, 3, 48000)
    world.give(np.arange(3, dtype=np.float32)[:, None] * block(1.0, channels=1))
    assert np.array_equal(read(microphone).samples, block(2.0, channels=1))
    with pytest.raises(UserError, match="Mixer has no channel 9: it has 8"):
        world.microphone(channel=9)


def test_gain() -> None:
    world = World(USB)
    microphone = world.microphone(gain_db=-6.0206)
    world.give(block(0.5))
    assert read(microphone).samples == pytest.approx(0.25, abs=1e-5)


def test_the_gate_keeps_the_room_out_and_lets_the_voice_in_at_once() -> None:
    """Room at -60 dB, a second of voice at -20 dB, room again; the gate at -45 dB."""
    world = World(USB)
    microphone = world.microphone(gate_db=-45)
    levels = [0.001] * 50 + [0.1] * 100 + [0.001] * 100
    heard = []
    for level in levels:
        world.give(block(level) * np.sign(np.sin(np.arange(480))).astype(np.float32))
        heard.append(np.abs(read(microphone).samples).max())
    assert max(heard[:50]) == 0
    assert heard[51] == pytest.approx(0.1)  # open within 5 ms
    assert min(heard[51:150]) == pytest.approx(0.1)
    assert heard[160] > 0  # still open after a stop consonant
    assert max(heard[-40:]) == 0


def test_own_rate_where_48_khz_is_refused() -> None:
    world = World(USB, rates=(44100,))
    microphone = world.microphone()
    assert world.opened == (USB, 2, 44100)
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32)
    heard = []
    for start in range(0, 44100, 441):
        world.give(np.tile(tone[start : start + 441], (2, 1)))
        heard.append(read(microphone))
    assert all(a.end == b.start for a, b in itertools.pairwise(heard))
    got = np.concatenate([sound.samples for sound in heard], axis=1)
    assert got.shape[1] > 48000 - 2400
    expected = np.sin(2 * np.pi * 440 * np.arange(got.shape[1]) / SAMPLE_RATE)
    assert np.abs(got - expected)[:, 2000:].max() < 1e-3


def test_seconds_cuts_exactly() -> None:
    world = World(USB)
    microphone = world.microphone(seconds=0.0251)
    total = 0
    for n in range(5):
        world.give(block(n))
    while (sound := microphone.read()) is not None:
        total += sound.samples.shape[1]
    assert total == microphone.length == 1205


def test_a_late_reader_loses_the_oldest_and_the_index_jumps() -> None:
    world = World(USB)
    microphone = world.microphone()
    for n in range(80):
        world.give(block(n))
    first = read(microphone)
    assert (first.start, first.samples[0, 0]) == (30 * 480, 30)
    assert microphone.lost == 30 * 480
    assert read(microphone).start == 31 * 480


def test_unplugged_waited_for_and_back(caplog: pytest.LogCaptureFixture) -> None:
    world = World(USB)
    microphone = world.microphone()
    world.give(block(1))
    assert read(microphone).end == 480
    world.alive, world.devices = False, []
    starts = []
    for _ in range(70):  # seven seconds
        world.time += 0.1
        sound = read(microphone)
        assert sound.samples.shape == (2, 0)
        starts.append(sound.start)
    assert starts == sorted(starts)
    assert starts[-1] == 480 + 7 * SAMPLE_RATE
    assert 6 <= world.started <= 8  # once a second
    assert [r.getMessage() for r in caplog.records] == [
        "microphone USB Audio is gone; the show waits for it"
    ]
    world.devices = [HEADSET, Device(5, USB.name, USB.driver, 2, 44100)]  # its number has changed
    world.time += 1.5
    assert read(microphone).samples.shape == (2, 0)
    world.time += 0.2
    world.give(block(2))
    sound = read(microphone)
    assert sound.samples[0, 0] == 2
    assert sound.start == 480 + round(8.7 * SAMPLE_RATE)
    assert caplog.records[-1].getMessage() == "microphone USB Audio is back after 8.7 s"
    assert len(caplog.records) == 2
    world.give(block(3))
    assert read(microphone).start == sound.end


def test_silent_device_counts_as_gone(caplog: pytest.LogCaptureFixture) -> None:
    world = World(USB)
    microphone = world.microphone()
    world.time += GONE - 0.01
    read(microphone)
    assert not caplog.records
    world.time += 0.02
    read(microphone)
    assert "is gone" in caplog.text
    for _ in range(20):  # it can be opened again and stays silent: no second word
        world.time += 0.5
        read(microphone)
    assert len(caplog.records) == 1


def test_back_with_another_channel_count() -> None:
    world = World(USB)
    microphone = world.microphone()
    world.give(block(1))
    read(microphone)
    world.alive = False
    read(microphone)
    world.devices = [Device(3, USB.name, USB.driver, 1, 48000)]
    world.time += 2
    read(microphone)
    world.give(block(1, channels=1))
    assert read(microphone).samples.shape == (2, 480)


@pytest.mark.parametrize(
    ("name", "device"),
    [("", HEADSET), ("3", USB), ("usb audio", USB), ("USB", USB), ("hw:1", HEADSET)],
)
def test_names(name: str, device: Device) -> None:
    assert World(HEADSET, USB).microphone(name).device == device.name


@pytest.mark.parametrize(
    ("devices", "name", "message"),
    [
        ([USB, HEADSET], "USB Adio", "no microphone USB Adio; did you mean mic:USB Audio"),
        ([USB, HEADSET], "0", r"no microphone 0 \(there are: 3 USB Audio, 1 Headset \(hw:1,0\)\)"),
        ([], "", "no microphone found"),
    ],
)
def test_wrong_names(devices: list[Device], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        World(*devices).microphone(name)


def test_busy_device() -> None:
    with pytest.raises(UserError, match="microphone USB Audio cannot be opened"):
        World(USB, rates=()).microphone()


@pytest.mark.parametrize(
    ("platform", "line"),
    [("linux", "apt-get install -y portaudio19-dev"), ("darwin", "brew install portaudio"),
     ("win32", "pip install pyaudio")],
)  # fmt: skip
def test_without_portaudio(monkeypatch: pytest.MonkeyPatch, platform: str, line: str) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(UserError, match="needs PortAudio and PyAudio") as caught:
        Microphone()
    assert line in str(caught.value)
    assert line in list_microphones()[0]


# ---- a real PulseAudio --------------------------------------------------------------------------


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    yield from serve_pulse(tmp_path, monkeypatch)


def record(microphone: Microphone, seconds: float) -> list[Sound]:
    sounds, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        sounds.append(read(microphone))
    return sounds


def found(sounds: list[Sound], song: np.ndarray) -> float:
    """The largest error of `song` [2, n] where it fits best in what was recorded."""
    got = np.concatenate([sound.samples for sound in sounds], axis=1)
    mark = song[0, :2400]
    spectrum = np.fft.rfft(got[0], 1 << 19) * np.fft.rfft(mark, 1 << 19).conj()
    at = int(np.fft.irfft(spectrum)[: got.shape[1]].argmax())
    piece = got[:, at : at + song.shape[1]]
    return float(np.abs(piece - song[:, : piece.shape[1]]).max()) if piece.shape[1] > 2400 else 9.0


def test_a_real_virtual_microphone(
    pulse: Pulse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    pcm = rng.integers(-20000, 20000, (2, SAMPLE_RATE // 2)).astype(np.int16)
    song = pcm / np.float32(32768)
    path = str(tmp_path / "song.wav")
    with wave.open(path, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.ascontiguousarray(pcm.T).tobytes())
    play = ["paplay", "--device=song", path]

    with caplog.at_level(logging.INFO):
        microphone = Microphone("pulse")
        record(microphone, 0.3)
        with subprocess.Popen(play):
            sounds = record(microphone, 1.2)
        assert found(sounds, song) <= 1 / 32768
        assert all(a.end == b.start for a, b in itertools.pairwise(sounds))

        pulse.kill()
        lost_at = time.monotonic()
        gone = record(microphone, 1.5)
        assert [r.getMessage() for r in caplog.records] == [
            "microphone pulse is gone; the show waits for it"
        ]
        assert not gone[-1].samples.size

        pulse.start()
        back = record(microphone, 2.0)
        assert "microphone pulse is back" in caplog.text
        with subprocess.Popen(play):
            back += record(microphone, 1.2)
    everything = [*sounds, *gone, *back]
    assert found(back, song) <= 1 / 32768
    assert all(a.end <= b.start for a, b in itertools.pairwise(everything))
    elapsed = time.monotonic() - lost_at
    assert (back[-1].end - sounds[-1].end) / SAMPLE_RATE == pytest.approx(elapsed, abs=0.15)
    microphone.close()
    microphone.close()
    assert microphone.lost == 0


def test_open_source_takes_mic(pulse: Pulse) -> None:
    from streaming.schemes import list_devices, open_source

    source = open_source("mic:pulse", seconds=0.1)
    total = 0
    while (sound := source.read()) is not None:
        total += sound.samples.shape[1]
    source.close()
    assert total == 4800
    assert any(line.startswith("mic:") and "pulse" in line for line in list_devices())
    with pytest.raises(UserError, match="did you mean mic:pulse"):
        open_source("mic:plse")


def test_nothing_here_imports_device_libraries_early() -> None:
    program = (
        "import sys, streaming.schemes, streaming.microphone, streaming.camera, streaming.preview\n"
        "assert not {'pyaudio', 'cv2', 'pyvirtualcam'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
