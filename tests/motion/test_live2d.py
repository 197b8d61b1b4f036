"""Motion → VTube Studio's parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.motion.blendshapes import ARKIT
from engine.motion.live2d import PARAMETERS, arkit_parameters, parameters
from tests.motion.test_vrm import SHAPES, face, motion

RANGES = {"FaceAngle": (-30, 30), "FacePosition": (-10, 10), "MouthX": (-1, 1)}
RANGES |= {f"Eye{side}{axis}": (-1, 1) for side in ("Left", "Right") for axis in "XY"}


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_every_parameter_is_finite_and_in_its_range(shapes, turned, gaze) -> None:
    values = parameters(motion(shapes, head=(turned,) * 3 + (gaze,) * 3, gaze=(gaze, gaze)))
    assert tuple(sorted(values)) == tuple(sorted(PARAMETERS))
    for name, value in values.items():
        low, high = next((r for begin, r in RANGES.items() if name.startswith(begin)), (0, 1))
        assert low <= value <= high, name


def test_a_resting_face() -> None:
    values = parameters(motion())
    assert values["MouthOpen"] == values["FaceAngleX"] == values["TongueOut"] == 0
    assert values["EyeOpenLeft"] == values["EyeOpenRight"] == 1
    assert values["MouthSmile"] == values["BrowLeftY"] == values["Brows"] == 0.5


@pytest.mark.parametrize(
    ("name", "head", "sign"),
    [
        ("FaceAngleX", (0.2, 0, 0), 1),  # the singer's left is the right of the screen
        ("FaceAngleY", (0, 0.2, 0), 1),
        ("FaceAngleZ", (0, 0, 0.2), -1),  # tilted to the singer's right: the left of the screen
    ],
)
def test_angles_are_degrees_with_live2ds_signs(name: str, head, sign: int) -> None:
    values = parameters(motion(head=(*head, 0, 0, 0)))
    assert values[name] == pytest.approx(sign * math.degrees(0.2), abs=1e-3)
    others = [values[f"FaceAngle{axis}"] for axis in "XYZ" if not name.endswith(axis)]
    assert others == [0, 0]


def test_eyes_count_towards_the_singers_right() -> None:
    values = parameters(motion(gaze=(0.25, 0.1)))
    assert values["EyeLeftX"] == values["EyeRightX"] == -0.5
    assert values["EyeLeftY"] == pytest.approx(0.2)


def test_mouth() -> None:
    smile, frown, closed = (
        parameters(motion(face(**shapes)))
        for shapes in (
            {"mouthSmile": 0.4},
            {"mouthFrown": 0.4},
            {"jawOpen": 0.5, "mouthClose": 0.5},
        )
    )
    assert smile["MouthSmile"] > 0.8
    assert frown["MouthSmile"] < 0.2
    assert closed["MouthOpen"] == 0


def test_all_52_under_names_of_our_own() -> None:
    shapes = np.linspace(0, 1, len(ARKIT)).astype(np.float32)
    values = arkit_parameters(motion(shapes), "Cantar")
    assert len(values) == 52
    assert values["CantarEyeBlinkLeft"] == 0
    assert values["CantarTongueOut"] == 1
    assert all(4 <= len(name) <= 32 and name.isalnum() for name in values)
