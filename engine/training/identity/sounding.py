"""What mediapipe makes of a head of our own: the measure that a person's landmarks are read with.

Landmarks are no fixed points of a face. They slide as it turns, lids shut less far in them than in
truth, and what hides behind a cheek is guessed. So a head whose every movement is known is drawn
some hundred times, looked at, and each landmark is given the place, and the 52 movements, with
which it would have been seen where it was: least squares about the places on the skin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.avatar import RendererConfig
from engine.rendering.head import FRAMINGS, Head
from engine.rendering.head.rig import shape_weights
from engine.rendering.identity import load_identity
from engine.rendering.portrait.face import POINTS, Face, read_face
from engine.signals import U8, Motion
from engine.training.identity.plane import (
    BLINKS,
    ROBUST,
    Placing,
    angles,
    gaze,
    seen,
    slopes,
)
from engine.training.identity.watching import Say, watch, watched
from engine.training.renderer.motions import numbered_motion

F64 = NDArray[np.float64]

COUNT = 450  # pictures
SIZE = 576  # pixels of each
SEED = 52
MORE, OFTEN = 0.6, 0.12  # what any shape may do besides, and how often
PLACE = np.array([0.005, 0.005, 0.015])  # metres that landmarks lie off the skin's points, usually
MOVE = 0.0015  # metres, per shape
SLIDE = 0.02  # metres per radian of a turn
ERR = 0.0015  # metres that landmarks err
LEAST = 0.0003  # metres
MODES = 40  # in which they err together


class Measure(NamedTuple):
    """A head of our own as mediapipe sees it. rest: [468, 3] metres. moved: [52, 468, 3] by each
    shape at 1. slides: [3, 468, 3] by each radian of yaw, pitch, roll. eyes: [2, 4] centres and
    radii, left and right. neck: [2, 3]. noise: [468] metres that each landmark errs by itself.
    modes: [M, 468, 2] metres that they err together. gain: [2] true gaze for each radian seen,
    sideways and up."""

    rest: F64
    moved: F64
    slides: F64
    eyes: F64
    neck: F64
    noise: F64
    modes: F64
    gain: F64


def plain(face: Face) -> Measure:
    """As if mediapipe saw what is there."""
    return Measure(
        face.rest[:POINTS].astype(np.float64),
        face.moved[:, :POINTS].astype(np.float64),
        np.zeros((3, POINTS, 3)),
        face.eyes.astype(np.float64),
        face.neck.astype(np.float64),
        np.full(POINTS, ERR),
        np.zeros((1, POINTS, 2)),
        np.ones(2),
    )


def motions() -> list[Motion]:
    """What the head does: singing mouths, feelings, turns, and any shape by chance."""
    out = []
    for number in range(COUNT):
        rng = np.random.default_rng([SEED, number])
        one = numbered_motion(SEED, number)
        more = rng.uniform(0, MORE, 52) * (rng.random(52) < OFTEN)
        out.append(replace(one, blendshapes=np.clip(one.blendshapes + more, 0, 1).astype("f4")))
    return out


def sound(identity: str, folder: Path, say: Say) -> None:
    """Draw the head and look at it. Raises FinderMissing, FinderFailed."""

    def drawn(first: int) -> Iterator[tuple[int, U8]]:
        head = _head(identity)
        for motion in motions()[first:]:
            yield 0, np.ascontiguousarray(head.draw(motion).rgba[..., :3])

    watch(drawn, folder, follow=False, say=say)


def measure(identity: str, folder: Path) -> Measure:
    """From what was seen in `folder`."""
    seen, head = watched(folder), _head(identity)
    usable = seen.faces == 1
    shown = [one for one, good in zip(motions(), usable, strict=True) if good]
    plane = Placing(FRAMINGS["bust"].tall / SIZE, SIZE / 2, SIZE / 2).plane(seen.points[usable])
    skulls = np.stack([head.poser.pose(one).spine[-1] for one in shown]).astype(np.float64)
    weights = np.stack([shape_weights(one)[:52] for one in shown]).astype(np.float64)
    eyes, neck = (x.astype(np.float64) for x in (head.rig.eyes, head.rig.neck))
    begun = plain(read_face())._replace(eyes=eyes, neck=neck)
    found = _placed(begun, plane[:, :POINTS], skulls, weights)
    looking = gaze(eyes, plane, skulls[..., :3], skulls[..., 3])
    told = np.stack([one.gaze for one in shown])
    opened = weights[:, BLINKS].max(1) < 0.3
    told, looking = (x[opened] - x[opened].mean(0) for x in (told, looking))
    gain = (told**2).sum(0) / np.maximum((told * looking).sum(0), 1e-6)
    return found._replace(gain=np.clip(gain, 0.5, 3.0))


def _head(identity: str) -> Head:
    return Head(load_identity(identity), RendererConfig("head", SIZE, SIZE, "bust", "#808080"))


def _placed(begun: Measure, plane: F64, skulls: F64, weights: F64) -> Measure:
    """Places and movements of the landmarks [F, 468, 2], where skull and weights are known."""
    asked = np.column_stack([np.ones(len(weights)), weights, angles(skulls[..., :3])])
    start = np.concatenate([begun.rest[None], begun.moved, begun.slides])
    spread = np.concatenate([PLACE, np.full(3 * weights.shape[1], MOVE), np.full(9, SLIDE)])
    found = start.copy()
    for _ in range(2):  # the camera bends straight lines a little
        world = np.tensordot(asked, found, 1) @ skulls[..., :3].transpose(0, 2, 1)
        world += skulls[:, None, :, 3]
        slope, left = slopes(world) @ skulls[:, None, :, :3], plane - seen(world)
        for p in range(POINTS):
            rows = (asked[:, None, :, None] * slope[:, p, :, None]).reshape(2 * len(asked), -1)
            err = np.sqrt((left[:, p] ** 2).sum(1))
            weight = np.repeat(np.sqrt(np.minimum(1.0, ROBUST * ERR / np.maximum(err, 1e-9))), 2)
            rows, want = rows * weight[:, None] / ERR, left[:, p].ravel() * weight / ERR
            old = (found[:, p] - start[:, p]).ravel()
            normal = rows.T @ rows + np.diag(spread**-2)
            new = np.linalg.solve(normal, rows.T @ (want + rows @ old))
            found[:, p] = start[:, p] + new.reshape(-1, 3)
    noise, modes = _errors(left)
    return begun._replace(
        rest=found[0], moved=found[1:-3], slides=found[-3:], noise=noise, modes=modes
    )


def _errors(left: F64) -> tuple[F64, F64]:
    """What landmarks err alone [468] and together [M, 468, 2], of deviations [F, 468, 2]."""
    flat = np.clip(left, -ROBUST * ERR, ROBUST * ERR).reshape(len(left), -1) / np.sqrt(len(left))
    _, size, ways = np.linalg.svd(flat, full_matrices=False)
    together = size[:MODES, None] * ways[:MODES]
    alone = np.sqrt(np.maximum((flat**2).sum(0) - (together**2).sum(0), 0.0))
    alone = np.sqrt((alone.reshape(POINTS, 2) ** 2).mean(1))
    return np.maximum(alone, LEAST), together.reshape(MODES, POINTS, 2)
