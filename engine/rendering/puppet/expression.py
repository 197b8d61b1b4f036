"""From the 52 ARKit shapes to what a drawn face needs: lids, brows, lips, teeth, in design units.

Left and Right are the singer's: left is the viewer's right, x > 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.signals import Motion

LOOK = 0.5  # radians that a full eyeLook shape adds to the gaze
GAZE_LIMIT = 0.6  # radians


@dataclass(frozen=True)
class Eye:
    """One eye. closed, wide, squint: 0 … 1. happy: how much the closed lids arch upwards.
    look: gaze in radians, > 0 to the viewer's right and > 0 up."""

    closed: float
    wide: float
    squint: float
    happy: float
    look: tuple[float, float]


@dataclass(frozen=True)
class Brow:
    """One brow: units that its inner end, middle and outer end move up."""

    inner: float
    middle: float
    outer: float


@dataclass(frozen=True)
class Mouth:
    """The lips around y = 0, the line of the resting mouth; y down.

    shift: units to the viewer's right of the whole mouth, jaw: of the lower lip alone.
    corners: (x, y) on the viewer's left and right. top, bottom: edges of the opening at the middle.
    lift, drop: (left, right) further raising of the upper and lowering of the lower lip beside it.
    roundness: 0 a smile's D, 1 an oval. lips: thickness of upper and lower lip. tint: their
    opacity. teeth: units of upper and lower teeth shown. line: thickness of the mouth's own line.
    bite: lower lip under the teeth. press: lips pressed together. tongue: hanging out.
    crease: (left, right) marks at the corners. chin: a mark under the lower lip.
    """

    shift: float
    jaw: float
    corners: tuple[tuple[float, float], tuple[float, float]]
    top: float
    bottom: float
    lift: tuple[float, float]
    drop: tuple[float, float]
    roundness: float
    lips: tuple[float, float]
    tint: float
    teeth: tuple[float, float]
    line: float
    bite: float
    press: float
    tongue: float
    crease: tuple[float, float]
    chin: float


@dataclass(frozen=True)
class Expression:
    """All a face does at one frame. Pairs are (viewer's left, viewer's right).

    chin: (sideways, down, forward) units. puff: blown cheeks. cheeks: raised cheeks. sneer:
    wrinkled nose. smile: mean of the two corners.
    """

    eyes: tuple[Eye, Eye]
    brows: tuple[Brow, Brow]
    mouth: Mouth
    chin: tuple[float, float, float]
    puff: float
    cheeks: tuple[float, float]
    sneer: tuple[float, float]
    smile: float


def express(motion: Motion) -> Expression:
    """Read one motion."""
    values = np.clip(np.nan_to_num(motion.blendshapes, posinf=0.0), 0.0, 1.0).tolist()
    b = dict(zip(ARKIT, values, strict=True))
    jaw = b["jawOpen"]
    return Expression(
        eyes=(_eye(b, "Right", motion), _eye(b, "Left", motion)),
        brows=(_brow(b, "Right"), _brow(b, "Left")),
        mouth=_mouth(b),
        chin=(
            7.0 * (b["jawLeft"] - b["jawRight"]),
            17.0 * jaw - 2.5 * b["mouthShrugLower"] + 1.5 * b["jawForward"],
            8.0 * b["jawForward"] - 6.0 * jaw,
        ),
        puff=b["cheekPuff"],
        cheeks=(b["cheekSquintRight"], b["cheekSquintLeft"]),
        sneer=(b["noseSneerRight"], b["noseSneerLeft"]),
        smile=0.5 * (b["mouthSmileLeft"] + b["mouthSmileRight"]),
    )


def _eye(b: dict[str, float], side: str, motion: Motion) -> Eye:
    outwards = b["eyeLookOut" + side] - b["eyeLookIn" + side]
    across = outwards if side == "Left" else -outwards
    upwards = b["eyeLookUp" + side] - b["eyeLookDown" + side]
    squint, cheek = b["eyeSquint" + side], b["cheekSquint" + side]
    blink = b["eyeBlink" + side]
    smiling = max(cheek, 0.9 * squint) * min(1.0, 0.35 + 1.3 * b["mouthSmile" + side])
    return Eye(
        closed=blink,
        wide=b["eyeWide" + side] * (1.0 - blink),
        squint=min(1.0, squint + 0.55 * cheek),
        happy=min(1.0, 1.5 * smiling),
        look=(
            _held(motion.gaze[0], LOOK * across),
            _held(motion.gaze[1], LOOK * upwards),
        ),
    )


def _held(gaze: float, more: float) -> float:
    """Gaze and what the eyeLook shapes add, bent softly into what the eyelids leave room for."""
    angle = (float(gaze) if math.isfinite(gaze) else 0.0) + more
    return GAZE_LIMIT * math.tanh(angle / GAZE_LIMIT)


def _brow(b: dict[str, float], side: str) -> Brow:
    down, inner, outer = b["browDown" + side], b["browInnerUp"], b["browOuterUp" + side]
    return Brow(
        inner=9.0 * inner - 8.5 * down + 1.0 * outer,
        middle=5.5 * inner + 6.0 * outer - 6.5 * down,
        outer=8.0 * outer - 1.5 * inner - 2.0 * down,
    )


def _mouth(b: dict[str, float]) -> Mouth:
    opened = max(0.0, b["jawOpen"] - b["mouthClose"])
    pucker, funnel = b["mouthPucker"], b["mouthFunnel"]
    roll_low, roll_up = b["mouthRollLower"], b["mouthRollUpper"]
    sides = ("Right", "Left")
    stretch = 0.5 * (b["mouthStretchLeft"] + b["mouthStretchRight"])
    smile = 0.5 * (b["mouthSmileLeft"] + b["mouthSmileRight"])
    lift = tuple(5.0 * b["mouthUpperUp" + s] + 2.0 * b["noseSneer" + s] for s in sides)
    drop = tuple(5.5 * b["mouthLowerDown" + s] for s in sides)
    press = 0.5 * (b["mouthPressLeft"] + b["mouthPressRight"])
    bite = roll_low * (1.0 - roll_up) * max(0.0, 1.0 - 2.0 * opened) * (1.0 - press)
    shut = max(press, min(roll_low, roll_up), 0.8 * max(0.0, b["mouthClose"] - b["jawOpen"]))
    narrow = max(0.0, 1.0 - 0.62 * pucker - 0.36 * funnel - 0.10 * opened)
    top = -(
        5.0 * opened
        + funnel * (3.5 + 3.0 * opened)
        + pucker * (0.6 + 8.0 * min(opened, 0.25))
        + 6.5 * bite
    )
    top -= 2.4 * b["mouthShrugUpper"] + 1.0 * b["mouthShrugLower"] - 1.5 * roll_up
    bottom = (
        33.0 * opened**0.9 * (1.0 - 0.45 * pucker)
        + funnel * 4.5
        + pucker * (0.6 + 8.0 * min(opened, 0.25))
    )
    bottom += 7.0 * b["tongueOut"] - 2.2 * b["mouthShrugLower"] - 1.2 * b["mouthClose"]
    bottom += 1.0 * b["jawForward"] - 1.5 * bite
    low = 0.5 * (drop[0] + drop[1])
    high = 0.5 * (lift[0] + lift[1])
    bottom = max(bottom, top + 0.2)
    gap = bottom + low - top + high
    roundness = opened * 0.9 + 1.1 * pucker + 1.1 * funnel - 0.55 * smile - 0.9 * stretch
    roundness = min(1.0, max(0.0, roundness))
    corners = tuple(
        _corner(b, s, x, narrow, roundness, top, bottom)
        for s, x in zip(sides, (-1, 1), strict=True)
    )
    round_lips = min(1.0, pucker + funnel)
    show = min(1.0, 0.55 + 0.5 * stretch + 0.08 * high) * (1.0 - 0.92 * round_lips)
    upper = max(min(8.5, 0.36 * gap + 0.5 * high) * show, bite * gap)
    lower = min(max(0.0, 0.55 * low + 3.4 * stretch * (gap > 1.0)), max(0.0, gap - upper))
    return Mouth(
        shift=8.0 * (b["mouthLeft"] - b["mouthRight"]),
        jaw=6.0 * (b["jawLeft"] - b["jawRight"]),
        corners=(corners[0], corners[1]),
        top=top,
        bottom=bottom,
        lift=(lift[0], lift[1]),
        drop=(drop[0], drop[1]),
        roundness=roundness,
        lips=(
            max(0.0, (2.0 + 3.0 * pucker + 1.6 * funnel) * (1.0 - 0.9 * max(roll_up, 0.8 * shut))),
            max(
                0.0,
                (3.0 + 3.2 * pucker + 1.8 * funnel + b["jawForward"] + 3.0 * bite)
                * (1.0 - 0.9 * max(roll_low * (1.0 - bite), 0.8 * shut)),
            )
            + 1.6 * b["mouthShrugLower"],
        ),
        tint=min(1.0, 0.42 + 0.45 * pucker + 0.35 * funnel + 0.4 * bite),
        teeth=(upper, lower * (1.0 - 0.92 * round_lips)),
        line=2.3 + 1.1 * shut,
        bite=bite,
        press=shut,
        tongue=b["tongueOut"],
        crease=(_crease(b, "Right"), _crease(b, "Left")),
        chin=min(1.0, b["mouthShrugLower"] + 0.7 * shut + 0.5 * roll_low),
    )


def _corner(
    b: dict[str, float],
    side: str,
    sign: int,
    narrow: float,
    roundness: float,
    top: float,
    bottom: float,
) -> tuple[float, float]:
    smile, frown = b["mouthSmile" + side], b["mouthFrown" + side]
    stretch, dimple, press = (
        b["mouthStretch" + side],
        b["mouthDimple" + side],
        b["mouthPress" + side],
    )
    reach = 16.0 + 6.5 * smile + 7.5 * stretch + 2.5 * dimple + 2.0 * press + 0.5 * frown
    height = -6.0 * smile + 6.5 * frown + 2.0 * stretch - 2.0 * dimple - 1.8
    height = height * (1.0 - 0.6 * roundness)
    height += (0.42 * bottom + 0.4 * top) * roundness + 0.10 * bottom * (1.0 - roundness)
    return sign * max(4.0, reach * narrow), height


def _crease(b: dict[str, float], side: str) -> float:
    strength = (
        b["mouthDimple" + side] + 0.6 * b["mouthPress" + side] + 0.45 * b["mouthStretch" + side]
    )
    return min(1.0, strength + 0.35 * b["mouthSmile" + side])
