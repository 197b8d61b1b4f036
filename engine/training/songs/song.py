"""One song from one seed: a voice, a backing, and the truth about both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.training.songs import voices
from engine.training.songs.arrangement import accompany
from engine.training.songs.backing import Section
from engine.training.songs.harmony import MINOR, Harmony, compose
from engine.training.songs.production import release
from engine.training.songs.vocals import (
    LANGUAGES,
    Vocals,
    choose_cast,
    produce,
    rms,
    sing_song,
    speak_song,
)
from engine.training.songs.voices import F64, Speaker, Voice
from engine.training.truth import Truth

Rng = np.random.Generator

SPEECH_SHARE = 0.10


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
    harmony = compose(rng, float(rng.uniform(25, 56)), held_out=split == voices.HELD_OUT)
    sections = _sections(rng, harmony)
    samples = int((harmony.duration + rng.uniform(0.5, 1.5)) * rate)
    spoken = rng.random() < SPEECH_SHARE
    if spoken:
        vocals = speak_song(rng, speaker, cast, samples, rate)
    else:
        vocals = sing_song(rng, speaker, cast, harmony, sections, samples, rate)
    voice = produce(rng, vocals.wave, rate, harmony.beat)
    if spoken and rng.random() < 0.4:
        backing = np.zeros((2, samples))
    else:
        held_out = split == voices.HELD_OUT
        backing = accompany(
            rng, harmony, sections, vocals.phrases, vocals.notes, held_out, samples, rate
        )
    if not stereo:
        voice, backing = voice.mean(0, keepdims=True), backing.mean(0, keepdims=True)
    if backing.any():
        backing = backing * rms(voice) / rms(backing) * 10 ** (-rng.uniform(-3, 10) / 20)
    voice, backing = release(rng, voice, backing, rate)
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
    beats = tuple(harmony.at(k) for k in range(harmony.bars * harmony.metre))
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
        tonic=harmony.key % 12,
        minor=harmony.scale == MINOR,
    )
