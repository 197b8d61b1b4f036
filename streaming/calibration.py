"""How long sound takes from a loudspeaker to the microphone: `run_live.py calibrate`.

Short chirps are played and listened for. The delay is counted as a live show counts it: from the
instant at which a sample is said to be heard to the instant at which it enters from the microphone.
It holds the way through the air, the microphone's own latency and whatever the drivers keep quiet
about. It is kept for the pair of devices, in `devices.json` in the user's configuration folder.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.signals import F32
from engine.timeline import SAMPLE_RATE
from streaming.portaudio import Device, Stream
from streaming.ports import UserError
from streaming.userfolder import config_folder, read_secrets, write_secrets

F64 = NDArray[np.float64]

CHIRPS = 6
CHIRP_S, EVERY_S = 0.03, 0.5  # s of a chirp, and between two
LEAD_S, MOST_S = 0.5, 0.45  # s of silence first; the longest delay that can be told
EARLY_S = 0.05  # s by which a driver may promise a sound later than it comes
SWEEP = (1000.0, 8000.0)  # Hz
LOUD = 0.5
CLEAR = 8.0  # times the usual correlation that a chirp must stand out
LEAST, SPREAD_S = 4, 0.008  # chirps that must be heard, and how far they may lie apart


class System(Protocol):
    """What calibrating needs of `SoundSystem`."""

    def open(
        self, device: Device, channels: int, rate: int, heard: Callable[[F32], None]
    ) -> Stream: ...

    def play(
        self, device: Device, channels: int, rate: int, fill: Callable[[int, float], F32]
    ) -> Stream: ...


@dataclass(frozen=True)
class Delay:
    """seconds: the median. spread: between the earliest and the latest. heard: chirps of CHIRPS."""

    seconds: float
    spread: float
    heard: int


def chirp() -> F32:
    """[n] at 48 kHz, faded at both ends."""
    n = round(CHIRP_S * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    low, high = SWEEP
    phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * CHIRP_S))
    return (LOUD * np.hanning(n) * np.sin(phase)).astype(np.float32)


def score() -> F32:
    """[n] everything that is played."""
    total = np.zeros(round((LEAD_S + CHIRPS * EVERY_S) * SAMPLE_RATE), np.float32)
    for start in starts():
        total[start : start + chirp().size] = chirp()
    return total


def starts() -> list[int]:
    return [round((LEAD_S + k * EVERY_S) * SAMPLE_RATE) for k in range(CHIRPS)]


@dataclass
class _Tape:
    """What was played and recorded, and when. Written by the devices' threads."""

    now: Callable[[], float]
    song: F32 = field(default_factory=score)
    heard: list[tuple[int, float]] = field(default_factory=list)  # sample played, instant heard
    parts: list[F32] = field(default_factory=list)
    entered: list[tuple[int, float]] = field(default_factory=list)  # samples so far, instant
    over: threading.Event = field(default_factory=threading.Event)
    _played: int = 0
    _recorded: int = 0

    def fill(self, n: int, lead: float) -> F32:
        self.heard.append((self._played, self.now() + lead))
        out = np.zeros((1, n), np.float32)
        part = self.song[self._played : self._played + n]
        out[0, : part.size] = part
        self._played += n
        return out

    def record(self, samples: F32) -> None:
        self.parts.append(samples.mean(axis=0))
        self._recorded += samples.shape[1]
        self.entered.append((self._recorded, self.now()))
        if self._played > self.song.size + MOST_S * SAMPLE_RATE:
            self.over.set()


def measure(
    system: System,
    microphone: Device,
    speaker: Device,
    now: Callable[[], float] = time.monotonic,
) -> Delay:
    """Play the chirps and listen. Raises UserError when they are not heard, or not steadily."""
    tape = _Tape(now)
    try:
        ear = system.open(microphone, min(2, microphone.channels), SAMPLE_RATE, tape.record)
    except (OSError, ValueError) as error:
        raise UserError(f"microphone {microphone.name} cannot be opened: {error}") from None
    try:
        mouth = system.play(speaker, 1, SAMPLE_RATE, tape.fill)
    except (OSError, ValueError) as error:
        ear.close()
        raise UserError(f"speaker {speaker.name} cannot be opened: {error}") from None
    tape.over.wait(4 * tape.song.size / SAMPLE_RATE)
    mouth.close()
    ear.close()
    return judge(tape)


def judge(tape: _Tape) -> Delay:
    """The delay that a tape tells. Raises UserError."""
    if not tape.parts or not tape.heard:
        raise UserError("the devices gave no sound; run_live.py doctor says more")
    recorded = np.concatenate(tape.parts)
    counts, instants = (np.array(column, np.float64) for column in zip(*tape.entered, strict=True))
    entered = float((instants - counts / SAMPLE_RATE).min())  # of sample 0, by the most punctual
    played, leads = (np.array(column, np.float64) for column in zip(*tape.heard, strict=True))
    heard = float(np.median(leads - played / SAMPLE_RATE))  # of sample 0
    delays = [
        entered + at / SAMPLE_RATE - (heard + start / SAMPLE_RATE)
        for start in starts()
        if (at := _found(recorded, round((heard - entered) * SAMPLE_RATE) + start)) is not None
    ]
    if len(delays) < LEAST:
        raise UserError(
            f"the microphone heard {len(delays)} of {CHIRPS} chirps: turn the loudspeaker up, put "
            "the microphone near it, choose both with --input mic:NAME --output speaker:NAME"
        )
    spread = max(delays) - min(delays)
    if spread > SPREAD_S:
        raise UserError(
            f"the delay is not steady ({1000 * min(delays):.0f} to {1000 * max(delays):.0f} ms): "
            "close other programs and try again"
        )
    return Delay(float(np.median(delays)), spread, len(delays))


def _found(recorded: F32, expected: int) -> int | None:
    """Where a chirp begins in the recording, near (a little before, long after) `expected`."""
    begin = max(0, expected - round(EARLY_S * SAMPLE_RATE))
    part = recorded[begin : expected + round(MOST_S * SAMPLE_RATE)]
    if part.size < 2 * chirp().size:
        return None
    match = np.abs(np.correlate(part, chirp(), mode="valid"))
    at = int(match.argmax())
    usual = float(np.median(match)) + 1e-9
    return begin + at if match[at] > CLEAR * usual and match[at] > 1e-3 else None


# ---- what is kept -------------------------------------------------------------------------------


def _key(microphone: str, speaker: str) -> str:
    return f"{speaker} → {microphone}"


def keep_delay(microphone: str, speaker: str, delay: Delay, folder: Path | None = None) -> Path:
    """Remember the delay of a pair of devices; returns the file. Raises OSError."""
    path = (folder or config_folder()) / "devices.json"
    write_secrets(path, {**read_secrets(path), _key(microphone, speaker): delay.seconds})
    return path


def kept_delay(microphone: str, speaker: str, folder: Path | None = None) -> float | None:
    """Seconds, as they were measured; None when they never were."""
    path = (folder or config_folder()) / "devices.json"
    value = read_secrets(path).get(_key(microphone, speaker))
    return float(value) if isinstance(value, (int, float)) and -EARLY_S <= value < MOST_S else None


def calibrate(input: str | None, output: str | None, say: Callable[[str], None]) -> str:
    """Measure between the devices that the command line names; keep it, say it.

    Raises UserError.
    """
    from streaming.microphone import choose_microphone
    from streaming.portaudio import SoundSystem
    from streaming.speaker import choose_speaker

    names = _name(input, "mic", "--input"), _name(output, "speaker", "--output")
    system = SoundSystem()
    try:
        microphone = choose_microphone(system, names[0])
        speaker = choose_speaker(system, names[1])
        say(f"{speaker.name} chirps {CHIRPS} times; {microphone.name} listens")
        delay = measure(system, microphone, speaker)
    finally:
        system.close()
    try:
        path = keep_delay(microphone.name, speaker.name, delay)
    except OSError as error:
        raise UserError(f"cannot keep the delay: {error.strerror} ({error.filename})") from None
    return (
        f"from {speaker.name} to {microphone.name}: {1000 * delay.seconds:.1f} ms (within "
        f"{1000 * delay.spread:.1f} ms, {delay.heard} of {CHIRPS} chirps), kept in {path}"
    )


def _name(spec: str | None, scheme: str, option: str) -> str:
    word, _, name = (spec or scheme).partition(":")
    if word != scheme:
        raise UserError(f"calibrate: expected {option} {scheme}[:NAME], got {spec}")
    return name
