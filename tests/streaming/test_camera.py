"""The virtual camera, through a back-end that needs no device."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import streaming.camera as camera
from engine.signals import Motion, Picture
from streaming.director import Director
from streaming.ports import Sink, Switchable, UserError
from streaming.schemes import SinkFormat, check_sink, open_sink

pyvirtualcam = pytest.importorskip("pyvirtualcam")
PixelFormat = pyvirtualcam.PixelFormat
decode_fourcc = pytest.importorskip("pyvirtualcam.util").decode_fourcc


MOTION = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))


class Recorder:
    """A pyvirtualcam back-end that keeps what it is sent."""

    sent: list[np.ndarray]
    busy = False
    takes_alpha = False
    opened = 0  # now

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None):
        if Recorder.busy:
            raise RuntimeError("device is busy")
        channels = 4 if decode_fourcc(fourcc) == PixelFormat.RGBA.value else 3
        if channels == 4 and not Recorder.takes_alpha:
            raise RuntimeError("unsupported pixel format")
        self._device, self._fourcc = device or "recorder0", fourcc
        self.size = (height, width, channels)
        Recorder.sent = []
        Recorder.opened += 1

    def send(self, frame: np.ndarray) -> None:
        if Recorder.busy:
            raise RuntimeError("device is gone")
        Recorder.sent.append(frame.reshape(self.size).copy())

    def close(self) -> None:
        Recorder.opened -= 1

    def device(self) -> str:
        return self._device

    def native_fourcc(self) -> int:
        return self._fourcc


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    pyvirtualcam.register_backend("recorder", Recorder)
    monkeypatch.setattr(Recorder, "busy", False)
    monkeypatch.setattr(Recorder, "opened", 0)
    return Recorder


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for device, label in (("video8", "Cantar"), ("video9", "OBS Virtual Camera")):
        (tmp_path / device).mkdir()
        (tmp_path / device / "name").write_text(label + "\n")
    monkeypatch.setattr(camera, "LOOPBACK_DEVICES", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")


def picture(height: int, width: int, colour: tuple[int, ...]) -> Picture:
    return Picture(0, np.full((height, width, 4), colour, np.uint8))


def test_sends_each_picture_and_holds_the_last(recorder: type[Recorder]) -> None:
    sink = open_sink("camera", SinkFormat(64, 48))
    assert isinstance(sink, Sink)
    sink.write(MOTION, None, None)
    sink.write(MOTION, picture(48, 64, (10, 20, 30, 255)), None)
    sink.write(MOTION, None, None)
    sink.write(MOTION, picture(48, 64, (200, 100, 50, 128)), None)
    sink.close()
    sink.close()
    seen = [frame[24, 32].tolist() for frame in recorder.sent]
    assert seen == [[0, 0, 0], [10, 20, 30], [10, 20, 30], [100, 50, 25]]


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [(64, 64, (slice(0, 64), slice(32, 96))), (32, 32, (slice(0, 64), slice(32, 96))),
     (128, 512, (slice(16, 48), slice(0, 128)))],
)  # fmt: skip
def test_letterboxes(recorder: type[Recorder], height: int, width: int, inside: tuple) -> None:
    sink = open_sink("camera", SinkFormat(128, 64))
    sink.write(MOTION, picture(height, width, (255, 255, 255, 255)), None)
    [frame] = recorder.sent
    expected = np.zeros((64, 128, 3), np.uint8)
    expected[inside] = 255
    assert np.array_equal(frame, expected)


def test_devices_by_label_path_and_nearest_name(recorder: type[Recorder], loopback: None) -> None:
    for name, device in (("obs virtual camera", "/dev/video9"), ("Cantar", "/dev/video8")):
        assert open_sink(f"camera:{name}", SinkFormat(64, 64)).device == device
    with pytest.raises(UserError, match=r"no virtual camera cantarr; did you mean camera:Cantar"):
        open_sink("camera:cantarr", SinkFormat(64, 64))
    assert "camera:Cantar  (/dev/video8)" in camera.list_cameras()


@pytest.mark.parametrize(
    ("platform", "cure"),
    [("linux", "modprobe v4l2loopback devices=1"), ("darwin", "OBS"), ("win32", "OBS")],
)
def test_no_camera_says_how_to_get_one(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch, platform: str, cure: str
) -> None:
    monkeypatch.setattr(Recorder, "busy", True)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(UserError, match=r"no virtual camera .*device is busy") as caught:
        open_sink("camera", SinkFormat(64, 64))
    assert cure in str(caught.value)
    assert "\n" not in str(caught.value)


def test_camera_lost_in_mid_show(recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink("camera", SinkFormat(64, 64))
    monkeypatch.setattr(Recorder, "busy", True)
    with pytest.raises(UserError, match="virtual camera recorder0 is gone: device is gone"):
        sink.write(MOTION, None, None)
    sink.close()


@pytest.mark.parametrize("takes_alpha", [True, False])
def test_transparency_is_kept_where_the_camera_takes_it(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch, takes_alpha: bool
) -> None:
    monkeypatch.setattr(Recorder, "takes_alpha", takes_alpha)
    sink = open_sink("camera", SinkFormat(64, 32, transparent=True))
    assert sink.alpha == takes_alpha
    sink.write(MOTION, picture(32, 64, (200, 100, 50, 128)), None)
    sink.write(MOTION, picture(32, 32, (200, 100, 50, 255)), None)
    expected = [200, 100, 50, 128] if takes_alpha else [100, 50, 25]
    assert recorder.sent[0][16, 32].tolist() == expected
    assert recorder.sent[1][16, 2].tolist() == [0] * len(expected)  # beside a narrower picture
    sink.close()
    assert recorder.opened == 0


def test_others_may_have_the_camera_for_a_while(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    sink, shown = open_sink("camera", SinkFormat(64, 48)), picture(48, 64, (10, 20, 30, 255))
    assert isinstance(sink, Switchable)
    director = Director()
    director.cameras.append(sink)
    assert director.asked()["camera"]
    sink.write(MOTION, shown, None)
    director.camera(False)
    sink.write(MOTION, shown, None)
    assert (recorder.opened, len(recorder.sent), director.asked()["camera"]) == (0, 1, False)
    director.camera(True)
    sink.write(MOTION, None, None)
    assert (recorder.opened, recorder.sent[0][24, 32].tolist()) == (1, [10, 20, 30])
    director.camera(False)
    sink.write(MOTION, shown, None)
    monkeypatch.setattr(Recorder, "busy", True)  # somebody has it, and keeps it
    director.camera(True)
    for _ in range(3):
        sink.write(MOTION, shown, None)
    assert [record.getMessage() for record in caplog.records if "stays off" in record.getMessage()]
    assert len(caplog.records) == 1
    sink.close()
    sink.close()


def test_odd_sizes_are_refused(recorder: type[Recorder]) -> None:
    with pytest.raises(UserError, match="use 64x62"):
        open_sink("camera", SinkFormat(65, 63))


def test_without_pyvirtualcam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(UserError, match="pip install pyvirtualcam"):
        check_sink("camera")
