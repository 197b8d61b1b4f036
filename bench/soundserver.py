"""A sound server of the bench's own, a loudspeaker into it and a microphone out of it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from engine.signals import F32
from engine.timeline import SAMPLE_RATE
from streaming.microphone import Microphone, list_microphones
from streaming.portaudio import SoundSystem, Stream
from streaming.ports import UserError
from streaming.speaker import choose_speaker
from tests.streaming.pulse import Pulse

NEEDED = ("pulseaudio", "pactl")
DEVICE = "pulse"  # ALSA's plug-in for PulseAudio, as PortAudio calls it


@contextmanager
def sound_server(folder: Path) -> Iterator[str | None]:
    """A PulseAudio whose loudspeaker is its microphone; gives why not, where there can be none."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        yield f"{', '.join(missing)} not installed"
        return
    server = Pulse(folder)
    names = {"PULSE_SERVER": f"unix:{server.socket}", "PULSE_SOURCE": "virtual_mic",
             "PULSE_SINK": "song"}  # fmt: skip
    with patch.dict("os.environ", names):
        try:
            server.start()
            heard = any(DEVICE in line for line in list_microphones())
            yield None if heard else "PortAudio sees no device of it (libasound2-plugins)"
        except AssertionError as error:
            yield str(error)
        finally:
            server.kill()


def microphone(seconds: float) -> Microphone:
    """The server's, for so long."""
    return Microphone(DEVICE, seconds=seconds)


class Loudspeaker:
    """Plays a sound [1, n] once, from `play` on. began: the instant at which its first sample was
    heard, by what the device itself says of its delay."""

    def __init__(self, sound: F32) -> None:
        self._sound = sound[0]
        self._at = 0
        self._heard: list[float] = []  # instants of sample 0, as each block tells
        self._playing = threading.Event()
        self._stream: Stream | None = None

    def __enter__(self) -> Loudspeaker:
        self._system = SoundSystem()
        device = choose_speaker(self._system, DEVICE)
        self._stream = self._system.play(device, 1, SAMPLE_RATE, self._fill)
        return self

    def play(self) -> None:
        self._playing.set()

    @property
    def began(self) -> float:
        if not self._heard:
            raise UserError("the loudspeaker played nothing")
        return float(np.median(self._heard))

    def _fill(self, n: int, lead: float) -> F32:
        out = np.zeros((1, n), np.float32)
        if self._playing.is_set() and self._at < len(self._sound):
            self._heard.append(time.monotonic() + lead - self._at / SAMPLE_RATE)
            part = self._sound[self._at : self._at + n]
            out[0, : len(part)] = part
            self._at += n
        return out

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        self._system.close()
