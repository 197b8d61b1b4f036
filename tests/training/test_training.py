"""Training: losses that can fall, checkpoints that resume, lessons cut right."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from bench import ablation
from engine.config import read
from engine.hearing.mfcc import BASIS
from engine.hearing.separator_net import SeparatorConfig
from engine.motion.musicface_net import SMALL, Discriminator, MusicFace, MusicFaceConfig, Taps
from engine.motion.visemes import CLASSES
from engine.norms import Norm1d
from engine.timeline import FRAME, HOP
from engine.training import checkpoint
from engine.training.examples import frame_windows
from engine.training.loop import CHECKPOINT, LOG, LoopConfig, read_log, train
from engine.training.mixing import load_library, loudness, make_pair
from engine.training.musicface import (
    BeatReader,
    Lessons,
    LipReader,
    MusicFaceTask,
    MusicFaceTraining,
    _jolt,
    mmd,
    warped_cepstra,
)
from engine.training.separator import (
    SeparatorTask,
    SeparatorTraining,
    activity_of,
    make_batch,
    separation_loss,
)
from engine.training.ship import ship

RATE = 16_000


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for seed in range(2):
        t = np.arange(RATE * 12) / RATE
        voice = 0.2 * np.sin(2 * np.pi * (200 + 60 * seed) * t) * (np.sin(t) > 0)
        backing = 0.05 * rng.normal(size=len(t))
        soundfile.write(folder / f"song_{seed:06d}.flac", np.stack([voice, backing], 1), RATE)
    return folder


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made-up songs: the face opens with the first voice feature, the head beats time."""
    folder = tmp_path_factory.mktemp("lessons")
    rng = np.random.default_rng(0)
    for seed in range(2):
        hops, frames = 1000, 300
        features = np.cumsum(rng.normal(0, 0.3, (2, hops, 2, 26)), 1)
        features -= features.mean(1, keepdims=True)
        jaw = features[0, np.arange(frames) * 10 // 3, 0, 0].clip(0, 1)
        face = np.zeros((1, frames, 52))
        face[0, :, 17] = jaw
        head = 0.1 * np.sin(np.arange(frames)[None, :, None] / 8 + np.arange(6))
        takes = {
            "sung_face": face, "rest_face": face * 0,
            "sung_head": head, "rest_head": head,
            "sung_closing": np.zeros((1, frames)), "rest_closing": np.zeros((1, frames)),
        }  # fmt: skip
        np.savez(
            folder / f"song_{seed}.npz",
            features=features.astype(np.float16),
            mixed=features.mean(2).astype(np.float16),
            silent=np.array([False, True]),
            styles=np.array([seed]),
            phones=np.where(jaw > 0.5, CLASSES.index("a"), 0).astype(np.int16),
            beats=(features[0, np.arange(frames) * 10 // 3, 1, 0] % 1).astype(np.float16),
            **takes,
        )
    return folder


def test_pairs_are_mixtures_voices_or_backings(songs: Path) -> None:
    library, rng = load_library(songs, None), np.random.default_rng(0)
    kinds = {
        tuple(loudness(side) > 1e-3 for side in make_pair(rng, library, RATE)) for _ in range(60)
    }
    assert {(True, True), (True, False), (False, True)} <= kinds


def test_no_songs_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make songs"):
        load_library(tmp_path, None)


def test_a_perfect_separator_loses_least(songs: Path) -> None:
    from engine.hearing.separator_net import Gains

    rng = np.random.default_rng(0)
    voice = (0.2 * np.sin(np.arange(RATE) * 0.1)[None]).astype(np.float32)
    backing = rng.normal(0, 0.05, voice.shape).astype(np.float32)
    batch = make_batch(voice, backing)
    shape = (1, 100, 2)

    def loss(bands: torch.Tensor, mel: torch.Tensor, active: torch.Tensor) -> float:
        return float(sum(separation_loss(Gains(mel, bands, active), batch).values()))

    wiener = (batch.voice / batch.mix.clamp(min=1e-9)).sqrt().clamp(0, 1)
    mel = (batch.mel_voice / batch.mel_mix.clamp(min=1e-9)).sqrt().clamp(0, 1)
    good = loss(
        torch.stack([wiener, (1 - wiener**2).sqrt()], 2),
        torch.stack([mel, (1 - mel**2).clamp(min=0).sqrt()], 2),
        8 * (2 * batch.active - 1),
    )
    lazy = loss(torch.ones(*shape, 96), torch.ones(*shape, 26), torch.zeros(1, 100))
    mute = loss(torch.zeros(*shape, 96), torch.zeros(*shape, 26), torch.zeros(1, 100))
    assert good < lazy
    assert good < mute


def test_activity_is_where_the_voice_is() -> None:
    x = np.zeros((1, RATE), np.float32)
    x[0, 8000:12_000] = 0.1 * np.sin(np.arange(4000))
    active = activity_of(x)[0]
    assert active[51:74].all()
    assert not active[:50].any()
    assert not active[80:].any()


def test_windows_are_cut_as_live_cuts_them() -> None:
    hops = np.broadcast_to(np.arange(400)[:, None, None], (400, 2, 26)).astype(np.float32)
    for lookahead in (0, 2, 6):
        windows = frame_windows(hops, np.arange(50, 60), lookahead)
        ends = (np.arange(50, 60) + lookahead) * FRAME // HOP
        np.testing.assert_array_equal(windows[:, 0, -1, 0], ends - 1)


def test_mmd_tells_distributions_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(300, 4, generator=generator) for _ in range(2))
    assert mmd(one, other) < 0.02
    assert mmd(one, other + 1) > 0.1


def test_discriminator_has_the_tables_shape() -> None:
    assert Discriminator()(torch.zeros(2, 59, 128)).shape == (2, 1, 8)


def test_paper_and_small_sizes() -> None:
    """Table 4: 32 … 512 channels, 39 → 20 → 10 → 5 → 3 hops, 1,536 flat, 768, 128."""
    paper, small = MusicFace(MusicFaceConfig()), MusicFace(SMALL)
    encoders = paper.encoders.eval()
    seen = []
    for layer in (*encoders.blocks, encoders.squeeze, encoders.leave):
        layer.register_forward_hook(
            lambda _m, _i, out: seen.append((out.shape[1] // 2, out.shape[2]))
        )
    encoders(torch.zeros(1, 2 * (26 + 7), 39))
    assert seen == [
        (32, 39), (64, 20), (64, 20), (128, 10), (128, 10), (256, 5), (256, 5), (512, 3),
        (768, 1), (128, 1),
    ]  # fmt: skip
    assert small.encoders.squeeze.out_channels == 2 * 384
    assert paper.pgn.lstm.input_size == 268 + paper.config.code
    assert paper.egn[0].in_features == 256 + paper.config.code


@pytest.mark.parametrize("stride", [1, 2])
def test_learning_by_rows_is_the_convolution(stride: int) -> None:
    """Values, gradients and statistics of the quick form that training takes."""
    torch.manual_seed(0)
    taps, norm = Taps(8, 12, 3, stride, 1, groups=2), Norm1d(12)
    plain = torch.nn.BatchNorm1d(12)
    x = torch.randn(5, 8, 13)
    quick = norm(taps.by_rows(x))
    slow = plain(torch.nn.Conv1d.forward(taps, x))
    torch.testing.assert_close(quick, slow, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, plain.running_var)
    weigh = torch.randn_like(slow)
    one, other = (torch.autograd.grad((y * weigh).sum(), taps.weight)[0] for y in (quick, slow))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(taps.eval()(x), taps.by_rows(x), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_streams_and_generators_stay_apart() -> None:
    """What one stream hears moves only its own half of what is encoded, and what one ATM weighs
    by, only its own attention."""
    model = MusicFace(SMALL).eval()
    windows, code = torch.randn(1, 3, 2, 39, 26), torch.zeros(1, 3, SMALL.code)
    other = torch.cat([torch.randn(1, 3, 1, 39, 26), windows[:, :, 1:]], 2)
    one, two = model.encode(windows, code), model.encode(other, code)
    assert torch.equal(one[..., 128:], two[..., 128:])
    assert not torch.allclose(one[..., :128], two[..., :128])
    state = model.modulators.initial_state()
    before, _ = model.modulators(one, state)
    model.modulators.up1.conv.weight[64:128] += 0.1
    after, _ = model.modulators(one, state)
    same = [torch.equal(before[:, :, k], after[:, :, k]) for k in range(3)]
    assert same == [True, False, True]


def test_a_mouth_is_read_as_it_looks() -> None:
    """Two sounds that shapes 3 and 5 tell apart: the right face reads right, a face in the middle
    loses more, the other face most; the reader itself learns nothing."""
    rng = np.random.default_rng(0)
    sounds = rng.integers(1, 3, 400)
    mouths = np.where(sounds[:, None] == 1, [0.6, 0.1], [0.1, 0.6]) + rng.normal(0, 0.05, (400, 2))
    reader = LipReader([3, 5], mouths.astype(np.float32), sounds)
    truth = torch.from_numpy(sounds[:50])[None]
    face = torch.zeros(1, 50, 52)
    face[..., [3, 5]] = torch.from_numpy(mouths[None, :50].astype(np.float32))
    face.requires_grad_()
    right, share = reader(face, truth)
    middle, _ = reader(torch.full_like(face, 0.35), truth)
    wrong, none = reader(face, 3 - truth)
    assert right < 0.2 * middle < 0.2 * wrong
    assert (share, none) == (1, 0)
    assert torch.autograd.grad(right, face)[0].abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in reader.parameters())
    unread = LipReader([3, 5], np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    assert unread(face, torch.full((1, 50), -1)) == (0, 0)


def test_the_beat_is_told_by_where_it_stands() -> None:
    """Who knows is sure and loses nothing, the middle loses one, nan is not asked."""
    beats = torch.arange(20).remainder(7)[None] / 7
    beats[0, 3] = torch.nan
    turn = 2 * torch.pi * beats.nan_to_num()
    reader = BeatReader(2)
    with torch.no_grad():
        reader.tell.weight.copy_(torch.eye(2))
        reader.tell.bias.zero_()
        loss, sure = reader(torch.stack([turn.cos(), turn.sin()], 2), beats)
        middle, _ = reader(torch.zeros(1, 20, 2), beats)
        unknown = reader(torch.zeros(1, 20, 2), torch.full_like(beats, torch.nan))
    assert loss == pytest.approx(0, abs=1e-6)
    assert sure == pytest.approx(1)
    assert middle == pytest.approx(1)
    assert unknown == (0, 0)


TINY = SeparatorConfig(channels=4, width=8, layers=2)


def separator_task(songs: Path, out: Path, steps: int) -> tuple[SeparatorTask, LoopConfig]:
    loop = LoopConfig(out=str(out), steps=steps, save_every=2, log_every=1, score_every=3)
    config = SeparatorTraining(
        songs=str(songs), hard="", valid=str(songs), batch=2, hops=100, net=TINY, loop=loop
    )
    return SeparatorTask(config), loop


def test_a_training_killed_at_any_step_ends_with_the_same_weights(
    songs: Path, tmp_path: Path
) -> None:
    """Law: killed after step 5, three steps past its last checkpoint but one, and gone on with."""

    class Killed(Exception):
        pass

    whole, loop = separator_task(songs, tmp_path / "whole", 8)
    train(whole, loop)
    first, loop = separator_task(songs, tmp_path / "cut", 8)
    step = first.step

    def dying_step(batch, number, progress):  # type: ignore[no-untyped-def]
        if number == 5:
            raise Killed
        return step(batch, number, progress)

    first.step = dying_step  # type: ignore[method-assign]
    with pytest.raises(Killed):
        train(first, loop)
    second, loop = separator_task(songs, tmp_path / "cut", 8)
    path = train(second, replace(loop, workers=0))
    for key, value in load_file(tmp_path / "whole" / CHECKPOINT).items():
        assert torch.equal(load_file(path)[key], value), key
    logs = [(tmp_path / run / LOG).read_text() for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert (tmp_path / "cut" / "curves.png").exists()


def test_musicface_learns(lessons: Path) -> None:
    config = MusicFaceTraining(
        lessons=str(lessons), batch=4, frames=64, adversary_from=15, net=SMALL
    )
    task = MusicFaceTask(config)
    batch = task.material.batch(np.random.default_rng(0), 0)
    losses = [float(task.step(batch, step, 0.0)["expression"].detach()) for step in range(20)]
    assert losses[-1] < 0.6 * losses[0]


def test_a_turn_in_a_corner_is_more_of_a_jolt_than_a_round_one() -> None:
    """Both as fast on average."""
    t = torch.arange(60) / 30
    round_one = torch.sin(2 * np.pi * t)[None, :, None]
    corners = (2 / np.pi * torch.asin(torch.sin(2 * np.pi * t)))[None, :, None]
    smooth, sharp = (_jolt(path[:, 1:] - path[:, :-1]) for path in (round_one, corners))
    assert sharp.mean() > 1.5 * smooth.mean()


@pytest.mark.parametrize("stretch", [1 / 1.2, 1.0, 1.2])
def test_another_throat_has_its_formants_elsewhere(stretch: float) -> None:
    """A smooth spectrum with one hill: it moves as formants do, and is as loud as before."""
    top = 2595 * np.log10(1 + 8000 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, 28)[1:-1] / 2595) - 1)
    bands = np.arange(26)
    cepstra = BASIS @ (3 * np.exp(-((bands - 12) ** 2) / 8))
    warped = warped_cepstra(stretch) @ cepstra
    assert warped[0] == pytest.approx(cepstra[0])
    spectrum = (warped[1:] / (BASIS[1:] ** 2).sum(1)) @ BASIS[1:]
    expected = np.interp(stretch * hertz[12], hertz, bands)
    assert abs(int(spectrum.argmax()) - expected) <= 0.6
    if stretch == 1:
        np.testing.assert_allclose(warped, cepstra, atol=1e-4)


def test_only_the_voice_is_varied_and_only_while_training(lessons: Path) -> None:
    config = MusicFaceTraining(lessons=str(lessons), batch=4, frames=64, net=SMALL)
    plain = replace(config, throats=0.0, colours=0.0)
    one, other = (
        Lessons(c, lessons).batch(np.random.default_rng(0), 0).windows for c in (config, plain)
    )
    assert torch.equal(one[:, :, 1], other[:, :, 1])
    assert (one[:, :, 0] - other[:, :, 0]).abs().max() > 0.05


def test_what_is_still_learns_nothing(lessons: Path) -> None:
    config = MusicFaceTraining(lessons=str(lessons), batch=4, frames=32, net=SMALL)
    task = MusicFaceTask(replace(config, still="encoders egn"))
    batch = task.material.batch(np.random.default_rng(0), 0)
    parts = (task.model.encoders.enter, task.model.egn[0], task.model.esgn[0])
    before = [part.weight.clone() for part in parts]
    task.step(batch, 0, 0.0)
    same = [torch.equal(was, part.weight) for was, part in zip(before, parts, strict=True)]
    assert same == [True, True, False]
    with pytest.raises(ValueError, match="ears"):
        MusicFaceTask(replace(config, still="ears"))


def test_the_encoder_learns_what_is_sung(lessons: Path) -> None:
    """Also on a face that is not the truth's: the reader's gradients reach the encoder."""
    config = MusicFaceTraining(lessons=str(lessons), batch=4, frames=64, rate=4e-3, net=SMALL)
    task = MusicFaceTask(config)
    batch = task.material.batch(np.random.default_rng(1), 0)
    assert (batch.phones > 0).any()
    first = task.model.encoders.enter.weight.clone()
    losses = [float(task.step(batch, step, 0.0)["phones"].detach()) for step in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    assert not torch.equal(first, task.model.encoders.enter.weight)
    spoken = task.act(task.model, batch).spoken
    with torch.no_grad():
        task.reader.tell.weight.zero_()
        task.reader.tell.bias.zero_()[CLASSES.index("a")] = 1  # says nothing else: all that is sung
    assert task.reader(spoken, batch.phones)[1] == 1
    assert task.reader(spoken, torch.full_like(batch.phones, -1)) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"streams": 1, "modulated": False, "generator": False},
        {"modulated": False, "generator": False},
        {"generator": False},
    ],
    ids=["single-stream", "two-stream", "with-atm"],
)
def test_the_ablations_learn_and_stream(lessons: Path, changes: dict[str, Any]) -> None:
    """Table 1's variants; frame by frame they do what they do over the whole sequence."""
    net = replace(SMALL, **changes)
    task = MusicFaceTask(MusicFaceTraining(lessons=str(lessons), batch=4, frames=32, net=net))
    batch = task.material.batch(np.random.default_rng(0), 0)
    losses = [float(task.step(batch, step, 0.0)["expression"].detach()) for step in range(15)]
    assert losses[-1] < 0.8 * losses[0]
    model = task.model.eval()
    whole, _ = model(batch.windows, batch.code, model.initial_state(4))
    state, frames = model.initial_state(4), []
    for t in range(batch.windows.shape[1]):
        now = slice(t, t + 1)
        made, state = model(batch.windows[:, now], batch.code[:, now], state)
        frames.append(made.expression)
    torch.testing.assert_close(torch.cat(frames, 1), whole.expression, atol=1e-4, rtol=1e-4)


def test_a_face_is_scored_on_songs_it_never_trains_on(lessons: Path, tmp_path: Path) -> None:
    """Its loss there falls as it learns, is the same when asked again, and decides what is kept."""
    loop = LoopConfig(out=str(tmp_path), steps=20, average=0, score_every=10, workers=0)
    config = MusicFaceTraining(
        lessons=str(lessons), valid=str(lessons), batch=4, frames=64, net=SMALL, loop=loop
    )
    task = MusicFaceTask(config)
    before = task.score(task.models["average"])
    assert task.score(task.models["average"]) == before
    train(task, loop)
    scores = [line["score"] for line in read_log(tmp_path) if "score" in line]
    assert len(scores) == 2
    assert min(scores) < before["score"]
    assert (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize("config", [SeparatorTraining, MusicFaceTraining])
def test_scoring_on_nothing_is_refused(config: type) -> None:
    with pytest.raises(ValueError, match="`valid` must name a folder"):
        config(loop=LoopConfig(score_every=5))


@pytest.mark.parametrize("module", ["separator", "musicface"])
def test_a_training_without_songs_is_one_line_and_exit_2(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = "songs" if module == "separator" else "lessons"
    monkeypatch.setattr("sys.argv", [module, "--set", f"{folder}={tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"engine.training.{module}").main()
    assert stopped.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_the_ablation_is_trained_scored_and_not_done_again(lessons: Path, tmp_path: Path) -> None:
    config = MusicFaceTraining(
        lessons=str(lessons), batch=2, frames=32, rollout=0, net=replace(SMALL, width=4),
        loop=LoopConfig(out=str(tmp_path), steps=2, workers=0),
    )  # fmt: skip
    found = ablation.run(config, 1, lessons)
    assert set(found) == set(ablation.VARIANTS)
    for seeds in found.values():
        assert all(np.isfinite(value) for value in seeds["0"].values())
    assert ablation.markdown(found).count("±") == 4 * 5
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(times) == 4
    assert ablation.run(config, 1, lessons) == found
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    with pytest.raises(FileNotFoundError, match=r"engine\.training\.acting"):
        ablation.scored(ablation.trained("Ours", 0, config), tmp_path)


def test_the_last_sequences_are_longer(lessons: Path) -> None:
    config = MusicFaceTraining(
        lessons=str(lessons), batch=8, frames=64, rollout=0.5, net=SMALL,
        loop=LoopConfig(steps=10),
    )  # fmt: skip
    material = Lessons(config, lessons)
    shapes = [material.batch(np.random.default_rng(0), step).face.shape for step in (4, 5)]
    assert [tuple(shape) for shape in shapes] == [(8, 64, 52), (2, 256, 52)]


def test_no_lessons_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"engine\.training\.acting"):
        MusicFaceTask(MusicFaceTraining(lessons=str(tmp_path)))


def test_the_shipped_configurations_can_be_read() -> None:
    assert read(SeparatorTraining, "configs/train/separator.yaml").net == SeparatorConfig()
    assert read(MusicFaceTraining, "configs/train/musicface.yaml").net == SMALL
    assert read(MusicFaceTraining, "configs/train/musicface-paper.yaml").net == MusicFaceConfig()


def test_shipping_writes_graph_and_manifest(tmp_path: Path) -> None:
    model = MusicFace(SMALL)
    meta = {"model": asdict(SMALL), "step": 7}
    checkpoint.save(tmp_path / "run" / CHECKPOINT, {"average": model}, {}, meta)
    path = ship("musicface", tmp_path / "run", tmp_path)
    assert path.exists()
    assert "musicface.onnx" in (tmp_path / "manifest.json").read_text()


def test_a_training_may_start_from_shipped_weights(songs: Path, tmp_path: Path) -> None:
    """One step at rate 0 from them ends with them, rounded to the float16 they are stored in."""
    task, _ = separator_task(songs, tmp_path / "first", 1)
    shipped = task.models["average"].state_dict()
    meta = {"model": asdict(TINY), "step": 1}
    checkpoint.save(tmp_path / "first" / CHECKPOINT, task.models, {}, meta)
    path = ship("separator", tmp_path / "first", tmp_path)
    loop = LoopConfig(out=str(tmp_path / "second"), start=str(path), steps=1, workers=0)
    config = replace(task.config, rate=0.0, loop=replace(loop, seed=5))
    again = SeparatorTask(config)
    train(again, config.loop)
    for name, value in again.models["average"].named_parameters():
        torch.testing.assert_close(value, shipped[name], rtol=1e-3, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no network to start from"):
        train(again, replace(loop, out=str(tmp_path / "third"), start=str(tmp_path / "none.onnx")))


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    checkpoint.save(tmp_path / "c.safetensors", {"m": model}, {}, {"step": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    other = torch.nn.Linear(2, 2)
    assert checkpoint.load(tmp_path / "c.safetensors", {"m": other}, {})["step"] == 1
    torch.testing.assert_close(other.weight, model.weight)
