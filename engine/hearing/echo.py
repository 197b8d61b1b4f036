"""Taking a known backing out of a microphone: what loudspeakers let into it.

A linear filter, so that the singer's own level and vowels stay as they are: a frequency-domain
Kalman filter in PARTS blocks of one hop (Enzner & Vary, "Frequency-domain adaptive Kalman filter
for acoustic echo control in hands-free telephones", Signal Processing 86, 2006; partitioned as
Kuech et al., ICASSP 2014). Its step is the share of the error that the echo path's own uncertainty
explains, so it learns in the singer's pauses and hardly while she sings. Only below CUTOFF, where
features are; what people hear is never touched.

WebRTC's canceller, as its Python packages have it, comes with a suppressor that cannot be switched
off: it took 1.4 dB from a singer and left more of the band.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.signals import F32
from engine.timeline import HOP, SAMPLE_RATE

C128 = NDArray[np.complex128]
F64 = NDArray[np.float64]

PARTS = 24  # hops (240 ms) of echo that are modelled
CUTOFF = 8000  # Hz
BINS = CUTOFF * 2 * HOP // SAMPLE_RATE + 1
KEEP = 0.9998  # how much of the echo path is the same after a hop
START, DECAY = 0.03, 0.85  # uncertainty at the beginning: of the first part, and per part
SMOOTH = 0.5  # of the error's spectrum
LEAST = 1e-9


class EchoState(NamedTuple):
    """reference: [2·HOP] the last two hops of the backing. spectra: [PARTS, BINS] of the last hops.
    path: [PARTS, BINS] the echo path as far as it is known. doubt: [PARTS, BINS] its variance.
    error: [BINS] the power that is left."""

    reference: F64
    spectra: C128
    path: C128
    doubt: F64
    error: F64


class EchoCanceller:
    """[2, n] microphone and backing, as it was played, at 48 kHz → [1, n] microphone without it.

    n must be a multiple of HOP: a hop in, a hop out, no delay. The backing must not lag behind its
    echo, and not be ahead of it by more than the 240 ms that are modelled.
    """

    def initial_state(self) -> EchoState:
        doubt = np.full((PARTS, BINS), START) * (DECAY ** np.arange(PARTS))[:, None]
        nothing = np.zeros((PARTS, BINS), np.complex128)
        return EchoState(np.zeros(2 * HOP), nothing, nothing, doubt, np.full(BINS, 1e-3))

    def __call__(self, x: F32, state: EchoState) -> tuple[F32, EchoState]:
        """Raises ValueError for another shape."""
        if x.ndim != 2 or x.shape[0] != 2 or x.shape[1] % HOP:
            raise ValueError(f"expected [2, a multiple of {HOP}] samples, got {x.shape}")
        clean = np.empty((1, x.shape[1]), np.float32)
        for start in range(0, x.shape[1], HOP):
            hop = x[:, start : start + HOP].astype(np.float64)
            clean[0, start : start + HOP], state = self._hop(hop[0], hop[1], state)
        return clean, state

    def _hop(self, heard: F64, played: F64, state: EchoState) -> tuple[F64, EchoState]:
        reference = np.concatenate([state.reference[HOP:], played])
        spectra = np.roll(state.spectra, 1, axis=0)
        spectra[0] = np.fft.rfft(reference)[:BINS]
        clean = heard - _time((state.path * spectra).sum(axis=0))[HOP:]
        error = np.fft.rfft(np.concatenate([np.zeros(HOP), clean]))[:BINS]
        power = np.abs(spectra) ** 2
        left = SMOOTH * state.error + (1 - SMOOTH) * np.abs(error) ** 2
        explained = 0.5 * (state.doubt * power).sum(axis=0)  # half of the window is the hop
        gain = state.doubt / (explained + left + LEAST)
        step = _time(gain * spectra.conj() * error)
        step[:, HOP:] = 0  # a part of the path is one hop long
        path = state.path + np.fft.rfft(step, axis=1)[:, :BINS]
        doubt = KEEP**2 * np.maximum(1 - 0.5 * gain * power, 0) * state.doubt
        doubt += (1 - KEEP**2) * np.abs(path) ** 2
        return clean, EchoState(reference, spectra, path, doubt, left)


def _time(spectrum: C128) -> F64:
    """[..., 2·HOP] of spectra that end at CUTOFF."""
    return np.fft.irfft(spectrum, 2 * HOP, axis=-1)
