"""What is done to a microphone's sound: gain, and a gate that keeps the room out of pauses."""

from __future__ import annotations

import numpy as np

from engine.signals import F32
from engine.timeline import SAMPLE_RATE
from kernels.gating import gate

FALL_S = 0.05  # s in which the envelope falls to 1/e
HOLD_S = 0.25  # s that the gate stays open after the last loud sound: longer than a stop consonant
OPEN_S, CLOSE_S = 0.005, 0.1  # s in which it opens and closes


class Levels:
    """Gain in dB, then a gate at `gate_db` dB below full scale (None: none). Keeps its state."""

    def __init__(self, gain_db: float = 0.0, gate_db: float | None = None) -> None:
        self._gain = np.float32(10 ** (gain_db / 20))
        self._threshold = None if gate_db is None else 10 ** (gate_db / 20)
        self._state = np.array([0.0, HOLD_S * SAMPLE_RATE + 1, 0.0], np.float32)
        self(np.zeros((1, 0), np.float32))  # compiled before the show

    def __call__(self, samples: F32) -> F32:
        """[C, n] at 48 kHz; the same array where nothing is to be done."""
        if self._gain == 1 and self._threshold is None:
            return samples
        samples = samples * self._gain
        if self._threshold is not None:
            gate(
                samples,
                self._state,
                self._threshold,
                float(np.exp(-1 / (FALL_S * SAMPLE_RATE))),
                round(HOLD_S * SAMPLE_RATE),
                1 / (OPEN_S * SAMPLE_RATE),
                1 / (CLOSE_S * SAMPLE_RATE),
            )
        return samples
