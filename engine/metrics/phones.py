"""Can words be seen? A linear probe reads classes of sounds off the 52 shapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from engine.signals import F32
from engine.timeline import FRAME_RATE

CLASSES = ("mbp", "fv", "uo", "ie", "a")
SOUNDS = {
    **dict.fromkeys("mbpɓ", "mbp"),
    **dict.fromkeys("fvɱ", "fv"),
    **dict.fromkeys("uʊoɔw", "uo"),
    **dict.fromkeys("iɪeɛj", "ie"),
    **dict.fromkeys("aɑɐæʌ", "a"),
}
FOLDS = 5
DECAY = 1e-2  # weight of ½|W|² beside the mean loss
SHIFT = 1e-3  # deviations smaller than this are no deviations: a channel that never moves


class Timed(Protocol):
    """A sung sound: IPA label; start and end in seconds."""

    @property
    def label(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


class Examples(NamedTuple):
    shapes: F32  # [n, 52]
    classes: NDArray[np.int64]  # [n] index into CLASSES
    songs: NDArray[np.int64]  # [n] which song each comes from


def phone_class(label: str) -> str:
    """m b p, f v, u o, i e or a: the class that every letter of an IPA label has, else "".

    Length, stress, ties, tones and nasality say nothing; a diphthong counts where both its ends are
    of one class (ej, ow), other vowels (ə, y, ø, ɜ) and consonants are none.
    """
    letters = [
        letter
        for letter in unicodedata.normalize("NFD", label)
        if unicodedata.category(letter) in ("Ll", "Lo")
    ]
    found = {SOUNDS.get(letter, "") for letter in letters}
    return found.pop() if len(found) == 1 else ""


def phone_examples(
    shapes: F32, phones: Iterable[Timed], song: int = 0, late: float = 0
) -> Examples:
    """The middle frame of every phone of a class: shapes [T, 52] → Examples.

    late: frames by which the mouth follows the sound.
    """
    rows, classes = [], []
    for phone in phones:
        kind = phone_class(phone.label)
        row = int((phone.start + phone.end) / 2 * FRAME_RATE + late)
        if kind and 0 <= row < len(shapes):
            rows.append(row)
            classes.append(CLASSES.index(kind))
    picked = np.array(rows, int)
    return Examples(shapes[picked], np.array(classes, int), np.full(len(rows), song))


def join(examples: Iterable[Examples]) -> Examples:
    """All songs' examples as one."""
    return Examples(*(np.concatenate(side) for side in zip(*examples, strict=True)))


def probe_accuracy(examples: Examples, folds: int = FOLDS) -> float:
    """Balanced accuracy of a linear probe over the classes that occur; chance is 1 / classes.

    Multinomial logistic regression on standardised shapes, each class weighing the same, L2 with
    DECAY; tested on songs that it was not fitted to (`folds` groups of songs). Deterministic.
    Raises ValueError for fewer than two songs or classes.
    """
    songs, kinds = np.unique(examples.songs), np.unique(examples.classes)
    if len(songs) < 2 or len(kinds) < 2:
        raise ValueError(f"expected two songs and classes or more, got {len(songs)}, {len(kinds)}")
    fold = np.searchsorted(songs, examples.songs) % min(folds, len(songs))
    guess = np.empty(len(fold), int)
    for n in range(min(folds, len(songs))):
        known = fold != n
        probe = _fit(examples.shapes[known], examples.classes[known])
        guess[~known] = probe(examples.shapes[~known])
    return balanced_accuracy(guess, examples.classes)


def balanced_accuracy(guess: NDArray, truth: NDArray) -> float:
    """Mean over the classes of truth [n] of the share that was guessed right."""
    return float(np.mean([(guess[truth == kind] == kind).mean() for kind in np.unique(truth)]))


def _fit(shapes: F32, classes: NDArray):  # type: ignore[no-untyped-def]
    """A function from shapes [n, C] to classes [n]."""
    mean, scale = shapes.mean(0), np.maximum(shapes.std(0), SHIFT)
    kinds, index = np.unique(classes, return_inverse=True)
    weight = 1 / np.bincount(index)[index]
    weight /= weight.sum()
    truth = np.eye(len(kinds))[index]

    def design(x: F32) -> NDArray[np.float64]:
        return np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], 1).astype(np.float64)

    inputs = design(shapes)

    def loss(flat: NDArray) -> tuple[float, NDArray]:
        w = flat.reshape(inputs.shape[1], len(kinds))
        score = inputs @ w
        score -= score.max(1, keepdims=True)
        share = np.exp(score)
        share /= share.sum(1, keepdims=True)
        penalty = w * DECAY
        penalty[-1] = 0
        gradient = inputs.T @ (weight[:, None] * (share - truth)) + penalty
        log = np.log(np.maximum((share * truth).sum(1), 1e-30))
        return float(-(weight * log).sum() + 0.5 * (penalty * w).sum()), gradient.ravel()

    start = np.zeros(inputs.shape[1] * len(kinds))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    fitted = best.reshape(inputs.shape[1], len(kinds))
    return lambda x: kinds[(design(x) @ fitted).argmax(1)]
