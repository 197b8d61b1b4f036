"""The preview window on an X server without a screen (Xvfb)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streaming.ports import UserError
from streaming.preview import has_display
from streaming.schemes import SinkFormat, check_sink, open_sink

SHOW = """
import sys, types
import numpy as np
from engine.signals import Motion, Picture
from streaming.preview import ShowOver
from streaming.schemes import SinkFormat, open_sink

sink = open_sink("preview", SinkFormat(320, 240, transparent=True))
rgba = np.zeros((240, 320, 4), np.uint8)
rgba[:, :160] = 200, 100, 50, 255
motion = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))
while input() == "show":
    sink.write(motion, Picture(0, rgba), None)
    print("shown", flush=True)
real = sink._cv2
for key in (ord("x"), ord("q"), 27):
    sink._cv2 = types.SimpleNamespace(**vars(real) | {"pollKey": lambda key=key: key})
    try:
        sink.write(motion, None, None)
        print("goes on")
    except ShowOver:
        print("over")
sink._cv2 = real
real.destroyAllWindows()
try:
    sink.write(motion, None, None)
except ShowOver:
    print("closed")
sink.close()
sink.close()
"""


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(DISPLAY, the file in which Xvfb keeps its screen as an XWD image)."""
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("Xvfb is not installed: the preview window is not tested (apt install xvfb)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [xvfb, "-displayfd", str(writing), "-screen", "0", "640x480x24", "-fbdir", str(tmp_path)],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}", tmp_path / "Xvfb_screen0"
    server.terminate()
    server.wait()


def screenshot(path: Path) -> np.ndarray:
    """[H, W, 3] RGB of an XWD file with 32 bits per pixel."""
    data = path.read_bytes()
    header = np.frombuffer(data, ">u4", 25)
    width, height, line, colours = header[4], header[5], header[12], header[19]
    start = int(header[0] + colours * 12)
    rows = np.frombuffer(data, np.uint8, int(height * line), start).reshape(height, line)
    return rows.reshape(height, -1, 4)[:, :width, 2::-1]


def shares_of(screen: np.ndarray, *colours: tuple[int, int, int]) -> list[float]:
    """How much of the preview's 320x240 pixels each colour has."""
    pixels = screen.reshape(-1, 3).astype(int)
    return [
        float((np.abs(pixels - colour).max(axis=1) <= 3).sum() / (320 * 240)) for colour in colours
    ]


def test_window_shows_pictures_and_ends_the_show(screen: tuple[str, Path]) -> None:
    display, file = screen
    show = subprocess.Popen(
        [sys.executable, "-c", SHOW],
        env={**os.environ, "DISPLAY": display},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert show.stdin is not None
    assert show.stdout is not None
    for _ in range(500):  # a window appears after some frames
        print("show", file=show.stdin, flush=True)
        assert show.stdout.readline() == "shown\n", show.communicate()
        shares = shares_of(screenshot(file), (200, 100, 50), (153, 153, 153), (204, 204, 204))
        if min(shares) > 0.15:
            break
    assert min(shares) > 0.15, shares
    said, errors = show.communicate("\n", timeout=20)
    assert said.split("\n")[:4] == ["goes on", "over", "over", "closed"], errors
    assert show.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is a matter of X11")
@pytest.mark.parametrize("display", [None, ":987", ":987.0"])
@pytest.mark.parametrize("library", [True, False])
def test_no_display(monkeypatch: pytest.MonkeyPatch, display: str | None, library: bool) -> None:
    if not library:
        monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    if display is None:
        monkeypatch.delenv("DISPLAY", raising=False)
    else:
        monkeypatch.setenv("DISPLAY", display)
    assert not has_display()
    with pytest.raises(UserError, match="there is no display here"):
        check_sink("preview")


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match="pip install opencv-python"):
        open_sink("preview", SinkFormat(64, 64))
