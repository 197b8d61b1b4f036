"""Readers of the papers' corpora, on small ones that these tests write in the published layouts."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from engine.hearing.separator_net import SeparatorConfig, SeparatorNet
from engine.motion.musicface_net import MusicFaceConfig
from engine.rendering.puppet.rig import rotation
from engine.training.acting import record
from engine.training.loop import LoopConfig
from engine.training.musicface import MusicFaceTask, MusicFaceTraining
from engine.training.readers.clip import BadCorpus
from engine.training.readers.pickles import load_arrays
from engine.training.readers.singing_face import SingingFace, eye_closure, long_closing
from engine.training.readers.singing_head import SingingHead

FRAMES = 240
PIECES = {
    "train": ("id0_10_0_0", "id0_10_0_1", "id0_10_0_3", "id12_2_0_5"),
    "val": ("id0_10_0_2",),
    "test": ("id3_1_1_0",),
}


def sound(path: Path, seconds: float, rate: int = 48_000, seed: int = 0, click: float = 0) -> None:
    """Noise with a click."""
    x = np.random.default_rng(seed).normal(0, 0.02, round(seconds * rate))
    x[round(click * rate)] = 0.9
    soundfile.write(path, x, rate)


def codes(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "shapecode": rng.normal(0, 1, (1, 100)).astype(np.float32),
        "expcodes": rng.normal(0, 1, (FRAMES, 50)).astype(np.float32),
        "posecodes": rng.normal(0, 0.1, (FRAMES, 9)).cumsum(0) * 0.1,
    }


@pytest.fixture(scope="module")
def head_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SingingHead in miniature, as published."""
    folder = tmp_path_factory.mktemp("SingingHead")
    for name in ("flame_seqs", "audio_seqs", "bgm_seqs", "video_seqs"):
        (folder / name).mkdir()
    for split, names in PIECES.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        for seed, name in enumerate(names):
            with (folder / "flame_seqs" / f"{name}.pkl").open("wb") as file:
                pickle.dump(codes(seed), file)
            sound(folder / "audio_seqs" / f"{name}.wav", 8, seed=seed, click=4)
            sound(folder / "bgm_seqs" / f"{name}_bgm.wav", 8, 44_100, seed=seed + 9)
    return folder


@pytest.fixture(scope="module")
def face_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SingingFace in miniature: one video in .mat, one in .npz."""
    folder = tmp_path_factory.mktemp("SingingFace")
    for name in ("deep3d", "openface", "spleeter"):
        (folder / name).mkdir()
    names = ("s1_0001", "s2_0001")
    (folder / "train.txt").write_text("s2_0001.mp4\ns1_0001.mp4\n")
    (folder / "test.txt").write_text("s6_0042\n")
    for seed, name in enumerate(names):
        coeff = np.random.default_rng(seed).normal(0, 0.1, (300, 257)).astype(np.float32)
        if seed:
            parts = {"exp": coeff[:, 80:144], "angle": coeff[:, 224:227], "trans": coeff[:, 254:]}
            np.savez(folder / "deep3d" / f"{name}.npz", **parts)
        else:
            savemat(folder / "deep3d" / f"{name}.mat", {"coeff": coeff})
        openface(folder / "openface" / f"{name}.csv", closing(299))
        (folder / "spleeter" / name).mkdir()
        for stem in ("vocals", "accompaniment"):
            sound(folder / "spleeter" / name / f"{stem}.wav", 10, 44_100, seed, click=5)
    return folder


def closing(frames: int) -> np.ndarray:
    """AU45_r: open at 0.4, a blink of 6 frames at 3.4, a long closing of 40 frames at 2.8."""
    raw = np.full(frames, 0.4)
    raw[50:56], raw[100:140] = 3.4, 2.8
    return raw


def openface(path: Path, values: np.ndarray) -> None:
    """As FeatureExtraction writes it: a space after every comma."""
    lines = ["frame, timestamp, confidence, success, AU12_r, AU45_r"]
    lines += [f"{n + 1}, {n / 30:.3f}, 0.98, 1, 0.1, {v:.2f}" for n, v in enumerate(values)]
    path.write_text("\n".join(lines) + "\n")


def changed(corpus: Path, to: Path) -> Path:
    """A copy that a test may spoil."""
    subprocess.run(["cp", "-r", str(corpus), str(to)], check=True)
    return to


# ---- laws ---------------------------------------------------------------------------------------


def test_pieces_that_follow_each_other_become_one_clip(head_corpus: Path) -> None:
    corpus = SingingHead(head_corpus)
    assert corpus.names == ["id0_10_0_0", "id0_10_0_3", "id12_2_0_5"]
    assert corpus.subjects == ("id0", "id3", "id12")
    clips = list(corpus)
    assert [len(clip) for clip in clips] == [480, 240, 240]
    assert [clip.subject for clip in clips] == [0, 0, 2]
    pieces = [corpus.read(name) for name in ("id0_10_0_0", "id0_10_0_1")]
    for side in ("voice", "backing", "expression", "closing"):
        joined = np.concatenate([getattr(piece, side) for piece in pieces])
        np.testing.assert_array_equal(getattr(clips[0], side), joined)
    head = np.concatenate([piece.head for piece in pieces])
    np.testing.assert_allclose(clips[0].head, head - np.median(head, axis=0), atol=1e-6)


def test_sound_and_motion_stay_together(head_corpus: Path, face_corpus: Path) -> None:
    """The click of each piece lies where its frames say, after joining and resampling."""
    clip = SingingHead(head_corpus)[0]
    assert clip.voice.shape == clip.backing.shape == (256_000,)
    clicks = np.flatnonzero(clip.voice > 0.2)
    assert [round(n / 16_000, 3) for n in clicks] == [4, 12]
    video = SingingFace(face_corpus)[0]
    assert len(video) == 299
    assert len(video.voice) == 299 * 16_000 // 30
    assert np.argmax(video.voice) == 5 * 16_000


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("joint", ["global", "neck"])
def test_the_head_turns_as_our_renderers_do(tmp_path: Path, head_corpus, axis, joint) -> None:
    """A small turn about one axis in FLAME is the same turn by `rotation`, signs and all."""
    folder = changed(head_corpus, tmp_path / "c")
    data = codes(0)
    data["posecodes"] = np.zeros((FRAMES, 9))
    data["posecodes"][120:, axis + 3 * (joint == "neck")] = 0.3
    with (folder / "flame_seqs" / "id12_2_0_5.pkl").open("wb") as file:
        pickle.dump(data, file)
    before, after = SingingHead(folder).read("id12_2_0_5").head[[0, 200]]
    np.testing.assert_allclose(before, 0, atol=1e-7)
    expected = Rotation.from_rotvec(0.3 * np.eye(3)[axis]).as_matrix()
    upright = np.diag([1.0, -1, 1])  # the puppet's y is down
    turned = rotation(*(float(v) for v in after[:3]))
    np.testing.assert_allclose(upright @ turned @ upright, expected, atol=1e-6)
    assert not after[3:].any()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i8", "|b1", "<f2"])
def test_every_way_in_which_numpy_writes_an_array(tmp_path, protocol, order, kind) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, kind, order=order)
    whole = {"a": array, "b": array[:, 1], "one": array[0, 0, 0], "n": 3, "text": "x", "l": [1.5]}
    path = tmp_path / "x.pkl"
    for data in (
        pickle.dumps(whole, protocol),
        pickle.dumps(whole, min(protocol, 2)).replace(b"numpy._core", b"numpy.core"),
    ):
        path.write_bytes(data)
        back = load_arrays(path)
        for key in ("a", "b"):
            assert back[key].dtype == whole[key].dtype
            np.testing.assert_array_equal(back[key], whole[key])
        assert (back["one"], back["n"], back["text"], back["l"]) == (array[0, 0, 0], 3, "x", [1.5])


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_the_bytes_only_bad_corpus_is_raised(tmp_path_factory, data) -> None:
    """A good pickle with bytes changed, cut and added: it is read or refused."""
    good = bytearray(pickle.dumps({"a": np.arange(5.0), "b": np.float32(2)}, 4))
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    path = tmp_path_factory.mktemp("fuzz") / "x.pkl"
    path.write_bytes(bytes(good[:cut]) + data.draw(st.binary(max_size=20)))
    with suppress(BadCorpus):
        load_arrays(path)


# ---- malicious pickles --------------------------------------------------------------------------


class Attack:
    """A pickle that calls `function` with `arguments` when it is opened."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def global_opcode(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch OPENED",), f"{os.system.__module__}.system"),
        (subprocess.Popen, (["touch", "OPENED"],), "subprocess.Popen"),
        (eval, ("open('OPENED', 'w')",), "builtins.eval"),
        (exec, ("open('OPENED', 'w')",), "builtins.exec"),
        (open, ("OPENED", "w"), "_io.open|io.open"),
        (getattr, ("", "join"), "builtins.getattr"),
        (np.load, ("x.npy",), "numpy.load"),
        (np.fromfile, ("x",), "numpy.fromfile"),
        (np.ndarray, ((10**12,),), "calls numpy.ndarray"),
        (bytearray, (10**12,), "builtins.bytearray"),
        (struct.Struct, ("<I",), "_struct.Struct"),
    ],
)
def test_what_a_pickle_may_not_do_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function, arguments, named
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("as the whole", "inside"):
        attack = Attack(function, *arguments)
        value = attack if place == "as the whole" else {"expcodes": [attack]}
        for protocol in (2, 4, 5):
            Path("bad.pkl").write_bytes(pickle.dumps(value, protocol, fix_imports=False))
            with pytest.raises(BadCorpus, match=rf"bad\.pkl .*({named}).* only numpy arrays"):
                load_arrays(Path("bad.pkl"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pkl"]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (global_opcode("os", "system", "touch OPENED"), "os.system"),
        (global_opcode("numpy", "dtype", "O"), "array of 'O'"),
        (global_opcode("numpy", "dtype", "V8"), "array of 'V8'"),
        (global_opcode("_codecs", "encode", "x"), "truncated or no pickle"),
        (b"cos\nsystem\n.", "os.system"),
        (b"(S'touch OPENED'\nios\nsystem\n.", "os.system"),
        (b"Px\n.", "lies outside it"),
        (b"cnumpy\nndarray\n)\x81.", "numpy.ndarray"),
    ],
)
def test_by_any_opcode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data, named) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.pkl").write_bytes(data)
    with pytest.raises(BadCorpus, match=named):
        load_arrays(Path("bad.pkl"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pkl"]


@pytest.mark.parametrize(
    "value",
    [
        {"a": np.array([{}, 1], object)},
        {"a": np.zeros(3, [("x", "f4"), ("y", "O")])},
        {"a": np.array(["text"])},
        {"a": np.zeros(3, "c8")},
        {"a": Path("x")},
        {"a": {1, 2}.__class__},
    ],
    ids=["object", "record", "text", "complex", "path", "class"],
)
def test_only_numbers(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(BadCorpus, match="only numpy arrays of numbers"):
        load_arrays(path)


# ---- examples -----------------------------------------------------------------------------------


def test_singing_head_as_published(head_corpus: Path) -> None:
    clip = SingingHead(head_corpus, "test")[0]
    raw = codes(0)
    assert clip.name == "id3_1_1_0"
    np.testing.assert_array_equal(clip.expression[:, :50], raw["expcodes"])
    np.testing.assert_allclose(clip.expression[:, 50:], raw["posecodes"][:, 6:], atol=1e-6)
    np.testing.assert_array_equal(clip.identity, raw["shapecode"][0])
    assert not clip.closing.any()
    assert len(SingingHead(head_corpus, "val")) == 1


def test_singing_face(face_corpus: Path) -> None:
    corpus = SingingFace(face_corpus)
    assert corpus.names == ["s1_0001", "s2_0001"]
    assert corpus.subjects == ("s1", "s2", "s6")
    for seed, clip in enumerate(corpus):
        coeff = np.random.default_rng(seed).normal(0, 0.1, (300, 257)).astype(np.float32)[:299]
        np.testing.assert_array_equal(clip.expression, coeff[:, 80:144])
        place = 0.1 * coeff[:, 254:]
        np.testing.assert_allclose(clip.head[:, 3:], place - np.median(place, 0), atol=1e-6)
        assert clip.subject == seed
        assert clip.identity.shape == ((0,) if seed else (80,))


def test_eye_closings_are_split_at_half_a_second(tmp_path: Path) -> None:
    """Min-max over the video: 0.4 → 0, 3.4 → 1, 2.8 → 0.8; the blink is no long closing."""
    openface(tmp_path / "x.csv", closing(300))
    closure = eye_closure(tmp_path / "x.csv")
    np.testing.assert_allclose(np.unique(closure), [0, 0.8, 1], atol=1e-6)
    kept = long_closing(closure)
    assert np.flatnonzero(kept).tolist() == list(range(100, 140))
    np.testing.assert_allclose(kept[100:140], 0.8, atol=1e-6)
    edge = np.zeros(100, np.float32)
    edge[10:25], edge[40:56] = 1, 1
    assert np.flatnonzero(long_closing(edge)).tolist() == list(range(40, 56))  # 15 frames are 0.5 s


def test_frames_without_a_face_keep_the_closure_before(tmp_path: Path) -> None:
    text = "success, AU45_r\n1, 0.5\n0, 4.0\n1, 1.5\n"
    (tmp_path / "x.csv").write_text(text)
    np.testing.assert_allclose(eye_closure(tmp_path / "x.csv"), [0, 0, 1])
    (tmp_path / "x.csv").write_text("success, AU45_r\n1, 0.5\n1, 0.5\n")
    assert not eye_closure(tmp_path / "x.csv").any()


@pytest.mark.parametrize("kind", ["head", "face"])
def test_a_corpus_becomes_lessons_and_the_face_trains_on_them_unchanged(
    tmp_path: Path, head_corpus: Path, face_corpus: Path, kind: str
) -> None:
    corpus = SingingHead(head_corpus) if kind == "head" else SingingFace(face_corpus)
    net = SeparatorNet(SeparatorConfig(channels=4, width=8, layers=2)).eval()
    said = record(corpus, tmp_path / "lessons", 0, net, 0, 1)
    assert f"--set net.expression={53 if kind == 'head' else 64} --set net.subjects=3" in said
    lesson = np.load(tmp_path / "lessons" / f"{corpus.names[0]}.npz")
    clip = corpus[0]
    hops = len(clip.voice) // 160
    assert lesson["features"].shape == (4, hops, 2, 26)
    assert lesson["mixed"].shape == (4, hops, 26)
    assert lesson["sung_face"].shape == (1, *clip.expression.shape)
    assert lesson["sung_head"].shape == (1, len(clip), 6)
    assert lesson["styles"].tolist() == [clip.subject]
    config = MusicFaceTraining(
        lessons=str(tmp_path / "lessons"), batch=2, frames=64, rollout=0, adversary_from=1,
        net=MusicFaceConfig(width=4, attention=4, expression=corpus.expression, subjects=3),
        loop=LoopConfig(out=str(tmp_path / "run"), steps=3),
    )  # fmt: skip
    task = MusicFaceTask(config)
    for step in range(3):
        terms = task.step(task.lessons.batch(np.random.default_rng(step), step), step, 0.0)
        assert all(np.isfinite(float(term.detach())) for term in terms.values())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lessons").iterdir()}
    record(corpus, tmp_path / "lessons", 0, net, 0, 1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "lessons").iterdir()}


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    """One line, exit code 2, nothing written."""
    root = Path(__file__).resolve().parents[2]
    weights = root / "engine" / "weights" / "separator.onnx"
    command = [sys.executable, "-m", "engine.training.acting", "--singing-head", str(tmp_path)]
    command += ["--separator", str(weights), "--out", str(tmp_path / "out")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "holds no folder flame_seqs: expected SingingHead as published" in result.stderr
    assert not (tmp_path / "out").exists()


# ---- bad input ----------------------------------------------------------------------------------


def spoil(folder: Path, **entries: Any) -> None:
    """Change entries of one piece's codes; None leaves one out."""
    data = {key: x for key, x in {**codes(3), **entries}.items() if x is not None}
    with (folder / "flame_seqs" / "id12_2_0_5.pkl").open("wb") as file:
        pickle.dump(data, file)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"expcodes": np.zeros((240, 100))}, r"expcodes must be \[T×50\], got \[240×100\]"),
        ({"expcodes": np.zeros(240)}, r"expcodes must be \[T×50\], got \[240\]"),
        ({"posecodes": np.zeros((240, 6))}, r"posecodes must be \[240×9\], got \[240×6\]"),
        ({"posecodes": np.zeros((239, 9))}, r"posecodes must be \[240×9\], got \[239×9\]"),
        ({"shapecode": np.zeros(300)}, r"shapecode must be \[100\], got \[300\]"),
        ({"expcodes": None}, "has no 'expcodes', only"),
        ({"expcodes": np.full((240, 50), np.nan)}, "expcodes holds values that are not finite"),
        ({"expcodes": [[0.0] * 50] * 240}, r"expcodes must be numbers \[T×50\], got list"),
        ({"expcodes": np.zeros((9, 50)), "posecodes": np.zeros((9, 9))}, "9 frames, expected"),
    ],
)
def test_codes_of_another_shape_are_refused_by_name(
    tmp_path: Path, head_corpus: Path, entries, message
) -> None:
    folder = changed(head_corpus, tmp_path / "c")
    spoil(folder, **entries)
    with pytest.raises(BadCorpus, match=rf"id12_2_0_5\.pkl.*{message}"):
        list(SingingHead(folder))


def test_files_that_are_missing_or_cut_are_refused_by_name(tmp_path, head_corpus) -> None:
    folder = changed(head_corpus, tmp_path / "c")
    corpus = SingingHead(folder)
    flame = folder / "flame_seqs" / "id12_2_0_5.pkl"
    whole = flame.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        flame.write_bytes(whole[:length])
        with pytest.raises(BadCorpus, match=r"id12_2_0_5\.pkl is truncated or no pickle"):
            corpus[2]
    flame.unlink()
    with pytest.raises(BadCorpus, match=r"id12_2_0_5\.pkl is missing: unpack"):
        corpus[2]
    flame.write_bytes(whole)
    sound(folder / "bgm_seqs" / "id12_2_0_5_bgm.wav", 7.5)
    with pytest.raises(BadCorpus, match=r"_bgm\.wav is truncated: 7.50 s of sound for 8.00 s"):
        corpus[2]
    (folder / "bgm_seqs" / "id12_2_0_5_bgm.wav").write_bytes(b"RIFF")
    with pytest.raises(BadCorpus, match=r"_bgm\.wav cannot be read as sound"):
        corpus[2]
    (folder / "audio_seqs" / "id12_2_0_5.wav").unlink()
    with pytest.raises(BadCorpus, match=r"id12_2_0_5\.wav is missing"):
        corpus[2]


def test_lists_and_folders_that_are_not_as_published(tmp_path, head_corpus) -> None:
    folder = changed(head_corpus, tmp_path / "c")
    with pytest.raises(BadCorpus, match="no split 'dev', only train, val, test"):
        SingingHead(folder, "dev")  # type: ignore[arg-type]
    (folder / "val.txt").write_text("id0_10_0_2\nid0_10_0_2.mp4\n")
    with pytest.raises(BadCorpus, match=r"val\.txt lists id0_10_0_2 twice"):
        SingingHead(folder)
    (folder / "val.txt").write_text("clip7\n")
    with pytest.raises(BadCorpus, match="'clip7' is no SingingHead clip"):
        SingingHead(folder)
    (folder / "val.txt").write_text("\n")
    with pytest.raises(BadCorpus, match=r"val\.txt lists no clips"):
        SingingHead(folder)
    (folder / "val.txt").unlink()
    with pytest.raises(BadCorpus, match=r"val\.txt is missing"):
        SingingHead(folder)
    (folder / "bgm_seqs").rename(folder / "elsewhere")
    (folder / "bgm_seqs.zip").write_bytes(b"PK")
    with pytest.raises(BadCorpus, match=r"no folder bgm_seqs: unpack bgm_seqs\.zip there"):
        SingingHead(folder)


def test_videos_that_are_not_as_expected_are_refused_by_name(tmp_path, face_corpus) -> None:
    folder = changed(face_corpus, tmp_path / "c")
    corpus = SingingFace(folder)
    table, rows = folder / "openface" / "s1_0001.csv", folder / "deep3d" / "s1_0001.mat"
    good = table.read_text()

    def refused(message: str) -> None:
        with pytest.raises(BadCorpus, match=message):
            corpus[0]

    table.write_text(good.replace("AU45_r", "AU45_c"))
    refused(r"s1_0001\.csv has no column AU45_r")
    table.write_text(good[:-12])
    refused(r"s1_0001\.csv line 300: AU45_r is .*truncated")
    table.write_text("\n".join(good.split("\n")[:200]) + "\n")
    refused(r"s1_0001\.csv holds 199 frames, but its Deep3DFace file 300")
    table.unlink()
    refused("is missing: run OpenFace")
    table.write_text(good)
    savemat(rows, {"coeff": np.zeros((300, 80))})
    refused(r"s1_0001\.mat: coeff must be \[T×257\], got \[300×80\]")
    savemat(rows, {"exp": np.zeros((300, 64)), "angle": np.zeros((300, 2)), "trans": np.zeros(3)})
    refused(r"angle must be \[300×3\], got \[300×2\]")
    savemat(rows, {"exp": np.zeros((300, 64))})
    refused("has neither coeff nor angle")
    whole = rows.read_bytes()
    rows.write_bytes(whole[:50])
    refused(r"s1_0001\.mat is truncated or no \.mat file")
    rows.unlink()
    refused(r"s1_0001\.mat \(or \.npz\) is missing")
    np.savez(folder / "deep3d" / "s1_0001.npz", coeff=np.array([{}], object))
    refused(r"s1_0001\.npz is truncated or no \.npz file .*allow_pickle")
    (folder / "test.txt").write_text("nobody\n")
    with pytest.raises(BadCorpus, match="'nobody' does not say who sings"):
        SingingFace(folder)
    (folder / "openface").rename(folder / "elsewhere")
    with pytest.raises(BadCorpus, match="no folder openface"):
        SingingFace(folder)
