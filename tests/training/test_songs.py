"""Made songs: the truth says what is heard, and no song depends on what was made before it."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.training.truth import BREATH, Note, Phone, load_truth

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("mido", "pyworld", "soundfile", "soxr")
PROGRAMS = {"fluidsynth": "fluidsynth", "flite": "flite", "espeak-ng": "espeak-ng"}
SOUNDFONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
MISSING = [
    *(f"pip install {name}" for name in MODULES if importlib.util.find_spec(name) is None),
    *(f"apt-get install {package}" for name, package in PROGRAMS.items() if not shutil.which(name)),
    *(["apt-get install fluid-soundfont-gm"] if not Path(SOUNDFONT).exists() else []),
]
if MISSING:
    pytest.skip(f"songs cannot be made here: {'; '.join(MISSING)}", allow_module_level=True)

import pyworld  # noqa: E402
import soundfile  # noqa: E402
from scipy import signal as dsp  # noqa: E402

from engine.training.songs import voices  # noqa: E402
from engine.training.songs.backing import Part, drum_bar, render  # noqa: E402
from engine.training.songs.corpus import RATE, write_song  # noqa: E402
from engine.training.songs.excerpt import excerpt  # noqa: E402
from engine.training.songs.harmony import MAJOR, Harmony, compose  # noqa: E402
from engine.training.songs.melody import RHYTHMS, Manner, write_phrase  # noqa: E402
from engine.training.songs.singing import (  # noqa: E402
    UNVOICED,
    VOWELS,
    Singer,
    is_vowel,
    place,
    sing,
    syllabify,
)
from engine.training.songs.song import Song, make_song  # noqa: E402
from engine.training.songs.vocals import choose_cast  # noqa: E402
from engine.training.songs.voices import SILENCE, MissingEngineError, Speaker, Voice  # noqa: E402

SINGER = Singer(
    warp=1.0,
    vibrato_rate=5.5,
    vibrato_depth=40,
    glide=0.035,
    breathiness=0,
    ring=1,
    tilt=0,
    scoop=0,
)
SEED = 1000
SONORANTS = VOWELS | set("lmnɹɾwj")


@pytest.fixture(scope="module")
def song() -> Song:
    return make_song(SEED)


@pytest.fixture(scope="module", params=["flite:slt", "espeak:en-us+m3", "espeak:it+f5"])
def sung(request):
    """A line on a rising scale of 0.45 s notes, the last held: what is sung and its score."""
    engine, name = request.param.split(":")
    text = (
        "la casa tace sotto la fata"
        if name.startswith("it")
        else "take a pass to see the city stay"
    )
    speaker = Speaker(Voice(engine, name, "en-us"))
    speech = speaker.say(text, 1.0, 45, lively=False)
    count = len(syllabify(speech.phones))
    score = [
        (Note(1 + 0.45 * k, 1.43 + 0.45 * k + (k == count - 1), 55.0 + k % 8),)
        for k in range(count)
    ]
    return sing(np.random.default_rng(3), speech, score, SINGER), score


def heard_pitch(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in MIDI, nan where none, and its times in seconds, by WORLD's own tracker."""
    wave = np.ascontiguousarray(wave, np.float64)
    pitch, times = pyworld.dio(wave, rate, f0_floor=60, f0_ceil=900, frame_period=5.0)
    pitch = pyworld.stonemask(wave, pitch, times, rate)
    return np.where(pitch > 0, 69 + 12 * np.log2(np.maximum(pitch, 1) / 440), np.nan), times


def centre_errors(notes, wave: np.ndarray, rate: int, start: float) -> np.ndarray:
    """Cents between each note of 0.3 s and more and what is heard in its middle."""
    pitch, times = heard_pitch(wave, rate)
    errors = []
    for note in notes:
        length = note.end - note.start
        at = times + start - note.start
        inside = (at > 0.3 * length) & (at < 0.8 * length) & np.isfinite(pitch)
        if length >= 0.3 and inside.sum() > 6:
            errors.append(100 * (np.median(pitch[inside]) - note.midi))
    return np.array(errors)


def test_every_note_is_sung_in_tune(sung):
    line, score = sung
    errors = centre_errors([n for notes in score for n in notes], line.wave, line.rate, line.start)
    assert len(errors) >= 0.8 * len(score)
    assert np.abs(errors).max() < 30


def test_notes_of_a_whole_song_are_in_tune(song):
    errors = centre_errors(song.truth.notes, song.voice[0], song.rate, 0.0)
    assert len(errors) > 15
    assert np.percentile(np.abs(errors), 90) < 30


def test_vowels_begin_when_the_truth_says(sung):
    """After an unvoiced consonant, sound below 1 kHz rises within 20 ms of the vowel."""
    line, _ = sung
    low = dsp.sosfilt(dsp.butter(4, [150, 1000], "bandpass", fs=line.rate, output="sos"), line.wave)
    window = int(0.008 * line.rate)
    level = np.sqrt(np.convolve(low**2, np.ones(window) / window, mode="same"))
    errors = []
    for before, phone in itertools.pairwise(line.phones):
        if before.label[0] in UNVOICED and is_vowel(phone.label):
            at = int((phone.start - line.start) * line.rate)
            near = level[at - int(0.06 * line.rate) : at + int(0.08 * line.rate)]
            rise = int(np.argmax(near > 0.4 * near.max()))
            errors.append(rise / line.rate - 0.06)
    assert len(errors) >= 4
    assert abs(np.median(errors)) < 0.02
    assert np.mean(np.abs(errors) < 0.02) >= 0.75


def test_held_vowels_are_tones_not_noise(sung):
    """Each period of the held last vowel is like the next: correlation of 40 ms with one lag on."""
    line, score = sung
    last = score[-1][-1]
    lag = line.rate / (440 * 2 ** ((last.midi - 69) / 12))
    likeness = []
    for start in np.arange(last.start + 0.2, last.start + 0.9, 0.04):
        begin = int((start - line.start) * line.rate)
        wave = line.wave[begin : begin + int(0.04 * line.rate) + 2 * int(lag)]
        lags = range(int(0.96 * lag), int(1.04 * lag) + 2)
        likeness.append(max(np.corrcoef(wave[:-k], wave[k:])[0, 1] for k in lags))
    assert np.median(likeness) > 0.92
    assert min(likeness) > 0.85


def test_nothing_clicks_where_voiced_phones_join(sung):
    """The steepest step of the wave is not at a join of two sonorants but around it."""
    line, _ = sung
    step = np.abs(np.diff(line.wave))
    joins = [
        round((b.start - line.start) * line.rate)
        for a, b in itertools.pairwise(line.phones)
        if {a.label[0], b.label[0]} <= SONORANTS and abs(a.end - b.start) < 1e-6
    ]
    near, far = int(0.002 * line.rate), int(0.03 * line.rate)
    for at in joins:
        around = np.concatenate([step[at - far : at - near], step[at + near : at + far]])
        assert step[at - near : at + near].max() <= 1.5 * around.max()


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


def test_held_out_voices_and_languages_never_sing_in_training():
    train, held_out = (
        [choose_cast(np.random.default_rng(k), split).voice for k in range(600)]
        for split in (voices.TRAIN, voices.HELD_OUT)
    )

    def timbres(cast):
        return {(voice.engine, voice.name.split("+")[-1]) for voice in cast}

    assert not timbres(train) & timbres(held_out)
    assert {v.language for v in train} & {v.language for v in held_out} == {"en-us"}
    assert len(timbres(train)) > 40


def test_dense_and_swung_phrases_leave_time_for_every_phone():
    phones = tuple(
        Phone(label, 0.1 * k, 0.1 * k + 0.1) for k, label in enumerate("strɪŋtukalstimpa")
    )
    syllables = syllabify(phones)
    assert [phones[s.nucleus].label for s in syllables] == list("ɪuaia")
    assert all(phones[i].label != "ŋ" for s in syllables for i in s.onset)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        harmony = compose(rng, 30)
        manner = Manner(str(rng.choice(list(RHYTHMS))), 0.97, 60, 1.0, 0.3)
        score = write_phrase(rng, harmony, 4.0, len(syllables), 9.0, manner)
        segments = place(phones, syllables[: len(score)], score)
        for segment, after in itertools.pairwise(segments):
            assert segment.start < segment.end <= after.start + 1e-9
        nuclei = [segment for segment in segments if segment.nucleus]
        assert [n.start for n in nuclei] == [notes[0].start for notes in score]


def test_too_few_syllables_for_a_score_are_refused():
    speech = Speaker(Voice("espeak", "en-us+m3", "en-us")).say("hello", 1.0, 50, lively=False)
    score = [(Note(k, k + 0.9, 60.0),) for k in range(5)]
    with pytest.raises(ValueError, match="5 notes for 2 syllables"):
        sing(np.random.default_rng(0), speech, score, SINGER)


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


def test_a_kept_song_is_not_made_again(tmp_path, song):
    seconds = write_song(SEED, tmp_path, voices.TRAIN)
    flac, truth = tmp_path / "song_001000.flac", tmp_path / "song_001000.json"
    both, rate = soundfile.read(flac, always_2d=True)
    assert (rate, both.shape) == (RATE, (song.voice.shape[1], 2))
    assert np.abs(both.sum(1)).max() <= 0.9001
    np.testing.assert_allclose(both.T, np.concatenate([song.voice, song.backing]), atol=1 / 32000)
    assert load_truth(truth) == song.truth
    before = flac.stat().st_mtime_ns
    assert write_song(SEED, tmp_path, voices.TRAIN) == pytest.approx(seconds)
    assert flac.stat().st_mtime_ns == before


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    command = [sys.executable, "-m", "engine.training.songs", "--kind", "backings", "--jobs", "1"]
    command += ["--out", str(tmp_path), "--seed", "2", "--hours"]
    first = subprocess.Popen([*command, "1"], cwd=ROOT)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("*.flac"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    children = workers.read_text().split() if workers.exists() else []
    first.kill()
    first.wait()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlived the run"
        time.sleep(0.05)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.flac")}
    assert len(kept) >= 2
    hours = (len(kept) + 1.5) * 11 / 3600
    subprocess.run([*command, f"{hours:.5f}"], cwd=ROOT, check=True, capture_output=True)
    assert all(path.stat().st_mtime_ns == made for path, made in kept.items())
    pieces = list(tmp_path.glob("*.flac"))
    assert len(pieces) > len(kept)
    assert all(10 <= soundfile.info(path).duration <= 12 for path in pieces)


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
