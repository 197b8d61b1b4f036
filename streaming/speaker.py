"""The sound on a device, in time with the pictures: loudspeakers, or a virtual cable into OBS.

A sink is given its sound at the tick at which the picture leaves; a device wants its own earlier by
its latency. So this one follows the line itself: whenever the device asks for 10 ms that will be
heard at some instant, it plays what belongs to that instant, read straight from the sound that
arrived. The device's clock and the source's are two: the reading speed follows, by parts of a
thousand, and only a real interruption makes it jump.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME_RATE, SAMPLE_RATE
from kernels.varispeed import HALF, read_at, table
from streaming.clock import Pacer
from streaming.devicenames import choose, same_again
from streaming.handover import DelayLine
from streaming.portaudio import Device, SoundSystem, Stream
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

RETRY = 1.0  # s between looks at a device, and attempts to open it again
LISTEN = 0.3  # s that the device's clock is watched before it plays, and between corrections
PULL = 0.5  # 1/s: how fast an error is corrected
LEARN = PULL**2 / 4  # 1/s²: how fast a lasting difference of rates is learnt; critically damped
MOST, MOST_OFF = 0.004, 0.001  # the greatest change of speed (seven cents), and difference of rates
DEAD = 0.0005  # s of error that are left alone, so that clocks that agree are not disturbed
LOCKED = 0.003  # s: only within this error are the rates compared
JUMP, LEAP = 0.010, 0.250  # s of error that are not worth correcting slowly: lasting, in one block
FADE = 240  # samples faded at a jump
LATE = 0.25  # share of the sound that may come too late before it is told

log = logging.getLogger("cantar")


class System(Protocol):
    """What a speaker needs of `SoundSystem`."""

    def outputs(self) -> list[Device]: ...

    def default_output(self) -> Device | None: ...

    def play(
        self, device: Device, channels: int, rate: int, fill: Callable[[int, float], F32]
    ) -> Stream: ...

    def close(self) -> None: ...


class Following:
    """Sound by the device's clock: `fill` gives what belongs to the instant at which it is heard.

    jumps: times it had to leap. late: samples asked for before they had arrived. error: seconds
    that the last block was off. ahead: seconds that the device's latency exceeds what has arrived.
    """

    def __init__(
        self,
        sound: DelayLine,
        pacer: Pacer,
        rate: int,
        *,
        advance: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """rate: of the device, in Hz. advance: seconds to play earlier than the device says."""
        self.jumps = self.late = self.given = 0
        self.error = self.ahead = 0.0
        self._sound, self._pacer, self._now, self._advance = sound, pacer, now, advance
        self._rate = rate
        self._unit = SAMPLE_RATE / rate  # samples of the show per sample of the device
        self._table = table(min(1.0, rate / SAMPLE_RATE))
        self._at: float | None = None  # the next sample to play, not whole
        self._speed = self._learnt = 0.0  # beyond 1
        self._errors: list[float] = []  # s, since the last correction
        self._began = 0.0
        self._fade_in = True
        self._read(0.0, 1.0, 1)  # compiled before the show

    @property
    def drift(self) -> float:
        """How much slower than the show the device runs, as far as learnt: 100e-6 is 100 ppm."""
        return self._learnt

    def fill(self, n: int, lead: float) -> F32:
        """[C, n] at the device's rate, the first sample of which is heard in `lead` seconds."""
        heard = self._now() + lead + self._advance
        due = self._pacer.sounding(heard)
        if self._at is None:
            return self._wait(n, due)
        self.error = (due - self._at) / SAMPLE_RATE
        self._errors.append(self.error)
        if abs(self.error) > LEAP or not self._corrected(n):
            return self._jump(n)
        step = self._unit * (1 + self._speed)
        samples = self._read(self._at, step, n)
        self._count(self._at + n * step)
        self._at += n * step
        if self._fade_in:
            self._fade_in = False
            _fade(samples, up=True)
        return samples

    def _wait(self, n: int, due: float) -> F32:
        """Silence until the show has begun and the device's clock is known; then begin there."""
        if due > 0:
            self._errors.append((due - self._began) / SAMPLE_RATE)
            if len(self._errors) == 1:
                self._began, self._errors = due, [0.0]
            waited = len(self._errors) * n
            if waited >= LISTEN * self._rate:
                drift = np.array(self._errors) - np.arange(len(self._errors)) * n / self._rate
                begun = self._began + float(np.median(drift)) * SAMPLE_RATE
                self._at = float(round(begun + waited * self._unit))  # whole: copied, not blended
                self._errors = []
        return np.zeros((self._sound.channels, n), np.float32)

    def _jump(self, n: int) -> F32:
        """The source was away, or the device was: end softly, and begin anew where it is now."""
        assert self._at is not None
        self.jumps += 1
        samples = self._read(self._at, self._unit, n)
        _fade(samples, up=False)
        self._at, self._errors, self._fade_in = None, [], True
        self._speed = self._learnt
        return samples

    def _corrected(self, n: int) -> bool:
        """One step of the loop, as the pacer's, once a few blocks have told the error: their median
        is the truth. False when it is too great for that, as after an underrun."""
        if len(self._errors) * n < LISTEN * self._rate:
            return True
        error = float(np.median(self._errors))
        self._errors = []
        if abs(error) > JUMP:
            return False
        if abs(error) < LOCKED:
            lasting = error - max(-DEAD, min(DEAD, error))
            self._learnt = _clip(self._learnt + LEARN * LISTEN * lasting, MOST_OFF)
        pulled = error - max(-DEAD, min(DEAD, error))
        self._speed = _clip(self._learnt + PULL * pulled, MOST)
        return True

    def _read(self, at: float, step: float, n: int) -> F32:
        first = int(np.floor(at)) - HALF
        source = self._sound.peek(first, int(np.ceil(n * step)) + 2 * HALF + 2)
        out = np.empty((source.shape[0], n), np.float32)
        read_at(source, at - first, step, self._table, out)
        return out

    def _count(self, end: float) -> None:
        missing = end + HALF - self._sound.end
        self.given += 1
        if missing > 0:
            self.late += 1
            self.ahead = max(self.ahead, missing / SAMPLE_RATE)


class Speaker:
    """A sink that plays on a device; survives its cable."""

    wants_picture = False
    wants_sound = True

    def __init__(
        self,
        name: str,
        fmt: SinkFormat,
        *,
        system: Callable[[], System] = SoundSystem,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find the output `name`: a name or part of one, a number, or "" for the system's choice.

        Raises UserError when there is no such device, and when PortAudio is not installed.
        """
        self._make_system, self._now, self._lookahead = system, now, fmt.lookahead
        self.following: Following | None = None
        self._system: System | None = system()
        try:
            self._device = choose_speaker(self._system, name)
        except UserError:
            self._system.close()
            raise
        self.device = self._device.name
        self._stream: Stream | None = None
        self._source: tuple[DelayLine, Pacer] | None = None
        self._over = threading.Event()
        self._gone = self._told = False
        self._thread = threading.Thread(target=self._watch, name="cantar speaker", daemon=True)

    @property
    def drift(self) -> float:
        """How much slower than the show the device runs: 100e-6 is 100 ppm."""
        return 0.0 if self.following is None else self.following.drift

    def follow(self, sound: DelayLine | None, pacer: Pacer) -> None:
        """The show begins: play `sound` by `pacer`."""
        if sound is not None:
            self._source = sound, pacer
            self._thread.start()

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Nothing: the device asks for what it needs."""

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2 * RETRY)
        self._let_go()

    # -- the thread that looks after the device

    def _watch(self) -> None:
        while not self._over.is_set():
            if self._stream is None:
                self._open()
            elif not self._stream.running():
                self._lose()
            self._tell_late()
            self._over.wait(RETRY)

    def _open(self) -> None:
        assert self._source is not None
        try:
            if self._system is None:
                self._system = self._make_system()
                self._device = same_again(self._system.outputs(), self._device)
            self._stream = self._start(self._system, *self._source)
        except (OSError, UserError) as error:
            self._let_go()
            self._complain(f"speaker {self.device} cannot be opened ({error})")
            return
        if self._gone:
            self._gone = False
            log.warning("speaker %s is back", self.device)

    def _start(self, system: System, sound: DelayLine, pacer: Pacer) -> Stream:
        """Open at 48 kHz, or at the device's own rate. Raises OSError."""
        channels = min(sound.channels, self._device.channels)

        def fill(n: int, lead: float) -> F32:
            samples = following.fill(n, lead)
            return samples if len(samples) == channels else samples.mean(axis=0, keepdims=True)

        for rate in dict.fromkeys((SAMPLE_RATE, self._device.rate)):
            following = self.following = Following(sound, pacer, rate, now=self._now)
            try:
                return system.play(self._device, channels, rate, fill)
            except (OSError, ValueError):
                continue
        raise OSError(f"it takes neither {SAMPLE_RATE} nor {self._device.rate} Hz, or is busy")

    def _lose(self) -> None:
        self._let_go()
        self._complain(f"speaker {self.device} is gone")

    def _let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._system is not None:
            self._system.close()  # PortAudio sees a device that returns only when started anew
        self._stream = self._system = None

    def _complain(self, trouble: str) -> None:
        if not self._gone and not self._over.is_set():
            log.warning("%s; the show goes on, and it is tried again", trouble)
        self._gone = True

    def _tell_late(self) -> None:
        following = self.following
        if following is None or self._told or following.given < 100:
            return
        if following.late > LATE * following.given and self._source is not None:
            self._told = True
            delay = self._source[1].delay + following.ahead
            log.warning(
                "speaker %s is slow: its sound is broken until you --set live.margin_ms=%d",
                self.device,
                ceil(1000 * (delay - self._lookahead / FRAME_RATE)),
            )


def list_speakers() -> list[str]:
    """One line per output device; or one that says why there is none."""
    try:
        system = SoundSystem()
    except UserError as error:
        return [f"speaker: {error}"]
    try:
        return [
            f"speaker:{device.index}  {device.name} ({device.driver}, "
            f"{min(2, device.channels)} ch, {device.rate} Hz)"
            for device in system.outputs()
        ] or ["speaker: no sound output found"]
    finally:
        system.close()


def check_speaker(name: str, fmt: SinkFormat | None) -> None:
    """Raise UserError when PortAudio is not installed, or there is no such device."""
    system = SoundSystem()
    try:
        choose_speaker(system, name)
    finally:
        system.close()


def choose_speaker(system: System, name: str) -> Device:
    outputs = system.outputs()
    if not outputs:
        raise UserError("no speaker found: this system lists no sound outputs")
    if not name:
        return system.default_output() or outputs[0]
    return choose(outputs, name, "speaker", "speaker")


def _fade(samples: F32, *, up: bool) -> None:
    n = min(FADE, samples.shape[1])
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    if up:
        samples[:, :n] *= ramp
    else:
        samples[:, :n] *= ramp[::-1]
        samples[:, n:] = 0


def _clip(x: float, most: float) -> float:
    return max(-most, min(most, x))
