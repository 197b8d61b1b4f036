"""Does the mouth sing? Pure functions over blendshape tracks, phones and the voice's sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from engine.metrics.separation import area_under_curve
from engine.motion.blendshapes import ARKIT, INDEX, JAW_OPEN
from engine.signals import F32
from engine.timeline import FRAME_RATE

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

SHUT = 0.1  # jawOpen below this counts as a shut mouth
AUDIBLE = 27.0  # dB below the loud level at which a frame still counts as voiced
AWAY = 0.3  # seconds from any voice after which a mouth should be shut
MOUTH = tuple(i for i, name in enumerate(ARKIT) if name.startswith(("jaw", "mouth", "tongue")))
PRESS = (INDEX["mouthPressLeft"], INDEX["mouthPressRight"])
ROUND = (INDEX["mouthPucker"], INDEX["mouthFunnel"])
SPREAD = (
    INDEX["mouthStretchLeft"], INDEX["mouthStretchRight"],
    INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"],
)  # fmt: skip


def frame_levels(sound: F32, rate: int, frames: int) -> F64:
    """Mono sound [n] at `rate` Hz → level in dB of each of the frames' own 1/30 s. [frames]"""
    edges = np.arange(frames + 1) * rate // FRAME_RATE
    power = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    clipped = np.minimum(edges, len(sound))
    energy = power[clipped[1:]] - power[clipped[:-1]]
    return 10 * np.log10(energy / np.maximum(np.diff(edges), 1) + 1e-12)


def voiced_frames(levels: F64) -> Bool:
    """Frames within AUDIBLE dB of the loud level (the 95th percentile)."""
    return levels > np.percentile(levels, 95) - AUDIBLE


def away_from_voice(voiced: Bool, seconds: float = AWAY) -> Bool:
    """Frames [T] that are so far from any voiced frame, before and after it."""
    reach = round(seconds * FRAME_RATE) - 1
    return ~binary_dilation(voiced, iterations=reach) if reach > 0 else ~voiced


def jaw_auc(shapes: F32, sung: Bool) -> float:
    """Probability that jawOpen [T, 52] is larger in a sung frame than in another, ties half."""
    return area_under_curve(shapes[:, JAW_OPEN], sung)


def shut_share(shapes: F32) -> float:
    """Share of frames [T, 52] with jawOpen below SHUT."""
    return float((shapes[:, JAW_OPEN] < SHUT).mean())


def open_share(shapes: F32, voiced: Bool) -> float:
    """Share of the voiced frames with jawOpen of SHUT or more."""
    return float((shapes[voiced, JAW_OPEN] >= SHUT).mean())


def loudness_correlation(shapes: F32, levels: F64) -> float:
    """Correlation of jawOpen with the voice's level in dB, silence taken as 40 dB down."""
    floor = np.percentile(levels, 95) - 40
    return float(np.corrcoef(shapes[:, JAW_OPEN], np.maximum(levels, floor))[0, 1])


def lateness(track: NDArray, reference: NDArray, reach: int = 6) -> float:
    """Frames by which [T] `track` follows `reference`: the peak of the cross-correlation of their
    rises, refined by a parabola. > 0 is late."""
    a = np.maximum(np.diff(track.astype(np.float64)), 0)
    b = np.maximum(np.diff(reference.astype(np.float64)), 0)
    a, b = a - a.mean(), b - b.mean()
    lags = range(-reach - 1, reach + 2)
    n = len(a)
    score = np.array(
        [(a[max(0, k) : n + min(0, k)] * b[max(0, -k) : n - max(0, k)]).sum() for k in lags]
    )
    best = 1 + int(score[1:-1].argmax())
    left, middle, right = score[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(lags[best] + (0.5 * (left - right) / bend if bend < 0 else 0.0))


def explained(shapes: F32, truth: F32, frames: Bool) -> float:
    """R² of the mouth's shapes against the acted ones over the given frames, channels pooled."""
    made, acted = shapes[frames][:, MOUTH], truth[frames][:, MOUTH]
    return float(1 - ((made - acted) ** 2).sum() / ((acted - acted.mean(0)) ** 2).sum())


def loudness_mouth(levels: F64, truth: F32, frames: Bool) -> F32:
    """The best mouth that loudness alone can make: each shape an affine function of it, fitted to
    the truth itself. [T, 52]"""
    design = np.stack([levels, np.ones_like(levels)], 1)
    fit, *_ = np.linalg.lstsq(design[frames], truth[frames].astype(np.float64), rcond=None)
    return (design @ fit).clip(0, 1).astype(np.float32)
