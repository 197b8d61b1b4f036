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
    """[k, 1024] frames of the mixture → Separation of k hops. No look-ahead: hop k needs hop k.

    The network hears a few hops at once, which reads its weights once.
    """

    def __init__(self, path: Path, backend: str = "auto", precision: str = "fp32") -> None:
        self.net = Compiled(path, backend, precision)
        self.views = BandViews()
        self.at_once = self.net.graph.inputs["last"][1]

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
        for start in range(0, hops, self.at_once):
            now = slice(start, start + self.at_once)
            said, state = self._hear(x[now], state)
            for whole, part in zip(made, said, strict=True):
                whole[now] = part
        return made, state

    def _hear(self, x: F32, state: SeparatorState) -> tuple[Separation, SeparatorState]:
        """As many hops as the graph takes at most; empty ones fill it up, and `last` passes over
        them.
        """
        count = len(x)
        views, views_state = self.views(_band_power(x)[:, None], state.bands)
        filled = np.zeros((1, self.at_once, *views.shape[2:]), np.float32)
        filled[0, :count] = views[:, 0]
        last = np.zeros((1, self.at_once), np.float32)
        last[0, count - 1] = 1
        answer, net_state = self.net({"views": filled, "last": last}, state.net)
        mel, gains, logit = (answer[name][0, :count] for name in ("mel", "bands", "activity"))
        activity = (1 / (1 + np.exp(-logit))).astype(np.float32)
        return Separation(mel, gains, activity), SeparatorState(views_state, net_state)


def _band_power(frames: F32) -> F32:
    """[k, 1024] → [k, 96]."""
    return band_sums(stft.spectrum(frames), bands.BANK, bands.LOWS, bands.HIGHS)
