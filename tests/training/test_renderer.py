"""Training the neural renderer: pairs that resume, lessons that fit, losses that mean it, a run."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.metrics.picture import ssim, warping_error
from engine.rendering.head import Head
from engine.rendering.identity import load_identity
from engine.rendering.neural.networks import Lite, LiteConfig, UNetConfig
from engine.training.loop import LoopConfig, train
from engine.training.renderer import pairs as making
from engine.training.renderer.adversary import PatchGAN
from engine.training.renderer.cycles import BlenderFailed, Cycles
from engine.training.renderer.lessons import Lessons
from engine.training.renderer.losses import (
    fooling_loss,
    gradient_loss,
    judging_loss,
    matching_loss,
    photo_loss,
    ssim_loss,
)
from engine.training.renderer.motions import film, numbered_motion, rest, some_motion
from engine.training.renderer.pairs import About, BadPairs, Pairs, begin, make, rasterise
from engine.training.renderer.rounding import LEVELS, balanced, on_levels, ready_for_int8
from engine.training.renderer.score import figures, masked_ssim, paint, sheet
from engine.training.renderer.seeing import face, flow
from engine.training.renderer.shipping import export_network, load_renderer, ship
from engine.training.renderer.task import RendererTask, RendererTraining
from kernels.graphs import opening

TINY = LiteConfig(size=64, widths=(8, 12), fine=8)
COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pairs of the rasteriser, 128 pixels a side."""
    out = tmp_path_factory.mktemp("pairs")
    about = About("aria", "raster", 128, 3, making.rig_digest("aria"))
    make(begin(out, about, COUNT), rasterise("aria", 128), lambda line: None)
    return out


# ---- motions -------------------------------------------------------------------------------------


def test_motions_are_possible_and_repeat() -> None:
    for number in range(200):
        one = numbered_motion(5, number)
        assert one.blendshapes.shape == (52,)
        assert 0 <= one.blendshapes.min() <= one.blendshapes.max() <= 1
        assert np.abs(one.head[:3]).max() < 0.6
    again = numbered_motion(5, 199)
    for f in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, f.name), getattr(again, f.name))
    opened = [some_motion(np.random.default_rng(k)).blendshapes[17] for k in range(200)]
    assert min(opened) < 0.05 < 0.6 < max(opened)
    assert not rest().blendshapes.any()


def test_a_film_passes_through_its_motions_without_jumps() -> None:
    frames = film(5, 40)
    for n in (0, 12, 24, 36):
        np.testing.assert_allclose(frames[n].head, numbered_motion(5, n // 12).head, atol=1e-6)
    steps = [np.abs(a.head[:3] - b.head[:3]).max() for a, b in pairwise(frames)]
    assert max(steps) < 0.2
    np.testing.assert_array_equal(film(5, 20)[19].blendshapes, frames[19].blendshapes)


# ---- what is seen where --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head() -> Head:
    config = dataclasses.replace(RendererConfig(), width=128, height=128, background="#808080")
    return Head(load_identity("aria"), config)


def test_what_holds_still_flows_nowhere(head: Head) -> None:
    still = flow(head, rest(), rest(9))
    assert np.nanmax(np.abs(still)) < 1e-3
    assert (~np.isnan(still[..., 0])).mean() > 0.2


def test_flow_follows_the_surface(head: Head) -> None:
    """Moved along, a picture is far more like the next one than as it was."""
    motions = film(3, 12)
    drawn = np.stack([head.draw(motion).rgba[..., :3] for motion in motions])
    moved = np.stack([flow(head, *pair) for pair in pairwise(motions)])
    held = np.where(np.isnan(moved), np.nan, 0).astype(np.float32)
    assert warping_error(drawn, moved) < 0.4 * warping_error(drawn, held)


def test_the_face_is_between_hair_and_neck(head: Head) -> None:
    where = face(head, rest())
    rows, columns = np.nonzero(where)
    assert 0.08 < where.mean() < 0.25
    assert abs(columns.mean() / 128 - 0.5) < 0.05
    assert 0.35 < rows.mean() / 128 < 0.6
    alpha = head.guide(rest()).mask
    assert (alpha[where] > 0).all()


# ---- pairs ---------------------------------------------------------------------------------------


def test_pairs_go_on_where_they_were_stopped(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pairs"
    shutil.copytree(folder, copy)
    kept = Pairs(copy).picture(4)
    for number in (2, 7):
        (copy / making.picture_name(number)).unlink()
    painted = []

    def paint(motions):  # type: ignore[no-untyped-def]
        for one in motions:
            painted.append(one.frame)
            yield np.full((128, 128, 4), 7, np.uint8)

    pairs = begin(copy, Pairs(copy).about, COUNT)
    assert pairs.done() == [k for k in range(COUNT) if k not in (2, 7)]
    make(pairs, paint, lambda line: None)
    assert painted == [numbered_motion(3, 2).frame, numbered_motion(3, 7).frame]
    assert pairs.done() == list(range(COUNT))
    assert (pairs.picture(7) == 7).all()
    np.testing.assert_array_equal(pairs.picture(4), kept)


def test_pairs_may_become_more_but_not_others(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pairs"
    shutil.copytree(folder, copy)
    about = Pairs(copy).about
    longer = begin(copy, about, COUNT + 3)
    assert (longer.count, len(longer.done())) == (COUNT + 3, COUNT)
    np.testing.assert_array_equal(longer.motion(5).head, numbered_motion(3, 5).head)
    with pytest.raises(BadPairs, match="was begun as"):
        begin(copy, dataclasses.replace(about, size=64), COUNT)
    said = json.loads((copy / making.ABOUT).read_text())
    (copy / making.ABOUT).write_text(json.dumps({**said, "rig": "0"}))
    with pytest.raises(BadPairs, match="its rig has changed"):
        Pairs(copy).check()
    with pytest.raises(BadPairs, match="is no folder of pairs"):
        Pairs(tmp_path)


def test_a_pairs_picture_is_of_its_motion(folder: Path) -> None:
    pairs = Pairs(folder)
    expected = next(iter(rasterise("aria", 128)([pairs.motion(5)])))
    np.testing.assert_array_equal(pairs.picture(5)[..., 3], expected[..., 3])
    solid = expected[..., 3] > 0
    np.testing.assert_array_equal(pairs.picture(5)[solid], expected[solid])


# ---- Cycles --------------------------------------------------------------------------------------


def test_cycles_sees_the_heads_own_geometry_and_film() -> None:
    cycles = Cycles("aria", 64, 4, "python3")
    told = cycles.geometry(rest())
    assert len(told["points"]) == len(cycles.head.rig.along)
    strands = told["hairs"].reshape(len(cycles.fibres.ribbon), -1, 3)
    home = cycles.head.rig.hair.points[cycles.fibres.ribbon]
    assert np.abs(strands - home).max() < 0.05
    light = np.zeros((2, 2, 4), np.float32)
    light[0, 0] = (0.18, 0.18, 0.18, 1.0)
    light[0, 1] = (0.09, 0.09, 0.09, 0.5)  # half of it covered: the same grey, half as much
    shown = cycles.develop(light)
    assert shown[0, 0, 3] == 255
    assert shown[0, 1].tolist() == [*shown[0, 0, :3].tolist(), 128]
    assert not shown[1].any()


def test_without_blender_it_says_so() -> None:
    with (
        pytest.raises(BlenderFailed, match="cannot start no/such/python"),
        Cycles("aria", 64, 4, "no/such/python"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.skipif("CANTAR_BLENDER" not in os.environ, reason="CANTAR_BLENDER: a Python with bpy")
def test_cycles_paints_in_place() -> None:
    with Cycles("aria", 96, 4, os.environ["CANTAR_BLENDER"]) as cycles:
        one, again, other = cycles.paint([rest(), rest(), numbered_motion(1, 3)])
    np.testing.assert_array_equal(one, again)
    head = cycles.head.draw(rest()).rgba
    assert np.abs(one[..., 3].astype(int) - head[..., 3]).mean() < 12
    assert np.abs(one.astype(int) - other).mean() > 1


# ---- lessons -------------------------------------------------------------------------------------


def test_lessons_fit_the_network(folder: Path) -> None:
    lessons = Lessons(str(folder), TINY, 3)
    batch = pickle.loads(pickle.dumps(lessons)).batch(np.random.default_rng(0), 0)
    assert [tuple(x.shape) for x in batch] == [
        (3, 4, 64, 64), (3, 1, 64, 64), (3, 4, 64, 64), (3, 4), (3, 4, 128, 128)
    ]  # fmt: skip
    assert not set(lessons.known) & set(lessons.unknown)
    assert sorted(lessons.known + lessons.unknown) == list(range(COUNT))
    # the guidance is the truth's picture, smaller
    small = torch.nn.functional.avg_pool2d(batch.truth, 2)
    assert float((small - batch.guidance).abs().mean()) < 0.02


def test_crops_of_guidance_and_truth_show_the_same(folder: Path) -> None:
    lessons = Lessons(str(folder), TINY, 4, crop=32)
    batch = lessons.batch(np.random.default_rng(1), 0)
    assert batch.guidance.shape[2:] == (32, 32)
    assert batch.truth.shape[2:] == (64, 64)
    small = torch.nn.functional.avg_pool2d(batch.truth, 2)
    assert float((small - batch.guidance).abs().mean()) < 0.03
    assert float(batch.guidance[:, 3].mean()) > 0.2  # about the singer, not the empty corners
    with pytest.raises(ValueError, match="crop must be a multiple of 8"):
        Lessons(str(folder), TINY, 4, crop=30)
    with pytest.raises(ValueError, match="crop must be a multiple of 64"):
        Lessons(str(folder), UNetConfig(size=64, base=4, levels=4), 4, crop=32)


def test_the_rasteriser_gives_endless_lessons() -> None:
    lessons = Lessons("raster:aria", TINY, 1)
    one, same, other = (lessons.batch(np.random.default_rng(k), 0) for k in (0, 0, 1))
    torch.testing.assert_close(one.truth, same.truth)
    assert float((one.truth - other.truth).abs().max()) > 0.1


# ---- losses --------------------------------------------------------------------------------------


def photo(made: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return photo_loss(made, truth, torch.rand(len(truth), 1, 16, 16))


@pytest.mark.parametrize("loss", [photo, gradient_loss, ssim_loss])
def test_losses_are_nothing_for_equal_pictures_and_grow(loss) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    truth = torch.rand(2, 4, 32, 32)
    noise = torch.randn_like(truth)
    values = [float(loss(truth + 0.1 * k * noise, truth)) for k in range(4)]
    assert abs(values[0]) < 1e-6
    assert values == sorted(values)


def test_an_error_weighs_most_on_the_eyes() -> None:
    truth = torch.zeros(1, 4, 32, 32)
    truth[:, 3, :, 8:] = 1.0
    eyes = torch.zeros(1, 1, 32, 32)
    eyes[..., 24:] = 1.0

    def paid(column: int) -> float:
        made = truth.clone()
        made[:, 0, :, column] += 0.5
        return float(photo_loss(made, truth, eyes))

    assert paid(2) < paid(12) < paid(30)


def test_ssim_loss_is_the_metric() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (40, 40, 4), np.uint8)
    made = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    planes = [torch.from_numpy(x.transpose(2, 0, 1)[None] / 255.0) for x in (made, truth)]
    assert 1 - float(ssim_loss(*planes)) == pytest.approx(ssim(made, truth), abs=1e-6)


def test_ssim_somewhere() -> None:
    truth = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    made = truth.copy()
    made[:, :12] = 0
    where = np.zeros((40, 40), bool)
    where[:, 30:] = True
    assert ssim(made, truth) < 0.9
    assert ssim(made, truth, where) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="some pixels"):
        ssim(made, truth, np.zeros((40, 40), bool))


def test_the_judge_is_pix2pix_and_takes_guidance_of_another_size() -> None:
    judge = PatchGAN(condition=3, width=64)
    assert sum(p.numel() for p in judge.parameters()) == pytest.approx(2.77e6, rel=0.01)
    features = judge(torch.rand(1, 3, 64, 64), torch.rand(1, 4, 128, 128))
    assert features[-1].shape == (1, 1, 14, 14)
    assert float(matching_loss(features[:-1], features[:-1]).detach()) == 0
    sure, unsure = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    assert float(judging_loss(unsure, sure)) == float(fooling_loss(sure)) == 0
    assert float(judging_loss(sure, unsure)) == float(fooling_loss(unsure)) == 1


# ---- a whole training ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learns that the true picture is the guidance in other colours."""
    tinted = tmp_path_factory.mktemp("tinted") / "pairs"
    shutil.copytree(folder, tinted)
    for path in [*tinted.glob("[0-9]*.png"), tinted / making.REFERENCE]:
        rgba = making.read_picture(path)
        making.write_picture(path, rgba[..., [2, 0, 1, 3]])
    out = tmp_path_factory.mktemp("runs") / "lite"
    loop = LoopConfig(str(out), steps=200, workers=0, average=0.9, log_every=25, score_every=100)
    config = RendererTraining(
        str(tinted), batch=2, crop=32, rate=1.5e-2, gan_from=0.7, scored=2, adversary=8,
        lite=TINY, loop=loop,
    )  # fmt: skip
    train(RendererTask(config), loop)
    return out


def test_a_short_training_learns_and_its_judge_joins_late(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    photo = [line["photo"] for line in lines if "photo" in line]
    assert photo[-1] < 0.7 * photo[0]
    assert [("gan" in line) for line in lines if "photo" in line] == [False] * 5 + [True] * 3
    scores = [line for line in lines if "score" in line]
    assert scores[-1]["score"] < 0.9 * scores[-1]["guidance"]


def test_scores_tell_ours_from_guidance(run: Path) -> None:
    network, record = load_renderer(run)
    lessons = Lessons(record["pairs"], network.config, 1)
    batches = lessons.held_out(2)
    found = figures(network, lessons, 2)
    assert found["flicker"] == 0
    assert found["drift"] > 0.9
    assert 0 < found["ssim face ours"] < 1
    assert 0 < found["gmsd ours"] < 0.35
    assert 0 < found["warping ours"] < 20
    assert found["ssim ours"] > found["ssim guidance"]
    assert masked_ssim(batches[0].truth[0], batches[0].truth[0]) == pytest.approx(1.0)
    assert sheet(network, batches).shape == (2 * 128, 3 * 128, 3)


def test_what_was_trained_ships_and_draws(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    pack = tmp_path / "aria"
    shutil.copytree(load_identity("aria").folder, pack)
    written = ship(run, pack)
    said = yaml.safe_load((pack / "identity.yaml").read_text(encoding="utf-8"))
    assert "neural-lite" in said["renderers"]
    assert all(path.is_file() for path in written)
    assert (pack / said["assets"]["reference"]).is_file()
    look = RendererConfig("neural-lite", 128, 128, background="transparent")
    painter = open_renderer(AvatarConfig(avatar=str(pack), renderer=look))
    made = painter.draw(numbered_motion(3, 0)).rgba
    truth = making.read_picture(Path(load_renderer(run)[1]["pairs"]) / making.picture_name(0))
    solid = truth[..., 3] > 200
    off = np.abs(made.astype(int) - truth)[solid].mean()
    turned = np.abs(truth[..., [1, 2, 0, 3]].astype(int) - truth)[solid].mean()
    assert off < 0.7 * turned
    start = tmp_path / "start.onnx"
    export_network(run, start)
    loop = LoopConfig(str(tmp_path / "more"), start=str(start), steps=1, workers=0)
    config = RendererTraining(
        load_renderer(run)[1]["pairs"], batch=1, scored=1, lite=TINY, adversary=8, loop=loop
    )
    train(RendererTask(config), loop)


def test_what_int8_cannot_be_looked_at_ships_without(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf")
    pack = tmp_path / "aria"
    shutil.copytree(load_identity("aria").folder, pack)
    monkeypatch.setattr(opening, "_adds_bytes", lambda: False)
    ship(run, pack)
    assert "int8 needs a processor with VNNI" in capsys.readouterr().out
    said = yaml.safe_load((pack / "identity.yaml").read_text(encoding="utf-8"))
    assert "neural-lite-int8" not in said["assets"]
    assert not (pack / "neural-lite.int8.onnx").exists()


def test_ready_for_int8_it_is_the_same_function(run: Path) -> None:
    """Once more when rounded, far nearer than if its weights were rounded as they come."""
    network, record = load_renderer(run)
    assert isinstance(network, Lite)
    seen = Lessons(record["pairs"], network.config, 1).held_out(2)
    tops = torch.rand(network.config.fine) + 0.5
    torch.nn.init.normal_(network.doubt.weight, 0, 0.3)
    exact, even = paint(network, seen[0]), paint(balanced(network, tops), seen[0])
    np.testing.assert_allclose(even, exact, atol=1e-5)
    ready = ready_for_int8(network, seen)
    naive = copy.deepcopy(network)
    weights = naive.paint.weight
    step = weights.abs().amax((1, 2, 3), keepdim=True) / LEVELS
    with torch.no_grad():
        weights.copy_((weights / step).round() * step)
    off, naively_off = (np.abs(paint(x, seen[1]) - paint(network, seen[1])) for x in (ready, naive))
    assert off.mean() < 0.4 * naively_off.mean()


def test_levels_are_whole_and_the_largest_keeps_its_place() -> None:
    torch.manual_seed(0)
    weights, inputs = torch.randn(5, 20), torch.rand(400, 1) + 0.2 * torch.rand(400, 20)
    made = on_levels(weights, inputs.T @ inputs)
    largest = weights.abs().amax(1, keepdim=True)
    level = made / largest * LEVELS
    assert torch.equal(made.abs().amax(1, keepdim=True), largest)
    assert float((level - level.round()).abs().max()) < 1e-3
    plain = (weights / largest * LEVELS).round() * largest / LEVELS
    lost = [float(((x - weights) @ inputs.T).square().mean()) for x in (made, plain)]
    assert lost[0] < 0.3 * lost[1]


def test_whole_pictures_are_moved_with_their_truth(folder: Path) -> None:
    config = UNetConfig(size=64, base=4, levels=4)
    still, moved = (Lessons(str(folder), config, 1, shift=shift) for shift in (0, 9))
    one = still._numbered(1, np.random.default_rng(0))
    rng = np.random.default_rng(4)
    other = moved._numbered(1, rng)
    right, down = np.random.default_rng(4).integers(-9, 10, 2)
    assert (right, down) != (0, 0)
    for k in (0, 1, 4):
        rows = np.clip(np.arange(64) - down, 0, 63)
        columns = np.clip(np.arange(64) - right, 0, 63)
        np.testing.assert_array_equal(other[k], one[k][:, rows][:, :, columns])
    np.testing.assert_array_equal(other[2], one[2])  # the reference shows her at rest
    np.testing.assert_array_equal(moved.held_out(1)[0].truth, still.held_out(1)[0].truth)


def test_configurations_are_checked(folder: Path) -> None:
    with pytest.raises(ValueError, match="net must be lite or unet"):
        RendererTraining(net="lit")
    with pytest.raises(BadPairs, match="is no folder of pairs"):
        RendererTask(RendererTraining(pairs="no/such/folder"))
    with pytest.raises(BadPairs, match="did you mean aria"):
        RendererTask(RendererTraining(pairs="raster:arja"))
