"""Instrumental pieces that separators take for voices, each of one kind and without a voice.

All are in a key and in time. Layered with songs' own backings they teach what is no voice.
"""

from __future__ import annotations

import numpy as np

from engine.training.songs import production as desk
from engine.training.songs import synths
from engine.training.songs.arrangement import accompany
from engine.training.songs.backing import Part, Section, render, write_lead
from engine.training.songs.drums import GROOVES, play_kit, write_strokes
from engine.training.songs.guitars import picked, rhythm_guitar, strummed
from engine.training.songs.harmony import Harmony, compose
from engine.training.songs.leads import TRAIN_PLAYERS, play_lead, write_tune
from engine.training.songs.voices import F64

Rng = np.random.Generator


def _whole(harmony: Harmony) -> list[tuple[float, float]]:
    return [(0.0, float(harmony.bars * harmony.metre))]


def _sections(rng: Rng, harmony: Harmony) -> list[Section]:
    half = max(1, harmony.bars // 2)
    forces = rng.uniform(0.2, 1, 2)
    return [Section(0, half, float(forces[0])), Section(half, harmony.bars, float(forces[1]))]


def _make_drums(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    style = str(rng.choice(list(GROOVES)))
    style = "rock" if style == "waltz" else style
    strokes = write_strokes(rng, harmony, _sections(rng, harmony), style, 0.0)
    wave, kicks = play_kit(rng, harmony, strokes, samples, rate)
    if rng.random() < 0.6:
        bass = synths.synth_bass(rng, harmony, _sections(rng, harmony), kicks, samples, rate)
        wave = wave + rng.uniform(0.2, 1.5) * bass
    return desk.level(wave)


def _make_leads(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """One or two solo instruments: half General MIDI's, half made up."""
    wave = np.zeros((2, samples))
    for _ in range(1 + (rng.random() < 0.4)):
        if rng.random() < 0.45:
            part = Part(harmony, rng)
            write_lead(part, 0, _whole(harmony), held_out=False)
            solo = desk.level(render(part, samples, rate))
            if rng.random() < 0.3:
                solo = desk.saturate(solo, rng.uniform(1, 8), rng.uniform(0, 0.3))
        else:
            tune = write_tune(rng, harmony, _whole(harmony))
            solo = play_lead(rng, tune, samples, rate, str(rng.choice(TRAIN_PLAYERS)))
        wave = wave + rng.uniform(0.4, 1.0) * solo
    return desk.level(wave)


def _make_guitars(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """A guitar or two, often with a solo over them."""
    players = (rhythm_guitar, rhythm_guitar, strummed, picked)
    wave = players[rng.integers(4)](rng, harmony, samples, rate)
    if rng.random() < 0.5:
        tune = write_tune(rng, harmony, _whole(harmony))
        wave = wave + rng.uniform(0.5, 1.5) * play_lead(rng, tune, samples, rate, "guitar")
    return desk.level(wave)


def _make_bands(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """A whole band of any genre."""
    return accompany(rng, harmony, _sections(rng, harmony), (), (), False, samples, rate)


def _make_unseen(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """A band of instruments, sounds and soundfont that training never hears."""
    return accompany(rng, harmony, _sections(rng, harmony), (), (), True, samples, rate)


KINDS = {
    "bands": _make_bands, "drums": _make_drums, "guitars": _make_guitars, "leads": _make_leads,
}  # fmt: skip


def make_backing(seed: int, kind: str, rate: int = 16000, held_out: bool = False) -> F64:
    """A piece of one of KINDS without voice, 10–24 s: [2, n] at `rate` Hz, peak at most 0.9.

    Held out ones are bands of an unseen family, whatever the kind.
    """
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind), held_out])
    samples = int(rng.uniform(10, 12) * rate * (2 if kind == "bands" else 1))
    harmony = compose(rng, samples / rate, float(rng.uniform(65, 170)), held_out)
    wave = (_make_unseen if held_out else KINDS[kind])(rng, harmony, samples, rate)
    _, wave = desk.release(rng, np.zeros_like(wave), wave, rate)
    return wave * min(1.0, 0.9 / np.abs(wave).max())
