"""SingingFace (Liu et al., MusicFace §4.2): 600 songs of 6 singers, 40 hours, a video a song.

The paper says what the corpus holds, not how its files are called. This reads what its tools write:

    FOLDER/train.txt  test.txt            names of videos, one a line: SINGER_SONG, e.g. s3_0042
    FOLDER/deep3d/s3_0042.mat or .npz     Deep3DFace, a row a frame: "coeff" [T, 257], or "exp"
                                          [T, 64], "angle" [T, 3] and "trans" [T, 3] ("id" [T, 80])
    FOLDER/openface/s3_0042.csv           OpenFace's FeatureExtraction: column AU45_r, a row a frame
    FOLDER/spleeter/s3_0042/vocals.wav  accompaniment.wav         Spleeter, two stems
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from engine.metrics.eyes import LONG, closings
from engine.signals import F32
from engine.timeline import FRAME_RATE
from engine.training.readers.clip import (
    BadCorpus,
    Clip,
    centred,
    checked,
    head_pose,
    read_names,
    read_sound,
)

SPLITS = ("train", "test")
FOLDERS = ("deep3d", "openface", "spleeter")
EXPRESSION = 64
COEFFICIENTS = 257
PARTS = {
    "id": slice(0, 80),
    "exp": slice(80, 144),
    "angle": slice(224, 227),
    "trans": slice(254, 257),
}
METRES = 0.1  # Deep3DFace's unit: its face model is in decimetres
APART = 3  # frames by which OpenFace and Deep3DFace may differ in length; the shorter one counts


class SingingFace:
    """The videos of one split.

    expression: [T, 64], BFM + FaceWareHouse. head: Euler angles and place of Deep3DFace. closing:
    AU45_r where eyes are closed for longer than τ = 0.5 s, else 0 (§4.2: blinks are not learned).
    """

    expression = EXPRESSION

    def __init__(self, folder: Path, split: Literal["train", "test"] = "train") -> None:
        """Read the lists, no video yet. Raises BadCorpus where the layout is another."""
        self.folder = folder
        if split not in SPLITS:
            raise BadCorpus(f"there is no split {split!r}, only {' and '.join(SPLITS)}")
        absent = [name for name in FOLDERS if not (folder / name).is_dir()]
        if absent:
            raise BadCorpus(
                f"{folder} holds no folder {absent[0]}: expected {', '.join(FOLDERS)} "
                "(engine/training/readers/singing_face.py says what is in them)"
            )
        lists = {name: read_names(folder / f"{name}.txt") for name in SPLITS}
        self.subjects = tuple(sorted({_singer(name) for names in lists.values() for name in names}))
        self.names = sorted(lists[split])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Clip:
        """A video. Raises BadCorpus where it is not as expected."""
        return self.read(self.names[number])

    def read(self, name: str) -> Clip:
        """One video by its name. Raises BadCorpus."""
        coefficients = _coefficients(self.folder / "deep3d", name)
        closure = eye_closure(self.folder / "openface" / f"{name}.csv")
        frames = min(len(closure), len(coefficients["exp"]))
        if abs(len(closure) - len(coefficients["exp"])) > APART:
            raise BadCorpus(
                f"{self.folder / 'openface' / name}.csv holds {len(closure)} frames, but its "
                f"Deep3DFace file {len(coefficients['exp'])}: one of them is truncated"
            )
        sound = self.folder / "spleeter" / name
        turn = Rotation.from_euler("xyz", coefficients["angle"][:frames])
        pose = head_pose(turn, METRES * coefficients["trans"][:frames])
        return Clip(
            name,
            self.subjects.index(_singer(name)),
            read_sound(sound / "vocals.wav", frames),
            read_sound(sound / "accompaniment.wav", frames),
            coefficients["exp"][:frames],
            centred(pose),
            long_closing(closure[:frames]),
            coefficients["id"].mean(0) if "id" in coefficients else np.zeros(0, np.float32),
        )


def eye_closure(path: Path) -> F32:
    """AU45_r of an OpenFace file, min-max normalised over the video (§4.2): [T] in 0 … 1.

    Frames in which OpenFace found no face keep the value before. Raises BadCorpus.
    """
    if not path.is_file():
        raise BadCorpus(f"{path} is missing: run OpenFace's FeatureExtraction on the video")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    if not rows or "AU45_r" not in rows[0]:
        raise BadCorpus(f"{path} has no column AU45_r: run FeatureExtraction with -aus")
    values: list[float] = []
    for number, row in enumerate(rows, 2):
        try:
            seen = float(row.get("success") or 1) > 0
            values.append(float(row["AU45_r"]) if seen or not values else values[-1])
        except (TypeError, ValueError):
            raise BadCorpus(
                f"{path} line {number}: AU45_r is {row['AU45_r']!r}, expected a number; truncated?"
            ) from None
    raw = checked(np.array(values), (-1,), "AU45_r", path)
    low, high = float(raw.min()), float(raw.max())
    return (raw - low) / (high - low) if high > low else np.zeros_like(raw)


def long_closing(closure: F32) -> F32:
    """Closure [T] where the eyes stay closed for longer than τ = 0.5 s, 0 elsewhere (§4.2)."""
    kept = np.zeros_like(closure)
    for start, end in closings(closure):
        if (end - start) / FRAME_RATE > LONG:
            kept[start:end] = closure[start:end]
    return kept


def _coefficients(folder: Path, name: str) -> dict[str, F32]:
    """exp, angle, trans and, where it is there, id of a video. Raises BadCorpus."""
    path = next((p for p in (folder / f"{name}.mat", folder / f"{name}.npz") if p.is_file()), None)
    if path is None:
        raise BadCorpus(f"{folder / name}.mat (or .npz) is missing: Deep3DFace's rows of the video")
    data = _load(path)
    if "coeff" in data:
        whole = checked(data["coeff"], (-1, COEFFICIENTS), "coeff", path)
        return {key: whole[:, part] for key, part in PARTS.items()}
    absent = [key for key in ("exp", "angle", "trans") if key not in data]
    if absent:
        raise BadCorpus(f"{path} has neither coeff nor {absent[0]}, only {sorted(data)[:8]}")
    frames = len(data["exp"])
    sizes = {key: part.stop - part.start for key, part in PARTS.items() if key in data}
    return {key: checked(data[key], (frames, size), key, path) for key, size in sizes.items()}


def _load(path: Path) -> dict[str, Any]:
    """The arrays of a .mat or .npz file; no pickles in it. Raises BadCorpus."""
    try:
        if path.suffix == ".mat":
            found = loadmat(path)
            return {key: x for key, x in found.items() if not key.startswith("__")}
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
    except Exception as error:  # a damaged file can fail in any way
        why = f"{type(error).__name__}: {error}"[:100]
        raise BadCorpus(f"{path} is truncated or no {path.suffix} file ({why})") from None


def _singer(name: str) -> str:
    """The singer of a video. Raises BadCorpus."""
    singer, underscore, song = name.partition("_")
    if not (singer and underscore and song):
        raise BadCorpus(f"{name!r} does not say who sings: expected SINGER_SONG, e.g. s3_0042")
    return singer
