"""A band of two-operator FM voices: accompaniment of another family than training's.

Frequency modulation synthesis: Chowning, JAES 21(7), 1973.
"""

from __future__ import annotations

import numpy as np

from engine.training.songs.backing import Section
from engine.training.songs.harmony import Harmony
from engine.training.songs.voices import F64

Rng = np.random.Generator
RATIOS = (0.5, 1.0, 1.41, 2.0, 3.0, 3.5, 7.0)


class _Instrument:
    """One timbre: modulator to carrier ratio, index and how it decays, attack and decay (s).

    vibrato: its most, as a share of the frequency.
    """

    def __init__(self, rng: Rng, decay: float, vibrato: float = 0.006) -> None:
        self._ratio, self._index = float(rng.choice(RATIOS)), rng.uniform(0.5, 6)
        self._index_decay, self._attack = rng.uniform(0.05, 1.0), rng.uniform(0.002, 0.03)
        self._decay, self._vibrato = decay, rng.uniform(0, vibrato)

    def play(self, midi: float, length: float, rate: int) -> F64:
        """A note of `length` seconds, [n]."""
        times = np.arange(int((length + 0.1) * rate)) / rate
        frequency = 440 * 2 ** ((midi - 69) / 12)
        shake = (
            self._vibrato
            * np.clip((times - 0.2) / 0.3, 0, 1)
            * np.sin(2 * np.pi * 5.7 * times)
            / 5.7
        )
        phase = 2 * np.pi * frequency * (times + shake / (2 * np.pi))
        index = self._index * (0.2 + np.exp(-times / self._index_decay))
        wave = np.sin(phase + index * np.sin(self._ratio * phase))
        release = np.clip((length + 0.1 - times) / 0.1, 0, 1)
        return wave * np.minimum(1, times / self._attack) * np.exp(-times / self._decay) * release


def _drum(rng: Rng, rate: int, pitch: float, noise: float, decay: float) -> F64:
    """A drum whose noise comes from FM at a wild index."""
    times = np.arange(int(0.4 * rate)) / rate
    phase = 2 * np.pi * pitch * (times + 0.02 * (1 - np.exp(-times / 0.02)))
    rough = np.sin(phase * 7.13 + 40 * np.sin(phase * rng.uniform(11, 23)))
    return (np.sin(phase) * (1 - noise) + noise * rough) * np.exp(-times / decay)


def play_fm_band(
    rng: Rng,
    harmony: Harmony,
    sections: list[Section],
    stretches: list[tuple[float, float]],
    samples: int,
    rate: int,
) -> F64:
    """Chords, bass, a lead over `stretches` of beats, and drums: [2, samples]."""
    wave = np.zeros((2, samples))
    chords, bass = (_Instrument(rng, decay) for decay in (rng.uniform(0.4, 3), 0.8))
    tune = _Instrument(rng, 2.5, vibrato=0.03)
    kick = _drum(rng, rate, rng.uniform(45, 60), 0.02, 0.12)
    snare = _drum(rng, rate, rng.uniform(150, 220), 0.7, 0.1)
    hat = _drum(rng, rate, rng.uniform(600, 900), 1.0, 0.03)
    drums_from = rng.uniform(-0.2, 0.6)
    every = float(rng.choice([1, 2, harmony.metre]))

    def add(sound: F64, beats: float, gain: float, side: float = 0.0) -> None:
        at = round(harmony.at(beats) * rate)
        count = min(len(sound), samples - at)
        if count > 0:
            wave[0, at : at + count] += gain * (1 - side) * sound[:count]
            wave[1, at : at + count] += gain * (1 + side) * sound[:count]

    for section in sections:
        for bar in range(section.first, section.end):
            downbeat = bar * harmony.metre
            chord = harmony.chord(bar)
            for beats in np.arange(0, harmony.metre, every):
                for k, pitch in enumerate(chord):
                    sound = chords.play(pitch, every * harmony.beat * 0.9, rate)
                    add(sound, downbeat + beats, 0.10 + 0.05 * section.force, (k - 1) * 0.4)
                low = bass.play(chord[0] - 24, every * harmony.beat * 0.8, rate)
                add(low, downbeat + beats, 0.25)
            if section.force >= drums_from:
                for beat in range(harmony.metre):
                    drum, gain = ((kick, 0.45), (snare, 0.25))[beat % 2]
                    add(drum, downbeat + beat, gain)
                    for off in (0, 0.5):
                        add(hat, downbeat + beat + off, 0.08, 0.3)
    for first, end in stretches:
        beats, degree = float(first), int(rng.integers(0, 7))
        while beats < end - 0.2:
            length = min(float(rng.choice([0.5, 0.5, 1, 1, 2])), end - beats)
            degree = int(np.clip(degree + rng.integers(-2, 3), -3, 9))
            if rng.random() < 0.85:
                sound = tune.play(harmony.pitch(degree), length * harmony.beat * 0.9, rate)
                add(sound, beats, 0.15, 0.2)
            beats += length
    return wave
