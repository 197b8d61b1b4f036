"""The puppet: pure, clean at its edges, and every shape that a drawing can show is shown."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.avatar import RendererConfig
from engine.motion.blendshapes import ARKIT
from engine.rendering.identity import (
    BadIdentity,
    Identity,
    UnknownIdentity,
    list_identities,
    load_identity,
)
from engine.rendering.puppet import Puppet
from engine.signals import Motion
from tests.rendering.motions import busy, motion

PUPPETS = [name for name in list_identities() if "puppet" in load_identity(name).renderers]
SMALL = RendererConfig(width=160, height=160, background="transparent")
FACE = RendererConfig(width=256, height=256, framing="face", background="#000000")


@cache
def marked(*names: str) -> Identity:
    """Lumi with some colours replaced by pure green, which nothing else is."""
    lumi = load_identity("lumi")
    return replace(lumi, palette=replace(lumi.palette, **dict.fromkeys(names, "#00ff00")))


def green(identity: Identity, what: Motion, config: RendererConfig = FACE) -> np.ndarray:
    """Where the picture is green: [H, W] bool."""
    rgba = Puppet(identity, config).draw(what).rgba.astype(int)
    return (rgba[..., 1] > rgba[..., 0] + 60) & (rgba[..., 1] > rgba[..., 2] + 60)


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Mean column and row of a mask."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


IRIS = ("eye_dark", "eye", "eye_light")
MOUTH = ("mouth", "tongue")


# ---- drawing is a function ----------------------------------------------------------------------


@pytest.mark.parametrize("background", ["transparent", "scene", "#336699"])
def test_drawing_is_pure(background: str) -> None:
    config = replace(SMALL, background=background)
    puppet = Puppet(load_identity("lumi"), config)
    first = puppet.draw(busy())
    kept = first.rgba.copy()
    puppet.draw(motion(jawOpen=1.0))
    np.testing.assert_array_equal(puppet.draw(busy()).rgba, kept)
    np.testing.assert_array_equal(Puppet(load_identity("lumi"), config).draw(busy()).rgba, kept)
    np.testing.assert_array_equal(first.rgba, kept)  # a picture keeps its own memory
    assert first.frame == 41


@pytest.mark.parametrize("framing", ["bust", "face"])
@pytest.mark.parametrize(
    ("width", "height"), [(256, 256), (1280, 720), (720, 1280), (16, 16), (333, 77)]
)
def test_any_size(width: int, height: int, framing: str) -> None:
    config = RendererConfig(width=width, height=height, framing=framing, background="transparent")
    rgba = Puppet(load_identity("lumi"), config).draw(busy()).rgba
    assert rgba.shape == (height, width, 4)
    assert rgba.dtype == np.uint8
    assert rgba.flags.c_contiguous
    assert rgba[height // 2, width // 2, 3] == 255


def test_the_character_is_centred_and_as_tall_as_the_picture() -> None:
    wide = RendererConfig(width=480, height=270, background="transparent")
    square = replace(wide, width=270)
    lumi = load_identity("lumi")
    a, b = Puppet(lumi, wide).draw(motion()).rgba, Puppet(lumi, square).draw(motion()).rgba
    np.testing.assert_allclose(a[:, 105:375].astype(int), b.astype(int), atol=8)
    assert not a[:, :100, 3].any()


@pytest.mark.parametrize("framing", ["bust", "face"])
def test_a_narrow_picture_shows_the_whole_head(framing: str) -> None:
    tall = RendererConfig(width=160, height=320, framing=framing, background="transparent")
    alpha = Puppet(load_identity("lumi"), tall).draw(motion()).rgba[..., 3]
    assert not alpha[:200, [0, -1]].any()
    assert alpha[-1, 60:100].all()


@pytest.mark.parametrize("avatar", PUPPETS)
@pytest.mark.parametrize("colour", ["#ffffff", "#000000", "#20c060"])
def test_straight_alpha_composites_without_fringes(avatar: str, colour: str) -> None:
    """Laid over a colour, the transparent picture is the picture drawn on that colour."""
    identity = load_identity(avatar)
    rgba = Puppet(identity, SMALL).draw(busy()).rgba.astype(float)
    solid = Puppet(identity, replace(SMALL, background=colour)).draw(busy()).rgba
    ground = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], float)
    alpha = rgba[..., 3:] / 255.0
    laid = rgba[..., :3] * alpha + ground * (1.0 - alpha)
    np.testing.assert_allclose(laid, solid[..., :3], atol=6.0)
    assert (solid[..., 3] == 255).all()


def test_transparent_corners_and_antialiased_edges() -> None:
    alpha = Puppet(load_identity("lumi"), SMALL).draw(motion()).rgba[..., 3]
    assert alpha[0, 0] == alpha[0, -1] == 0
    assert alpha[80, 80] == 255
    assert ((alpha > 0) & (alpha < 255)).sum() > 100


@pytest.mark.parametrize("background", ["transparent", "scene"])
def test_mirror_is_a_flip(background: str) -> None:
    plain = replace(SMALL, background=background)
    lumi = load_identity("lumi")
    a = Puppet(lumi, plain).draw(busy()).rgba
    b = Puppet(lumi, replace(plain, mirror=True)).draw(busy()).rgba
    np.testing.assert_array_equal(a[:, ::-1], b)
    assert b.flags.c_contiguous


# ---- what moves what ----------------------------------------------------------------------------


@cache
def _neutral(avatar: str) -> np.ndarray:
    return Puppet(load_identity(avatar), FACE).draw(motion()).rgba.astype(int)


@pytest.mark.parametrize("avatar", PUPPETS)
@pytest.mark.parametrize("name", ARKIT)
def test_every_shape_shows(name: str, avatar: str) -> None:
    moved = Puppet(load_identity(avatar), FACE).draw(motion(**{name: 1.0})).rgba
    changed = (np.abs(moved - _neutral(avatar)).max(axis=-1) > 24).sum()
    assert changed > 20, f"{name} changes {changed} pixels"


@pytest.mark.parametrize(("field", "size"), [("hair", 2), ("body", 3), ("gaze", 2), ("head", 6)])
def test_every_number_of_the_motion_shows(field: str, size: int) -> None:
    config = replace(FACE, framing="bust")
    puppet = Puppet(load_identity("lumi"), config)
    turned = replace(motion((0.2,)), breath=0.4)
    rest = puppet.draw(turned).rgba.astype(int)
    for k in range(size):
        values = getattr(turned, field).copy()
        values[k] += 0.05 if field == "head" and k > 2 else 0.2
        moved = puppet.draw(replace(turned, **{field: values})).rgba
        assert (np.abs(moved - rest).max(axis=-1) > 24).sum() > 20, f"{field}[{k}]"
    assert (puppet.draw(replace(turned, breath=1.0)).rgba != rest).any()


def test_the_mouth_opens_monotonically_with_the_jaw() -> None:
    areas = [green(marked(*MOUTH), motion(jawOpen=k / 8)).sum() for k in range(9)]
    assert areas[0] < 100  # the line between the lips
    assert all(b > a + 20 for a, b in pairwise(areas))


def test_closing_the_mouth_undoes_the_jaw() -> None:
    open_, shut = motion(jawOpen=0.5), motion(jawOpen=0.5, mouthClose=0.5)
    assert green(marked(*MOUTH), shut).sum() < 0.25 * green(marked(*MOUTH), open_).sum()


def test_the_visemes_have_their_shapes() -> None:
    spread = {f"mouth{k}{side}": 0.5 for k in ("Smile", "Stretch") for side in ("Left", "Right")}
    visemes = {
        "a": motion(jawOpen=0.75),
        "i": motion(jawOpen=0.14, **spread),
        "u": motion(mouthPucker=0.95, jawOpen=0.16),
        "o": motion(mouthFunnel=0.75, jawOpen=0.42),
        "m": motion(mouthPressLeft=0.7, mouthPressRight=0.7),
    }
    box = {}
    for name, what in visemes.items():
        rows, columns = np.nonzero(green(marked(*MOUTH), what))
        box[name] = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert box["a"][1] > box["o"][1] > box["u"][1] > box["m"][1]
    assert box["i"][0] > box["a"][0] > box["o"][0] > box["u"][0]
    assert box["i"][0] > 2.5 * box["i"][1]


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_blink_hides_its_own_iris(side: str) -> None:
    seen = green(marked(*IRIS), motion())
    shut = green(marked(*IRIS), motion(**{f"eyeBlink{side}": 1.0}))
    halves = {"Right": slice(0, 128), "Left": slice(128, 256)}
    other = "Left" if side == "Right" else "Right"
    assert seen[:, halves[side]].sum() > 400
    assert shut[:, halves[side]].sum() == 0
    np.testing.assert_array_equal(shut[:, halves[other]], seen[:, halves[other]])


def test_blinking_closes_steadily() -> None:
    areas = [
        green(marked(*IRIS), motion(eyeBlinkLeft=k / 10, eyeBlinkRight=k / 10)).sum()
        for k in range(11)
    ]
    assert all(b <= a for a, b in pairwise(areas))
    assert areas[0] > 900
    assert areas[-1] == 0


def test_the_head_turns_the_right_way() -> None:
    mouth, eyes = marked(*MOUTH), marked(*IRIS)
    x0, y0 = centre(green(mouth, motion(jawOpen=0.5)))
    assert centre(green(mouth, motion((0.3,), jawOpen=0.5)))[0] > x0 + 8
    assert centre(green(mouth, motion((-0.3,), jawOpen=0.5)))[0] < x0 - 8
    assert centre(green(eyes, motion((0.0, 0.2))))[1] < centre(green(eyes, motion()))[1] - 5
    tilted = green(eyes, motion((0.0, 0.0, 0.2)))
    x, _ = centre(tilted)
    assert x < centre(green(eyes, motion()))[0] - 5
    left, right = tilted.copy(), tilted.copy()
    left[:, round(x) :] = False
    right[:, : round(x)] = False
    assert centre(left)[1] > centre(right)[1] + 5  # the viewer's left eye sinks
    assert centre(green(mouth, motion((0, 0, 0, 0.05), jawOpen=0.5)))[0] > x0 + 8
    assert centre(green(mouth, motion((0, 0, 0, 0, 0.05), jawOpen=0.5)))[1] < y0 - 8
    nearer = green(mouth, motion((0, 0, 0, 0, 0, 0.2), jawOpen=0.5)).sum()
    assert nearer > 1.1 * green(mouth, motion(jawOpen=0.5)).sum()


def test_the_gaze_and_the_eye_look_shapes_turn_the_eyes() -> None:
    eyes = marked(*IRIS)
    x0, y0 = centre(green(eyes, motion()))
    left = replace(motion(), gaze=np.array([0.4, 0.0], np.float32))
    up = replace(motion(), gaze=np.array([0.0, 0.4], np.float32))
    assert centre(green(eyes, left))[0] > x0 + 2
    assert centre(green(eyes, up))[1] < y0 - 1
    same_way = motion(eyeLookOutLeft=0.8, eyeLookInRight=0.8)
    assert centre(green(eyes, same_way))[0] > x0 + 2
    assert centre(green(eyes, motion(eyeLookDownLeft=0.8, eyeLookDownRight=0.8)))[1] > y0 + 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nothing_jumps_while_the_head_turns(axis: int) -> None:
    """Equal small steps of the head change the picture by about equal amounts."""
    puppet = Puppet(load_identity("lumi"), replace(SMALL, background="#404040"))
    reach = (35.0, 18.0, 20.0)[axis]
    changes, before = [], None
    for degrees in np.arange(-reach, reach, 0.5):
        head = [0.0, 0.0, 0.0]
        head[axis] = np.radians(degrees)
        picture = puppet.draw(motion(tuple(head))).rgba.astype(float)
        if before is not None:
            changes.append(np.abs(picture - before).mean())
        before = picture
    assert max(changes) < 1.8 * np.median(changes)


def test_far_out_or_broken_motions_still_draw() -> None:
    puppet = Puppet(load_identity("lumi"), SMALL)
    wild = Motion(
        0,
        np.full(52, 9.0, np.float32),
        np.array([5.0, -5.0, 5.0, 0.1, -0.1, 30.0], np.float32),
        hair=np.array([9.0, -9.0], np.float32),
        body=np.array([9.0, 9.0, 9.0], np.float32),
        breath=40.0,
    )
    assert puppet.draw(wild).rgba[..., 3].any()
    broken = Motion(
        0, np.full(52, np.nan, np.float32), np.full(6, np.nan, np.float32), breath=float("nan")
    )
    np.testing.assert_array_equal(puppet.draw(broken).rgba, puppet.draw(motion()).rgba)


# ---- the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 8}, "width must be 16 to 4096 pixels, got 8"),
        ({"height": 5000}, "height must be 16 to 4096"),
        ({"height": 99.5}, "height must be 16 to 4096"),
        ({"background": "red"}, "'#rrggbb', got 'red'"),
        ({"background": "#12345"}, "'#rrggbb', got '#12345'"),
        ({"framing": "feet"}, "framing must be bust or face"),
    ],
)
def test_bad_configs_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Puppet(load_identity("lumi"), replace(SMALL, **change))


def test_an_identity_without_a_puppet_is_refused() -> None:
    with pytest.raises(ValueError, match="'lumi' has no puppet; its renderers are head"):
        Puppet(replace(load_identity("lumi"), renderers=["head"]), SMALL)


def test_shipped_identities_load() -> None:
    assert {"lumi", "kai"} <= set(list_identities())
    for name in list_identities():
        identity = load_identity(name)
        assert identity.name == name
        assert identity.folder.name == name
        assert load_identity(identity.folder) == identity


def test_unknown_identities_offer_the_nearest_name() -> None:
    with pytest.raises(UnknownIdentity, match="did you mean lumi"):
        load_identity("lumy")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pallete: {}", "pallete: unknown key; did you mean palette"),
        ("palette: {hiar: '#112233'}", "palette.hiar: unknown key; did you mean palette.hair"),
        ("palette: {hair: pink}", "palette: hair: expected '#rrggbb', got 'pink'"),
        ("puppet: {hair: lnog}", "puppet.hair: expected long or short.*did you mean long"),
        ("puppet: {jaw: 9}", "puppet: jaw: expected 0.3 to 3"),
    ],
)
def test_identities_are_read_strictly(text: str, said: str, tmp_path: Path) -> None:
    head = "name: x\ntitle: X\nrenderers: [puppet]\norigin: mine\nlicence: mine\n"
    (tmp_path / "identity.yaml").write_text(head + text)
    with pytest.raises(BadIdentity, match=said) as caught:
        load_identity(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_or_wrong_renderer_is_named(tmp_path: Path) -> None:
    (tmp_path / "identity.yaml").write_text(
        "name: x\ntitle: X\nrenderers: [pupet]\norigin: o\nlicence: l\n"
    )
    with pytest.raises(BadIdentity, match="renderers: expected some of"):
        load_identity(tmp_path)
    (tmp_path / "identity.yaml").write_text("name: x\ntitle: X\n")
    with pytest.raises(BadIdentity, match="renderers: is missing"):
        load_identity(tmp_path)
