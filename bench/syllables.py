"""Latency by physics: syllables with sharp beginnings go in, a mouth opens in what comes out.

The syllables are open vowels cut out of made songs that no network was trained on, each begun in
4 ms; the rests between them are uneven, so that a train fits itself at one delay only.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from bench.sound import HELD_OUT
from engine.motion.visemes import TABLE, is_vowel, nucleus
from engine.signals import F32
from engine.timeline import FEATURE_RATE, FRAME_RATE, SAMPLE_RATE
from engine.training.truth import load_truth

LEAD_S = 1.0  # s of silence before the first syllable, in which everything settles
HELD_S = 0.22  # s that a syllable lasts at most …
SHORT_S = 0.12  # … and at least
RISE_S, FALL_S = 0.004, 0.030  # s in which it begins and ends
RESTS_S = (0.40, 0.65)  # s from one beginning to the next
WIDE = 0.5  # jaw of an open vowel
PEAK = 0.8
GRID = 1000  # a second: the resolution of an answer
REACH = (-0.3, 0.7)  # s in which an answer is looked for
SMOOTH = round(GRID / FRAME_RATE)  # steps of GRID: a picture stays for a frame
OPENS = 0.10  # of the widest opening: a syllable that moves the mouth less was not answered
HALF = 0.5  # of its own opening: when one syllable counts as answered


class Train(NamedTuple):
    """sound: [1, n] at 48 kHz. onsets: [k] seconds at which the syllables begin."""

    sound: F32
    onsets: np.ndarray


class Answer(NamedTuple):
    """lag: s by which the openings follow the beginnings, by cross-correlation of all at once.
    each: [≤ k] s from a beginning to the half-open mouth. missed: syllables without an answer."""

    lag: float
    each: np.ndarray
    missed: int


@cache
def _vowels() -> tuple[F32, ...]:
    """Open vowels of the held-out singers, at 48 kHz, equally loud at their peaks."""
    cut = []
    for path in HELD_OUT:
        both, rate = soundfile.read(path, dtype="float32")
        assert rate == FEATURE_RATE
        voice = soxr.resample(both[:, 0], rate, SAMPLE_RATE)
        for phone in load_truth(path.with_suffix(".json")).phones:
            length = min(HELD_S, phone.end - phone.start - 2 * FALL_S)
            if _is_open(phone.label) and length >= SHORT_S:
                start = round((phone.start + FALL_S) * SAMPLE_RATE)
                cut.append(_shaped(voice[start : start + round(length * SAMPLE_RATE)]))
    return tuple(cut)


def _is_open(label: str) -> bool:
    """Whether the mouth is wide open in the middle of this phone."""
    return is_vowel(label) and TABLE[nucleus(label)].jaw >= WIDE


def _shaped(vowel: F32) -> F32:
    t = np.arange(len(vowel)) / SAMPLE_RATE
    envelope = np.minimum(1, np.minimum(t / RISE_S, t[::-1] / FALL_S))
    shaped = vowel * envelope
    return np.asarray(PEAK * shaped / np.abs(shaped).max(), np.float32)


def train(seconds: float, seed: int = 0) -> Train:
    """As many syllables as fit into so many seconds after LEAD_S; at least three."""
    chance = np.random.default_rng(seed)
    vowels = _vowels()
    onsets = [LEAD_S]
    while len(onsets) < 3 or onsets[-1] + RESTS_S[1] + HELD_S < LEAD_S + seconds:
        onsets.append(onsets[-1] + chance.uniform(*RESTS_S))
    starts = np.round(np.array(onsets) * SAMPLE_RATE).astype(int)
    sound = np.zeros((1, starts[-1] + round((HELD_S + RESTS_S[0]) * SAMPLE_RATE)), np.float32)
    for start, which in zip(starts, chance.permutation(len(starts)) % len(vowels), strict=True):
        vowel = vowels[which]
        sound[0, start : start + len(vowel)] = vowel
    return Train(sound, starts / SAMPLE_RATE)


def answer(times: np.ndarray, opening: np.ndarray, onsets: np.ndarray) -> Answer:
    """What a mouth did to a train.

    times: [n] s at which each picture (or motion) came out. opening: [n] how open its mouth is, in
    any unit. onsets: [k] s, on the clock of `times`. Raises ValueError when nothing moves, or
    when most syllables go without an answer, so that the movements mean nothing.
    """
    times, opening = np.asarray(times, np.float64), np.asarray(opening, np.float64)
    if len(times) < 2 or np.ptp(opening) == 0:
        raise ValueError("the mouth never moved")
    opening = (opening - opening.min()) / np.ptp(opening)
    begin = times[0]
    shown = opening[np.searchsorted(times, _grid(times), side="right") - 1]
    rising = np.maximum(np.diff(np.convolve(shown, np.ones(SMOOTH) / SMOOTH, "same")), 0)
    heard = onsets[(onsets + REACH[0] > begin) & (onsets + REACH[1] < times[-1])]
    if not len(heard):
        raise ValueError("no syllable lies whole within what was seen")
    lag = _best_lag(rising, np.round((heard - begin) * GRID).astype(int))
    each = [_half_open(shown, int((onset - begin + lag) * GRID)) for onset in heard]
    found = [
        at / GRID + begin - onset for at, onset in zip(each, heard, strict=True) if at is not None
    ]
    if 2 * len(found) < len(heard):
        raise ValueError(f"the mouth answered {len(found)} of {len(heard)} syllables")
    return Answer(lag, np.array(found), len(heard) - len(found))


def _grid(times: np.ndarray) -> np.ndarray:
    return np.arange(times[0], times[-1], 1 / GRID)


def _best_lag(rising: np.ndarray, starts: np.ndarray) -> float:
    """s at which the rises follow the starts best: the correlation's peak, as a parabola has it."""
    lags = np.arange(round(REACH[0] * GRID), round(REACH[1] * GRID))
    places = np.clip(starts[:, None] + lags[None], 0, len(rising) - 1)
    score = rising[places].sum(axis=0)
    best = int(np.clip(score.argmax(), 1, len(score) - 2))
    left, middle, right = score[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(lags[best] + (0.5 * (left - right) / bend if bend < 0 else 0.0)) / GRID


def _half_open(shown: np.ndarray, expected: int) -> int | None:
    """Where the mouth passes half of an opening near `expected`; None when it hardly opens."""
    first, last = max(0, expected - GRID // 6), min(len(shown), expected + GRID // 4)
    if last - first < 2:
        return None
    near = shown[first:last]
    top = int(near.argmax())
    foot = int(near[: top + 1].argmin())
    if near[top] - near[foot] < OPENS:
        return None
    half = near[foot] + HALF * (near[top] - near[foot])
    return first + foot + int((near[foot : top + 1] >= half).argmax())
