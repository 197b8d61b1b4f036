"""Shapes → VRM: laws first, then what the performer's own mouth says, then turns in Unity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.motion import vrm
from engine.motion.blendshapes import ARKIT, INDEX, LOOK_RANGE
from engine.motion.mouthing import STYLES, Face, act_mouth
from engine.motion.visemes import TABLE, Articulation
from engine.rendering.puppet.rig import rotation
from engine.signals import Motion

SHAPES = arrays(np.float32, len(ARKIT), elements=st.floats(0, 1, width=32))
ANGLES = st.floats(-0.8, 0.8)


def face(**shapes: float) -> np.ndarray:
    """[52]; a name without its side stands for both."""
    made = np.zeros(len(ARKIT), np.float32)
    for name, value in shapes.items():
        for side in ("", "Left", "Right"):
            if name + side in INDEX:
                made[INDEX[name + side]] = value
    return made


def motion(
    shapes: np.ndarray | None = None, head=(0, 0, 0, 0, 0, 0), gaze=(0, 0), body=(0, 0, 0)
) -> Motion:
    shapes = face() if shapes is None else shapes
    head, gaze, body = (np.array(values, np.float32) for values in (head, gaze, body))
    return Motion(0, shapes, head, gaze=gaze, body=body)


def sung(sound: str, gain: float = 1.0, style: int = 2) -> np.ndarray:
    """[52] of the performer's mouth holding one sound."""
    v, one = TABLE[sound], np.ones(1)
    gestures = (v.jaw, v.pucker, v.funnel, v.spread, v.teeth, v.tongue, v.breath, v.touch, v.bite)
    said = Articulation(*(np.array([gesture]) for gesture in gestures), voiced=one)
    acted = Face(1, STYLES[style].lean)
    act_mouth(acted, said, np.array([gain]), one, STYLES[style], speech=False)
    return acted.shapes[0].clip(0, 1).astype(np.float32)


# ---- laws ---------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(SHAPES, ANGLES, ANGLES)
def test_every_value_is_between_0_and_1(shapes: np.ndarray, left: float, up: float) -> None:
    moved = motion(shapes, gaze=(left, up))
    for values, names in ((vrm.vrm0(moved), vrm.VRM0), (vrm.vrm1(moved), vrm.VRM1)):
        assert values.shape == (len(names),)
        assert values.min() >= 0
        assert values.max() <= 1
    assert vrm.vowels(shapes).sum() <= 1 + 1e-9
    assert sum(vrm.feelings(shapes)) <= vrm.FEELING + 1e-9


def test_a_face_that_is_all_e_rounds_to_no_negative_a_or_i() -> None:
    for size in np.linspace(0.01, 1, 400):
        shapes = np.full(len(ARKIT), size, np.float32)
        shapes[[INDEX["jawOpen"], INDEX["mouthClose"], INDEX["mouthFunnel"]]] = size, 0, 0
        assert vrm.vowels(shapes).min() >= 0


@settings(max_examples=100, deadline=None)
@given(SHAPES, SHAPES, st.floats(0, 1))
def test_a_small_step_of_the_face_is_a_small_step_of_the_presets(a, b, at) -> None:
    step = 1e-3
    here, there = a + (b - a) * at, a + (b - a) * min(1.0, at + step)
    jump = np.abs(vrm.vrm0(motion(here.astype(np.float32))) -
                  vrm.vrm0(motion(there.astype(np.float32)))).max()  # fmt: skip
    assert jump < 30 * step


def test_a_resting_face_is_no_expression() -> None:
    assert not vrm.vrm0(motion()).any()
    assert not vrm.vrm1(motion()).any()


# ---- vowels -------------------------------------------------------------------------------------

SAID = {
    "A": ("a", "ɑ", "ʌ"),
    "I": ("i",),
    "U": ("u", "w", "y"),
    "E": ("e", "ɛ"),
    "O": ("o", "ɔ"),
}


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize(("vowel", "sound"), [(v, s) for v, sounds in SAID.items() for s in sounds])
def test_the_performers_vowels_are_named_right(vowel: str, sound: str, style: int) -> None:
    said = dict(zip(vrm.VOWELS, vrm.vowels(sung(sound, style=style)), strict=True))
    assert max(said, key=lambda name: said[name]) == vowel
    assert said[vowel] > 0.45


@pytest.mark.parametrize("sound", ["m", "b", "p"])
def test_closed_lips_are_no_vowel(sound: str) -> None:
    assert vrm.vowels(sung(sound)).sum() < 0.03


def test_louder_opens_wider() -> None:
    said = [vrm.vowels(sung("a", gain))[0] for gain in (0.3, 0.6, 1.0)]
    assert said[0] < said[1] < said[2]


def test_lips_closed_over_an_open_jaw_are_closed() -> None:
    assert vrm.vowels(face(jawOpen=0.6, mouthClose=0.6)).sum() < 0.02


# ---- feelings, lids, looks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "feeling"),
    [
        ({"mouthSmile": 0.9, "cheekSquint": 0.7}, 0),
        ({"browDown": 0.9}, 1),
        ({"browInnerUp": 0.9, "mouthFrown": 0.5}, 2),
        ({"mouthSmile": 0.3}, 3),
        ({"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.6}, 4),
    ],
)
def test_feelings(shapes: dict[str, float], feeling: int) -> None:
    felt = vrm.feelings(face(**shapes))
    assert int(np.argmax(felt)) == feeling
    assert felt[feeling] > 0.3


def test_a_spread_vowel_is_no_smile() -> None:
    """The performer's i spreads the lips and lifts their corners: that is I, not Joy."""
    assert sum(vrm.feelings(sung("i"))) < 0.12


def test_a_wink_adds_up_to_what_each_eye_does() -> None:
    values = dict(zip(vrm.VRM0, vrm.vrm0(motion(face(eyeBlinkLeft=1.0, eyeBlinkRight=0.25))),
                      strict=True))  # fmt: skip
    assert values["Blink"] == 0.25
    assert values["Blink"] + values["Blink_L"] == 1.0
    assert values["Blink_R"] == 0


def test_looks() -> None:
    values = dict(zip(vrm.VRM0, vrm.vrm0(motion(gaze=(LOOK_RANGE / 2, -LOOK_RANGE))), strict=True))
    looks = [values[name] for name in vrm.LOOKS]
    assert looks == [0, 1, 0.5, 0]


# ---- turns --------------------------------------------------------------------------------------


def matrix(quaternion) -> np.ndarray:
    """[3, 3] by the textbook; the formula is the same in a left-handed world."""
    x, y, z, w = (float(value) for value in quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


RIGHT, UP, FORWARD = np.eye(3)  # Unity's axes, seen from the singer


@pytest.mark.parametrize(
    ("angles", "of", "towards"),
    [
        ((0.3, 0, 0), FORWARD, -RIGHT),  # yaw > 0: to the singer's left
        ((0, 0.3, 0), FORWARD, UP),  # pitch > 0: up
        ((0, 0, 0.3), UP, RIGHT),  # roll > 0: to the singer's right
    ],
)
def test_the_head_turns_the_right_way_in_unity(angles, of, towards) -> None:
    neck, head, *_ = vrm.bones(motion(head=(*angles, 0, 0, 0)))
    turned = matrix(neck) @ matrix(head) @ of
    assert turned @ towards == pytest.approx(np.sin(0.3), abs=1e-6)
    assert turned @ of == pytest.approx(np.cos(0.3), abs=1e-6)


@given(ANGLES, ANGLES, ANGLES)
def test_neck_and_head_make_the_whole_turn_together(yaw, pitch, roll) -> None:
    neck, head, *_ = vrm.bones(motion(head=(yaw, pitch, roll, 0, 0, 0)))
    whole = matrix(vrm._in_unity(vrm.turn(yaw, pitch, roll)))
    assert np.allclose(matrix(neck) @ matrix(head), whole, atol=1e-5)
    assert np.allclose(np.linalg.norm([neck, head], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_turns_about_one_axis_are_the_puppets(axis: int) -> None:
    """The puppet's axes: x to the right of the picture (the singer's left), y down, z forward."""
    angles = [0.0, 0.0, 0.0]
    angles[axis] = 0.4
    flip = np.diag([1.0, -1.0, 1.0])
    ours = matrix(vrm.turn(*angles))
    assert np.allclose(flip @ ours @ flip, rotation(*angles), atol=1e-6)


def test_eyes_turn_with_the_gaze() -> None:
    *_, left, right = vrm.bones(motion(gaze=(0.2, 0.1)))
    assert np.array_equal(left, right)
    look = matrix(left) @ FORWARD
    assert look @ -RIGHT == pytest.approx(np.sin(0.2) * np.cos(0.1), abs=1e-5)
    assert look @ UP == pytest.approx(np.sin(0.1), abs=1e-5)


@given(ANGLES, ANGLES, ANGLES)
def test_shoulders_that_move_leave_the_look_where_it_was(yaw, pitch, roll) -> None:
    """Chest, neck and head together are the head's turn, whatever the chest does."""
    sung = motion(head=(yaw, pitch, roll, 0, 0, 0), body=(roll / 4, yaw / 4, pitch / 4))
    chest, neck, head = map(matrix, vrm.torso(sung))
    assert np.allclose(chest @ neck @ head, matrix(vrm.turn(yaw, pitch, roll)), atol=1e-5)
    assert np.allclose(chest, matrix(vrm.turn(roll / 4, yaw / 4, pitch / 4)), atol=1e-6)
