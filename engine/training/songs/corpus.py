"""Keep made songs and instrumental pieces as files, many at a time, so that a killed run goes on.

Workers live here, not in `__main__`: a spawned process cannot import what `python -m` runs.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from engine.training.songs.hard_backings import KINDS, make_backing
from engine.training.songs.song import make_song
from engine.training.truth import save_truth

RATE = 16000
MAKES_PER_PROCESS = 40  # each song leaks a private espeak-ng
PEAK = 32767


def write_flac(path: Path, wave: np.ndarray) -> None:
    """Write [C, n] atomically as 16-bit FLAC."""
    part = path.with_suffix(f".{os.getpid()}.part")
    soundfile.write(part, np.round(wave.T * PEAK).astype(np.int16), RATE, "PCM_16", format="FLAC")
    part.replace(path)


def write_song(seed: int, out: Path, split: str) -> float:
    """Make and keep a song, truth first so that a FLAC is never without; returns its seconds."""
    path = out / f"song_{seed:06d}.flac"
    if not path.exists():
        song = make_song(seed, RATE, split=split)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_truth(song.truth, part)
        part.replace(path.with_suffix(".json"))
        write_flac(path, np.concatenate([song.voice, song.backing]))
    return soundfile.info(path).duration


def write_backing(seed: int, out: Path) -> float:
    """Make and keep an instrumental piece, its kind by turns; returns its seconds."""
    kind = sorted(KINDS)[seed % len(KINDS)]
    path = out / f"{kind}_{seed:06d}.flac"
    if not path.exists():
        write_flac(path, make_backing(seed, kind, RATE).mean(0, keepdims=True))
    return soundfile.info(path).duration


def _end_with_parent() -> None:
    """Let a worker end when whoever started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def make_corpus(write: Callable[[int], float], seconds: float, seed: int, jobs: int) -> float:
    """Call `write` with rising seeds until it has given `seconds` of sound; returns the sum.

    At most twice `jobs` pieces are under way; those begun when it is enough are finished and kept.
    """
    total, count, began = 0.0, 0, time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    under_way: deque[Future[float]] = deque()
    with ProcessPoolExecutor(
        jobs, spawn, _end_with_parent, max_tasks_per_child=MAKES_PER_PROCESS
    ) as pool:
        while total < seconds:
            while len(under_way) < 2 * jobs:
                under_way.append(pool.submit(write, seed + count + len(under_way)))
            total += under_way.popleft().result()
            count += 1
            if count % 20 == 0 or total >= seconds:
                spent = time.monotonic() - began
                print(f"{count} pieces, {total / 3600:.2f} h in {spent:.0f} s", flush=True)
        pool.shutdown(cancel_futures=True)
    return total
