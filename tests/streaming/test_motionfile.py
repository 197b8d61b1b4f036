"""The motion format: playback equals the original bit for bit; anything else names its line."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.motion.blendshapes import ARKIT
from engine.signals import Motion
from streaming.motionfile import MotionReader, MotionWriter
from streaming.ports import MotionSource, Sink, UserError
from streaming.schemes import SinkFormat, open_sink, open_source

FORMAT = SinkFormat(512, 512, lookahead=2, source="Lied für zwei.ogg")


def some_motion(frame: int) -> Motion:
    rng = np.random.default_rng(frame)

    def small(size: int) -> np.ndarray:
        return (rng.standard_normal(size) * 10.0 ** rng.integers(-8, 0, size)).astype(np.float32)

    shapes = rng.random(52).astype(np.float32)
    shapes[rng.integers(0, 52, 9)] = [0, 1, 1e-38, 1e-45, 0.1, 1 / 3, 0.5, 1e-6, 0.999_999_94]
    return Motion(frame, shapes, small(6), small(2), float(rng.random()), small(2), small(3),
                  float(rng.random()))  # fmt: skip


def write(path: Path, count: int) -> list[Motion]:
    writer = MotionWriter(str(path), FORMAT)
    motions = [some_motion(n) for n in range(count)]
    for motion in motions:
        writer.write(motion, None, None)
    writer.close()
    writer.close()
    return motions


def read(path: Path, seconds: float | None = None) -> list[Motion]:
    reader = MotionReader(str(path), seconds=seconds)
    motions = []
    while (motion := reader.read()) is not None:
        motions.append(motion)
    assert reader.length == len(motions)
    reader.close()
    return motions


def assert_same(left: Motion, right: Motion) -> None:
    assert left.frame == right.frame
    assert (left.voice, left.breath) == (right.voice, right.breath)
    for name in ("blendshapes", "head", "gaze", "hair", "body"):
        one, other = getattr(left, name), getattr(right, name)
        assert one.dtype == other.dtype == np.float32
        assert one.tobytes() == other.tobytes()


def test_playback_equals_the_original(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for left, right in zip(write(path, 50), read(path), strict=True):
        assert_same(left, right)


def test_a_copy_is_the_same_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 20)
    copy = open_sink(str(tmp_path / "b.jsonl"), FORMAT)
    source = open_source(str(tmp_path / "a.jsonl"))
    assert isinstance(copy, Sink)
    assert isinstance(source, MotionSource)
    while (motion := source.read()) is not None:
        copy.write(motion, None, None)
    copy.close()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_public_part_is_as_published(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    [motion] = write(path, 1)
    header, frame = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    assert header == {
        "cantar_motion": 1, "fps": 30, "blendshapes": list(ARKIT), "lookahead": 2,
        "source": "Lied für zwei.ogg",
    }  # fmt: skip
    assert frame["frame"] == 0
    assert frame["t"] == 0.0
    assert list(frame["head"]) == ["yaw", "pitch", "roll", "x", "y", "z"]
    assert frame["eyes"]["closure"] == pytest.approx(motion.closure, abs=1e-6)
    assert len(frame["eyes"]["gaze"]) == 2
    assert 0 <= frame["voice"] <= 1


def test_another_order_of_names_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    [motion] = write(path, 1)
    header, frame = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    for data in (header, frame):
        data["blendshapes"] = data["blendshapes"][::-1]
    path.write_text(f"{json.dumps(header)}\n{json.dumps(frame)}\n", "utf-8")
    assert_same(read(path)[0], motion)


def test_others_may_leave_out_extra_and_add_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, 1)
    header, frame = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    del frame["extra"]
    frame["tool"] = "mine"
    path.write_text(f"{json.dumps(header)}\r\n{json.dumps(frame)}\r\n\r\n", "utf-8-sig")
    [motion] = read(path)
    assert not motion.hair.any()
    assert motion.breath == 0


def test_seconds(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, 50)
    assert len(read(path, 0.5)) == 15
    assert len(read(path, 9)) == 50


def test_no_frame_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    MotionWriter(str(path), FORMAT).close()
    assert not path.exists()


def test_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    program = (
        "import os, sys, numpy as np\n"
        "from engine.signals import Motion\n"
        "from streaming.motionfile import MotionWriter\n"
        "from streaming.schemes import SinkFormat\n"
        "writer = MotionWriter(sys.argv[1], SinkFormat(64, 64))\n"
        "for n in range(40): writer.write(Motion(n, np.zeros(52, 'f4'), np.zeros(6, 'f4')), 0, 0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(read(path)) == 40


def test_cut_last_line_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.jsonl"
    write(path, 3)
    text = path.read_text("utf-8")
    with caplog.at_level(logging.WARNING):
        path.write_text(text[:-200], "utf-8")
        assert len(read(path)) == 2
    assert "line 4 is cut off; the show ends with frame 1" in caplog.text
    assert len(caplog.records) == 1
    path.write_text(text[:-1], "utf-8")  # only the last line's end is missing
    assert len(read(path)) == 3


# ---- bad files, one by one ----------------------------------------------------------------------


def edited(path: Path, line: int, change) -> Path:
    """A good file of three frames whose line (1 = header) went through `change`."""
    write(path, 3)
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
    change(lines[line - 1])
    path.write_text("".join(json.dumps(data) + "\n" for data in lines), "utf-8")
    return path


def put(key: str, value):
    """A change that sets `a.b` or `a.3`."""

    def change(data: dict) -> None:
        *way, last = key.split(".")
        for name in way:
            data = data[name]
        data[int(last) if isinstance(data, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (1, put("cantar_motion", 2), "line 1: version 2; this reads 1"),
        (1, lambda data: data.pop("cantar_motion"), "line 1: not a motion file"),
        (1, put("fps", 60), "line 1: fps is 60, expected 30"),
        (1, put("lookahead", "two"), "line 1: lookahead is 'two'"),
        (1, put("blendshapes", 52), "line 1: blendshapes must be the list"),
        (1, lambda data: data["blendshapes"].pop(), "1 of 52 blendshapes missing: tongueOut"),
        (1, put("blendshapes.0", "eyeBlinkLefty"), "'eyeBlinkLefty'.*did you mean eyeBlinkLeft"),
        (1, lambda data: data["blendshapes"].append("jawOpen"), "jawOpen is listed twice"),
        (3, put("frame", 2), "line 3: frame is 2, expected 1"),
        (3, put("frame", True), "line 3: frame is True, expected 1"),
        (3, put("t", 0.5), "line 3: t is 0.5, expected 0.033333"),
        (3, put("t", None), "line 3: t must be a number, got null"),
        (3, put("blendshapes", [0.0] * 51), "line 3: blendshapes must be a list of 52.*got 51"),
        (3, put("blendshapes.17", 1.5), "line 3: jawOpen is 1.5, expected 0 to 1"),
        (3, put("blendshapes.17", float("nan")), "line 3: jawOpen is nan, expected 0 to 1"),
        (3, put("blendshapes.17", "wide"), 'line 3: blendshapes must hold numbers, got "wide"'),
        (3, put("blendshapes.17", True), "line 3: blendshapes must hold numbers, got true"),
        (3, put("head.yaw", 90), "line 3: head: yaw is 90, expected -3.14 to 3.14"),
        (3, put("head.x", 1e300), r"line 3: head: x is 1e\+300, expected a finite number"),
        (3, put("head.x", 10**400), "line 3: head: x must be a number"),
        (3, put("head", []), "line 3: head must be an object"),
        (3, lambda data: data["head"].pop("roll"), "line 3: head: roll must be a number"),
        (3, put("eyes.gaze", [0]), "line 3: eyes: gaze must be a list of 2 numbers, got 1"),
        (3, put("eyes.closure", -1), "line 3: eyes: closure is -1, expected 0 to 1"),
        (3, put("voice", float("inf")), "line 3: voice is inf, expected 0 to 1"),
        (3, put("extra.hair", [0, "x"]), "line 3: extra: hair must hold numbers"),
        (3, put("extra.breath", 2), "line 3: extra: breath is 2, expected 0 to 1"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: int, change, message: str) -> None:
    path = edited(tmp_path / "x.jsonl", line, change)
    with pytest.raises(UserError, match=message):
        MotionReader(str(path))


def test_bad_files(tmp_path: Path) -> None:
    def refusal(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            MotionReader(str(path))
        return str(caught.value)

    write(tmp_path / "good.jsonl", 3)
    lines = (tmp_path / "good.jsonl").read_bytes().splitlines(keepends=True)
    assert "line 1: not JSON" in refusal("empty.jsonl", b"")
    assert "line 1: not JSON" in refusal("text.jsonl", b"la la la\n")
    assert "as a JSON object" in refusal("list.jsonl", b"[1, 2]\n")
    assert "not text" in refusal("bytes.jsonl", b"\xff\xfe\x00\x01" * 99)
    assert "holds no frames" in refusal("header.jsonl", lines[0])
    cut_inside = b"".join([lines[0], lines[1][:-50] + b"\n", lines[2]])
    assert "line 2: not JSON" in refusal("inside.jsonl", cut_inside)
    for name, message in (("none.jsonl", "no such file"), ("", "is a folder")):
        with pytest.raises(UserError, match=message):
            MotionReader(str(tmp_path / name))
