"""Stems as files: what the separator hears, in its place, as long as the input, or nothing."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import run_live
from engine.avatar import Avatar, AvatarConfig
from engine.hearing.separator import Separation, Separator, SeparatorState
from engine.signals import F32, Motion, Sound
from engine.timeline import FEATURE_RATE, FRAME, SAMPLE_RATE
from streaming.live import run_file
from streaming.ports import UserError
from streaming.schemes import SinkFormat, open_sink, open_source
from streaming.stemfiles import StemFiles
from streaming.twoinputs import TwoInputs
from tests.fakes import FakeAvatar, FakeDrawing, FakeSink, FakeSource, chunks, noise

SONG = Path(__file__).parents[1] / "data" / "held_out_1.flac"
FORMAT = SinkFormat(64, 64)
MOTION = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))


def song(seconds: float, start: float = 4.0) -> F32:
    """[2, n] voice and accompaniment at 48 kHz."""
    both, rate = soundfile.read(SONG, dtype="float32")
    part = both[round(start * rate) : round((start + seconds) * rate)]
    return np.stack([soxr.resample(side, rate, SAMPLE_RATE) for side in part.T])


def show(sink, samples: F32, stems: F32 | None = None, size: int = 1600) -> None:
    """Write a whole sound [C, n] to a sink in frames, as a file run does."""
    sounds = chunks(samples, size)
    if stems is not None:
        sounds = [Sound(s.samples, s.start, stems[:, s.start : s.end]) for s in sounds]
    run_file(FakeAvatar(), FakeSource(sounds, channels=len(samples)), [sink])


def read(folder: Path) -> F32:
    """[2, n] voice and accompaniment at 16 kHz."""
    parts = [soundfile.read(folder / f"{name}.wav", dtype="float32") for name in STEMS]
    assert [rate for _, rate in parts] == [FEATURE_RATE, FEATURE_RATE]
    return np.stack([part for part, _ in parts])


STEMS = ("voice", "accompaniment")


class Tapped:
    """A separator, remembering what it said."""

    def __init__(self, separator: Separator) -> None:
        self._separator = separator
        self.initial_state = separator.initial_state
        self.said: list[F32] = []

    def __call__(self, x: F32, state: SeparatorState) -> tuple[Separation, SeparatorState]:
        made, state = self._separator(x, state)
        self.said.append(made.bands)
        return made, state


# ---- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 1599, 1600, 1601, 48_000, 70_001])
def test_as_long_as_the_input(tmp_path: Path, n: int) -> None:
    show(StemFiles(str(tmp_path), SinkFormat(64, 64, samples=n)), noise(2)[:, :n])
    assert read(tmp_path).shape == (2, -(-n // 3))


def test_of_a_source_of_unknown_length_as_long_as_its_frames(tmp_path: Path) -> None:
    show(StemFiles(str(tmp_path), FORMAT), noise(1)[:, :40_000])
    assert read(tmp_path).shape == (2, 25 * FRAME // 3 + 1)


def test_known_stems_come_out_in_their_place_to_the_sample(tmp_path: Path) -> None:
    t = np.arange(70_000) / SAMPLE_RATE
    stems = np.stack([np.sin(2 * np.pi * 441 * t), 0.3 * np.sin(2 * np.pi * 2_500 * t)])
    stems = stems.astype(np.float32)
    fmt = SinkFormat(64, 64, samples=70_000)
    show(StemFiles(str(tmp_path), fmt), stems.sum(0, keepdims=True), stems)
    made = read(tmp_path)
    inside = slice(100, -100)  # the filter needs sound on both sides
    np.testing.assert_allclose(made[:, inside], stems[:, ::3][:, inside], atol=2e-3)


def test_separated_stems_add_up_to_the_input_in_its_place(tmp_path: Path) -> None:
    mix = song(6).sum(0, keepdims=True)
    show(StemFiles(str(tmp_path), SinkFormat(64, 64, samples=mix.shape[1])), mix)
    total, heard = read(tmp_path).sum(0), soxr.resample(mix[0], SAMPLE_RATE, FEATURE_RATE)
    lags = range(-40, 41)
    inner = slice(8000, 80_000)
    match = [float(np.roll(total, lag)[inner] @ heard[inner]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    assert np.corrcoef(total[inner], heard[inner])[0, 1] > 0.99


def test_it_hears_what_the_avatar_hears_and_changes_nothing(tmp_path: Path) -> None:
    mix = song(3).sum(0, keepdims=True)
    avatar = Avatar(AvatarConfig(), renderer=FakeAvatar())  # type: ignore[arg-type]
    alone, beside = FakeSink(wants_picture=False), FakeSink(wants_picture=False)
    run_file(avatar, FakeSource(chunks(mix, 1600)), [alone])
    sink = StemFiles(str(tmp_path), FORMAT)
    avatar.hearing.separator = ears = Tapped(avatar.hearing.separator)
    sink._stems.separator = other = Tapped(sink._stems.separator)
    run_file(avatar, FakeSource(chunks(mix, 1600)), [sink, beside])
    for one, two in zip(alone.frames, beside.frames, strict=True):
        for field in ("blendshapes", "head", "gaze", "hair", "body"):
            left, right = getattr(one.motion, field), getattr(two.motion, field)
            np.testing.assert_array_equal(left, right)
        np.testing.assert_array_equal(one.sound.samples, two.sound.samples)
    said, heard = np.concatenate(ears.said), np.concatenate(other.said)
    hops = min(len(said), len(heard))
    assert hops >= 300
    np.testing.assert_array_equal(said[:hops], heard[:hops])


def test_chunks_of_the_source_change_no_bit(tmp_path: Path) -> None:
    mix = song(1.5).sum(0, keepdims=True)
    for size in (480, 1600, 77):
        show(StemFiles(str(tmp_path / str(size)), FORMAT), mix, size=size)
    first, *others = (read(tmp_path / str(size)) for size in (480, 1600, 77))
    for other in others:
        np.testing.assert_array_equal(first, other)


# ---- examples -----------------------------------------------------------------------------------


def test_the_voice_is_in_the_voice(tmp_path: Path) -> None:
    stems = song(8)
    show(StemFiles(str(tmp_path), FORMAT), stems.sum(0, keepdims=True))
    made, truth = read(tmp_path), stems[:, ::3]
    likeness = np.array(
        [[abs(np.corrcoef(a[: truth.shape[1]], b)[0, 1]) for b in truth] for a in made]
    )
    assert likeness[0, 0] > likeness[0, 1] + 0.2
    assert likeness[1, 1] > likeness[1, 0] + 0.2


def test_frames_that_were_passed_over_are_silent_and_the_rest_stays_in_place(tmp_path) -> None:
    sound = noise(3)
    stems = np.stack([sound[0], -sound[0]])
    sink = StemFiles(str(tmp_path), FORMAT)
    for frame in (*range(20), *range(70, 90)):
        part = slice(frame * FRAME, (frame + 1) * FRAME)
        sink.write(MOTION, None, Sound(sound[:, part], part.start, stems[:, part]))
    sink.close()
    made = read(tmp_path)[0]
    assert len(made) == 90 * FRAME // 3
    assert np.abs(made[20 * FRAME // 3 + 400 : 70 * FRAME // 3 - 400]).max() < 1e-6
    whole = tmp_path / "whole"
    show(StemFiles(str(whole), FORMAT), sound[:, : 90 * FRAME], stems[:, : 90 * FRAME])
    after = slice(71 * FRAME // 3, None)
    np.testing.assert_allclose(made[after], read(whole)[0][after], atol=1e-5)


def test_written_as_it_goes_and_playable_when_killed(tmp_path: Path) -> None:
    sink = StemFiles(str(tmp_path), FORMAT)
    for frame, sound in enumerate(chunks(noise(2.5), 1600)):
        sink.write(MOTION, None, sound)
        written = os.path.getsize(tmp_path / "voice.wav") / 4 / FEATURE_RATE
        assert written > frame / 30 - 0.02
    assert read(tmp_path).shape[1] in range(FEATURE_RATE, 3 * FEATURE_RATE)
    sink.close()
    sink.close()
    assert read(tmp_path).shape == (2, 40_000)


def test_two_inputs_through_the_whole_line(tmp_path: Path) -> None:
    voice, backing = noise(1.0, 1), noise(0.7, 2)
    for name, samples in (("v", voice), ("b", backing)):
        soundfile.write(tmp_path / f"{name}.wav", samples[0], SAMPLE_RATE, "FLOAT")
    source = open_source(voice=str(tmp_path / "v.wav"), backing=str(tmp_path / "b.wav"))
    assert isinstance(source, TwoInputs)
    sink = open_sink(f"stems:{tmp_path / 'out'}", SinkFormat(64, 64, samples=source.length))
    run_file(FakeAvatar(), source, [sink])
    made = read(tmp_path / "out")
    truth = np.stack([voice[0], np.pad(backing[0], (0, voice.shape[1] - backing.shape[1]))])
    heard = np.stack([soxr.resample(side, SAMPLE_RATE, FEATURE_RATE) for side in truth])
    for one, other in zip(made, heard, strict=True):
        assert np.corrcoef(one[200:-200], other[200:-200])[0, 1] > 0.97
    assert np.abs(made[1, 12_000:]).max() < 1e-6


# ---- the command line ---------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder and a stand-in for the avatar."""
    (tmp_path / "here").mkdir()
    soundfile.write(tmp_path / "song.wav", noise(1.5, channels=2).T, SAMPLE_RATE)
    monkeypatch.chdir(tmp_path / "here")
    avatar = FakeAvatar(size=64)
    monkeypatch.setattr(run_live, "_avatar", lambda config, drawing, words: avatar)
    monkeypatch.setattr(run_live, "_drawing", lambda config: FakeDrawing(avatar))
    return tmp_path / "here", avatar


def test_beside_other_outputs(here, capsys) -> None:
    folder, _ = here
    outputs = ["--output", "stems:out", "--output", "a.mp4", "--output", "stems:more"]
    assert run_live.main(["--input", "../song.wav", *outputs]) == 0
    assert "out/voice.wav, out/accompaniment.wav, a.mp4, more/voice" in capsys.readouterr().out
    assert read(folder / "out").shape == (2, 24_000)
    np.testing.assert_array_equal(read(folder / "out"), read(folder / "more"))
    assert (folder / "a.mp4").stat().st_size


@pytest.mark.parametrize("realtime", [[], ["--realtime"]], ids=["file", "live"])
def test_an_interrupted_show_keeps_what_was_sung(here, realtime) -> None:
    folder, avatar = here
    stop = lambda motion: os.kill(os.getpid(), signal.SIGINT) if motion.frame == 20 else None  # noqa: E731
    avatar.on_draw = stop
    outputs = ["--output", "stems:out", "--output", "a.mp4"]
    assert run_live.main(["--input", "../song.wav", *outputs, *realtime]) == 130
    assert 15 * FRAME // 3 <= read(folder / "out").shape[1] < 24_000


def test_input_that_breaks_leaves_nothing(here, monkeypatch) -> None:
    folder, avatar = here

    def deaf(sound: Sound) -> None:
        if sound.start > 40_000:
            raise UserError("song.wav is damaged at 0.9 s")

    avatar.on_hear = deaf
    assert run_live.main(["--input", "../song.wav", "--output", "stems:out"]) == 2
    assert list(folder.iterdir()) == []


# ---- bad places ---------------------------------------------------------------------------------


def test_a_motion_file_has_no_stems(here, capsys) -> None:
    folder, _ = here
    assert run_live.main(["--input", "../song.wav", "--output", "a.jsonl"]) == 0
    assert run_live.main(["--input", "a.jsonl", "--output", "stems:out"]) == 2
    assert "needs sound, and a motion file has none" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


def test_stems_are_never_written_over_what_is_read(here, capsys) -> None:
    assert run_live.main(["--input", "../song.wav", "--output", "stems:out"]) == 0
    for inputs in (
        ["--input", "out/voice.wav"],
        ["--voice", "out/voice.wav", "--backing", "out/accompaniment.wav"],
    ):
        assert run_live.main([*inputs, "--output", "stems:out"]) == 2
        assert "it is the input" in capsys.readouterr().err


@pytest.fixture
def small_disk():
    """Files of this process cannot grow beyond 150,000 bytes: 2.3 s of one stem."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_keeps_two_whole_files(tmp_path: Path, small_disk: None) -> None:
    sink = StemFiles(str(tmp_path / "out"), FORMAT)
    with pytest.raises(UserError, match=r"cannot write stems to .*the first 2 s are kept"):
        show(sink, noise(4))
    sink.close()
    assert read(tmp_path / "out").shape[1] in range(2 * FEATURE_RATE, 38_000)


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    sink = StemFiles(str(tmp_path / "out"), FORMAT)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "accompaniment.wav").mkdir()
    with pytest.raises(UserError, match="cannot write stems to"):
        show(sink, noise(0.2))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["accompaniment.wav"]
