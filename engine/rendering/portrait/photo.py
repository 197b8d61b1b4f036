"""Reads one picture file: photo, painting or drawing, upright, not larger than is of use."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.rendering.identity import PICTURES, BadIdentity
from engine.rendering.portrait.ground import smaller

U8 = NDArray[np.uint8]

SMALLEST = 96  # pixels of the shorter side
LARGEST = 80e6  # pixels that are still read
HEAVIEST = 200e6  # bytes of a file that is still read
USEFUL = 2048  # pixels of the longer side that are kept


class BadPortrait(BadIdentity):
    """A picture that cannot sing; the message says why, and what to do."""


def read_photo(path: Path) -> tuple[U8, float]:
    """[H, W, 4] RGBA, straight alpha, and how many of its pixels one of the file's became.

    Raises BadPortrait.
    """
    data = _bytes(path)
    width, height = _size(data, path)
    if min(width, height) < SMALLEST:
        raise BadPortrait(
            f"{path.name} is {width}x{height} pixels, too small for a face that moves; "
            f"at least {SMALLEST} each way, better 512"
        )
    if width * height > LARGEST:
        raise BadPortrait(
            f"{path.name} is {width}x{height} pixels, more than {LARGEST / 1e6:.0f} million; "
            "make it smaller first, 2048 each way is plenty"
        )
    photo = _decoded(data, path)
    scale = min(1.0, USEFUL / max(photo.shape[:2]))
    return np.ascontiguousarray(smaller(photo, scale)), scale


def _bytes(path: Path) -> NDArray[np.uint8]:
    if path.suffix.lower() not in PICTURES:
        raise BadPortrait(f"{path.name}: a picture must be one of {', '.join(PICTURES)}")
    try:
        if path.stat().st_size > HEAVIEST:
            raise BadPortrait(
                f"{path.name} is larger than {HEAVIEST / 1e6:.0f} MB; make it smaller"
            )
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadPortrait(f"cannot read {path}: {error.strerror or error}") from None


def _size(data: U8, path: Path) -> tuple[int, int]:
    """Width and height from the file's head, before the rest is unpacked."""
    import skia

    with suppress(RuntimeError):  # it reads no such file
        codec = skia.Codec.MakeFromData(skia.Data.MakeWithCopy(data.tobytes()))
        return codec.dimensions().width(), codec.dimensions().height()
    if path.suffix.lower() in (".tif", ".tiff") and len(data):
        got = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if got is not None:
            return 8 * got.shape[1], 8 * got.shape[0]
    raise BadPortrait(f"{path.name} is no picture that can be read: damaged, or of another kind")


def _decoded(data: U8, path: Path) -> U8:
    photo = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if photo is None or photo.size == 0:
        raise BadPortrait(f"{path.name} is no picture that can be read: damaged, or cut short")
    if photo.ndim == 3 and photo.shape[2] == 4:
        deep = np.asarray(photo, np.uint8) if photo.dtype == np.uint8 else photo / 257.0
        return np.asarray(cv2.cvtColor(deep.astype(np.uint8), cv2.COLOR_BGRA2RGBA), np.uint8)
    upright = cv2.imdecode(data, cv2.IMREAD_COLOR)  # as the camera was held
    return np.asarray(cv2.cvtColor(np.asarray(upright), cv2.COLOR_BGR2RGBA), np.uint8)
