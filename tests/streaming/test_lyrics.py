"""Lyrics: times that never go back, words whole, files that are none, lips that are right."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import run_live
from engine.motion.visemes import BREATH, is_vowel
from engine.training.truth import load_truth
from streaming import lyrics
from streaming.lyrics import LONGEST_S, BadLyrics, Word, known_phones, read_lrc, timed
from streaming.ports import UserError

TWO = """\ufeff[ti:Two lines]
[offset:+20]
[00:12.00] <00:12.00> Row, <00:12.50> row <00:13.00>

[00:15.20] <00:15.20>Mer<00:15.60>ri<00:15.90>ly <00:16.40>
"""
PAIRS = st.lists(
    st.tuples(st.integers(50, 1000), st.sampled_from(["la", "oh", "fire"])), min_size=1
)
IPA = st.lists(st.sampled_from(["m", "a", "s", "t", "iː", "aɪ", "ŋ"]), min_size=1, max_size=8)


def stamp(ms: int) -> str:
    return f"{ms // 60_000:02d}:{ms % 60_000 / 1000:06.3f}"


def words(text: str) -> list[tuple[str, tuple[float, ...], float]]:
    return [
        (word.text, tuple(round(start, 3) for start in word.starts), round(word.end, 3))
        for word in read_lrc(text).words
    ]


# ---- laws ---------------------------------------------------------------------------------------


@given(st.integers(0, 3_000_000), PAIRS)
def test_what_is_written_is_read(begin, pairs):
    starts = begin + np.concatenate([[0], np.cumsum([length for length, _ in pairs])])
    line = " ".join(f"<{stamp(t)}> {text}" for t, (_, text) in zip(starts, pairs, strict=False))
    read = read_lrc(f"[{stamp(begin)}] {line} <{stamp(starts[-1])}>").words
    assert [word.text for word in read] == [text for _, text in pairs]
    np.testing.assert_allclose([word.starts[0] for word in read], starts[:-1] / 1000)
    np.testing.assert_allclose([word.end for word in read], starts[1:] / 1000)


@given(IPA, st.lists(st.floats(0, 5), min_size=1, max_size=4), st.floats(0.01, 3))
def test_a_words_sounds_fill_its_time_in_order(labels, starts, more):
    word = Word("word", tuple(sorted(starts)), max(starts) + more)
    phones = timed(word, labels)
    assert [phone.label for phone in phones] == labels
    assert phones[0].start >= word.starts[0] - 1e-9
    for phone, later in pairwise(phones):
        assert phone.start < phone.end
        assert phone.start <= later.start + 2e-3


@given(st.text(max_size=200))
def test_any_text_is_lyrics_or_says_why_not(text):
    try:
        read_lrc(text)
    except BadLyrics:
        return


# ---- examples -----------------------------------------------------------------------------------


def test_words_syllables_ends_and_the_offset():
    assert words(TWO) == [
        ("Row,", (11.98,), 12.48),
        ("row", (12.48,), 12.98),
        ("Merrily", (15.18, 15.58, 15.88), 16.38),
    ]


def test_the_first_word_may_have_the_lines_time_and_the_last_an_open_end():
    assert words("[00:01.0] Go <00:01.5>on\n[00:02.0] <00:02.0>now") == [
        ("Go", (1.0,), 1.5), ("on", (1.5,), 2.0), ("now", (2.0,), 2.0 + LONGEST_S),
    ]  # fmt: skip


def test_a_refrain_is_sung_again():
    text = "[00:10.0][00:30.0] la la\n[00:20.0] <00:20.0>oh"
    read = read_lrc(text)
    assert read.lines == 3
    assert [word.text for word in read.words] == ["oh"]


def test_syllables_begin_when_the_file_says():
    phones = timed(Word("Merrily", (1.0, 2.0, 3.0), 4.0), ["m", "ˈɛ", "ɹ", "i", "l", "i"])
    at = {phone.label + str(n): phone.start for n, phone in enumerate(phones)}
    assert (at["m0"], at["ɹ2"], at["l4"]) == (1.0, 2.0, 3.0)
    assert all(p.end - p.start > 0.5 for p in phones if is_vowel(p.label))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_espeak_says_how_words_sound(tmp_path):
    path = tmp_path / "song.lrc"
    path.write_text(TWO, encoding="utf-8")
    labels = "".join(phone.label for phone in known_phones(path))
    assert labels.startswith("ɹˈoʊ")
    assert labels.endswith("li")
    assert lyrics.espeak(["fire", "-", "l'amour"], "fr")[1] == ""
    for odd in ("--help", "a\0b", ""):
        with pytest.raises(LookupError, match="expected a language"):
            lyrics.espeak(["la"], odd)
    with pytest.raises(LookupError, match="voice"):
        lyrics.espeak(["la"], "nonsense")


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line with a time"),
        ("[ti:only a title]", "no line with a time"),
        ("Row, row", "line 1: expected"),
        ("[00:10.0] <00:10.0>b\n[00:05.0] <00:05.0>a", "line 2: its time is before"),
        ("[00:10.0] <00:11.0>b <00:10.5>a", "line 1: the times of its words go backwards"),
        ("[offset:soon]\n[00:10.0] <00:10.0>b", "expected milliseconds"),
    ],
)
def test_bad_lyrics_say_where(text, says):
    with pytest.raises(BadLyrics, match=says):
        read_lrc(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[00:10.0] la la", "lines, not words"),
        ("[00:10.0] <00:11.0>b <00:10.5>a", "go backwards"),
        (TWO, "espeak-ng is not installed"),
    ],
)
def test_lips_follow_the_sound_where_words_cannot_help(text, says, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(lyrics.shutil, "which", lambda name: None)
    path = tmp_path / "song.lrc"
    path.write_text(text, encoding="utf-8")
    assert known_phones(path) == []
    (line,) = caplog.messages
    assert says in line
    assert line.endswith("lips follow the sound alone")


def test_no_file_no_text_and_too_much(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        known_phones(tmp_path / "missing.lrc")
    path = tmp_path / "song.lrc"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        known_phones(path)
    path.write_bytes(bytes(lyrics.MOST_BYTES + 1))
    with pytest.raises(UserError, match="1 MB"):
        known_phones(path)


def test_a_microphone_alone_has_no_beginning(capsys):
    assert run_live.main(["--input", "mic", "--lyrics", "song.lrc", "--output", "out.jsonl"]) == 2
    assert "begins with the show" in capsys.readouterr().err


def test_the_demos_words_stand_where_they_are_sung():
    folder = lyrics_folder()
    read = read_lrc((folder / "demo.lrc").read_text(encoding="utf-8"))
    truth = load_truth(folder / "demo.json")
    assert read.lines == len(truth.phrases) == 6
    sung = [phone for phone in truth.phones if phone.label != BREATH]
    vowels = [phone.start for phone in sung if is_vowel(phone.label)]
    starts = [start for word in read.words for start in word.starts]
    assert len(starts) == len(vowels)
    early = np.array(vowels) - starts
    assert early.min() > -0.011
    assert early.max() < 0.35


def lyrics_folder() -> Path:
    return Path(lyrics.__file__).parent / "demo"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_program_sings_known_words(tmp_path: Path):
    path, heard, known = (tmp_path / name for name in ("song.lrc", "heard.jsonl", "known.jsonl"))
    path.write_text("[00:00.5] <00:00.5> mama <00:01.5> mama <00:02.5>", encoding="utf-8")
    common = ["--seconds", "3", "--input", "demo", "--output"]
    assert run_live.main([*common, str(heard)]) == 0
    assert run_live.main([*common, str(known), "--lyrics", str(path)]) == 0
    lines = [file.read_text().splitlines() for file in (heard, known)]
    assert len(lines[0]) == len(lines[1])
    differ = [n for n, (a, b) in enumerate(zip(*lines, strict=True)) if a != b]
    assert differ
    assert min(differ) >= 10
    assert max(differ) <= 1 + 80
