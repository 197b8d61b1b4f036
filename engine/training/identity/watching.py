"""Watches pictures through mediapipe: landmarks and matte of each, kept in pieces on disk.

Each piece is followed on its own, so that what was stopped and goes on finds what one go finds.
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np

from engine.rendering.portrait.finding import FinderFailed, finder_python
from engine.signals import F32, U8
from engine.training.identity.tracker import HEAD, POINTS, SIDE

TRACKER = Path(__file__).with_name("tracker.py")
LOOKED_AT = 1024  # pixels of the longer side that mediapipe gets
PIECE = 150  # pictures
WHOLE = "whole"  # the file that says that nothing is missing

Source = Callable[[int], Iterator[tuple[int, U8]]]  # numbered pictures from the so many-th on
Say = Callable[[int], None]


class Watched(NamedTuple):
    """F pictures. numbers: [F] on a timeline of 30 a second. faces: [F] how many. points:
    [F, 478, 2] pixels of the video, of the largest face."""

    numbers: np.ndarray
    faces: np.ndarray
    points: F32


class Tracker:
    """mediapipe, one picture at a time. A context manager: its process ends with it."""

    def __enter__(self) -> Tracker:
        """Raises FinderMissing, FinderFailed."""
        self._said = tempfile.TemporaryFile()
        command = [str(finder_python()), str(TRACKER)]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
            )
        except OSError as error:
            raise FinderFailed(f"mediapipe did not start: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()
        self._said.close()

    def __call__(self, rgb: U8, fresh: bool) -> tuple[int, F32, U8]:
        """Faces in a picture [H, W, 3]; the largest one's landmarks [478, 2] in pixels; the matte
        [SIDE, SIDE]. fresh: it follows none before. Raises FinderFailed."""
        height, width = rgb.shape[:2]
        scale = min(1.0, LOOKED_AT / max(height, width))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        asked, answers = self._child.stdin, self._child.stdout
        assert asked is not None
        assert answers is not None
        try:
            asked.write(HEAD.pack(small.shape[1], small.shape[0], int(fresh)))
            asked.write(np.ascontiguousarray(small).tobytes())
            asked.flush()
            (count,) = struct.unpack("<i", _exactly(answers, 4))
            points = np.frombuffer(_exactly(answers, 12 * POINTS), np.float32).reshape(POINTS, 3)
            matte = np.frombuffer(_exactly(answers, SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
        except OSError:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()
            raise FinderFailed(
                f"mediapipe failed: {last[-1] if last else 'it said nothing'}"
            ) from None
        return count, points[:, :2] * np.array([width, height], np.float32), matte


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise OSError("the stream ended")
    return data


def watch(source: Source, folder: Path, follow: bool = True, say: Say = lambda done: None) -> None:
    """Watch what was not watched yet; pieces go into `folder`. follow: a picture shows what the one
    before did, a moment later. say: is told how many are done.

    Raises FinderMissing, FinderFailed and what the source raises.
    """
    if (folder / WHOLE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    done = PIECE * len(_pieces(folder))
    frames = source(done)
    with Tracker() as tracker:
        while count := _keep(folder / f"{done:06}.npz", islice(frames, PIECE), tracker, follow):
            done += count
            say(done)
            if count < PIECE:
                break
    (folder / WHOLE).touch()


def _keep(path: Path, piece: Iterator[tuple[int, U8]], tracker: Tracker, follow: bool) -> int:
    """Look at a piece and write it, whole or not at all; how many pictures it has."""
    seen: list[tuple[int, int, F32, U8]] = []  # the pictures themselves would fill the memory
    for number, rgb in piece:
        seen.append((number, *tracker(rgb, fresh=not seen or not follow)))
    if seen:
        names = ("numbers", "faces", "points", "mattes")
        columns = {
            k: np.array(column) for k, column in zip(names, zip(*seen, strict=True), strict=True)
        }
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns)
        os.replace(partial, path)
    return len(seen)


def _pieces(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.npz"))


def watched(folder: Path) -> Watched:
    """Everything but the mattes."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Watched._fields}
    for path in _pieces(folder):
        with np.load(path, allow_pickle=False) as piece:
            for name, column in columns.items():
                column.append(piece[name])
    return Watched(**{name: np.concatenate(column) for name, column in columns.items()})


def mattes(folder: Path) -> Iterator[U8]:
    """[SIDE, SIDE] of every picture, in order."""
    for path in _pieces(folder):
        with np.load(path, allow_pickle=False) as piece:
            yield from piece["mattes"]
