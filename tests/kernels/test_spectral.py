"""Every hot loop against its plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from engine.hearing import bands, mfcc, stft
from engine.hearing.resample import TAPS, Decimator
from kernels.spectral import (
    band_sums,
    band_sums_plain,
    cepstra,
    cepstra_plain,
    decimate,
    decimate_plain,
    mel_power,
    mel_power_plain,
    over_loudness,
    over_loudness_plain,
    running_views,
    running_views_plain,
)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, 12000).astype(np.float32)


@pytest.mark.parametrize("first", [120, 121, 122, 7999, 13000])
def test_decimate(noise: np.ndarray, first: int) -> None:
    taps = Decimator().taps
    assert len(taps) == TAPS
    fast, plain = decimate(noise, taps, 3, first), decimate_plain(noise, taps, 3, first)
    assert fast.shape == plain.shape
    np.testing.assert_allclose(fast, plain, atol=2e-6)


def test_mel_power(noise: np.ndarray) -> None:
    frames = noise[: 3 * mfcc.WINDOW].reshape(3, mfcc.WINDOW)
    fast = mel_power(frames, mfcc.HAMMING, mfcc.COSINE, mfcc.SINE, mfcc.BANK, mfcc.LOWS, mfcc.HIGHS)
    plain = mel_power_plain(frames, mfcc.HAMMING, mfcc.FFT, mfcc.BANK)
    np.testing.assert_allclose(fast, plain, rtol=2e-4)


def test_band_sums(noise: np.ndarray) -> None:
    spectra = stft.spectrum(noise[: 3 * stft.LENGTH].reshape(3, stft.LENGTH))
    fast = band_sums(spectra, bands.BANK, bands.LOWS, bands.HIGHS)
    np.testing.assert_allclose(fast, band_sums_plain(spectra, bands.BANK), rtol=1e-5, atol=1e-7)


def test_running_views(noise: np.ndarray) -> None:
    power = noise[: 60 * 2 * bands.BANDS].reshape(60, 2, bands.BANDS) ** 2
    power[20:30, 1] = 0
    before = bands.BandViews().initial_state(2)
    kept = before.means.copy()
    fast = running_views(power, *before, bands.FLOOR, bands.MEMORY)
    plain = running_views_plain(power, *before, bands.FLOOR, bands.MEMORY)
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-5)
    np.testing.assert_array_equal(before.means, kept)  # the old state stays valid


def test_over_loudness(noise: np.ndarray) -> None:
    energy = noise[: 60 * 2 * 2 * 26].reshape(60, 2, 2, 26) ** 2
    energy[20:30, 1] = 0
    hops, level = np.zeros(2, np.float32), np.zeros(2, np.float32)
    fast = over_loudness(energy, hops, level, 1e-6, 50.0)
    plain = over_loudness_plain(energy, hops, level, 1e-6, 50.0)
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert fast[1].tolist() == [50, 50]
    assert not hops.any()
    assert not level.any()


def test_cepstra(noise: np.ndarray) -> None:
    mel = noise[: 3 * mfcc.MEL_BANDS].reshape(3, mfcc.MEL_BANDS) ** 2
    np.testing.assert_allclose(
        cepstra(mel, 1e-4, mfcc.BASIS), cepstra_plain(mel, 1e-4, mfcc.BASIS), atol=2e-4
    )


def test_these_are_our_kernels() -> None:
    """`kernels` is also the name of a published package; nobody may have imported that one."""
    import kernels

    assert "Cantar" in (kernels.__doc__ or "")
