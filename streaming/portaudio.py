"""The one file that talks to PortAudio (by PyAudio): what inputs there are, and opening one.

PortAudio looks for devices only when it starts, so a `SoundSystem` is made anew to find one that
has been plugged in again.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.signals import F32
from streaming.ports import UserError

BLOCK_SECONDS = 0.01

_INSTALL = {
    "linux": "sudo apt-get install -y portaudio19-dev && pip install pyaudio",
    "darwin": "brew install portaudio && pip install pyaudio",
    "win32": "pip install pyaudio",
}


@dataclass(frozen=True, slots=True)
class Input:
    """A device that sound comes in by: its number, name, driver, channels, own rate in Hz."""

    index: int
    name: str
    driver: str
    channels: int
    rate: int


class Capture(Protocol):
    """An input that is running."""

    def running(self) -> bool:
        """False once the device has stopped giving sound, for example because it is gone."""
        ...

    def close(self) -> None: ...


class SoundSystem:
    """PortAudio, started. Raises UserError when PyAudio or PortAudio is not installed."""

    def __init__(self) -> None:
        self._pyaudio = _import_pyaudio()
        with _quiet():
            self._system: Any = self._pyaudio.PyAudio()

    def inputs(self) -> list[Input]:
        every = [
            self._system.get_device_info_by_index(index)
            for index in range(self._system.get_device_count())
        ]
        return [self._input(info) for info in every if info["maxInputChannels"] > 0]

    def default_input(self) -> Input | None:
        """The system's choice; else the first there is; None without any."""
        try:
            return self._input(self._system.get_default_input_device_info())
        except OSError:
            return next(iter(self.inputs()), None)

    def open(
        self, device: Input, channels: int, rate: int, heard: Callable[[F32], None]
    ) -> Capture:
        """Start `device`; `heard` gets [channels, n] blocks of 10 ms in PortAudio's own thread.

        Raises OSError when the device does not do that.
        """

        def callback(data: bytes, *_: Any) -> tuple[None, int]:
            samples = np.frombuffer(data, np.float32).reshape(-1, channels)
            heard(np.ascontiguousarray(samples.T))
            return None, int(self._pyaudio.paContinue)

        with _quiet():
            stream = self._system.open(
                rate,
                channels,
                self._pyaudio.paFloat32,
                input=True,
                input_device_index=device.index,
                frames_per_buffer=round(rate * BLOCK_SECONDS),
                stream_callback=callback,
            )
        return _Capture(stream)

    def close(self) -> None:
        self._system.terminate()

    def _input(self, info: dict[str, Any]) -> Input:
        driver = self._system.get_host_api_info_by_index(info["hostApi"])["name"]
        channels, rate = int(info["maxInputChannels"]), round(info["defaultSampleRate"])
        return Input(int(info["index"]), str(info["name"]).strip(), str(driver), channels, rate)


class _Capture:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def running(self) -> bool:
        try:
            return bool(self._stream.is_active())
        except OSError:
            return False

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the device may be gone
            self._stream.close()


def _import_pyaudio() -> Any:
    try:
        import pyaudio
    except (ImportError, OSError) as error:
        platform = "linux" if sys.platform.startswith("linux") else sys.platform
        line = _INSTALL.get(platform, "install PortAudio and pip install pyaudio")
        raise UserError(f"a microphone needs PortAudio and PyAudio ({error}): {line}") from None
    return pyaudio


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ALSA's and JACK's remarks about absent devices off the user's screen.

    They write to file descriptor 2 themselves. Anything else written there meanwhile (some 0.1 s)
    is lost too.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
