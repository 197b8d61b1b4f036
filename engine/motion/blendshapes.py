"""The control space: Apple's 52 ARKit blendshapes, by name and index."""

from __future__ import annotations

ARKIT = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip

INDEX = {name: index for index, name in enumerate(ARKIT)}

EYE_BLINK_LEFT = INDEX["eyeBlinkLeft"]
EYE_BLINK_RIGHT = INDEX["eyeBlinkRight"]
JAW_OPEN = INDEX["jawOpen"]

LOOK_RANGE = 0.5  # radians of gaze that an eyeLook shape of 1 stands for


def look_shapes(sideways: float, up: float) -> dict[int, float]:
    """Index → value of the eight eyeLook shapes for a gaze in radians (> 0 left, > 0 up)."""
    left, right = max(0.0, sideways) / LOOK_RANGE, max(0.0, -sideways) / LOOK_RANGE
    above, below = max(0.0, up) / LOOK_RANGE, max(0.0, -up) / LOOK_RANGE
    values = {
        "eyeLookOutLeft": left, "eyeLookInRight": left,
        "eyeLookInLeft": right, "eyeLookOutRight": right,
        "eyeLookUpLeft": above, "eyeLookUpRight": above,
        "eyeLookDownLeft": below, "eyeLookDownRight": below,
    }  # fmt: skip
    return {INDEX[name]: min(1.0, value) for name, value in values.items()}
