"""Voice and accompaniment apart, one hop at a time: gains from the compiled separator."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.compiled import Compiled, CompiledState
from engine.hearing import bands, stft
from engine.hearing.bands import BandState, BandViews
from engine.signals import F32
from kernels.spectral import band_sums


class SeparatorState(NamedTuple):
    bands: BandState
    net: CompiledState


class Separation(NamedTuple):
    """For each of k hops: amplitude gains in [0, 1] for voice and accompaniment, and activity."""

    mel: F32  # [k, 2, 26] on the MFCC's mel bands
    bands: F32  # [k, 2, 96] on `bands.BANK`
    activity: F32  # [k] probability that somebody sings


class Separator:
    """[k, 1024] frames of the mixture → Separation of k hops. No look-ahead: hop k needs hop k."""

    def __init__(self, path: Path, backend: str = "auto", precision: str = "fp32") -> None:
        self.net = Compiled(path, backend, precision)
        self.views = BandViews()

    def initial_state(self, batch: int = 1) -> SeparatorState:
        """Silence before the first hop; one stream."""
        return SeparatorState(self.views.initial_state(batch), self.net.initial_state(batch))

    def __call__(self, x: F32, state: SeparatorState) -> tuple[Separation, SeparatorState]:
        hops = len(x)
        made = Separation(
            np.empty((hops, 2, self.net.config["mel"]), np.float32),
            np.empty((hops, 2, bands.BANDS), np.float32),
            np.empty(hops, np.float32),
        )
        views_state, net_state = state
        for k, frame in enumerate(x):
            spectrum = stft.spectrum(frame)
            power = spectrum.real**2 + spectrum.imag**2
            power = band_sums(power, bands.BANK, bands.LOWS, bands.HIGHS)
            views, views_state = self.views(power[None, None], views_state)
            answer, net_state = self.net({"views": views}, net_state)
            made.mel[k] = answer["mel"][0, 0]
            made.bands[k] = answer["bands"][0, 0]
            made.activity[k] = 1 / (1 + np.exp(-answer["activity"][0, 0]))
        return made, SeparatorState(views_state, net_state)
