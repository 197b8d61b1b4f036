"""SingingHead as published (Wu et al.): 27 hours of 76 singers, cut into clips of 8 s.

    FOLDER/train.txt  val.txt  test.txt      names of clips, one a line
    FOLDER/flame_seqs/id0_10_0_0.pkl         {"expcodes": [240, 50], "posecodes": [240, 9],
                                              "shapecode": [100]}, FLAME, 30 frames a second
    FOLDER/audio_seqs/id0_10_0_0.wav         the dry voice
    FOLDER/bgm_seqs/id0_10_0_0_bgm.wav       the accompaniment
    FOLDER/video_seqs/id0_10_0_0.mp4         not read

A name is id of the singer, song, sequence, and number of the 8 s piece within the sequence. Pose
codes are axis-angle of the whole head, of the neck and of the jaw (3 each). The corpus is for
non-commercial research only, and so is what is trained on it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

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
from engine.training.readers.pickles import load_arrays

SPLITS = ("train", "val", "test")
FOLDERS = ("flame_seqs", "audio_seqs", "bgm_seqs")
NAME = re.compile(r"(id_?\d+)_(\d+)_(\d+)_(\d+)")
EXPRESSION = 50 + 3  # FLAME's expression and the jaw's rotation
SHAPE = 100
LEAST = FRAME_RATE  # frames


class SingingHead:
    """The clips of one split, those that follow each other joined into one.

    expression: [T, 53], 50 FLAME expression codes and the jaw's axis-angle. head: the whole head's
    and the neck's rotation as one; FLAME has no place, so x, y, z stay 0. closing: FLAME has no
    lids, so 0: from this corpus alone no face learns to close its eyes.
    """

    expression = EXPRESSION

    def __init__(self, folder: Path, split: Literal["train", "val", "test"] = "train") -> None:
        """Read the lists, no clip yet. Raises BadCorpus where the layout is another."""
        self.folder = folder
        if split not in SPLITS:
            raise BadCorpus(f"there is no split {split!r}, only {', '.join(SPLITS)}")
        absent = [name for name in FOLDERS if not (folder / name).is_dir()]
        if absent:
            zips = [name for name in absent if (folder / f"{name}.zip").is_file()]
            hint = f"unpack {zips[0]}.zip there" if zips else "expected SingingHead as published"
            raise BadCorpus(f"{folder} holds no folder {absent[0]}: {hint}")
        lists = {name: read_names(folder / f"{name}.txt") for name in SPLITS}
        singers = {_parts(name)[0] for names in lists.values() for name in names}
        self.subjects = tuple(sorted(singers, key=lambda singer: int(re.sub(r"\D", "", singer))))
        self._runs = _runs(lists[split])
        self.names = [run[0] for run in self._runs]

    def __len__(self) -> int:
        """Clips, pieces that follow each other counted once."""
        return len(self.names)

    def __getitem__(self, number: int) -> Clip:
        """A clip, its pieces joined. Raises BadCorpus where it is not as published."""
        return self._joined([self.read(name) for name in self._runs[number]])

    def read(self, name: str) -> Clip:
        """One piece of 8 s, its head as recorded, not from its middle. Raises BadCorpus."""
        path = self.folder / "flame_seqs" / f"{name}.pkl"
        codes = load_arrays(path)
        absent = [key for key in ("expcodes", "posecodes", "shapecode") if key not in codes]
        if absent:
            raise BadCorpus(f"{path} has no {absent[0]!r}, only {sorted(map(str, codes))[:8]}")
        expression = checked(codes["expcodes"], (-1, 50), "expcodes", path)
        pose = checked(codes["posecodes"], (len(expression), 9), "posecodes", path)
        if len(expression) < LEAST:
            raise BadCorpus(f"{path} holds {len(expression)} frames, expected about 240 (8 s)")
        shape = checked(np.squeeze(codes["shapecode"]), (SHAPE,), "shapecode", path)
        frames = len(expression)
        return Clip(
            name,
            self.subjects.index(_parts(name)[0]),
            read_sound(self.folder / "audio_seqs" / f"{name}.wav", frames),
            read_sound(self.folder / "bgm_seqs" / f"{name}_bgm.wav", frames),
            np.concatenate([expression, pose[:, 6:]], 1),
            _head(pose),
            np.zeros(frames, np.float32),
            shape,
        )

    def _joined(self, clips: list[Clip]) -> Clip:
        """Pieces that follow each other as one clip, its head from its own middle."""
        return replace(
            clips[0],
            voice=np.concatenate([clip.voice for clip in clips]),
            backing=np.concatenate([clip.backing for clip in clips]),
            expression=np.concatenate([clip.expression for clip in clips]),
            head=centred(np.concatenate([clip.head for clip in clips])),
            closing=np.concatenate([clip.closing for clip in clips]),
        )


def _head(pose: F32) -> F32:
    """Axis-angle [T, 9] → pose [T, 6]: the neck turns within the whole."""
    turn = Rotation.from_rotvec(pose[:, :3]) * Rotation.from_rotvec(pose[:, 3:6])
    return head_pose(turn, np.zeros((len(pose), 3)))


def _parts(name: str) -> tuple[str, int, int, int]:
    """Singer, song, sequence, piece. Raises BadCorpus."""
    match = NAME.fullmatch(name)
    if not match:
        raise BadCorpus(f"{name!r} is no SingingHead clip: expected a name such as id0_10_0_0")
    singer, *rest = match.groups()
    song, sequence, piece = map(int, rest)
    return singer, song, sequence, piece


def _runs(names: list[str]) -> list[list[str]]:
    """Names in order, those whose pieces follow each other together."""
    runs: list[list[str]] = []
    before: tuple[str, int, int, int] | None = None
    for name in sorted(names, key=_parts):
        now = _parts(name)
        if before is not None and now == (*before[:3], before[3] + 1):
            runs[-1].append(name)
        else:
            runs.append([name])
        before = now
    return runs
