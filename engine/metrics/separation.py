"""How well a voice was taken out of a mixture: pure functions over sound."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate
from scipy.stats import rankdata

from engine.hearing.mfcc import COEFFICIENTS
from engine.signals import F32

F64 = NDArray[np.float64]

TINY = 1e-12  # energy that keeps silence from dividing by zero
HELD = 0.5  # activity above which a hop is held to be sung
SUPPRESSED = 10.0  # dB


def si_sdr(estimate: F32, truth: F32, lag: int = 0) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of [n] against [n] (Le Roux et al. 2019).

    lag: samples by which the estimate is known to be late (< 0: early); what has no partner is left
    out. State it beside the figure, or leave it 0.
    """
    made, true = aligned(estimate, truth, lag)
    target = true * (made @ true) / (true @ true + TINY)
    return _decibels(target @ target, ((made - target) ** 2).sum())


def usdr(estimate: F32, truth: F32, lag: int = 0) -> float:
    """Utterance SDR in dB of [n] against [n]: 10·log₁₀(Σ s² / Σ (s − ŝ)²) over the whole song.

    "SDR" of the Music Demixing Challenge (Mitsufuji et al. 2022): one window, no scaling, no
    filter, so a wrong level costs; museval's BSSEval differs by up to 1.3 dB.
    """
    made, true = aligned(estimate, truth, lag)
    return _decibels(true @ true, ((true - made) ** 2).sum())


def lag_of(estimate: F32, truth: F32, reach: int) -> int:
    """Samples in −reach … reach by which the estimate [n] is late: the peak of the correlation."""
    whole = correlate(estimate.astype(np.float64), truth.astype(np.float64), method="fft")
    zero = len(truth) - 1
    low, high = max(0, zero - reach), min(len(whole), zero + reach + 1)
    return int(low + np.abs(whole[low:high]).argmax() - zero)


def aligned(estimate: F32, truth: F32, lag: int = 0) -> tuple[F64, F64]:
    """Both in double precision, the estimate moved `lag` samples earlier, cut to what is shared.

    Raises ValueError where they are not [n] and [n], or nothing is left.
    """
    if estimate.ndim != 1 or estimate.shape != truth.shape or len(truth) <= abs(lag):
        raise ValueError(
            f"expected two sounds [n] longer than {abs(lag)}, got {estimate.shape}, {truth.shape}"
        )
    n = len(truth)
    late = estimate[max(0, lag) : n + min(0, lag)].astype(np.float64)
    return late, truth[max(0, -lag) : n - max(0, lag)].astype(np.float64)


def _decibels(signal: Any, distortion: Any) -> float:
    return float(10 * np.log10((signal + TINY) / (distortion + TINY)))


def leak(estimate: F32, accompaniment: F32) -> float:
    """dB of what comes out as voice when only the accompaniment [n] went in."""
    power = (estimate.astype(np.float64) ** 2).mean()
    return float(10 * np.log10(power / ((accompaniment.astype(np.float64) ** 2).mean() + 1e-12)))


def false_voice(activity: NDArray, sung: NDArray | None = None) -> float:
    """Share of hops [T] held to be sung (activity > 0.5) in which nobody sings; without `sung`
    nobody ever does (an accompaniment alone)."""
    silent = np.ones(len(activity), bool) if sung is None else ~np.asarray(sung, bool)
    return float((np.asarray(activity)[silent] > HELD).mean())


def over_suppression(
    estimate: NDArray, truth: NDArray, voiced: NDArray, drop: float = SUPPRESSED
) -> float:
    """Share of voiced frames in which the voice came out more than `drop` dB too quiet (after
    VoiceFilter-Lite's asymmetric loss, Wang et al. 2020). Levels [T] in dB (`mouth.frame_levels`),
    voiced [T]."""
    lost = np.asarray(truth) - np.asarray(estimate) > drop
    return float(lost[np.asarray(voiced, bool)].mean())


def mfcc_distance(made: NDArray, truth: NDArray, hops: NDArray | None = None) -> float:
    """How wrongly a stem is heard: mean over hops of the L2 distance of 13 cepstra.

    [T, ≥ 13], as `hearing.mfcc` makes them (liftered, relative to the running loudness); what
    follows the 13, their slopes, is left out. hops: [T] bool, those to look at.
    """
    if made.shape != truth.shape or made.ndim != 2 or made.shape[1] < COEFFICIENTS:
        raise ValueError(
            f"expected two [T, ≥ {COEFFICIENTS}] of one shape, got {made.shape}, {truth.shape}"
        )
    cepstra = (np.asarray(side, np.float64)[:, :COEFFICIENTS] for side in (made, truth))
    distance = np.linalg.norm(np.subtract(*cepstra), axis=1)
    return float(distance[slice(None) if hops is None else np.asarray(hops, bool)].mean())


def area_under_curve(score: NDArray, truth: NDArray) -> float:
    """Probability that a positive frame scores above a negative one, ties counting half (ROC AUC);
    nan when one kind is missing."""
    positive = np.asarray(truth, bool)
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))
