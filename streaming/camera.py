"""A virtual camera that other programs (OBS, Zoom, a browser) can choose, by pyvirtualcam."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.signals import U8, Motion, Picture, Sound
from streaming.compositing import flatten, letterbox_place
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

LOOPBACK_DEVICES = Path("/sys/devices/virtual/video4linux")  # Linux lists its virtual cameras here
BEHIND = np.zeros(3, np.uint8)  # what shows through where a camera has no alpha

log = logging.getLogger("cantar")

_CURES = {
    "linux": (
        "install and load v4l2loopback: sudo apt install v4l2loopback-dkms && "
        "sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label=Cantar"
    ),
    "darwin": "install OBS (obsproject.com), start it and press Start Virtual Camera once",
    "win32": "install OBS (obsproject.com); its virtual camera comes with it",
}


class VirtualCamera:
    """A sink that hands each picture on as it comes: the line sets the pace, this never waits.

    Pictures of another size are letterboxed to `fmt`. Transparent ones keep their alpha where the
    camera takes it (Unity Capture), elsewhere they are laid over black. alpha: which of both.
    """

    wants_picture = True
    wants_sound = False

    def __init__(self, name: str, fmt: SinkFormat) -> None:
        """Open the camera `name` (a device path or label; "" for the first that is free).

        Raises UserError when there is none, it is busy, or its name is not known, with the cure.
        """
        check_camera()
        import pyvirtualcam

        if fmt.width % 2 or fmt.height % 2:
            even = f"{fmt.width - fmt.width % 2}x{fmt.height - fmt.height % 2}"
            raise UserError(
                f"a camera cannot be {fmt.width}x{fmt.height}: sides must be even; use {even}"
            )
        self._name, self._format = name, fmt
        self._wanted = True
        self._camera: Any = self._open()
        self.device: str = self._camera.device
        self.alpha = self._camera.fmt == pyvirtualcam.PixelFormat.RGBA
        self._canvas = np.zeros((fmt.height, fmt.width, 4 if self.alpha else 3), np.uint8)
        self._shown: Picture | None = None

    def switch(self, on: bool) -> None:
        """Let other programs have the camera from the next picture on, or take it again. From any
        thread."""
        self._wanted = on

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Send the picture; without a new one, the last again. Raises UserError if it is gone."""
        if self._wanted != (self._camera is not None):
            self._turn(self._wanted)
        if self._camera is None:
            return
        if picture is not None and picture is not self._shown:
            self._shown = picture
            self._fit(picture.rgba if self.alpha else flatten(picture.rgba, BEHIND))
        try:
            self._camera.send(self._canvas)
        except Exception as error:  # each back-end has its own
            raise UserError(f"the virtual camera {self.device} is gone: {error}") from None

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()

    def _turn(self, on: bool) -> None:
        if not on:
            self._camera.close()
            self._camera = None
            return
        try:
            self._camera = self._open()
        except UserError as error:
            self._wanted = False
            log.warning("%s; it stays off", error)

    def _open(self) -> Any:
        """With alpha, if it is wanted and can be had. Raises UserError."""
        from pyvirtualcam import Camera, PixelFormat

        device = _device(self._name) if self._name else None
        size = self._format.width, self._format.height, self._format.fps
        if self._format.transparent:
            with suppress(RuntimeError):  # most cameras have none
                camera = Camera(*size, fmt=PixelFormat.RGBA, device=device)
                if camera.native_fmt == PixelFormat.RGBA:
                    return camera
                camera.close()
        try:
            return Camera(*size, fmt=PixelFormat.RGB, device=device)
        except RuntimeError as error:
            raise UserError(_no_camera(self._name, str(error))) from None

    def _fit(self, picture: U8) -> None:
        """Draw [H, W, 3 or 4] into the canvas, letterboxed when its size is another."""
        canvas = self._canvas
        if picture.shape == canvas.shape:
            canvas[:] = picture
            return
        import cv2

        box = letterbox_place(picture.shape[0], picture.shape[1], canvas.shape[0], canvas.shape[1])
        top, left, height, width = box
        smaller = height < picture.shape[0]
        scaled = cv2.resize(
            np.ascontiguousarray(picture),
            (width, height),
            interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR,
        )
        canvas[:] = 0
        canvas[top : top + height, left : left + width] = scaled


def check_camera(_: str = "", fmt: SinkFormat | None = None) -> None:
    """Raise UserError when pyvirtualcam is not installed or does not load."""
    try:
        import pyvirtualcam  # noqa: F401
    except ImportError as error:
        raise UserError(f"camera needs pyvirtualcam ({error}): pip install pyvirtualcam") from None


def list_cameras() -> list[str]:
    """One line per virtual camera; only Linux can list them."""
    if not sys.platform.startswith("linux"):
        return ["camera: OBS Virtual Camera, where OBS is installed (this system lists no others)"]
    return [f"camera:{label}  ({device})" for label, device in _loopback_devices()]


def _loopback_devices() -> list[tuple[str, str]]:
    """(label, device path) of every virtual camera that Linux knows."""
    found = sorted(LOOPBACK_DEVICES.glob("video*/name"))
    return [(name.read_text().strip(), f"/dev/{name.parent.name}") for name in found]


def _device(name: str) -> str:
    """The device path of a label on Linux; other systems, and back-ends of one's own, know names.

    Raises UserError with the nearest right name.
    """
    known = _loopback_devices()
    paths = {label.lower(): device for label, device in known}
    if name.lower() in paths:
        return paths[name.lower()]
    if known and not os.path.exists(name):
        names = [label for label, _ in known] + [device for _, device in known]
        near = get_close_matches(name, names, 1, 0.4)
        hint = f"; did you mean camera:{near[0]}?" if near else ""
        raise UserError(f"no virtual camera {name}{hint} (there are: {', '.join(names)})")
    return name


def _no_camera(name: str, why: str) -> str:
    platform = "linux" if sys.platform.startswith("linux") else sys.platform
    cure = _CURES.get(platform, "see pyvirtualcam's documentation")
    wanted = f" {name}" if name else ""
    return f"no virtual camera{wanted} ({'; '.join(why.splitlines())}); to get one, {cure}"
