"""The table of inputs and outputs: what is spelt how, what is refused before anything is opened."""

from __future__ import annotations

import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

import streaming.schemes as schemes
from engine.signals import Motion
from streaming.ports import Sink, Source, UserError
from streaming.schemes import (
    INPUTS,
    OUTPUTS,
    SinkFormat,
    check_sink,
    check_sinks,
    describe_schemes,
    open_sink,
    open_source,
)

FORMAT = SinkFormat(64, 64)
MOTION = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))


@pytest.fixture
def song(tmp_path: Path) -> str:
    path = tmp_path / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(bytes(2 * 4800))
    return str(path)


def refusal(action, *arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        action(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ---- inputs -------------------------------------------------------------------------------------


def test_a_file_is_a_source(song: str) -> None:
    source = open_source(song)
    assert isinstance(source, Source)
    assert source.length == 4800
    source.close()


def test_silence() -> None:
    source = open_source("silence", seconds=0.05)
    assert isinstance(source, Source)
    assert source.length == 2400
    lengths = []
    while (sound := source.read()) is not None:
        assert not sound.samples.any()
        lengths.append(sound.samples.shape)
    assert lengths == [(1, 1600), (1, 800)]
    endless = open_source("silence")
    assert endless.length is None
    assert [endless.read().start for _ in range(3)] == [0, 1600, 3200]


def test_nothing_means_the_demo(monkeypatch: pytest.MonkeyPatch, song: str) -> None:
    monkeypatch.setattr(schemes, "DEMO", Path(song))
    assert open_source().length == open_source("demo").length == 4800
    monkeypatch.setattr(schemes, "DEMO", Path("nowhere.ogg"))
    assert "demo song is missing" in refusal(open_source)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mick", "did you mean mic?; inputs are demo, FILE, mic[:NAME]"),
        ("mick:USB", "did you mean mic:USB?"),
        ("Silence", "did you mean silence?"),
        ("song.vaw", "no such file or input: song.vaw"),
        ("https://example.org/song.mp3", "inputs are demo, FILE"),
        ("", "--input is empty; inputs are"),
        ("show.jsonl", "no such file: show.jsonl"),
    ],
)
def test_unknown_inputs(spec: str, message: str) -> None:
    assert message in refusal(open_source, spec)


def test_the_nearest_file_is_named(song: str) -> None:
    assert f"did you mean {song}?" in refusal(open_source, song.replace("song", "sonk"))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_must_be_above_0(song: str, seconds: float) -> None:
    assert "--seconds must be a number above 0" in refusal(open_source, song, seconds=seconds)


# ---- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["x.mp4", "X.MP4", "x.webm", "x.mkv", "x.jsonl", "stems:x", "none"]
)
def test_good_outputs_open_without_leaving_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    check_sink(spec)
    check_sink(spec, FORMAT)
    sink = open_sink(spec, FORMAT)
    assert isinstance(sink, Sink)
    sink.close()
    sink.close()
    assert os.listdir(tmp_path) == []


def test_none_wants_all_and_keeps_nothing() -> None:
    sink = open_sink("none", FORMAT)
    assert sink.wants_picture
    assert sink.wants_sound
    sink.write(MOTION, None, None)


@pytest.mark.parametrize(
    "spec",
    ["x.wav", "out/x.wav"],
)
def test_what_is_not_built_says_so(spec: str) -> None:
    for action in (check_sink, lambda spec: open_sink(spec, FORMAT)):
        assert f"output {spec} is not built yet" in refusal(action, spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("x.mp5", "unknown output x.mp5 (did you mean x.mp4?); outputs are NAME.mp4"),
        ("x.json", "did you mean x.jsonl?"),
        ("x.avi", "unknown output x.avi; outputs are"),
        ("camra:Cam", "did you mean camera[:NAME]?"),
        ("previw", "did you mean preview?"),
        ("preview:1", "unknown output preview:1"),
        ("vcm://127.0.0.1:39539", "did you mean vmc://H:P?"),
        ("stems", "did you mean stems:DIR?"),
        ("https://host/x.mp4", "unknown output https://host/x.mp4"),
        ("vmc://host?model=x.mp4", "cannot read the model x.mp4: No such file"),
        ("", "--output is empty"),
    ],
)
def test_unknown_outputs(spec: str, message: str) -> None:
    assert message in refusal(check_sink, spec)


def test_places_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, song: str
) -> None:
    missing = tmp_path / "no" / "x.mp4"
    assert f"there is no folder {missing.parent}" in refusal(check_sink, str(missing))
    (tmp_path / "dir.mp4").mkdir()
    assert "it is a folder" in refusal(check_sink, str(tmp_path / "dir.mp4"))
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a plain file" in refusal(check_sink, str(tmp_path / "pipe.mp4"))
    clip = str(tmp_path / "clip.mp4")
    Path(clip).write_bytes(b"clip")
    assert "it is the input" in refusal(check_sink, clip, SinkFormat(64, 64, source=clip))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "no permission" in refusal(check_sink, str(tmp_path / "x.mp4"))
    monkeypatch.undo()
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert "is full" in refusal(check_sink, str(tmp_path / "x.jsonl"))


def test_odd_video_sizes_are_refused_early() -> None:
    check_sink("x.jsonl", SinkFormat(65, 64))
    assert "use 64x64" in refusal(check_sink, "x.webm", SinkFormat(65, 64))


def test_two_outputs_never_share_a_place(tmp_path: Path) -> None:
    one = str(tmp_path / "x.mp4")
    check_sinks([one, str(tmp_path / "x.jsonl"), "none", "none"])
    assert "same place" in refusal(check_sinks, [one, str(tmp_path / "." / "x.mp4")])
    assert "not built yet" in refusal(check_sinks, [one, "x.wav"])


# ---- the table itself ---------------------------------------------------------------------------


def test_every_row_is_described_and_recognised() -> None:
    inputs, outputs = describe_schemes()
    assert len(inputs) == len(INPUTS)
    assert len(outputs) == len(OUTPUTS)
    for scheme, line in zip(INPUTS + OUTPUTS, inputs + outputs, strict=True):
        assert line.startswith(scheme.pattern)
        assert scheme.built != line.endswith("(not built yet)")
    examples = {"NAME": "x", "[": "", "]": "", "H:P": "h:1", "DIR": "d"}
    for table in (INPUTS, OUTPUTS):
        for scheme in table:
            spec = scheme.pattern
            for old, new in examples.items():
                spec = spec.replace(old, new)
            matching = [s for s in table if s.pattern != "FILE" and s.argument(spec) is not None]
            assert matching == ([] if scheme.pattern == "FILE" else [scheme])
