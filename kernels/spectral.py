"""Hot loops of hearing: FIR decimation, framed power spectra, band sums, running means, cepstra.

Each numba function has a plain numpy twin of the same name with `_plain`; tests hold them together.
Everything is float32 in and out; each output element is computed alone, in one fixed order, so that
chunking cannot change a bit of it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

F32 = NDArray[np.float32]
C64 = NDArray[np.complex64]
I32 = NDArray[np.int32]


@njit(cache=True, nogil=True)
def decimate(x: F32, taps: F32, factor: int, first: int) -> F32:
    """Filter and keep every `factor`-th sample.

    x: [n] with `len(taps) - 1` samples of history in front. taps: [K].
    first: index into x of the newest sample of the first output. Returns [m].
    """
    length = x.shape[0]
    count = 0 if first >= length else (length - 1 - first) // factor + 1
    out = np.empty(count, np.float32)
    for m in range(count):
        newest = first + m * factor
        total = np.float32(0.0)
        for k in range(taps.shape[0]):
            total += taps[k] * x[newest - k]
        out[m] = total
    return out


def decimate_plain(x: F32, taps: F32, factor: int, first: int) -> F32:
    """Twin of `decimate` by convolution."""
    if first >= len(x):
        return np.zeros(0, np.float32)
    full = np.convolve(x.astype(np.float64), taps.astype(np.float64))
    return full[first : len(x) : factor].astype(np.float32)


@njit(cache=True, nogil=True)
def _fft_in_place(re: F32, im: F32, cosine: F32, sine: F32) -> None:
    """Radix-2 FFT of a complex signal whose length is a power of two, natural order in and out."""
    n = re.shape[0]
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            re[i], re[j] = re[j], re[i]
            im[i], im[j] = im[j], im[i]
    span = 2
    while span <= n:
        half = span // 2
        stride = n // span
        for start in range(0, n, span):
            for k in range(half):
                c, s = cosine[k * stride], sine[k * stride]
                a, b = start + k, start + k + half
                tr = re[b] * c - im[b] * s
                ti = re[b] * s + im[b] * c
                re[b], im[b] = re[a] - tr, im[a] - ti
                re[a], im[a] = re[a] + tr, im[a] + ti
        span *= 2


def twiddles(n: int) -> tuple[F32, F32]:
    """Cosine and sine tables [n/2] of an n-point FFT, for `mel_power`."""
    angle = -2.0 * np.pi * np.arange(n // 2) / n
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def band_edges(weights: F32) -> tuple[I32, I32]:
    """First and one-past-last nonzero column of each row of a [bands, bins] filterbank."""
    lows = np.array([row.nonzero()[0][0] if row.any() else 0 for row in weights], np.int32)
    highs = np.array([row.nonzero()[0][-1] + 1 if row.any() else 0 for row in weights], np.int32)
    return lows, highs


@njit(cache=True, nogil=True)
def mel_power(
    frames: F32, window: F32, cosine: F32, sine: F32, bank: F32, lows: I32, highs: I32
) -> F32:
    """Band energies [T, bands] of windowed frames [T, n ≤ nfft]: filterbank · |FFT|² / nfft."""
    nfft = cosine.shape[0] * 2
    re = np.empty(nfft, np.float32)
    im = np.empty(nfft, np.float32)
    out = np.empty((frames.shape[0], bank.shape[0]), np.float32)
    for t in range(frames.shape[0]):
        re[:], im[:] = 0, 0
        for i in range(frames.shape[1]):
            re[i] = frames[t, i] * window[i]
        _fft_in_place(re, im, cosine, sine)
        for band in range(bank.shape[0]):
            total = np.float32(0.0)
            for k in range(lows[band], highs[band]):
                total += bank[band, k] * (re[k] * re[k] + im[k] * im[k])
            out[t, band] = total / np.float32(nfft)
    return out


def mel_power_plain(frames: F32, window: F32, nfft: int, bank: F32) -> F32:
    """Twin of `mel_power`, of any number of axes: [..., n] → [..., bands]."""
    spectrum = fft.rfft(frames * window, nfft, axis=-1)
    return ((spectrum.real**2 + spectrum.imag**2) / nfft @ bank.T).astype(np.float32)


@njit(cache=True, nogil=True)
def band_sums(spectra: C64, bank: F32, lows: I32, highs: I32) -> F32:
    """bank [bands, bins] · |spectra|² [T, bins] → [T, bands], walking only where the bank is not
    zero.
    """
    steps, bins = spectra.shape
    power = np.empty(bins, np.float32)
    out = np.empty((steps, bank.shape[0]), np.float32)
    for t in range(steps):
        for k in range(bins):
            power[k] = spectra[t, k].real ** 2 + spectra[t, k].imag ** 2
        for band in range(bank.shape[0]):
            total = np.float32(0.0)
            for k in range(lows[band], highs[band]):
                total += bank[band, k] * power[k]
            out[t, band] = total
    return out


def band_sums_plain(spectra: C64, bank: F32) -> F32:
    """Twin of `band_sums`."""
    return ((spectra.real**2 + spectra.imag**2) @ bank.T).astype(np.float32)


@njit(cache=True, nogil=True)
def running_views(
    power: F32, hops: F32, level: F32, means: F32, floor: float, memory: float
) -> tuple[F32, F32, F32, F32]:
    """Band powers [T, B, bands] in dB, against the running loudness and each band's running mean.

    hops, level: [B], means: [B, bands], of the hops before. A hop of less power than `floor` is
    silence and changes none of them. Returns views [T, B, 2, bands] and the
    three running values after them.
    """
    steps, batch, bands = power.shape
    views = np.empty((steps, batch, 2, bands), np.float32)
    hops, level, means = hops.copy(), level.copy(), means.copy()
    floor32, ten = np.float32(floor), np.float32(10.0)
    decibels = np.empty(bands, np.float32)
    for t in range(steps):
        for b in range(batch):
            total = np.float32(0.0)
            for k in range(bands):
                total += power[t, b, k]
                decibels[k] = ten * np.log10(power[t, b, k] + floor32)
            share = np.float32(0.0)
            if total / np.float32(bands) > floor32:
                hops[b] = min(hops[b] + np.float32(1.0), np.float32(memory))
                share = np.float32(1.0) / hops[b]
            level[b] += share * (total / np.float32(bands) - level[b])
            loudness = ten * np.log10(level[b] + floor32)
            for k in range(bands):
                means[b, k] += share * (decibels[k] - means[b, k])
                loud = (decibels[k] - loudness + np.float32(20.0)) / np.float32(20.0)
                fresh = (decibels[k] - means[b, k]) / np.float32(12.0)
                views[t, b, 0, k] = min(max(loud, np.float32(-2.5)), np.float32(2.5))
                views[t, b, 1, k] = min(max(fresh, np.float32(-3.0)), np.float32(3.0))
    return views, hops, level, means


def running_views_plain(
    power: F32, hops: F32, level: F32, means: F32, floor: float, memory: float
) -> tuple[F32, F32, F32, F32]:
    """Twin of `running_views`."""
    views = np.empty((*power.shape[:2], 2, power.shape[2]), np.float32)
    for t, now in enumerate(power):
        decibels = 10 * np.log10(now + np.float32(floor))
        heard = now.mean(axis=1) > np.float32(floor)
        hops = np.where(heard, np.minimum(hops + 1, np.float32(memory)), hops)
        share = np.where(heard, 1 / np.maximum(hops, 1), np.float32(0))
        level = level + share * (now.mean(axis=1) - level)
        means = means + share[:, None] * (decibels - means)
        loudness = 10 * np.log10(level + np.float32(floor))
        views[t, :, 0] = np.clip((decibels - loudness[:, None] + 20) / 20, -2.5, 2.5)
        views[t, :, 1] = np.clip((decibels - means) / 12, -3, 3)
    return views, hops, level, means


@njit(cache=True, nogil=True)
def over_loudness(
    energy: F32, hops: F32, level: F32, quiet: float, memory: float
) -> tuple[F32, F32, F32]:
    """Stems' band energies [T, B, S, bands] over the running mean of their sum's, which is at least
    `quiet`; a hop of less teaches it nothing.

    hops, level: [B], of the hops before. Returns the quotients and both after them.
    """
    steps, batch, stems, bands = energy.shape
    out = np.empty_like(energy)
    hops, level = hops.copy(), level.copy()
    for t in range(steps):
        for b in range(batch):
            total = np.float32(0.0)
            for s in range(stems):
                for k in range(bands):
                    total += energy[t, b, s, k]
            mean = total / np.float32(bands)
            if mean > np.float32(quiet):
                hops[b] = min(hops[b] + np.float32(1.0), np.float32(memory))
                level[b] += (mean - level[b]) / hops[b]
            scale = np.float32(1.0) / max(level[b], np.float32(quiet))
            for s in range(stems):
                for k in range(bands):
                    out[t, b, s, k] = energy[t, b, s, k] * scale
    return out, hops, level


def over_loudness_plain(
    energy: F32, hops: F32, level: F32, quiet: float, memory: float
) -> tuple[F32, F32, F32]:
    """Twin of `over_loudness`."""
    out = np.empty_like(energy)
    for t, stems in enumerate(energy):
        mean = stems.sum(axis=1).mean(axis=1)
        heard = mean > np.float32(quiet)
        hops = np.where(heard, np.minimum(hops + 1, np.float32(memory)), hops)
        level = np.where(heard, level + (mean - level) / np.maximum(hops, 1), level)
        out[t] = stems / np.maximum(level, np.float32(quiet))[:, None, None]
    return out, hops, level


@njit(cache=True, nogil=True)
def cepstra(mel: F32, floor: float, basis: F32) -> F32:
    """Cepstral coefficients [T, C] of energies [T, bands]: basis [C, bands] · log(mel + floor)."""
    out = np.zeros((mel.shape[0], basis.shape[0]), np.float32)
    for t in range(mel.shape[0]):
        for band in range(mel.shape[1]):
            level = np.log(mel[t, band] + np.float32(floor))
            for c in range(basis.shape[0]):
                out[t, c] += basis[c, band] * level
    return out


def cepstra_plain(mel: F32, floor: float, basis: F32) -> F32:
    """Twin of `cepstra`, of any number of axes: [..., bands] → [..., C]."""
    return (np.log(mel + np.float32(floor)) @ basis.T).astype(np.float32)
