"""What happens to sound between an instrument and a listener: desk, room, file, loudspeaker.

Sound is [C, n] float64. Nothing here moves sound in time: filters start at once, codecs' delay is
taken off to the sample.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import soxr
from numba import njit
from scipy.signal import butter, lfilter, oaconvolve, sosfilt, tf2sos

from engine.training.songs.voices import F64

Rng = np.random.Generator
LEVEL = 0.1  # RMS of what plays
MP3, OPUS = "libmp3lame", "libopus"
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
MP3_RATES = (16000, 22050, 24000, 32000, 44100, 48000)


def level(wave: F64) -> F64:
    """Scale sound so that its louder parts are at LEVEL RMS; silence stays silent."""
    power = (wave.reshape(-1, wave.shape[-1]) ** 2).mean(0)
    count = len(power) // 400 * 400
    blocks = power[:count].reshape(-1, 400).mean(1)
    if not count or blocks.max() < 1e-12:
        return wave
    return wave * LEVEL / np.sqrt(blocks[blocks > blocks.max() * 1e-2].mean())


def pan(wave: F64, place: float) -> F64:
    """[n] → [2, n] at constant power; place: -1 left … 1 right."""
    angle = (place + 1) * np.pi / 4
    return np.stack([wave * np.cos(angle), wave * np.sin(angle)]) * np.sqrt(2)


def put(track: F64, sound: F64, at: int, gain: float = 1.0) -> None:
    """Add a sound [n] to a track [m] at a sample, cut where the track ends."""
    if 0 <= at < len(track):
        count = min(len(sound), len(track) - at)
        track[at : at + count] += gain * sound[:count]


# --- tone -----------------------------------------------------------------------------------------


def band(wave: F64, low: float, high: float, rate: int, order: int = 2) -> F64:
    """Band-pass; edges in Hz, the upper kept below the Nyquist frequency."""
    edges = [low, min(high, 0.49 * rate)]
    return sosfilt(butter(order, edges, "bandpass", fs=rate, output="sos"), wave)


def bell(frequency: float, decibels: float, width: float, rate: int) -> F64:
    """Second-order section that lifts about `frequency` Hz; width: 1/Q.

    Source: Bristow-Johnson, Audio EQ Cookbook, peaking EQ.
    """
    turn = 2 * np.pi * min(frequency, 0.45 * rate) / rate
    alpha, amp = np.sin(turn) * width / 2, 10 ** (decibels / 40)
    above = [1 + alpha * amp, -2 * np.cos(turn), 1 - alpha * amp]
    below = [1 + alpha / amp, -2 * np.cos(turn), 1 - alpha / amp]
    return tf2sos(above, below)


def equalise(rng: Rng, wave: F64, rate: int, decibels: float) -> F64:
    """Four bells between 60 Hz and 7 kHz, each of about ±`decibels`."""
    centres = 60 * (7000 / 60) ** ((np.arange(4) + rng.uniform(0, 1, 4)) / 4)
    gains = np.clip(rng.normal(0, decibels, 4), -2.5 * decibels, 2.5 * decibels)
    sections = [
        bell(centre, gain, rng.uniform(0.5, 2), rate)
        for centre, gain in zip(centres, gains, strict=True)
    ]
    return sosfilt(np.concatenate(sections), wave)


def saturate(wave: F64, drive: float, lean: float = 0.0) -> F64:
    """Soft clipping at the same RMS; drive 1 is tape, 5 a wall; lean: 0…0.5, even harmonics."""
    size = wave.std() + 1e-12
    bent = np.tanh(drive * wave / (3 * size) + lean) - np.tanh(lean)
    return bent * size / (bent.std() + 1e-12)


def smooth(curve: F64, keep: float) -> F64:
    """One-pole low-pass of a curve [n]; keep: share kept from sample to sample."""
    return lfilter([1 - keep], [1, -keep], curve)


# --- loudness -------------------------------------------------------------------------------------


@njit(cache=True)
def _follow(power: F64, attack: float, release: float) -> F64:
    """Smooth a curve [n], faster up than down; both are shares kept from sample to sample."""
    state, out = 0.0, np.empty_like(power)
    for i in range(len(power)):
        keep = attack if power[i] > state else release
        state = keep * state + (1 - keep) * power[i]
        out[i] = state
    return out


def _kept(seconds: float, rate: int) -> float:
    return float(np.exp(-1 / (seconds * rate)))


def compression(
    wave: F64, rate: int, ratio: float, attack: float, release: float, threshold: float = -6.0
) -> F64:
    """Gain [n] of a compressor that hears all channels; threshold: dB above the sound's RMS.

    attack, release: seconds.
    """
    power = (wave**2).mean(0)
    heard = _follow(power, _kept(attack, rate), _kept(release, rate))
    over = np.maximum(heard / (power.mean() * 10 ** (threshold / 10) + 1e-12), 1.0)
    return over ** (0.5 / ratio - 0.5)


def limiting(wave: F64, rate: int, ceiling: float, release: float = 0.08) -> F64:
    """Gain [n] that keeps peaks at `ceiling` (at most 1 after it), let go over `release` s."""
    peaks = np.abs(wave).max(0)
    return np.minimum(1.0, ceiling / (_follow(peaks, 0.0, _kept(release, rate)) + 1e-12))


def duck(wave: F64, rate: int, kicks: list[float], depth: float, recover: float) -> F64:
    """Side-chain: lower the sound by `depth` 0…1 at each kick (s), back after `recover` s."""
    gain = np.ones(wave.shape[-1])
    times = np.arange(int(recover * rate)) / (recover * rate)
    dip = 1 - depth * (1 - times) ** 2 * np.minimum(1, times * recover / 0.004)
    for kick in kicks:
        at = int(kick * rate)
        here = gain[max(at, 0) : at + len(dip)]
        np.minimum(here, dip[: len(here)], out=here)
    return wave * gain


# --- space and motion -----------------------------------------------------------------------------


def room(rng: Rng, wave: F64, rate: int, decay: float, wet: float) -> F64:
    """Add a reverberation of `decay` seconds RT60 to [2, n], different in each ear.

    A few early echoes, then noise whose treble dies sooner than its bass.
    """
    count = int(min(decay, 1.5) * rate)
    tail = rng.normal(0, 1, (2, count)) * 10 ** (-3 * np.arange(count) / rate / decay)
    dull = sosfilt(butter(1, rng.uniform(1500, 4000), fs=rate, output="sos"), tail)
    tail = dull + tail * 10 ** (-4 * np.arange(count) / rate / decay)
    tail = sosfilt(butter(1, rng.uniform(40, 250), "highpass", fs=rate, output="sos"), tail)
    size = rng.uniform(0.004, 0.05)
    early = np.minimum((rng.uniform(0.1, 1, (2, 6)) * size * rate).astype(int), count - 1)
    tail[np.repeat([0, 1], 6), early.ravel()] += rng.normal(0, 3, 12)
    tail /= np.sqrt((tail**2).sum(1, keepdims=True))
    return wave + wet * oaconvolve(wave, tail[: len(wave)], axes=1)[:, : wave.shape[1]]


@njit(cache=True)
def _read_at(wave: F64, late: F64) -> F64:
    """[n] read `late` [n] samples ago, between samples by a line."""
    out = np.zeros_like(wave)
    for i in range(len(wave)):
        whole = int(late[i])
        part = late[i] - whole
        if i - whole - 1 >= 0:
            out[i] = (1 - part) * wave[i - whole] + part * wave[i - whole - 1]
    return out


def chorus(rng: Rng, wave: F64, rate: int, turns: float, depth: float, mix: float) -> F64:
    """Add moving copies to [2, n]: turns in Hz (a Leslie: 1–7), depth in seconds, mix 0…1."""
    times = np.arange(wave.shape[1]) / rate
    out = wave.copy()
    for ear in range(2):
        phase = 2 * np.pi * (turns * times + rng.uniform())
        late = (0.001 + depth * (1 + np.sin(phase))) * rate
        moved = _read_at(np.ascontiguousarray(wave[ear]), late)
        out[ear] = (1 - 0.5 * mix) * wave[ear] + mix * moved * (1 + 0.3 * mix * np.cos(phase))
    return out


# --- files ----------------------------------------------------------------------------------------


def _encoder(name: str, rate: int, bits: int) -> av.AudioCodecContext:
    coder = av.CodecContext.create(name, "w")
    assert isinstance(coder, av.AudioCodecContext)
    coder.sample_rate, coder.bit_rate = rate, bits
    coder.layout, coder.format = "mono", "fltp" if name == MP3 else "flt"
    coder.time_base = Fraction(1, rate)
    if name == OPUS:
        coder.options = {"application": "lowdelay"}  # the other modes are late by fractions
    coder.open()
    return coder


def _decoder(name: str, rate: int, extradata: bytes | None) -> av.AudioCodecContext:
    decoder = av.CodecContext.create("mp3float" if name == MP3 else name, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.extradata = None if name == MP3 else extradata
    decoder.sample_rate, decoder.layout = rate, "mono"
    return decoder


def _through(name: str, bits: int, rate: int, wave: F64) -> F64:
    """[n] encoded and decoded, late by whatever that costs."""
    coder = _encoder(name, rate, bits)
    size = coder.frame_size
    sound = np.pad(wave, (0, -len(wave) % size + 4 * size)).astype(np.float32)
    packets = []
    for start in range(0, len(sound), size):
        piece = sound[None, start : start + size]
        frame = av.AudioFrame.from_ndarray(piece, format=coder.format.name, layout="mono")
        frame.sample_rate, frame.pts = rate, start
        packets += coder.encode(frame)
    packets += coder.encode(None)
    decoder = _decoder(name, rate, coder.extradata)
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    heard = heard / 32768.0 if heard.dtype == np.int16 else heard.astype(np.float64)
    played = frames[0].sample_rate
    return heard if played == rate else soxr.resample(heard, played, rate)


@lru_cache(maxsize=64)
def _lateness(name: str, bits: int, rate: int) -> int:
    """Samples by which a codec is late."""
    noise = band(np.random.default_rng(0).normal(0, 0.1, rate), 200, 3400, rate)
    heard = _through(name, bits, rate, noise)[: 2 * rate]
    likeness = np.fft.irfft(np.fft.rfft(heard, 4 * rate) * np.fft.rfft(noise, 4 * rate).conj())
    return int(np.argmax(likeness[: rate // 2]))


def codec(wave: F64, rate: int, name: str, bits: int) -> F64:
    """[C, n] as a lossy file gives it back, at the same place to the sample.

    name: MP3 or OPUS; bits: a second and channel. Raises ValueError for a rate it cannot code.
    """
    rates = MP3_RATES if name == MP3 else OPUS_RATES
    if rate not in rates:
        raise ValueError(f"{name} codes {', '.join(map(str, rates))} Hz, not {rate} Hz")
    late = _lateness(name, bits, rate)
    out = np.zeros_like(wave)
    for channel, sound in zip(out, wave, strict=True):
        heard = _through(name, bits, rate, sound)[late:]
        channel[: len(heard)] = heard[: len(channel)]
    return out


# --- the finished recording -----------------------------------------------------------------------


def _shared_gain(rng: Rng, mixture: F64, rate: int) -> F64:
    """Gain [n] of a mastering chain that hears the mixture: compressor, limiter, clipping."""
    gain = np.ones(mixture.shape[1])
    if rng.random() < 0.5:
        ratio, release = rng.uniform(1.5, 6), rng.uniform(0.05, 0.4)
        gain = compression(mixture, rate, ratio, rng.uniform(0.002, 0.03), release)
    size = mixture.std() + 1e-12
    if rng.random() < 0.4:
        gain = gain * limiting(mixture * gain, rate, size * rng.uniform(1.5, 3.5))
    if rng.random() < 0.15:
        ceiling = size * rng.uniform(1.5, 4)
        gain = gain * np.minimum(1, ceiling / (np.abs(mixture * gain).max(0) + 1e-12))
    return gain


def _loudspeaker(rng: Rng, stems: list[F64], rate: int) -> list[F64]:
    """Stems as a telephone or laptop hears them in a small room: one linear path for all."""
    low, high = rng.uniform(80, 450), rng.uniform(3000, 7900)
    order = int(rng.choice([1, 2, 4]))
    body = np.concatenate(
        [bell(rng.uniform(300, 4000), rng.normal(0, 5), rng.uniform(0.2, 1), rate) for _ in "abc"]
    )
    decay, wet, seed = rng.uniform(0.1, 0.6), rng.uniform(0, 0.5), int(rng.integers(1 << 32))
    heard = []
    for stem in stems:
        wave = sosfilt(body, band(stem, low, high, rate, order))
        heard.append(room(np.random.default_rng(seed), wave, rate, decay, wet))
    return heard


def release(rng: Rng, voice: F64, backing: F64, rate: int) -> tuple[F64, F64]:
    """Stems [C, n] of a mixture after mastering, a lossy file, perhaps a loudspeaker and a phone.

    What hears the mixture (compression, limiting, clipping) is a gain that both stems share, what
    remains is done to each alone, so no voice gets into the backing.
    """
    if rng.random() < 0.5:
        seed, decibels = int(rng.integers(1 << 32)), rng.uniform(1, 5)
        voice, backing = (
            equalise(np.random.default_rng(seed), stem, rate, decibels) for stem in (voice, backing)
        )
    gain = _shared_gain(rng, voice + backing, rate)
    voice, backing = voice * gain, backing * gain
    if rng.random() < 0.12:
        voice, backing = _loudspeaker(rng, [voice, backing], rate)
    if rng.random() < 0.25:
        name = str(rng.choice([MP3, OPUS]))
        bits = int(rng.choice([24000, 32000, 48000, 64000]))
        if rate in (MP3_RATES if name == MP3 else OPUS_RATES):
            size = 0.5 / (np.abs(voice + backing).max() + 1e-12)
            voice, backing = (
                codec(stem * size, rate, name, bits) / size for stem in (voice, backing)
            )
    return voice, backing
