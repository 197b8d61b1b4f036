"""Vectorised twins of hearing, for training: whole stretches of sound at once.

`tests/test_laws.py` holds them to the streaming parts hop by hop.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft  # vectorised over frames: ten times numpy's speed

from engine.hearing import bands, mfcc, stft
from engine.hearing.features import RANGE, Loudness, silence
from engine.hearing.windows import LENGTH
from engine.signals import F32
from engine.timeline import FEATURE_HOP, FRAME, HOP
from kernels.spectral import cepstra_plain, mel_power_plain


def hop_frames(x: F32, length: int) -> F32:
    """[B, n] → [B, n // 160, length]: the frame of hop k ends with the hop; silence came before."""
    padded = np.pad(x, ((0, 0), (length - FEATURE_HOP, 0)))
    return sliding_window_view(padded, length, axis=1)[:, ::FEATURE_HOP]


def spectra(x: F32) -> np.ndarray:
    """[B, n] → complex [B, k, 513] long asymmetric spectra."""
    return fft.rfft(hop_frames(x, stft.LENGTH) * stft.ANALYSIS, axis=-1)


def band_power(spectrum: np.ndarray) -> F32:
    """[..., 513] spectrum → [..., 96] band powers."""
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return power @ bands.BANK.T


def mel_energy(x: F32) -> F32:
    """[B, n] → [B, k, 26] mel energies of the MFCC's own 25 ms frames."""
    frames = hop_frames(x, mfcc.WINDOW + 1)
    emphasised = frames[..., 1:] - mfcc.PREEMPHASIS * frames[..., :-1]
    return mel_power_plain(emphasised, mfcc.HAMMING, mfcc.FFT, mfcc.BANK)


def stem_features(mel: F32) -> F32:
    """Mel energies [B, T, S, 26] of S stems that add up to the sound → MFCC and slopes, the same
    shape, as the face hears them."""
    loudness, slope = Loudness(), mfcc.Slope(streams=mel.shape[2])
    relative, _ = loudness(mel.transpose(1, 0, 2, 3), loudness.initial_state(len(mel)))
    coefficients = cepstra_plain(relative.transpose(1, 0, 2, 3), RANGE, mfcc.BASIS)
    return np.stack([slope(one, slope.initial_state())[0] for one in coefficients])


def frame_windows(features: F32, frames: np.ndarray, lookahead: int) -> F32:
    """Features [T, S, 26] → windows [F, S, 39, 26] of the given frames; silence around the song."""
    before = np.broadcast_to(silence(), (LENGTH, features.shape[1], mfcc.FEATURES))
    padded = np.concatenate([before, features, before])
    ends = np.minimum((frames + lookahead) * FRAME // HOP, len(features) + LENGTH)
    hops = ends[:, None] + np.arange(LENGTH)
    return padded[hops].transpose(0, 2, 1, 3)
