"""How late pictures are, and how far from their sound, where a viewer sees them; minutes long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.page import BITS, BLOCK, Marked, Times, figures, watched
from engine.signals import Sound
from engine.timeline import FRAME
from streaming.casts import Cast
from streaming.line import LiveConfig, ShowConfig
from streaming.webconfig import WebConfig
from tests.browser import chromium
from tests.fakes import FakeAvatar


def test_marks_tell_frame_and_the_sample_at_which_a_tone_begins() -> None:
    """What the measurement rests on, in any chunks."""
    avatar = FakeAvatar(size=512)
    avatar.close = lambda: None  # type: ignore[attr-defined]
    cast = Cast(avatar.config, avatar, avatar, None)  # type: ignore[arg-type]
    both = Marked(cast)
    samples = np.zeros((2, 4 * FRAME), np.float32)
    samples[:, 2 * FRAME + 123 : 2 * FRAME + 700 : 2] = 0.5
    state, motions = both.initial_state(), []
    for start in range(0, samples.shape[1], 1000):
        made, state = both.hear(Sound(samples[:, start : start + 1000], start), state)
        motions += made
    values = []
    for motion in motions:
        row = both.draw(motion).rgba[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK, 0]
        values.append(sum(int(v > 127) << bit for bit, v in enumerate(row)))
    assert values[:2] == [0, 1]
    if len(values) > 2:
        assert values[2] == 2 | 1 << 16 | 123 << 17


def test_figures_of_a_show_made_up() -> None:
    """150 ms from glass to glass, sound 12 ms after its picture, every tenth frame left out."""
    sent = np.arange(10) * 770.0
    pictures = sent + 150
    first = {n: n * 1000 / 30 for n in range(240) if n % 10}
    found = figures(Times(pictures, sent, pictures + 12, first))
    assert found["glass to glass p50, ms"] == found["glass to glass p95, ms"] == 150
    assert found["skew median, ms"] == 12
    assert found["skew at the beginning, ms"] == found["skew at the end, ms"] == 12
    assert found["skew growth, ms"] == 0
    drifting = figures(Times(pictures, sent, pictures + 2 * np.arange(10), first))
    assert drifting["skew at the beginning, ms"] == 2
    assert drifting["skew at the end, ms"] == 16
    assert drifting["skew growth, ms"] == 14
    assert found["frames shown, share"] == pytest.approx(0.9, abs=0.01)
    assert found["pictures a second"] == pytest.approx(27, abs=0.3)


@pytest.mark.slow
def test_a_minute_from_the_microphone_to_the_screen(tmp_path: Path) -> None:
    """On a quiet machine: the browser shares its cores."""
    chromium()
    config = ShowConfig(live=LiveConfig(), web=WebConfig(sessions=1, drain_s=0.0))
    found = figures(watched(60, config, tmp_path))
    print(found)
    assert found["tones"] > 30
    assert found["glass to glass p50, ms"] <= 200
    assert found["glass to glass p95, ms"] <= 250
    assert abs(found["skew median, ms"]) <= 40
    assert abs(found["skew growth, ms"]) <= 20
    assert found["pictures a second"] >= 29.5
