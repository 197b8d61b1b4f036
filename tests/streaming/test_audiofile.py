"""The file source: any rate, layout and length becomes 48 kHz from sample 0, or one clear error."""

from __future__ import annotations

import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from av.audio.layout import AudioLayout

from engine.timeline import SAMPLE_RATE
from streaming.audiofile import AudioFile, downmix_matrix
from streaming.ports import Source, UserError

INT16 = 32768


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """`samples` [C, n] int16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples.T).tobytes())
    return path


def encode(path: Path, samples: np.ndarray, rate: int, codec: str, layout: str, fmt: str) -> Path:
    """Write `samples` [C, n] float32 through a codec, with PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, samples.shape[1], 1000):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, start : start + 1000]), "fltp", layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            resampled = av.AudioResampler(fmt, layout, rate).resample(frame)
            for part in resampled:
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def noise(channels: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20000, 20000, (channels, n)).astype(np.int16)


def whole(source: Source) -> np.ndarray:
    """Everything a source gives [C, n], its indices and chunk sizes checked on the way."""
    parts, at = [], 0
    while (sound := source.read()) is not None:
        assert sound.start == at
        assert 0 < sound.samples.shape[1] <= 4800
        assert sound.samples.dtype == np.float32
        at = sound.end
        parts.append(sound.samples)
    source.close()
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_stream_equals_one_shot(tmp_path: Path, rate: int, channels: int) -> None:
    pcm = noise(channels, rate + 77)
    got = whole(AudioFile(str(write_wav(tmp_path / "x.wav", pcm, rate))))
    expected = (pcm / INT16).astype(np.float32)
    if rate != SAMPLE_RATE:
        expected = soxr.resample(np.ascontiguousarray(expected.T), rate, SAMPLE_RATE).T
    assert abs(got.shape[1] - round(pcm.shape[1] * SAMPLE_RATE / rate)) <= 1
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_an_instant_stays_where_it_was(tmp_path: Path, rate: int) -> None:
    pcm = np.zeros((1, rate), np.int16)
    pcm[0, rate // 2] = 30000
    got = whole(AudioFile(str(write_wav(tmp_path / "x.wav", pcm, rate))))
    assert abs(int(np.abs(got[0]).argmax()) - SAMPLE_RATE // 2) <= 1


@pytest.mark.parametrize("chunk", [1, 479, 1600, 4800])
def test_any_chunk_gives_the_same_sound(tmp_path: Path, chunk: int) -> None:
    path = str(write_wav(tmp_path / "x.wav", noise(2, 3001), 22050))
    assert np.array_equal(whole(AudioFile(path, chunk=chunk)), whole(AudioFile(path, chunk=997)))


def test_seconds_cuts_exactly_and_only_cuts(tmp_path: Path) -> None:
    path = str(write_wav(tmp_path / "x.wav", noise(1, 44100), 44100))
    everything = whole(AudioFile(path))
    cut = AudioFile(path, seconds=0.123)
    assert cut.length == 5904
    got = whole(cut)
    assert got.shape[1] == 5904
    assert np.array_equal(got, everything[:, :5904])
    assert whole(AudioFile(path, seconds=50)).shape == everything.shape


@pytest.mark.parametrize(
    ("name", "codec", "fmt", "layout"),
    [
        ("x.mp3", "libmp3lame", "fltp", "stereo"),
        ("x.ogg", "libopus", "flt", "stereo"),
        ("x.m4a", "aac", "fltp", "mono"),
        ("x.flac", "flac", "s16", "stereo"),
        ("x.wav", "pcm_s24le", "s32", "stereo"),
        ("x.wav", "pcm_u8", "u8", "mono"),
        ("x.aiff", "pcm_s16be", "s16", "stereo"),
    ],
)
def test_codecs_keep_a_click_in_its_place(
    tmp_path: Path, name: str, codec: str, fmt: str, layout: str
) -> None:
    rate = 48000
    samples = np.zeros((1 if layout == "mono" else 2, rate), np.float32)
    samples[:, 24000:24480] = 0.7 * np.sin(2 * np.pi * 1000 * np.arange(480) / rate)
    source = AudioFile(str(encode(tmp_path / name, samples, rate, codec, layout, fmt)))
    assert source.channels == len(samples)
    got = whole(source)
    shift = np.correlate(got[0, 23000:25500], samples[0, 24000:24480], "valid").argmax() - 1000
    assert abs(int(shift)) <= 2
    assert abs(got.shape[1] - rate) <= 1600  # codecs may pad their last packet


def test_192_khz_six_channels(tmp_path: Path) -> None:
    n = 192_000 // 4
    samples = np.zeros((6, n), np.float32)
    samples[2] = 0.5  # centre
    path = tmp_path / "surround.wav"
    got = whole(AudioFile(str(encode(path, samples, 192_000, "pcm_f32le", "5.1", "flt"))))
    assert got.shape == (2, 12_000)
    gain = 0.5**0.5 / (1 + 2 * 0.5**0.5)
    np.testing.assert_allclose(got[:, 2000:-2000], 0.5 * gain, rtol=1e-3)


def test_downmix_follows_bs775_and_never_gains() -> None:
    matrix = downmix_matrix(AudioLayout("5.1"))
    np.testing.assert_allclose(matrix[0] / matrix[0, 0], [1, 0, 0.7071, 0, 0.7071, 0], atol=1e-3)
    np.testing.assert_allclose(matrix[1] / matrix[1, 1], [0, 1, 0.7071, 0, 0, 0.7071], atol=1e-3)
    for name in ("3.0", "quad", "5.1(side)", "7.1", "hexadecagonal", "24 channels", "6 channels"):
        assert downmix_matrix(AudioLayout(name)).sum(axis=1).max() <= 1 + 1e-6


def test_peaks_above_one_are_kept(tmp_path: Path) -> None:
    samples = np.full((1, 4800), 1.75, np.float32)
    path = encode(tmp_path / "loud.wav", samples, 48000, "pcm_f32le", "mono", "flt")
    assert whole(AudioFile(str(path))).max() == 1.75


def test_pictures_in_the_file_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=10, width=64, height=64, pix_fmt="yuvj420p")
        audio = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for n in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            container.mux(video.encode(picture))
            pcm = np.full((1, 4800), n, np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
            frame.sample_rate = 48000
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    got = whole(AudioFile(str(path)))
    assert np.array_equal(np.round(got[0] * INT16), np.repeat(np.arange(10), 4800))


def test_three_hours_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        minute = noise(1, 8000 * 60).tobytes()
        for _ in range(180):
            file.writeframesraw(minute)
    program = (
        "import resource, sys\n"
        "from streaming.audiofile import AudioFile\n"
        "source = AudioFile(sys.argv[1], chunk=4800)\n"
        "n = 0\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "while (sound := source.read()) is not None:\n"
        "    n = sound.end\n"
        "    if n == 4_800_000: early = peak()\n"
        "print(n, peak() - early)\n"
    )
    run = [sys.executable, "-c", program, str(path)]
    n, grown = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert abs(int(n) - 180 * 60 * SAMPLE_RATE) <= 1
    assert int(grown) < 4096  # KiB


# ---- bad input, one by one ----------------------------------------------------------------------


def refusal(path: Path | str) -> str:
    """The message with which a file is refused, on opening or while it is read."""
    with pytest.raises(UserError) as caught:
        whole(AudioFile(str(path)))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.wav")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert "is empty (0 bytes)" in refusal(path)


@pytest.mark.parametrize("name", ["letter.txt", "letter.mp3", "letter.wav", "letter"])
def test_text_is_not_audio(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Dear singer,\nthis is no song.\n" * 50)
    assert "not a sound file" in refusal(path) or "no audio stream" in refusal(path)


def test_noise_bytes_are_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "random.mp3"
    path.write_bytes(np.random.default_rng(1).bytes(100_000))
    refusal(path)


def test_picture_has_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=10, width=64, height=64, pix_fmt="yuvj420p")
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        container.mux(video.encode(picture))
        container.mux(video.encode(None))
    assert "has no audio stream (it holds video)" in refusal(path)


def test_no_samples(tmp_path: Path) -> None:
    assert "0 samples" in refusal(write_wav(tmp_path / "x.wav", np.zeros((1, 0), np.int16), 48000))


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_bad_samples_are_found_before_the_show(tmp_path: Path, bad: float, word: str) -> None:
    samples = np.zeros((2, 96000), np.float32)
    samples[1, 72000] = bad
    path = encode(tmp_path / "x.wav", samples, 48000, "pcm_f32le", "stereo", "flt")
    with pytest.raises(UserError, match=f"{word} at 1.50 s"):
        AudioFile(str(path))
    assert whole(AudioFile(str(path), seconds=1.25)).shape[1] == 60000


def test_damage_in_the_middle_names_its_second(tmp_path: Path) -> None:
    samples = noise(1, 480_000).astype(np.float32) / INT16
    path = encode(tmp_path / "x.m4a", samples, 48000, "aac", "mono", "fltp")
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 5000] = np.random.default_rng(0).bytes(5000)
    path.write_bytes(data)
    message = refusal(path)
    assert "is damaged at" in message
    second = float(message.split("damaged at ")[1].split(" s")[0])
    assert 4 <= second <= 6


def test_junk_at_the_end_is_passed_over(tmp_path: Path) -> None:
    samples = noise(1, 48000).astype(np.float32) / INT16
    path = encode(tmp_path / "x.mp3", samples, 48000, "libmp3lame", "mono", "fltp")
    clean = whole(AudioFile(str(path)))
    path.write_bytes(path.read_bytes() + b"\xff\xfb\x90\x64junk" + bytes(500))
    assert abs(whole(AudioFile(str(path))).shape[1] - clean.shape[1]) <= 2400


def test_a_playlist_reaches_no_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    refusal(path)
