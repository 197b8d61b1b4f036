"""The one file that talks to PortAudio (by PyAudio): what devices there are, and opening them.

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

HEAR_SECONDS, PLAY_SECONDS = (
    0.01,
    0.02,
)  # of a block; shorter ones to play run dry on a busy machine
MOST_LEAD = 2.0  # s from a block to its sound that is believed

_INSTALL = {
    "linux": "sudo apt-get install -y portaudio19-dev && pip install pyaudio",
    "darwin": "brew install portaudio && pip install pyaudio",
    "win32": "pip install pyaudio",
}


@dataclass(frozen=True, slots=True)
class Device:
    """What sound comes in or goes out by: its number, name, driver, channels, own rate in Hz."""

    index: int
    name: str
    driver: str
    channels: int
    rate: int


class Stream(Protocol):
    """A device that is running."""

    def running(self) -> bool:
        """False once the device has stopped, for example because it is gone."""
        ...

    def close(self) -> None: ...


class SoundSystem:
    """PortAudio, started. Raises UserError when PyAudio or PortAudio is not installed."""

    def __init__(self) -> None:
        self._pyaudio = _import_pyaudio()
        with _quiet():
            self._system: Any = self._pyaudio.PyAudio()

    def inputs(self) -> list[Device]:
        return self._devices("Input")

    def outputs(self) -> list[Device]:
        return self._devices("Output")

    def default_input(self) -> Device | None:
        """The system's choice; else the first there is; None without any."""
        return self._default("Input")

    def default_output(self) -> Device | None:
        return self._default("Output")

    def open(
        self, device: Device, channels: int, rate: int, heard: Callable[[F32], None]
    ) -> Stream:
        """Start `device`; `heard` gets [channels, n] blocks of 10 ms in PortAudio's own thread.

        Raises OSError when the device does not do that.
        """

        def callback(data: bytes, *_: Any) -> tuple[None, int]:
            samples = np.frombuffer(data, np.float32).reshape(-1, channels)
            heard(np.ascontiguousarray(samples.T))
            return None, int(self._pyaudio.paContinue)

        ways = {"input": True, "input_device_index": device.index}
        return self._start(rate, channels, HEAR_SECONDS, callback, ways)

    def play(
        self, device: Device, channels: int, rate: int, fill: Callable[[int, float], F32]
    ) -> Stream:
        """Start `device`; `fill(n, lead)` gives the next [channels, n] samples, of which the first
        will be heard in `lead` seconds. Called in PortAudio's own thread.

        Raises OSError when the device does not do that.
        """
        stream: list[Any] = []

        def callback(_: Any, n: int, times: dict[str, float], status: int) -> tuple[bytes, int]:
            lead = times["output_buffer_dac_time"] - times["current_time"]
            if not 0 < lead < MOST_LEAD:  # some drivers do not tell
                lead = stream[0].get_output_latency() if stream else 0.0
            samples = np.ascontiguousarray(fill(n, lead).T, np.float32)
            return samples.tobytes(), int(self._pyaudio.paContinue)

        ways = {"output": True, "output_device_index": device.index}
        stream.append(self._start(rate, channels, PLAY_SECONDS, callback, ways))
        return stream[0]

    def _start(
        self,
        rate: int,
        channels: int,
        seconds: float,
        callback: Callable[..., Any],
        ways: dict[str, Any],
    ) -> Stream:
        with _quiet():
            stream = self._system.open(
                rate,
                channels,
                self._pyaudio.paFloat32,
                frames_per_buffer=round(rate * seconds),
                stream_callback=callback,
                **ways,
            )
        return _Stream(stream)

    def close(self) -> None:
        self._system.terminate()

    def _devices(self, way: str) -> list[Device]:
        every = [
            self._system.get_device_info_by_index(index)
            for index in range(self._system.get_device_count())
        ]
        return [self._device(info, way) for info in every if info[f"max{way}Channels"] > 0]

    def _default(self, way: str) -> Device | None:
        try:
            info = getattr(self._system, f"get_default_{way.lower()}_device_info")()
        except OSError:
            return next(iter(self._devices(way)), None)
        return self._device(info, way)

    def _device(self, info: dict[str, Any], way: str) -> Device:
        driver = self._system.get_host_api_info_by_index(info["hostApi"])["name"]
        channels, rate = int(info[f"max{way}Channels"]), round(info["defaultSampleRate"])
        return Device(int(info["index"]), str(info["name"]).strip(), str(driver), channels, rate)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def running(self) -> bool:
        try:
            return bool(self._stream.is_active())
        except OSError:
            return False

    def get_output_latency(self) -> float:
        return float(self._stream.get_output_latency())

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
