"""The voice track of a song: who sings, what and when, spoken stretches between.

Everything that is true of the track is written down while it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import soxr

from engine.training.songs import voices
from engine.training.songs.backing import Section
from engine.training.songs.harmony import Harmony
from engine.training.songs.lyrics import write_line
from engine.training.songs.melody import Manner, Syllables, write_phrase
from engine.training.songs.singing import FRAME, Singer, breathe, sing, syllabify
from engine.training.songs.voices import F64, SILENCE, Speaker, Speech, Voice
from engine.training.truth import BREATH, Note, Phone, Phrase

Rng = np.random.Generator

LANGUAGES = {
    voices.TRAIN: {
        "en-us": 0.40, "es": 0.10, "it": 0.10, "de": 0.10, "fr": 0.10, "ja": 0.10,
        "cmn-latn-pinyin": 0.10,
    },
    voices.HELD_OUT: {"en-us": 0.30, "pt-br": 0.40, "ko": 0.30},
}  # fmt: skip
FLITE_SHARE = 0.25
VOCALISE_SHARE = 0.05
DOUBLED_SHARE = 0.35  # of loud phrases
VOICE_LEVEL = 0.1  # RMS of a phrase before dynamics


@dataclass(frozen=True, slots=True)
class Cast:
    """Who sings, how, about which MIDI pitch, in which gait."""

    voice: Voice
    singer: Singer
    middle: float
    speed: float
    pitch: int
    rhythms: tuple[str, ...]
    legato: float


@dataclass(slots=True)
class Vocals:
    """A voice track being sung: mono wave [n] and what is true of it."""

    wave: F64
    rate: int
    pitch: F64
    phones: list[Phone]
    notes: list[Note]
    phrases: list[Phrase]

    def add(self, wave: F64, start: float, gain: float = 1.0) -> None:
        """Add sound at `rate` from `start` seconds, cut at the track's ends."""
        at = round(start * self.rate)
        skip = max(0, -at)
        count = min(len(wave) - skip, len(self.wave) - at - skip)
        if count > 0:
            self.wave[at + skip : at + skip + count] += gain * wave[skip : skip + count]


def choose_cast(rng: Rng, split: str) -> Cast:
    """Draw a singer; held-out voices and languages never sing in the training split."""
    held_out = split == voices.HELD_OUT
    register = str(rng.choice(["low", "high", "child"], p=[0.45, 0.45, 0.10]))
    if rng.random() < FLITE_SHARE:
        name = str(rng.choice(voices.FLITE_HELD_OUT if held_out else voices.FLITE_TRAIN))
        voice = Voice("flite", name, "en-us")
        woman = name == "slt"
        warp = {
            "low": rng.uniform(0.84, 0.92) if woman else rng.uniform(0.88, 1.02),
            "high": rng.uniform(0.94, 1.08) if woman else rng.uniform(1.06, 1.18),
            "child": rng.uniform(1.12, 1.24) if woman else rng.uniform(1.2, 1.32),
        }[register]
    else:
        table = LANGUAGES[split]
        # flite speaks English only: espeak's share of it makes the whole table come out
        english = (table["en-us"] - FLITE_SHARE) / (1 - FLITE_SHARE)
        chances = [
            max(english, 0.05) if name == "en-us" else share for name, share in table.items()
        ]
        language = str(rng.choice(list(table), p=np.array(chances) / sum(chances)))
        low, high = (
            (voices.LOW_HELD_OUT, voices.HIGH_HELD_OUT)
            if held_out
            else (voices.LOW_TRAIN, voices.HIGH_TRAIN)
        )
        variant = str(rng.choice(low if register == "low" else high))
        voice = Voice("espeak", f"{language}+{variant}", language)
        warp = {
            "low": rng.uniform(0.86, 1.02),
            "high": rng.uniform(0.98, 1.14),
            "child": rng.uniform(1.12, 1.26),
        }[register]
    middle = {
        "low": rng.uniform(47, 57),
        "high": rng.uniform(58, 68),
        "child": rng.uniform(63, 71),
    }[register]
    singer = Singer(
        warp=float(warp),
        vibrato_rate=float(rng.uniform(4.6, 6.8)),
        vibrato_depth=float(rng.uniform(0, 90)),
        glide=float(rng.uniform(0.022, 0.05)),
        breathiness=float(rng.choice([0, 0, 0.05, 0.12, 0.25])),
        ring=float(rng.uniform(0.2, 2.5)),
        tilt=float(rng.normal(0, 1.5)),
        scoop=float(rng.choice([0, 0.15, 0.5])),
    )
    gaits = (("normal",), ("normal", "slow"), ("dense", "normal"), ("dense",), ("slow",))
    return Cast(
        voice=voice,
        singer=singer,
        middle=float(middle),
        speed=float(rng.uniform(0.8, 1.15)),
        pitch=int(rng.integers(25, 60)),
        rhythms=gaits[rng.choice(5, p=[0.35, 0.2, 0.25, 0.12, 0.08])],
        legato=float(rng.choice([0.97, 0.92, 0.85, 0.55], p=[0.4, 0.3, 0.15, 0.15])),
    )


def rms(wave: F64) -> float:
    loud = np.abs(wave) > 1e-3 * (np.abs(wave).max() + 1e-12)
    return float(np.sqrt((wave[loud] ** 2).mean())) if loud.any() else 1.0


def _dynamics(rng: Rng, count: int, force: float) -> F64:
    """Amplitude gain [count] along a phrase: louder with force, with swells and falls within."""
    knots = rng.normal(0, 2.0, 4) + np.linspace(-1, 1, 4) * rng.normal(0, 2.0)
    decibels = 7 * (force - 0.5) + np.interp(np.linspace(0, 3, count), np.arange(4), knots)
    return 10 ** (np.clip(decibels, -8, 8) / 20)


def _sing_line(
    rng: Rng, vocals: Vocals, speech: Speech, score: Syllables, cast: Cast, force: float
) -> float:
    """Sing one spoken line into the track; returns its end in seconds."""
    sung = sing(rng, speech, score, cast.singer)
    wave = soxr.resample(sung.wave, sung.rate, vocals.rate)
    wave *= VOICE_LEVEL / rms(wave) * _dynamics(rng, len(wave), force)
    vocals.add(wave, sung.start)
    at = round(sung.start / FRAME)
    count = min(len(sung.pitch), len(vocals.pitch) - at)
    vocals.pitch[at : at + count] = sung.pitch[:count]
    if force > 0.6 and rng.random() < DOUBLED_SHARE:
        _double(rng, speech, score, cast, vocals, wave)
    vocals.phones += sung.phones
    vocals.notes += [note for syllable in score for note in syllable]
    vocals.phrases.append(Phrase(sung.phones[0].start, sung.phones[-1].end))
    return sung.phones[-1].end


def _double(
    rng: Rng, speech: Speech, score: Syllables, cast: Cast, vocals: Vocals, wave: F64
) -> None:
    """Sing the line again a little apart, or a third above, under the first."""
    third = 0.0 if rng.random() < 0.65 else float(rng.choice([3, 4, -5]))
    late = rng.uniform(0.004, 0.022)
    again = [
        tuple(
            Note(n.start + late, n.end + late, n.midi + third + rng.normal(0, 0.06)) for n in notes
        )
        for notes in score
    ]
    singer = replace(cast.singer, warp=cast.singer.warp * rng.uniform(0.97, 1.03))
    sung = sing(rng, speech, again, singer)
    second = soxr.resample(sung.wave, sung.rate, vocals.rate)
    vocals.add(second, sung.start, rms(wave) / rms(second) * 10 ** (rng.uniform(-12, -4) / 20))


def _breathe(rng: Rng, vocals: Vocals, free_from: float, phrase_start: float) -> None:
    """Take a breath before a phrase if there is time since `free_from` seconds."""
    length = rng.uniform(0.18, 0.45)
    end = phrase_start - rng.uniform(0.03, 0.08)
    if end - length > free_from + 0.1 and rng.random() < 0.65:
        breath = breathe(rng, length, vocals.rate)
        vocals.add(breath, end - length, VOICE_LEVEL * 10 ** (rng.uniform(-16, -4) / 20))
        vocals.phones.append(Phone(BREATH, end - length, end))


def _force(sections: list[Section], harmony: Harmony, beats: float) -> float:
    bar = beats / harmony.metre
    return next((s.force for s in sections if s.first <= bar < s.end), sections[-1].force)


def _empty(samples: int, rate: int) -> Vocals:
    return Vocals(np.zeros(samples), rate, np.zeros(int(samples / rate / FRAME) + 1), [], [], [])


def sing_song(
    rng: Rng,
    speaker: Speaker,
    cast: Cast,
    harmony: Harmony,
    sections: list[Section],
    samples: int,
    rate: int,
) -> Vocals:
    """Phrases from the intro's end on, with rests of 0.5–4 s and now and then a long one."""
    vocals = _empty(samples, rate)
    vocalise = rng.random() < VOCALISE_SHARE
    beats, free_from, total = float(sections[0].end * harmony.metre), 0.0, harmony.duration
    while beats * harmony.beat < total - 3.0:
        force = _force(sections, harmony, beats)
        manner = Manner(
            rhythm=str(rng.choice(cast.rhythms)),
            legato=cast.legato,
            middle=cast.middle + (3 if force > 0.6 else 0),
            held=float(rng.uniform(0.8, 3.0) if rng.random() < 0.65 else rng.uniform(0.4, 0.8)),
            melisma=0.3,
        )
        text = write_line(rng, cast.voice.language, int(rng.integers(4, 15)), vocalise)
        speech = speaker.say(text, cast.speed, cast.pitch, lively=False)
        count = len(syllabify(speech.phones))
        longest = min(rng.uniform(2.5, 9.0), total - beats * harmony.beat - 0.6)
        if count >= 2:
            written = write_phrase(rng, harmony, beats, count, longest, manner)
            late = rng.normal(0, 0.01)
            score = [_shifted(notes, late + rng.normal(0, 0.006)) for notes in written]
            before = len(vocals.phones)
            end = _sing_line(rng, vocals, speech, score, cast, force)
            _breathe(rng, vocals, free_from, vocals.phones[before].start)
            free_from, beats = end, max(end / harmony.beat, beats + 1)
        rest = (
            rng.uniform(4, 8) if rng.random() < 0.15 else rng.uniform(0.5, 4) * rng.uniform(0.4, 1)
        )
        beats = np.ceil((beats + max(rest, 0.5) / harmony.beat) * 2) / 2
    return vocals


def _shifted(notes: tuple[Note, ...], by: float) -> tuple[Note, ...]:
    return tuple(Note(note.start + by, note.end + by, note.midi) for note in notes)


def speak_song(rng: Rng, speaker: Speaker, cast: Cast, samples: int, rate: int) -> Vocals:
    """Spoken sentences with pauses, as a singer talks between songs. No notes."""
    vocals = _empty(samples, rate)
    at, total = rng.uniform(0.5, 3.0), samples / rate
    while at < total - 2.5:
        text = " ".join(
            write_line(rng, cast.voice.language, int(rng.integers(4, 12)))
            for _ in range(rng.integers(1, 3))
        )
        speech = speaker.say(text, cast.speed * 1.15, cast.pitch, lively=True)
        wave = soxr.resample(speech.wave, speech.rate, rate)
        if at + len(wave) / rate > total - 0.3:
            break
        wave *= VOICE_LEVEL / rms(wave) * 10 ** (rng.uniform(-4, 4) / 20)
        vocals.add(wave, at)
        said = [p for p in speech.phones if p.label != SILENCE]
        vocals.phones += [Phone(p.label, p.start + at, p.end + at) for p in said]
        if said:
            vocals.phrases.append(Phrase(said[0].start + at, said[-1].end + at))
        at += len(wave) / rate + rng.uniform(0.3, 3.0)
    return vocals
