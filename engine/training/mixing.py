"""Mixtures to learn separation from: crops of voices and backings, roughened and added up.

All sound is 16 kHz mono float32. Recipe and figures: strong augmentation and hard pitched backings
decide whether a separator trained on made songs rejects real ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numba import njit
from scipy import fft, signal

from engine.signals import F32
from engine.timeline import FEATURE_RATE

Rng = np.random.Generator
TINY = 1e-6
BLOCK = 64  # samples a gain, 4 ms


@dataclass(frozen=True)
class Library:
    """Sound kept as int16. voices, backings: of songs; hard: instrumental pieces of hard kinds."""

    voices: list[np.ndarray]
    backings: list[np.ndarray]
    hard: list[np.ndarray]


def load_library(songs: Path, hard: Path | None) -> Library:
    """Read every `song_*.flac` (voice | backing) under `songs` and every flac under `hard`.

    Raises FileNotFoundError when there is no song.
    """
    voices, backings = [], []
    for path in sorted(songs.glob("song_*.flac")):
        both, _ = soundfile.read(path, dtype="int16")
        voices.append(np.ascontiguousarray(both[:, 0]))
        backings.append(np.ascontiguousarray(both[:, 1]))
    if not voices:
        raise FileNotFoundError(f"no songs under {songs}: make them with `make songs`")
    pieces = sorted(hard.rglob("*.flac")) if hard else []
    return Library(voices, backings, [soundfile.read(path, dtype="int16")[0] for path in pieces])


def loudness(x: F32) -> float:
    """Root mean square over the 10 ms blocks within 30 dB of the loudest."""
    blocks = x[: len(x) // 160 * 160].reshape(-1, 160)
    power = (blocks**2).mean(axis=1)
    if power.max() < 1e-10:
        return 0.0
    return float(np.sqrt(power[power > power.max() * 1e-3].mean()))


# --- reading --------------------------------------------------------------------------------------


@njit(cache=True)
def _read(piece: np.ndarray, start: int, rate: float, length: int) -> F32:
    """int16 read from `start` at `rate` samples a sample, round and round, through cubic curves."""
    out, count = np.empty(length, np.float32), len(piece)
    whole, t = start, 0.0
    for i in range(length):
        while t >= 1:
            t -= 1
            whole = whole + 1 if whole + 1 < count else 0
        if 1 <= whole < count - 2:
            a, b, c, d = piece[whole - 1], piece[whole], piece[whole + 1], piece[whole + 2]
        else:
            a, b = piece[(whole - 1) % count], piece[whole]
            c, d = piece[(whole + 1) % count], piece[(whole + 2) % count]
        a, b, c, d = np.float32(a), np.float32(b), np.float32(c), np.float32(d)
        p = np.float32(t)
        bend = 2 * a - 5 * b + 4 * c - d + p * (3 * (b - c) + d - a)
        out[i] = (b + np.float32(0.5) * p * (c - a + p * bend)) * np.float32(1 / 32768)
        t += rate
    return out


def _speed(rng: Rng, pieces: list[np.ndarray], length: int, low: float, high: float) -> F32:
    """A crop played faster or slower, which moves pitch and formants too."""
    rate = float(rng.uniform(low, high))
    piece = pieces[rng.integers(len(pieces))]
    return _read(piece, int(rng.integers(max(1, len(piece) - int(length * rate)))), rate, length)


# --- tone -----------------------------------------------------------------------------------------


@njit(cache=True)
def _filter(x: F32, sections: np.ndarray) -> F32:
    """Second-order sections [k, 5] (b0 b1 b2 a1 a2) one after another, side by side in time."""
    out, count = np.empty_like(x), len(sections)
    state = np.zeros((count, 2))
    for i in range(len(x)):
        v = np.float64(x[i])
        for k in range(count):
            y = sections[k, 0] * v + state[k, 0]
            state[k, 0] = sections[k, 1] * v - sections[k, 3] * y + state[k, 1]
            state[k, 1] = sections[k, 2] * v - sections[k, 4] * y
            v = y
        out[i] = v
    return out


def _bell(frequency: float, decibels: float, width: float) -> list[float]:
    """A section that lifts about `frequency` Hz. Bristow-Johnson, Audio EQ Cookbook, peaking EQ."""
    turn, amp = 2 * math.pi * frequency / FEATURE_RATE, 10 ** (decibels / 40)
    alpha, middle = math.sin(turn) * width / 2, -2 * math.cos(turn)
    over = 1 + alpha / amp
    middle /= over
    above, below = (1 + alpha * amp) / over, (1 - alpha * amp) / over
    return [above, middle, below, middle, (1 - alpha / amp) / over]


def _edge(frequency: float, high: bool) -> list[float]:
    """A Butterworth section that keeps what is above (or below) `frequency` Hz; same source."""
    turn = 2 * math.pi * min(frequency, 7600.0) / FEATURE_RATE
    alpha, cosine = math.sin(turn) / math.sqrt(2), math.cos(turn)
    side = (1 + cosine) if high else (1 - cosine)
    middle = -side if high else side
    over = 1 + alpha
    return [v / over for v in (side / 2, middle, side / 2, -2 * cosine, 1 - alpha)]


def _tone(rng: Rng, decibels: float) -> list[list[float]]:
    """Sections of a random equaliser of about ±`decibels`: a tilt and three narrower bells."""
    tilt = float(np.clip(rng.normal(), -2, 2)) * decibels / 2
    sections = [_bell(110.0, -tilt, 3.0), _bell(5500.0, tilt, 2.5)]
    for low in (150.0, 500.0, 1700.0):
        gain = float(np.clip(rng.normal(), -2.5, 2.5)) * decibels / 2
        sections.append(_bell(low * 3.3 ** rng.uniform(), gain, rng.uniform(0.4, 2)))
    if rng.random() < 0.15:
        sections += [_edge(rng.uniform(2500, 7500), high=False)] * 2
    return sections


def _equalise(rng: Rng, x: F32, decibels: float) -> F32:
    return _filter(x, np.array(_tone(rng, decibels)))


def _closely(rng: Rng, x: F32) -> F32:
    """A singer who nearly touches the microphone: the lowest tones swell, often the top is dull.

    Made voices have little below 250 Hz, and a separator that learned from them alone takes a real
    singer's fundamental for a bass.
    """
    sections = [_bell(rng.uniform(80, 220), rng.uniform(4, 16), rng.uniform(1, 3))]
    if rng.random() < 0.6:
        sections += [_edge(rng.uniform(1500, 6000), high=False)] * int(rng.choice([1, 2]))
    return _filter(x, np.array(sections))


def _loudspeaker(rng: Rng) -> list[list[float]]:
    """Sections of a telephone, a laptop or a cheap microphone."""
    sections = [_edge(rng.uniform(100, 450), high=True)]
    sections += [_edge(rng.uniform(3000, 7000), high=False)] * int(rng.choice([1, 2]))
    peaks = [_bell(300 * 13 ** rng.uniform(), rng.normal(0, 5), rng.uniform(0.2, 1)) for _ in "abc"]
    return sections + peaks


# --- loudness -------------------------------------------------------------------------------------


@njit(cache=True)
def _scale(x: F32, gains: F32) -> F32:
    """x [n] times gains [n / BLOCK + 2], one a block, joined by lines."""
    out = np.empty_like(x)
    for i in range(len(x)):
        k = i // BLOCK
        part = np.float32(i - k * BLOCK) / np.float32(BLOCK)
        out[i] = x[i] * (gains[k] + part * (gains[k + 1] - gains[k]))
    return out


def _compression(rng: Rng, x: F32) -> F32:
    """Gains a block that make loud soft and soft loud, slower to let go than to take hold."""
    count = len(x) // BLOCK + 1
    power = (np.pad(x, (0, count * BLOCK - len(x))).reshape(count, BLOCK) ** 2).mean(1)
    keep = math.exp(-BLOCK / FEATURE_RATE / rng.uniform(0.01, 0.15))
    envelope = signal.lfilter([1 - keep], [1, -keep], power) + 1e-8
    gains = (envelope / envelope.max()) ** (-0.5 * rng.uniform(0.2, 0.6))
    return np.append(gains, gains[-1]).astype(np.float32)


def _compress(rng: Rng, x: F32) -> F32:
    return _scale(x, _compression(rng, x))


def _ride(rng: Rng, x: F32) -> F32:
    """A hand on the fader: up and down by some decibels every second or so."""
    count = len(x) // BLOCK + 2
    knots = rng.normal(0, rng.uniform(1, 5), 2 + int(len(x) / FEATURE_RATE / rng.uniform(0.4, 3)))
    curve = np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    return _scale(x, (10 ** (np.clip(curve, -12, 9) / 20)).astype(np.float32))


def _saturate(rng: Rng, x: F32) -> F32:
    peak, drive = np.float32(np.abs(x).max() + TINY), np.float32(10 ** rng.uniform(-0.3, 1.0))
    return np.tanh(x * (drive / peak)) * (peak / np.tanh(drive))


def _clip(rng: Rng, x: F32) -> F32:
    ceiling = np.float32(loudness(x) * rng.uniform(1.5, 4) + TINY)
    return np.clip(x, -ceiling, ceiling)


# --- space ----------------------------------------------------------------------------------------


def _reverberate(rng: Rng, x: F32, wet: float) -> F32:
    """A room: early echoes, then noise that dies away, treble first."""
    seconds = rng.uniform(0.1, 1.6)
    length = int(min(seconds, 0.8) * FEATURE_RATE)
    tail = rng.standard_normal(length, np.float32)
    tail *= np.exp(np.arange(length, dtype=np.float32) * np.float32(-6 / (seconds * FEATURE_RATE)))
    if rng.random() < 0.6:
        dull = np.float32(rng.uniform(0.2, 0.8))
        tail = signal.lfilter(np.ones(1, np.float32), np.array([1, -dull], np.float32), tail)
    late = int(rng.uniform(0, 0.03) * FEATURE_RATE)
    echoes = rng.integers(8, 500, 6)
    size = fft.next_fast_len(len(x) + length + late, real=True)
    response = np.zeros(size, np.float32)
    response[late : late + length] = tail / np.sqrt((tail**2).sum())
    response[echoes] += (rng.normal(0, 0.3, 6) * 0.997**echoes).astype(np.float32)
    response *= np.float32(wet)
    response[0] = 1
    heard: F32 = fft.irfft(fft.rfft(x, size) * fft.rfft(response), size)
    return heard[: len(x)]


def _double(rng: Rng, x: F32) -> F32:
    late = int(rng.uniform(0.008, 0.035) * FEATURE_RATE)
    out = x.copy()
    out[late:] += np.float32(rng.uniform(0.3, 0.9)) * x[:-late]
    return out


def _roughen(rng: Rng, x: F32) -> F32:
    """Breath noise that follows the voice, or a growl, so that no net learns the vocoder."""
    if rng.random() < 0.6:
        bright = np.array([1, -rng.uniform(-0.2, 0.95)], np.float32)
        noise = signal.lfilter(
            bright, np.ones(1, np.float32), rng.standard_normal(len(x), np.float32)
        )
        slow = np.array([1, -0.99], np.float32)
        envelope = signal.lfilter(np.full(1, 0.01, np.float32), slow, np.abs(x))
        return x + noise * envelope * np.float32(rng.uniform(0.02, 0.3))
    turn = np.float32(2 * np.pi * rng.uniform(30, 90) / FEATURE_RATE)
    growl = np.sin(np.arange(len(x), dtype=np.float32) * turn)
    return x * (1 + np.float32(rng.uniform(0.1, 0.4)) * growl)


# --- mixtures -------------------------------------------------------------------------------------


def make_voice(rng: Rng, library: Library, length: int) -> F32:
    """One voice track [length], roughened as real ones are."""
    x = _speed(rng, library.voices, length, 0.8, 1.25)
    return reshape_sound(rng, _double(rng, x) if rng.random() < 0.15 else x)


def reshape_sound(rng: Rng, x: F32) -> F32:
    """Another room, microphone and throat for the same performance; timing is kept."""
    if rng.random() < 0.3:
        x = _roughen(rng, x)
    for effect, chance in ((_compress, 0.5), (_ride, 0.2), (_saturate, 0.25), (_clip, 0.05)):
        if rng.random() < chance:
            x = effect(rng, x)
    if rng.random() < 0.4:
        x = _closely(rng, x)
    if rng.random() < 0.45:
        x = _reverberate(rng, x, rng.uniform(0.05, 0.5))
    return _equalise(rng, x, 9) if rng.random() < 0.8 else x


def make_backing(rng: Rng, library: Library, length: int) -> F32:
    """One accompaniment [length]: a song's backing, layered with others and with hard pieces."""
    x = _speed(rng, library.backings, length, 0.8, 1.25)
    x /= np.float32(loudness(x) + TINY)
    layers = [library.backings] * (rng.random() < 0.3) + [library.hard] * int(rng.choice([0, 1, 2]))
    for pieces in layers:
        if not pieces:
            continue
        y = _equalise(rng, _speed(rng, pieces, length, 0.8, 1.25), 6)
        y = y / np.float32(loudness(y) + TINY)
        x = y if rng.random() < 0.1 else x + y * np.float32(10 ** (rng.uniform(-9, 7) / 20))
    for effect, chance in ((_saturate, 0.25), (_compress, 0.3), (_ride, 0.2), (_clip, 0.05)):
        if rng.random() < chance:
            x = effect(rng, x)
    if rng.random() < 0.25:
        x = _reverberate(rng, x, rng.uniform(0.05, 0.4))
    return _equalise(rng, x, 9) if rng.random() < 0.8 else x


def _release(rng: Rng, voice: F32, backing: F32) -> tuple[F32, F32]:
    """What happens to a mixture: one loudspeaker, one compressor, one clipping for both stems.

    Non-linear steps are gains that hear the mixture, so the stems stay its parts and apart.
    """
    if rng.random() < 0.12:
        sections = np.array(_loudspeaker(rng))
        voice, backing = _filter(voice, sections), _filter(backing, sections)
    if rng.random() < 0.15:
        gains = _compression(rng, voice + backing)
        voice, backing = _scale(voice, gains), _scale(backing, gains)
    if rng.random() < 0.08:
        mixture = voice + backing
        gain = np.ones_like(mixture)
        np.divide(_clip(rng, mixture), mixture, out=gain, where=mixture != 0)
        voice, backing = voice * gain, backing * gain
    return voice, backing


def _begin(rng: Rng, voice: F32, backing: F32) -> tuple[F32, F32]:
    """Silence, then both at once: that something begins must not mean that somebody sings."""
    first = int(rng.uniform(0, 2.5) * FEATURE_RATE)
    fade = int(rng.uniform(0.001, 0.1) * FEATURE_RATE)
    opening = np.clip((np.arange(len(voice)) - first) / fade, 0, 1).astype(np.float32)
    return voice * opening, backing * opening


def make_pair(rng: Rng, library: Library, length: int) -> tuple[F32, F32]:
    """Voice and backing [length] at the levels of one mixture; a quarter of them lacks one."""
    kind = rng.random()
    voice, backing = np.zeros(length, np.float32), np.zeros(length, np.float32)
    if kind >= 0.27:
        x = make_voice(rng, library, length)
        voice = x * np.float32(0.1 * 10 ** (rng.uniform(-8, 10) / 20) / (loudness(x) + TINY))
    if kind < 0.80:
        x = make_backing(rng, library, length)
        backing = x * np.float32(0.1 / (loudness(x) + TINY))
    voice, backing = _release(rng, voice, backing)
    if rng.random() < 0.3:
        voice, backing = _begin(rng, voice, backing)
    gain = np.float32(10 ** (rng.uniform(-20, 8) / 20))
    if rng.random() < 0.5:
        hiss = np.float32(10 ** (rng.uniform(-85, -55) / 20))
        backing = backing + hiss * rng.standard_normal(length, np.float32)
    return voice * gain, backing * gain
