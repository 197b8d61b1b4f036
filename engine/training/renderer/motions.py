"""Motions to be drawn: every mouth, look and turn that a show may ask for, one at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import ARKIT, INDEX, look_shapes
from engine.signals import Motion

F64 = NDArray[np.float64]

# What singing mouths do, at full strength; both sides where the side is left out.
MOUTHS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.85, "mouthLowerDown": 0.25},
    {"jawOpen": 0.18, "mouthSmile": 0.5, "mouthStretch": 0.6, "mouthUpperUp": 0.35},
    {"jawOpen": 0.16, "mouthPucker": 0.95},
    {"jawOpen": 0.45, "mouthFunnel": 0.8},
    {"mouthPress": 0.7, "mouthRollLower": 0.4, "mouthRollUpper": 0.4},
    {"jawOpen": 0.08, "mouthRollLower": 0.75, "mouthUpperUp": 0.35},
    {"jawOpen": 0.9, "mouthSmile": 0.6, "mouthUpperUp": 0.3},
    {"mouthSmile": 0.8, "cheekSquint": 0.6},
)
FEELINGS: tuple[dict[str, float], ...] = (
    {},
    {"browInnerUp": 1.0, "browOuterUp": 0.6},
    {"browDown": 0.9, "eyeSquint": 0.5, "noseSneer": 0.4},
    {"browInnerUp": 0.9, "mouthFrown": 0.6},
    {"eyeWide": 0.8, "browOuterUp": 0.8},
    {"mouthSmile": 0.4, "cheekSquint": 0.5, "mouthDimple": 0.3},
)
TURN = np.radians([13.0, 7.0, 6.0])  # spread of yaw, pitch, roll
WIDEST = np.radians([32.0, 18.0, 16.0])
STRAY = 0.06  # what every shape may do besides
PASSING = 12  # frames from one motion of a film to the next
FRAMES = 10**6  # a show's frames, any of which a motion may be


def rest(frame: int = 0) -> Motion:
    """Nothing moves: what the reference shows."""
    return Motion(frame, np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32))


def some_motion(rng: np.random.Generator) -> Motion:
    """A plausible motion by chance."""
    shapes = np.zeros(len(ARKIT))
    share = rng.beta(0.6, 0.6)
    for recipe, weight in zip(rng.choice(len(MOUTHS), 2), (share, 1 - share), strict=True):
        _add(shapes, MOUTHS[recipe], weight * rng.uniform(0.3, 1.1))
    _add(shapes, FEELINGS[rng.integers(len(FEELINGS))], rng.uniform(0.0, 0.9))
    shapes += rng.exponential(STRAY, len(shapes)) * (rng.random(len(shapes)) < 0.25)
    shapes[INDEX["tongueOut"]] *= rng.random() < 0.1
    gaze = np.clip(rng.normal(0, [0.16, 0.10]), -0.45, 0.45)
    for index, value in look_shapes(*map(float, gaze)).items():
        shapes[index] = value
    closure = rng.choice([0.0, 1.0, rng.random()], p=[0.62, 0.16, 0.22])
    shapes[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = closure
    turn = np.clip(rng.normal(0, TURN), -WIDEST, WIDEST)
    head = np.concatenate([turn, rng.normal(0, [0.008, 0.006, 0.010])])
    return Motion(
        frame=int(rng.integers(FRAMES)),
        blendshapes=np.clip(shapes, 0.0, 1.0).astype(np.float32),
        head=head.astype(np.float32),
        gaze=gaze.astype(np.float32),
        voice=1.0,
        hair=np.clip(rng.normal(0, 0.09, 2), -0.35, 0.35).astype(np.float32),
        body=(turn * [0.34, 0.16, 0.22] + rng.normal(0, 0.02, 3)).astype(np.float32),
        breath=float(rng.random()),
    )


def numbered_motion(seed: int, number: int) -> Motion:
    """The same motion for the same numbers, whatever was asked before."""
    return some_motion(np.random.default_rng([seed, number]))


def film(seed: int, frames: int) -> list[Motion]:
    """A motion that goes from one of chance to the next, each reached after PASSING frames."""
    stops = [numbered_motion(seed, number) for number in range(frames // PASSING + 2)]
    return [_between(stops[n // PASSING], stops[n // PASSING + 1], n) for n in range(frames)]


def _between(one: Motion, other: Motion, frame: int) -> Motion:
    share = 0.5 - 0.5 * np.cos(np.pi * (frame % PASSING) / PASSING)
    mixed = {
        name: (1 - share) * getattr(one, name) + share * getattr(other, name)
        for name in ("blendshapes", "head", "gaze", "hair", "body", "breath")
    }
    breath = float(mixed.pop("breath"))
    arrays = {name: value.astype(np.float32) for name, value in mixed.items()}
    return Motion(frame=frame, voice=1.0, breath=breath, **arrays)


def _add(shapes: F64, recipe: dict[str, float], weight: float) -> None:
    for name, value in recipe.items():
        for side in ("",) if name in INDEX else ("Left", "Right"):
            shapes[INDEX[name + side]] += weight * value
