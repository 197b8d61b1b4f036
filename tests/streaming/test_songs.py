"""Uploads: real files through the real limited process, and everything that is no song."""

from __future__ import annotations

import asyncio
import wave

import numpy as np
import pytest

from streaming.ports import UserError
from streaming.schemes import DEMO
from streaming.songs import KEEP_S, MOST, Songs, TooLarge
from tests.fakes import Clock, noise


async def pieces(data, size=65536):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def with_songs(scenario, upload_mb=1, clock=None):
    async def run():
        songs = Songs(upload_mb, (clock or Clock()).now)
        try:
            await scenario(songs)
            return sorted(path.suffix for path in songs._folder.iterdir())
        finally:
            songs.close()
            assert not songs._folder.exists()

    return asyncio.run(run())


def wav(tmp_path, seconds=0.3):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes((noise(seconds, channels=2).T * 30000).astype("<i2").tobytes())
    return path.read_bytes()


def test_a_song_comes_back_as_it_was_sent(tmp_path):
    data = wav(tmp_path)

    async def scenario(songs):
        song = await songs.take(pieces(data, 1000))
        assert song.seconds == pytest.approx(0.3)
        source, parts = songs.open(song.id), []
        while (sound := source.read()) is not None:
            parts.append(sound.samples)
        source.close()
        wanted = np.frombuffer(data[44:], "<i2").reshape(-1, 2).T / 32768
        assert np.abs(np.concatenate(parts, axis=1) - wanted).max() < 2 / 32768

    assert with_songs(scenario) == [".wav"]


def test_a_compressed_song_is_decoded_in_stereo():
    async def scenario(songs):
        song = await songs.take(pieces(DEMO.read_bytes()))
        assert 30 < song.seconds < 60
        assert songs.open(song.id).channels == 2

    with_songs(scenario)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<html>no song</html>" * 99, "the file is not a sound file"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "the file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "the file"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "the file"),
    ],
)
def test_what_is_no_song_says_so_and_leaves_nothing(data, message):
    async def scenario(songs):
        with pytest.raises(UserError, match=message) as caught:
            await songs.take(pieces(data))
        assert "/" not in str(caught.value)  # no path of ours
        assert len(songs) == 0

    assert with_songs(scenario) == []


def test_a_playlist_does_not_lead_to_files_of_this_machine(tmp_path):
    """FFmpeg would open what it names, beside the upload or anywhere."""
    mine = tmp_path / "mine.mp3"
    mine.write_bytes(DEMO.read_bytes())
    lists = [
        "ffconcat version 1.0\nfile mine.mp3\n",
        f"#EXTM3U\n#EXTINF:40,\n{mine}\n#EXT-X-ENDLIST\n",
    ]

    async def scenario(songs):
        (songs._folder / "mine.mp3").write_bytes(DEMO.read_bytes())
        for text in lists:
            with pytest.raises(UserError, match="not a sound file"):
                await songs.take(pieces(text.encode()))

    assert with_songs(scenario) == [".mp3"]


def test_an_upload_without_end_is_cut_off_at_its_limit():
    async def endless():
        while True:
            yield bytes(65536)

    async def scenario(songs):
        with pytest.raises(TooLarge, match="at most 1 MB"):
            await songs.take(endless())

    assert with_songs(scenario) == []


def test_songs_are_forgotten_oldest_first(tmp_path):
    data, clock = wav(tmp_path, 0.02), Clock()

    async def scenario(songs):
        taken = []
        for _ in range(MOST + 1):
            taken.append(await songs.take(pieces(data)))
            clock.sleep(1)
        assert len(songs) == MOST
        with pytest.raises(UserError, match="not here any more"):
            songs.open(taken[0].id)
        with pytest.raises(UserError, match="not here any more"):
            songs.open("../../etc/passwd")
        clock.sleep(KEEP_S)
        songs.open(taken[-1].id).close()
        songs.expire()
        assert len(songs) == 1

    with_songs(scenario, clock=clock)
