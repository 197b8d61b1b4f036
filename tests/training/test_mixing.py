"""Augmentation: repeatable, float32, on time; what hears the mixture keeps its stems apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from engine.training import mixing
from engine.training.mixing import Library, loudness, make_backing, make_pair, reshape_sound

RATE = 16000


def bursts(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Noise between 200 and 3400 Hz, on and off every 0.2 s; [n] float32."""
    rng = np.random.default_rng(seed)
    edges = signal.butter(2, [200, 3400], "bandpass", fs=RATE, output="sos")
    noise = signal.sosfilt(edges, rng.normal(0, 0.1, int(seconds * RATE)))
    return (noise * (np.arange(len(noise)) // 3200 % 2)).astype(np.float32)


@pytest.fixture(scope="module")
def library() -> Library:
    pieces = [(bursts(k) * 20000).astype(np.int16) for k in range(6)]
    return Library(pieces[:2], pieces[2:4], pieces[4:])


def lag(late: np.ndarray, wave: np.ndarray) -> int:
    """Samples by which one sound is later than another."""
    likeness = signal.correlate(late, wave, "full", "fft")
    return int(np.argmax(np.abs(likeness))) - len(wave) + 1


def test_pairs_repeat_and_are_finite(library):
    for seed in range(40):
        first = make_pair(np.random.default_rng(seed), library, 2 * RATE)
        again = make_pair(np.random.default_rng(seed), library, 2 * RATE)
        for side, same in zip(first, again, strict=True):
            np.testing.assert_array_equal(side, same)
            assert side.dtype == np.float32
            assert side.shape == (2 * RATE,)
            assert np.isfinite(side).all()
        assert make_backing(np.random.default_rng(seed), library, RATE).dtype == np.float32


def test_reshaping_moves_nothing():
    wave = bursts(7)
    for seed in range(60):
        heard = reshape_sound(np.random.default_rng(seed), wave)
        assert heard.shape == wave.shape
        assert abs(lag(heard, wave)) <= 8  # half a millisecond: filters' own phase


def test_releases_are_the_same_for_both_stems_and_keep_them_apart():
    voice, backing = bursts(1), bursts(2)
    nothing = np.zeros_like(voice)
    for seed in range(80):
        heard, rest = mixing._release(np.random.default_rng(seed), voice, backing)
        assert abs(lag(heard, voice)) <= 8
        assert np.isfinite(rest).all()
        _, silent = mixing._release(np.random.default_rng(seed), voice, nothing)
        assert not silent.any()
        silent, _ = mixing._release(np.random.default_rng(seed), nothing, backing)
        assert not silent.any()


def test_reading_at_rate_one_is_the_piece_itself_round_and_round():
    piece = np.arange(-500, 500, dtype=np.int16)
    read = mixing._read(piece, 990, 1.0, 1500)
    np.testing.assert_array_equal(read * 32768, np.take(piece, range(990, 2490), mode="wrap"))


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_reading_faster_raises_the_pitch(rate):
    piece = (10000 * np.sin(2 * np.pi * 400 * np.arange(2 * RATE) / RATE)).astype(np.int16)
    spectrum = np.abs(np.fft.rfft(mixing._read(piece, 5, rate, RATE) * np.hanning(RATE)))
    assert np.argmax(spectrum) == round(400 * rate)
    spectrum[round(400 * rate) - 5 : round(400 * rate) + 6] = 0
    assert 20 * np.log10(spectrum.max() / (RATE * 0.15 / 2)) < -60


def test_sections_side_by_side_equal_scipys_one_after_another():
    sections = np.array([*mixing._tone(np.random.default_rng(0), 9), mixing._edge(300.0, True)])
    sos = np.insert(sections, 3, 1.0, axis=1)
    wave = bursts(3)
    np.testing.assert_allclose(mixing._filter(wave, sections), signal.sosfilt(sos, wave), atol=1e-6)


def test_edges_pass_one_side():
    wave = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    hertz, power = signal.welch(mixing._filter(wave, np.array([mixing._edge(1000.0, True)])), RATE)
    _, before = signal.welch(wave, RATE)
    gain = 10 * np.log10(power / before)
    assert gain[(hertz > 0) & (hertz < 200)].max() < -20
    assert np.abs(gain[hertz > 3000]).max() < 1
    gain = 10 * np.log10(signal.welch(mixing._equalise(np.random.default_rng(1), wave, 9), RATE)[1])
    assert np.ptp(gain - 10 * np.log10(before)) > 3


def test_loud_is_compressed_more_than_soft():
    wave = bursts(4)
    wave[: len(wave) // 2] *= 0.05
    tamed = mixing._compress(np.random.default_rng(0), wave)
    half = len(wave) // 2
    assert loudness(tamed[half:]) / loudness(tamed[:half]) < 0.7 * loudness(wave[half:]) / loudness(
        wave[:half]
    )


def test_a_room_begins_with_the_sound_itself():
    wave = np.zeros(RATE, np.float32)
    wave[1000] = 1
    for seed in range(10):
        heard = mixing._reverberate(np.random.default_rng(seed), wave, 0.4)
        assert np.abs(heard[:1000]).max() < 1e-6
        assert heard[1000] == pytest.approx(1, abs=0.2)
        assert np.abs(heard[1001:]).max() > 1e-3


def test_a_close_singer_has_more_below_250_hz():
    def low(x: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(x)) ** 2
        return float(power[: 250 * len(x) // RATE].sum() / power.sum())

    x = bursts(3)
    for seed in range(10):
        close = mixing._closely(np.random.default_rng(seed), x)
        assert close.dtype == np.float32
        assert low(close) > 1.2 * low(x)
        assert 0 <= lag(close, x) <= 8
