"""The stems as files: `voice.wav` and `accompaniment.wav` in a folder, as the avatar hears them.

Mono, 16 kHz, 32-bit float: the separator hears nothing above 8 kHz, and float neither clips nor
rounds. Sample m belongs to sample 3·m of the input at 48 kHz, to the sample; a file is as long as
its input. The sink hears for itself, with a separator of its own: the same sound gives the same
stems bit for bit, and a show without this sink pays nothing.

Playable whenever the process is killed: the header is brought up to date every second.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING

import numpy as np

from engine.hearing.separator import Separator
from engine.hearing.stems import DELAY, Stems
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import DECIMATION, FEATURE_HOP, FEATURE_RATE, SAMPLE_RATE
from engine.weights import shipped
from streaming.ports import UserError
from streaming.schemes import STEM_FILES

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

FLUSH = DECIMATION * (DELAY + FEATURE_HOP)  # samples of silence that push everything out
BYTES = 4  # of a sample
HEADER = struct.Struct("<4sI4s 4sIHHIIHHH 4sII 4sI")
MOST_BYTES = 0xFFFFFFFF - HEADER.size  # that a WAV header can state (18 hours); more is unstated


class StemFiles:
    """A sink that separates what it is given and writes both stems as it goes; no frame, no file.

    Where stems arrived apart (two inputs) they are only brought to 16 kHz. Frames that were passed
    over are silent, so that everything after them stays in place.
    """

    wants_picture = False
    wants_sound = True

    def __init__(self, folder: str, fmt: SinkFormat) -> None:
        """Load the separator; nothing is created before the first frame."""
        self.folder = folder
        self._length = None if fmt.samples is None else _at_16_khz(fmt.samples)
        self._stems = Stems(Separator(shipped("separator.onnx"), fmt.backend, fmt.precision))
        self._state = self._stems.initial_state()
        self._stems(np.zeros((1, SAMPLE_RATE // 10), np.float32), self._state)  # compile it now
        self._files: list[_WavFile] = []
        self._made = False  # the folder is ours
        self._taken = 0  # samples of the input at 48 kHz
        self._streams = 1  # 2 where stems arrive apart
        self._late = DELAY  # samples that are still to be left out at the beginning
        self._closed = False

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Separate a frame's 1,600 samples and append them, 11.25 ms behind.

        Raises UserError for a show without sound, and when the files cannot be written.
        """
        if sound is None:
            raise UserError(f"stems:{self.folder} needs sound, and a motion file has none")
        if self._closed:
            return
        if not self._files:
            self._open()
        heard = sound.samples.mean(axis=0, keepdims=True) if sound.stems is None else sound.stems
        while self._taken < sound.start:
            missed = min(sound.start - self._taken, SAMPLE_RATE)
            self._hear(np.zeros((len(heard), missed), np.float32))
            self._taken += missed
        self._hear(heard)
        self._taken, self._streams = sound.end, len(heard)

    def close(self) -> None:
        """Write what was still on its way. Raises UserError when the disk does not take it."""
        if self._files and not self._closed:
            ends = _at_16_khz(self._taken)
            self._length = ends if self._length is None else min(ends, self._length)
            self._hear(np.zeros((self._streams, FLUSH), np.float32))
            for file in self._files:
                file.close(file.samples)
        self._closed = True

    def _open(self) -> None:
        self._made = not os.path.exists(self.folder)
        try:
            os.makedirs(self.folder, exist_ok=True)
            for name in STEM_FILES:
                self._files.append(_WavFile(os.path.join(self.folder, name)))
        except OSError as error:
            self._give_up(error)

    def _hear(self, sound: F32) -> None:
        """Take sound [1 or 2, n] at 48 kHz; write the stems that it completes."""
        stems, self._state = self._stems(sound, self._state)
        left_out = min(self._late, len(stems))
        self._late -= left_out
        room = None if self._length is None else self._length - self._files[0].samples
        try:
            for file, samples in zip(self._files, stems[left_out:][:room].T, strict=True):
                file.append(samples)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Leave two whole files of equal length, or none if that is less than a second."""
        self._closed = True
        samples = min((file.samples for file in self._files), default=0)
        samples = samples if len(self._files) == len(STEM_FILES) else 0
        seconds = samples / FEATURE_RATE
        for file in self._files:
            file.close(samples)
            if seconds < 1:
                os.remove(file.path)
        if self._made and seconds < 1:
            with contextlib.suppress(OSError):
                os.rmdir(self.folder)
        kept = f" (the first {seconds:.0f} s are kept)" if seconds >= 1 else ""
        raise UserError(f"cannot write stems to {self.folder}: {error.strerror}{kept}") from None


class _WavFile:
    """Mono 32-bit float sound at 16 kHz in a RIFF file that is always whole."""

    def __init__(self, path: str) -> None:
        self.path, self.samples = path, 0
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - `close` closes it
        self._put(_header(0))

    def append(self, samples: F32) -> None:
        """Add samples [n]; every second the header learns of them. Raises OSError."""
        second = self.samples // FEATURE_RATE
        self._put(samples.astype("<f4").tobytes())
        self.samples += len(samples)
        if self.samples // FEATURE_RATE > second:
            self._note()

    def close(self, samples: int) -> None:
        """Finish the file with its first `samples` samples."""
        self.samples = samples
        self._file.truncate(HEADER.size + BYTES * samples)
        self._note()
        self._file.close()

    def _note(self) -> None:
        self._file.seek(0)
        self._put(_header(self.samples))
        self._file.seek(0, os.SEEK_END)

    def _put(self, data: bytes) -> None:
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _header(samples: int) -> bytes:
    """RIFF header of so many samples: format 3 (IEEE float), with its `fact` chunk."""
    size = min(BYTES * samples, MOST_BYTES)
    return HEADER.pack(
        b"RIFF", HEADER.size - 8 + size, b"WAVE",
        b"fmt ", 18, 3, 1, FEATURE_RATE, BYTES * FEATURE_RATE, BYTES, 8 * BYTES, 0,
        b"fact", 4, size // BYTES, b"data", size,
    )  # fmt: skip


def _at_16_khz(samples: int) -> int:
    """How many samples at 16 kHz lie within so many at 48 kHz."""
    return -(-samples // DECIMATION)
