"""Accompaniments that separators take for voices: overdriven guitars, bent leads, noisy drums.

All are in the harmony's key and time, so that being out of key does not come to mean
accompaniment. Every player gives sound [2, samples] near 0.1 RMS. Plucked strings: Karplus and
Strong, Computer Music Journal 7(2), 1983; the fractional delay: Jaffe and Smith, same issue.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, iirpeak, lfilter, oaconvolve, sosfilt

from engine.training.songs.backing import Section, render, write_lead
from engine.training.songs.harmony import Harmony, compose
from engine.training.songs.voices import F64

Rng = np.random.Generator
LEVEL = 0.1  # RMS of what plays


def level(wave: F64) -> F64:
    """Scale sound so that its louder parts are at LEVEL RMS; silence stays silent."""
    power = (wave.reshape(-1, wave.shape[-1]) ** 2).mean(0)
    count = len(power) // 400 * 400
    blocks = power[:count].reshape(-1, 400).mean(1)
    if not count or blocks.max() < 1e-12:
        return wave
    return wave * LEVEL / np.sqrt(blocks[blocks > blocks.max() * 1e-2].mean())


def band(wave: F64, low: float, high: float, rate: int, order: int = 2) -> F64:
    """Band-pass; edges in Hz, the upper kept below the Nyquist frequency."""
    edges = [low, min(high, 0.49 * rate)]
    return sosfilt(butter(order, edges, "bandpass", fs=rate, output="sos"), wave)


def room(rng: Rng, wave: F64, rate: int, decay: float, wet: float) -> F64:
    """Add a reverberation of `decay` seconds RT60 to [2, n], different in each ear."""
    count = int(min(decay, 1.5) * rate)
    tail = rng.normal(0, 1, (2, count)) * 10 ** (-3 * np.arange(count) / rate / decay)
    tail = sosfilt(butter(1, min(7000, 0.45 * rate), fs=rate, output="sos"), tail)
    tail /= np.sqrt((tail**2).sum(1, keepdims=True))
    return wave + wet * oaconvolve(wave, tail, axes=1)[:, : wave.shape[1]]


def pan(wave: F64, place: float) -> F64:
    """[n] → [2, n] at constant power; place: -1 left … 1 right."""
    angle = (place + 1) * np.pi / 4
    return np.stack([wave * np.cos(angle), wave * np.sin(angle)]) * np.sqrt(2)


def _add(track: F64, sound: F64, at: int, gain: float = 1.0) -> None:
    """Add a sound to a track at a sample, cut where the track ends."""
    if 0 <= at < len(track):
        count = min(len(sound), len(track) - at)
        track[at : at + count] += gain * sound[:count]


def _hertz(midi: float) -> float:
    return 440 * 2 ** ((midi - 69) / 12)


# --- guitars --------------------------------------------------------------------------------------


def _pluck(rng: Rng, frequency: float, count: int, rate: int, softness: float) -> F64:
    """A plucked string, [count] samples."""
    delay = rate / frequency - 0.5
    whole, part = int(delay), delay - int(delay)
    burst = np.zeros(count)
    length = min(whole + 1, count)
    burst[:length] = lfilter([1 - softness], [1, -softness], rng.uniform(-1, 1, length))
    loss = 0.5 ** (1 / (frequency * rng.uniform(0.5, 2.5)))
    loop = np.zeros(whole + 3)
    loop[0] = 1
    loop[whole : whole + 3] = -loss * 0.5 * np.array([1 - part, 1, part])
    return lfilter([1], loop, burst)


def _amplify(rng: Rng, wave: F64, rate: int, drive: float) -> F64:
    """An amplifier: drive 0 is clean, 1 is a wall; then a cabinet with a resonance."""
    wave = band(wave / (wave.std() + 1e-9), rng.uniform(70, 250), 6000, rate, 1)
    if drive > 0:
        wave = np.tanh(wave / (wave.std() + 1e-9) * 10 ** (1.5 * drive - 0.2))
    wave = band(wave, rng.uniform(60, 120), rng.uniform(2800, 6000), rate)
    peak = iirpeak(rng.uniform(800, 3000), 1.5, fs=rate)
    return wave + rng.uniform(0, 1.5) * lfilter(*peak, wave)


def _power_chords(
    rng: Rng, harmony: Harmony, samples: int, rate: int, pattern: np.ndarray, drive: float
) -> F64:
    """One take of a riff of chords on the bar's root, eighth by eighth; [samples]."""
    track = np.zeros(samples)
    intervals = (0, 7, 12) if drive > 0.3 else (0, 7, 12, 16 if harmony.scale[2] == 4 else 15, 19)
    steps = 2 * harmony.metre
    for bar in range(harmony.bars):
        root = harmony.chord(bar)[0] - 24
        for step in np.flatnonzero(pattern[:steps]):
            lift = pattern[step] - 1
            length = 0.5 * float(rng.choice([0.6, 1, 1, 2, 4]))
            count = int(min(length * harmony.beat, 2.5) * rate)
            fade = np.minimum(1, np.arange(count)[::-1] / (0.01 * rate))
            softness = rng.uniform(0.2, 0.7)
            chord = sum(
                _pluck(rng, _hertz(root + lift + k + rng.normal(0, 0.015)), count, rate, softness)
                for k in intervals
            )
            at = harmony.at(bar * harmony.metre + step / 2) + abs(rng.normal(0, 0.004))
            _add(track, chord * fade, int(at * rate), rng.uniform(0.7, 1))
    return track


def rhythm_guitar(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """Power chords or riffs, mostly overdriven, often played twice and panned apart."""
    drive = 0.0 if rng.random() < 0.2 else rng.uniform(0.3, 1.0)
    pattern = (rng.random(8) < rng.uniform(0.3, 0.95)).astype(int)
    pattern[0] = 1
    pattern[1:] *= np.where(rng.random(7) < 0.15, rng.choice([3, 4, 6], 7) + 1, 1)  # riff notes
    takes = 2 if rng.random() < 0.6 else 1
    spread = rng.uniform(0.3, 0.9) if takes == 2 else 0.4
    wave = np.zeros((2, samples))
    for take in range(takes):
        mono = _amplify(
            rng, _power_chords(rng, harmony, samples, rate, pattern, drive), rate, drive
        )
        wave += pan(mono, spread * (1 - 2 * take))
    return level(room(rng, wave, rate, rng.uniform(0.2, 1.2), rng.uniform(0, 0.3)))


# --- leads ----------------------------------------------------------------------------------------


def _saw(phase: F64, step: F64) -> F64:
    """A saw from phase in cycles and step per sample, edges rounded by a polynomial.

    PolyBLEP: Välimäki & Huovilainen, IEEE Signal Processing Magazine 24(2), 2007.
    """
    t = phase % 1
    wave = 2 * t - 1
    early, late = t < step, t > 1 - step
    a = t[early] / step[early]
    wave[early] -= 2 * a - a * a - 1
    b = (t[late] - 1) / step[late]
    wave[late] -= b * b + 2 * b + 1
    return wave


def _oscillate(rng: Rng, frequency: F64, rate: int) -> F64:
    """One of five timbres at a frequency curve [n] Hz."""
    step = frequency / rate
    phase = np.cumsum(step)
    kind = rng.integers(5)
    if kind == 0:
        return _saw(phase, step)
    if kind == 1:
        return _saw(phase, step) - _saw(phase + rng.uniform(0.2, 0.5), step)
    if kind == 2:
        detuned = [step * 2 ** (cents / 1200) for cents in rng.normal(0, 12, 3)]
        return np.sum([_saw(np.cumsum(each), each) for each in detuned], axis=0) / 2
    if kind == 3:
        ratio, index = rng.choice([0.5, 1, 2, 3]), rng.uniform(0.5, 4)
        return np.sin(2 * np.pi * phase + index * np.sin(2 * np.pi * ratio * phase))
    partials = rng.uniform(0, 1, 6) / np.arange(1, 7)
    return partials @ np.sin(2 * np.pi * np.arange(1, 7)[:, None] * phase)


def synth_lead(
    rng: Rng, harmony: Harmony, stretches: list[tuple[float, float]], samples: int, rate: int
) -> F64:
    """A gliding, shaking synthesiser or overdriven guitar line in key over stretches of beats."""
    pitch = np.full(samples, float(harmony.key))
    sounding = np.zeros(samples)
    octave = int(rng.choice([-7, 0, 0, 7]))
    decay = rng.uniform(0.6, 4)
    for first, end in stretches:
        beats, degree = first, int(rng.integers(0, 7))
        while beats < end - 0.2:
            length = min(float(rng.choice([0.25, 0.5, 0.5, 1, 1, 2, 4])), end - beats)
            degree = int(np.clip(degree + rng.integers(-2, 3), -2, 9))
            a, b = int(harmony.at(beats) * rate), int(harmony.at(beats + length) * rate)
            b = min(a + int((b - a) * rng.uniform(0.8, 1)), samples)
            if a < b and rng.random() < 0.9:
                pitch[a:] = harmony.pitch(degree + octave)
                sounding[a:b] = np.exp(-np.arange(b - a) / rate / decay)
            beats += length
    glide = np.exp(-1 / (rate * rng.uniform(0.004, 0.05)))
    pitch = lfilter([1 - glide], [1, -glide], pitch, zi=[pitch[0] * glide])[0]
    times = np.arange(samples) / rate
    depth = rng.uniform(0, 0.6) * lfilter([1e-4], [1, -(1 - 1e-4)], sounding)
    pitch += depth * np.sin(2 * np.pi * rng.uniform(4.5, 7) * times)
    wave = _oscillate(rng, _hertz(1) * 2 ** ((pitch - 1) / 12), rate)
    smooth = np.exp(-1 / (rate * 0.004))
    wave = wave * lfilter([1 - smooth], [1, -smooth], sounding)
    if rng.random() < 0.5:
        wave = _amplify(rng, wave, rate, rng.uniform(0.2, 1.0))
    else:
        wave = band(wave, 80, rng.uniform(1500, 7500), rate, 1)
    stereo = pan(wave, rng.uniform(-0.5, 0.5))
    return level(room(rng, stereo, rate, rng.uniform(0.2, 1.5), rng.uniform(0, 0.4)))


def gm_lead(
    rng: Rng, harmony: Harmony, stretches: list[tuple[float, float]], samples: int, rate: int
) -> F64:
    """A General MIDI lead with bends and vibrato; one in four through an overdriven amplifier."""
    wave = render(write_lead(rng, harmony, stretches), samples, rate)
    if rng.random() < 0.25:
        wave = np.tanh(wave / (wave.std() + 1e-9) * rng.uniform(0.5, 4))
    return level(wave)


def lead(
    rng: Rng, harmony: Harmony, stretches: list[tuple[float, float]], samples: int, rate: int
) -> F64:
    """Either kind of lead."""
    player = gm_lead if rng.random() < 0.65 else synth_lead
    return player(rng, harmony, stretches, samples, rate)


# --- drums ----------------------------------------------------------------------------------------


class Kit:
    """A drum kit of sines and noise, drawn at random: each piece is a sound [n] at `rate` Hz."""

    def __init__(self, rng: Rng, rate: int) -> None:
        self._rng, self._rate = rng, rate
        second = np.arange(rate) / rate
        self._time = second

        low, drop, fall = rng.uniform(38, 65), rng.uniform(60, 250), rng.uniform(0.01, 0.05)
        body = np.sin(2 * np.pi * np.cumsum(low + drop * np.exp(-second / fall)) / rate)
        body *= self._decay(rng.uniform(0.06, 0.25))
        click = self._noise(1500, 6000) * self._decay(0.004) * rng.uniform(0, 1)
        self.kick = np.tanh((body + click) * rng.uniform(1, 4))

        rattle = self._noise(rng.uniform(300, 1500), rng.uniform(4000, 7900)) * self._decay(
            rng.uniform(0.04, 0.2)
        )
        shell = np.sin(2 * np.pi * rng.uniform(160, 260) * second) * self._decay(
            rng.uniform(0.03, 0.1)
        )
        self.snare = np.tanh(
            (rattle * rng.uniform(1, 3) + shell * rng.uniform(0.1, 1)) * rng.uniform(0.8, 3)
        )

        hands = sum(
            np.exp(-(second - k * 0.011) / 0.008) * (second >= k * 0.011) for k in range(3)
        ) + 0.8 * np.exp(-(second - 0.033) / rng.uniform(0.04, 0.12)) * (second >= 0.033)
        self.clap = 2 * hands * self._noise(rng.uniform(700, 1200), rng.uniform(1800, 5000))

        self.closed_hat = self._metal(rng.uniform(0.01, 0.04))
        self.open_hat = self._metal(rng.uniform(0.1, 0.4))
        self.crash = self._noise(2500, 14000) * self._decay(rng.uniform(0.2, 0.6))
        self.shaker = self._noise(3000, 12000) * np.sin(np.pi * np.minimum(1, second / 0.08))
        self.toms = [
            np.sin(2 * np.pi * np.cumsum(f * (1 + 0.5 * np.exp(-second / 0.03))) / rate)
            * self._decay(0.18)
            for f in np.array([90, 120, 170]) * rng.uniform(0.8, 1.2)
        ]

    def _decay(self, seconds: float) -> F64:
        return np.exp(-self._time / seconds)

    def _noise(self, low: float, high: float) -> F64:
        return band(self._rng.normal(0, 1, self._rate), low, high, self._rate)

    def _metal(self, decay: float) -> F64:
        ring = np.sign(np.sin(2 * np.pi * self._rng.uniform(3000, 5500) * self._time))
        mixed = self._rng.normal(0, 1, self._rate) + 0.5 * ring
        return band(mixed, self._rng.uniform(3500, 6000), 14000, self._rate) * self._decay(decay)


def synth_drums(
    rng: Rng, harmony: Harmony, sections: list[Section], samples: int, rate: int
) -> F64:
    """A drum machine in sixteenths; the kick lands exactly on its beats, the rest a little late."""
    kit = Kit(rng, rate)
    track = np.zeros(samples)
    steps = 4 * harmony.metre
    kick = rng.random(steps) < 0.14
    kick[0] = True
    kick[steps // 2] |= rng.random() < 0.6
    snare = rng.random(steps) < 0.04
    snare[[4, steps - 4]] = True
    hat = int(rng.choice([1, 2, 2, 4]))
    gain = {
        "kick": rng.uniform(0.6, 1.4),
        "snare": rng.uniform(0.5, 1.3),
        "hat": rng.uniform(0.1, 0.6),
    }
    hit = kit.clap if rng.random() < 0.3 else kit.snare
    riding, enters = rng.random() < 0.3, rng.uniform(-0.3, 0.6)
    low_end = rng.random() < 0.35

    def strike(sound: F64, beats: float, loud: float, exact: bool = False) -> None:
        late = 0.0 if exact else abs(rng.normal(0, 0.003))
        _add(track, sound, int((harmony.at(beats) + late) * rate), loud * rng.uniform(0.75, 1.1))

    for section in sections:
        if section.force < enters:
            continue
        for bar in range(section.first, section.end):
            if bar % 4 == 0 and rng.random() < 0.5:
                strike(kit.crash, bar * harmony.metre, rng.uniform(0.1, 0.4))
            for step in range(steps):
                beats = bar * harmony.metre + step / 4
                if kick[step]:
                    strike(kit.kick, beats, gain["kick"], exact=step % 4 == 0)
                if snare[step]:
                    strike(hit, beats, gain["snare"])
                if step % hat == 0:
                    strike(
                        kit.closed_hat if rng.random() < 0.9 else kit.open_hat, beats, gain["hat"]
                    )
                if riding and step % 2 == 0:
                    strike(kit.crash, beats, 0.06)
                if bar % 4 == 3 and step >= steps - 4 and rng.random() < 0.5:
                    strike(kit.toms[rng.integers(3)], beats, 0.7)
                if rng.random() < 0.03:
                    strike(kit.shaker, beats, 0.4)
            if low_end:
                _deep_bass(rng, track, harmony, bar, np.flatnonzero(kick) / 4, rate)
    wave = pan(track, 0.0)
    if rng.random() < 0.6:
        wave = room(rng, wave, rate, rng.uniform(0.1, 0.8), rng.uniform(0.05, 0.5))
    return level(np.tanh(wave / (wave.std() + 1e-9) * rng.uniform(0.15, 0.6)))


def _deep_bass(
    rng: Rng, track: F64, harmony: Harmony, bar: int, kicks: np.ndarray, rate: int
) -> None:
    """An 808: long sines on the chord's root under the kicks, overdriven."""
    root = harmony.chord(bar)[0] - 36
    frequency = _hertz(root + (12 if root < 26 else 0))
    for beats in kicks:
        if rng.random() < 0.8:
            times = np.arange(int(rng.uniform(0.2, 0.9) * rate)) / rate
            tone = np.sin(2 * np.pi * (frequency * times + 0.3 * (1 - np.exp(-times / 0.03))))
            fade = np.minimum(1, np.arange(len(times))[::-1] / (0.01 * rate))
            tone = np.tanh(tone * rng.uniform(1, 4)) * np.exp(-times / rng.uniform(0.3, 1.0)) * fade
            _add(
                track,
                tone,
                int(harmony.at(bar * harmony.metre + beats) * rate),
                rng.uniform(0.3, 0.8),
            )


# --- alone ----------------------------------------------------------------------------------------


def _whole(harmony: Harmony) -> list[tuple[float, float]]:
    return [(0.0, float(harmony.bars * harmony.metre))]


def _make_drums(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    return synth_drums(rng, harmony, [Section(0, harmony.bars, 1.0)], samples, rate)


def _make_leads(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    wave = lead(rng, harmony, _whole(harmony), samples, rate)
    if rng.random() < 0.4:
        wave = wave + rng.uniform(0.3, 1.0) * lead(rng, harmony, _whole(harmony), samples, rate)
    return level(wave)


def _make_guitars(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    if rng.random() < 0.6:
        return rhythm_guitar(rng, harmony, samples, rate)
    solo = synth_lead(rng, harmony, _whole(harmony), samples, rate)
    return level(solo + rng.uniform(0, 1) * rhythm_guitar(rng, harmony, samples, rate))


KINDS = {"drums": _make_drums, "guitars": _make_guitars, "leads": _make_leads}


def make_backing(seed: int, kind: str, rate: int = 16000) -> F64:
    """A piece of one of KINDS without voice, 10–12 s: [2, n] at `rate` Hz, peak at most 0.9."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    samples = int(rng.uniform(10, 12) * rate)
    harmony = compose(rng, samples / rate, float(rng.uniform(65, 170)))
    wave = KINDS[kind](rng, harmony, samples, rate)
    return wave * min(1.0, 0.9 / np.abs(wave).max())
