"""Singing over what another program plays: the system's own sound, captured while it is heard.

    any player ─▶ the system's sound ─┬─▶ loudspeaker or headphones ─▶ the singer
                                      └─▶ captured ─┬─▶ + microphone: for people
    microphone ───▶ echo canceller, its reference ──┴─▶ stems: for the avatar

Two devices, two clocks. Each is timed by its own arrivals (`clock.Pacer`); everything is placed on
the microphone's timeline, and the captured sound is read at the speed at which the two agree
(`speaker.Following`): a lasting difference is `drift`. The captured sound comes earlier than it is
heard and sung to by a constant, `microphone.loopback_ms`.

PulseAudio and PipeWire give what they play (by `parec`); on other systems a virtual cable does, as
an input device: `--backing mic:CABLE`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from engine.signals import F32, Sound
from engine.timeline import SAMPLE_RATE
from streaming.clock import Pacer
from streaming.handover import DelayLine
from streaming.karaoke import Duet, Ear, WholeHops
from streaming.portaudio import Device, Stream
from streaming.ports import UserError
from streaming.speaker import Following

HELD = 4.0  # s of captured sound that are kept
FRESH = 0.025  # s after its arrival at which captured sound is surely there, whatever the machine
BLOCK = 0.01  # s that `parec` is asked to give at once
ELSEWHERE = (
    "--backing loopback needs PulseAudio or PipeWire{why}; give the song itself with --backing "
    "FILE, or send it through a virtual cable (VB-CABLE, BlackHole) and give --backing mic:CABLE"
)


class Band(Protocol):
    """The captured sound: a real-time source that never waits, and knows when its last sound
    arrived."""

    channels: int

    @property
    def arrived(self) -> float: ...

    def read(self) -> Sound | None: ...

    def close(self) -> None: ...


class Loopback:
    """Microphone and captured backing as one real-time source with `stems` = (voice, backing).

    channels: 2 when either is stereo. length: of the show in samples, if `seconds` says so.
    """

    realtime = True

    def __init__(
        self,
        ear: Ear,
        band: Band,
        late: float,
        seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """late: seconds from a captured sound's arrival to its entering from the microphone."""
        self._ear, self._band, self._now = ear, band, now
        self.length = None if seconds is None else round(seconds * SAMPLE_RATE)
        self.channels = max(ear.channels, band.channels)
        self._sung, self._played = Pacer(0.0, now=now), Pacer(max(late, FRESH), now=now)
        self._line = DelayLine(band.channels, HELD)
        self._at = 0.0  # when the hops that are put together now entered
        early = max(late, FRESH) - FRESH
        self._heard = self._following(0.0)
        self._ahead = self._following(early)
        self._whole, self._duet = WholeHops(), Duet(self.channels)

    def _following(self, advance: float) -> Following:
        """Captured sound by the microphone's clock, so many seconds early."""
        return Following(
            self._line, self._played, SAMPLE_RATE, advance=advance, now=lambda: self._at
        )

    @property
    def drift(self) -> float:
        """How much slower than the captured sound the microphone runs: 100e-6 is 100 ppm."""
        return self._heard.drift

    @property
    def jumps(self) -> int:
        """Times that one of the two was away for so long that the other leapt."""
        return self._heard.jumps

    def read(self) -> Sound | None:
        """What was sung, in whole hops, with what was heard with it. None at the end."""
        sound = self._ear.read()
        if sound is None or (self.length is not None and sound.start >= self.length):
            return None
        self._capture()
        if sound.samples.shape[1]:
            t = self._now()
            self._sung.observe(sound.end, t)
            self._sung.poll(t)
        hops = self._whole(sound)
        n = hops.samples.shape[1]
        if not n:
            return hops
        self._at = self._sung.entered(hops.start)
        return self._duet(hops, self._heard.fill(n, 0.0), self._ahead.fill(n, 0.0))

    def _capture(self) -> None:
        """Take what has been captured so far."""
        while (sound := self._band.read()) is not None and sound.samples.shape[1]:
            self._line.append(sound)
            self._played.observe(sound.end, self._band.arrived)
            self._played.poll(self._band.arrived)

    def close(self) -> None:
        self._band.close()
        self._ear.close()


class SystemSound:
    """What the system plays, as a sound system (`microphone.System`) with one input.

    Raises UserError where there is neither PulseAudio nor PipeWire.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise UserError(ELSEWHERE.format(why=""))
        if shutil.which("parec") is None or shutil.which("pactl") is None:
            raise UserError(ELSEWHERE.format(why=" and its tools (apt install pulseaudio-utils)"))
        asked = subprocess.run(["pactl", "get-default-sink"], capture_output=True, text=True)
        if asked.returncode:
            raise UserError(ELSEWHERE.format(why=", and neither answers here"))
        self._name = f"monitor of {asked.stdout.strip()}"

    def inputs(self) -> list[Device]:
        return [Device(0, self._name, "PulseAudio", 2, SAMPLE_RATE)]

    def default_input(self) -> Device | None:
        return self.inputs()[0]

    def open(
        self, device: Device, channels: int, rate: int, heard: Callable[[F32], None]
    ) -> Stream:
        return _Recording(channels, rate, heard)

    def close(self) -> None:
        """Nothing is open."""


class _Recording:
    """`parec` on the monitor of the default sink; `heard` gets [channels, n] in a thread."""

    def __init__(self, channels: int, rate: int, heard: Callable[[F32], None]) -> None:
        self._channels, self._heard = channels, heard
        self._process = subprocess.Popen(
            ["parec", "--device=@DEFAULT_MONITOR@", "--raw", "--format=float32le",
             f"--rate={rate}", f"--channels={channels}", f"--latency-msec={1000 * BLOCK:.0f}",
             "--client-name=Cantar"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._listen, name="cantar loopback", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        frame, rest = 4 * self._channels, b""
        while data := os.read(self._process.stdout.fileno(), 1 << 16):
            rest += data
            whole = len(rest) // frame * frame
            samples = np.frombuffer(rest[:whole], "<f4").reshape(-1, self._channels)
            rest = rest[whole:]
            self._heard(np.ascontiguousarray(samples.T, np.float32))

    def running(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
