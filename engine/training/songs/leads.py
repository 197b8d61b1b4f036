"""Instruments that sing: winds, bows, reeds, brass, whistles, organs and synthesisers.

They glide, bend, shake and breathe as voices do, often on the voice's own notes: what separators
take for a voice. None has moving vowels. Every player gives sound [2, samples] near LEVEL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.signal import lfilter, sosfilt

from engine.training.songs import production as desk
from engine.training.songs.guitars import amplify
from engine.training.songs.harmony import Harmony
from engine.training.songs.voices import F64
from engine.training.truth import Note

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Line:
    """A tune as curves [n]: frequency in Hz, strength 0…1 (0 where it rests), the shake -1…1."""

    frequency: F64
    strength: F64
    shake: F64


def write_tune(rng: Rng, harmony: Harmony, stretches: list[tuple[float, float]]) -> list[Note]:
    """A melody in key over stretches of beats, with rests to breathe."""
    octave = int(rng.choice([-7, 0, 0, 7]))
    dense = rng.random() < 0.3
    lengths = [0.25, 0.25, 0.5, 0.5, 1] if dense else [0.25, 0.5, 0.5, 1, 1, 2, 4]
    tune = []
    for first, end in stretches:
        beats, degree = first, int(rng.integers(0, 7))
        while beats < end - 0.2:
            length = min(float(rng.choice(lengths)), end - beats)
            degree = int(np.clip(degree + rng.integers(-2, 3), -2, 9))
            a, b = harmony.at(beats), harmony.at(beats + length)
            if rng.random() < 0.9:
                stop = a + (b - a) * rng.uniform(0.8, 1)
                tune.append(Note(a, stop, float(harmony.pitch(degree + octave))))
            beats += length
    return tune


def perform(rng: Rng, tune: list[Note], samples: int, rate: int, glide: float) -> Line:
    """How a tune is played: portamento of `glide` s, bends from below, late vibrato, swells."""
    pitch = np.full(samples, tune[0].midi if tune else 60.0)
    sounding = np.zeros(samples)
    bends, decay = rng.uniform(0, 0.5), rng.uniform(0.8, 6)
    for note in tune:
        a, b = round(note.start * rate), min(round(note.end * rate), samples)
        if not 0 <= a < b:
            continue
        pitch[a:] = note.midi
        if rng.random() < bends:
            rise = min(b - a, int(rng.uniform(0.05, 0.2) * rate))
            pitch[a : a + rise] -= rng.uniform(0.5, 2.5) * (1 - np.arange(rise) / rise)
        times = np.arange(b - a) / rate
        swell = 1 + 0.5 * np.sin(np.pi * np.arange(b - a) / (b - a)) * rng.uniform(-0.6, 1)
        sounding[a:b] = swell * np.exp(-times / decay) * rng.uniform(0.6, 1)
    keep = np.exp(-1 / (rate * glide))
    pitch = lfilter([1 - keep], [1, -keep], pitch, zi=[pitch[0] * keep])[0]
    late = np.exp(-1 / (rate * 0.3))
    held = lfilter([1 - late], [1, -late], (sounding > 0).astype(float))
    turns = np.cumsum(rng.uniform(4.3, 7) * (1 + 0.1 * _drift(rng, samples, rate))) / rate
    shake = np.sin(2 * np.pi * turns) * held**2
    pitch += rng.choice([0, 0.15, 0.4, 0.8]) * shake + 0.06 * _drift(rng, samples, rate)
    soft = np.exp(-1 / (rate * rng.uniform(0.004, 0.03)))
    strength = lfilter([1 - soft], [1, -soft], sounding)
    return Line(440 * 2 ** ((pitch - 69) / 12), strength, shake)


def _drift(rng: Rng, samples: int, rate: int) -> F64:
    """A slow random curve of about ±1, [samples]."""
    knots = rng.normal(0, 1, samples // (rate // 3) + 2)
    return np.interp(np.arange(samples) / (rate // 3), np.arange(len(knots)), knots)


# --- sources --------------------------------------------------------------------------------------


@njit(cache=True)
def saw(step: F64) -> F64:
    """A saw from its step per sample in cycles [n], edges rounded by a polynomial.

    PolyBLEP: Välimäki & Huovilainen, IEEE Signal Processing Magazine 24(2), 2007.
    """
    out, t = np.empty_like(step), 0.0
    for i in range(len(step)):
        d = step[i]
        t += d
        t -= np.floor(t)
        wave = 2 * t - 1
        if t < d:
            wave -= 2 * t / d - (t / d) ** 2 - 1
        elif t > 1 - d:
            a = (t - 1) / d
            wave -= a * a + 2 * a + 1
        out[i] = wave
    return out


@njit(cache=True)
def sweep(wave: F64, cutoff: F64, damping: float, passing: float) -> F64:
    """Low-pass (passing 0) to band-pass (1) with a cutoff curve [n] in turns per sample < 0.2.

    Chamberlin's state-variable filter, Musical Applications of Microprocessors, 1980.
    """
    out, low, mid = np.empty_like(wave), 0.0, 0.0
    for i in range(len(wave)):
        f = 2 * np.sin(np.pi * min(cutoff[i], 0.16))
        low += f * mid
        mid += f * (wave[i] - low - damping * mid)
        out[i] = (1 - passing) * low + passing * mid
    return out


def _partials(line: Line, rate: int, gains: F64) -> F64:
    """Sum of sines at 1, 2, 3 … times the frequency; what would alias stays out."""
    phase = 2 * np.pi * np.cumsum(line.frequency) / rate
    wave = np.zeros(len(phase))
    for k, gain in enumerate(gains, 1):
        wave += gain * np.sin(k * phase) * (k * line.frequency < 0.45 * rate)
    return wave


def _breath(rng: Rng, line: Line, low: float, high: float, rate: int) -> F64:
    noise = desk.band(rng.normal(0, 1, len(line.strength)), low, high, rate, 1)
    return noise * line.strength


def _resonate(wave: F64, rate: int, peaks: Sequence[tuple[float, float, float]]) -> F64:
    return sosfilt(np.concatenate([desk.bell(f, g, w, rate) for f, g, w in peaks]), wave)


def _flute(rng: Rng, line: Line, rate: int) -> F64:
    gains = np.array([1, rng.uniform(0.1, 0.5), rng.uniform(0.02, 0.2), rng.uniform(0, 0.08)])
    loud = line.strength * (1 + rng.uniform(0.1, 0.4) * line.shake)
    breath = _breath(rng, line, 800, 6000, rate) * rng.uniform(0.02, 0.2)
    return _partials(line, rate, gains) * loud + breath


def _whistle(rng: Rng, line: Line, rate: int) -> F64:
    breath = _breath(rng, line, 600, 3000, rate) * rng.uniform(0, 0.1)
    return _partials(line, rate, np.array([1, rng.uniform(0, 0.1)])) * line.strength + breath


def _reed(rng: Rng, line: Line, rate: int) -> F64:
    """Harmonica or accordion: two reeds a little apart, and hands or bellows about them."""
    step = line.frequency / rate
    cents = rng.uniform(2, 18)
    wave = saw(step) + rng.uniform(0.3, 1) * saw(step * 2 ** (cents / 1200))
    wave -= rng.uniform(0.3, 0.9) * saw(step * 2 ** (-cents / 1200))
    hands = 1 + rng.uniform(0, 0.5) * line.shake
    peaks = [(rng.uniform(600, 1200), 6, 1), (rng.uniform(1500, 3200), 8, 0.7)]
    return _resonate(wave * line.strength * hands, rate, peaks)


def _sax(rng: Rng, line: Line, rate: int) -> F64:
    growl = 1 + rng.choice([0, 0, 0.3]) * np.sin(
        2 * np.pi * rng.uniform(30, 80) * _times(line, rate)
    )
    wave = np.tanh(saw(line.frequency / rate) * (0.5 + 2 * line.strength)) * line.strength * growl
    cutoff = (600 + rng.uniform(1500, 4500) * line.strength) / rate
    wave = sweep(wave, cutoff, rng.uniform(0.6, 1.4), 0.0)
    wave += _breath(rng, line, 500, 5000, rate) * rng.uniform(0.02, 0.12)
    peaks = [(rng.uniform(400, 800), 6, 0.6), (rng.uniform(1000, 1800), 5, 0.5)]
    return _resonate(wave, rate, peaks)


def _times(line: Line, rate: int) -> F64:
    return np.arange(len(line.strength)) / rate


def _bow(rng: Rng, line: Line, rate: int) -> F64:
    wave = saw(line.frequency / rate) * line.strength
    wave += _breath(rng, line, 1000, 7000, rate) * rng.uniform(0.01, 0.08)
    small = rng.uniform(0.5, 1.1)  # 1 is a violin, ½ a cello
    modes = [(280, 6, 0.15), (460, 7, 0.15), (550, 5, 0.15), (1100, 4, 0.4), (2500, 7, 0.5)]
    return _resonate(wave, rate, [(f * small, g * rng.uniform(0.5, 1.5), w) for f, g, w in modes])


def _brass(rng: Rng, line: Line, rate: int) -> F64:
    cutoff = (300 + rng.uniform(1500, 5000) * line.strength**1.5) / rate
    wave = sweep(saw(line.frequency / rate), cutoff, rng.uniform(0.7, 1.5), 0.0)
    muted = [(rng.uniform(900, 2200), 12, 0.4)] if rng.random() < 0.4 else [(1200, 3, 1.0)]
    return _resonate(wave * line.strength, rate, muted)


def _organ(rng: Rng, line: Line, rate: int) -> F64:
    gains = np.zeros(8)
    gains[[0, 1, 2, 3, 5, 7]] = rng.uniform(0, 1, 6) * [1, 1, 0.7, 0.7, 0.5, 0.4]
    wave = _partials(line, rate, gains) * np.sqrt(np.clip(line.strength, 0, None))
    return desk.saturate(wave, rng.uniform(0.3, 3))


def _synth(rng: Rng, line: Line, rate: int) -> F64:
    """Saws, pulses, detuned crowds or FM through a filter that opens with each note."""
    step = line.frequency / rate
    kind = rng.integers(4)
    if kind == 0:
        phase = 2 * np.pi * np.cumsum(step)
        index = rng.uniform(0.5, 4) * line.strength
        wave = np.sin(phase + index * np.sin(float(rng.choice([0.5, 1, 2, 3])) * phase))
    elif kind == 1:
        turns = np.cumsum(step)
        width = rng.uniform(0.1, 0.5) + 0.08 * np.sin(2 * np.pi * 0.7 * _times(line, rate))
        wave = np.where(turns % 1 < width, 1.0, -1.0)
    else:
        crowd = rng.normal(0, 10, 1 if kind == 2 else 4)
        wave = np.sum([saw(step * 2 ** (cents / 1200)) for cents in crowd], axis=0)
    cutoff = (rng.uniform(300, 1500) + rng.uniform(0, 5000) * line.strength) / rate
    return sweep(wave * line.strength, cutoff, rng.uniform(0.2, 1.4), 0.0)


def _solo_guitar(rng: Rng, line: Line, rate: int) -> F64:
    """An overdriven solo guitar; one in three through a wah pedal."""
    wave = saw(line.frequency / rate) * line.strength
    wave = amplify(rng, wave, rate, rng.uniform(0.3, 1.0)) * np.minimum(1, 8 * line.strength)
    if rng.random() < 0.33:
        foot = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(1.5 + _drift(rng, len(wave), rate)) / rate)
        wave = sweep(wave, 350 * (2200 / 350) ** foot / rate, rng.uniform(0.15, 0.4), 1.0)
    return wave


# Each with the portamento its players have, in seconds.
PLAYERS: dict[str, tuple[Callable[[Rng, Line, int], F64], float, float]] = {
    "flute": (_flute, 0.003, 0.02),
    "whistle": (_whistle, 0.02, 0.15),
    "reed": (_reed, 0.003, 0.03),
    "sax": (_sax, 0.004, 0.03),
    "bow": (_bow, 0.005, 0.06),
    "brass": (_brass, 0.003, 0.03),
    "organ": (_organ, 0.001, 0.004),
    "synth": (_synth, 0.002, 0.08),
    "guitar": (_solo_guitar, 0.002, 0.06),
}
HELD_OUT_PLAYERS = ("brass", "sax")
TRAIN_PLAYERS = tuple(name for name in PLAYERS if name not in HELD_OUT_PLAYERS)


def play_lead(rng: Rng, tune: list[Note], samples: int, rate: int, player: str) -> F64:
    """A tune on one of PLAYERS, sometimes in thirds, in a room or with echoes."""
    sound, low, high = PLAYERS[player]
    line = perform(rng, tune, samples, rate, low * (high / low) ** rng.uniform())
    mono = sound(rng, line, rate)
    if rng.random() < 0.15:
        third = [Note(n.start, n.end, n.midi + rng.choice([3, 4])) for n in tune]
        mono = mono + 0.7 * sound(rng, perform(rng, third, samples, rate, low), rate)
    mono = desk.band(mono, 70, rng.uniform(3500, 7800), rate, 1)
    wave = desk.pan(mono, rng.uniform(-0.5, 0.5))
    if player == "organ" or rng.random() < 0.2:
        turns = float(rng.choice([0.8, 6.5])) if player == "organ" else rng.uniform(0.2, 5)
        wave = desk.chorus(rng, wave, rate, turns, rng.uniform(0.0003, 0.002), 0.6)
    return desk.level(desk.room(rng, wave, rate, rng.uniform(0.2, 1.8), rng.uniform(0, 0.3)))
