"""Two inputs: the sum for people, the stems apart, the shorter padded."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from streaming.ports import UserError
from streaming.schemes import open_source


def write_wav(path: Path, samples: np.ndarray, rate: int = 48000) -> str:
    """`samples` [C, n] int16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples.T).tobytes())
    return str(path)


def read_all(voice: str, backing: str, seconds: float | None = None):
    """(heard [C, n], stems [2, n]) of a two-input source, its indices checked."""
    source = open_source(voice=voice, backing=backing, seconds=seconds)
    heard, stems, at = [], [], 0
    while (sound := source.read()) is not None:
        assert sound.start == at
        assert sound.stems.dtype == np.float32
        at = sound.end
        heard.append(sound.samples)
        stems.append(sound.stems)
    source.close()
    assert source.length is None or source.length == at
    return np.concatenate(heard, axis=1), np.concatenate(stems, axis=1)


def noise(channels: int, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-30000, 30000, (channels, n)).astype(np.int16)


@pytest.mark.parametrize(("voice_channels", "backing_channels"), [(1, 2), (2, 1), (1, 1), (2, 2)])
def test_sum_and_stems(tmp_path: Path, voice_channels: int, backing_channels: int) -> None:
    voice, backing = noise(voice_channels, 5001, 1), noise(backing_channels, 12345, 2)
    heard, stems = read_all(
        write_wav(tmp_path / "v.wav", voice), write_wav(tmp_path / "b.wav", backing)
    )
    padded = np.pad(voice, ((0, 0), (0, 12345 - 5001))) / 32768
    np.testing.assert_allclose(heard, padded + backing / 32768, atol=1e-6)
    assert len(heard) == max(voice_channels, backing_channels)
    np.testing.assert_allclose(stems[0], padded.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(stems[1], (backing / 32768).mean(axis=0), atol=1e-6)
    assert np.abs(heard).max() > 1  # a loud sum is kept


def test_seconds_and_silence(tmp_path: Path) -> None:
    voice = write_wav(tmp_path / "v.wav", noise(1, 9000, 1), 44100)
    heard, stems = read_all(voice, "silence", seconds=0.1)
    assert heard.shape == (1, 4800)
    assert not stems[1].any()
    assert np.array_equal(heard[0], stems[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "v.wav"}, "--voice needs --backing too"),
        ({"backing": "v.wav"}, "--backing needs --voice too"),
        ({"input": "demo", "voice": "v.wav", "backing": "b.wav"}, "not both"),
        ({"voice": "mic", "backing": "b.wav"}, "no such file"),
        ({"voice": "silence", "backing": "loopback"}, "--backing loopback is live: it needs"),
        ({"voice": "no.wav", "backing": "silence"}, "no such file"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(**options)
