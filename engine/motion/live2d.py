"""A motion as VTube Studio's tracking parameters, which drive Live2D models.

Names and ranges are those of VTube Studio's own face tracking; + is the right of the screen (the
singer's left) and up. Eyes count the other way round, as its tracking has it: + is the singer's
right.
"""

from __future__ import annotations

import math

from engine.motion.blendshapes import ARKIT, INDEX, LOOK_RANGE
from engine.signals import F32, Motion

ANGLE = 30.0  # degrees, the range of FaceAngle*
POSITION = 10.0  # the range of FacePosition*
PER_METRE = (100.0, 100.0, -50.0)  # FacePosition units
MOUTH_OPEN = 1.2  # per jaw that the lips do not close again
SMILE = 1.0  # of MouthSmile per smile: 0.5 is neutral, 0 a frown, 1 a smile
BROW = 1.0  # of Brow*Y per brow: 0.5 is neutral


def parameters(motion: Motion) -> dict[str, float]:
    """Values of VTube Studio's default parameters."""
    shapes = motion.blendshapes
    yaw, pitch, roll = (math.degrees(float(angle)) for angle in motion.head[:3])
    place = zip("XYZ", motion.head[3:], PER_METRE, strict=True)
    left, up = (float(angle) / LOOK_RANGE for angle in motion.gaze)
    brows = {side: _brow(shapes, side) for side in ("Left", "Right")}
    values = {
        "FaceAngleX": _within(yaw, ANGLE),
        "FaceAngleY": _within(pitch, ANGLE),
        "FaceAngleZ": _within(-roll, ANGLE),
        **{f"FacePosition{axis}": _within(unit * float(x), POSITION) for axis, x, unit in place},
        "MouthOpen": _unit(MOUTH_OPEN * (_of(shapes, "jawOpen") - _of(shapes, "mouthClose"))),
        "MouthSmile": _unit(0.5 + SMILE * (_pair(shapes, "mouthSmile") - _sour(shapes))),
        "MouthX": _within(_of(shapes, "mouthLeft") - _of(shapes, "mouthRight"), 1.0),
        "TongueOut": _of(shapes, "tongueOut"),
        "CheekPuff": _of(shapes, "cheekPuff"),
        "EyeOpenLeft": 1.0 - _of(shapes, "eyeBlinkLeft"),
        "EyeOpenRight": 1.0 - _of(shapes, "eyeBlinkRight"),
        "BrowLeftY": _unit(0.5 + BROW * brows["Left"]),
        "BrowRightY": _unit(0.5 + BROW * brows["Right"]),
        "Brows": _unit(0.5 + BROW * 0.5 * (brows["Left"] + brows["Right"])),
    }
    for side in ("Left", "Right"):
        values[f"Eye{side}X"], values[f"Eye{side}Y"] = _within(-left, 1.0), _within(up, 1.0)
    return {name: round(value, 4) + 0.0 for name, value in values.items()}


PARAMETERS = (
    "FaceAngleX", "FaceAngleY", "FaceAngleZ", "FacePositionX", "FacePositionY", "FacePositionZ",
    "MouthOpen", "MouthSmile", "MouthX", "TongueOut", "CheekPuff", "EyeOpenLeft", "EyeOpenRight",
    "EyeLeftX", "EyeLeftY", "EyeRightX", "EyeRightY", "BrowLeftY", "BrowRightY", "Brows",
)  # fmt: skip


def arkit_parameters(motion: Motion, prefix: str) -> dict[str, float]:
    """The 52 shapes under names of our own, for models that were rigged for all of them."""
    names = (prefix + name[0].upper() + name[1:] for name in ARKIT)
    return dict(zip(names, (round(float(x), 4) for x in motion.blendshapes), strict=True))


def _of(shapes: F32, name: str) -> float:
    return float(shapes[INDEX[name]])


def _pair(shapes: F32, name: str) -> float:
    return 0.5 * (_of(shapes, f"{name}Left") + _of(shapes, f"{name}Right"))


def _sour(shapes: F32) -> float:
    """What takes the smile out of a mouth: a frown, or lips pushed forward (Live2D draws a round
    mouth where MouthSmile is low)."""
    return _pair(shapes, "mouthFrown") + 0.5 * _of(shapes, "mouthPucker")


def _brow(shapes: F32, side: str) -> float:
    raised = 0.5 * (_of(shapes, f"browOuterUp{side}") + _of(shapes, "browInnerUp"))
    return raised - _of(shapes, f"browDown{side}")


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _within(value: float, most: float) -> float:
    return min(most, max(-most, value))
