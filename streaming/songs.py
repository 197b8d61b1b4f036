"""Songs that pages bring: taken in pieces, decoded by a limited process, kept for a while.

What comes from outside is only ever opened by `python -m streaming.songs`, a process with little
memory and time of its own, whose answer is a WAV file that we wrote ourselves. Names of files are
ours too: nothing of a request reaches the file system.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streaming.audiofile import AudioFile
from streaming.ports import UserError

LONGEST_S = 900.0  # of a song
MEMORY = 2 << 30  # bytes of address space that decoding may use
CPU_S = 60  # s of a core
WALL_S = 90.0  # s
FILE = 1 << 28  # bytes that it may write: 15 minutes of stereo at 48 kHz are 173 MB
KEEP_S = 1800.0  # s that a song is kept after it was last asked for
MOST = 8  # songs at once; the one that was asked for longest ago goes
# What an upload may be. Playlists and lists of files are no songs: they would have FFmpeg open
# whatever file of this machine they name.
FORMATS = (
    "wav,w64,aiff,au,caf,mp3,flac,ogg,aac,ac3,eac3,amr,ape,wv,tta,asf,avi,flv,mpegts,mpeg,"
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
)


class TooLarge(Exception):
    """An upload beyond the limit."""


@dataclass
class Song:
    """A decoded song. seconds: its length. asked: when it was last asked for."""

    id: str
    path: Path
    seconds: float
    asked: float


class Songs:
    """The songs of this process, in a folder of its own that ends with it."""

    def __init__(self, upload_mb: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = upload_mb * 1_000_000
        self._now = now
        self._songs: dict[str, Song] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="cantar-songs-"))
        self._one_at_a_time = asyncio.Semaphore(1)

    def __len__(self) -> int:
        return len(self._songs)

    async def take(self, pieces: AsyncIterator[bytes]) -> Song:
        """Receive and decode an upload. Raises TooLarge, and UserError for what is no song."""
        id = secrets.token_urlsafe(12)
        raw, path = self._folder / f"{id}.upload", self._folder / f"{id}.wav"
        try:
            await self._receive(pieces, raw)
            async with self._one_at_a_time:
                seconds = await decode(raw, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            raw.unlink(missing_ok=True)
        self.expire()
        song = self._songs[id] = Song(id, path, seconds, self._now())
        return song

    async def _receive(self, pieces: AsyncIterator[bytes], raw: Path) -> None:
        size = 0
        with raw.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > self._most:
                    raise TooLarge(f"a song may have at most {self._most // 1_000_000} MB")
                file.write(piece)

    def open(self, id: str) -> AudioFile:
        """A song as a source. Raises UserError for an id that is not known (any more)."""
        song = self._songs.get(id)
        if song is None:
            raise UserError("that song is not here any more; choose the file again")
        song.asked = self._now()
        return AudioFile(str(song.path))

    def expire(self) -> None:
        """Forget what nobody asked for lately."""
        by_age = sorted(self._songs.values(), key=lambda song: song.asked)
        excess = len(by_age) - MOST + 1
        for index, song in enumerate(by_age):
            if index < excess or self._now() - song.asked > KEEP_S:
                del self._songs[song.id]
                song.path.unlink(missing_ok=True)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


async def decode(raw: Path, path: Path) -> float:
    """Have `raw` decoded into the WAV file `path`; returns its seconds. Raises UserError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streaming.songs", str(raw), str(path),
        cwd=Path(__file__).resolve().parents[1],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WALL_S):
            out, _ = await process.communicate()
    except TimeoutError:
        raise UserError("the file takes too long to decode") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _answer(out)


def _answer(out: bytes) -> float:
    """What the process said: seconds; or UserError with its reason."""
    try:
        answer = json.loads(out)
    except ValueError:
        raise UserError("the file cannot be decoded within the limits of a song") from None
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return float(answer["seconds"])


# ---- the limited process ------------------------------------------------------------------------


def main(raw: str, path: str) -> int:
    """Decode within limits; prints one JSON object: seconds, or an error for people."""
    _limit()
    try:
        print(json.dumps({"seconds": _decode(raw, path)}))
    except UserError as error:
        print(json.dumps({"error": str(error).replace(raw, "the file")}))
    except MemoryError:
        print(json.dumps({"error": "the file needs too much memory to decode"}))
    return 0


def _limit() -> None:
    import resource

    limits = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: FILE,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))


def _decode(raw: str, path: str) -> float:
    source = AudioFile(raw, seconds=LONGEST_S, formats=FORMATS)
    samples = 0
    with wave.open(path, "wb") as file:
        file.setnchannels(source.channels)
        file.setsampwidth(2)
        file.setframerate(48_000)
        while (sound := source.read()) is not None:
            pcm = np.clip(sound.samples.T * 32767, -32768, 32767).astype("<i2")
            file.writeframes(pcm.tobytes())
            samples += len(pcm)
    return samples / 48_000


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
