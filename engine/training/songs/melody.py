"""What is sung: rhythm and pitches of a phrase over a harmony."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.training.songs.harmony import Harmony
from engine.training.truth import Note

Rng = np.random.Generator
Syllables = list[tuple[Note, ...]]

# Note lengths in beats and their chances.
RHYTHMS = {
    "dense": ((0.25, 0.5, 0.75), (0.45, 0.45, 0.1)),
    "normal": ((0.5, 1.0, 1.5, 0.25), (0.5, 0.3, 0.12, 0.08)),
    "rap": ((0.25, 0.5, 0.75), (0.72, 0.24, 0.04)),
    "slow": ((1.0, 1.5, 2.0, 0.5), (0.45, 0.2, 0.2, 0.15)),
}
SHORTEST = 0.13  # s, a syllable no one can sing faster


@dataclass(frozen=True, slots=True)
class Manner:
    """How a phrase is written.

    rhythm: a key of RHYTHMS. legato: the share of a note that sounds. middle: MIDI pitch it moves
    about. held: seconds of the last note. melisma: chance that a long syllable has several notes,
    run: how many more at most. span: scale steps up and down that the phrase keeps to. A "rap" has
    the melody of speech: no scale, a slow fall.
    """

    rhythm: str
    legato: float
    middle: float
    held: float
    melisma: float
    run: int = 2
    span: int = 5


def _nearest(choices: list[int], wanted: float) -> int:
    return min(choices, key=lambda pitch: abs(pitch - wanted))


def write_phrase(
    rng: Rng, harmony: Harmony, first_beat: float, syllables: int, longest: float, manner: Manner
) -> Syllables:
    """A phrase of at most `syllables` syllables and `longest` seconds from `first_beat`.

    Times are seconds from the piece's start. Strong beats prefer chord notes.
    """
    lengths, chances = RHYTHMS[manner.rhythm]
    if manner.rhythm == "rap":
        return _rap(rng, harmony, first_beat, syllables, longest, manner)
    beat, at = harmony.beat, first_beat
    scale = [harmony.pitch(degree) for degree in range(-28, 29)]
    here = scale.index(_nearest(scale, manner.middle + rng.uniform(-3, 3)))
    centre = scale.index(_nearest(scale, manner.middle))
    phrase: Syllables = []
    for k in range(syllables):
        left = longest - (at - first_beat) * beat
        last = k == syllables - 1 or left < manner.held + 0.6
        length = float(rng.choice(lengths, p=chances))
        while harmony.at(at + length) - harmony.at(at) < SHORTEST:
            length *= 2
        if last:
            length = max(np.ceil(manner.held / beat * 2) / 2, 1.0)
        if (at % 1 < 1e-6 and rng.random() < 0.6) or last:
            tones = harmony.chord(int(at // harmony.metre))
            around = [tone + 12 * octave for tone in tones for octave in range(-4, 4)]
            here = scale.index(_nearest(around, scale[here]))
        start, end = harmony.at(at), harmony.at(at + length)
        end = min(start + (end - start) * (0.95 if last else manner.legato), start + 3.5)
        pitches = [scale[here]]
        if length * beat > 0.7 and rng.random() < manner.melisma:
            most = min(manner.run, int(length * beat / 0.14) - 1)
            steps = np.cumsum(rng.choice([-2, -1, -1, 1, 1, 2], rng.integers(1, max(most, 1) + 1)))
            pitches += [scale[here + int(np.clip(step, -4, 4))] for step in steps]
        cuts = np.linspace(start, end, len(pitches) + 1)
        phrase.append(
            tuple(Note(a, b, float(p)) for a, b, p in zip(cuts, cuts[1:], pitches, strict=False))
        )
        at += length
        here += int(rng.choice([-3, -2, -1, -1, 0, 0, 1, 1, 2, 3, 4]))
        here = int(np.clip(here, centre - manner.span, centre + manner.span))
        if last:
            break
    return phrase


def _rap(
    rng: Rng, harmony: Harmony, first_beat: float, syllables: int, longest: float, manner: Manner
) -> Syllables:
    """Dense syllables on the beat's parts, pitched as one speaks: stressed higher, then falling."""
    lengths, chances = RHYTHMS["rap"]
    phrase: Syllables = []
    at, value = first_beat, rng.uniform(0, 3)
    for _ in range(syllables):
        length = float(rng.choice(lengths, p=chances))
        while harmony.at(at + length) - harmony.at(at) < SHORTEST:
            length *= 2
        start, end = harmony.at(at), harmony.at(at + length)
        if end - harmony.at(first_beat) > longest:
            break
        value = 0.75 * value + rng.normal(0, 1.2) - 0.15
        pitch = manner.middle + value + (1.5 if at % 1 < 1e-6 else 0)
        phrase.append((Note(start, start + (end - start) * manner.legato, float(pitch)),))
        at += length
    return phrase
