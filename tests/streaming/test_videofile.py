"""Video files: sound and pictures equal and aligned, colours right, playable when killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from engine.signals import Motion, Picture, Sound
from engine.timeline import FRAME, SAMPLE_RATE
from streaming.compositing import checkerboard, flatten
from streaming.ports import Sink, UserError
from streaming.schemes import SinkFormat, open_sink
from streaming.videofile import VideoFile

SUFFIXES = (".mp4", ".mkv", ".webm")
CLICK = (0.8 * np.sin(2 * np.pi * 1000 * np.arange(480) / SAMPLE_RATE)).astype(np.float32)


def motion(frame: int) -> Motion:
    return Motion(frame, np.zeros(52, np.float32), np.zeros(6, np.float32))


def plain(colour: tuple[int, ...], frame: int, side: int = 64) -> Picture:
    return Picture(frame, np.full((side, side, 4), colour, np.uint8))


def write_show(sink: Sink, frames: int, click_at: int, channels: int = 2) -> None:
    """Black and silence, and at one frame a white picture and the start of a click."""
    for n in range(frames):
        samples = np.zeros((channels, FRAME), np.float32)
        if n == click_at:
            samples[:, : len(CLICK)] = CLICK
        level = 255 if n == click_at else 0
        sink.write(motion(n), plain((level, level, level, 255), n), Sound(samples, n * FRAME))


def pictures(path: Path, fmt: str = "rgba") -> list[tuple[float, np.ndarray]]:
    """(seconds, [H, W, 4]) of every picture; VP9 by the decoder that knows its alpha."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        return [
            (
                float(frame.pts * stream.time_base),
                frame.reformat(
                    format=fmt, src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
                ).to_ndarray(),
            )
            for packet in container.demux(stream)
            for frame in decoder.decode(packet)
        ]


def sound(path: Path) -> tuple[float, np.ndarray]:
    """(seconds of the first decoded sample, samples [C, n])."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
    return float(frames[0].pts * frames[0].time_base), np.concatenate(
        [frame.to_ndarray() for frame in frames], axis=1
    )


def click_time(path: Path) -> float:
    start, samples = sound(path)
    return start + int(np.correlate(samples[0], CLICK, "valid").argmax()) / SAMPLE_RATE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_and_pictures_are_aligned_and_equal(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    path = tmp_path / f"x{suffix}"
    sink = open_sink(str(path), SinkFormat(64, 64, channels=channels))
    write_show(sink, 47, click_at=20, channels=channels)
    sink.close()
    sink.close()
    shown = pictures(path)
    start, samples = sound(path)
    assert len(shown) == 47
    assert shown[0][0] == 0
    assert start == 0
    white = [seconds for seconds, picture in shown if picture[..., :3].mean() > 128]
    assert white == [pytest.approx(20 / 30, abs=1e-3)]
    assert click_time(path) == pytest.approx(20 / 30, abs=1e-3)
    assert len(samples) == 2
    assert abs(samples.shape[1] / FRAME - 47) <= 1


def length(path: Path, kind: str) -> float:
    """Seconds from 0 to the end of the last packet, as a player without decoding sees it."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
        return float(max(ends) * stream.time_base)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_containers_state_equal_lengths(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    sink = open_sink(str(path), SinkFormat(64, 64))
    write_show(sink, 90, click_at=0)
    sink.close()
    assert length(path, "video") == pytest.approx(3, abs=0.002)
    assert length(path, "audio") == pytest.approx(3, abs=1 / 30)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
    sink = open_sink(str(path), SinkFormat(64, 64))
    for n in range(len(colours) * 4):
        sink.write(motion(n), plain((*colours[n // 4], 255), n), None)
    sink.close()
    shown = pictures(path)
    for index, colour in enumerate(colours):
        got = shown[index * 4 + 3][1][..., :3].astype(int)
        assert np.abs(got - colour).max() <= 4
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert codec.color_range == ColorRange.MPEG
        assert (codec.colorspace, codec.color_primaries, codec.color_trc) == (1, 1, 1)  # BT.709


def test_webm_keeps_alpha(tmp_path: Path) -> None:
    path = tmp_path / "x.webm"
    sink = open_sink(str(path), SinkFormat(64, 64, transparent=True))
    rgba = plain((200, 120, 40, 255), 0).rgba.copy()
    rgba[:, :32, 3] = 0
    rgba[:32, 32:, 3] = 128
    for n in range(6):
        sink.write(motion(n), Picture(n, rgba), None)
    sink.close()
    got = pictures(path)[-1][1].astype(int)
    assert np.abs(got[4:60, 4:28, 3]).max() <= 4
    assert np.abs(got[4:28, 36:60, 3] - 128).max() <= 4
    assert np.abs(got[36:60, 36:60] - (200, 120, 40, 255)).max() <= 4
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"


def test_mp4_lays_alpha_over_black(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    sink = open_sink(str(path), SinkFormat(64, 64, transparent=True))
    for n in range(4):
        sink.write(motion(n), plain((200, 100, 50, 128), n), None)
    sink.close()
    assert np.abs(pictures(path)[-1][1][..., :3].astype(int) - (100, 50, 25)).max() <= 4


def test_flatten_is_the_rounded_mix() -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (40, 50, 4), dtype=np.uint8)
    for background in (np.array([10, 200, 255], np.uint8), checkerboard(40, 50)):
        alpha = rgba[..., 3:] / 255
        exact = rgba[..., :3] * alpha + background * (1 - alpha)
        assert np.abs(flatten(rgba, background) - exact).max() <= 0.5 + 1e-9


def test_held_missing_and_smaller_pictures(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    sink = open_sink(str(path), SinkFormat(64, 64))
    sink.write(motion(0), None, None)  # nothing drawn yet: black
    sink.write(motion(1), plain((255, 255, 255, 255), 1, side=32), None)
    sink.write(motion(2), None, None)  # the one before is held
    sink.close()
    levels = [picture[..., :3].mean() for _, picture in pictures(path)]
    assert levels == [pytest.approx(0, abs=3), pytest.approx(255, abs=3), pytest.approx(255, abs=3)]
    assert pictures(path)[1][1].shape == (64, 64, 4)


SHOW = """
import os, sys
sys.path.insert(0, "tests/streaming")
from test_videofile import SinkFormat, open_sink, write_show
sink = open_sink(sys.argv[1], SinkFormat(64, 64))
write_show(sink, 100, click_at=20)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_playable_when_killed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    done = subprocess.run([sys.executable, "-c", SHOW, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    shown = pictures(path)
    assert len(shown) >= 100 - 30  # loses a second at most
    assert abs(len(shown) - sound(path)[1].shape[1] / FRAME) <= 15
    white = [seconds for seconds, picture in shown if picture[..., :3].mean() > 128]
    assert white == [pytest.approx(20 / 30, abs=1e-3)]
    assert click_time(path) == pytest.approx(20 / 30, abs=1e-3)


FULL_DISK = """
import resource, sys
sys.path.insert(0, "tests/streaming")
import numpy as np
from test_videofile import Picture, SinkFormat, UserError, motion, open_sink
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sink = open_sink(sys.argv[1], SinkFormat(64, 64))
rng = np.random.default_rng(0)
try:
    for n in range(900):
        sink.write(motion(n), Picture(n, rng.integers(0, 256, (64, 64, 4), np.uint8)), None)
except UserError as error:
    print(n, error)
sink.close()
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_ends_the_show_with_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    run = [sys.executable, "-c", FULL_DISK, str(path)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert f"cannot write {path}: File too large (about the first" in said
    assert said.count("\n") == 1
    assert len(av.open(str(path)).streams) == 2


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((511, 512), "510x512"), ((2, 64), "16x64"), ((5000, 301), "4096x300")],
)
def test_sizes(tmp_path: Path, size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(UserError, match=f"use {nearest}"):
        open_sink(str(tmp_path / "x.mp4"), SinkFormat(*size))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_frame_no_file_and_no_harm(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    VideoFile(str(path), SinkFormat(64, 64)).close()
    assert not path.exists()
    path.write_bytes(b"somebody's work")
    VideoFile(str(path), SinkFormat(64, 64)).close()
    assert path.read_bytes() == b"somebody's work"


def test_a_folder_that_vanishes_before_the_first_frame(tmp_path: Path) -> None:
    sink = VideoFile(str(tmp_path / "gone" / "x.mp4"), SinkFormat(64, 64))
    with pytest.raises(UserError, match=r"cannot write .*gone.*No such file"):
        sink.write(motion(0), None, None)
    sink.close()
    assert os.listdir(tmp_path) == []
