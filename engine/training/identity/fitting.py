"""Landmarks of a video → head pose and the 52 coefficients of each picture, the person's shape.

A face of ours stands before the rasteriser's camera. Gauss-Newton turns, shifts and moves it until
its points lie where the landmarks are; coefficients stay in 0 … 1, small where nothing asks for
them, and change from picture to picture no quicker than faces do. What neither pose nor shapes
explain, seen from every side, is the person's shape (bundle adjustment with a prior).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import ARKIT, look_shapes
from engine.rendering.head.rig import spine
from engine.rendering.portrait.face import POINTS
from engine.rendering.portrait.fitting import STEADY
from engine.signals import Motion
from engine.training.identity.person import Person, personal
from engine.training.identity.plane import BLINKS, FAR, ROBUST, Placing, angles, seen, slopes
from engine.training.identity.plane import gaze as gaze_at
from engine.training.identity.sounding import Measure
from engine.training.renderer.motions import numbered_motion

F64 = NDArray[np.float64]

SAMPLE = 300  # pictures from which the shape is found
ROUNDS = 7  # of finding the shape
STEPS = 4  # of Gauss-Newton
SWEEPS = 25  # over the coefficients
BLOCK = 64  # pictures at a time
SEEN_ENOUGH = 8.0  # pictures' worth of landmarks is as sure as many more
SHAPE = np.array([0.008, 0.008, 0.003])  # metres that faces differ from ours, usually
EARLY, LATE = 3.0, 2.0  # how much more others' landmarks err than those of our own head
LOUD = 4.0  # deviations alone from which a landmark counts less
OWN_WAY = 0.05  # of every coefficient, besides what is usual
HABITS = 7  # seed
RESTING = 0.1  # every shape is at rest in so many of the pictures

LOOKS = [k for k, name in enumerate(ARKIT) if name.startswith("eyeLook")]
FREE = np.array([k for k, name in enumerate(ARKIT) if k not in LOOKS and name != "tongueOut"])


def _each(usual: float, **others: float) -> F64:
    """[43] a value for each free shape; others by the beginning of their name."""
    table = np.full(len(ARKIT), usual)
    for start, value in others.items():
        table[[name.startswith(start) for name in ARKIT]] = value
    return table[FREE]


# Spread of a coefficient's change between pictures, 1/30 s.
CHANGE = _each(0.10, eyeBlink=0.5, jawOpen=0.15, brow=0.06, cheek=0.05, noseSneer=0.05)


@cache
def _habits() -> F64:
    """[43, 43] what faces that sing usually do, as the inverse of their second moments: both sides
    alike, a funnel with an open jaw, nothing most of the time."""
    usual = np.stack([numbered_motion(HABITS, k).blendshapes[FREE] for k in range(2000)])
    moments = usual.T.astype(np.float64) @ usual / len(usual)
    return np.asarray(np.linalg.inv(moments + OWN_WAY**2 * np.eye(len(FREE))))


class Track(NamedTuple):
    """F pictures. turn: [F, 3, 3] and shift: [F, 3] metres of the head. weights: [F, 52]. gaze:
    [F, 2] radians, sideways and up. off: [F] metres, deviation of the landmarks."""

    turn: F64
    shift: F64
    weights: F64
    gaze: F64
    off: F64


class Noise(NamedTuple):
    """What landmarks err. alone: [468] metres. apart: [M, 936] what they err together, weighed."""

    alone: F64
    apart: F64


class Fit(NamedTuple):
    """What is known of a video's person."""

    placing: Placing
    offset: F64
    track: Track


def fit(
    ours: Measure, points: NDArray, numbers: NDArray, say: Callable[[float], None] = lambda s: None
) -> Fit:
    """ours: the head that is fitted. points: [F, 478, 2] pixels of the video. numbers: [F] of its
    pictures. say: is told the share that is done."""
    chosen = np.linspace(0, len(points) - 1, min(SAMPLE, len(points))).astype(int)
    sample, alone = points[chosen].astype(np.float64), np.zeros(len(chosen) - 1, bool)
    placing, offset = _first_placing(ours, sample), np.zeros((POINTS, 3))
    track = _stand(personal(ours, offset), placing.plane(sample))
    for k in range(ROUNDS):
        person = personal(ours, offset)
        noise = _together(ours) if k >= ROUNDS - 2 else _apart(ours)
        track = solve(person, placing.plane(sample), track, noise, alone)
        placing, track = _recentred(placing, track, ours)
        offset = _shape(ours, person, placing.plane(sample), track)
        say((k + 1) / (ROUNDS + 6))
    person, noise, linked = personal(ours, offset), _together(ours), np.diff(numbers) <= 2
    plane = placing.plane(points.astype(np.float64))
    track = solve(person, plane, _stand(person, plane), noise, linked)
    say((ROUNDS + 4) / (ROUNDS + 6))
    return Fit(placing, offset, solve(person, plane, track, noise, linked, _steady_gaze(track)))


# ---- pose and coefficients -----------------------------------------------------------------------


def solve(
    person: Person, plane: F64, track: Track, noise: Noise, linked: NDArray[np.bool_],
    gaze: F64 | None = None,
) -> Track:  # fmt: skip
    """The track that explains landmarks best.

    plane: [F, 478, 2] metres. track: where to begin. linked: [F − 1] whether a picture follows the
    one before. gaze: [F, 2] if it is known.
    """
    turn, shift, weights = (x.copy() for x in track[:3])
    for _ in range(STEPS):
        looks = gaze if gaze is not None else person.gain * gaze_at(person.eyes, plane, turn, shift)
        _look(weights, looks)
        blocks = [slice(k, k + BLOCK) for k in range(0, len(turn), BLOCK)]
        parts = [
            _normal(person, plane[b, :POINTS], turn[b], shift[b], weights[b], noise) for b in blocks
        ]
        normal, pull = (np.concatenate(x) for x in zip(*parts, strict=True))
        before = weights[:, FREE].copy()
        weights[:, FREE] = _descend(normal, pull, before, linked)
        step = _pose_step(normal, pull, weights[:, FREE] - before)
        turn = np.stack([cv2.Rodrigues(w)[0] @ r for w, r in zip(step[:, :3], turn, strict=True)])
        spun = np.stack([cv2.Rodrigues(w)[0] @ s for w, s in zip(step[:, :3], shift, strict=True)])
        shift = spun + step[:, 3:]
    looks = gaze if gaze is not None else person.gain * gaze_at(person.eyes, plane, turn, shift)
    off = _residuals(person, plane[:, :POINTS], turn, shift, weights)
    return Track(turn, shift, weights, looks, np.sqrt(np.median((off**2).sum(-1), axis=1)))


def _world(person: Person, turn: F64, shift: F64, weights: F64) -> F64:
    """[F, 468, 3]."""
    bent = person.rest + np.tensordot(weights, person.moved, 1)
    bent = bent + np.tensordot(angles(turn), person.slides, 1)
    return np.asarray(bent @ turn.transpose(0, 2, 1) + shift[:, None])


def _residuals(person: Person, plane: F64, turn: F64, shift: F64, weights: F64) -> F64:
    """[F, 468, 2] metres from where a point is seen to where its landmark is."""
    return plane - seen(_world(person, turn, shift, weights))


def _normal(
    person: Person, plane: F64, turn: F64, shift: F64, weights: F64, noise: Noise
) -> tuple[F64, F64]:
    """Normal equations of [turn, shift, free shapes]: [F, 49, 49] and [F, 49]."""
    world = _world(person, turn, shift, weights)
    slope = slopes(world)
    left = plane - seen(world)
    size = np.sqrt((left**2).sum(-1)) / noise.alone
    weight = np.sqrt(np.minimum(1.0, LOUD / np.maximum(size, 1e-9))) / noise.alone
    slope *= weight[..., None, None]
    frames, points = world.shape[:2]
    spin = np.zeros((frames, points, 3, 3))  # of a point when the head turns about each axis
    x, y, z = world.transpose(2, 0, 1)
    spin[..., 1, 0], spin[..., 2, 0] = -z, y
    spin[..., 0, 1], spin[..., 2, 1] = z, -x
    spin[..., 0, 2], spin[..., 1, 2] = -y, x
    yaw, pitch, roll = person.slides
    spin += turn[:, None] @ np.stack([-pitch, yaw, roll], axis=-1)
    turned = (slope @ turn[:, None]).transpose(1, 0, 2, 3).reshape(points, 2 * frames, 3)
    shapes = turned @ person.moved[FREE].transpose(1, 2, 0)  # [points, 2 frames, 43]
    shapes = shapes.reshape(points, frames, 2, -1).transpose(1, 0, 2, 3)
    rows = np.concatenate([slope @ spin, slope, shapes], axis=-1)
    rows = rows.reshape(frames, 2 * points, -1).astype(np.float32)
    wanted = (left * weight[..., None]).reshape(frames, -1, 1).astype(np.float32)
    apart = noise.apart.astype(np.float32)
    told = np.concatenate([rows, wanted], axis=-1)
    shared = apart @ told
    both = told.transpose(0, 2, 1) @ told - shared.transpose(0, 2, 1) @ shared
    return both[:, :-1, :-1].astype(np.float64), both[:, :-1, -1].astype(np.float64)


def _descend(normal: F64, pull: F64, weights: F64, linked: NDArray[np.bool_]) -> F64:
    """Free coefficients [F, 43] that explain most, the pose going with them: coordinate descent in
    0 … 1, all pictures with even and all with odd place at once."""
    pose, mixed, own = normal[:, :6, :6], normal[:, :6, 6:], normal[:, 6:, 6:]
    share = np.linalg.solve(pose, np.concatenate([mixed, pull[:, :6, None]], axis=-1))
    own = own - mixed.transpose(0, 2, 1) @ share[..., :-1]
    want = pull[:, 6:] - (mixed.transpose(0, 2, 1) @ share[..., -1:])[..., 0]
    want = want + (own @ weights[..., None])[..., 0]
    stiff, out = CHANGE**-2, weights.copy()
    near = np.zeros((len(out), 1))
    near[1:, 0] += linked
    near[:-1, 0] += linked
    own = own + _habits()
    least = np.einsum("fkk->fk", own) + near * stiff
    for _ in range(SWEEPS):
        for first in (0, 1):
            rows = slice(first, None, 2)
            beside = np.zeros_like(out)
            beside[1:] += out[:-1] * linked[:, None]
            beside[:-1] += out[1:] * linked[:, None]
            goal = (want + stiff * beside)[rows]
            block, some = own[rows], out[rows]
            for k in range(len(FREE)):
                slope = goal[:, k] - np.einsum("fj,fj->f", block[:, k], some)
                slope += block[:, k, k] * some[:, k]
                some[:, k] = np.clip(slope / least[rows][:, k], 0.0, 1.0)
    return out


def _pose_step(normal: F64, pull: F64, moved: F64) -> F64:
    """[F, 6] turn and shift, once the coefficients have changed by [F, 43]."""
    left = pull[:, :6] - (normal[:, :6, 6:] @ moved[..., None])[..., 0]
    return np.asarray(np.linalg.solve(normal[:, :6, :6], left[..., None])[..., 0])


def _stand(person: Person, plane: F64) -> Track:
    """Where heads stand by the points that no shape moves far."""
    count = len(plane)
    turn, shift = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
    still = np.zeros((count, len(ARKIT)))
    alone = np.full(POINTS, 1e3)
    alone[STEADY] = 1e-3
    noise = Noise(alone, np.zeros((1, 2 * POINTS)))
    for _ in range(2 * STEPS):
        for k in range(0, count, BLOCK):
            b = slice(k, k + BLOCK)
            normal, pull = _normal(person, plane[b, :POINTS], turn[b], shift[b], still[b], noise)
            for f, step in enumerate(_pose_step(normal, pull, 0 * pull[:, 6:]), k):
                about = cv2.Rodrigues(step[:3])[0]
                turn[f], shift[f] = about @ turn[f], about @ shift[f] + step[3:]
    return Track(turn, shift, still, np.zeros((count, 2)), np.zeros(count))


# ---- eyes ----------------------------------------------------------------------------------------


def _look(weights: F64, gaze: F64) -> None:
    """Set the eyeLook shapes, which lids follow."""
    for row, (sideways, up) in zip(weights, gaze, strict=True):
        for index, value in look_shapes(float(sideways), float(up)).items():
            row[index] = value


def _steady_gaze(track: Track) -> F64:
    """The gaze, through blinks too, where no iris is seen; the usual one is the person's rest."""
    opened = track.weights[:, BLINKS].max(1) < 0.4
    if not opened.any():
        return np.zeros_like(track.gaze)
    when = np.arange(len(opened))
    held = np.column_stack([np.interp(when, when[opened], g[opened]) for g in track.gaze.T])
    return np.asarray(held - np.median(held[opened], axis=0))


# ---- where the head stands, and the person's shape -----------------------------------------------


def _first_placing(ours: Measure, points: F64) -> Placing:
    """The face as large as ours, in its place."""
    here, theirs = seen(ours.rest[STEADY]), points[:, STEADY]
    scale = float(here.std(0).mean() / np.median(theirs.std(1).mean(1)))
    column, row = np.median(theirs.mean(1), axis=0) - here.mean(0) / [scale, -scale]
    return Placing(scale, float(column), float(row))


def _recentred(placing: Placing, track: Track, ours: Measure) -> tuple[Placing, Track]:
    """So that heads stand, in the middle, where our own rests."""
    away = np.median(heads(track.turn, track.shift, ours.neck)[:, 3:], axis=0)
    grow = (FAR - away[2]) / FAR
    scale = placing.scale * grow
    column = placing.column + away[0] / placing.scale
    row = placing.row - away[1] / placing.scale
    moved = Placing(float(scale), float(column), float(row))
    return moved, track._replace(shift=track.shift - away)


def heads(turn: F64, shift: F64, neck: NDArray, body: NDArray | None = None) -> F64:
    """[F, 6] as in `signals.Motion`, of heads that stand at turn [F, 3, 3], shift [F, 3] (metres,
    of the eyes' origin) on shoulders turned by body [F, 3]."""
    out = np.zeros((len(turn), 6))
    out[:, :3] = angles(turn)
    for k, row in enumerate(out):
        below = np.zeros(3, np.float32) if body is None else body[k].astype(np.float32)
        still = Motion(0, np.zeros(52, np.float32), row.astype(np.float32), body=below)
        row[3:] = shift[k] - spine(still, neck.astype(np.float32))[-1, :, 3]
    return out


def _total(ours: Measure) -> F64:
    """[468] metres that each landmark errs in all."""
    return np.asarray(np.sqrt(ours.noise**2 + (ours.modes**2).sum((0, 2)) / 2))


def _apart(ours: Measure) -> Noise:
    """While the person's shape is not known yet: errors that have nothing to do with another."""
    return Noise(EARLY * _total(ours), np.zeros((1, 2 * POINTS)))


def _together(ours: Measure) -> Noise:
    """By Woodbury's identity the errors' inverse covariance is, in units of `alone`, the identity
    less aᵀa of a = `apart`."""
    modes = (ours.modes / ours.noise[:, None]).reshape(len(ours.modes), -1)
    inner = np.linalg.inv(np.eye(len(modes)) + modes @ modes.T)
    return Noise(LATE * ours.noise, np.linalg.cholesky(inner).T @ modes)


def _shape(ours: Measure, person: Person, plane: F64, track: Track) -> F64:
    """[468, 3] metres off our own face: one Gauss-Newton step from the person so far."""
    resting = np.quantile(track.weights, RESTING, axis=0)
    resting[LOOKS] = 0.0
    noise = _total(ours)
    world = _world(person, *track[:3])
    rows = (slopes(world) @ track.turn[:, None]) / noise[:, None, None]
    left = (plane[:, :POINTS] - seen(world)) / noise[:, None]
    left = np.clip(left, -ROBUST, ROBUST)
    share = min(1.0, SEEN_ENOUGH / len(plane))
    normal = share * np.einsum("fpai,fpaj->pij", rows, rows, optimize=True)
    pull = share * np.einsum("fpai,fpa->pi", rows, left, optimize=True)
    offset = person.rest - ours.rest
    prior = np.diag(SHAPE**-2)
    want = pull + (normal @ offset[..., None])[..., 0]
    offset = np.linalg.solve(normal + prior, want[..., None])[..., 0]
    return _upright(ours, offset + np.tensordot(resting, person.moved, 1))


def _upright(ours: Measure, offset: F64) -> F64:
    """Without what is but another place, turn or size of the whole face (Umeyama 1991)."""
    here = ours.rest[STEADY]
    theirs = here + offset[STEADY]
    a, b = here - here.mean(0), theirs - theirs.mean(0)
    u, stretch, v = np.linalg.svd(a.T @ b)
    u[:, -1] *= np.sign(np.linalg.det(u @ v))
    turn = u @ v
    size = stretch.sum() / (b**2).sum()
    whole = ours.rest + offset - theirs.mean(0)
    return np.asarray(size * whole @ turn.T + here.mean(0) - ours.rest)
