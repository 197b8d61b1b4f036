"""Known words on the lips: laws first, then what lips do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.motion.blendshapes import ARKIT, INDEX
from engine.motion.lyrics import MOUTH, TRUST, KnownWords
from engine.motion.visemes import Phone
from engine.signals import Motion

LA_MA = KnownWords([Phone("l", 1.0, 1.1), Phone("a", 1.1, 1.5), Phone("m", 1.5, 1.6),
                    Phone("a", 1.6, 2.0)])  # fmt: skip


def motion(frame: int, voice: float = 1.0, shapes: np.ndarray | None = None) -> Motion:
    face = np.full(len(ARKIT), 0.3, np.float32) if shapes is None else shapes
    return Motion(frame, face, np.zeros(6, np.float32), voice=voice)


def shown(words: KnownWords, seconds: float, name: str, voice: float = 1.0) -> float:
    return float(words(motion(int(seconds * 30), voice), 2).blendshapes[INDEX[name]])


@given(
    arrays(np.float32, len(ARKIT), elements=st.floats(0, 1, width=32)),
    st.integers(-5, 200),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_pure_bounded_and_only_the_mouth(shapes, frame, voice, style):
    before = shapes.copy()
    heard = motion(frame, voice, shapes)
    known = LA_MA(heard, style)
    assert LA_MA(heard, style).blendshapes.tobytes() == known.blendshapes.tobytes()
    np.testing.assert_array_equal(shapes, before)
    assert known.blendshapes.min() >= 0
    assert known.blendshapes.max() <= 1
    others = np.setdiff1d(np.arange(len(ARKIT)), MOUTH)
    np.testing.assert_array_equal(known.blendshapes[others], shapes[others])


@pytest.mark.parametrize("frame", [0, 20, 75, 1_000_000])
def test_where_nothing_is_known_the_motion_is_what_was_heard(frame):
    heard = motion(frame)
    assert LA_MA(heard, 2) is heard
    assert KnownWords([])(heard, 2) is heard


def test_lips_meet_in_m_though_the_mouth_was_heard_open():
    assert shown(LA_MA, 1.55, "mouthPressLeft") > shown(LA_MA, 1.3, "mouthPressLeft") + 0.2
    assert shown(LA_MA, 1.55, "jawOpen") < 0.15 < 0.3 < shown(LA_MA, 1.3, "jawOpen")


def test_who_does_not_sing_does_not_open_the_mouth():
    assert shown(LA_MA, 1.3, "jawOpen", voice=0.0) <= (1 - TRUST) * 0.3 + 1e-6


def test_another_style_is_another_mouth():
    shy, theatrical = (LA_MA(motion(39), style).blendshapes for style in (0, 5))
    assert np.abs(shy - theatrical).max() > 0.01
