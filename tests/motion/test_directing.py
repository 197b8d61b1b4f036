"""What a director adds to a motion: bounded, smooth, and nothing unless asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.motion.blendshapes import ARKIT, INDEX
from engine.motion.directing import OVERLAYS, Direction, directed
from tests.motion.test_vrm import SHAPES, face, motion

WEIGHTS = st.dictionaries(st.sampled_from(sorted(OVERLAYS)), st.floats(0, 1), max_size=4)
SIZES = st.floats(0, 2)


def of(moved, name: str) -> float:
    return float(moved.blendshapes[INDEX[name]])


@settings(max_examples=100, deadline=None)
@given(SHAPES, WEIGHTS, SIZES, SIZES, st.floats(0, 1))
def test_shapes_stay_between_0_and_1(shapes, overlays, mouth, eyes, rest) -> None:
    played = directed(motion(shapes, head=(0.1,) * 6), Direction(mouth, 1.0, eyes, rest, overlays))
    assert played.blendshapes.shape == (len(ARKIT),)
    assert played.blendshapes.dtype == np.float32
    assert played.blendshapes.min() >= 0
    assert played.blendshapes.max() <= 1
    assert np.isfinite(played.head).all()


def test_without_direction_it_is_the_same_object() -> None:
    moved = motion(face(jawOpen=0.5))
    assert directed(moved, Direction()) is moved
    assert directed(moved, Direction(overlays={"smile": 0.0})) is moved


def test_sizes() -> None:
    moved = motion(face(jawOpen=0.4, browInnerUp=0.3), head=(0.2, 0, 0, 0, 0, 0), gaze=(0.1, 0))
    played = directed(moved, Direction(mouth=1.5, head=0.5, eyes=0.0))
    assert of(played, "jawOpen") == pytest.approx(0.6)
    assert of(played, "browInnerUp") == pytest.approx(0.3)
    assert played.head[0] == pytest.approx(0.1)
    assert not played.gaze.any()


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_every_expression_shows_on_a_resting_and_on_a_singing_face(name: str) -> None:
    for moved in (motion(), motion(face(jawOpen=0.6, mouthFrown=0.3, eyeBlink=0.1))):
        played = directed(moved, Direction(overlays={name: 1.0}))
        changed = played.blendshapes - moved.blendshapes
        assert changed.max() > 0.2
        assert of(played, "jawOpen") >= of(moved, "jawOpen")  # the words stay


def test_a_smile_takes_the_frown_away_and_a_wink_is_one_eye() -> None:
    played = directed(motion(face(mouthFrown=0.5)), Direction(overlays={"smile": 1.0}))
    assert of(played, "mouthFrownLeft") == 0
    wink = directed(motion(), Direction(overlays={"wink": 1.0}))
    assert of(wink, "eyeBlinkLeft") == 1
    assert of(wink, "eyeBlinkRight") == 0


def test_rest_hides_the_singing_but_not_the_expression() -> None:
    played = directed(
        motion(face(jawOpen=0.8), head=(0.3, 0, 0, 0, 0, 0)),
        Direction(rest=1.0, overlays={"smile": 1.0}),
    )
    assert of(played, "jawOpen") == 0
    assert not played.head.any()
    assert of(played, "mouthSmileLeft") == 0.75


def test_centre_is_taken_for_straight_ahead() -> None:
    moved = motion(head=(0.2, -0.1, 0.05, 0, 0, 0))
    played = directed(moved, Direction(centre=(0.2, -0.1, 0.05)))
    assert np.allclose(played.head, 0, atol=1e-6)
