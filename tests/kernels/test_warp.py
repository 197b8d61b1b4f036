"""Every hot loop of the portrait against its plain twin, and what they promise by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import warp

HEIGHT, WIDTH = 31, 26


def f32(low: float, high: float, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(low, high, shape).astype(np.float32)


def texture(alpha: int | None = None) -> np.ndarray:
    """Premultiplied noise; alpha: that of every texel, or None for any."""
    chance = np.random.default_rng(1)
    a = chance.integers(0, 256, (9, 12, 1)) if alpha is None else np.full((9, 12, 1), alpha)
    inks = chance.random((9, 12, 3)) * a
    return np.concatenate([inks, a], -1).astype(np.uint8)


def triangles(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Their corners [3 count, 3], some outside of the picture, and their numbers."""
    corners = f32(-0.3, 1.3, 3 * count, 3) * np.array([WIDTH, HEIGHT, 1], np.float32)
    corners[:, 2] = f32(0.5, 1.0, 3 * count)
    return corners, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def blank() -> tuple[np.ndarray, np.ndarray]:
    """Nothing near yet, and a half transparent ground."""
    ground = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ground[:] = 20, 40, 60, 128
    return np.zeros((HEIGHT, WIDTH), np.float32), ground


def differing(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels that are not the same to within two steps: those on an edge, where
    float32 and float64 may take different sides, and what then is laid over them."""
    return float((np.abs(one.astype(int) - other.astype(int)).max(-1) > 2).mean())


@pytest.mark.parametrize("alpha", [None, 255])
@pytest.mark.parametrize("count", [1, 12])
def test_warp(count: int, alpha: int | None) -> None:
    picture, ids = triangles(count)
    source = f32(-2, 14, 3 * count, 2)
    fade = f32(0, 1, 3 * count)
    (near, fast), (near_plain, plain) = blank(), blank()
    warp.warp(picture, ids, source, fade, texture(alpha), near, fast)
    warp.warp_plain(picture, ids, source, fade, texture(alpha), near_plain, plain)
    assert (plain != blank()[1]).any()
    assert differing(fast, plain) < 0.01
    assert (np.abs(near - near_plain) > 1e-4).mean() < 0.01


def test_paint() -> None:
    picture, ids = triangles(12)
    colours = f32(0, 255, 36, 3)
    (near, fast), (near_plain, plain) = blank(), blank()
    warp.paint(picture, ids, colours, near, fast)
    warp.paint_plain(picture, ids, colours, near_plain, plain)
    assert (plain != blank()[1]).any()
    assert differing(fast, plain) < 0.01


@pytest.mark.parametrize(("top", "left"), [(0, 0), (5, 3), (-4, 20), (29, -5), (60, 60)])
def test_shrink(top: int, left: int) -> None:
    fine = np.random.default_rng(2).integers(0, 256, (30, 24, 4)).astype(np.uint8)
    (_, fast), (_, plain) = blank(), blank()
    warp.shrink(fine, 3, top, left, fast)
    warp.shrink_plain(fine, 3, top, left, plain)
    np.testing.assert_allclose(fast.astype(int), plain.astype(int), atol=1)


def test_straighten() -> None:
    fast = np.tile(texture(), (3, 2, 1))
    plain = fast.copy()
    warp.straighten(fast)
    warp.straighten_plain(plain)
    np.testing.assert_array_equal(fast, plain)
    again = fast[..., :3].astype(float) * fast[..., 3:] / 255
    opaque = fast[..., 3] > 60
    np.testing.assert_allclose(again[opaque], np.tile(texture(), (3, 2, 1))[opaque, :3], atol=1)


def sheet() -> tuple[np.ndarray, np.ndarray]:
    """A grid of triangles over the whole picture, corners [V, 3]."""
    x, y = np.meshgrid(np.linspace(0, WIDTH, 6), np.linspace(0, HEIGHT, 5))
    at = np.arange(30).reshape(5, 6)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel()
    ids = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    corners = np.stack([x.ravel(), y.ravel(), np.ones(30)], 1).astype(np.float32)
    return corners, ids


def test_a_sheet_at_rest_is_the_texture_itself() -> None:
    corners, ids = sheet()
    photo = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    photo[..., 3] = 255
    near, out = blank()
    warp.warp(corners, ids, corners[:, :2].copy(), np.ones(30, np.float32), photo, near, out)
    np.testing.assert_allclose(out.astype(int), photo.astype(int), atol=1)


def test_a_sheet_has_no_seams() -> None:
    """Half transparent everywhere: a seam would show the ground."""
    corners, ids = sheet()
    corners[:, :2] += f32(-1.2, 1.2, 30, 2) * (
        (corners[:, :2] > 0) & (corners[:, :2] < [WIDTH, HEIGHT])
    )
    flat = np.full((4, 4, 4), 100, np.uint8)
    near, out = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    warp.warp(corners, ids, corners[:, :2].copy(), np.ones(30, np.float32), flat, near, out)
    assert (out == 100).all()


def test_the_nearer_one_shows_whatever_the_order() -> None:
    corners, ids = triangles(2)
    corners[:3, 2], corners[3:, 2] = 0.4, 0.9
    drawn = []
    for order in (ids, ids[::-1].copy()):
        near, out = blank()
        warp.paint(corners, order, f32(0, 255, 6, 3), near, out)
        drawn.append(out)
    np.testing.assert_array_equal(*drawn)
