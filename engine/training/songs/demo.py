"""The song that comes with Cantar: `python -m engine.training.songs.demo streaming/demo`.

Words, tune and arrangement were written for this project; flite's voice slt sings, 48 kHz stereo.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

from engine.motion.visemes import BREATH, Phone, is_vowel
from engine.training.songs.backing import Part, Section, bass, comp, drum_bar, render
from engine.training.songs.harmony import MAJOR, Harmony
from engine.training.songs.production import level, room
from engine.training.songs.singing import FRAME, Singer, Syllables, breathe, sing
from engine.training.songs.song import Song, finish, tell
from engine.training.songs.vocals import Vocals
from engine.training.songs.voices import F64, Speaker, Voice
from engine.training.truth import Note, Phrase, Truth, save_truth

Rng = np.random.Generator

RATE = 48000
SEED = 1
VOICE = Voice("flite", "slt", "en-us")
SINGER = Singer(
    warp=1.03,
    vibrato_rate=5.6,
    vibrato_depth=38,
    glide=0.03,
    breathiness=0.02,
    ring=0.9,
    tilt=0.6,
    scoop=0.25,
)
# B flat major, 100 bpm; a bar each: intro, verse, chorus, break, chorus, end.
HARMONY = Harmony(
    600_000, 58, MAJOR, (0, 0, 4, 5, 3, 3, 4, 0, 5, 3, 4, 3, 4, 5, 3, 0, 0), metre=4, swing=0.0
)
INTRO, VERSE, CHORUS, BREAK, LAST, END = (
    Section(0, 1, 0.3),
    Section(1, 5, 0.35),
    Section(5, 9, 0.75),
    Section(9, 11, 0.9),
    Section(11, 15, 1.0),
    Section(15, 17, 0.6),
)
SECTIONS = (INTRO, VERSE, CHORUS, BREAK, LAST, END)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the song, from `beat`; text: with | between the syllables of a word; tune:
    `degree:beats` a syllable, a melisma joined by +."""

    text: str
    beat: float
    tune: str
    decibels: float


LINES = (
    Line(
        "When the lights go down on the old town square",
        4.5,
        "2:.5 2:.5 4:1 4:.5 2:1 1:.5 1:.5 2:1 1:.5 -1:1",
        -4,
    ),
    Line(
        "I can hear a song in the eve|ning air",
        12.5,
        "2:.5 2:.5 5:1 5:.5 4:1 3:.5 3:.5 5:1 4:.5 5:1",
        -3,
    ),
    Line(
        "Sing it out, sing it loud, let the morn|ing in",
        20,
        "5:.75 5:.25 7:1 5:.75 7:.25 8:1 8:.5 8:.5 8:1 7:.5 6:1",
        0,
    ),
    Line(
        "Ev|er|y end is a place where we be|gin",
        28,
        "4:.5 5:.25 6:.25 7:1 7:.5 6:.5 4:1 5:.5 6:.5 6:.5 7:2",
        0,
    ),
    Line(
        "Sing it out, sing it loud, let it car|ry me",
        44,
        "5:.75 5:.25 7:1 7:.75 7:.25 8:1 8:.5 8:.5 9:1 8:.5 8:1",
        1,
    ),
    Line(
        "O|ver the roof|tops and in|to the sky",
        52,
        "5:1 6:.5 7:.5 8:1 7:1 7:.5 8:.5 8:.5 9:.5 10:2+9:3.5",
        2,
    ),
)
# The break's tune: degree and beats from its first beat.
SOLO = "7:1 8:.5 9:1 8:.5 7:1 8:1.5 6:.5 8:1.5 "


def _score(line: Line) -> Syllables:
    """Notes of each syllable, seconds; a line's last note is a little shorter than written."""
    at, score = line.beat, []
    for syllable in line.tune.split():
        notes = []
        for note in syllable.split("+"):
            degree, beats = note.split(":")
            start, end = HARMONY.at(at), HARMONY.at(at + float(beats))
            notes.append(Note(start, end, float(HARMONY.pitch(int(degree)))))
            at += float(beats)
        score.append(tuple(notes))
    *others, last = score[-1]
    score[-1] = (*others, replace(last, end=last.end - 0.08))
    return score


def _brighten(wave: F64) -> F64:
    """Fill the octave above flite's 8 kHz with what distortion makes of the one below it."""
    high = sosfilt(butter(4, [3500, 7500], "bandpass", fs=RATE, output="sos"), wave)
    made = sosfilt(butter(4, 7300, "highpass", fs=RATE, output="sos"), np.abs(high))
    return wave + 1.8 * made


def _sing(rng: Rng, samples: int) -> Vocals:
    """All lines, each breathed for, the louder ones softly doubled."""
    vocals = Vocals(np.zeros(samples), RATE, np.zeros(int(samples / RATE / FRAME) + 1), [], [], [])
    speaker = Speaker(VOICE)
    for line in LINES:
        score = _score(line)
        speech = speaker.say(line.text.replace("|", ""), 0.95, 50, lively=False)
        sung = sing(rng, speech, score, SINGER)
        wave = _brighten(soxr.resample(sung.wave, sung.rate, RATE))
        gain = 0.1 * 10 ** (line.decibels / 20) / np.sqrt((wave**2).mean())
        vocals.add(wave, sung.start, gain)
        if line.decibels >= 0:
            again = replace(SINGER, warp=0.98, vibrato_depth=15)
            second = sing(rng, speech, score, again)
            track = soxr.resample(second.wave, second.rate, RATE)
            vocals.add(track, second.start + 0.012, 0.22 * gain)
        first = sung.phones[0].start
        breath = breathe(rng, 0.3, RATE)
        vocals.add(breath, first - 0.36, 0.02)
        vocals.phones += [Phone(BREATH, first - 0.36, first - 0.06), *sung.phones]
        vocals.notes += [note for notes in score for note in notes]
        vocals.phrases.append(Phrase(first, sung.phones[-1].end))
        at = round(sung.start / FRAME)
        vocals.pitch[at : at + len(sung.pitch)] = sung.pitch
    return vocals


def _band(rng: Rng) -> Part:
    """Piano, bass, strings and drums; a violin plays the break."""
    part = Part(HARMONY, rng)
    for channel, program, pan, volume in (
        (0, 0, 54, 100),
        (1, 33, 64, 100),
        (2, 48, 74, 80),
        (3, 40, 58, 96),
        (4, 25, 90, 78),
    ):
        part.program(channel, program, pan, volume)
    for section in SECTIONS:
        full = section.force > 0.6
        for bar in range(section.first, section.end):
            chord = HARMONY.chord(bar)
            downbeat = bar * HARMONY.metre
            if bar == HARMONY.bars - 1:
                for pitch in (*chord, chord[0] - 24):
                    part.note(0, downbeat, 4, pitch, 70)
                continue
            comp(part, bar, 1, chord, section.force)
            if section is not INTRO:
                bass(part, bar, 3 if full else 0, section.force)
            if full or section is END:
                for pitch in chord:
                    part.note(2, downbeat, 3.95, pitch, 62)
                for eighth in range(8):
                    for pitch in chord:
                        part.note(4, downbeat + eighth / 2, 0.4, pitch, 62 - 10 * (eighth % 2))
            if section in (CHORUS, BREAK, LAST):
                drum_bar(part, bar, 0, 0.55, rng)
    at = float(BREAK.first * HARMONY.metre)
    for note in SOLO.split():
        degree, beats = note.split(":")
        part.note(3, at, float(beats) * 0.95, HARMONY.pitch(int(degree) + 7), 88, exact=True)
        at += float(beats)
    return part


def make_demo() -> Song:
    """The demo song, about 41 s: 48 kHz stereo."""
    rng = np.random.default_rng(SEED)
    samples = int((HARMONY.duration + 0.6) * RATE)
    vocals = _sing(rng, samples)
    voice = sosfilt(butter(2, 100, "highpass", fs=RATE, output="sos"), vocals.wave)
    voice = np.tanh(1.5 * voice) / 1.5
    voice = room(rng, np.stack([voice, voice]), RATE, 1.3, 0.16)
    backing = level(render(_band(rng), samples, RATE)) * 0.62
    fade = np.clip((samples - np.arange(samples)) / (0.8 * RATE), 0, 1)
    truth = tell(SEED, samples / RATE, vocals, HARMONY, VOICE, False)
    return finish(voice * fade, backing * fade, RATE, 0.89, truth, vocals.pitch)


def timed_words(truth: Truth) -> str:
    """The words as a lyrics file (enhanced LRC): every syllable at its first phone."""
    rows = ["[ti:The demo song]", f"[la:{VOICE.language}]"]
    for line, phrase in zip(LINES, truth.phrases, strict=True):
        phones = [p for p in truth.phones if phrase.start <= p.start < phrase.end]
        phones = [phone for phone in phones if phone.label != BREATH]
        vowels = [k for k, phone in enumerate(phones) if is_vowel(phone.label)]
        syllables = line.text.replace("|", " |").split()
        words = ""
        for syllable, vowel in zip(syllables, vowels, strict=True):
            at = _stamp(phones[vowel - _onset(syllable.lstrip("|").lower())].start)
            words += f"<{at}>{syllable[1:]}" if syllable[0] == "|" else f" <{at}>{syllable}"
        rows.append(f"[{_stamp(phones[0].start)}]{words} <{_stamp(phrase.end)}>")
    return "\n".join(rows) + "\n"


def _onset(syllable: str) -> int:
    """How many consonants are heard before its vowel, for the spellings above."""
    return len(re.findall("th|wh|(?<=q)u|[^aeiouy]", re.split("(?<!q)[aeiouy]", syllable)[0]))


def _stamp(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.training.songs.demo", description=__doc__)
    parser.add_argument("folder", type=Path, help="where demo.ogg, demo.json and demo.lrc go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    song = make_demo()
    mixture = (song.voice + song.backing).T
    with soundfile.SoundFile(
        folder / "demo.ogg", "w", RATE, 2, "VORBIS", format="OGG", compression_level=0.55
    ) as file:
        for start in range(0, len(mixture), RATE):  # libsndfile overflows its stack on long writes
            file.write(mixture[start : start + RATE])
    save_truth(song.truth, folder / "demo.json")
    (folder / "demo.lrc").write_text(timed_words(song.truth), encoding="utf-8")


if __name__ == "__main__":
    main()
