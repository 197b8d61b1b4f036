"""Speech sung on a score: WORLD takes a spoken line apart, a singer's timing and pitch rebuild it.

Vowels begin where their notes begin and consonants come before, as singers do it (Sundberg, The
Science of the Singing Voice, 1987). Only the middle of a vowel stretches. Voicing comes from the
phone labels: a pitch tracker's mistakes would turn held vowels into noise. WORLD: Morise, Yokomori
and Ozawa, IEICE Transactions E99-D(7), 2016.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from engine.motion.visemes import Phone
from engine.training.songs.voices import F64, SILENCE, MissingEngineError, Speech
from engine.training.truth import Note

Rng = np.random.Generator

FRAME = 0.005  # s
_FRAME_MS = FRAME * 1000
_FLOOR = 1e-12  # spectral power of nothing
VOWELS = frozenset("aeiouyøœɛɔəɚɜɝɐɑɒʌæɪʊʏɨʉɯɤᵻä")
UNVOICED = frozenset("ptkfθsʃhxçχʂɕcʔɸħʈ")
GLIDING = ("aɪ", "aʊ", "oʊ", "eɪ", "ɔɪ", "ɔø", "ɑʊ")  # these wait on their first vowel

Syllables = list[tuple[Note, ...]]


def _world() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources
            import pyworld
    except ImportError as error:
        raise MissingEngineError(
            "pyworld is missing: pip install pyworld 'setuptools<81'"
        ) from error
    return pyworld


@dataclass(frozen=True, slots=True)
class Singer:
    """How someone sings, whatever the words.

    warp: formants move up by this factor. vibrato_rate: Hz; vibrato_depth: cents. glide: seconds,
    the pitch's time constant. breathiness: 0…1 added to aperiodicity. ring: gain - 1 at the
    singer's formant. tilt: dB per octave above 500 Hz. scoop: chance to begin a note from below;
    fall: to let the last one drop; fry: to creak into or out of a line. growl: depth 0…1 of the
    roughness of loud notes. bend: how much more than `warp` the second formant's region moves up.
    bumps: dB of a fixed ripple of the spectrum, every 700 Hz or so, and `bump_phase` its place.
    tuned: 0…1, how much of drift and jitter pitch correction takes away. cracks: chance that a loud
    high note begins in the wrong register. diction: dB by which consonants are louder than spoken;
    airy: 0…1, how much breath a line's last sound lets go of. air: dB that vowels have above
    3.5 kHz at least, beside what they have just below: formant synthesisers fall silent there.
    """

    warp: float
    vibrato_rate: float
    vibrato_depth: float
    glide: float
    breathiness: float
    ring: float
    tilt: float
    scoop: float
    fall: float = 0.0
    fry: float = 0.0
    growl: float = 0.0
    bend: float = 0.0
    bumps: float = 0.0
    bump_phase: float = 0.0
    tuned: float = 0.0
    cracks: float = 0.0
    diction: float = 0.0
    airy: float = 0.0
    air: float = -60.0


@dataclass(frozen=True, slots=True)
class Sung:
    """wave: [n] float64 at `rate` Hz, beginning at `start` seconds of the score's time.

    phones: in the score's time. pitch: [frames] Hz every FRAME from `start`, 0 where unvoiced.
    """

    wave: F64
    rate: int
    start: float
    phones: tuple[Phone, ...]
    pitch: F64


@dataclass(frozen=True, slots=True)
class _Syllable:
    """Indices of a line's phones."""

    onset: tuple[int, ...]
    nucleus: int
    coda: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A phone's place in the song, seconds; `nucleus` if it is what the note is held on."""

    phone: int
    start: float
    end: float
    nucleus: bool
    last: bool


def is_vowel(label: str) -> bool:
    """True for labels that can carry a note: vowels, diphthongs, syllabic consonants."""
    return label[0] in VOWELS or "\u0329" in label


def is_voiced(label: str) -> bool:
    return label != SILENCE and label[0] not in UNVOICED and "\u0325" not in label


def syllabify(phones: tuple[Phone, ...]) -> list[_Syllable]:
    """Split a line into syllables, each with one vowel; pauses belong to none.

    Between two vowels one consonant begins the next syllable, two of three or more do.
    """
    nuclei = [i for i, phone in enumerate(phones) if is_vowel(phone.label)]
    syllables, begin = [], 0
    for k, nucleus in enumerate(nuclei):
        last = k + 1 == len(nuclei)
        between = range(nucleus + 1, len(phones) if last else nuclei[k + 1])
        pauses = [i for i in between if phones[i].label == SILENCE]
        if pauses:
            cut = pauses[0]
        elif last:
            cut = len(phones)
        else:
            cut = between.stop - min(len(between), 2 if len(between) > 2 else 1)
            cut += cut < between.stop and phones[cut].label == "ŋ"  # which begins no syllable
        onset = tuple(i for i in range(begin, nucleus) if phones[i].label != SILENCE)
        syllables.append(_Syllable(onset, nucleus, tuple(range(nucleus + 1, cut))))
        begin = cut
    return syllables


def place(
    phones: tuple[Phone, ...], syllables: list[_Syllable], score: Syllables
) -> list[_Segment]:
    """Give every phone its time on the score; consonants shrink together where notes are dense."""

    def lengths(indices: tuple[int, ...], longest: float) -> list[float]:
        return [float(np.clip(phones[i].end - phones[i].start, 0.03, longest)) for i in indices]

    segments: list[_Segment] = []
    squeeze = 1.0
    for k, (syllable, notes) in enumerate(zip(syllables, score, strict=True)):
        onset = lengths(syllable.onset, 0.16)
        start, end = notes[0].start, notes[-1].end
        at = start - sum(onset) * squeeze
        for i, length in zip(syllable.onset, onset, strict=True):
            segments.append(_Segment(i, at, at + length * squeeze, False, False))
            at += length * squeeze
        coda = lengths(syllable.coda, 0.14)
        last = k + 1 == len(syllables)
        limit = end + 1.0 if last else score[k + 1][0].start
        need = sum(coda) + (0.0 if last else sum(lengths(syllables[k + 1].onset, 0.16)))
        span = min(end, limit) - start
        shortest = start + max(min(0.05, 0.6 * span), 0.4 * span)
        vowel_end = max(min(end, limit - need), shortest)
        squeeze = min(1.0, (limit - vowel_end) / need) if need > 0 else 1.0
        closed = bool(coda) or (not last and vowel_end + need * squeeze > limit - 0.02)
        segments.append(_Segment(syllable.nucleus, start, vowel_end, True, not closed))
        at = vowel_end
        for i, length in zip(syllable.coda, coda, strict=True):
            segments.append(_Segment(i, at, at + length * squeeze, False, False))
            at += length * squeeze
    return segments


@dataclass(frozen=True, slots=True)
class Parts:
    """What WORLD takes speech apart into, every FRAME: pitch [frames] Hz, 0 where unvoiced;
    envelope [frames, bins] of log power; aperiodicity [frames, bins] in 0…1."""

    pitch: F64
    envelope: F64
    aperiodicity: F64


_SPARSE = 3  # frames from one look at aperiodicity, which is slow to take, to the next


def analyse(speech: Speech) -> Parts:
    """Take speech apart; voicing comes from its labels."""
    world = _world()
    wave, rate = np.ascontiguousarray(speech.wave), speech.rate
    pitch, times = world.dio(wave, rate, f0_floor=60, f0_ceil=420, frame_period=_FRAME_MS)
    pitch = world.stonemask(wave, pitch, times, rate)
    found = pitch > 0
    frames = np.arange(len(pitch))
    filled = (
        np.interp(frames, frames[found], pitch[found])
        if found.any()
        else np.full(len(pitch), 150.0)
    )
    voiced = np.zeros(len(pitch), bool)
    for phone in speech.phones:
        if is_voiced(phone.label):
            voiced |= (times >= phone.start) & (times < phone.end)
    pitch = np.where(voiced, filled, 0.0)
    envelope = world.cheaptrick(wave, pitch, times, rate)
    seldom = times[::_SPARSE].copy()
    sparse = world.d4c(wave, filled[::_SPARSE].copy(), seldom, rate, threshold=0.0)
    aperiodicity = _between(sparse, np.clip(frames / _SPARSE, 0, len(sparse) - 1.001))
    return Parts(pitch, np.log(envelope + 1e-16), aperiodicity)


def pitch_curve(rng: Rng, score: Syllables, singer: Singer, start: float, frames: int) -> F64:
    """MIDI pitch [frames] every FRAME: a damped spring follows the notes; long ones shake late."""
    times = start + np.arange(frames) * FRAME
    notes = [note for syllable in score for note in syllable]
    target = np.full(frames, notes[0].midi)
    for note in notes:
        target[times >= note.start - 0.03] = note.midi
    frequency, damping = 1 / singer.glide, 0.75
    curve, value, speed = np.empty(frames), target[0], 0.0
    for i, goal in enumerate(target):
        speed += (frequency**2 * (goal - value) - 2 * damping * frequency * speed) * FRAME
        value += speed * FRAME
        curve[i] = value
    for note in notes:
        length = note.end - note.start
        if length > 0.25 and rng.random() < singer.scoop:
            past = times - note.start
            depth, slope = rng.uniform(0.8, 2.5), rng.uniform(0.03, 0.06)
            curve -= np.where(
                (past > -0.06) & (past < length), depth * np.exp(-np.maximum(past, 0) / slope), 0
            )
        if length > 0.35:
            onset = note.start + rng.uniform(0.15, 0.3) * min(length, 1.5)
            inside = (times >= onset) & (times < note.end)
            past = times[inside] - onset
            swell = np.clip(past / 0.3, 0, 1) * np.clip((note.end - times[inside]) / 0.08, 0, 1)
            wander = gaussian_filter1d(rng.normal(0, 1, len(past)), 20) if len(past) else past
            phase = 2 * np.pi * np.cumsum(singer.vibrato_rate * (1 + 0.3 * wander)) * FRAME
            curve[inside] += (
                singer.vibrato_depth / 100 * rng.uniform(0.7, 1.3) * swell * np.sin(phase)
            )
    drift = gaussian_filter1d(rng.normal(0, 1, frames), 40)
    jitter = gaussian_filter1d(rng.normal(0, 1, frames), 2)
    loose = 1 - 0.9 * singer.tuned
    curve += loose * (0.10 * drift / (np.abs(drift).max() + 1e-9) + 0.025 * jitter)
    return curve + _ornaments(rng, notes, singer, times)


def _ornaments(rng: Rng, notes: list[Note], singer: Singer, times: np.ndarray) -> F64:
    """Semitones [frames] that cracked beginnings and falls at the end add."""
    bent = np.zeros(len(times))
    for note in notes:
        past = times - note.start
        if note.end - note.start > 0.4 and rng.random() < singer.cracks:
            length = rng.uniform(0.03, 0.08)
            bent[(past >= 0) & (past < length)] -= rng.choice([5, 7, 12])
    last = notes[-1]
    if last.end - last.start > 0.3 and rng.random() < singer.fall:
        before = rng.uniform(0.06, 0.15)
        bent -= rng.uniform(2, 7) * np.clip((times - last.end + before) / before, 0, 1.5) ** 2
    return gaussian_filter1d(bent, 1.5)


def _sounding(phone: Phone, level: F64) -> Phone:
    """The part of a vowel within 12 dB of its loudest frame of log power `level`; its engine may
    count the closure of the next stop as the vowel's."""
    first = int(phone.start / FRAME)
    inside = level[first : int(phone.end / FRAME) + 1]
    loud = np.flatnonzero(inside > inside.max(initial=-np.inf) - 12 * _NEPERS)
    if len(loud) < 4:
        return phone
    start, end = (first + loud[0]) * FRAME, (first + loud[-1] + 1) * FRAME
    return Phone(phone.label, max(phone.start, start), min(phone.end, end))


def _source(rng: Rng, phone: Phone, segment: _Segment, times: np.ndarray) -> F64:
    """Where in the speech (s) each of a segment's song `times` comes from.

    A held vowel keeps its first and last 70 ms and lingers in the middle with a slow wander.
    """
    spoken, sung = phone.end - phone.start, segment.end - segment.start
    past = times - segment.start
    if not segment.nucleus or sung <= spoken:
        return phone.start + past / sung * spoken
    edge = min(0.35 * spoken, 0.07)
    middle = (past >= edge) & (past <= sung - edge)
    source = np.where(past < edge, phone.start + past, phone.end - (sung - past))
    along = (past[middle] - edge) / max(sung - 2 * edge, 1e-6)
    wander = np.cumsum(rng.normal(0, 0.0012, len(along))) * np.sin(np.pi * along)
    bend = along ** (2.4 if phone.label in GLIDING else 1.0)
    source[middle] = np.clip(
        phone.start + edge + (spoken - 2 * edge) * bend + wander, phone.start, phone.end
    )
    return source


def _between(frames: F64, at: F64) -> F64:
    """Rows of `frames` at fractional places `at`."""
    low = np.minimum(at.astype(int), len(frames) - 2)
    share = (at - low)[:, None]
    return frames[low] * (1 - share) + frames[low + 1] * share


def _warp(spectra: F64, factor: float, bend: float, rate: int) -> F64:
    """Stretch the frequency axis; factor > 1 is a shorter vocal tract; bend: see Singer."""
    bins = spectra.shape[1]
    frequency = np.linspace(0, rate / 2, bins)
    local = factor * (1 + bend * np.exp(-(((frequency - 1600) / 800) ** 2)))
    at = np.clip(np.arange(bins) / local, 0, 0.94 * bins)  # the last bins are the anti-alias filter
    low = np.minimum(at.astype(int), bins - 2)
    share = at - low
    return spectra[:, low] * (1 - share) + spectra[:, low + 1] * share


def _colour(singer: Singer, force: float, rate: int, bins: int) -> tuple[F64, F64]:
    """Log power gain [bins] of throat and effort, and the octaves [bins] above 500 Hz.

    Effort (force 0…1) tilts the spectrum up, as belted notes are, and rings near 3 kHz.
    """
    frequency = np.linspace(0, rate / 2, bins)
    octaves = np.minimum(np.log2(np.maximum(frequency, 500) / 500), 3.5)
    ring = np.log1p(singer.ring * (0.4 + 1.2 * force) * np.exp(-(((frequency - 3000) / 500) ** 2)))
    ripple = singer.bumps * np.sin(frequency / 110 + singer.bump_phase)
    ripple += singer.bumps * np.sin(frequency / 331 + 2.4 * singer.bump_phase)
    tilt = singer.tilt + 4.0 * (force - 0.5)
    return ring + _NEPERS * (ripple + tilt * octaves), octaves


_NEPERS = np.log(10) / 10  # of power, a decibel


def _brighten(envelope: F64, voiced: np.ndarray, air: float, rate: int) -> None:
    """Raise log power [frames, bins] above 3.5 kHz to what `air` dB leave of 2.5–3.5 kHz."""
    frequency = np.linspace(0, rate / 2, envelope.shape[1])
    low, high = np.searchsorted(frequency, [2500, 3500])
    beside = np.log(np.exp(envelope[:, low:high]).mean(1) + 1e-16)
    fall = _NEPERS * (air - 6 * np.log2(frequency[high:] / 3500))
    least = np.where(voiced, beside, -np.inf)[:, None] + fall
    envelope[:, high:] = np.maximum(envelope[:, high:], least)


def _creak(rng: Rng, singer: Singer, score: Syllables, times: np.ndarray, pitch: F64) -> F64:
    """Let `pitch` [frames] Hz creak at a line's ends, as singers do; returns amplitude [frames]."""
    gain = np.ones(len(times))
    first, last = score[0][0], score[-1][-1]
    spans = []
    if rng.random() < singer.fry and first.end - first.start > 0.3:
        spans.append((first.start - 0.02, first.start + rng.uniform(0.04, 0.09)))
    if rng.random() < singer.fry and last.end - last.start > 0.5:
        spans.append((last.end - rng.uniform(0.08, 0.2), last.end + 0.2))
    for start, end in spans:
        inside = (times >= start) & (times < end) & (pitch > 0)
        if inside.any():
            rate = rng.uniform(38, 75) * np.exp(rng.normal(0, 0.12, inside.sum()))
            pitch[inside] = rate
            gain[inside] *= 0.55
    return gaussian_filter1d(gain, 1.5)


def _roughen(rng: Rng, wave: F64, rate: int, pitch: F64, depth: F64) -> F64:
    """Growl: every second or third period of [n] is weaker, by `depth` [frames], 0…1."""
    at = np.arange(len(wave)) / rate / FRAME
    frames = np.arange(len(pitch))
    part = float(rng.choice([1 / 2, 1 / 2, 1 / 3]))
    wander = np.exp(gaussian_filter1d(rng.normal(0, 0.6, len(pitch)), 3))
    phase = 2 * np.pi * np.cumsum(np.interp(at, frames, pitch * part * wander)) / rate
    amount = np.interp(at, frames, gaussian_filter1d(depth, 6))
    return wave * (1 - amount * (0.5 + 0.5 * np.sin(phase)))


def _loudness(
    segments: list[_Segment],
    phones: tuple[Phone, ...],
    envelope: F64,
    times: np.ndarray,
    diction: float,
) -> F64:
    """Amplitude gain [frames]: vowels hold their level and let go gently before a silence;
    consonants are `diction` dB louder."""
    level = np.sqrt(np.exp(envelope).mean(1))
    gain = np.ones(len(times))
    loudest = [
        np.percentile(level[inside], 80)
        for segment in segments
        if segment.nucleus and (inside := (times >= segment.start) & (times < segment.end)).any()
    ]
    usual = float(np.median(loudest)) if loudest else 1.0
    for segment in segments:
        held = np.flatnonzero((times >= segment.start) & (times < segment.end))
        if not segment.nucleus:
            gain[held] = 10 ** (diction / 20)
        if len(held) < 3 or not is_vowel(phones[segment.phone].label):
            continue
        reference = np.percentile(level[held], 80)
        even = np.clip((usual / max(reference, 1e-9)) ** 0.4, 0.6, 1.7)
        gain[held] = np.clip(reference / np.maximum(level[held], 1e-9), 0.5, 2.0) * even
        if segment.last:
            release = min(0.12, 0.35 * (segment.end - segment.start))
            gain[held] *= np.clip((segment.end - times[held]) / release, 0.05, 1)
    return gaussian_filter1d(gain, 2.5)


def _synthesize(pitch: F64, envelope: F64, aperiodicity: F64, rate: int) -> F64:
    """WORLD's parts, see Parts, → wave [n]; aperiodicity is clipped."""
    arrays = (pitch, np.exp(envelope), np.clip(aperiodicity, 1e-6, 1))
    whole = (np.ascontiguousarray(x) for x in arrays)
    wave: F64 = _world().synthesize(*whole, rate, _FRAME_MS)
    return wave


def sing(
    rng: Rng,
    speech: Speech,
    score: Syllables,
    singer: Singer,
    force: float = 0.5,
    parts: Parts | None = None,
) -> Sung:
    """Sing a spoken line: one entry of `score` per syllable, each a note or more (a melisma).

    force: 0 as soft as breath … 1 belted. parts: of the speech, where they are known already.
    Syllables beyond the score stay unsung. Raises ValueError when there are fewer than entries.
    """
    phones, rate = speech.phones, speech.rate
    syllables = syllabify(phones)
    if len(syllables) < len(score) or not score:
        raise ValueError(f"{len(score)} notes for {len(syllables)} syllables")
    segments = place(phones, syllables[: len(score)], score)
    start = segments[0].start - 0.05
    frames = int((segments[-1].end + 0.15 - start) / FRAME) + 1
    times = start + np.arange(frames) * FRAME

    parts = parts or analyse(speech)
    source = np.full(frames, -1.0)
    voiced = np.zeros(frames, bool)
    steady = np.zeros(frames, bool)
    level = np.log(np.exp(parts.envelope).mean(1))
    for segment in segments:
        inside = (times >= segment.start) & (times < segment.end)
        phone = phones[segment.phone]
        whole = _sounding(phone, level) if segment.nucleus else phone
        source[inside] = _source(rng, whole, segment, times[inside])
        voiced[inside] = is_voiced(phone.label)
        steady[inside] = segment.nucleus
    said = source >= 0
    at = np.clip(source[said] / FRAME, 0, len(parts.pitch) - 1.001)
    bins = parts.envelope.shape[1]
    envelope = np.full((frames, bins), np.log(_FLOOR))
    aperiodicity = np.ones_like(envelope)
    envelope[said] = _between(_warp(parts.envelope, singer.warp, singer.bend, rate), at)
    aperiodicity[said] = _between(_warp(parts.aperiodicity, singer.warp, singer.bend, rate), at)

    gain = _loudness(segments, phones, envelope, times, singer.diction)
    pitch = 440 * 2 ** ((pitch_curve(rng, score, singer, start, frames) - 69) / 12)
    pitch[~voiced] = 0
    gain *= _creak(rng, singer, score, times, pitch)
    colour, octaves = _colour(singer, force, rate, bins)
    sway = _NEPERS * gaussian_filter1d(rng.normal(0, 8, frames), 30)  # dB per octave, slow
    envelope += 2 * np.log(gain)[:, None] + colour + sway[:, None] * octaves * voiced[:, None]
    _brighten(envelope, voiced, singer.air, rate)
    aperiodicity[steady] *= 1.0 - 0.5 * min(1.0, force + 0.1)  # a full tone is clean
    airy = singer.breathiness * (1.6 - 1.2 * force) * (0.3 + 0.7 * octaves / octaves[-1])
    ending = singer.airy * np.clip((times - segments[-1].end + 0.12) / 0.12, 0, 1)
    aperiodicity += voiced[:, None] * (airy + ending[:, None])
    wave = _synthesize(pitch, envelope, aperiodicity, rate)
    if singer.growl:
        depth = singer.growl * steady * np.clip(force * 1.5 - 0.4, 0, 1)
        wave = _roughen(rng, wave, rate, pitch, depth)
    spoken = tuple(Phone(phones[s.phone].label, s.start, s.end) for s in segments)
    return Sung(wave, rate, start, spoken, pitch)


def respeak(speech: Speech, singer: Singer, factor: float) -> Speech:
    """Say it again with this singer's throat, pitch times `factor`; the phones stay in place."""
    parts, rate = analyse(speech), speech.rate
    envelope = _warp(parts.envelope, singer.warp, singer.bend, rate)
    envelope += _colour(singer, 0.5, rate, envelope.shape[1])[0]
    aperiodicity = _warp(parts.aperiodicity, singer.warp, singer.bend, rate)
    aperiodicity += 0.6 * singer.breathiness * (parts.pitch > 0)[:, None]
    wave = _synthesize(parts.pitch * factor, envelope, aperiodicity, rate)
    return Speech(wave, rate, speech.phones)


def breathe(rng: Rng, length: float, rate: int) -> F64:
    """An audible breath in, `length` seconds at `rate` Hz, peak 1."""
    count = int(length * rate)
    noise = rng.normal(0, 1, count)
    sound = 0.3 * noise
    for low, high, share in ((350, 700, 0.5), (1300, 2100, 1.0), (2700, 4200, 0.7)):
        scale = rng.uniform(0.85, 1.2)
        band = butter(
            2, [low * scale, min(high * scale, 0.48 * rate)], "bandpass", fs=rate, output="sos"
        )
        sound = sound + share * 2 * sosfilt(band, noise)
    sound = sosfilt(butter(1, 400, "highpass", fs=rate, output="sos"), sound)
    along = np.linspace(0, 1, count)
    swell = np.sin(np.pi * along ** rng.uniform(0.6, 1.5)) ** 2
    sound *= swell
    return sound / (np.abs(sound).max() + 1e-9)
