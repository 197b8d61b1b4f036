"""A motion in the words of VRM: presets of VRM 0 and 1, bones as Unity turns them.

The 52 shapes say what every muscle does; a VRM model has five vowels, four feelings, lids and
looks. The vowels are those whose poses, added up, come nearest to the mouth (non-negative least
squares), so that a closed mouth is no vowel, half an A is half an A, and what lies between O and U
is some of both; what A and I have in common is said as E. They move as smoothly as the mouth does.
Feelings are what is left once the vowels have had their share of the smile, and stay below FEELING,
so that words remain legible.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from engine.motion.blendshapes import INDEX, LOOK_RANGE
from engine.signals import F32, Motion

F64 = NDArray[np.float64]
Quaternion = tuple[float, float, float, float]  # x, y, z, w

VOWELS = ("A", "I", "U", "E", "O")
FEELINGS = ("Joy", "Angry", "Sorrow", "Fun")
LOOKS = ("LookUp", "LookDown", "LookLeft", "LookRight")
VRM0 = (*VOWELS, *FEELINGS, "Blink", "Blink_L", "Blink_R", *LOOKS)
VRM1 = (
    "aa", "ih", "ou", "ee", "oh", "happy", "angry", "sad", "relaxed", "surprised", "neutral",
    "blink", "blinkLeft", "blinkRight", "lookUp", "lookDown", "lookLeft", "lookRight",
)  # fmt: skip
FEELING = 0.6  # the most of all feelings together: more would bend the vowels out of shape
NECK = 0.4  # share of the head's turn that the neck does

# What a vowel at 1 looks like. Rows: how far the lips are apart, then shapes, both sides' mean.
_ROWS = ("mouthPucker", "mouthFunnel", "mouthStretch", "mouthLowerDown", "mouthUpperUp")
_WEIGHTS = np.array([2.0, 1.0, 1.0, 1.2, 0.5, 0.5])
_POSES = np.array([
    # A     I     U     O
    [0.74, 0.22, 0.20, 0.44],  # apart
    [0.00, 0.00, 0.80, 0.50],  # pucker
    [0.00, 0.00, 0.32, 0.42],  # funnel
    [0.15, 0.48, 0.00, 0.02],  # stretch
    [0.27, 0.08, 0.03, 0.10],  # lower lip down
    [0.18, 0.05, 0.02, 0.06],  # upper lip up
])  # fmt: skip
_E = (0.4, 0.6)  # an E looks like so much of an A and so much of an I
_FIT = _WEIGHTS[:, None] * _POSES
_SPREAD_SMILE = 0.5  # smile that comes with a spread vowel, per stretch


def vowels(shapes: F32) -> F64:
    """[5] A I U E O of a face [52], each ≥ 0, together ≤ 1."""
    apart = max(0.0, float(shapes[INDEX["jawOpen"]] - shapes[INDEX["mouthClose"]]))
    seen = np.array([apart, *(_mean(shapes, name) for name in _ROWS)])
    a, i, u, o = nnls(_FIT, _WEIGHTS * seen)[0]
    e = min(a / _E[0], i / _E[1])
    weights = np.maximum(0, [a - _E[0] * e, i - _E[1] * e, u, e, o])  # rounding may go below
    return weights / max(1.0, float(weights.sum()))


def feelings(shapes: F32) -> tuple[float, float, float, float, float]:
    """Joy, anger, sorrow, fun and surprise of a face [52], each in [0, 1].

    A broad smile with raised cheeks is joy, a gentle one fun; knit brows are anger; inner brows
    raised alone are sorrow, together with the outer ones surprise.
    """
    smile = _mean(shapes, "mouthSmile") - _SPREAD_SMILE * _mean(shapes, "mouthStretch")
    smile = max(0.0, smile - _mean(shapes, "mouthFrown"))
    inner, outer = float(shapes[INDEX["browInnerUp"]]), _mean(shapes, "browOuterUp")
    knit = _mean(shapes, "browDown")
    broad = _over(min(smile, 0.3 + _mean(shapes, "cheekSquint")), 0.3, 0.8)
    values = (
        broad,
        _over(knit - inner, 0.15, 0.8),
        _over(inner - outer + _mean(shapes, "mouthFrown") - smile, 0.25, 1.0),
        _over(smile, 0.05, 0.5) * (1 - broad),
        _over(min(inner, outer) + _mean(shapes, "eyeWide") - knit, 0.45, 1.2),
    )
    scale = FEELING / max(FEELING, sum(values))
    joy, anger, sorrow, fun, surprise = (scale * value for value in values)
    return joy, anger, sorrow, fun, surprise


def vrm0(motion: Motion) -> F32:
    """[16] values of the presets VRM0, in [0, 1]."""
    shapes = motion.blendshapes
    joy, anger, sorrow, fun, _ = feelings(shapes)
    faces = (joy, anger, sorrow, fun)
    return np.array([*vowels(shapes), *faces, *_lids(shapes), *_looks(motion)], np.float32)


def vrm1(motion: Motion) -> F32:
    """[18] values of the presets VRM1, in [0, 1]."""
    shapes = motion.blendshapes
    joy, anger, sorrow, fun, surprise = feelings(shapes)
    faces = (joy, anger, sorrow, fun, surprise, 0.0)
    return np.array([*vowels(shapes), *faces, *_lids(shapes), *_looks(motion)], np.float32)


def _mean(shapes: F32, name: str) -> float:
    """Of a shape, or of both sides of a pair."""
    if name in INDEX:
        return float(shapes[INDEX[name]])
    return 0.5 * float(shapes[INDEX[name + "Left"]] + shapes[INDEX[name + "Right"]])


def _over(value: float, least: float, most: float) -> float:
    """How far a value is from `least` (0) to `most` (1)."""
    return min(1.0, max(0.0, (value - least) / (most - least)))


def _lids(shapes: F32) -> tuple[float, float, float]:
    """Blink, and what each eye closes beyond it: a model adds them up."""
    left, right = float(shapes[INDEX["eyeBlinkLeft"]]), float(shapes[INDEX["eyeBlinkRight"]])
    both = min(left, right)
    return both, left - both, right - both


def _looks(motion: Motion) -> tuple[float, float, float, float]:
    left, up = (float(angle) / LOOK_RANGE for angle in motion.gaze)
    values = (up, -up, left, -left)
    a, b, c, d = (min(1.0, max(0.0, value)) for value in values)
    return a, b, c, d


# ---- bones --------------------------------------------------------------------------------------

BONES = ("Neck", "Head", "LeftEye", "RightEye")  # UnityEngine.HumanBodyBones


def bones(motion: Motion) -> F32:
    """[4, 4] local turns of BONES as Unity quaternions (x right, y up, z forward; left-handed),
    for a body that stands as VRM 0 has it: unturned bones."""
    return np.array([_in_unity(quaternion) for quaternion in turns(motion)], np.float32)


def turns(motion: Motion) -> tuple[Quaternion, Quaternion, Quaternion, Quaternion]:
    """Local turns of BONES in the axes of `signals.Motion`, for shoulders that stay as they are."""
    head = turn(*_angles(motion.head[:3]))
    left, up = _angles(motion.gaze)
    eye = turn(left, up, 0.0)
    return _share(head, NECK), _share(head, 1 - NECK), eye, eye


def torso(motion: Motion) -> tuple[Quaternion, Quaternion, Quaternion]:
    """Local turns of chest, neck and head in the axes of `signals.Motion`, which are VRM 1's too:
    the shoulders move, and the head still looks where it should."""
    chest = turn(*_angles(motion.body))
    x, y, z, w = chest
    head = _product((-x, -y, -z, w), turn(*_angles(motion.head[:3])))
    return chest, _share(head, NECK), _share(head, 1 - NECK)


def _angles(values: F32) -> list[float]:
    return [float(value) for value in values]


def turn(yaw: float, pitch: float, roll: float) -> Quaternion:
    """Tilt after turn after nod, in the axes of `signals.Motion`: x to the singer's left, y up, z
    forward, right-handed."""
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    cp, sp = math.cos(pitch / 2), -math.sin(pitch / 2)
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    x, y, z, w = cy * sp, sy * cp, -sy * sp, cy * cp  # turn after nod
    return cr * x - sr * y, cr * y + sr * x, cr * z + sr * w, cr * w - sr * z


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    """First the turn `b`, then the turn `a`."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def _share(quaternion: Quaternion, share: float) -> Quaternion:
    """That part of a turn, about the same axis; the parts of 1 make up the whole."""
    x, y, z, w = quaternion
    sine = math.sqrt(x * x + y * y + z * z)
    if sine < 1e-9:
        return 0.0, 0.0, 0.0, 1.0
    half = math.atan2(sine, w) * share
    scale = math.sin(half) / sine
    return x * scale, y * scale, z * scale, math.cos(half)


def _in_unity(quaternion: Quaternion) -> Quaternion:
    """The same turn seen in a mirror that swaps left and right: Unity's x points the other way."""
    x, y, z, w = quaternion
    return x, -y, -z, w
