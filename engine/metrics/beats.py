"""Does the movement keep time with the music? SingingHead's Beat Align Score, and chance.

Everything is on the grid of 30 frames a second (the published code compares frames of motion with
hops of 32 ms: after 8 s that is half a second).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from engine.signals import F32
from engine.timeline import FRAME_RATE

SMOOTHING = 5.0  # frames, σ of the Gaussian over speed
WIDTH = 18.0  # 2σ² with σ = 3 frames

Frames = NDArray[np.float64]


def motion_beats(motion: F32) -> Frames:
    """Landmarks [T, P, D] or poses [T, D] → frames at which the movement rests for an instant. [n]

    Local minima of the speed, mean over points, smoothed with σ = SMOOTHING frames (SingingHead
    §V-B; the recipe is AIST++'s, Li et al. 2021 §5.2). Frame n stands for the step from n to n + 1.
    """
    points = np.asarray(motion, np.float64)
    points = points.reshape(len(points), -1, points.shape[-1])
    moved = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(1)
    smooth = gaussian_filter1d(moved, SMOOTHING) if len(moved) else moved
    inner = smooth[1:-1]
    rests = (inner < smooth[:-2]) & (inner < smooth[2:])
    return np.flatnonzero(rests).astype(np.float64) + 1


def audio_beats(seconds: ArrayLike) -> Frames:
    """Beats in seconds → in frames."""
    return np.asarray(seconds, np.float64) * FRAME_RATE


def beat_align(motion: Frames, audio: Frames, over: Literal["audio", "motion"] = "audio") -> float:
    """Beat Align Score in 0 … 1 of two lists of beats, in frames.

    Mean over the beats of `over` of exp(−d²/18), d frames to the nearest beat of the other. The
    paper prints no formula; its code averages over the music's beats (Bailando, Siyao et al. 2022),
    AIST++ over the movement's: `over="motion"`. No movement beats give 0, no music nan. Depends on
    how many beats each side has, so compare only with the same motion on shuffled songs.
    """
    if not len(audio):
        return float("nan")
    if not len(motion):
        return 0.0
    distance = np.abs(np.asarray(motion)[:, None] - np.asarray(audio)[None])
    nearest = distance.min(axis=0 if over == "audio" else 1)
    return float(np.exp(-(nearest**2) / WIDTH).mean())


class Take(NamedTuple):
    """One song's performance. motion, audio: beats in frames; frames: how long it is."""

    motion: Frames
    audio: Frames
    frames: int


class Aligned(NamedTuple):
    score: float  # mean Beat Align of every motion with its own song
    shuffled: float  # … with songs dealt out at random
    p: float  # chance that songs dealt out at random align as well


def against_shuffled(
    takes: Sequence[Take],
    shuffles: int = 9999,
    seed: int = 0,
    over: Literal["audio", "motion"] = "audio",
) -> Aligned:
    """Is each motion closer to its own song's beats than to the other songs'? Permutation test.

    Songs are dealt out anew `shuffles` times; p = (1 + times that it aligned as well) /
    (1 + shuffles). A pair is compared over the shorter one's frames. With n songs p cannot be
    less than about 1 / n!. Raises ValueError for fewer than two takes.
    """
    if len(takes) < 2:
        raise ValueError(f"shuffling needs two songs or more, got {len(takes)}")
    scores = np.array([[_pair(one, other, over) for other in takes] for one in takes])
    scores = np.nan_to_num(scores)
    rows = np.arange(len(takes))
    rng = np.random.default_rng(seed)
    chance = np.array([scores[rows, rng.permutation(len(takes))].mean() for _ in range(shuffles)])
    score = float(scores[rows, rows].mean())
    as_good = int((chance >= score - 1e-12).sum())
    return Aligned(score, float(chance.mean()), (1 + as_good) / (1 + shuffles))


def _pair(one: Take, other: Take, over: Literal["audio", "motion"]) -> float:
    """Beat Align of one take's motion with another's song."""
    frames = min(one.frames, other.frames)
    return beat_align(one.motion[one.motion < frames], other.audio[other.audio < frames], over)
