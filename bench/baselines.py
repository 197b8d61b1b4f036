"""What separators without learning do, whole song at hand: librosa's, for comparison only.

Each takes a mixture [n] at 16 kHz and returns its voice [n].
"""

from __future__ import annotations

import librosa
import numpy as np

from engine.signals import F32
from engine.timeline import FEATURE_RATE

FFT, HOP = 1024, 256
APART = 2.0  # s: frames that resemble each other and are farther apart repeat
MARGIN, POWER = 10.0, 2.0


def repet_sim(mixture: F32) -> F32:
    """REPET-SIM (Rafii & Pardo 2012): what does not come again is voice. Settings of librosa's
    "Vocal separation" example."""
    spectrum = librosa.stft(mixture, n_fft=FFT, hop_length=HOP)
    size = np.abs(spectrum)
    again = librosa.decompose.nn_filter(
        size,
        aggregate=np.median,
        metric="cosine",
        width=int(APART * FEATURE_RATE / HOP),
    )
    again = np.minimum(size, again)
    mask = librosa.util.softmask(size - again, MARGIN * again, power=POWER)
    return _sound(spectrum * mask, len(mixture))


def hpss(mixture: F32) -> F32:
    """Harmonic–percussive separation (Fitzgerald 2010) with long windows: the harmonic part."""
    spectrum = librosa.stft(mixture, n_fft=FFT, hop_length=HOP)
    return _sound(librosa.decompose.hpss(spectrum)[0], len(mixture))


def _sound(spectrum: np.ndarray, length: int) -> F32:
    sound: F32 = librosa.istft(spectrum, hop_length=HOP, length=length).astype(np.float32)
    return sound


OFFLINE = {"REPET-SIM": repet_sim, "HPSS": hpss}
