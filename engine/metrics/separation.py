"""How well a voice was taken out of a mixture: pure functions over sound."""

from __future__ import annotations

import numpy as np

from engine.signals import F32


def si_sdr(estimate: F32, truth: F32) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of [n] against [n] (Le Roux et al. 2019)."""
    estimate, truth = estimate.astype(np.float64), truth.astype(np.float64)
    target = truth * (estimate @ truth) / (truth @ truth + 1e-12)
    return float(10 * np.log10((target @ target) / (((estimate - target) ** 2).sum() + 1e-12)))


def leak(estimate: F32, accompaniment: F32) -> float:
    """dB of what comes out as voice when only the accompaniment [n] went in."""
    power = (estimate.astype(np.float64) ** 2).mean()
    return float(10 * np.log10(power / ((accompaniment.astype(np.float64) ** 2).mean() + 1e-12)))


def area_under_curve(score: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a positive frame scores above a negative one (ROC AUC)."""
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    positive = truth.astype(bool)
    many, few = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))
