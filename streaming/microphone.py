"""A microphone as a source that outlives its cable.

The device's own thread fills `_Blocks`; `read` takes from it. When the device stops (or gives
nothing for GONE seconds) the microphone says so once, answers with empty Sounds, and tries to open
it again every RETRY seconds. Time goes on meanwhile: after its return the sample index has advanced
by as much as the clock did.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import soxr

from engine.signals import F32, Sound
from engine.timeline import SAMPLE_RATE
from streaming.devicenames import choose, same_again
from streaming.levels import Levels
from streaming.portaudio import Device, SoundSystem, Stream
from streaming.ports import UserError

GONE = 1.0  # seconds without sound
RETRY = 1.0  # seconds between attempts to open the device again
PATIENCE = 0.1  # seconds that `read` waits for sound; ports.Source
CAPACITY = 0.5  # seconds of sound between the device's thread and `read`

log = logging.getLogger("cantar")


@dataclass(frozen=True)
class MicrophoneConfig:
    """What is done to the microphone's sound.

    channel: of the device, from 1; null: the first two as they are. gain_db: louder or softer.
    gate_db: below this level, in dB of full scale, there is silence; null: no gate. monitor: where
    the singer hears the backing of `--voice mic --backing FILE`: a name as of `speaker:NAME`, null
    for the system's choice, `none` for nowhere. loopback_ms: with `--backing loopback`, from a
    sound's leaving the program that plays it to its entering from the microphone, sung along.
    """

    channel: int | None = None
    gain_db: float = 0.0
    gate_db: float | None = None
    monitor: str | None = None
    loopback_ms: float = 60.0

    def __post_init__(self) -> None:
        if self.channel is not None and self.channel < 1:
            raise ValueError(f"channel must be 1 or more, or null, got {self.channel}")
        if not -40 <= self.gain_db <= 40:
            raise ValueError(f"gain_db must be -40 to 40, got {self.gain_db}")
        if self.gate_db is not None and not -100 <= self.gate_db <= 0:
            raise ValueError(f"gate_db must be -100 to 0, or null, got {self.gate_db}")
        if not 0 <= self.loopback_ms <= 1000:
            raise ValueError(f"loopback_ms must be 0 to 1000, got {self.loopback_ms}")


class System(Protocol):
    """What a microphone needs of `SoundSystem`."""

    def inputs(self) -> list[Device]: ...

    def default_input(self) -> Device | None: ...

    def open(
        self, device: Device, channels: int, rate: int, heard: Callable[[F32], None]
    ) -> Stream: ...

    def close(self) -> None: ...


class Block(NamedTuple):
    """What the device gave at once: [C, n] at its own rate, the clock when it came, lost before."""

    samples: F32
    arrived: float  # seconds
    lost: int  # of the device's samples, dropped just before this block


class _Blocks:
    """Hand-over of `capacity` samples; when full the oldest block is dropped, and counted."""

    def __init__(self, capacity: int) -> None:
        self._capacity, self._held, self._lost = capacity, 0, 0
        self._blocks: deque[Block] = deque()
        self._changed = threading.Condition()

    def put(self, samples: F32, arrived: float) -> None:
        with self._changed:
            self._blocks.append(Block(samples, arrived, 0))
            self._held += samples.shape[1]
            while self._held > self._capacity and len(self._blocks) > 1:
                self._held -= self._blocks[0].samples.shape[1]
                self._lost += self._blocks.popleft().samples.shape[1]
            self._changed.notify()

    def get(self, patience: float) -> Block | None:
        """The oldest block, or None when none comes within `patience` seconds."""
        with self._changed:
            if not self._blocks:
                self._changed.wait(patience)
            if not self._blocks:
                return None
            block, lost = self._blocks.popleft(), self._lost
            self._held, self._lost = self._held - block.samples.shape[1], 0
            return block._replace(lost=lost)


class _Line:
    """One opened device, the blocks that come from it and their way to 48 kHz."""

    def __init__(
        self, system: System, device: Device, channel: int | None, now: Callable[[], float]
    ) -> None:
        """Open at 48 kHz, or at the device's own rate. Raises OSError."""
        self._channel = channel
        self._opened = channel or min(2, device.channels)
        self.channels = 1 if channel else self._opened
        self.rate, self._capture = SAMPLE_RATE, self._open(system, device, now, SAMPLE_RATE)
        if self._capture is None:
            self.rate, self._capture = device.rate, self._open(system, device, now, device.rate)
        if self._capture is None:
            raise OSError(f"it gives neither {SAMPLE_RATE} nor {device.rate} Hz, or is busy")
        self._resampler = self._new_resampler()
        self.opened = now()

    def _open(
        self, system: System, device: Device, now: Callable[[], float], rate: int
    ) -> Stream | None:
        blocks = self.blocks = _Blocks(round(CAPACITY * rate))
        try:
            return system.open(
                device, self._opened, rate, lambda samples: blocks.put(self._chosen(samples), now())
            )
        except (OSError, ValueError):
            return None

    def _chosen(self, samples: F32) -> F32:
        return samples if self._channel is None else samples[self._channel - 1 :]

    def _new_resampler(self) -> soxr.ResampleStream | None:
        if self.rate == SAMPLE_RATE:
            return None
        return soxr.ResampleStream(self.rate, SAMPLE_RATE, self.channels, "float32", "HQ")

    def resampled(self, block: Block) -> F32:
        """[C, n] at 48 kHz. After a loss the resampler starts anew."""
        if block.lost:
            self._resampler = self._new_resampler()
        if self._resampler is None:
            return block.samples
        samples: F32 = self._resampler.resample_chunk(block.samples.T).T
        return np.ascontiguousarray(samples)

    def running(self) -> bool:
        return self._capture is not None and self._capture.running()

    def close(self) -> None:
        if self._capture is not None:
            self._capture.close()


class Microphone:
    """Real-time sound from an input device, mono or stereo as the device is.

    channels: 1 or 2. device: its name. rate: its own, in Hz. lost: samples at 48 kHz that
    `read` came too late for.
    The index counts the device's own samples, so it follows the device's clock, not this machine's;
    only an interruption is measured with `now` (seconds, monotonic).
    """

    realtime = True

    def __init__(
        self,
        name: str = "",
        *,
        config: MicrophoneConfig | None = None,
        seconds: float | None = None,
        system: Callable[[], System] = SoundSystem,
        now: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
        what: str = "microphone",
    ) -> None:
        """Open the input `name`: a name or part of one, a number, or "" for the system's choice.

        Raises UserError when there is no such device (with the nearest name), when it cannot be
        opened, and when PortAudio is not installed.
        """
        self.length = None if seconds is None else round(seconds * SAMPLE_RATE)
        self.lost = 0
        self._make_system, self._now, self._patience = system, now, patience
        self._what = what  # as complaints call it
        self._config = config or MicrophoneConfig()
        self._levels = Levels(self._config.gain_db, self._config.gate_db)
        self._system: System | None = system()
        try:
            self._device = choose_microphone(self._system, name)
            _check_channel(self._device, self._config.channel)
            self._line: _Line | None = self._new_line(self._system)
        except OSError as error:
            self._system.close()
            raise UserError(f"{what} {self._device.name} cannot be opened: {error}") from None
        except UserError:
            self._system.close()
            raise
        self.channels, self.device = self._line.channels, self._device.name
        self.rate = self._device.rate
        self._at = self._at_loss = 0  # the next sample to give; where the last interruption began
        self._heard_until = self._line.opened  # the clock at the end of the last block
        self._gone = False  # and has been said so
        self._tried = self._line.opened

    @property
    def arrived(self) -> float:
        """When the device gave what `read` gave last: seconds on `now`."""
        return self._heard_until

    def read(self) -> Sound | None:
        """What the device gave (10 ms), or an empty Sound after 0.1 s without; None at the end.

        While the device is gone the empty Sounds' `start` advances with the clock. An attempt to
        open it again may take a little longer than 0.1 s.
        """
        if self.length is not None and self._at >= self.length:
            return None
        if self._line is None and self._now() >= self._tried + RETRY:
            self._try_again()
        block = self._wait()
        if block is not None:
            return self._within_length(self._sound(block))
        if self._line is not None and self._is_silent(self._line):
            self._lose()
        if self._gone:
            self._at = max(self._at, self._elapsed_to(self._now()))
        return self._within_length(Sound(np.zeros((self.channels, 0), np.float32), self._at))

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._system is not None:
            self._system.close()
        self._line = self._system = None

    def _new_line(self, system: System) -> _Line:
        return _Line(system, self._device, self._config.channel, self._now)

    def _wait(self) -> Block | None:
        if self._line is None:
            time.sleep(self._patience)
            return None
        return self._line.blocks.get(self._patience)

    def _sound(self, block: Block) -> Sound:
        line = self._line
        assert line is not None
        if self._gone:
            self._return(block)
        if block.lost:
            missed = round(block.lost * SAMPLE_RATE / line.rate)
            self.lost, self._at = self.lost + missed, self._at + missed
        self._heard_until = block.arrived
        samples = self._levels(_with_channels(line.resampled(block), self.channels))
        sound = Sound(samples, self._at)
        self._at = sound.end
        return sound

    def _within_length(self, sound: Sound) -> Sound | None:
        if self.length is None or sound.end < self.length:
            return sound
        return Sound(sound.samples[:, : max(0, self.length - sound.start)], sound.start)

    def _elapsed_to(self, instant: float) -> int:
        """The sample index at `instant`, by the clock since the last block."""
        return self._at_loss + round((instant - self._heard_until) * SAMPLE_RATE)

    def _is_silent(self, line: _Line) -> bool:
        since = self._now() - max(self._heard_until, line.opened)
        return not line.running() or since > GONE

    def _lose(self) -> None:
        """Let go of the device, and of PortAudio, which would not see it return."""
        if not self._gone:
            log.warning("%s %s is gone; the show waits for it", self._what, self.device)
            self._gone, self._at_loss = True, self._at
        self.close()
        self._tried = self._now()

    def _try_again(self) -> None:
        self._tried = self._now()
        try:
            self._system = self._make_system()
            self._device = same_again(self._system.inputs(), self._device)
            self._line = self._new_line(self._system)
        except (OSError, UserError):
            self.close()

    def _return(self, block: Block) -> None:
        assert self._line is not None
        begun = block.arrived - block.samples.shape[1] / self._line.rate
        away = begun - self._heard_until
        self._at = max(self._at, self._elapsed_to(begun))
        self._gone = False
        log.warning("%s %s is back after %.1f s", self._what, self.device, away)


def list_microphones() -> list[str]:
    """One line per input device; or one that says why there is none."""
    try:
        system = SoundSystem()
    except UserError as error:
        return [f"mic: {error}"]
    try:
        return [
            f"mic:{device.index}  {device.name} ({device.driver}, "
            f"{min(2, device.channels)} ch, {device.rate} Hz)"
            for device in system.inputs()
        ] or ["mic: no microphone found"]
    finally:
        system.close()


def choose_microphone(system: System, name: str) -> Device:
    """The device that the user means; the system's choice for "". Raises UserError."""
    inputs = system.inputs()
    if not inputs:
        raise UserError("no microphone found: this system lists no sound inputs")
    if not name:
        return system.default_input() or inputs[0]
    return choose(inputs, name, "mic", "microphone")


def _check_channel(device: Device, channel: int | None) -> None:
    if channel is not None and channel > device.channels:
        raise UserError(
            f"microphone {device.name} has no channel {channel}: it has {device.channels}"
        )


def _with_channels(samples: F32, channels: int) -> F32:
    """A device that returned with another channel count, fitted to what the show began with."""
    if len(samples) == channels:
        return samples
    return np.repeat(samples, 2, axis=0) if channels == 2 else samples.mean(axis=0, keepdims=True)
