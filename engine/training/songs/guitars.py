"""Guitars: strummed, picked, muted or riffing, on plucked strings, through amplifiers and cabinets.

Plucked strings: Karplus and Strong, Computer Music Journal 7(2), 1983; their fractional delay:
Jaffe and Smith, same issue. Every player gives sound [2, samples] near LEVEL, in key and time.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.signal import lfilter, sosfilt

from engine.training.songs import production as desk
from engine.training.songs.harmony import Harmony
from engine.training.songs.voices import F64

Rng = np.random.Generator
# Strokes of a bar in sixteenths: d down, u up, x damped by the hand, - none.
STRUMS = (
    "d---d-u---u-d-u-", "d-d-d-d-d-d-d-d-", "d---u---d-u---u-", "d-udx-ud-udx-ud-",
    "d-----u---d---u-", "--d---d---d---d-", "d-x-u-x-d-x-u-xu", "duxuduxuduxuduxu",
)  # fmt: skip
BODY = ((105, 9, 0.35), (210, 6, 0.4), (420, 3, 0.6))  # Hz, dB, width


@njit(cache=True)
def _ring(burst: F64, count: int, whole: int, part: float, loss: float) -> F64:
    """A string loop of `whole` + ½ + `part` samples, excited by a burst, [count]."""
    out = np.zeros(count)
    for i in range(count):
        back = 0.0
        if i >= whole + 2:
            newest, middle, oldest = out[i - whole], out[i - whole - 1], out[i - whole - 2]
            back = 0.5 * loss * ((1 - part) * newest + middle + part * oldest)
        out[i] = back + (burst[i] if i < len(burst) else 0.0)
    return out


def hertz(midi: float) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


def pluck(rng: Rng, midi: float, count: int, rate: int, softness: float, sustain: float) -> F64:
    """A string plucked at a random place, [count] samples; sustain: seconds to half, at 1 kHz."""
    frequency = hertz(midi)
    delay = rate / frequency - 0.5
    whole = int(delay)
    burst = lfilter([1 - softness], [1, -softness], rng.uniform(-1, 1, whole + 1))
    place = max(1, int(rng.uniform(0.08, 0.35) * whole))
    burst[place:] -= 0.9 * burst[: len(burst) - place]
    loss = 0.5 ** (1 / (frequency * sustain))
    return _ring(burst, count, whole, delay - whole, loss)


def amplify(rng: Rng, wave: F64, rate: int, drive: float) -> F64:
    """An amplifier [n] → [n]: drive 0 is clean, 1 is a wall; then a cabinet with resonances."""
    wave = desk.band(wave / (wave.std() + 1e-9), rng.uniform(70, 250), 6000, rate, 1)
    if drive > 0:
        wave = np.tanh(wave / (wave.std() + 1e-9) * 10 ** (1.5 * drive - 0.2) + 0.2 * drive)
    wave = desk.band(wave, rng.uniform(60, 120), rng.uniform(2800, 6000), rate)
    cabinet = [
        desk.bell(rng.uniform(low, high), rng.normal(3, 4), rng.uniform(0.3, 1), rate)
        for low, high in ((90, 180), (400, 900), (1500, 3500))
    ]
    return sosfilt(np.concatenate(cabinet), wave)


def _strike(
    rng: Rng, track: F64, at: float, pitches: list[float], length: float, rate: int, tone: float
) -> None:
    """A chord's strings one after another from `at` s for `length` s; tone: softness 0…0.9."""
    gap = rng.uniform(0.002, 0.014)
    for k, pitch in enumerate(pitches):
        count = int(min(length, 3.0) * rate)
        string = pluck(rng, pitch + rng.normal(0, 0.02), count, rate, tone, rng.uniform(0.4, 2))
        fade = int(min(0.012 * rate, count))
        string[count - fade :] *= np.linspace(1, 0, fade)
        desk.put(track, string, int((at + gap * k) * rate), rng.uniform(0.6, 1))


def _voicing(harmony: Harmony, bar: int, lowest: int) -> list[float]:
    """Five or six notes of the bar's chord from `lowest` up, as a hand would hold them."""
    tones = {pitch % 12 for pitch in harmony.chord(bar)}
    notes = [float(p) for p in range(lowest, lowest + 26) if p % 12 in tones]
    return notes[:1] + notes[1::1][:5]


def strummed(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """An acoustic, clean or wah guitar, or a ukulele, strummed."""
    small = rng.random() < 0.15
    lowest, strum = (60 if small else 40), STRUMS[rng.integers(len(STRUMS))]
    track, tone = np.zeros(samples), rng.uniform(0.1, 0.6)
    for bar in range(harmony.bars):
        chord = _voicing(harmony, bar, lowest)
        strokes = [k for k in range(4 * harmony.metre) if strum[k] != "-"]
        for k, after in zip(strokes, [*strokes[1:], 4 * harmony.metre], strict=True):
            damped = strum[k] == "x"
            length = 0.05 if damped else (after - k) / 4 * harmony.beat * rng.uniform(0.8, 1.1)
            order = chord if strum[k] != "u" else chord[:1:-1]
            at = harmony.at(bar * harmony.metre + k / 4) + rng.normal(0, 0.005)
            _strike(rng, track, max(0.0, at), order, length, rate, tone)
    return _finish_clean(rng, track, rate)


def picked(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """Arpeggios in eighths or sixteenths."""
    track, tone = np.zeros(samples), rng.uniform(0.1, 0.6)
    every = float(rng.choice([0.25, 0.5, 0.5]))
    count = int(harmony.metre / every)
    order = rng.integers(0, 6, count)
    lowest = int(rng.choice([40, 47, 52]))
    for bar in range(harmony.bars):
        chord = _voicing(harmony, bar, lowest)
        for k in range(count):
            pitch = chord[0] if k == 0 else chord[order[k] % len(chord)]
            at = harmony.at(bar * harmony.metre + k * every) + abs(rng.normal(0, 0.004))
            length = every * harmony.beat * rng.uniform(1, 3)
            _strike(rng, track, at, [pitch], length, rate, tone)
    return _finish_clean(rng, track, rate)


def _finish_clean(rng: Rng, track: F64, rate: int) -> F64:
    kind = rng.integers(3)
    if kind == 0:
        body = [desk.bell(f * rng.uniform(0.85, 1.15), g, w, rate) for f, g, w in BODY]
        track = sosfilt(np.concatenate(body), track)
    else:
        track = amplify(rng, track, rate, rng.uniform(0, 0.35))
    wave = desk.pan(track, rng.uniform(-0.7, 0.7))
    if kind == 2:
        wave = desk.chorus(rng, wave, rate, rng.uniform(0.3, 6), 0.0015, rng.uniform(0.3, 0.8))
    return desk.level(desk.room(rng, wave, rate, rng.uniform(0.2, 1.5), rng.uniform(0, 0.35)))


def _power_chords(
    rng: Rng, harmony: Harmony, samples: int, rate: int, pattern: np.ndarray, drive: float
) -> F64:
    """One take of a riff of chords on the bar's root, eighth by eighth; [samples]."""
    track = np.zeros(samples)
    third = 16 if harmony.scale[2] == 4 else 15
    intervals = (0, 7, 12) if drive > 0.3 else (0, 7, 12, third, 19)
    steps, muted = 2 * harmony.metre, rng.uniform(0, 0.6)
    for bar in range(harmony.bars):
        root = harmony.chord(bar)[0] - 24
        for step in np.flatnonzero(pattern[:steps]):
            lift = pattern[step] - 1
            damped = step > 0 and rng.random() < muted
            length = 0.09 if damped else 0.5 * float(rng.choice([0.6, 1, 1, 2, 4])) * harmony.beat
            tone = rng.uniform(0.7, 0.9) if damped else rng.uniform(0.2, 0.7)
            at = harmony.at(bar * harmony.metre + step / 2) + abs(rng.normal(0, 0.004))
            _strike(rng, track, at, [root + lift + k for k in intervals], length, rate, tone)
    return track


def rhythm_guitar(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """Power chords or riffs, mostly overdriven, often played twice and panned apart."""
    drive = 0.0 if rng.random() < 0.2 else rng.uniform(0.3, 1.0)
    pattern = (rng.random(8) < rng.uniform(0.3, 0.95)).astype(int)
    pattern[0] = 1
    pattern[1:] *= np.where(rng.random(7) < 0.15, rng.choice([3, 4, 6], 7) + 1, 1)  # riff notes
    takes = 2 if rng.random() < 0.6 else 1
    spread = rng.uniform(0.3, 0.9) if takes == 2 else 0.4
    wave = np.zeros((2, samples))
    for take in range(takes):
        riff = _power_chords(rng, harmony, samples, rate, pattern, drive)
        wave += desk.pan(amplify(rng, riff, rate, drive), spread * (1 - 2 * take))
    return desk.level(desk.room(rng, wave, rate, rng.uniform(0.2, 1.2), rng.uniform(0, 0.3)))
