"""The README's commands are run, so that they cannot rot."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run_live

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r'make live ARGS="([^"]+)"', README)
ROWS = re.findall(r"^\|[^|]+\| `(--[^`]+)` \|$", README, re.MULTILINE)
DEVICES = ("camera", "mic")


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_live.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place that has the files which the README's examples name."""
    for name in ("song.ogg", "voice.wav", "backing.mp3"):
        shutil.copy(ROOT / "streaming" / "demo" / "demo.ogg", tmp_path / name)
    (tmp_path / "song.lrc").write_text("[00:00.5] <00:00.5> la <00:00.9>", encoding="utf-8")
    return tmp_path


def test_the_readme_shows_commands() -> None:
    assert SHOWN
    assert len(ROWS) >= 5


@pytest.mark.parametrize("line", [*SHOWN, *ROWS])
def test_a_command_of_the_readme_runs(line: str, folder: Path) -> None:
    arguments = shlex.split(line)
    if any(word in DEVICES for word in arguments):
        assert run_live._parse(arguments)  # there is no such device here; the words must be right
        return
    if "out.jsonl" in arguments and "--input" in arguments and "--output" not in arguments:
        made = _run(["--seconds", "1", "--output", "out.jsonl"], folder)
        assert made.returncode == 0, made.stderr
    if "--output" not in arguments:
        arguments += ["--output", "none"]
    result = _run([*arguments, "--seconds", "1"], folder)
    assert result.returncode == 0, result.stderr
    for name in re.findall(r"out\.\w+", line):
        assert (folder / name).stat().st_size > 0


def test_no_arguments_make_the_demo_film_where_there_is_no_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make live` does on a server, cut short."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = _run(["--seconds", "1"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "cantar-demo.mp4").stat().st_size > 10_000
    assert "cantar-demo.mp4" in result.stdout + result.stderr


def test_makefile_has_the_verbs_that_are_named() -> None:
    verbs = set(re.findall(r"make ([a-z-]+)", README))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert verbs <= targets
