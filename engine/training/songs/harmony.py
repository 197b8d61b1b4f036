"""The frame of one piece that all its players share: beats, key, chords."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
# Scale degrees from 0, a bar each.
PROGRESSIONS = (
    (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 4), (0, 2, 3, 4), (1, 4, 0, 5),
    (0, 0, 3, 4), (0, 6, 5, 4), (3, 4, 2, 5), (0, 3, 0, 4), (5, 4, 3, 4),
)  # fmt: skip
HELD_OUT_PROGRESSIONS = ((0, 4, 1, 3), (3, 0, 4, 5), (5, 2, 3, 0), (0, 3, 5, 4), (3, 5, 0, 4))


@dataclass(frozen=True, slots=True)
class Harmony:
    """microseconds: of one beat, whole as MIDI counts them. key: MIDI tonic near middle C.

    scale: semitones of its seven degrees. degrees: the root of each bar's chord, as scale degree.
    metre: beats a bar. swing: 0…0.5, how late an off-beat eighth is. drift: seconds by which the
    tempo wanders about its mean, over `drift_beats` beats.
    """

    microseconds: int
    key: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]
    metre: int
    swing: float
    drift: float = 0.0
    drift_beats: float = 32.0

    @property
    def beat(self) -> float:
        """Seconds of one beat."""
        return self.microseconds * 1e-6

    @property
    def bars(self) -> int:
        return len(self.degrees)

    @property
    def duration(self) -> float:
        """Seconds of all bars."""
        return self.at(self.bars * self.metre)

    def pitch(self, degree: int) -> int:
        """MIDI pitch of a scale degree; 0 is the tonic, 7 its octave."""
        return self.key + self.scale[degree % 7] + 12 * (degree // 7)

    def chord(self, bar: int, seventh: bool = False) -> list[int]:
        """MIDI pitches of a bar's chord, close position from its root."""
        root = self.degrees[min(bar, self.bars - 1)]
        return [self.pitch(root + k) for k in ((0, 2, 4, 6) if seventh else (0, 2, 4))]

    def at(self, beats: float) -> float:
        """Seconds of a place in beats, swung when it is an off-beat eighth."""
        late = self.swing * 0.5 if abs(beats % 1 - 0.5) < 1e-6 else 0.0
        return (beats + late) * self.beat + self.drift * float(self._wander(beats + late))

    def _wander(self, beats: float) -> float:
        turn = 2 * np.pi * beats / self.drift_beats
        return np.sin(turn) + 0.5 * np.sin(1.7 * turn)

    def beats_at(self, seconds: float) -> float:
        """Where in beats a time is, not minding the swing."""
        beats = seconds / self.beat
        for _ in range(4):
            beats = (seconds - self.drift * self._wander(beats)) / self.beat
        return float(beats)


def compose(
    rng: Rng, duration: float, tempo: float | None = None, held_out: bool = False
) -> Harmony:
    """A harmony of at least `duration` seconds; held out ones have progressions of their own."""
    tempo = tempo or float(rng.uniform(65, 150))
    metre = 3 if rng.random() < 0.1 else 4
    bars = int(np.ceil(duration / (60 / tempo * metre)))
    known = HELD_OUT_PROGRESSIONS if held_out else PROGRESSIONS
    verse, chorus = (known[i] for i in rng.choice(len(known), 2, replace=False))
    degrees = tuple((chorus if bar // 8 % 2 else verse)[bar % 4] for bar in range(bars))
    scale = MINOR if rng.random() < 0.4 else MAJOR
    key = 60 + int(rng.integers(-6, 6))
    swing = float(rng.choice([0, 0, 0, 0.33]))
    over = float(rng.uniform(24, 64))
    # at most 4 % faster or slower than the mean tempo
    drift = rng.uniform(0.1, 1) * 0.02 * over * 60 / tempo / (2 * np.pi)
    drift = float(drift) if rng.random() < 0.4 else 0.0
    return Harmony(round(6e7 / tempo), key, scale, degrees, metre, swing, drift, over)
