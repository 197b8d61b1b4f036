"""Any file with sound in it as a source: FFmpeg decodes (PyAV), soxr brings it to 48 kHz.

One pass, one frame of the codec at a time, so a three-hour file needs no more memory than a short
one. More than two channels are mixed down as ITU-R BS.775-3 (annex 4) says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from engine.signals import F32, Sound
from engine.timeline import FRAME, SAMPLE_RATE
from streaming.ports import UserError

MAX_CHUNK = 4800  # samples; ports.Source
CUT_SHORT = 1.0  # seconds that may be missing at the end before a broken tail is an error

# Where each speaker goes, left and right; LFE is left out, as BS.775 does.
_HALF_POWER = 0.5**0.5
_SPEAKERS = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_HALF_POWER, _HALF_POWER), "LFE": (0.0, 0.0),
    "BL": (_HALF_POWER, 0.0), "BR": (0.0, _HALF_POWER), "BC": (0.5, 0.5),
    "SL": (_HALF_POWER, 0.0), "SR": (0.0, _HALF_POWER),
    "FLC": (1.0, 0.0), "FRC": (0.0, 1.0), "LFE2": (0.0, 0.0), "DL": (1.0, 0.0), "DR": (0.0, 1.0),
    "WL": (_HALF_POWER, 0.0), "WR": (0.0, _HALF_POWER),
    "TFL": (_HALF_POWER, 0.0), "TFR": (0.0, _HALF_POWER), "TFC": (0.5, 0.5), "TC": (0.5, 0.5),
    "TBL": (_HALF_POWER, 0.0), "TBR": (0.0, _HALF_POWER), "TBC": (0.5, 0.5),
    "TSL": (_HALF_POWER, 0.0), "TSR": (0.0, _HALF_POWER),
}  # fmt: skip
_USUAL_LAYOUT = {3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def downmix_matrix(layout: AudioLayout) -> F32:
    """[1 or 2, channels] gains from a speaker layout to mono or stereo.

    One and two channels pass untouched. Otherwise each row sums to at most 1, so that nothing gets
    louder than its loudest channel. Channels without a known place are spread left, right, left …
    """
    count = layout.nb_channels
    if count <= 2:
        return np.eye(count, dtype=np.float32)
    names = [channel.name for channel in layout.channels]
    if not all(name in _SPEAKERS for name in names) and count in _USUAL_LAYOUT:
        names = [channel.name for channel in AudioLayout(_USUAL_LAYOUT[count]).channels]
    sides = ((1.0, 0.0), (0.0, 1.0))
    gains = [_SPEAKERS.get(name, sides[index % 2]) for index, name in enumerate(names)]
    matrix = np.array(gains, np.float32).T
    return matrix / max(1.0, float(matrix.sum(axis=1).max()))


class AudioFile:
    """The sound of a file at 48 kHz, mono or stereo, sample 0 of the file at sample 0.

    channels: 1 or 2. length: samples as the container states them (a stream without an index is
    guessed by FFmpeg, so the end is known only when `read` returns None), or None.
    Peaks above 1 are kept.
    """

    realtime = False

    def __init__(
        self,
        path: str,
        *,
        seconds: float | None = None,
        chunk: int = FRAME,
        formats: str | None = None,
    ) -> None:
        """Open `path`; `read` then gives `chunk` samples (1 … 4,800) at a time, `seconds` at most.
        formats: the only containers that it may be, by FFmpeg's names; None for all that there are.

        Raises UserError for a missing, unreadable, empty or damaged file, a folder, a file without
        sound, and for samples that are NaN or infinite. Files that could hold such samples
        (floating-point PCM) are searched here, before anything is written anywhere.
        """
        if not 0 < chunk <= MAX_CHUNK:
            raise ValueError(f"chunk must be 1 to {MAX_CHUNK} samples, got {chunk}")
        self.path, self._chunk, self._at = path, chunk, 0
        self._limit = None if seconds is None else round(seconds * SAMPLE_RATE)
        self._container = _open(path, formats)
        stream = _stream_of(self._container, path)
        if stream.codec_context.name.startswith("pcm_f"):
            _search_for_bad_samples(path, seconds, formats)
        self.length = self._stated_length(stream)
        self._frames = _decode(self._container, stream, path)
        self._stretches = self._resampled()
        self._ready: F32 = self._first()
        self.channels = int(self._ready.shape[0])

    def read(self) -> Sound | None:
        """The next `chunk` samples (fewer at the end), or None.

        Raises UserError with the second at which the file breaks.
        """
        want = self._chunk if self._limit is None else min(self._chunk, self._limit - self._at)
        while self._ready.shape[1] < want:
            more = next(self._stretches, None)
            if more is None:
                break
            self._ready = np.concatenate([self._ready, more], axis=1)
        samples = np.ascontiguousarray(self._ready[:, :want])
        if want <= 0 or not samples.shape[1]:
            return None
        self._ready = self._ready[:, want:]
        sound = Sound(samples, self._at)
        self._at = sound.end
        return sound

    def close(self) -> None:
        self._container.close()

    def _first(self) -> F32:
        """The first stretch with samples in it: proof, before the show, that there is sound."""
        for stretch in self._stretches:
            if stretch.shape[1]:
                return stretch
        raise UserError(f"{self.path} holds no sound (0 samples)")

    def _stated_length(self, stream: AudioStream) -> int | None:
        seconds = _stated_seconds(self._container, stream)
        if seconds is None:
            return None
        length = round(seconds * SAMPLE_RATE)
        return length if self._limit is None else min(length, self._limit)

    def _resampled(self) -> Iterator[F32]:
        """Stretches [C, n] at 48 kHz; a change of rate in mid-file starts a new resampler."""
        stream: soxr.ResampleStream | None = None
        rate = channels = 0
        for samples, frame_rate in self._frames:
            channels = channels or len(samples)
            samples = _with_channels(samples, channels)
            if frame_rate != rate:
                if stream is not None:
                    yield _flush(stream, channels)
                rate = frame_rate
                stream = None if rate == SAMPLE_RATE else _resampler(rate, channels)
            yield samples if stream is None else stream.resample_chunk(samples.T).T
        if stream is not None:
            yield _flush(stream, channels)


def _resampler(rate: int, channels: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32", quality="HQ")


def _flush(stream: soxr.ResampleStream, channels: int) -> F32:
    tail: F32 = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T
    return tail


def _with_channels(samples: F32, channels: int) -> F32:
    """Mono doubled or stereo averaged, for the rare file whose channels change in the middle."""
    if len(samples) == channels:
        return samples
    return np.repeat(samples, 2, axis=0) if channels == 2 else samples.mean(axis=0, keepdims=True)


def _open(path: str, formats: str | None) -> InputContainer:
    """Open with FFmpeg, from local files only (a playlist may not send us to the network)."""
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; give a sound file")
    try:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            raise UserError(f"{path} is empty (0 bytes)")
        options = {"protocol_whitelist": "file,crypto,data"}
        if formats is not None:
            options["format_whitelist"] = formats
        return av.open(os.path.abspath(path), options=options)
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except PermissionError:
        raise UserError(f"no permission to read {path}") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a sound file that FFmpeg can read ({_why(error)})"
        ) from None


def _stream_of(container: InputContainer, path: str) -> AudioStream:
    """The file's best audio stream, set to decode nothing else."""
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise UserError(f"{path} has no audio stream (it holds {kinds or 'nothing known'})")
    stream.codec_context.thread_type = "NONE"  # decoding takes microseconds; threads delay errors
    return stream


def _stated_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _decode(container: InputContainer, stream: AudioStream, path: str) -> Iterator[tuple[F32, int]]:
    """Each decoded frame as ([C, n] float32, rate in Hz), mixed down.

    A packet that cannot be decoded ends the song quietly when nothing decodable follows it and at
    most a second is missing: tags at the end of MP3 files look like that. Anything else that
    cannot be decoded raises UserError with its second. Damage that FFmpeg's readers step over by
    themselves (a lost Ogg page, lost FLAC frames) is a cut in the sound, as in any player.
    """
    matrix, layout = np.zeros((0, 0), np.float32), ""
    seconds, broken = 0.0, ""
    for frame in _frames(container, stream):
        if isinstance(frame, Exception):
            broken = broken or f"{path} is damaged at {seconds:.2f} s ({_why(frame)})"
            continue
        if broken and seconds:
            raise UserError(broken)
        broken = ""
        if frame.layout.name != layout:
            matrix, layout = downmix_matrix(frame.layout), frame.layout.name
        samples = _to_float(frame)
        _check_finite(samples, path, seconds, frame.sample_rate)
        seconds += samples.shape[1] / frame.sample_rate
        yield (samples if len(samples) <= 2 else matrix @ samples), frame.sample_rate
    stated = _stated_seconds(container, stream)
    if broken and not seconds:
        raise UserError(f"{path} is not a sound file, or damaged from its start ({broken})")
    if broken and (stated is None or seconds < stated - CUT_SHORT):
        raise UserError(broken)


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | Exception]:
    """What each packet decodes to, or why it does not; reading goes on after a bad packet."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.error.EOFError:
            return
        except (av.FFmpegError, OSError, ValueError) as error:
            yield error
            if not _is_bad_packet(error):
                return


def _is_bad_packet(error: Exception) -> bool:
    """True for damage to one packet; anything else (the disk, the network share) ends the file."""
    return isinstance(error, (av.error.InvalidDataError, ValueError))


def _to_float(frame: AudioFrame) -> F32:
    """[C, n] float32, integers scaled to [-1, 1)."""
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32)


def _check_finite(samples: F32, path: str, seconds: float, rate: int) -> None:
    """`samples` [C, n] begin at `seconds`; raise UserError at the first that is not finite."""
    if np.isfinite(samples).all():
        return
    column = int(np.argmax(~np.isfinite(samples).all(axis=0)))
    row = int(np.argmax(~np.isfinite(samples[:, column])))
    kind = "NaN" if np.isnan(samples[row, column]) else "infinite"
    raise UserError(f"{path} holds a sample that is {kind} at {seconds + column / rate:.2f} s")


def _search_for_bad_samples(path: str, seconds: float | None, formats: str | None) -> None:
    """Read a whole floating-point PCM file (or `seconds` of it) once, for its NaNs."""
    with _open(path, formats) as container:
        passed = 0.0
        for samples, rate in _decode(container, _stream_of(container, path), path):
            passed += samples.shape[1] / rate
            if seconds is not None and passed > seconds:
                return


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
