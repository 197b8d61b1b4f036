"""Reads a video's pictures, upright, at most 30 a second; and writes one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from engine.signals import U8
from engine.timeline import FRAME_RATE

LONGEST = 300  # seconds that are looked at; more teaches nothing new


class BadVideo(ValueError):
    """A video that cannot teach; the message says why, and what to do."""


def check(path: Path) -> None:
    """Raises BadVideo unless the first picture of a file can be read."""
    for _ in pictures(path):
        return
    raise BadVideo(f"{path.name} has no pictures in it")


def pictures(path: Path) -> Iterator[tuple[int, U8]]:
    """Number on a timeline of 30 a second, and picture [H, W, 3] RGB, of the first LONGEST seconds.

    A quicker video is thinned out, a slower one leaves numbers out. What is damaged ends it.
    Raises BadVideo for what is no video.
    """
    if not path.is_file():
        raise BadVideo(f"no video {str(path)!r}")
    try:
        with av.open(str(path)) as film:
            if not film.streams.video:
                raise BadVideo(f"{path.name} has sound only, no pictures")
            yield from _numbered(film)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadVideo(f"{path.name} is no video that can be read: {reason}") from None


def _numbered(film: av.container.InputContainer) -> Iterator[tuple[int, U8]]:
    stream = film.streams.video[0]
    stream.thread_type = "AUTO"
    start, last = None, -1
    decoded = film.decode(stream)
    while True:
        try:
            frame = next(decoded)
        except StopIteration:
            return
        except av.FFmpegError:
            if last < 0:
                raise
            return
        time = frame.time or 0.0
        start = time if start is None else start
        number = round((time - start) * FRAME_RATE)
        if number >= LONGEST * FRAME_RATE:
            return
        if number > last:
            last = number
            yield number, _upright(frame)


def _upright(frame: av.VideoFrame) -> U8:
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as the camera was held
    return np.ascontiguousarray(np.rot90(rgb, turns))


def write(path: Path, frames: Iterable[U8], rate: int = FRAME_RATE) -> None:
    """Write pictures [H, W, 3] RGB, even sides, as H.264."""
    with av.open(str(path), "w") as film:
        stream = None
        for rgb in frames:
            if stream is None:
                stream = film.add_stream("libx264", rate, {"crf": "17", "preset": "veryfast"})
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, rate)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        if stream is not None:
            film.mux(stream.encode())
