"""48 kHz sound in, 16 kHz mono out: the rate at which the networks hear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.signals import F32
from engine.timeline import DECIMATION, FEATURE_RATE, SAMPLE_RATE
from kernels.spectral import decimate

TAPS = 121  # linear phase: passes 7.2 kHz, 60 dB down at 8.8 kHz
DELAY = (TAPS - 1) // 2 // DECIMATION  # 20 samples at 16 kHz = 1.25 ms, exact


def _lowpass() -> F32:
    """Kaiser-windowed sinc, cut at 8 kHz, unit gain at zero frequency. [TAPS]"""
    time = np.arange(TAPS) - (TAPS - 1) / 2
    taps = np.sinc(time * FEATURE_RATE / SAMPLE_RATE) * np.kaiser(TAPS, 5.65)
    return (taps / taps.sum()).astype(np.float32)


class DecimatorState(NamedTuple):
    history: F32  # [TAPS - 1] newest samples, oldest first
    phase: np.ndarray  # [] int64, samples until the next output


class Decimator:
    """Low-pass and keep every third sample: [n] at 48 kHz → [n/3] at 16 kHz, 1.25 ms late."""

    def __init__(self) -> None:
        self.taps = _lowpass()

    def initial_state(self, batch: int = 1) -> DecimatorState:
        """Silence before the first sample. One stream only: batch must be 1."""
        if batch != 1:
            raise ValueError(f"a decimator filters one stream, got batch {batch}")
        return DecimatorState(np.zeros(TAPS - 1, np.float32), np.array(0))

    def __call__(self, x: F32, state: DecimatorState) -> tuple[F32, DecimatorState]:
        joined = np.concatenate([state.history, x.astype(np.float32, copy=False)])
        phase = int(state.phase)
        out = decimate(joined, self.taps, DECIMATION, TAPS - 1 + phase)
        left = phase + len(out) * DECIMATION - len(x)
        return out, DecimatorState(joined[len(joined) - (TAPS - 1) :].copy(), np.array(left))
