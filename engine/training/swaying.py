"""Head motion as MusicFace sees it: the music sets the speed, the performance the direction.

p_t = p_{t-1} + s_t · d_t (MusicFace, Sec. 3.3.2): s_t [6] ≥ 0 is the same in every take of a song,
d_t in [-1, 1] is drawn anew. The speed is a train of strokes, each a smooth bell over time that
starts and ends at rest, so direction may turn between two strokes without a jerk. Strokes end on
beats, as people's do: who moves in time is at rest for an instant when the beat falls (the
kinematic beat of Beat Align).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.timeline import FRAME_RATE

F64 = NDArray[np.float64]
Rng = np.random.Generator

YAW, PITCH, ROLL, X, Y, Z = range(6)
LIMIT = np.array([0.45, 0.30, 0.25, 0.03, 0.03, 0.03])  # rad, rad, rad, m, m, m
STROKE = np.array([0.150, 0.085, 0.085, 0.0075, 0.0060, 0.0075])  # one stroke at full music
SHORTEST_BEAT = 0.45  # seconds: quicker music is nodded at half its pace
LARGE, SMALL = 0.8, 0.35  # of STROKE, turns and tilts that last a beat
NOD = 0.42  # share of a beat that the quick half of a nod takes


@dataclass(frozen=True, slots=True)
class Strokes:
    """One axis: stroke k runs over frames [edge[k], edge[k + 1]), fastest at `peak[k]` of it."""

    edge: F64  # [K + 1] seconds
    peak: F64  # [K] share of the stroke, 0 … 1
    size: F64  # [K] scale of its travel
    nods: bool = False  # strokes alternate: down to the beat, up after it


def pulse_grid(beats: F64, downbeats: F64, duration: float) -> F64:
    """Beats to move on, in seconds: every second one (downbeats kept) where they come quicker than
    `SHORTEST_BEAT`, carried on at the same pace to both ends of the song and over holes."""
    if len(beats) < 2:
        return np.arange(0.3, duration + 1.4, 0.7)
    period = float(np.median(np.diff(beats)))
    if period < SHORTEST_BEAT:
        first = int(np.abs(beats - downbeats[0]).argmin()) % 2 if len(downbeats) else 0
        beats, period = beats[first::2], 2 * period
    before = np.arange(beats[0] - period, -2 * period, -period)[::-1]
    holes = [beats[:1]]
    for a, b in pairwise(beats):
        holes.append(np.linspace(a, b, max(1, round((b - a) / period)) + 1)[1:])
    after = np.arange(beats[-1] + period, duration + 2 * period, period)
    return np.concatenate([before, *holes, after])


def _long_strokes(grid: F64, dense: F64, offset: int) -> Strokes:
    """Turns and tilts: from beat to beat, large and small in turn, all large where syllables are
    dense."""
    number = np.arange(len(grid) - 1)
    large = ((number + offset) % 2 == 0) | (dense[:-1] > 0.6)
    return Strokes(grid, np.full(len(number), 0.5), np.where(large, LARGE, SMALL))


def _nods(grid: F64, accent: F64) -> Strokes:
    """Down, quickly, to be lowest on the beat; up after it, slowly; as deep as it has accent."""
    down = NOD * np.diff(grid, prepend=2 * grid[0] - grid[1])
    edge = np.stack([grid - down, grid], 1).ravel()
    return Strokes(edge, np.full(len(edge) - 1, 0.5), np.repeat(accent, 2)[:-1], nods=True)


def _bells(strokes: Strokes, times: F64) -> tuple[F64, NDArray[np.intp]]:
    """Speed [T] in strokes per second, and each frame's stroke; a bell u^a (1-u)^b of unit area."""
    k = np.searchsorted(strokes.edge, times, side="right") - 1
    valid = (k >= 0) & (k < len(strokes.peak))
    k = k.clip(0, len(strokes.peak) - 1)
    length = np.diff(strokes.edge)[k]
    u = ((times - strokes.edge[k]) / length).clip(0, 1)
    peak = strokes.peak[k].clip(0.2, 0.8)
    a = 1.6 * peak / np.maximum(np.minimum(peak, 1 - peak), 1e-3)
    b = a * (1 - peak) / peak
    steps = np.linspace(0, 1, 65)
    area = np.mean(steps[:, None] ** a[None] * (1 - steps[:, None]) ** b[None], axis=0)
    return np.where(valid, strokes.size[k] * u**a * (1 - u) ** b / area / length, 0.0), k


def _directions(strokes: Strokes, travel: F64, limit: float, home: F64, rng: Rng) -> F64:
    """d [K] in [-1, 1] for strokes that travel so far: chance, but drawn home from the limits.

    home: [K] in [0, 1], how much the singer only wants to come back to rest."""
    d, p = np.zeros(len(travel)), 0.0
    chance = rng.random((len(travel), 2))
    nods_down = rng.random() < 0.8
    for k, far in enumerate(travel):
        if strokes.nods:
            sign = -1.0 if (k % 2 == 0) == nods_down else 1.0
        else:
            sign = 1.0 if chance[k, 0] < 1 / (1 + np.exp(5 * p / limit)) else -1.0
        size = 0.8 + 0.2 * chance[k, 1] - 0.25 * max(0.0, sign * p / limit)
        if abs(p + sign * size * far) > 0.9 * limit:
            sign = -np.sign(p)
        back = np.clip(-p / max(far, 1e-9), -1, 1)
        d[k] = (1 - home[k]) * sign * size + home[k] * back
        p += d[k] * far
    return d


def sway(
    grid: F64, accent: F64, vigour: F64, dense: F64, home: F64, reach: float, rng: Rng
) -> tuple[F64, F64]:
    """Strokes on `grid` (seconds) → pose p [T, 6] (rad, m), speed envelope s [T, 6] per frame.

    accent, dense: [len(grid)], each beat's weight and how thick the syllables fall there, 0 … 1;
    vigour: [T] ≥ 0, how lively the music is; home: [T] in [0, 1], how much to return to rest;
    reach: the style's scale. The neck carries the head aside as it tilts, and lower as it nods.
    """
    times = (np.arange(len(vigour)) + 0.5) / FRAME_RATE
    turns, tilts = _long_strokes(grid, dense, 0), _long_strokes(grid, dense, 1)
    speed = np.zeros((len(vigour), 6))
    direction = np.zeros_like(speed)
    for axis, strokes in ((YAW, turns), (PITCH, _nods(grid, accent)), (ROLL, tilts), (Z, turns)):
        bell, k = _bells(strokes, times)
        s = bell * vigour * STROKE[axis] * reach / FRAME_RATE
        travel = np.bincount(k, s, len(strokes.peak))
        most = 1.5 * LIMIT[axis]
        speed[:, axis] = s * np.minimum(1, most / np.maximum(travel, 1e-9))[k]
        middle = ((strokes.edge[1:] + strokes.edge[:-1]) / 2 * FRAME_RATE).astype(int)
        wish = home[middle.clip(0, len(home) - 1)]
        d = _directions(strokes, np.minimum(travel, most), LIMIT[axis], wish, rng)
        direction[:, axis] = d[k]
    for axis, carrier, side in ((X, ROLL, -1), (Y, PITCH, 1)):
        speed[:, axis] = speed[:, carrier] * STROKE[axis] / STROKE[carrier]
        direction[:, axis] = side * direction[:, carrier]
    return np.cumsum(speed * direction, axis=0), speed
