"""Made songs: the truth says what is heard, and no song depends on what was made before it."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.motion.visemes import BREATH
from engine.training.truth import load_truth

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("mido", "pyworld", "soundfile", "soxr")
PROGRAMS = {name: name for name in ("fluidsynth", "flite", "festival", "espeak-ng")}
SOUNDFONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
MISSING = [
    *(f"pip install {name}" for name in MODULES if importlib.util.find_spec(name) is None),
    *(f"apt-get install {package}" for name, package in PROGRAMS.items() if not shutil.which(name)),
    *(["apt-get install fluid-soundfont-gm"] if not Path(SOUNDFONT).exists() else []),
]
if MISSING:
    pytest.skip(f"songs cannot be made here: {'; '.join(MISSING)}", allow_module_level=True)

import soundfile  # noqa: E402
from scipy import signal as dsp  # noqa: E402

from engine.training.songs import demo, voices  # noqa: E402
from engine.training.songs.backing import Part, drum_bar, render  # noqa: E402
from engine.training.songs.corpus import RATE  # noqa: E402
from engine.training.songs.excerpt import excerpt  # noqa: E402
from engine.training.songs.harmony import MAJOR, Harmony  # noqa: E402
from engine.training.songs.song import Song, make_song  # noqa: E402
from engine.training.songs.voices import SILENCE, MissingEngineError, Speaker, Voice  # noqa: E402

SEED = 1000


@pytest.fixture(scope="module")
def song() -> Song:
    return make_song(SEED)


def test_the_same_seed_makes_the_same_song(song):
    make_song(SEED + 1)  # what came between must not matter
    again = make_song(SEED)
    assert again.truth == song.truth
    np.testing.assert_array_equal(again.voice, song.voice)
    np.testing.assert_array_equal(again.backing, song.backing)


def test_other_seeds_make_other_songs(song):
    other = make_song(SEED + 2)
    assert other.truth.notes != song.truth.notes
    assert other.voice.shape != song.voice.shape or not np.array_equal(other.voice, song.voice)


def test_a_song_is_well_formed(song):
    truth, mixture = song.truth, song.voice + song.backing
    assert song.voice.shape == song.backing.shape == (1, round(truth.duration * RATE))
    assert 25 <= truth.duration <= 60
    assert np.abs(mixture).max() <= 0.9001
    for phone, after in itertools.pairwise(truth.phones):
        assert 0 <= phone.start < phone.end <= after.start + 1e-6
    assert {phone.label for phone in truth.phones}.isdisjoint({SILENCE, ""})
    for phrase, after in itertools.pairwise(truth.phrases):
        assert after.start - phrase.end > 0.2
    assert truth.phrases[0].start > 1.5
    silent = np.ones(song.voice.shape[1], bool)
    for phone in truth.phones:
        silent[round((phone.start - 0.1) * RATE) : round((phone.end + 2.2) * RATE)] = False
    assert np.abs(song.voice[0][silent]).max() < 1e-3


def test_stereo_has_two_channels():
    stereo = make_song(SEED + 1, 24000, stereo=True)
    assert stereo.voice.shape == stereo.backing.shape == (2, round(stereo.truth.duration * 24000))


HARMONY = Harmony(500_000, 60, MAJOR, (0, 4, 5, 3), metre=4, swing=0.0)


def onset_near(wave: np.ndarray, rate: int, at: float) -> float:
    """Seconds from `at` to where sound below 150 Hz first rises; nan when it does not."""
    low = np.abs(dsp.sosfilt(dsp.butter(2, 150, fs=rate, output="sos"), wave))
    begin = int((at - 0.03) * rate)
    near = low[max(begin, 0) : begin + int(0.09 * rate)]
    loud = np.flatnonzero(near > 0.1 * low.max())
    return (loud[0] + max(begin, 0)) / rate - at if len(loud) else float("nan")


def test_kicks_of_the_band_are_on_the_beats():
    part = Part(HARMONY, np.random.default_rng(1))
    for bar in range(4):
        drum_bar(part, bar, 3, 0.5, np.random.default_rng(0))  # style 3: a kick on every beat
    wave = render(part, 9 * 16000, 16000).mean(0)
    errors = [onset_near(wave, 16000, k * HARMONY.beat) for k in range(1, 16)]
    assert np.nanmax(np.abs(errors)) < 0.015
    assert np.isfinite(errors).sum() >= 14


def test_what_is_missing_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingEngineError, match="apt-get install flite"):
        voices.flite("hello", "slt", 1.0, None)
    with pytest.raises(MissingEngineError, match="apt-get install fluidsynth"):
        render(Part(HARMONY, np.random.default_rng(0)), 16000, 16000)


def test_unknown_voices_and_splits_are_refused():
    with pytest.raises(ValueError, match="xx-nowhere"):
        Speaker(Voice("espeak", "xx-nowhere", "xx")).say("hello", 1.0, 50, lively=False)
    with pytest.raises(ValueError, match="held-out"):
        make_song(1, split="test")


def test_an_excerpt_keeps_time(song):
    middle = song.truth.phrases[1]
    start = float(song.truth.phrases[0].end) + 0.05
    piece = excerpt(song, start, float(middle.end) + 0.05 - start)
    assert [p.label for p in piece.truth.phones if p.label != BREATH] == [
        p.label for p in song.truth.phones if middle.start <= p.start < middle.end
    ]
    offset = round(start * RATE)
    np.testing.assert_array_equal(piece.voice[0, :100], song.voice[0, offset : offset + 100])
    with pytest.raises(ValueError, match="in two"):
        excerpt(song, (middle.start + middle.end) / 2 + 0.001, 1.0)


@pytest.mark.parametrize("name", ["held_out_1", "held_out_2"])
def test_recordings_for_tests_are_of_held_out_voices(name):
    path = ROOT / "tests" / "data" / name
    truth = load_truth(path.with_suffix(".json"))
    info = soundfile.info(path.with_suffix(".flac"))
    assert (info.samplerate, info.channels) == (16000, 2)
    assert info.duration == pytest.approx(truth.duration, abs=1e-3)
    assert path.with_suffix(".flac").stat().st_size < 500_000
    timbre = truth.voice.split(":")[1].split("+")[-1]
    assert timbre in (*voices.FLITE_HELD_OUT, *voices.LOW_HELD_OUT, *voices.HIGH_HELD_OUT)


def test_the_demos_lyrics_file_is_made_of_its_truth():
    folder = ROOT / "streaming" / "demo"
    words = demo.timed_words(load_truth(folder / "demo.json"))
    assert words == (folder / "demo.lrc").read_text(encoding="utf-8")


def test_the_demo_song_is_small_and_has_a_break():
    folder = ROOT / "streaming" / "demo"
    truth = load_truth(folder / "demo.json")
    info = soundfile.info(folder / "demo.ogg")
    assert (info.samplerate, info.channels) == (48000, 2)
    assert info.duration > 35
    assert info.duration == pytest.approx(truth.duration, abs=0.05)
    assert (folder / "demo.ogg").stat().st_size < 1_000_000
    rests = [b.start - a.end for a, b in itertools.pairwise(truth.phrases)]
    assert 2 < truth.phrases[0].start < 4
    assert max(rests) > 3
