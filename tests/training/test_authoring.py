"""Authoring: subdivision, atlas, noise and views obey their laws without any outside data."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from engine.training.authoring.anatomy import headness, smooth
from engine.training.authoring.atlas import HEIGHT, PATCHES, WIDTH
from engine.training.authoring.hair import below_hairline, pattern
from engine.training.authoring.skin import noise, spread
from engine.training.authoring.subdivision import subdivide
from engine.training.authoring.views import PIXELS, depth_picture, seen_from

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
FACES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)


def test_subdivision_follows_every_affine_map():
    mixing, fine = subdivide(FACES, 8)
    assert fine.shape == (24, 4)
    assert mixing.shape == (8 + 12 + 6, 8)
    np.testing.assert_allclose(mixing @ np.ones(8), 1.0)
    turn, shift = np.random.default_rng(0).normal(size=(3, 3)), np.array([1.0, 2, 3])
    np.testing.assert_allclose(mixing @ (CUBE @ turn + shift), (mixing @ CUBE) @ turn + shift)


def test_subdivided_cubes_become_round_and_stay_closed():
    mixing, fine = subdivide(FACES, 8)
    again, finer = subdivide(fine, mixing.shape[0])
    points = again @ mixing @ CUBE
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() / radius.min() < 1.35  # a cube's own is 1.73
    ends = np.sort(np.stack([finer, np.roll(finer, -1, 1)], -1).reshape(-1, 2), axis=1)
    assert (np.unique(ends, axis=0, return_counts=True)[1] == 2).all()


def test_borders_stay_borders():
    flat = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    mixing, _ = subdivide(np.array([[0, 1, 2, 3]]), 4)
    points = mixing @ flat
    assert not points[:, 2].any()
    np.testing.assert_allclose(points[4:8].mean(0), [0.5, 0.5, 0])  # edges' middles on the edges
    assert set(np.round(points[4:8, 0], 9)) == {0.0, 0.5, 1.0}


def test_patches_lie_apart_inside_the_atlas():
    boxes = {n: (p.left, p.top, p.left + p.width, p.top + p.height) for n, p in PATCHES.items()}
    for left, top, right, bottom in boxes.values():
        assert left >= 2
        assert top >= 2
        assert right <= WIDTH - 2
        assert bottom <= HEIGHT - 2
    for (a, one), (b, other) in combinations(boxes.items(), 2):
        apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]
        assert apart, f"{a} overlaps {b}"


def test_a_patch_finds_its_own_grid_again():
    patch = PATCHES["teeth"]
    u, v = patch.grid()
    texels = patch.texels(np.stack([u, v], -1))
    np.testing.assert_allclose(texels[0, 0], [patch.left + 0.5, patch.top + 0.5])
    np.testing.assert_allclose(texels[-1, -1, 1], patch.top + patch.height - 0.5)


def test_spread_interpolates_and_fills_gutters():
    corners = np.array([[[10.0, 10], [50, 10], [10, 50]]])
    laid = spread(corners, corners, (64, 64))
    np.testing.assert_allclose(laid[20, 20], [20.5, 20.5], atol=1e-6)
    assert np.isfinite(laid).all()


def test_noise_is_smooth_steady_and_of_unit_size():
    p = np.random.default_rng(1).uniform(0, 1, (20000, 3))
    value = noise(p, 0.01, 3)
    assert 0.6 < value.std() < 1.4
    assert abs(value.mean()) < 0.1
    assert np.abs(noise(p + 1e-6, 0.01, 3) - value).max() < 0.01
    np.testing.assert_array_equal(noise(p, 0.01, 3), value)
    assert np.abs(noise(p, 0.01, 4) - value).mean() > 0.3


@pytest.mark.parametrize("direction", [(0.0, 0, 1), (1.0, 0, 0), (0.0, 1, 0), (0.0, -0.6, 0.8)])
def test_a_view_sees_the_near_side(direction):
    faces = np.concatenate([FACES[:, [0, 1, 2]], FACES[:, [0, 2, 3]]])
    small = 0.1 * CUBE
    depth = depth_picture(small, faces, direction)
    assert depth[PIXELS // 2, PIXELS // 2] > 0
    nearest = seen_from(direction, small)[:, 2].max()
    assert depth.max() <= nearest + 1e-6
    assert depth.max() > nearest - 0.05


def test_fields_over_the_head():
    assert smooth(0.0, 1.0, 0.5) == 0.5
    assert smooth(1.0, 0.0, 2.0) == 0.0
    np.testing.assert_allclose(headness(np.array([[0, 0.05, 0], [0, -0.4, 0.0]])), [1.0, 0.0])
    crown, cheek = np.array([[0, 0.1, 0.02], [0.04, -0.04, 0.09]])
    for style in ("waves", "coils"):
        assert below_hairline(crown, style) < 0 < below_hairline(cheek, style)


def test_strands_of_a_ribbon_cover_it_but_for_its_ragged_ends():
    cells = pattern(np.random.default_rng(0))
    assert cells[:, 10:80, 2:-2].all()
    assert not cells[:, 0].all()
    assert not cells[:, -1].all()
