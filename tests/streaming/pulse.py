"""A PulseAudio of a test's own: the sink `song`, whose monitor is the microphone `virtual_mic`, and
the sink `cable`, as a virtual cable into OBS would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.microphone import list_microphones


class Pulse:
    """The server, which can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home, self.socket = home, home / "native"
        self.server: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        environment = {**os.environ, "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home),
                       "PULSE_RUNTIME_PATH": str(self.home)}  # fmt: skip
        environment.pop("PULSE_SERVER", None)
        modules = [
            f"module-native-protocol-unix socket={self.socket} auth-anonymous=1",
            "module-null-sink sink_name=song rate=48000 channels=2 norewinds=1",
            "module-null-sink sink_name=cable rate=48000 channels=2 norewinds=1",
            "module-remap-source master=song.monitor source_name=virtual_mic",
        ]
        loads = [word for module in modules for word in ("-L", module)]
        self.server = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
             "--realtime=no", "--high-priority=no", "--log-target=stderr", "--log-level=info",
             *loads],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = self.server.stderr
        assert said is not None
        assert any("startup complete" in line for line in said), "PulseAudio did not start"
        threading.Thread(target=deque, args=(said, 0), daemon=True).start()  # nobody reads the rest

    def kill(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None


def serve_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """Start it and make it the one that PortAudio sees; skips, loudly, where it is not there."""
    missing = [name for name in ("pulseaudio", "pactl", "paplay") if not shutil.which(name)]
    if missing:
        pytest.skip(f"real sound devices are NOT tested: {', '.join(missing)} not installed")
    pytest.importorskip("pyaudio", reason="real sound devices are NOT tested: no PyAudio")
    server = Pulse(tmp_path)
    monkeypatch.setenv("PULSE_SERVER", f"unix:{server.socket}")
    monkeypatch.setenv("PULSE_SOURCE", "virtual_mic")
    monkeypatch.setenv("PULSE_SINK", "cable")
    server.start()
    if not any("pulse" in line for line in list_microphones()):
        server.kill()
        pytest.skip("real sound devices are NOT tested: no ALSA plug-in for PulseAudio "
                    "(apt install libasound2-plugins)")  # fmt: skip
    yield server
    server.kill()
