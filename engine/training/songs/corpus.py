"""Keep made songs and instrumental pieces as files, many at a time, so that a killed run goes on.

A folder's content follows from its first seed, its kind, its split and its hours alone, however
often the run was killed and whatever the number of workers. Its manifest names every file.
Workers live here, not in `__main__`: a spawned process cannot import what `python -m` runs.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.training.songs import voices
from engine.training.songs.hard_backings import KINDS, make_backing
from engine.training.songs.song import make_song
from engine.training.truth import save_truth

RATE = 16000
MAKES_PER_PROCESS = 40  # each song leaks a private espeak-ng
FULL_SCALE = 32768
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One seed's files in a folder: name → sha256; seconds of sound."""

    seed: int
    seconds: float
    files: dict[str, str]


def write_flac(path: Path, wave: np.ndarray) -> None:
    """Write [C, n] atomically as 16-bit FLAC."""
    part = path.with_suffix(f".{os.getpid()}.part")
    whole = np.clip(np.round(wave.T * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    soundfile.write(part, whole, RATE, "PCM_16", format="FLAC")
    part.replace(path)


def _piece(seed: int, flac: Path, *others: Path) -> Piece:
    names = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (flac, *others)}
    return Piece(seed, soundfile.info(flac).duration, names)


def write_song(seed: int, out: Path, split: str) -> Piece:
    """Make and keep a song, truth first so that a FLAC is never without."""
    path = out / f"song_{seed:06d}.flac"
    if not path.exists():
        song = make_song(seed, RATE, split=split)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_truth(song.truth, part)
        part.replace(path.with_suffix(".json"))
        write_flac(path, np.concatenate([song.voice, song.backing]))
    return _piece(seed, path, path.with_suffix(".json"))


def write_backing(seed: int, out: Path, split: str = voices.TRAIN) -> Piece:
    """Make and keep an instrumental piece, its kind by turns."""
    kind = sorted(KINDS)[seed % len(KINDS)]
    path = out / f"{kind}_{seed:06d}.flac"
    if not path.exists():
        wave = make_backing(seed, kind, RATE, split == voices.HELD_OUT)
        write_flac(path, wave.mean(0, keepdims=True))
    return _piece(seed, path)


def _end_with_parent() -> None:
    """Let a worker end when whoever started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Report:
    """A bar on a terminal, a line every twenty pieces elsewhere."""

    def __init__(self, hours: float) -> None:
        console, bar = Console(), BarColumn()
        words = TextColumn("{task.completed:.2f} of {task.total:.2f} h")
        clocks = TimeElapsedColumn(), TimeRemainingColumn()
        self._on_screen = console.is_terminal
        self.bar = Progress(bar, words, *clocks, console=console, disable=not self._on_screen)
        self._task = self.bar.add_task("", total=hours)

    def tell(self, pieces: int, seconds: float, last: bool) -> None:
        self.bar.update(self._task, completed=seconds / 3600)
        if not self._on_screen and (last or pieces % 20 == 0):
            spent = self.bar.tasks[0].elapsed or 0.0
            print(f"{pieces} pieces, {seconds / 3600:.2f} h in {spent:.0f} s", flush=True)


def make_corpus(write: Callable[[int], Piece], seconds: float, seed: int, jobs: int) -> list[Piece]:
    """Call `write` with rising seeds until it has given `seconds` of sound; the pieces in order.

    At most twice `jobs` pieces are under way. Files of pieces past the last are not left behind,
    those of a killed run included.
    """
    pieces: list[Piece] = []
    total, report = 0.0, _Report(seconds / 3600)
    spawn = multiprocessing.get_context("spawn")
    under_way: deque[Future[Piece]] = deque()
    with (
        report.bar,
        ProcessPoolExecutor(
            jobs, spawn, _end_with_parent, max_tasks_per_child=MAKES_PER_PROCESS
        ) as pool,
    ):
        while total < seconds:
            while len(under_way) < 2 * jobs:
                under_way.append(pool.submit(write, seed + len(pieces) + len(under_way)))
            pieces.append(under_way.popleft().result())
            total += pieces[-1].seconds
            report.tell(len(pieces), total, total >= seconds)
        pool.shutdown(cancel_futures=True)
    return pieces


def remove_past(out: Path, pieces: list[Piece], jobs: int) -> None:
    """Remove what was begun past the last piece: seeds that follow it, as many as under way."""
    last = pieces[-1].seed
    for seed in range(last + 1, last + 1 + 2 * jobs):
        for path in out.glob(f"*_{seed:06d}.*"):
            path.unlink()
    for path in out.glob("*.part"):
        path.unlink()


def write_manifest(out: Path, pieces: list[Piece], split: str) -> None:
    """Name every file with its sha256, seed, split and seconds, in `manifest.json`."""
    files = {
        name: {"sha256": digest, "seed": p.seed, "split": split, "seconds": round(p.seconds, 4)}
        for p in pieces
        for name, digest in p.files.items()
    }
    part = out / f"{MANIFEST}.part"
    part.write_text(json.dumps({"rate": RATE, "files": files}, indent=1), encoding="utf-8")
    part.replace(out / MANIFEST)
