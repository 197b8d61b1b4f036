"""What may import what, what may be tracked, and that the live path never needs torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.weights import MANIFEST, BadWeights, shipped

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "bench", "configs",
    "docs", "engine", "kernels", "pyproject.toml", "run_live.py", "streaming", "tests",
}  # fmt: skip
MEGABYTE = 1_000_000


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says what is tracked")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_contracts_between_rooms_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_live_never_imports_torch() -> None:
    """Hearing, motion, drawing and the command line, in a process of their own."""
    program = """
import sys
import numpy as np
import run_live
from engine.avatar import Avatar, AvatarConfig
from engine.signals import Sound
import streaming.live, streaming.schemes
avatar = Avatar(AvatarConfig())
motions, _ = avatar.hear(Sound(np.zeros((1, 9600), np.float32), 0), avatar.initial_state())
avatar.draw(motions[0])
heavy = {"torch", "engine.training", "engine.motion.musicface_net", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_shipped_weights_are_the_ones_the_manifest_describes() -> None:
    listed = json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]
    assert set(listed) == {"separator.onnx", "musicface.onnx"}
    for name, entry in listed.items():
        assert shipped(name).is_file()
        assert {"sha256", "licence", "origin", "training", "parameters"} <= set(entry)
    assert sum(shipped(name).stat().st_size for name in listed) <= 16 * MEGABYTE


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = b"not a network"
    (tmp_path / "a.onnx").write_bytes(good + b"!")
    digest = hashlib.sha256(good).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"a.onnx": {"sha256": digest}}}))
    monkeypatch.setattr("engine.weights.FOLDER", tmp_path)
    monkeypatch.setattr("engine.weights.MANIFEST", tmp_path / "manifest.json")
    with pytest.raises(BadWeights, match="was changed"):
        shipped.__wrapped__("a.onnx")
    with pytest.raises(BadWeights, match=r"there are a\.onnx"):
        shipped.__wrapped__("b.onnx")


def test_tracked_files_stay_within_budget() -> None:
    tracked = [path for path in _tracked() if path.is_file()]
    assert {path.relative_to(ROOT).parts[0] for path in tracked} <= TOP
    assert sum(path.stat().st_size for path in tracked) <= 40 * MEGABYTE
    unsafe = {".pkl", ".pickle", ".pt", ".pth", ".ckpt"}
    assert not [path for path in tracked if path.suffix in unsafe]


def test_importing_the_command_line_is_light() -> None:
    """`--help` loads none of the heavy libraries."""
    program = (
        "import sys, run_live\n"
        "try: run_live.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'openvino', 'cv2', 'av', 'skia'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
