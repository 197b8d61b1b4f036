"""A show that never ends: the autoregressive head and its LSTM at the shipped precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from engine.hearing.hearing import Hearing
from engine.hearing.separator import Separator
from engine.hearing.windows import FeatureWindows
from engine.motion.musicface import MusicFace
from engine.timeline import FRAME_RATE, SAMPLE_RATE
from engine.weights import shipped

SONG = Path(__file__).resolve().parents[1] / "data" / "held_out_1.flac"


@pytest.mark.parametrize("minutes", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_the_head_neither_walks_away_nor_freezes(minutes: int) -> None:
    """The same song again and again: the last minute's head moves as the second minute's did."""
    both, rate = soundfile.read(SONG, dtype="float32")
    sound = soxr.resample(both.sum(1), rate, SAMPLE_RATE)[None]
    hearing, cutter = Hearing(Separator(shipped("separator.onnx"))), FeatureWindows(2)
    heard, _ = hearing(sound, hearing.initial_state())
    windows = cutter(heard, cutter.initial_state())[0].features
    face = MusicFace(shipped("musicface.onnx"), 2, 2)
    state, minute, seen, sizes = face.initial_state(), 60 * FRAME_RATE, [], []
    for _ in range(-(-minutes * minute // len(windows))):
        acted, state = face(windows, state)
        seen.append(acted.pose)
        sizes.append([float(np.abs(leaf).max()) for leaf in state.leaves])
    pose = np.concatenate(seen)
    assert np.abs(pose[:, :3]).max() < 0.8
    assert np.abs(pose[:, 3:]).max() < 0.08
    early, late = pose[minute : 2 * minute], pose[-minute:]
    speed = [np.abs(np.diff(part, axis=0)).mean() for part in (early, late)]
    assert 0.5 < speed[1] / speed[0] < 2
    assert np.abs(late.mean(0) - early.mean(0)).max() < 0.15
    after_one, at_last = np.array(sizes[1]), np.array(sizes[-1])  # each at the end of the song
    assert np.isfinite(at_last).all()
    assert (at_last < 1.5 * after_one + 0.1).all()
