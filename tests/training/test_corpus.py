"""Corpora: killed and resumed or not, by one worker or two, a folder holds the same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.training.truth import load_truth

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("mido", "pyworld", "soundfile", "soxr")
MISSING = [
    *(f"pip install {name}" for name in MODULES if importlib.util.find_spec(name) is None),
    *(f"apt-get install {name}" for name in ("fluidsynth", "flite") if not shutil.which(name)),
]
if MISSING:
    pytest.skip(f"no corpus can be made here: {'; '.join(MISSING)}", allow_module_level=True)

import soundfile  # noqa: E402

from engine.training.songs import corpus, voices  # noqa: E402
from engine.training.songs.corpus import MANIFEST, RATE, Piece, write_flac, write_song  # noqa: E402

SEED = 1000


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.*")}


def make_backings(folder: Path, hours: float, jobs: int) -> list[str]:
    command = [sys.executable, "-m", "engine.training.songs", "--kind", "backings", "--seed", "2"]
    return [*command, "--jobs", str(jobs), "--out", str(folder), "--hours", f"{hours:.5f}"]


def test_a_killed_run_ends_as_a_whole_one(tmp_path):
    hours, killed, whole = 70 / 3600, tmp_path / "killed", tmp_path / "whole"
    first = subprocess.Popen(make_backings(killed, hours, 1), cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(list(killed.glob("*.flac"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    children = workers.read_text().split() if workers.exists() else []
    first.kill()
    first.wait()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlived the run"
        time.sleep(0.05)
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("*.flac")}
    assert len(kept) >= 2
    (killed / "bands_000004.999.part").write_bytes(b"half a piece")
    subprocess.run(make_backings(killed, hours, 1), cwd=ROOT, check=True, capture_output=True)
    subprocess.run(make_backings(whole, hours, 2), cwd=ROOT, check=True, capture_output=True)
    assert contents(killed) == contents(whole)
    remade = [
        path for path, made in kept.items() if path.exists() and path.stat().st_mtime_ns != made
    ]
    assert not remade
    listed = json.loads((whole / MANIFEST).read_text())["files"]
    made = contents(whole)
    assert set(listed) == set(made) - {MANIFEST}
    assert all(entry["sha256"] == made[name] for name, entry in listed.items())
    assert {entry["split"] for entry in listed.values()} == {voices.TRAIN}
    assert sum(entry["seconds"] for entry in listed.values()) >= 70


def test_a_kept_song_is_not_made_again(tmp_path, monkeypatch):
    piece = write_song(SEED, tmp_path, voices.TRAIN)
    flac, truth = tmp_path / "song_001000.flac", tmp_path / "song_001000.json"
    both, rate = soundfile.read(flac, always_2d=True)
    assert (rate, both.shape[1]) == (RATE, 2)
    assert np.abs(both.sum(1)).max() <= 0.9001
    assert load_truth(truth).seed == SEED
    assert piece == Piece(SEED, len(both) / RATE, contents(tmp_path))
    monkeypatch.delattr(corpus, "make_song")
    assert write_song(SEED, tmp_path, voices.TRAIN) == piece


def test_flacs_hold_sound_to_half_a_step(tmp_path):
    wave = np.random.default_rng(0).uniform(-0.99, 0.99, (2, 4000))
    wave[0, :2] = 1, -1
    write_flac(tmp_path / "a.flac", wave)
    read, _ = soundfile.read(tmp_path / "a.flac", always_2d=True)
    np.testing.assert_allclose(read.T[:, 2:], wave[:, 2:], atol=0.51 / 32768)
    assert read[:2, 0] == pytest.approx([1, -1], abs=1 / 32000)
