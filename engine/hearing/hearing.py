"""Hearing, whole: 48 kHz sound → features of voice and accompaniment, one row per 10 ms hop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.hearing import stft
from engine.hearing.features import RANGE, Loudness, LoudnessState
from engine.hearing.framing import Framer, FramerState
from engine.hearing.mfcc import (
    BASIS,
    COEFFICIENTS,
    MEL_BANDS,
    Slope,
    SlopeState,
    mel_of_frames,
)
from engine.hearing.resample import Decimator, DecimatorState
from engine.hearing.separator import Separator, SeparatorState
from engine.signals import F32
from kernels.spectral import cepstra

VOICE_LEVEL = 10 ** (-26 / 10)  # of a known voice against the running loudness: half a chance


class Heard(NamedTuple):
    features: F32  # [k, 2, 26] voice and accompaniment, MFCC and slopes
    activity: F32  # [k] probability that somebody sings


class HearingState(NamedTuple):
    first: DecimatorState  # the mixture, or the voice where stems are known
    second: DecimatorState  # the accompaniment where it is known
    framer: FramerState
    separator: SeparatorState
    loudness: LoudnessState
    slope: SlopeState


class Hearing:
    """Sound at 48 kHz, mixed [1, n] or voice and accompaniment apart [2, n] → Heard.

    Known stems bypass the separator; everything after it is the same.
    """

    def __init__(self, separator: Separator) -> None:
        self.separator = separator
        self.decimator = Decimator()
        self.framer = Framer(stft.LENGTH, streams=2)
        self.loudness = Loudness()
        self.slope = Slope()

    def initial_state(self, batch: int = 1) -> HearingState:
        """Silence before the first sample."""
        return HearingState(
            self.decimator.initial_state(batch),
            self.decimator.initial_state(batch),
            self.framer.initial_state(batch),
            self.separator.initial_state(batch),
            self.loudness.initial_state(batch),
            self.slope.initial_state(batch),
        )

    def __call__(self, x: F32, state: HearingState) -> tuple[Heard, HearingState]:
        apart = len(x) == 2
        first, first_state = self.decimator(x[0], state.first)
        if apart:
            second, second_state = self.decimator(x[1], state.second)
        else:
            second = 0 * first
            second_state = first_state._replace(history=0 * first_state.history)
        frames, framer = self.framer(np.stack([first, second]), state.framer)
        if apart:
            energy, separator = _stem_energy(frames), state.separator
        else:
            energy, activity, separator = self._separate(frames[:, 0], state.separator)
        relative, loudness = self.loudness(energy[:, None], state.loudness)
        if apart:
            activity = _activity(relative[:, 0, 0])
        rows = cepstra(relative.reshape(-1, MEL_BANDS), RANGE, BASIS)
        rows = rows.reshape(len(frames), 2, COEFFICIENTS)
        features, slope = self.slope(rows, state.slope)
        after = HearingState(first_state, second_state, framer, separator, loudness, slope)
        return Heard(features, activity), after

    def _separate(self, frames: F32, state: SeparatorState) -> tuple[F32, F32, SeparatorState]:
        """Mixture frames → mel energies of both stems [k, 2, 26], activity [k]."""
        separation, state = self.separator(frames, state)
        energy = separation.mel**2 * mel_of_frames(frames)[:, None]
        return energy, separation.activity, state


def _stem_energy(frames: F32) -> F32:
    """[k, 2, 1024] → mel energies [k, 2, 26] of known stems."""
    return np.stack([mel_of_frames(frames[:, stem]) for stem in range(2)], axis=1)


def _activity(voice: F32) -> F32:
    """A known voice's relative mel energy [k, 26] → how likely it sings [k]."""
    level = voice.mean(axis=1)
    return (level / (level + np.float32(VOICE_LEVEL))).astype(np.float32)
