"""Every hot loop of the head against its plain twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kernels import deform, developing, lighting, raster

CHANCE = np.random.default_rng(5)
POINTS = CHANCE.normal(0, 0.1, (60, 3)).astype(np.float32)
TRIANGLES = CHANCE.permutation(np.arange(60)).reshape(20, 3).astype(np.int32)
HEIGHT, WIDTH = 24, 20


def f32(*shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(low, high, shape).astype(np.float32)


def unit(count: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


# ---- geometry -----------------------------------------------------------------------------------


def both(fast, plain, *arguments, shape, tolerance=1e-5):
    """Run a kernel and its twin into arrays of a shape and compare them."""
    one, other = np.empty((2, *shape), np.float32)
    fast(*arguments, one)
    plain(*arguments, other)
    np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)
    return one


def test_blend():
    starts = np.array([0, 5, 5, 12], np.int32)
    index = CHANCE.integers(0, 60, 12).astype(np.int32)
    weights = np.array([0.3, 1.0, -0.2], np.float32)
    arguments = POINTS, weights, starts, index, f32(12, 3)
    both(deform.blend, deform.blend_plain, *arguments, shape=(60, 3))


def test_combine():
    starts = np.array([0, 1, 4, 4, 9], np.int32)
    index = CHANCE.integers(0, 60, 9).astype(np.int32)
    both(deform.combine, deform.combine_plain, POINTS, starts, index, f32(9), shape=(4, 3))


def test_bend_carry_and_project():
    along, spine = f32(60), f32(5, 3, 4, low=-1)
    along[:2] = 0.0, 1.0
    both(deform.bend, deform.bend_plain, POINTS, along, spine, shape=(60, 3))
    both(deform.carry, deform.carry_plain, POINTS, spine[0], shape=(60, 3))
    camera = np.array([900.0, 10, 12, 0.1, 0.2, 1.3], np.float32)
    both(deform.project, deform.project_plain, POINTS, camera, shape=(60, 3), tolerance=1e-3)


def test_normals():
    found = both(deform.normals, deform.normals_plain, POINTS, TRIANGLES, shape=(60, 3))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


# ---- light --------------------------------------------------------------------------------------

LAMPS = lighting.Lamps(unit(4, 1), f32(4, 3), 0.3 * f32(3, 3))
EYE = np.array([0.0, 0.0, 1.4], np.float32)


def test_unshadowed():
    seen = f32(60, 3) * np.array([12, 12 / raster.SAMPLES, 1], np.float32)
    arguments = seen, f32(12, 12), 0.05, 1.9
    free = both(lighting.unshadowed, lighting.unshadowed_plain, *arguments, shape=(60,))
    assert free.min() >= 0
    assert free.max() <= 1


@pytest.mark.parametrize("surface", [(0.4, 0.2, 0.1, 0.4, 0.04, 0.1, 0.5, 0), (0,) * 3 + (1,) * 5])
def test_illuminate(surface):
    look = np.array(surface, np.float32)
    given = POINTS, unit(60, 2), f32(60), EYE, LAMPS, look
    one, other = np.empty((2, 2, 60, 3), np.float32)
    lighting.illuminate(*given, *one)
    lighting.illuminate_plain(*given, *other)
    np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-5)


def test_illuminate_strands():
    tangents = unit(60, 3)
    sideways = np.cross(tangents, unit(60, 4))
    normals = (sideways / np.linalg.norm(sideways, axis=1, keepdims=True)).astype(np.float32)
    light = f32(60), f32(60), f32(60, low=-0.1, high=0.1), f32(60, 3)
    strands = lighting.Strands(POINTS, tangents, normals, *light)
    shine = np.array([1, 0.8, 0.6, 0.05, 0.9], np.float32)
    kernels = lighting.illuminate_strands, lighting.illuminate_strands_plain
    both(*kernels, strands, EYE, LAMPS, shine, shape=(60, 3), tolerance=2e-4)


# ---- samples ------------------------------------------------------------------------------------


def picture(count: int, seed: int) -> np.ndarray:
    """Points [count, 3] a little beyond the picture on all sides."""
    x = np.random.default_rng(seed).uniform(-0.15, 1.15, (count, 3))
    return (x * [WIDTH, HEIGHT, 0.8] + [0, 0, 0.3]).astype(np.float32)


def blank() -> tuple[np.ndarray, np.ndarray]:
    rows = raster.SAMPLES * HEIGHT, WIDTH
    return np.zeros(rows, np.float32), np.full(rows, -1, np.int32)


def same_samples(one, other, allowed: float = 0.002):
    """Equal but for a few samples that lie on an edge to within rounding."""
    differ = np.maximum(one[1], -2) != np.maximum(other[1], -2)
    assert differ.mean() <= allowed
    assert (one[1] != -1).any()
    np.testing.assert_allclose(one[0][~differ], other[0][~differ], atol=2e-4)


@pytest.mark.parametrize("closed", [False, True])
def test_cover(closed):
    one, other = blank(), blank()
    raster.cover(picture(60, 1), TRIANGLES, closed, *one)
    raster.cover_plain(picture(60, 1), TRIANGLES, closed, *other)
    same_samples(one, other)


def test_triangles_that_share_an_edge_leave_no_gap_and_never_overlap():
    square = np.array([[2, 2, 1], [17, 3.3, 1], [18.2, 20, 1], [3, 21.7, 1]], np.float32)
    count = np.zeros((raster.SAMPLES * HEIGHT, WIDTH), int)
    for triangle in ([0, 1, 2], [0, 2, 3]):
        nearest, seen = blank()
        raster.cover(square, np.array([triangle], np.int32), False, nearest, seen)
        count += seen == 0
    assert count.max() == 1
    nearest, seen = blank()
    raster.cover_plain(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32), False, nearest, seen)
    assert ((count == 1) != (seen >= 0)).mean() < 0.002


def ribbons() -> tuple[np.ndarray, ...]:
    chance = np.random.default_rng(8)
    start, end = chance.uniform(0, 1, (2, 6, 1, 2)) * [WIDTH, HEIGHT]
    line = start + np.linspace(0, 1, 5)[None, :, None] * (end - start)
    edges = np.stack([line, line + np.array([1.7, 0.6])], 2)
    depth = np.broadcast_to(chance.uniform(0.4, 0.9, (6, 1, 1, 1)), (6, 5, 2, 1))
    pattern = (chance.random((2, 7, 4)) > 0.2) * chance.integers(60, 200, (2, 7, 4))
    return (
        np.concatenate([edges, depth], -1).astype(np.float32),
        np.array([0, 1, 0, 1, 0, 1], np.uint8),
        np.random.default_rng(4).permutation(24)[:21].astype(np.int32),
        pattern.astype(np.uint8),
    )


def test_cover_ribbons():
    one, other = blank(), blank()
    raster.cover_ribbons(*ribbons(), *one)
    raster.cover_ribbons_plain(*ribbons(), *other)
    same_samples(one, other, 0.01)
    agree = (one[1] <= raster.STRAND) & (other[1] <= raster.STRAND)
    said = [(raster.STRAND - seen[agree, None]) >> [0, 8, 16] for _, seen in (one, other)]
    said = np.abs((said[0] & [255, 255, -1]) - (said[1] & [255, 255, -1]))
    assert said[:, 1].max() <= 1  # how far along
    assert (said[:, 0] > 0).mean() < 0.02  # neighbours in the pattern, by rounding
    assert (said[:, 2] > 0).mean() < 0.02  # or neighbouring pieces


def test_front_to_back():
    shown, near = (f32(9, 5) > 0.4).astype(np.uint8), f32(9, 5, low=0.6)
    pieces = raster.front_to_back(shown, near, 7)
    np.testing.assert_array_equal(pieces, raster.front_to_back_plain(shown, near, 7))
    r, k = np.divmod(pieces, 4)
    assert (np.diff(near[r, k] + near[r, k + 1]) < 2e-3).all()
    assert (shown[r, k] | shown[r, k + 1]).all()


# ---- pixels -------------------------------------------------------------------------------------


def test_resolve():
    nearest, seen = blank()
    points = picture(60, 1)
    raster.cover(points, TRIANGLES, False, nearest, seen)
    raster.cover_ribbons(*ribbons(), nearest, seen)
    smooth = np.mgrid[0:40, 0:50].sum(0)[..., None] * np.array([1, 2, 1.5, 2.5, 1])
    texture = smooth.astype(np.uint8)
    tone = np.linspace(0, 255, 512).astype(np.uint8)
    parts = np.arange(20).astype(np.uint8)  # each its own: only one surface's samples may share
    corners, strands = f32(20, 3, 2, low=2, high=37), f32(6, 5, 3, high=255)
    scene = developing.Scene(
        points, TRIANGLES, corners, parts, f32(60, 3), 0.2 * f32(60, 3), strands, texture, tone
    )
    one, other = np.empty((2, HEIGHT, WIDTH, 4), np.float32)
    developing.resolve(scene, nearest, seen, one)
    developing.resolve_plain(scene, nearest, seen, other)
    np.testing.assert_allclose(one[..., 3], other[..., 3], atol=1e-3)
    assert np.abs(one - other).mean() < 2.0  # shared colours: within a pixel of each other
    assert np.median(np.abs(one - other)) < 0.3


def test_survey():
    nearest, seen = blank()
    points = picture(60, 1)
    raster.cover(points, TRIANGLES, False, nearest, seen)
    raster.cover_ribbons(*ribbons(), nearest, seen)
    found = []
    for way in (developing.survey, developing.survey_plain):
        depth, mask = np.full((2, HEIGHT, WIDTH), np.nan, np.float32)
        facing = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
        strands = unit(30, 3).reshape(6, 5, 3)
        way(points, TRIANGLES, unit(60, 2), strands, nearest, seen, depth, facing, mask)
        found.append((depth, facing, mask))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert 0 < found[0][2].mean() < 1
    length = np.linalg.norm(found[0][1], axis=-1)
    np.testing.assert_allclose(length, found[0][2] > 0, atol=1e-4)  # strands face somewhere too


def test_develop():
    one = f32(60, 3, low=-0.5, high=6)
    other = one.copy()
    tone = np.linspace(0, 255, 512).astype(np.uint8)
    developing.develop(one, tone)
    developing.develop_plain(other, tone)
    assert np.abs(one - other).max() <= 1
    assert one.min() == 0
    assert one.max() == 255


def test_strokes():
    nearest = blank()[0] + np.float32(0.6)
    starts = np.array([0, 4, 5, 12], np.int32)
    colours = f32(12, 4) * np.array([255, 255, 255, 1], np.float32)
    one = np.full((HEIGHT, WIDTH, 4), 40, np.float32)
    other = one.copy()
    given = picture(12, 3), f32(12, low=0.1, high=1.5), colours, starts, 0.02, nearest
    developing.strokes(*given, one)
    developing.strokes_plain(*given, other)
    assert (one != 40).any()
    np.testing.assert_allclose(one, other, atol=0.02)


def test_finish():
    painted = f32(HEIGHT, WIDTH, 4, high=255)
    painted[..., :3] *= painted[..., 3:] / 255.0
    painted[0] = 0.0
    for backdrop in (np.zeros(4), np.array([10, 200, 90, 255]), np.array([10, 200, 90, 128])):
        one = np.broadcast_to(backdrop.astype(np.uint8), painted.shape).copy()
        other = one.copy()
        developing.finish(painted, one)
        developing.finish_plain(painted, other)
        assert np.abs(one.astype(int) - other).max() <= 1


def test_finish_planes():
    made = f32(4, HEIGHT, WIDTH, low=0.0, high=1.1)
    made[3, 0] = 0.0
    made[3, 1] = 1.0
    for backdrop in (np.zeros(4), np.array([10, 200, 90, 255]), np.array([10, 200, 90, 128])):
        one = np.broadcast_to(backdrop.astype(np.uint8), (HEIGHT, WIDTH, 4)).copy()
        other = one.copy()
        developing.finish_planes(made, one)
        developing.finish_planes_plain(made, other)
        assert np.abs(one.astype(int) - other).max() <= 1


def test_planes():
    painted = f32(HEIGHT, WIDTH, 4, high=256)
    both(developing.planes, developing.planes_plain, painted, shape=(4, HEIGHT, WIDTH))


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_cells_are_torchs(side: int) -> None:
    picture = f32(5, 12, 24)
    made = developing.in_cells(picture, side)
    torchs = F.pixel_unshuffle(torch.from_numpy(picture)[None], side)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(made, torchs.numpy())
    np.testing.assert_array_equal(developing.out_of_cells(made, side), picture)


@pytest.mark.parametrize("side", [2, 4])
def test_cells(side: int) -> None:
    painted, eyes = f32(HEIGHT, 32, 4, high=256), f32(HEIGHT, 32)
    shapes = [
        (HEIGHT // side, 32 // side, 5 * side**2),
        (HEIGHT // 2, 16, 20),
        (HEIGHT // 2, 16, 16),
    ]
    fast, plain = ([np.full(shape, np.nan, np.float32) for shape in shapes] for _ in range(2))
    developing.cells(painted, eyes, *fast)
    developing.cells_plain(painted, eyes, *plain)
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("side", [2, 4])
def test_finish_cells(side: int) -> None:
    made = f32(HEIGHT // 2, WIDTH // 2, 4 * side**2, high=1.1)
    made[0, :, 3 * side**2 :] = 0.0
    made[1, :, 3 * side**2 :] = 1.0
    for backdrop in (np.zeros(4), np.array([10, 200, 90, 255]), np.array([10, 200, 90, 128])):
        size = (HEIGHT // 2 * side, WIDTH // 2 * side, 4)
        one = np.broadcast_to(backdrop.astype(np.uint8), size).copy()
        other, third = one.copy(), one.copy()
        developing.finish_cells(made, one)
        developing.finish_cells_plain(made, other)
        developing.finish_planes(developing.out_of_cells(made, side), third)
        assert np.abs(one.astype(int) - other).max() <= 1
        np.testing.assert_array_equal(one, third)
