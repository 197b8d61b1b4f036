"""Mixtures to learn separation from: crops of voices and backings, roughened and added up.

All sound is 16 kHz mono float32. Recipe and figures: strong augmentation and hard pitched backings
decide whether a separator trained on made songs rejects real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from engine.signals import F32
from engine.timeline import FEATURE_RATE

Rng = np.random.Generator
TINY = 1e-6


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


def _crop(rng: Rng, pieces: list[np.ndarray], length: int) -> F32:
    piece = pieces[rng.integers(len(pieces))]
    if len(piece) < length:
        piece = np.tile(piece, length // len(piece) + 1)
    start = rng.integers(len(piece) - length + 1)
    return (piece[start : start + length] / 32768).astype(np.float32)


def _speed(rng: Rng, pieces: list[np.ndarray], length: int, low: float, high: float) -> F32:
    """A crop played faster or slower, which moves pitch and formants too."""
    rate = rng.uniform(low, high)
    x = _crop(rng, pieces, int(length * rate) + 2)
    return np.interp(np.arange(length) * rate, np.arange(len(x)), x).astype(np.float32)


def _equalise(rng: Rng, x: F32, decibels: float) -> F32:
    """A smooth random filter of about ±`decibels`; now and then a telephone's band edge."""
    bins = 257
    octave = np.log2(1 + np.linspace(0, 1, bins) * 100) / np.log2(101)
    gain = (octave - 0.5) * rng.normal() * decibels
    for k in range(1, 6):
        gain += (
            rng.normal()
            * np.cos(np.pi * k * octave + rng.uniform(0, 6.28))
            / np.sqrt(k)
            * decibels
            / 2
        )
    gain = 10 ** (np.clip(gain, -24, 24) / 20)
    if rng.random() < 0.15:
        gain[int(rng.uniform(0.5, 1.0) * bins) :] = 1e-2
    taps = np.roll(np.fft.irfft(gain), bins - 1)[bins - 129 : bins + 127] * np.hanning(256)
    return signal.oaconvolve(x, taps, mode="same").astype(np.float32)


def _saturate(rng: Rng, x: F32) -> F32:
    peak, drive = np.abs(x).max() + TINY, 10 ** rng.uniform(-0.3, 1.0)
    return (np.tanh(x / peak * drive) * peak / np.tanh(drive)).astype(np.float32)


def _compress(rng: Rng, x: F32) -> F32:
    envelope = signal.lfilter([0.002], [1, -0.998], np.abs(x)) + 1e-4
    return (x * (envelope / envelope.max()) ** -rng.uniform(0.2, 0.6)).astype(np.float32)


def _reverberate(rng: Rng, x: F32, wet: float) -> F32:
    seconds = rng.uniform(0.15, 1.6)
    length = int(min(seconds, 1.0) * FEATURE_RATE)
    tail = rng.normal(size=length) * np.exp(-6 * np.arange(length) / (seconds * FEATURE_RATE))
    if rng.random() < 0.5:
        tail = signal.lfilter([1], [1, -rng.uniform(0.2, 0.7)], tail)
    tail = np.concatenate([np.zeros(int(rng.uniform(0, 0.03) * FEATURE_RATE)), tail])
    tail /= np.sqrt((tail**2).sum())
    return (x + wet * signal.oaconvolve(x, tail)[: len(x)]).astype(np.float32)


def _double(rng: Rng, x: F32) -> F32:
    late = int(rng.uniform(0.008, 0.035) * FEATURE_RATE)
    echo = np.concatenate([np.zeros(late, np.float32), x[:-late]])
    return (x + rng.uniform(0.3, 0.9) * echo).astype(np.float32)


def _roughen(rng: Rng, x: F32) -> F32:
    """Breath noise that follows the voice, or a growl, so that no net learns the vocoder."""
    if rng.random() < 0.6:
        noise = signal.lfilter([1, -rng.uniform(-0.2, 0.95)], [1], rng.normal(size=len(x)))
        envelope = signal.lfilter([0.01], [1, -0.99], np.abs(x))
        return (x + noise * envelope * rng.uniform(0.02, 0.3)).astype(np.float32)
    growl = np.sin(2 * np.pi * np.cumsum(rng.uniform(30, 90) * np.ones(len(x))) / FEATURE_RATE)
    return (x * (1 + rng.uniform(0.1, 0.4) * growl)).astype(np.float32)


def make_voice(rng: Rng, library: Library, length: int) -> F32:
    """One voice track [length], roughened as real ones are."""
    x = _speed(rng, library.voices, length, 0.8, 1.25)
    return reshape_sound(rng, _double(rng, x) if rng.random() < 0.15 else x)


def reshape_sound(rng: Rng, x: F32) -> F32:
    """Another room, microphone and throat for the same performance; timing is kept."""
    if rng.random() < 0.3:
        x = _roughen(rng, x)
    if rng.random() < 0.5:
        x = _compress(rng, x)
    if rng.random() < 0.25:
        x = _saturate(rng, x)
    if rng.random() < 0.5:
        x = _reverberate(rng, x, rng.uniform(0.05, 0.5))
    return _equalise(rng, x, 9) if rng.random() < 0.8 else x


def make_backing(rng: Rng, library: Library, length: int) -> F32:
    """One accompaniment [length]: a song's backing, layered with others and with hard pieces."""
    x = _speed(rng, library.backings, length, 0.8, 1.25)
    x = x / (loudness(x) + TINY)
    layers = [library.backings] * (rng.random() < 0.3) + [library.hard] * int(rng.choice([0, 1, 2]))
    for pieces in layers:
        if not pieces:
            continue
        y = _speed(rng, pieces, length, 0.8, 1.25)
        y = _equalise(rng, y, 6) / (loudness(y) + TINY)
        x = y if rng.random() < 0.1 else x + y * 10 ** (rng.uniform(-9, 7) / 20)
    for effect, chance in ((_saturate, 0.3), (_compress, 0.3)):
        if rng.random() < chance:
            x = effect(rng, x)
    if rng.random() < 0.3:
        x = _reverberate(rng, x, rng.uniform(0.05, 0.4))
    return _equalise(rng, x, 9) if rng.random() < 0.8 else x


def make_pair(rng: Rng, library: Library, length: int) -> tuple[F32, F32]:
    """Voice and backing [length] at the levels of one mixture; a quarter of them lacks one."""
    kind = rng.random()
    voice = np.zeros(length, np.float32)
    backing = np.zeros(length, np.float32)
    if kind >= 0.27:
        x = make_voice(rng, library, length)
        voice = x / (loudness(x) + TINY) * 0.1 * 10 ** (rng.uniform(-8, 10) / 20)
    if kind < 0.80:
        x = make_backing(rng, library, length)
        backing = x / (loudness(x) + TINY) * 0.1
    gain = 10 ** (rng.uniform(-20, 8) / 20)
    if rng.random() < 0.5:
        noise = 10 ** (rng.uniform(-85, -55) / 20)
        backing = backing + (noise * rng.standard_normal(length)).astype(np.float32)
    return (voice * gain).astype(np.float32), (backing * gain).astype(np.float32)
