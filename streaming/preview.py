"""A window on this screen, by OpenCV. Silent: it shows pictures only.

The window ends the show when its user presses q or Esc or closes it: `write` then raises
`ShowOver`, which the line should take as the end of the song, not as an error. OpenCV wants every
call from the same thread, on macOS from the main one.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from engine.signals import U8, Motion, Picture, Sound
from streaming.compositing import checkerboard, flatten
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

TITLE = "Cantar"
END_KEYS = (ord("q"), 27)  # 27: Esc


class ShowOver(Exception):
    """The preview's user has closed the window."""


class Preview:
    """A sink that shows each picture as it comes, a checkerboard behind what is transparent."""

    wants_picture = True
    wants_sound = False

    def __init__(self, _: str, fmt: SinkFormat) -> None:
        """Open the window. Raises UserError when there is no display or OpenCV has no windows."""
        check_display()
        import cv2

        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # it misses its fonts
        self._cv2 = cv2
        self._behind: U8 = checkerboard(fmt.height, fmt.width)
        self._open = True
        try:
            plain = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(TITLE, plain)
            cv2.resizeWindow(TITLE, fmt.width, fmt.height)
        except cv2.error as error:
            raise UserError(f"preview cannot open a window ({_first_line(error)})") from None

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Show the picture and look at keys. Raises ShowOver when the user ends the show."""
        cv2 = self._cv2
        try:
            if picture is not None:
                if picture.rgba.shape[:2] != self._behind.shape[:2]:
                    self._behind = checkerboard(*picture.rgba.shape[:2])
                rgb = flatten(picture.rgba, self._behind)
                cv2.imshow(TITLE, np.ascontiguousarray(rgb[..., ::-1]))
            key = cv2.pollKey()
            visible = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error as error:
            raise UserError(f"the preview window is gone ({_first_line(error)})") from None
        if (key >= 0 and key & 0xFF in END_KEYS) or not visible:
            raise ShowOver

    def close(self) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(self._cv2.error):  # its user may have closed it already
                self._cv2.destroyWindow(TITLE)


def check_display(_: str = "", fmt: SinkFormat | None = None) -> None:
    """Raise UserError where a window cannot be opened.

    Asked here and not of OpenCV, whose window library ends the whole process without a display.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise UserError(f"preview needs OpenCV ({error}): pip install opencv-python") from None
    if not has_display():
        raise UserError(
            "preview needs a screen, and there is no display here; write a file instead "
            "(--output cantar.mp4)"
        )


def has_display() -> bool:
    """True where a window could be opened; on Linux, when the X server of DISPLAY answers."""
    if not sys.platform.startswith("linux"):
        return True
    if not os.environ.get("DISPLAY"):
        return False
    name = ctypes.util.find_library("X11")
    if name is None:  # cannot ask; a display of this machine has at least its socket
        number = os.environ["DISPLAY"].removeprefix(":").split(".")[0]
        return not number.isdecimal() or os.path.exists(f"/tmp/.X11-unix/X{number}")
    x11 = ctypes.CDLL(name)
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x11.XOpenDisplay(None)
    if display:
        x11.XCloseDisplay(display)
    return bool(display)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
