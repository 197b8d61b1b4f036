"""The head: pure, clean at its edges, and every number of a motion shows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.motion.blendshapes import ARKIT
from engine.rendering.head import Head
from engine.rendering.head.rig import BadRig, spine, turning
from engine.rendering.identity import IDENTITIES, list_identities, load_identity
from engine.rendering.neural.guide import premultiplied
from engine.signals import Motion
from tests.rendering.motions import busy, motion

HEADS = [name for name in list_identities() if "head" in load_identity(name).renderers]
SMALL = RendererConfig(name="head", width=160, height=160, background="transparent")
FACE = RendererConfig(name="head", width=256, height=256, framing="face", background="#000000")


@cache
def head(avatar: str = HEADS[0], config: RendererConfig = FACE) -> Head:
    return Head(load_identity(avatar), config)


def drawn(what: Motion, config: RendererConfig = FACE, avatar: str = HEADS[0]) -> np.ndarray:
    return head(avatar, config).draw(what).rgba.astype(int)


# ---- drawing is a function ----------------------------------------------------------------------


@pytest.mark.parametrize("background", ["transparent", "scene", "#336699"])
def test_drawing_is_pure(background: str) -> None:
    config = replace(SMALL, background=background)
    one = Head(load_identity(HEADS[0]), config)
    first = one.draw(busy())
    kept = first.rgba.copy()
    one.draw(motion(jawOpen=1.0))
    one.guide(motion((0.4,)))
    np.testing.assert_array_equal(one.draw(busy()).rgba, kept)
    np.testing.assert_array_equal(Head(load_identity(HEADS[0]), config).draw(busy()).rgba, kept)
    np.testing.assert_array_equal(first.rgba, kept)  # a picture keeps its own memory
    assert first.frame == 41


def test_presenting_is_drawing_and_guiding() -> None:
    one = head(config=SMALL)
    painted, eyes = one.present(busy())
    shown = painted.transpose(2, 0, 1) / 255
    np.testing.assert_allclose(shown, premultiplied(one.draw(busy()).rgba), atol=1.1 / 255)
    np.testing.assert_array_equal(eyes, one.guide(busy()).eyes)


@pytest.mark.parametrize("framing", ["bust", "face"])
@pytest.mark.parametrize(("width", "height"), [(256, 144), (144, 256), (16, 16), (333, 77)])
def test_any_size(width: int, height: int, framing: str) -> None:
    config = replace(SMALL, width=width, height=height, framing=framing)
    rgba = head(config=config).draw(motion((0.1,))).rgba
    assert rgba.shape == (height, width, 4)
    assert rgba.dtype == np.uint8
    assert rgba.flags.c_contiguous
    assert rgba[height // 2, width // 2, 3] == 255


@pytest.mark.parametrize("framing", ["bust", "face"])
def test_a_narrow_picture_shows_the_whole_head(framing: str) -> None:
    tall = replace(SMALL, height=320, framing=framing)
    alpha = drawn(motion(), tall)[..., 3]
    assert not alpha[:160, [0, -1]].any()
    assert alpha[-1, 60:100].all()


@pytest.mark.parametrize("avatar", HEADS)
@pytest.mark.parametrize("colour", ["#ffffff", "#000000", "#20c060"])
def test_straight_alpha_composites_without_fringes(avatar: str, colour: str) -> None:
    """Laid over a colour, the transparent picture is the picture drawn on that colour."""
    rgba = drawn(busy(), SMALL, avatar).astype(float)
    solid = drawn(busy(), replace(SMALL, background=colour), avatar)
    ground = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], float)
    alpha = rgba[..., 3:] / 255.0
    laid = rgba[..., :3] * alpha + ground * (1.0 - alpha)
    np.testing.assert_allclose(laid, solid[..., :3], atol=2.0)
    assert (solid[..., 3] == 255).all()


def test_transparent_corners_and_antialiased_edges() -> None:
    alpha = drawn(motion(), SMALL)[..., 3]
    assert alpha[0, 0] == alpha[0, -1] == 0
    assert alpha[80, 80] == 255
    assert ((alpha > 0) & (alpha < 255)).sum() > 100


@pytest.mark.parametrize("background", ["transparent", "scene"])
def test_mirror_is_a_flip(background: str) -> None:
    plain = replace(SMALL, background=background)
    a, b = drawn(busy(), plain), drawn(busy(), replace(plain, mirror=True))
    np.testing.assert_array_equal(a[:, ::-1], b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
def test_a_bad_number_never_breaks_the_show(value: float) -> None:
    rgba = drawn(motion((value,) * 6, jawOpen=value, eyeBlinkLeft=value), SMALL)
    assert rgba[..., 3].max() == 255
    assert (rgba[..., 3] == 255).mean() > 0.1


# ---- what moves what ----------------------------------------------------------------------------


@pytest.mark.parametrize("avatar", HEADS)
@pytest.mark.parametrize("name", [name for name in ARKIT if not name.startswith("eyeLook")])
def test_every_shape_shows(name: str, avatar: str) -> None:
    also = {"mouthClose": {"jawOpen": 1.0}, "tongueOut": {"jawOpen": 0.6}}.get(name, {})
    poses = motion(**also), motion(**also | {name: 1.0})
    before, after = (drawn(pose, FACE, avatar) for pose in poses)
    changed = (np.abs(after - before).max(axis=-1) > 16).sum()  # dark skin changes less
    assert changed > 20, f"{name} changes {changed} pixels"


@pytest.mark.parametrize(("field", "size"), [("hair", 2), ("body", 3), ("gaze", 2), ("head", 6)])
def test_every_number_of_the_motion_shows(field: str, size: int) -> None:
    config = replace(FACE, framing="bust")
    turned = replace(motion((0.2,)), breath=0.4)
    rest = drawn(turned, config)
    for k in range(size):
        values = getattr(turned, field).copy()
        values[k] += 0.03 if field == "head" and k > 2 else 0.2
        moved = drawn(replace(turned, **{field: values}), config)
        assert (np.abs(moved - rest).max(axis=-1) > 24).sum() > 20, f"{field}[{k}]"
    assert (np.abs(drawn(replace(turned, breath=1.0), config) - rest) > 8).sum() > 20


def iris(what: Motion) -> np.ndarray:
    """Mean column and row of the irises, the only green there is; nan where none is seen."""
    picture = drawn(what)
    green = (picture[..., 1] > picture[..., 0] + 8) & (picture[..., 1] > picture[..., 2] + 4)
    green[180:] = False  # the shirt
    return np.argwhere(green).mean(0)[::-1] if green.sum() > 12 else np.full(2, np.nan)


def test_turns_have_the_signs_of_the_motion() -> None:
    rest = iris(motion())
    assert iris(motion((0.2,)))[0] > rest[0] + 8  # the singer's left is the viewer's right
    assert iris(motion((0.0, 0.2)))[1] < rest[1] - 4  # up
    assert iris(motion((0.0, 0.0, 0.2)))[0] < rest[0] - 8  # to the singer's right
    assert iris(motion((0.0, 0.0, 0.0, 0.02)))[0] > rest[0] + 8
    assert iris(motion((0.0, 0.0, 0.0, 0.0, 0.02)))[1] < rest[1] - 8


def test_eyes_follow_the_gaze_and_close() -> None:
    left = iris(replace(motion(), gaze=np.array([0.4, 0.0], np.float32)))
    right = iris(replace(motion(), gaze=np.array([-0.4, 0.0], np.float32)))
    assert left[0] > right[0] + 2
    assert np.isnan(iris(motion(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))).all()
    assert iris(motion(eyeLookOutLeft=0.8, eyeLookInRight=0.8))[0] > iris(motion())[0] + 1


def test_the_body_stands_while_the_head_turns() -> None:
    poser, along = head().poser, head().rig.along
    rest = poser.pose(motion()).points.copy()
    moved = np.linalg.norm(poser.pose(motion((0.5, 0.1, 0.1))).points - rest, axis=1)
    trunk, neck, skull = along == 0, (along > 0.3) & (along < 0.7), along == 1
    assert trunk.sum() > 1000
    assert moved[trunk].max() < 1e-5
    assert 0.002 < np.median(moved[neck]) < np.median(moved[skull])


def test_the_neck_bends_without_a_break() -> None:
    neck = head().rig.neck
    frames = spine(motion((0.8, -0.3, 0.4, 0.02, 0.0, 0.03)), neck)
    points = np.einsum("kij,j->ki", frames[..., :3], neck.mean(0)) + frames[..., 3]
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() < 0.02
    for turn in frames[..., :3]:
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(
        spine(motion((0.3, 0.2, -0.1)), neck)[-1, :, :3], turning(0.3, 0.2, -0.1), atol=1e-5
    )


# ---- guidance -----------------------------------------------------------------------------------


def test_guidance_agrees_with_the_picture() -> None:
    config = replace(SMALL, framing="face")
    what = motion((0.2,), jawOpen=0.3)
    found, rgba = head(config=config).guide(what), drawn(what, config)
    assert np.abs(255 * found.mask - rgba[..., 3]).mean() < 1.0  # all but the finest hairs
    solid = found.mask == 1
    assert 1.0 < found.depth[solid].min() < found.depth[solid].max() < 1.8
    assert not found.depth[found.mask == 0].any()
    length = np.linalg.norm(found.normals, axis=-1)
    np.testing.assert_allclose(length, found.mask > 0, atol=1e-3)  # hair faces somewhere too
    assert found.normals[80, 80, 2] > 0.3  # a cheek faces the camera


def test_eye_attention_lies_on_the_eyes_and_tells_them_closed() -> None:
    open_, shut = (head().guide(motion(eyeBlinkLeft=k, eyeBlinkRight=k)).eyes for k in (0.0, 1.0))
    assert open_.max() == pytest.approx(0.5)
    assert shut.max() == pytest.approx(1.0)
    assert 0.005 < (open_ > 0).mean() < 0.06
    wink = head().guide(motion(eyeBlinkLeft=1.0)).eyes
    assert wink[:, 128:].max() == pytest.approx(1.0)
    assert wink[:, :128].max() == pytest.approx(0.5)


@pytest.mark.parametrize("x", [-0.3, 0.3])
@pytest.mark.parametrize("y", [-0.4, 0.0, 0.4])
def test_eyes_may_leave_the_picture(x: float, y: float) -> None:
    config = replace(SMALL, framing="face")
    eyes = head(config=config).guide(motion((0.0, 0.0, 0.0, x, y, 0.0))).eyes
    assert eyes.shape == (160, 160)
    assert np.isfinite(eyes).all()


# ---- what is refused ----------------------------------------------------------------------------


def test_an_identity_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lumi.*has no head"):
        Head(load_identity("lumi"), SMALL)


@pytest.mark.parametrize("change", ["missing", "torn", "other"])
def test_a_broken_asset_is_named(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(load_identity(HEADS[0]).folder, folder)
    rig = folder / "rig.npz"
    if change == "missing":
        rig.unlink()
    elif change == "torn":
        rig.write_bytes(rig.read_bytes()[:5000])
    else:
        np.savez(rig, control=np.zeros(3))
    with pytest.raises(BadRig, match=r"rig\.npz"):
        Head(load_identity(folder), SMALL)


def test_a_missing_texture_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(load_identity(HEADS[0]).folder, folder)
    (folder / "colour.webp").unlink()
    with pytest.raises(BadRig, match=r"colour\.webp"):
        Head(load_identity(folder), SMALL)


def test_all_that_is_shipped_to_draw_fits_20_megabytes() -> None:
    assert sum(path.stat().st_size for path in IDENTITIES.rglob("*") if path.is_file()) <= 20e6


@pytest.mark.parametrize("avatar", HEADS)
def test_heads_are_small_and_chosen_without_asking(avatar: str) -> None:
    identity = load_identity(avatar)
    own = (identity.folder / str(identity.assets[name]) for name in ("rig", "colour", "surface"))
    assert sum(path.stat().st_size for path in own) <= 6e6
    assert "CC0" in identity.origin
    renderer = open_renderer(AvatarConfig(avatar=avatar, renderer=replace(SMALL, name="auto")))
    assert isinstance(renderer, Head)
