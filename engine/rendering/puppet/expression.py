"""From the 52 ARKit shapes to what a drawn face needs: lids, brows, lips, teeth, in design units.

Left and Right are the singer's: left is the viewer's right, x > 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.motion.blendshapes import ARKIT, LOOK_RANGE
from engine.signals import Motion

LOOK = LOOK_RANGE  # radians of gaze that a full eyeLook shape stands for
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
    bite: lower lip under the teeth. tongue: hanging out.
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


def _held(gaze: float, shapes: float) -> float:
    """The gaze, or what the eyeLook shapes say where there is none (motion usually carries the same
    look in both), bent softly into what the eyelids leave room for."""
    angle = float(gaze) if gaze and math.isfinite(gaze) else shapes
    return GAZE_LIMIT * math.tanh(angle / GAZE_LIMIT)


def _brow(b: dict[str, float], side: str) -> Brow:
    down, inner, outer = b["browDown" + side], b["browInnerUp"], b["browOuterUp" + side]
    return Brow(
        inner=9.0 * inner - 8.5 * down + 1.0 * outer,
        middle=5.5 * inner + 6.0 * outer - 6.5 * down,
        outer=8.0 * outer - 1.5 * inner - 2.0 * down,
    )


SIDES = ("Right", "Left")  # the viewer's left, the viewer's right


@dataclass(frozen=True)
class _Gesture:
    """What the lips do as a whole, 0 … 1, read off the shapes."""

    opened: float  # jaw, less what closed lips take back
    pucker: float
    funnel: float
    stretch: float
    smile: float
    bite: float  # lower lip under the teeth
    shut: float  # lips pressed together
    roundness: float

    @property
    def round_lips(self) -> float:
        return min(1.0, self.pucker + self.funnel)


def _gesture(b: dict[str, float]) -> _Gesture:
    opened = max(0.0, b["jawOpen"] - b["mouthClose"])
    pucker, funnel = b["mouthPucker"], b["mouthFunnel"]
    low, up = b["mouthRollLower"], b["mouthRollUpper"]
    smile, stretch, press = (
        _both(b, name) for name in ("mouthSmile", "mouthStretch", "mouthPress")
    )
    roundness = 0.9 * opened + 1.1 * pucker + 1.1 * funnel - 0.55 * smile - 0.9 * stretch
    return _Gesture(
        opened=opened,
        pucker=pucker,
        funnel=funnel,
        stretch=stretch,
        smile=smile,
        bite=low * (1.0 - up) * max(0.0, 1.0 - 2.0 * opened) * (1.0 - press),
        shut=max(press, min(low, up), 0.8 * max(0.0, b["mouthClose"] - b["jawOpen"])),
        roundness=min(1.0, max(0.0, roundness)),
    )


def _both(b: dict[str, float], name: str) -> float:
    return 0.5 * (b[name + "Left"] + b[name + "Right"])


def _mouth(b: dict[str, float]) -> Mouth:
    g = _gesture(b)
    lift, drop = _beside(b)
    top, bottom = _opening(b, g)
    left, right = (_corner(b, g, side, top, bottom) for side in SIDES)
    return Mouth(
        shift=8.0 * (b["mouthLeft"] - b["mouthRight"]),
        jaw=6.0 * (b["jawLeft"] - b["jawRight"]),
        corners=((-left[0], left[1]), right),
        top=top,
        bottom=bottom,
        lift=lift,
        drop=drop,
        roundness=g.roundness,
        lips=_lips(b, g),
        tint=min(1.0, 0.42 + 0.45 * g.pucker + 0.35 * g.funnel + 0.4 * g.bite),
        teeth=_teeth(g, 0.5 * sum(lift), 0.5 * sum(drop), bottom - top),
        line=2.3 + 1.1 * g.shut,
        bite=g.bite,
        tongue=b["tongueOut"],
        crease=(_crease(b, "Right"), _crease(b, "Left")),
        chin=min(1.0, b["mouthShrugLower"] + 0.7 * g.shut + 0.5 * b["mouthRollLower"]),
    )


def _beside(b: dict[str, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Units the upper lip rises and the lower lip sinks on the viewer's left and right."""
    up = [5.0 * b["mouthUpperUp" + side] + 2.0 * b["noseSneer" + side] for side in SIDES]
    down = [5.5 * b["mouthLowerDown" + side] for side in SIDES]
    return (up[0], up[1]), (down[0], down[1])


def _opening(b: dict[str, float], g: _Gesture) -> tuple[float, float]:
    """Heights of the opening's upper and lower edge at the middle."""
    ring = g.pucker * (0.6 + 8.0 * min(g.opened, 0.25))
    top = -5.0 * g.opened - g.funnel * (3.5 + 3.0 * g.opened) - ring - 6.5 * g.bite
    top -= 2.4 * b["mouthShrugUpper"] + 1.0 * b["mouthShrugLower"] - 1.5 * b["mouthRollUpper"]
    bottom = 33.0 * g.opened**0.9 * (1.0 - 0.45 * g.pucker) + 4.5 * g.funnel + ring - 1.5 * g.bite
    bottom += 7.0 * b["tongueOut"] - 2.2 * b["mouthShrugLower"] - 1.2 * b["mouthClose"]
    bottom += 1.0 * b["jawForward"]
    return top, max(bottom, top + 0.2)


def _corner(
    b: dict[str, float], g: _Gesture, side: str, top: float, bottom: float
) -> tuple[float, float]:
    """How far a corner lies from the middle, and at which height."""
    smile, stretch, press, dimple, frown = (
        b["mouth" + name + side] for name in ("Smile", "Stretch", "Press", "Dimple", "Frown")
    )
    reach = 16.0 + 6.5 * smile + 7.5 * stretch + 2.5 * dimple + 2.0 * press + 0.5 * frown
    reach *= max(0.0, 1.0 - 0.62 * g.pucker - 0.36 * g.funnel - 0.10 * g.opened)
    height = -6.0 * smile + 6.5 * frown + 2.0 * stretch - 2.0 * dimple - 1.8
    height *= 1.0 - 0.6 * g.roundness
    oval, smiling = 0.42 * bottom + 0.4 * top, 0.10 * bottom
    return max(4.0, reach), height + oval * g.roundness + smiling * (1.0 - g.roundness)


def _lips(b: dict[str, float], g: _Gesture) -> tuple[float, float]:
    """Thickness of the upper and the lower lip; rolled and pressed lips vanish."""
    upper = 2.0 + 3.0 * g.pucker + 1.6 * g.funnel
    lower = 3.0 + 3.2 * g.pucker + 1.8 * g.funnel + b["jawForward"] + 3.0 * g.bite
    upper *= 1.0 - 0.9 * max(b["mouthRollUpper"], 0.8 * g.shut)
    lower *= 1.0 - 0.9 * max(b["mouthRollLower"] * (1.0 - g.bite), 0.8 * g.shut)
    return upper, lower + 1.6 * b["mouthShrugLower"]


def _teeth(g: _Gesture, lift: float, drop: float, gap: float) -> tuple[float, float]:
    """Units of upper and lower teeth; lift, drop: of the lips, gap: of the opening's middle."""
    gap = gap + lift + drop
    hidden = 1.0 - 0.92 * g.round_lips
    show = min(1.0, 0.55 + 0.5 * g.stretch + 0.08 * lift) * hidden
    upper = max(min(8.5, 0.36 * gap + 0.5 * lift) * show, g.bite * gap)
    lower = 0.55 * drop + 3.4 * g.stretch * min(1.0, 0.4 * gap)
    return upper, min(lower, max(0.0, gap - upper)) * hidden


def _crease(b: dict[str, float], side: str) -> float:
    strength = (
        b["mouthDimple" + side] + 0.6 * b["mouthPress" + side] + 0.45 * b["mouthStretch" + side]
    )
    return min(1.0, strength + 0.35 * b["mouthSmile" + side])
