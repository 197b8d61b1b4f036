"""The voice track of a song: who sings, what and when, spoken stretches between.

Everything that is true of the track is written down while it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from engine.motion.visemes import BREATH, Phone
from engine.training.songs import production as desk
from engine.training.songs import voices
from engine.training.songs.backing import Section
from engine.training.songs.harmony import Harmony
from engine.training.songs.lyrics import write_line
from engine.training.songs.melody import Manner, Syllables, write_phrase
from engine.training.songs.singing import (
    FRAME,
    Singer,
    analyse,
    breathe,
    respeak,
    sing,
    syllabify,
)
from engine.training.songs.voices import F64, SILENCE, Speaker, Speech, Voice
from engine.training.truth import Note, Phrase

Rng = np.random.Generator

# Shares of espeak-ng's songs; a recorded voice has a language of its own.
LANGUAGES = {
    voices.TRAIN: {
        "en-us": 0.29, "es": 0.10, "it": 0.06, "de": 0.08, "fr": 0.08, "ja": 0.08,
        "cmn-latn-pinyin": 0.08, "cs": 0.03, "ru": 0.04, "nl": 0.04, "pl": 0.04,
        "tr": 0.04, "id": 0.04,
    },
    voices.HELD_OUT: {"en-us": 0.25, "pt-br": 0.25, "ko": 0.15, "fi": 0.10, "ca": 0.10, "sv": 0.15},
}  # fmt: skip
RECORDED_SHARE = 0.5  # of songs, sung by voices that were cut or learned from people's
VOCALISE_SHARE = 0.05
DOUBLED_SHARE = 0.35  # of loud phrases
SPOKEN_SHARE = 0.12  # of songs in which a line is spoken now and then
VOICE_LEVEL = 0.1  # RMS of a phrase before dynamics


@dataclass(frozen=True, slots=True)
class Cast:
    """Who sings and how.

    middle: MIDI pitch the melody moves about, span: scale steps it keeps to. speed: of the engine's
    speech, 1 calm; pitch: espeak-ng's, 0…100. rhythms: gaits to choose from. legato: the share of
    a note that sounds. melisma: chance of several notes on a syllable, run: how many more at most.
    off_beat: chance that a line enters off the eighths. loose: cents that notes are out of tune.
    spoken: chance that a line is spoken. doubled: chance that a loud line is sung twice.
    """

    voice: Voice
    singer: Singer
    middle: float
    span: int
    speed: float
    pitch: int
    rhythms: tuple[str, ...]
    legato: float
    melisma: float
    run: int
    off_beat: float
    loose: float
    spoken: float
    doubled: float


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


def _recorded_voice(rng: Rng, held_out: bool) -> tuple[Voice, str]:
    """A voice of flite or festival and the register its person has."""
    table = voices.FESTIVAL_HELD_OUT if held_out else voices.FESTIVAL_TRAIN
    names = voices.FLITE_HELD_OUT if held_out else voices.FLITE_TRAIN
    if rng.random() < 0.4:
        name = str(rng.choice(names))
        return Voice("flite", name, "en-us"), "high" if name == "slt" else "low"
    name = str(rng.choice(list(table)))
    language, register = table[name]
    return Voice("festival", name, language), register


def _espeak_voice(rng: Rng, split: str, register: str) -> Voice:
    held_out = split == voices.HELD_OUT
    shares = LANGUAGES[split]
    language = str(rng.choice(list(shares), p=np.array(list(shares.values()))))
    low = voices.LOW_HELD_OUT if held_out else voices.LOW_TRAIN
    high = voices.HIGH_HELD_OUT if held_out else voices.HIGH_TRAIN
    variant = str(rng.choice(low if register == "low" else high))
    return Voice("espeak", f"{language}+{variant}", language)


# How far a vocal tract is shortened to make a singer of one register of another's speech.
_WARPS = {
    ("low", "low"): (0.86, 1.04), ("low", "high"): (1.06, 1.18), ("low", "child"): (1.18, 1.3),
    ("high", "low"): (0.83, 0.92), ("high", "high"): (0.93, 1.1), ("high", "child"): (1.1, 1.24),
    ("child", "low"): (0.76, 0.86), ("child", "high"): (0.86, 1.0), ("child", "child"): (0.96, 1.1),
}  # fmt: skip
_MIDDLES = {"low": (43, 57), "high": (57, 69), "child": (63, 72)}  # MIDI
_GAITS = (
    ("normal",), ("normal", "slow"), ("dense", "normal"), ("dense",), ("slow",), ("rap",),
    ("rap", "normal"),
)  # fmt: skip


def _choose_singer(rng: Rng, warp: tuple[float, float], falsetto: bool) -> Singer:
    """A throat and manners. Few singers shake, slide, creak and growl all at once."""

    def now_and_then(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else 0.0

    return Singer(
        warp=float(rng.uniform(*warp)),
        vibrato_rate=float(rng.uniform(4.4, 7.0)),
        vibrato_depth=now_and_then(0.85, 8, 100),
        glide=float(rng.uniform(0.015, 0.055)),
        breathiness=float(rng.choice([0, 0.03, 0.1, 0.2, 0.4]) * rng.uniform(0.5, 1.3))
        + 0.15 * falsetto,
        ring=float(rng.uniform(0.2, 2.5)) * (0.4 if falsetto else 1.0),
        tilt=float(np.clip(rng.normal(0, 1.5), -3, 2.5)) - 1.5 * falsetto,
        scoop=now_and_then(0.6, 0.1, 0.6),
        fall=now_and_then(0.4, 0.1, 0.5),
        fry=now_and_then(0.45, 0.1, 0.6),
        growl=now_and_then(0.2, 0.2, 0.8),
        bend=float(rng.normal(0, 0.035)),
        bumps=float(rng.uniform(0, 2.5)),
        bump_phase=float(rng.uniform(0, 2 * np.pi)),
        tuned=now_and_then(0.3, 0.4, 1.0),
        cracks=now_and_then(0.15, 0.05, 0.2),
        diction=float(rng.uniform(-5, 4)),
        airy=now_and_then(0.4, 0.1, 0.8),
        air=float(rng.uniform(-24, -6)),
    )


def choose_cast(rng: Rng, split: str) -> Cast:
    """Draw a singer; held-out voices and languages never sing in the training split."""
    register = str(rng.choice(["low", "high", "child"], p=[0.46, 0.46, 0.08]))
    if rng.random() < RECORDED_SHARE:
        voice, own = _recorded_voice(rng, split == voices.HELD_OUT)
        register = own if rng.random() < 0.7 else register
    else:
        voice = _espeak_voice(rng, split, register)
        own = "low" if register == "low" else "high"
    falsetto = register == "low" and rng.random() < 0.12
    middle = float(rng.uniform(*_MIDDLES[register])) + (9 if falsetto else 0)
    singer = _choose_singer(rng, _WARPS[own, register], falsetto)
    rhythms = _GAITS[rng.choice(len(_GAITS), p=[0.32, 0.18, 0.2, 0.08, 0.08, 0.08, 0.06])]
    return Cast(
        voice=voice,
        singer=singer,
        middle=middle,
        span=int(rng.integers(4, 8)),
        speed=float(rng.uniform(0.8, 1.15)),
        pitch=int(rng.integers(25, 60)),
        rhythms=rhythms,
        legato=float(rng.choice([0.97, 0.92, 0.85, 0.55], p=[0.4, 0.3, 0.15, 0.15])),
        melisma=float(rng.choice([0.1, 0.3, 0.6])),
        run=int(rng.choice([2, 2, 3, 6])),
        off_beat=float(rng.choice([0.1, 0.4, 0.8])),
        loose=float(rng.choice([0, 0, 6, 14])) * (1 - singer.tuned),
        spoken=0.25 if rng.random() < SPOKEN_SHARE else 0.0,
        doubled=float(rng.choice([0, DOUBLED_SHARE, 2 * DOUBLED_SHARE])),
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
    rng: Rng,
    vocals: Vocals,
    speech: Speech,
    score: Syllables,
    cast: Cast,
    force: float,
    harmony: Harmony,
) -> float:
    """Sing one spoken line into the track; returns its end in seconds."""
    parts = analyse(speech)
    sung = sing(rng, speech, score, cast.singer, force, parts)
    wave = soxr.resample(sung.wave, sung.rate, vocals.rate)
    wave *= VOICE_LEVEL / rms(wave) * _dynamics(rng, len(wave), force)
    vocals.add(wave, sung.start)
    at = round(sung.start / FRAME)
    count = min(len(sung.pitch), len(vocals.pitch) - at)
    vocals.pitch[at : at + count] = sung.pitch[:count]
    if force > 0.5 and rng.random() < cast.doubled:
        for degrees in _company(rng):
            again = _echoed(rng, score, harmony, degrees)
            singer = replace(cast.singer, warp=cast.singer.warp * rng.uniform(0.96, 1.04))
            other = sing(rng, speech, again, singer, 0.8 * force, parts)
            second = soxr.resample(other.wave, other.rate, vocals.rate)
            level = 10 ** (rng.uniform(-12, -3) / 20)
            vocals.add(second, other.start, rms(wave) / rms(second) * level)
    vocals.phones += sung.phones
    vocals.notes += [note for syllable in score for note in syllable]
    vocals.phrases.append(Phrase(sung.phones[0].start, sung.phones[-1].end, False, force))
    return sung.phones[-1].end


def _company(rng: Rng) -> list[int]:
    """Scale degrees above the melody that sing along: the same again, a third, a chord."""
    choices = ([0], [0, 0], [2], [-2], [7], [-7], [2, 4], [0, 2])
    return choices[rng.choice(len(choices), p=[0.4, 0.08, 0.2, 0.08, 0.05, 0.05, 0.07, 0.07])]


def _echoed(rng: Rng, score: Syllables, harmony: Harmony, degrees: int) -> Syllables:
    """The same notes a little apart in time and tune, so many degrees of the scale higher."""
    late = rng.uniform(-0.012, 0.025)
    scale = np.array([harmony.pitch(degree) for degree in range(-35, 43)])

    def raised(midi: float) -> float:
        here = int(np.abs(scale - midi).argmin())
        there = scale[int(np.clip(here + degrees, 0, len(scale) - 1))]
        return float(there + midi - scale[here] + rng.normal(0, 0.06))

    return [
        tuple(Note(n.start + late, n.end + late, raised(n.midi)) for n in notes) for notes in score
    ]


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
    while harmony.at(beats) < total - 3.0:
        force = float(np.clip(_force(sections, harmony, beats) + rng.normal(0, 0.08), 0, 1))
        longest = min(rng.uniform(2.5, 9.0), total - harmony.at(beats) - 0.6)
        before = len(vocals.phones)
        if rng.random() < cast.spoken:
            end = _speak_line(rng, vocals, speaker, cast, harmony.at(beats), total - 0.4)
        else:
            end = _write_and_sing(
                rng, vocals, speaker, cast, harmony, beats, longest, force, vocalise
            )
        if len(vocals.phones) > before:
            _breathe(rng, vocals, free_from, vocals.phones[before].start)
            free_from, beats = end, max(harmony.beats_at(end), beats + 1)
        rest = (
            rng.uniform(4, 8) if rng.random() < 0.15 else rng.uniform(0.5, 4) * rng.uniform(0.4, 1)
        )
        grid = 4 if rng.random() < cast.off_beat else 2
        beats = float(np.ceil((beats + max(rest, 0.5) / harmony.beat) * grid) / grid)
    return vocals


def _write_and_sing(
    rng: Rng,
    vocals: Vocals,
    speaker: Speaker,
    cast: Cast,
    harmony: Harmony,
    beats: float,
    longest: float,
    force: float,
    vocalise: bool,
) -> float:
    """One line from `beats` on, of `longest` seconds at most; returns its end in seconds."""
    manner = Manner(
        rhythm=str(rng.choice(cast.rhythms)),
        legato=cast.legato,
        middle=cast.middle + (3 if force > 0.6 else 0),
        held=float(rng.uniform(0.8, 3.0) if rng.random() < 0.65 else rng.uniform(0.4, 0.8)),
        melisma=cast.melisma,
        run=cast.run,
        span=cast.span,
    )
    most = 24 if manner.rhythm == "rap" else 15
    text = write_line(rng, cast.voice.language, int(rng.integers(4, most)), vocalise)
    speech = speaker.say(text, cast.speed, cast.pitch, lively=False)
    count = len(syllabify(speech.phones))
    if count < 2:
        return harmony.at(beats)
    written = write_phrase(rng, harmony, beats, count, longest, manner)
    late = rng.normal(0, 0.01)
    score = [
        _shifted(notes, late + rng.normal(0, 0.006), rng.normal(0, cast.loose / 100))
        for notes in written
    ]
    return _sing_line(rng, vocals, speech, score, cast, force, harmony)


def _shifted(notes: tuple[Note, ...], late: float, sharp: float) -> tuple[Note, ...]:
    return tuple(Note(n.start + late, n.end + late, n.midi + sharp) for n in notes)


def _speak_line(
    rng: Rng, vocals: Vocals, speaker: Speaker, cast: Cast, at: float, until: float
) -> float:
    """Say a sentence or two from `at` seconds if they end by `until`; returns their end."""
    text = " ".join(
        write_line(rng, cast.voice.language, int(rng.integers(4, 12)))
        for _ in range(rng.integers(1, 3))
    )
    speech = speaker.say(text, cast.speed * 1.15, cast.pitch, lively=True)
    said = [p for p in speech.phones if p.label != SILENCE]
    if not said or at + len(speech.wave) / speech.rate > until:
        return at
    if rng.random() < 0.6:
        speech = respeak(speech, cast.singer, float(cast.singer.warp * rng.uniform(0.8, 1.25)))
    wave = soxr.resample(speech.wave, speech.rate, vocals.rate)
    wave *= VOICE_LEVEL / rms(wave) * 10 ** (rng.uniform(-4, 4) / 20)
    vocals.add(wave, at)
    vocals.phones += [Phone(p.label, p.start + at, p.end + at) for p in said]
    vocals.phrases.append(Phrase(said[0].start + at, said[-1].end + at, True))
    return at + said[-1].end


def speak_song(rng: Rng, speaker: Speaker, cast: Cast, samples: int, rate: int) -> Vocals:
    """Spoken sentences with pauses, as a singer talks between songs. No notes."""
    vocals = _empty(samples, rate)
    at, free_from, total = rng.uniform(0.5, 3.0), 0.0, samples / rate
    while at < total - 2.5:
        before = len(vocals.phones)
        end = _speak_line(rng, vocals, speaker, cast, at, total - 0.3)
        if len(vocals.phones) == before:
            break
        _breathe(rng, vocals, free_from, vocals.phones[before].start)
        free_from, at = end, end + rng.uniform(0.4, 3.0)
    return vocals


def produce(rng: Rng, wave: F64, rate: int, beat: float) -> F64:
    """Mono voice [n] → [2, n] as a desk leaves it; beat: seconds, which echoes keep to.

    High-pass, equaliser, compressor, saturation, now and then a telephone, a chorus or an echo, and
    mostly a room. All within 2 s: what comes later is silent.
    """
    wave = sosfilt(butter(2, rng.uniform(60, 160), "highpass", fs=rate, output="sos"), wave)
    if rng.random() < 0.6:
        wave = desk.equalise(rng, wave, rate, rng.uniform(1, 4))
    if rng.random() < 0.6:
        attack, release = rng.uniform(0.002, 0.03), rng.uniform(0.05, 0.3)
        wave = wave * desk.compression(wave[None], rate, rng.uniform(1.5, 5), attack, release)
        wave *= VOICE_LEVEL / rms(wave)
    drive = rng.uniform(0.5, 2.5) if rng.random() < 0.9 else rng.uniform(3, 9)
    wave = np.tanh(wave * drive) / drive
    if rng.random() < 0.04:
        wave = desk.band(wave, rng.uniform(250, 500), rng.uniform(2500, 4000), rate)
    stereo = np.stack([wave, wave])
    if rng.random() < 0.1:
        turns, depth = rng.uniform(0.3, 1.5), rng.uniform(0.001, 0.004)
        stereo = desk.chorus(rng, stereo, rate, turns, depth, rng.uniform(0.2, 0.5))
    echoed = rng.random() < 0.2
    if echoed:
        stereo = _echo(rng, stereo, rate, beat)
    if rng.random() < 0.8:
        decay = rng.uniform(0.2, 0.7 if echoed else 1.8)
        stereo = desk.room(rng, stereo, rate, decay, rng.uniform(0.02, 0.35))
    return stereo


def _echo(rng: Rng, wave: F64, rate: int, beat: float) -> F64:
    """[2, n] with two or three dull repeats, each fainter, or one close slap."""
    late = beat * float(rng.choice([0.5, 0.75, 1.0])) if rng.random() < 0.6 else 0.0
    late = late if 0.15 < late < 0.5 else float(rng.uniform(0.07, 0.16))
    dull = sosfilt(butter(1, rng.uniform(1500, 5000), fs=rate, output="sos"), wave)
    out, gain = wave.copy(), 10 ** (rng.uniform(-18, -8) / 20)
    for k in range(1, 4):
        at = round(k * late * rate)
        out[:, at:] += gain * dull[:, :-at]
        gain *= rng.uniform(0.2, 0.4)
    return out
