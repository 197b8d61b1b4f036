"""A virtual camera that other programs (OBS, Zoom, a browser) can choose, by pyvirtualcam."""

from __future__ import annotations

import os
import sys
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
BEHIND = np.zeros(3, np.uint8)  # a camera has no alpha

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

    Pictures of another size are letterboxed to `fmt`; transparency is laid over black.
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
        device = _device(name) if name else None
        try:
            self._camera: Any = pyvirtualcam.Camera(
                fmt.width, fmt.height, fmt.fps, fmt=pyvirtualcam.PixelFormat.RGB, device=device
            )
        except RuntimeError as error:
            raise UserError(_no_camera(name, str(error))) from None
        self._canvas = np.zeros((fmt.height, fmt.width, 3), np.uint8)
        self._shown: Picture | None = None
        self.device: str = self._camera.device

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Send the picture; without a new one, the last again. Raises UserError if it is gone."""
        if picture is not None and picture is not self._shown:
            self._shown = picture
            self._fit(flatten(picture.rgba, BEHIND))
        try:
            self._camera.send(self._canvas)
        except Exception as error:  # each back-end has its own
            raise UserError(f"the virtual camera {self.device} is gone: {error}") from None

    def close(self) -> None:
        self._camera.close()

    def _fit(self, rgb: U8) -> None:
        """Draw [H, W, 3] into the canvas, letterboxed when its size is another."""
        canvas = self._canvas
        if rgb.shape == canvas.shape:
            canvas[:] = rgb
            return
        import cv2

        box = letterbox_place(rgb.shape[0], rgb.shape[1], canvas.shape[0], canvas.shape[1])
        top, left, height, width = box
        smaller = height < rgb.shape[0]
        scaled = cv2.resize(
            np.ascontiguousarray(rgb),
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
