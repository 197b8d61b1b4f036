"""An identity from a video: what was stopped goes on, what was projected is found, refusals."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.config import ConfigError
from engine.motion.blendshapes import ARKIT, INDEX
from engine.rendering.head import Head
from engine.rendering.head.rig import Poser, read_rig, spine
from engine.rendering.identity import load_identity
from engine.rendering.portrait.face import IRIS, POINTS, read_face
from engine.rendering.portrait.finding import FinderMissing, finder_python
from engine.signals import Motion
from engine.training.identity import fitting, making, picturing, shaping, sounding, video, watching
from engine.training.identity.__main__ import main
from engine.training.identity.making import CannotMake, Request
from engine.training.identity.page import PAGE, Page
from engine.training.identity.person import personal
from engine.training.identity.plane import Placing, angles, gaze, seen
from engine.training.identity.video import BadVideo, pictures
from engine.training.identity.warping import Warp
from engine.training.identity.watching import Watched, watch, watched
from engine.training.renderer import shipping
from engine.training.renderer.motions import rest, some_motion
from engine.training.renderer.pairs import HELD_OUT, Pairs

OURS = sounding.plain(read_face())._replace(noise=np.full(POINTS, 0.0004))  # nothing errs here
TODAY = "2026-11-28"
COUNT = 48  # pictures of a video


def landmarks(
    motions: list[Motion], offset: np.ndarray | None = None, pixels: float = 1500.0
) -> np.ndarray:
    """[F, 478, 2] of our own face, or of one that lies off it, in a picture of so many pixels a
    metre: what mediapipe would find if it saw what is there."""
    person = personal(OURS, np.zeros((POINTS, 3)) if offset is None else offset)
    weights = np.stack([one.blendshapes for one in motions]).astype(np.float64)
    skulls = np.stack([spine(one, OURS.neck.astype(np.float32))[-1] for one in motions])
    bent = person.rest + np.tensordot(weights, person.moved, 1)
    out = np.zeros((len(motions), 478, 2))
    turn, shift = skulls[..., :3].astype(np.float64), skulls[..., 3].astype(np.float64)
    out[:, :POINTS] = seen(bent @ turn.transpose(0, 2, 1) + shift[:, None])
    for (*centre, radius), side in zip(person.eyes, ("Left", "Right"), strict=True):
        across, up = np.stack([one.gaze for one in motions]).T.astype(np.float64)
        way = np.column_stack(
            [np.sin(across) * np.cos(up), np.sin(up), np.cos(across) * np.cos(up)]
        )
        iris = (turn @ (np.array(centre) + radius * way)[..., None])[..., 0] + shift
        out[:, IRIS[side]] = seen(iris)[:, None]
    return np.asarray(out * [pixels, -pixels] + [400.0, 300.0])


def swaying(count: int) -> list[Motion]:
    """A head that turns, a mouth that sings, eyes that blink, smoothly."""
    out = []
    for k in range(count):
        w = np.zeros(52, np.float32)
        w[INDEX["jawOpen"]] = max(0.0, 0.6 * np.sin(0.5 * k))
        w[[INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]] = max(0.0, 0.5 * np.sin(0.23 * k))
        w[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = max(0.0, 3 * np.sin(0.35 * k) - 2)
        w[INDEX["browInnerUp"]] = max(0.0, 0.8 * np.sin(0.17 * k + 1))
        head = [0.25 * np.sin(0.1 * k), 0.12 * np.sin(0.16 * k), 0.1 * np.sin(0.12 * k), 0, 0, 0]
        out.append(Motion(k, w, np.array(head, np.float32)))
    return out


# ---- fitting -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def motions() -> list[Motion]:
    return swaying(COUNT)


@pytest.fixture(scope="module")
def fit(motions: list[Motion]) -> fitting.Fit:
    return fitting.fit(OURS, landmarks(motions), np.arange(len(motions)))


def test_what_was_projected_is_found(motions: list[Motion], fit: fitting.Fit) -> None:
    told = np.stack([one.head[:3] for one in motions])
    assert np.degrees(np.abs(angles(fit.track.turn) - told)).max() < 2.0
    assert np.degrees(np.abs(angles(fit.track.turn) - told)).mean() < 0.5
    assert np.abs(fit.offset).mean() < 0.0008  # metres
    done = np.stack([one.blendshapes for one in motions])
    few = {"browInnerUp": 0.15}  # few points tell of it, so that habit weighs more
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"):
        found, true = fit.track.weights[:, INDEX[name]], done[:, INDEX[name]]
        assert np.corrcoef(found, true)[0, 1] > 0.97, name
        assert np.abs(found - true).mean() < few.get(name, 0.06), name
    assert np.median(fit.track.off) < 0.0008


def test_coefficients_stay_in_their_bounds(fit: fitting.Fit) -> None:
    assert fit.track.weights.shape == (COUNT, 52)
    assert 0 <= fit.track.weights.min() <= fit.track.weights.max() <= 1


def test_size_and_place_in_the_picture_do_not_matter(
    motions: list[Motion], fit: fitting.Fit
) -> None:
    other = fitting.fit(OURS, 2 * landmarks(motions) + [33.0, -7.0], np.arange(len(motions)))
    np.testing.assert_allclose(other.track.weights, fit.track.weights, atol=1e-3)
    np.testing.assert_allclose(other.track.turn, fit.track.turn, atol=1e-3)
    assert other.placing.scale == pytest.approx(fit.placing.scale / 2, rel=1e-4)


def test_backwards_in_time_is_backwards() -> None:
    ahead = landmarks(swaying(24))
    person = personal(OURS, np.zeros((POINTS, 3)))
    plane = Placing(1 / 1500.0, 400.0, 300.0).plane(ahead)
    linked = np.ones(len(plane) - 1, bool)
    noise = fitting._apart(OURS)
    one = fitting.solve(person, plane, fitting._stand(person, plane), noise, linked)
    back = fitting.solve(person, plane[::-1], fitting._stand(person, plane[::-1]), noise, linked)
    np.testing.assert_allclose(back.weights[::-1], one.weights, atol=2e-2)


def test_a_persons_shape_is_found(motions: list[Motion]) -> None:
    """A wider jaw and a longer nose, which pose and shapes do not explain."""
    at = OURS.rest
    wide = 0.004 * np.sign(at[:, 0]) * np.exp(-(((at[:, 1] + 0.06) / 0.03) ** 2))
    long_ = 0.004 * np.exp(-((at[:, 1] + 0.03) ** 2 + at[:, 0] ** 2) / 0.02**2)
    offset = np.column_stack([wide, -long_, 0 * wide])
    found = fitting.fit(OURS, landmarks(motions, offset), np.arange(len(motions)))
    true = personal(OURS, fitting._upright(OURS, offset)).rest - at
    got = personal(OURS, found.offset).rest - at
    assert np.corrcoef(got[:, 0], true[:, 0])[0, 1] > 0.85
    assert np.corrcoef(got[:, 1], true[:, 1])[0, 1] > 0.8
    told = np.stack([one.head[:3] for one in motions])
    assert np.degrees(np.abs(angles(found.track.turn) - told)).mean() < 1.5
    jaw = INDEX["jawOpen"]
    done = np.array([one.blendshapes[jaw] for one in motions])
    assert np.corrcoef(found.track.weights[:, jaw], done)[0, 1] > 0.97


def test_gaze_is_where_irises_are() -> None:
    looks = [(0.2, 0.0), (-0.2, 0.1), (0.0, -0.15)]
    told = [dataclasses.replace(rest(), gaze=np.array(look, np.float32)) for look in looks]
    plane = Placing(1 / 1500.0, 400.0, 300.0).plane(landmarks(told))
    skulls = np.stack([spine(one, OURS.neck.astype("f4"))[-1] for one in told]).astype(float)
    found = gaze(OURS.eyes, plane, skulls[..., :3], skulls[..., 3])
    np.testing.assert_allclose(0.55 * np.tanh(found / 0.55), looks, atol=0.01)


def test_heads_are_told_as_the_rig_turns_them() -> None:
    rng = np.random.default_rng(0)
    told = [some_motion(rng) for _ in range(40)]
    neck = OURS.neck.astype(np.float32)
    skulls = np.stack([spine(one, neck)[-1] for one in told]).astype(np.float64)
    body = np.stack([one.body for one in told])
    found = fitting.heads(skulls[..., :3], skulls[..., 3], neck, body)
    np.testing.assert_allclose(found, np.stack([one.head for one in told]), atol=2e-3)


# ---- shape ---------------------------------------------------------------------------------------


def test_a_warp_moves_what_it_was_told_and_nothing_far_away() -> None:
    rng = np.random.default_rng(1)
    points = OURS.rest
    moved = 0.005 * np.sin(40 * points[:, [1, 2, 0]])
    warp = Warp(points, moved)
    assert np.abs(warp(points) - points - moved).max() < 0.0005
    far = rng.normal(0, 0.02, (50, 3)) + np.array([0.0, -0.6, 0.0])
    np.testing.assert_allclose(warp(far), far, atol=1e-5)
    np.testing.assert_array_equal(Warp(points, 0 * moved)(far), far)


def test_our_own_shape_leaves_the_rig_as_it_is(tmp_path: Path) -> None:
    with np.load(load_identity("aria").folder / "rig.npz", allow_pickle=False) as stored:
        rig = {key: stored[key] for key in stored.files}
    same = shaping.bent(rig, personal(OURS, np.zeros((POINTS, 3))))
    np.testing.assert_allclose(same["control"], rig["control"], atol=1e-5)
    np.testing.assert_allclose(same["shape_moved"], rig["shape_moved"], atol=0.02)  # mm
    offset = np.zeros((POINTS, 3))
    offset[:, 0] = 0.08 * OURS.rest[:, 0]
    shaping.shape("aria", personal(OURS, offset), tmp_path / "wide", "wide")
    wide, usual = read_rig(tmp_path / "wide"), read_rig(load_identity("aria").folder)
    assert len(wide.triangles) < len(usual.triangles)  # without the device
    nose, cheek = (
        np.argmin(np.linalg.norm(usual.control - OURS.rest[k], axis=1)) for k in (4, 361)
    )
    assert abs(wide.control[nose, 0]) < 0.002
    assert wide.control[cheek, 0] > usual.control[cheek, 0] + 0.001
    config = RendererConfig("head", 96, 96, background="transparent")
    mask = Head(load_identity(tmp_path / "wide"), config).guide(rest()).mask
    assert 0.2 < mask.mean() < 0.9


def test_lids_of_wider_eyes_still_meet() -> None:
    from engine.rendering.portrait.face import LOWER_LID, UPPER_LID

    upper, lower = (list(ring["Left"][2:-2]) for ring in (UPPER_LID, LOWER_LID))
    offset = np.zeros((POINTS, 3))
    offset[upper, 1] = 0.002
    for shape in (np.zeros((POINTS, 3)), offset):
        person = personal(OURS, shape)
        shut = person.rest + person.moved[INDEX["eyeBlinkLeft"]]
        gap = np.linalg.norm(shut[upper] - shut[lower], axis=1).mean()
        opened = np.linalg.norm(person.rest[upper] - person.rest[lower], axis=1).mean()
        assert gap < 0.45 * opened


# ---- watching ------------------------------------------------------------------------------------

FAKE = """
import struct, sys
HEAD = struct.Struct("<iii")
count = 0
while head := sys.stdin.buffer.read(12):
    width, height, fresh = HEAD.unpack(head)
    data = sys.stdin.buffer.read(3 * width * height)
    count = 1 if fresh else count + 1
    if data[0] > 250:
        sys.exit("it fell over")
    value = struct.pack("<f", data[0] / 256 + count)
    sys.stdout.buffer.write(struct.pack("<i", 1) + value * 3 * 478 + bytes([count % 256]) * 65536)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that answers as the tracker does, and remembers as mediapipe does."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr(watching, "TRACKER", script)
    monkeypatch.setattr(watching, "PIECE", 8)
    monkeypatch.setenv("CANTAR_MEDIAPIPE_PYTHON", sys.executable)


def shades(first: int) -> Iterator[tuple[int, np.ndarray]]:
    for k in range(first, 21):
        yield k, np.full((4, 6, 3), k, np.uint8)


@pytest.mark.usefixtures("tracker")
def test_watching_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    def stopped(first: int) -> Iterator[tuple[int, np.ndarray]]:
        for number, shade in shades(first):
            if number == 13:
                raise KeyboardInterrupt
            yield number, shade

    watch(shades, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        watch(stopped, tmp_path / "parts")
    assert len(watched(tmp_path / "parts").numbers) == 8
    watch(shades, tmp_path / "parts")
    for one, other in zip(watched(tmp_path / "whole"), watched(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(watched(tmp_path / "whole").numbers) == list(range(21))
    assert sum(1 for _ in watching.mattes(tmp_path / "parts")) == 21
    watch(None, tmp_path / "whole")  # type: ignore[arg-type]  # nothing is left to look at


@pytest.mark.usefixtures("tracker")
def test_a_tracker_that_dies_has_the_last_word(tmp_path: Path) -> None:
    white = lambda first: iter([(0, np.full((4, 6, 3), 255, np.uint8))])  # noqa: E731
    with pytest.raises(watching.FinderFailed, match="it fell over"):
        watch(white, tmp_path / "w")
    assert not list((tmp_path / "w").glob("*.npz"))


def test_mediapipe_follows_a_face(tmp_path: Path) -> None:
    try:
        finder_python()
    except FinderMissing as error:
        pytest.skip(f"{error}; run `make portrait`")
    head = Head(load_identity("aria"), RendererConfig("head", 320, 320, background="#808080"))
    drawn = np.ascontiguousarray(head.draw(rest()).rgba[..., :3])
    frames = [(k, drawn) for k in range(3)] + [(3, np.zeros_like(drawn))]
    watch(lambda first: iter(frames[first:]), tmp_path / "w")
    found = watched(tmp_path / "w")
    assert list(found.faces) == [1, 1, 1, 0]
    placing = Placing(0.385 / 320, 160.0, 160.0)
    skull = head.poser.pose(rest()).spine[-1].astype(np.float64)
    there = seen(OURS.rest @ skull[:, :3].T + skull[:, 3])
    off = np.linalg.norm(placing.plane(found.points[2, :POINTS]) - there, axis=1)
    assert np.median(off) < 0.004


# ---- videos --------------------------------------------------------------------------------------


def test_videos_are_read_at_thirty_a_second(tmp_path: Path) -> None:
    shown = [np.full((48, 64, 3), 8 * k, np.uint8) for k in range(24)]
    for rate, numbers in (
        (30, list(range(24))),
        (60, list(range(12))),
        (15, list(range(0, 48, 2))),
    ):
        path = tmp_path / f"{rate}.mp4"
        video.write(path, shown, rate)
        found = list(pictures(path))
        assert len(found) in (len(numbers), len(numbers) + 1)  # half a frame is either's
        assert [number for number, _ in found][: len(numbers) - 1] == numbers[:-1]
        assert found[0][1].shape == (48, 64, 3)
    assert abs(int(found[5][1].mean()) - 40) < 4


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    text, tone = tmp_path / "notes.mp4", tmp_path / "tone.wav"
    text.write_text("this is no video\n" * 50)
    with av.open(str(tone), "w") as file:
        stream = file.add_stream("pcm_s16le", 48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    for path, reason in (
        (tmp_path / "none.mp4", "no video"), (tmp_path, "no video"),
        (text, "no video that can be read"), (tone, "sound only"),
    ):  # fmt: skip
        with pytest.raises(BadVideo, match=reason):
            video.check(path)


# ---- what is refused -----------------------------------------------------------------------------


def seen_faces(count: int, faces: int = 1, tall: float = 300.0) -> Watched:
    points = np.zeros((count, 478, 2), np.float32)
    points[:, 152, 1] = tall
    return Watched(np.arange(count), np.full(count, faces), points)


def test_too_little_to_learn_from_is_said() -> None:
    for shown, reason in (
        (seen_faces(600, faces=0), "no face found in 100 %"),
        (seen_faces(600, faces=2), "several faces found in 100 %"),
        (seen_faces(600, tall=60), "is 60 pixels tall, too small"),
        (seen_faces(100), "shows one face for 3.3 s, too short"),
    ):
        with pytest.raises(CannotMake, match=reason):
            making.usable(shown, "me.mp4")
    assert len(making.usable(seen_faces(600), "me.mp4")) == 600


def test_the_command_ends_with_two_and_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    film = tmp_path / "me.mp4"
    video.write(film, [np.zeros((48, 64, 3), np.uint8)] * 3)
    monkeypatch.setenv("CANTAR_MEDIAPIPE_PYTHON", str(tmp_path / "nowhere"))
    assert main(["other.mp4", "--name", "me"]) == 2
    assert "no video 'other.mp4'" in capsys.readouterr().err
    assert main([str(film), "--name", "me"]) == 2
    assert "run `make portrait` once" in capsys.readouterr().err
    monkeypatch.setenv("CANTAR_MEDIAPIPE_PYTHON", sys.executable)
    assert main([str(film), "--name", "me"]) == 2  # nobody sits there to be asked
    said = capsys.readouterr().err
    assert "Portrait rights" in said
    assert "confirm with --consent" in said
    assert not (tmp_path / "runs").exists()
    for wrong, reason in (
        (["--base", "lumi"], "has no head that could be bent"),
        (["--base", "arai"], "did you mean aria"),
        (["--set", "loop.stepps=3"], "did you mean"),
        (["--out", str(tmp_path)], "is there already"),
        (["--name", "elias"], "there is a shipped elias"),
    ):
        assert main([str(film), "--name", "me", "--consent", *wrong]) == 2
        assert reason in capsys.readouterr().err
    for wrong in (["--name", "../me"], ["--name", "me", "--size", "100"]):
        with pytest.raises(SystemExit) as ended:
            main([str(film), *wrong])
        assert ended.value.code == 2


def test_consent_is_asked_once_and_kept(tmp_path: Path) -> None:
    film = tmp_path / "me.mp4"
    film.write_bytes(b"a video")
    request = Request(film, "me", "aria", 128, tmp_path / "me", tmp_path / "work")
    with pytest.raises(CannotMake, match="confirm with --consent"):
        making.begin(request, lambda: False, TODAY)
    assert not (tmp_path / "work").exists()
    making.begin(request, lambda: True, TODAY)
    assert json.loads((tmp_path / "work" / making.ASKED).read_text())["consent"] == making.CONSENT
    making.begin(request, lambda: pytest.fail("asked again"), TODAY)  # type: ignore[arg-type, return-value]
    film.write_bytes(b"another video")
    with pytest.raises(CannotMake, match="was begun with another video"):
        making.begin(request, lambda: True, TODAY)
    with pytest.raises(ConfigError, match="paints another size"):
        making.begin(
            dataclasses.replace(request, settings=("lite.enlarge=1",)), lambda: True, TODAY
        )


# ---- pairs and page ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 9, 10, 11, 237])
def test_what_is_held_out_is_the_end_of_the_video(count: int) -> None:
    order = picturing.order(count)
    assert sorted(order) == list(range(count))
    held = [order[k] for k in range(0, count, HELD_OUT)]
    known = [order[k] for k in range(count) if k % HELD_OUT]
    assert held == list(range(count - len(held), count))
    assert known == list(range(len(known)))


def test_a_reframed_picture_lies_where_the_camera_looks() -> None:
    rgb = np.full((90, 160, 3), 40, np.uint8)
    rgb[40:50, 75:85] = 250  # about the axis
    placing = Placing(0.385 / 90, 80.0, 45.0)
    matte = np.full((256, 256), 255, np.uint8)
    points = np.full((478, 2), 45.0)
    made = picturing.reframed(rgb, matte, points, placing, 128)
    rows, columns = np.nonzero(made[..., 0] > 200)
    assert rows.mean() == pytest.approx(63.5, abs=0.6)
    assert columns.mean() == pytest.approx(63.5, abs=0.6)
    low = Placing(0.385 / 90, 80.0, 20.0)  # the video ends above the head
    made = picturing.reframed(rgb, matte, points, low, 128)
    assert not made[: int(128 * (0.5 - 20 / 90)), :, 3].any()
    assert made[60:, :, 3].all()


def test_the_page_tells_and_refreshes_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lines = [{"step": k, "photo": 1 / k, "score": 0.5 / k} for k in (1, 2, 3)]
    (tmp_path / "run" / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    page = Page(tmp_path, "<me> from a.mp4", ("Watching", "Training"), tmp_path / "run", now=1)
    page.tell(0.4, "step 3")
    text = (tmp_path / PAGE).read_text()
    assert "&lt;me&gt;" in text
    assert "<me>" not in text
    assert "width:40.0%" in text
    assert 'http-equiv="refresh"' in text
    assert text.count("<polyline") == 2
    page.now = 2
    page.tell(1.0)
    assert 'http-equiv="refresh"' not in (tmp_path / PAGE).read_text()
    page.now, page.wrong = 0, "no face"
    page.tell(0.0)
    assert "no face" in (tmp_path / PAGE).read_text()


# ---- all of it -----------------------------------------------------------------------------------


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A short video of Aria, watched already by somebody who sees what is there."""
    told, work, film = swaying(24), tmp_path / "work", tmp_path / "film.mp4"
    head = Head(load_identity("aria"), RendererConfig("head", 128, 128, background="#808080"))
    video.write(film, (np.ascontiguousarray(head.draw(m).rgba[..., :3]) for m in told))
    (work / "watched").mkdir(parents=True)
    alpha = Head(load_identity("aria"), RendererConfig("head", 256, 256, background="transparent"))
    np.savez(
        work / "watched" / "000000.npz",
        numbers=np.arange(24), faces=np.ones(24, int),
        points=landmarks(told, pixels=128 / 0.385) - np.array([400 - 64, 300 - 64]),
        mattes=np.stack([alpha.draw(one).rgba[..., 3] for one in told]),
    )  # fmt: skip
    (work / "watched" / watching.WHOLE).touch()
    monkeypatch.setattr(making, "SHORTEST", 0.5)
    monkeypatch.setattr(making, "SMALLEST", 40)
    monkeypatch.setattr(making, "STRANGE", 1e9)
    monkeypatch.setattr(sounding, "sound", lambda *_: None)
    monkeypatch.setattr(sounding, "measure", lambda *_: OURS)
    # a network that has learned nothing paints nobody whose likeness could be told
    monkeypatch.setattr(shipping, "likeness", lambda made, exact: 1.0)
    settings = ("loop.steps=4", "loop.workers=0", "batch=1", "crop=32", "scored=1", "adversary=8")
    more = ("loop.score_every=2", "loop.save_every=1", "loop.log_every=1")
    return Request(film, "me", "aria", 128, tmp_path / "me", work, settings + more)


def test_a_video_becomes_a_pack_even_if_it_was_stopped(
    staged: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    making.begin(staged, lambda: True, TODAY)
    written = []
    usual = picturing.write_picture

    def stumbling(path: Path, rgba: np.ndarray) -> None:
        if len(written) == 9:
            written.append(path)
            raise KeyboardInterrupt
        written.append(path)
        usual(path, rgba)

    monkeypatch.setattr(picturing, "write_picture", stumbling)
    with pytest.raises(KeyboardInterrupt):
        making.make(staged, lambda line: None)
    assert not staged.out.exists()
    fitted = (staged.work / "fitted.npz").read_bytes()
    assert making.make(staged, lambda line: None) == staged.out
    assert (staged.work / "fitted.npz").read_bytes() == fitted
    assert len(written) == 10 + 24 - 9 + 1  # with the reference
    pairs = Pairs(staged.work / "pairs")
    assert len(pairs.done()) == 24
    _stands_where_it_is_seen(pairs)
    identity = load_identity(staged.out)
    assert identity.renderers == ["neural-lite"]
    assert making.CONSENT in " ".join(identity.origin.split())
    assert "film.mp4" in identity.origin
    look = RendererConfig("neural-lite", 128, 128, background="transparent")
    rgba = open_renderer(AvatarConfig(avatar=str(staged.out), renderer=look)).draw(rest()).rgba
    assert rgba.shape == (128, 128, 4)
    text = (staged.work / PAGE).read_text()
    assert "refresh" not in text
    assert "sheet.png" in text
    with pytest.raises(CannotMake, match="is there already"):
        making.begin(staged, lambda: True, TODAY)


def _stands_where_it_is_seen(pairs: Pairs) -> None:
    """The rig, told the fitted motion, covers the person in the picture."""
    rig = read_rig(Path(pairs.about.identity))
    assert np.abs(Poser(rig).pose(rest()).points).max() < 1
    config = RendererConfig("head", 128, 128, background="transparent")
    head = Head(load_identity(pairs.about.identity), config)
    for number in (3, 15):
        shown, mask = pairs.picture(number)[..., 3] > 128, head.guide(pairs.motion(number)).mask
        face = mask[20:80] > 0.5  # above the shoulders, which are not seen
        assert (shown[20:80] & face).sum() > 0.93 * face.sum()


def test_names_of_what_is_shown_in_the_proof_are_shapes() -> None:
    from engine.training.identity import proof

    for name in proof.SHOWN:
        assert any(known in (name, f"{name}Left") for known in ARKIT)


@pytest.mark.slow
def test_the_proof_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.training.identity import proof

    try:
        finder_python()
    except FinderMissing as error:
        pytest.skip(f"{error}; run `make portrait`")
    options = ["--work", str(tmp_path), "--seconds", "10", "--size", "128"]
    settings = ["--set", "loop.steps=40", "--set", "scored=2", "--set", "loop.score_every=20"]
    assert proof.main([*options, *settings]) is None
    lines = capsys.readouterr().out.splitlines()
    row = {line.split()[0]: line.split()[-3:] for line in lines if line.strip()}
    assert float(row["yaw"][0]) > 0.9
    assert float(row["jawOpen"][0]) > 0.8
