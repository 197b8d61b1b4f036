"""One song from one seed: a voice, a backing, and the truth about both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from engine.training.songs import hard_backings as hard
from engine.training.songs import voices
from engine.training.songs.backing import Section, render, write_band, write_choir
from engine.training.songs.fm_band import play_fm_band
from engine.training.songs.harmony import Harmony, compose
from engine.training.songs.lyrics import write_line
from engine.training.songs.melody import Manner, Syllables, write_phrase
from engine.training.songs.singing import FRAME, Singer, breathe, sing, syllabify
from engine.training.songs.voices import F64, SILENCE, Speaker, Speech, Voice
from engine.training.truth import BREATH, Note, Phone, Phrase, Truth

Rng = np.random.Generator

LANGUAGES = {
    voices.TRAIN: {
        "en-us": 0.40, "es": 0.10, "it": 0.10, "de": 0.10, "fr": 0.10, "ja": 0.10,
        "cmn-latn-pinyin": 0.10,
    },
    voices.HELD_OUT: {"en-us": 0.30, "pt-br": 0.40, "ko": 0.30},
}  # fmt: skip
FLITE_SHARE = 0.25
SPEECH_SHARE = 0.10
VOCALISE_SHARE = 0.05
DOUBLED_SHARE = 0.35  # of loud phrases
VOICE_LEVEL = 0.1  # RMS of a phrase before dynamics


@dataclass(frozen=True, slots=True)
class Song:
    """voice, backing: [C, n] float32 at `rate` Hz, C = 1 or 2, at their levels in the mixture.

    The mixture's peak is at most 0.9. pitch: [frames] Hz every 5 ms, 0 where unvoiced or silent.
    """

    voice: np.ndarray
    backing: np.ndarray
    rate: int
    truth: Truth
    pitch: np.ndarray


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


def _rms(wave: F64) -> float:
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
    wave *= VOICE_LEVEL / _rms(wave) * _dynamics(rng, len(wave), force)
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
    vocals.add(second, sung.start, _rms(wave) / _rms(second) * 10 ** (rng.uniform(-12, -4) / 20))


def _breathe(rng: Rng, vocals: Vocals, free_from: float, phrase_start: float) -> None:
    """Take a breath before a phrase if there is time since `free_from` seconds."""
    length = rng.uniform(0.18, 0.45)
    end = phrase_start - rng.uniform(0.03, 0.08)
    if end - length > free_from + 0.1 and rng.random() < 0.65:
        breath = breathe(rng, length, vocals.rate)
        vocals.add(breath, end - length, VOICE_LEVEL * 10 ** (rng.uniform(-16, -4) / 20))
        vocals.phones.append(Phone(BREATH, end - length, end))


def _sections(rng: Rng, harmony: Harmony) -> list[Section]:
    """Intro, then soft and loud stretches of two to four bars in turn."""
    intro = max(1, round(rng.uniform(2, 7) / (harmony.beat * harmony.metre)))
    intro = min(intro, max(1, int(8 / (harmony.beat * harmony.metre))))
    sections, at = [Section(0, intro, float(rng.uniform(0.2, 0.9)))], intro
    loud = False
    while at < harmony.bars:
        end = min(harmony.bars, at + int(rng.integers(2, 6)))
        sections.append(
            Section(at, end, float(rng.uniform(0.65, 1) if loud else rng.uniform(0.1, 0.6)))
        )
        loud, at = not loud, end
    return sections


def _force(sections: list[Section], harmony: Harmony, beats: float) -> float:
    bar = beats / harmony.metre
    return next((s.force for s in sections if s.first <= bar < s.end), sections[-1].force)


def _empty(samples: int, rate: int) -> Vocals:
    return Vocals(np.zeros(samples), rate, np.zeros(int(samples / rate / FRAME) + 1), [], [], [])


def _sing_song(
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


def _speak_song(rng: Rng, speaker: Speaker, cast: Cast, samples: int, rate: int) -> Vocals:
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
        wave *= VOICE_LEVEL / _rms(wave) * 10 ** (rng.uniform(-4, 4) / 20)
        vocals.add(wave, at)
        said = [p for p in speech.phones if p.label != SILENCE]
        vocals.phones += [Phone(p.label, p.start + at, p.end + at) for p in said]
        if said:
            vocals.phrases.append(Phrase(said[0].start + at, said[-1].end + at))
        at += len(wave) / rate + rng.uniform(0.3, 3.0)
    return vocals


def _produce(rng: Rng, wave: F64, rate: int) -> F64:
    """Mono voice → [2, n] as a desk leaves it: high-pass, gentle saturation, reverberation."""
    wave = sosfilt(butter(2, rng.uniform(60, 160), "highpass", fs=rate, output="sos"), wave)
    drive = rng.uniform(0.5, 2.5)
    wave = np.tanh(wave * drive) / drive
    stereo = np.stack([wave, wave])
    if rng.random() < 0.8:
        stereo = hard.room(rng, stereo, rate, rng.uniform(0.2, 1.8), rng.uniform(0.02, 0.35))
    return stereo


def _stretches(rng: Rng, harmony: Harmony, vocals: Vocals) -> list[tuple[float, float]]:
    """Where a lead plays, in beats: through the whole song, in the voice's rests, or at random."""
    total = float(harmony.bars * harmony.metre)
    kind = rng.integers(3)
    if kind == 0:
        return [(0.0, total)]
    if kind == 1:
        edges = [0.0, *(t / harmony.beat for p in vocals.phrases for t in (p.start, p.end)), total]
        rests = [(np.ceil(a), b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 2]
        return rests or [(0.0, total)]
    return [(float(b), float(b + 8)) for b in range(0, int(total), 8) if rng.random() < 0.6]


def _accompany(
    rng: Rng,
    harmony: Harmony,
    sections: list[Section],
    vocals: Vocals,
    split: str,
    samples: int,
    rate: int,
) -> F64:
    """The backing [2, samples]: a band and, often, hard layers in key."""
    machine = rng.random() < 0.35
    if split == voices.HELD_OUT:
        return hard.level(
            play_fm_band(rng, harmony, sections, _stretches(rng, harmony, vocals), samples, rate)
        )
    wave = hard.level(render(write_band(rng, harmony, sections, drums=not machine), samples, rate))
    if rng.random() < 0.12:
        wave = wave * 0.15  # the hard layers nearly alone

    def layer(sound: F64, low: float, high: float) -> None:
        nonlocal wave
        wave = wave + 10 ** (rng.uniform(low, high) / 20) * sound

    if machine:
        layer(hard.synth_drums(rng, harmony, sections, samples, rate), -6, 3)
    if rng.random() < 0.35:
        layer(hard.rhythm_guitar(rng, harmony, samples, rate), -8, 3)
    for chance in (0.55, 0.2):
        if rng.random() < chance:
            layer(hard.lead(rng, harmony, _stretches(rng, harmony, vocals), samples, rate), -9, 3)
    if rng.random() < 0.05:
        layer(hard.level(render(write_choir(rng, harmony, sections), samples, rate)), -9, 0)
    return wave


def make_song(
    seed: int, rate: int = 16000, stereo: bool = False, split: str = voices.TRAIN
) -> Song:
    """Make the song of a seed, 25–60 s; the same seed gives the same song.

    split: "train" or "held-out" (other voices, languages and instruments).
    Raises MissingEngineError where espeak-ng, flite, fluidsynth, a soundfont or pyworld is missing,
    and ValueError for an unknown split.
    """
    if split not in LANGUAGES:
        raise ValueError(f"split {split!r} is not one of {', '.join(LANGUAGES)}")
    rng = np.random.default_rng([seed, split == voices.HELD_OUT])
    cast = choose_cast(rng, split)
    speaker = Speaker(cast.voice)
    harmony = compose(rng, float(rng.uniform(25, 56)))
    sections = _sections(rng, harmony)
    samples = int((harmony.duration + rng.uniform(0.5, 1.5)) * rate)
    spoken = rng.random() < SPEECH_SHARE
    if spoken:
        vocals = _speak_song(rng, speaker, cast, samples, rate)
    else:
        vocals = _sing_song(rng, speaker, cast, harmony, sections, samples, rate)
    voice = _produce(rng, vocals.wave, rate)
    if spoken and rng.random() < 0.4:
        backing = np.zeros((2, samples))
    else:
        backing = _accompany(rng, harmony, sections, vocals, split, samples, rate)
    if not stereo:
        voice, backing = voice.mean(0, keepdims=True), backing.mean(0, keepdims=True)
    if backing.any():
        backing = backing * _rms(voice) / _rms(backing) * 10 ** (-rng.uniform(-3, 10) / 20)
    peak = 0.9 * 10 ** (-abs(rng.normal(0, 3)) / 20)
    truth = tell(seed, voice.shape[1] / rate, vocals, harmony, cast.voice, bool(spoken))
    return finish(voice, backing, rate, peak, truth, vocals.pitch)


def finish(voice: F64, backing: F64, rate: int, peak: float, truth: Truth, pitch: F64) -> Song:
    """Bring a mixture's peak to `peak`."""
    gain = peak / np.abs(voice + backing).max()
    voice, backing = voice * gain, backing * gain
    return Song(voice.astype(np.float32), backing.astype(np.float32), rate, truth, pitch)


def tell(
    seed: int, duration: float, vocals: Vocals, harmony: Harmony, voice: Voice, speech: bool
) -> Truth:
    """The truth about a song of `duration` seconds."""
    beats = tuple(k * harmony.beat for k in range(harmony.bars * harmony.metre))
    return Truth(
        seed=seed,
        duration=duration,
        tempo=6e7 / harmony.microseconds,
        language=voice.language,
        voice=str(voice),
        speech=speech,
        phones=tuple(sorted(vocals.phones, key=lambda phone: phone.start)),
        notes=tuple(vocals.notes),
        phrases=tuple(vocals.phrases),
        beats=beats,
        downbeats=beats[:: harmony.metre],
    )
