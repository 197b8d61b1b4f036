"""Classes of sounds, and a linear probe that finds what is there and only that."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.phones import (
    CLASSES,
    Examples,
    balanced_accuracy,
    join,
    phone_class,
    phone_examples,
    probe_accuracy,
)
from engine.motion.blendshapes import INDEX
from engine.motion.visemes import Phone


def made_up(noise: float, songs: int = 10, each: int = 30, seed: int = 0) -> Examples:
    """Shapes of five classes, each with a channel of its own, and noise on all 52."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(5, (songs, each), p=[0.4, 0.1, 0.2, 0.2, 0.1]).ravel()
    shapes = rng.normal(0, noise, (songs * each, 52)).astype(np.float32)
    shapes[np.arange(len(classes)), 20 + classes] += 1
    return Examples(shapes, classes, np.repeat(np.arange(songs), each))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("m", "mbp"), ("b", "mbp"), ("p", "mbp"), ("pʰ", "mbp"), ("f", "fv"), ("v", "fv"),
        ("uː", "uo"), ("oʊ", "uo"), ("ɔ̃", "uo"), ("w", "uo"), ("iː", "ie"), ("eɪ", "ie"),
        ("ˈɛ", "ie"), ("ɑː", "a"), ("a", "a"), ("aɪ", ""), ("aʊ", ""), ("ɔɪ", ""), ("ə", ""),
        ("y", ""), ("s", ""), ("tʃ", ""), ("pf", ""), ("<breath>", ""), ("", ""),
    ],
)  # fmt: skip
def test_phones_have_the_class_that_all_their_letters_have(label: str, kind: str) -> None:
    assert phone_class(label) == kind


def test_examples_are_the_middle_frames() -> None:
    shapes = np.zeros((60, 52), np.float32)
    shapes[:, 0] = np.arange(60)
    phones = [
        Phone("m", 0.0, 0.2), Phone("s", 0.2, 0.4), Phone("aː", 0.4, 1.0), Phone("b", 5.0, 5.2),
    ]  # fmt: skip
    found = phone_examples(shapes, phones, song=7)
    assert found.shapes[:, 0].tolist() == [3, 21]
    assert [CLASSES[kind] for kind in found.classes] == ["mbp", "a"]
    assert found.songs.tolist() == [7, 7]
    late = phone_examples(shapes, phones, late=2)
    assert late.shapes[:, 0].tolist() == [5, 23]
    both = join([found, late])
    assert both.shapes.shape == (4, 52)
    assert both.songs.tolist() == [7, 7, 0, 0]


def test_balanced_accuracy_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1])
    assert balanced_accuracy(np.zeros(5, int), truth) == 0.5
    assert balanced_accuracy(np.array([0, 0, 0, 1, 1]), truth) == pytest.approx((0.75 + 1) / 2)


def test_what_is_plain_is_read_and_chance_is_chance() -> None:
    assert probe_accuracy(made_up(0.1)) > 0.99
    blind = made_up(0.1)
    nothing = np.random.default_rng(1).normal(0, 1, blind.shapes.shape).astype(np.float32)
    assert probe_accuracy(blind._replace(shapes=nothing)) == pytest.approx(0.2, abs=0.08)


def test_loudness_alone_is_chance() -> None:
    """A jaw that moves without regard to the sound, and 51 shapes that never do."""
    examples = made_up(0)
    shapes = np.zeros_like(examples.shapes)
    shapes[:, INDEX["jawOpen"]] = np.random.default_rng(2).random(len(shapes))
    assert probe_accuracy(examples._replace(shapes=shapes)) == pytest.approx(0.2, abs=0.1)


def test_a_song_never_helps_to_read_itself() -> None:
    """Each song marks its classes by channels of its own: seen elsewhere they say nothing."""
    rng = np.random.default_rng(3)
    parts = []
    for song in range(8):
        classes = rng.integers(0, 5, 40)
        shapes = np.zeros((40, 52), np.float32)
        shapes[np.arange(40), (song * 6 + classes) % 52] = 1
        parts.append(Examples(shapes, classes, np.full(40, song)))
    assert probe_accuracy(join(parts)) < 0.45


def test_noise_costs_and_the_result_repeats() -> None:
    clear, noisy = (probe_accuracy(made_up(noise)) for noise in (0.3, 1.0))
    assert clear > noisy > 0.25
    assert probe_accuracy(made_up(0.3)) == clear


def test_one_song_or_class_is_not_enough() -> None:
    with pytest.raises(ValueError, match="got 1, 5"):
        probe_accuracy(made_up(0.1, songs=1, each=100))
    one = made_up(0.1)
    with pytest.raises(ValueError, match="got 10, 1"):
        probe_accuracy(one._replace(classes=np.zeros_like(one.classes)))
