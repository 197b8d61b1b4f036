"""The avatar, whole: sound to motion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.avatar import Avatar, AvatarConfig
from engine.signals import Motion, Sound
from engine.timeline import FRAME, samples_needed


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return Avatar(AvatarConfig())


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (2, 96_000)).astype(np.float32)


def _same(one: Motion, other: Motion) -> bool:
    return one.frame == other.frame and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("blendshapes", "head", "gaze", "voice", "hair", "body", "breath")
    )


def _hear(avatar: Avatar, sound: np.ndarray, cuts: list[int]) -> list[Motion]:
    state, motions = avatar.initial_state(), []
    for start, stop in itertools.pairwise(cuts):
        more, state = avatar.hear(Sound(sound[:, start:stop], start), state)
        motions += more
    return motions


def test_a_live_run_equals_a_file_run_bit_for_bit(avatar: Avatar, sound: np.ndarray) -> None:
    whole = _hear(avatar, sound, [0, 96_000])
    cuts = [0, 1, 128, 257, 1600, 18_121, 18_122, 50_000, 96_000]
    pieces = _hear(avatar, sound, cuts)
    assert len(whole) == len(pieces) == 59
    assert all(_same(one, other) for one, other in zip(whole, pieces, strict=True))


@pytest.mark.parametrize("lookahead", [0, 2, 6])
def test_a_frame_comes_as_soon_as_its_sound_is_there(lookahead: int, sound: np.ndarray) -> None:
    avatar = Avatar(AvatarConfig(lookahead=lookahead))
    state, at = avatar.initial_state(), 0
    for stop in range(480, 48_000, 480):
        motions, state = avatar.hear(Sound(sound[:, at:stop], at), state)
        at = stop
        for motion in motions:
            assert stop - 480 < samples_needed(motion.frame, lookahead) <= stop or stop == 480


def test_after_a_gap_frames_keep_their_place(avatar: Avatar, sound: np.ndarray) -> None:
    state = avatar.initial_state()
    before, state = avatar.hear(Sound(sound[:, :20_000], 0), state)
    none, state = avatar.hear(Sound(sound[:, :1000], 50_000), state)
    after, state = avatar.hear(Sound(sound[:, :40_000], 51_000), state)
    assert [m.frame for m in before] == list(range(len(before)))
    assert not none
    frames = [m.frame for m in after]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    assert frames[0] * FRAME >= 51_000 - 2 * FRAME


def test_bad_sound_is_refused(avatar: Avatar, sound: np.ndarray) -> None:
    state = avatar.initial_state()
    with pytest.raises(ValueError, match="sound must be"):
        avatar.hear(Sound(sound[0], 0), state)
    with pytest.raises(ValueError, match="float32"):
        avatar.hear(Sound(sound.astype(np.float64), 0), state)
    _, state = avatar.hear(Sound(sound[:, :9600], 0), state)
    with pytest.raises(ValueError, match="was heard already"):
        avatar.hear(Sound(sound[:, :9600], 4800), state)


def test_styles_and_lookahead_are_checked() -> None:
    with pytest.raises(ValueError, match="style must be 0 to"):
        Avatar(AvatarConfig(style=99))
    with pytest.raises(ValueError, match="lookahead must be 0 to 6"):
        Avatar(AvatarConfig(lookahead=7))
