"""Hops to frames: for each picture, the 39 feature hops that end at its instant plus lookahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.hearing.features import silence
from engine.hearing.hearing import Heard
from engine.hearing.mfcc import FEATURES
from engine.signals import F32
from engine.timeline import check_lookahead, hops_heard

LENGTH = 39  # hops


class WindowState(NamedTuple):
    past: F32  # [39, 2, 26] newest hops, oldest first
    activity: F32  # [39] of the same hops
    hops: np.ndarray  # [] int64, hops heard since sample 0
    frame: np.ndarray  # [] int64, the next frame


class Windows(NamedTuple):
    features: F32  # [f, 2, 39, 26]
    activity: F32  # [f] at each frame's own instant


class FeatureWindows:
    """Heard of k hops → Windows of the f frames that these hops complete.

    MusicFace §3.2.1, made causal: the window of frame n ends with the last whole hop before sample
    1,600·(n + lookahead).
    """

    def __init__(self, lookahead: int) -> None:
        self.lookahead = check_lookahead(lookahead)

    def initial_state(self, batch: int = 1) -> WindowState:
        """Silence before the first hop. One show only: batch must be 1."""
        if batch != 1:
            raise ValueError(f"windows follow one show, got batch {batch}")
        past = np.broadcast_to(silence(), (LENGTH, 2, FEATURES)).copy()
        return WindowState(past, np.zeros(LENGTH, np.float32), np.array(0), np.array(0))

    def __call__(self, x: Heard, state: WindowState) -> tuple[Windows, WindowState]:
        joined = np.concatenate([state.past, x.features])
        activity = np.concatenate([state.activity, x.activity])
        heard, frame, new = int(state.hops), int(state.frame), len(x.features)
        windows, voices = [np.zeros((0, 2, LENGTH, FEATURES), np.float32)], []
        while (end := hops_heard(frame, self.lookahead)) <= heard + new:
            start = end - heard  # `joined` begins LENGTH hops before hop `heard`
            windows.append(joined[start : start + LENGTH].transpose(1, 0, 2)[None])
            here = min(hops_heard(frame, 0) + 1, end) - heard + LENGTH - 1
            voices.append(activity[here])
            frame += 1
        made = Windows(np.concatenate(windows), np.array(voices, np.float32))
        hops = np.array(heard + new)
        return made, WindowState(joined[new:], activity[new:], hops, np.array(frame))

    def resume(self, hops: int, state: WindowState) -> WindowState:
        """After a gap in the sound: go on at hop `hops` with the first frame that still can be."""
        frame = int(state.frame)
        while hops_heard(frame, self.lookahead) < hops:
            frame += 1
        return state._replace(hops=np.array(hops), frame=np.array(frame))
