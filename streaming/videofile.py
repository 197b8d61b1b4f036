"""Video with sound: .mp4 (H.264 + AAC), .mkv (H.264 + Opus), .webm (VP9, alpha if asked, + Opus).

Playable whenever the process is killed: the container is written in fragments of half a second and
flushed, and .mp4 turns itself into an ordinary one when it is closed. Encoding runs in a thread of
its own, behind a queue of QUEUE frames that blocks when it is full: no frame is ever dropped.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from engine.signals import F32, U8, Motion, Picture, Sound
from engine.timeline import SAMPLE_RATE, exact_div
from streaming.compositing import flatten
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

QUEUE = 4  # frames waiting for the encoder
SIZES = range(16, 4097)  # pixels, each side
BEHIND = np.zeros(3, np.uint8)  # what a transparent picture is laid over where there is no alpha

_COLOURS = {
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "colorspace": "bt709",
    "color_range": "tv",
}
# Without B-frames the first picture is at time 0 (they would start it two frames late).
_H264 = {"preset": "veryfast", "crf": "20", "bf": "0", "rc-lookahead": "5"}
_VP9 = {
    "deadline": "realtime",
    "cpu-used": "8",
    "row-mt": "1",
    "crf": "28",
    "b": "0",
    "auto-alt-ref": "0",
    "lag-in-frames": "0",
}
_FLUSHED = {"flush_packets": "1"}
_MATROSKA = {**_FLUSHED, "cluster_time_limit": "500"}  # ms
# delay_moov waits for the first packets, so that the edit list knows the AAC encoder's priming.
_MP4 = {**_FLUSHED, "movflags": "hybrid_fragmented+delay_moov", "frag_duration": "500000"}  # µs


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one suffix is written: codecs, their options, and the container's."""

    video: str
    audio: str
    bit_rate: int  # of the sound, bits per second
    video_options: dict[str, str] = field(repr=False)
    container_options: dict[str, str] = field(repr=False)
    alpha: bool = False


# Opus in Matroska, because FFmpeg up to 5.1 does not take AAC's priming (21 ms) off there.
RECIPES = {
    ".mp4": Recipe("libx264", "aac", 192_000, _H264, _MP4),
    ".mkv": Recipe("libx264", "libopus", 160_000, _H264, _MATROSKA),
    ".webm": Recipe("libvpx-vp9", "libopus", 160_000, _VP9, _MATROSKA, alpha=True),
}


def check_size(width: int, height: int) -> None:
    """Raise UserError for a size that these codecs cannot have; names the nearest that they can."""
    even = [min(max(side - side % 2, SIZES[0]), SIZES[-1]) for side in (width, height)]
    if even != [width, height]:
        raise UserError(
            f"a video cannot be {width}x{height}: sides must be even, {SIZES[0]} to {SIZES[-1]}; "
            f"use {even[0]}x{even[1]}"
        )


class VideoFile:
    """A sink that writes every frame's picture and its 1,600 samples; no frame, no file.

    Sound is always stereo (mono is doubled). A picture of another size than `fmt` says is scaled
    to it. A transparent one keeps its alpha in .webm, elsewhere it is laid over black.
    """

    wants_picture = True
    wants_sound = True

    def __init__(self, path: str, fmt: SinkFormat) -> None:
        """Nothing is created before the first frame. Raises UserError for a size that cannot be."""
        check_size(fmt.width, fmt.height)
        self.path, self._format = path, fmt
        self._samples_per_frame = exact_div(SAMPLE_RATE, fmt.fps)
        self._queue: queue.Queue[tuple[U8 | None, F32] | None] = queue.Queue(QUEUE)
        self._thread: threading.Thread | None = None
        self._shown: U8 | None = None
        self._error: UserError | None = None
        self._told = False

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Queue one frame, waiting while the encoder is QUEUE frames behind.

        Raises UserError when the file cannot be written (no space, no permission).
        """
        if self._error is not None:
            self._told = True
            raise self._error
        if self._thread is None:
            self._thread = self._started()
        self._shown = self._shown if picture is None else picture.rgba
        self._queue.put((self._shown, _stereo(sound, self._samples_per_frame)))

    def close(self) -> None:
        """Encode what waits and finish the file. Raises UserError when it failed, unless told."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._error is not None and not self._told:
            self._told = True
            raise self._error

    def _started(self) -> threading.Thread:
        """The encoder's thread; daemon, so that a program that forgets `close` can still end."""
        muxer = _Muxer(self.path, self._format)
        thread = threading.Thread(target=self._encode, args=(muxer,), name="encoder", daemon=True)
        thread.start()
        return thread

    def _encode(self, muxer: _Muxer) -> None:
        """The thread: until the None that ends the queue; after an error it only empties it."""
        failed = False
        while True:
            item = self._queue.get()
            if failed and item is not None:
                continue
            try:
                if item is None:
                    muxer.close()
                    return
                muxer.add(*item)
            except Exception as error:
                if not failed:
                    self._error = _explained(error, self.path, muxer.frames, self._format.fps)
                if item is None:
                    return
                failed = True


class _Muxer:
    """The container and its two encoders; lives in one thread after it is made."""

    def __init__(self, path: str, fmt: SinkFormat) -> None:
        """Create the file. Raises UserError when that is not possible."""
        recipe = RECIPES[Path(path).suffix.lower()]
        self.path, self.frames = path, 0
        self._format, self._alpha = fmt, recipe.alpha and fmt.transparent
        self._pixels = "yuva420p" if self._alpha else "yuv420p"
        self._new = not os.path.exists(path)
        try:
            self._container: OutputContainer = av.open(
                os.path.abspath(path), "w", options=recipe.container_options
            )
            self._video = self._add_video(recipe)
            self._audio = self._add_audio(recipe)
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._remove()
            raise _explained(error, path, 0, fmt.fps) from None

    def add(self, rgba: U8 | None, samples: F32) -> None:
        """Encode one frame: [H, W, 4] (None: black) and [2, n] float32."""
        if rgba is None:
            rgba = np.zeros((self._format.height, self._format.width, 4), np.uint8)
        picture = self._converted(rgba)
        picture.pts, picture.time_base = self.frames, Fraction(1, self._format.fps)
        self._container.mux(self._video.encode(picture))
        sound = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        sound.sample_rate, sound.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        sound.pts = self.frames * samples.shape[1]
        self._container.mux(self._audio.encode(sound))
        self.frames += 1

    def close(self) -> None:
        """Drain the encoders and finish the container; a file without frames is removed."""
        if not self.frames:
            with contextlib.suppress(Exception):  # nothing in it that could be finished
                self._container.close()
            return self._remove()
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        finally:
            self._container.close()

    def _remove(self) -> None:
        """Leave no empty file behind, unless one was there before."""
        if self._new:
            with contextlib.suppress(OSError):
                os.remove(self.path)

    def _converted(self, rgba: U8) -> av.VideoFrame:
        """Full-range sRGB to limited-range BT.709, at the file's size."""
        if self._alpha or not self._format.transparent:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), "rgba")
        else:
            rgb = np.ascontiguousarray(flatten(rgba, BEHIND))
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
        return frame.reformat(
            self._format.width,
            self._format.height,
            self._pixels,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )

    def _add_video(self, recipe: Recipe) -> VideoStream:
        fmt = self._format
        options = {**recipe.video_options, **_COLOURS, "g": str(fmt.fps)}
        stream = self._container.add_stream(recipe.video, rate=fmt.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = fmt.width, fmt.height, self._pixels
        stream.codec_context.time_base = Fraction(1, fmt.fps)
        return stream

    def _add_audio(self, recipe: Recipe) -> AudioStream:
        stream = self._container.add_stream(recipe.audio, rate=SAMPLE_RATE, layout="stereo")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = recipe.bit_rate
        return stream


def _stereo(sound: Sound | None, n: int) -> F32:
    """[2, n] of a frame's sound: mono doubled, a short end padded with silence."""
    stereo = np.zeros((2, n), np.float32)
    if sound is not None:
        samples = sound.samples[:, :n]
        stereo[:, : samples.shape[1]] = samples
    return stereo


def _explained(error: Exception, path: str, frames: int, fps: int) -> UserError:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    seconds = frames / fps
    kept = f" (about the first {seconds:.0f} s are kept)" if seconds >= 1 else ""
    return UserError(f"cannot write {path}: {why}{kept}")
