"""The benches that score what is heard: on sounds whose scores are known."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from bench.baselines import HOP, OFFLINE
from bench.quality import ablation
from bench.separation import laid_over, offline_scores, recording_of, recording_scores
from engine.hearing.separator import Separator
from engine.timeline import FEATURE_RATE
from engine.weights import shipped

SECOND = FEATURE_RATE


def test_a_recording_is_scored_where_nobody_sings() -> None:
    """Silence, told to be unsung, holds no voice; told to be sung, it is missed."""
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * SECOND).astype(np.float32)
    sound = np.concatenate([np.zeros(2 * SECOND, np.float32), noise])
    separator = Separator(shipped("separator.onnx"), "onnxruntime")
    scores = recording_scores(separator, sound, [(0.0, 2.0)])
    assert scores["false voice where nobody sings"] <= 0.02
    assert 0 <= scores["activity AUC"] <= 1
    swapped = recording_scores(separator, sound, [(2.0, 4.0)])
    assert swapped["voice noticed elsewhere"] <= 0.03
    assert swapped["activity AUC"] == pytest.approx(1 - scores["activity AUC"], abs=0.02)
    assert swapped["leak where nobody sings, dB"] <= 0


def test_a_voice_is_laid_over_the_longest_stretch_as_loud_as_it() -> None:
    ramp = np.linspace(0, 1, 10 * SECOND, dtype=np.float32)
    voice = np.full(3 * SECOND, 0.1, np.float32)
    laid, backing = laid_over(voice, ramp, [(0, 1), (4, 6), (7, 8)])
    assert len(laid) == len(backing) == 2 * SECOND
    assert (backing**2).mean() == pytest.approx((laid**2).mean(), rel=1e-3)
    np.testing.assert_allclose(
        backing / backing[0], ramp[4 * SECOND : 6 * SECOND] / ramp[4 * SECOND], rtol=1e-5
    )


@pytest.mark.parametrize("text", ["song.ogg", "song.ogg=", "song.ogg=3-2", "song.ogg=a-b", "=0-1"])
def test_a_recording_without_stretches_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="seconds where nobody sings"):
        recording_of(text)
    assert recording_of("a=b.ogg=0-1.5,2-3") == ("a=b.ogg", [(0, 1.5), (2, 3)])


def test_offline_separators_part_a_voice_from_what_repeats() -> None:
    """A bar that comes again and again, and a tone that comes once: both take the tone."""
    rng, count = np.random.default_rng(0), np.arange(8 * HOP)
    bar = rng.normal(0, 0.1, len(count)) * np.exp(-count / 400)
    backing = np.tile(bar, 128).astype(np.float32)
    t = np.arange(len(backing)) / SECOND
    voice = (0.1 * np.sin(2 * np.pi * 440 * t) * ((t > 3) & (t < 4.5))).astype(np.float32)
    for name, take_voice in OFFLINE.items():
        scores = offline_scores(take_voice, voice, backing)
        assert scores["SI-SDR gain, dB"] > 3, name
        assert scores["leak of accompaniment alone, dB"] < -3, name


def test_the_quality_report_holds_what_the_ablation_found(tmp_path: Path) -> None:
    found = {"Ours": {"0": {"CCA": 0.5}, "1": {"CCA": 0.7}}, "With-ATM": {"0": {"CCA": 0.25}}}
    path = tmp_path / "ablation.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    rows = ablation(path).splitlines()
    assert rows[0] == "| | CCA |"
    assert rows[2:] == ["| Ours | 0.600 ± 0.100 |", "| With-ATM | 0.250 ± 0.000 |"]
