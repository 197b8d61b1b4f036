"""The kernels of the puppet against their plain twins."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.outlines import fill, fill_plain, flat, flat_plain, stretches, stretches_plain

HEIGHT, WIDTH = 61, 83
BELOW = np.uint32(0xFF203040)


def ramps(seed: int) -> np.ndarray:
    """[3, HEIGHT] premultiplied colours; the first is opaque."""
    parts = np.random.default_rng(seed).integers(0, 256, (3, HEIGHT, 4)).astype(np.uint32)
    parts[0, :, 3] = 255
    parts[..., :3] = parts[..., :3] * parts[..., 3:] // 255
    return np.ascontiguousarray(parts.astype(np.uint8)).view(np.uint32)[..., 0]


def star(seed: int, middle: tuple[float, float], size: float) -> np.ndarray:
    """[40, 2] a round outline with bays, clockwise or not."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = size * (1 + 0.4 * np.sin(3 * turn + seed))
    sense = 1 if seed % 2 else -1
    return np.stack([radius * np.cos(turn), sense * radius * np.sin(turn)], 1) + middle


def painted(outlines: np.ndarray, colours: np.ndarray, inks: list[int]) -> np.ndarray:
    """Bytes [HEIGHT, WIDTH, 4] after `fill`, which leaves its room as it was."""
    picture = np.full((HEIGHT, WIDTH), BELOW)
    room = np.zeros(HEIGHT * (WIDTH + 2), np.float32)
    fill(picture, outlines.astype(np.float32), colours, np.array(inks, np.int32), room)
    assert not room.any()
    return picture.view(np.uint8).reshape(HEIGHT, WIDTH, 4)


@pytest.mark.parametrize(
    ("middle", "size"),
    [((40, 30), 20), ((40, 30), 0.7), ((2, 3), 25), ((80, 58), 30), ((40, 30), 400), ((-60, 9), 9)],
)
def test_as_the_plain_twin(middle, size):
    outlines = np.stack([star(k, middle, size * (1 - 0.2 * k)) for k in range(4)])
    inks = [0, 1, 2, 0]
    plain = np.full((HEIGHT, WIDTH), BELOW)
    fill_plain(plain, outlines.astype(np.float32), ramps(5), np.array(inks, np.int32))
    off = painted(outlines, ramps(5), inks).astype(int)
    off -= plain.view(np.uint8).reshape(HEIGHT, WIDTH, 4)
    assert np.abs(off).max() <= 2 * len(outlines)  # bytes are rounded down twice an outline


def test_a_pixel_is_covered_as_far_as_the_outline_reaches():
    box = np.array([[[10.25, 20.5], [14.75, 20.5], [14.75, 22.0], [10.25, 22.0]]])
    white = np.full((1, HEIGHT), 0xFFFFFFFF, np.uint32)
    blue = painted(box, white, [0])[19:24, 9:16, 0].astype(float)
    shares = (blue - 0x40) / (255 - 0x40)
    across = np.array([0, 0.75, 1, 1, 1, 0.75, 0])
    np.testing.assert_allclose(shares, np.outer([0, 0.5, 1, 0, 0], across), atol=0.02)


def test_what_is_no_outline_paints_nothing():
    broken = np.full((2, 5, 2), np.nan)
    broken[1, :, 0] = np.inf
    flat = np.stack([np.linspace(3, 30, 5), np.full(5, 7.0)], 1)[None]
    for outlines in (broken, flat, np.zeros((0, 5, 2))):
        words = painted(outlines, ramps(1), [0] * len(outlines)).view(np.uint32)
        assert (words == BELOW).all()


def test_a_shape_that_twists_is_filled_on_both_sides():
    bow = np.array([[[10, 10], [30, 30], [30, 10], [10, 30]]])
    opaque = np.full((1, HEIGHT), 0xFFFFFFFF, np.uint32)
    blue = painted(bow, opaque, [0])[..., 0]
    assert blue[20, 12] == blue[20, 28] == 255
    assert blue[12, 20] == 0x40


def test_points_on_the_picture_plane_as_the_plain_twin():
    chance = np.random.default_rng(1)
    points, matrix, moved = chance.normal(0, 90, (50, 3)), chance.normal(0, 1, (3, 3)), np.ones(3)
    seen = flat(points, matrix, moved, 1700.0)
    np.testing.assert_allclose(seen, flat_plain(points, matrix, moved, 1700.0), rtol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("count", [2, 3, 25])
def test_curves_as_the_plain_twin(count, closed):
    points = np.random.default_rng(count).normal(0, 90, (count, 2))
    made = stretches(points, closed, 0.8)
    np.testing.assert_allclose(made, stretches_plain(points, closed, 0.8), rtol=1e-12)
    np.testing.assert_array_equal(made[:, 4:], np.roll(points, -1, axis=0)[: len(made)])


def test_a_curve_without_tension_is_straight():
    points = np.array([[0.0, 0.0], [3.0, 9.0], [-6.0, 12.0]])
    made = stretches(points, False, 0.0)
    np.testing.assert_array_equal(made, [[0, 0, 3, 9, 3, 9], [3, 9, -6, 12, -6, 12]])
