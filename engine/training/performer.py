"""The performer: reads a song's phones, notes and beats, and acts the motion the networks learn.

What a listener could not know in time is kept out: slow feelings only follow the sound, by
one-sided filters; the mouth foresees at most 60 ms; eyes close on a note once it has been held.
Chance decides which way the head goes and where the eyes look, little else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from engine.motion.blendshapes import INDEX
from engine.motion.mouthing import STYLES, Face, Style, act_mouth, knee
from engine.motion.visemes import BREATH, REST_GAP, articulate, is_vowel
from engine.signals import F32
from engine.timeline import FEATURE_HOP, FEATURE_RATE, FRAME_RATE, HOP_RATE
from engine.training.swaying import LIMIT, PITCH, YAW, pulse_grid, sway
from engine.training.truth import Note, Truth

F64 = NDArray[np.float64]
Rng = np.random.Generator

RAMP = 0.15  # seconds that lids take to close or open
HELD = 0.30  # seconds that a note must have been held before the eyes close on it
LONG_NOTE = 0.90  # seconds, shortest note that may close the eyes
LONG_CLOSING = 0.60  # seconds, shortest closing performed (> 0.5, the paper's bound)
EYE_TRAVEL = 0.55  # radians of gaze at which an eyeLook shape is 1
GAZE_LIMIT = 0.40  # radians


@dataclass(frozen=True, slots=True)
class Performance:
    """T = ceil(n / 16000 · 30) frames; frame n belongs to the sound that starts at n / 30 s.

    blendshapes: [T, 52] float32 in [0, 1]; the two eyeBlinks stay 0.
    head: [T, 6] float32: yaw, pitch, roll in radians, x, y, z in metres.
    gaze: [T, 2] float32 radians relative to the head, > 0 to the singer's left, > 0 up.
    long_closing: [T] float32 in [0, 1], closings longer than 0.5 s only.
    voice: [T] float32, 1 where somebody sings or speaks audibly.
    """

    blendshapes: F32
    head: F32
    gaze: F32
    long_closing: F32
    voice: F32


@dataclass(frozen=True, slots=True)
class Music:
    """What the performer hears in each frame, all [T]; slow ones only follow.

    level: voice in dB re the song's loud level. audible: 1 … 0 as the loudest 0.2 s about a frame
    fall from -24 to -42 dB. loud, high: loudness and pitch in [0, 1] within the song, quick.
    force: both together, slow. held: 1 deep into a long note. dense: syllables per second / 5, in
    [0, 1]. voice, breath: 0 / 1. singing: voice, slow. bright: major 1 … minor -1.
    """

    level: F64
    audible: F64
    loud: F64
    high: F64
    force: F64
    held: F64
    dense: F64
    voice: F64
    breath: F64
    singing: F64
    bright: F64


def follow(x: F64, seconds: float) -> F64:
    """Smooth [T] by two one-pole filters of this time constant: late, never early."""
    a = float(np.exp(-1 / (seconds * FRAME_RATE)))
    y: F64 = x
    for _ in range(2):
        y, _ = signal.lfilter([1 - a], [1, -a], y, zi=np.array([a * y[0]]))
    return y


def frame_times(frames: int) -> F64:
    """[T] seconds: the middle of each frame."""
    return (np.arange(frames) + 0.5) / FRAME_RATE


def voice_level(voice: F32, frames: int) -> F64:
    """[T] dB re the voice's loud level (95th percentile of its sounding 10 ms), over ~50 ms."""
    hops = -(-len(voice) // FEATURE_HOP)
    padded = np.zeros(hops * FEATURE_HOP, np.float64)
    padded[: len(voice)] = voice
    power = (padded.reshape(hops, FEATURE_HOP) ** 2).mean(1)
    taps = np.hanning(9)[1:-1]
    db = 10 * np.log10(np.convolve(power, taps / taps.sum())[3 : 3 + hops] + 1e-12)
    sounding = db[db > max(db.max() - 40, -70)]
    loud = float(np.percentile(sounding, 95)) if sounding.size else 0.0
    hop_middle = (np.arange(hops) + 0.5) / HOP_RATE
    return np.interp(frame_times(frames), hop_middle, db) - loud


def _mark(spans: list[tuple[float, float]], frames: int) -> F64:
    """[T] 1 in frames that overlap a span of seconds."""
    out = np.zeros(frames)
    for start, end in spans:
        first = int(start * FRAME_RATE + 1e-6)
        out[max(0, first) : max(first + 1, int(np.ceil(end * FRAME_RATE - 1e-6)))] = 1
    return out


def _utterances(truth: Truth) -> list[tuple[float, float]]:
    """Seconds of singing or speech, over gaps too short for the mouth to rest."""
    spans: list[tuple[float, float]] = []
    for phone in sorted(truth.phones, key=lambda p: p.start):
        if phone.label == BREATH:
            continue
        if spans and phone.start - spans[-1][1] <= REST_GAP:
            spans[-1] = (spans[-1][0], max(spans[-1][1], phone.end))
        else:
            spans.append((phone.start, phone.end))
    return spans


def _pitch(notes: tuple[Note, ...], frames: int) -> F64:
    """[T] in [0, 1]: place of the note within the song's range (7 semitones at least)."""
    if not notes:
        return np.full(frames, 0.4)
    midi = np.array([n.midi for n in notes])
    low, top = np.percentile(midi, [5, 95])
    low = min(low, top - 7)
    start = np.array([n.start for n in notes])
    k = (np.searchsorted(start, frame_times(frames), side="right") - 1).clip(0)
    return ((midi[k] - low) / (top - low)).clip(0, 1)


_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])


def brightness(notes: list[Note]) -> float:
    """Major (1) or minor (-1) by Krumhansl and Kessler's key profiles, 0 where it is open."""
    held = np.zeros(12)
    for note in notes:
        held[round(note.midi) % 12] += note.end - note.start
    if held.std() < 1e-9:
        return 0.0
    fits = [
        max(np.corrcoef(np.roll(profile, k), held)[0, 1] for k in range(12))
        for profile in (_MAJOR, _MINOR)
    ]
    return float(np.tanh(8 * (fits[0] - fits[1])))


def _held(notes: tuple[Note, ...], frames: int) -> F64:
    """[T]: grows from 0 to 1 while a note is held, from 0.3 s to 0.8 s into it."""
    times, out = frame_times(frames), np.zeros(frames)
    for note in notes:
        inside = (times >= note.start) & (times < note.end)
        out[inside] = ((times[inside] - note.start - 0.3) / 0.5).clip(0, 1)
    return out


def listen(truth: Truth, voice: F32, frames: int) -> Music:
    """Everything the performer goes by."""
    level = voice_level(voice, frames)
    sounds = _mark(_utterances(truth), frames)
    reach = np.lib.stride_tricks.sliding_window_view(np.pad(level, 3, mode="edge"), 7).max(1)
    audible = ((reach + 42) / 18).clip(0, 1)
    active = sounds * (reach > -40)
    loud = ((level + 30) / 30).clip(0, 1)
    high = _pitch(truth.notes, frames)
    onsets = np.zeros(frames)
    for phone in truth.phones:
        if is_vowel(phone.label):
            onsets[min(frames - 1, int(phone.start * FRAME_RATE))] += FRAME_RATE / 5
    phrases = [[n for n in truth.notes if p.start <= n.start < p.end] for p in truth.phrases]
    bright = np.full(frames, brightness(list(truth.notes)))
    for phrase, notes in zip(truth.phrases, phrases, strict=True):
        span = slice(int(phrase.start * FRAME_RATE), int(phrase.end * FRAME_RATE) + 1)
        bright[span] = 0.6 * bright[span] + 0.4 * brightness(notes)
    return Music(
        level=level,
        audible=audible,
        loud=loud,
        high=high,
        force=follow(active * (0.55 * loud + 0.45 * high), 0.2),
        held=_held(truth.notes, frames),
        dense=follow(onsets, 0.35).clip(0, 1),
        voice=active,
        breath=_mark([(p.start, p.end) for p in truth.phones if p.label == BREATH], frames),
        singing=follow(active, 0.5),
        bright=follow(bright, 0.5),
    )


def mouth_gain(music: Music, style: Style, speech: bool) -> F64:
    """[T] what the jaw's target is multiplied by: soft 0.6, loud 1.25, high notes 1.2×."""
    steps, scale = [-40, -28, -20, -12, -4, 1], [0.05, 0.18, 0.34, 0.62, 1.06, 1.36]
    loudness = np.interp(music.level, steps, scale)
    pitch = 1 + 0.3 * (follow(music.high, 0.03) - 0.35)
    settled = 1 - 0.12 * music.held
    return loudness * pitch * settled * style.mouth * (0.72 if speech else 1.0)


def act_feeling(face: Face, music: Music, style: Style, closing: F64) -> None:
    """Brows, cheeks, lids and smile, all slower than 200 ms."""
    song = music.singing
    climax = follow(1 / (1 + np.exp(-(music.force - 0.68) / 0.05)) * music.voice, 0.12)
    rise = follow(music.voice * (music.high - 0.35).clip(0) * (0.5 + 0.5 * music.loud), 0.12)
    inhale = follow(music.breath, 0.07)
    minor, major = (-music.bright).clip(0), music.bright.clip(0)
    play = style.brows
    rise = rise * (1 - min(0.8, 0.5 * style.tension) * climax)  # a tense brow knits, not lifts
    face.add(
        "browInnerUp", play * (0.06 * song + 0.75 * rise + 0.16 * inhale + 0.16 * minor * song)
    )
    face.add("browInnerUp", play * 0.18 * closing)
    face.add("browOuterUp", play * (0.60 * rise * (1 - 0.5 * closing) + 0.10 * inhale))
    face.add("browDown", style.tension * 0.38 * climax)
    face.add("eyeSquint", style.tension * 0.36 * climax + 0.10 * style.smile)
    face.add(
        "cheekSquint", style.tension * 0.28 * climax + 0.25 * closing + 0.5 * style.smile * song
    )
    face.add("noseSneer", style.tension * 0.14 * climax + 0.14 * inhale)
    face.add("eyeWide", play * 0.16 * rise * (1 - closing) + 0.05 * inhale)
    smile = (
        style.smile * (0.55 + 0.45 * song) * (1 + 0.7 * major - 0.6 * minor) * (1 - 0.5 * climax)
    )
    face.add("mouthSmile", smile)
    face.add("mouthFrown", 0.08 * minor * song + 0.06 * style.tension * climax)


def _phrase_softness(truth: Truth, music: Music) -> list[tuple[float, float, float]]:
    """Each phrase as start, end, loudness (mean dB of its sounding frames)."""
    out = []
    for phrase in truth.phrases:
        span = slice(int(phrase.start * FRAME_RATE), int(phrase.end * FRAME_RATE) + 1)
        sounding = music.level[span][music.level[span] > -35]
        out.append((phrase.start, phrase.end, float(sounding.mean()) if sounding.size else -35.0))
    return out


def _urge(note: Note, soft: bool, music: Music) -> float:
    """How much a held note asks for closed eyes, 0 … 1.5: by its loudness and pitch while the
    singer decides, its length, and the softness of its phrase."""
    heard = slice(int((note.start + 0.1) * FRAME_RATE), int((note.start + 0.45) * FRAME_RATE))
    climax = float(0.5 * music.loud[heard].mean() + 0.5 * music.high[heard].mean())
    return climax + 0.25 * min(1.0, (note.end - note.start) / 2.5) + 0.25 * soft


def closing_spans(truth: Truth, music: Music, style: Style, rng: Rng) -> list[tuple[float, float]]:
    """Seconds where the eyes stay closed: held notes that stand out, or lie in soft phrases."""
    last = len(music.level) / FRAME_RATE - 0.5
    if truth.speech:
        return []
    phrases = _phrase_softness(truth, music)
    quiet = np.percentile([p[2] for p in phrases], 30) if len(phrases) > 2 else -np.inf
    spans: list[tuple[float, float]] = []
    for note in truth.notes:
        soft = any(a <= note.start < b and level <= quiet for a, b, level in phrases)
        if note.end - note.start < LONG_NOTE or note.start > last:
            continue
        if _urge(note, soft, music) < 1.2 - 0.65 * style.closing or rng.random() < 0.06:
            continue
        start = note.start + HELD + rng.uniform(-0.03, 0.03)
        end = max(note.end + rng.uniform(0.0, 0.05), start + LONG_CLOSING)
        if spans and start - spans[-1][1] < 0.4:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _lids(spans: list[tuple[float, float]], frames: int) -> F64:
    """[T] in [0, 1]: the spans with smooth ramps of `RAMP` about their ends."""
    times = frame_times(frames)
    out = np.zeros(frames)
    for start, end in spans:
        edge = np.minimum(times - start, end - times) / RAMP + 0.5
        out = np.maximum(out, 0.5 - 0.5 * np.cos(np.pi * edge.clip(0, 1)))
    return out


def _accents(truth: Truth, music: Music) -> F64:
    """Seconds to move on: the beats, or stressed syllables (≥ 0.4 s apart) of what has none."""
    if len(truth.beats) >= 2 and not truth.speech:
        return np.array(truth.beats)
    picked: list[float] = []
    for phone in truth.phones:
        if not is_vowel(phone.label) or (picked and phone.start - picked[-1] < 0.4):
            continue
        frame = min(len(music.level) - 1, int((phone.start + 0.06) * FRAME_RATE))
        if music.level[frame] > -12:
            picked.append(phone.start)
    return np.array(picked)


def pulse_phase(truth: Truth, frames: int) -> F64:
    """[T] how far a frame is on its way from one pulse of the head to the next, 0 … 1; nan where
    nothing beats."""
    if truth.speech or len(truth.beats) < 2:
        return np.full(frames, np.nan)
    grid = pulse_grid(np.array(truth.beats), np.array(truth.downbeats), frames / FRAME_RATE)
    times = frame_times(frames)
    k = (np.searchsorted(grid, times, side="right") - 1).clip(0, len(grid) - 2)
    return ((times - grid[k]) / (grid[k + 1] - grid[k])).clip(0, 1)


def _near(grid: F64, times: F64) -> F64:
    """[len(grid)] 1 where one of `times` lies within 90 ms of a beat, else 0."""
    if not len(times):
        return np.zeros(len(grid))
    times = np.sort(times)
    k = np.searchsorted(times, grid)
    away = [np.abs(times[(k + side).clip(0, len(times) - 1)] - grid) for side in (-1, 0)]
    return (np.minimum(*away) < 0.09).astype(float)


def act_head(truth: Truth, music: Music, style: Style, rng: Rng) -> F64:
    """[T, 6] head pose: strokes on the beat, their vigour from the music, plus posture."""
    frames = len(music.level)
    beats = _accents(truth, music)
    grid = pulse_grid(beats, np.array(truth.downbeats), frames / FRAME_RATE)
    times = frame_times(frames)
    spacing = 1.5 * float(np.median(np.diff(grid)))
    pulsed = follow(_mark([(b - spacing, b + spacing) for b in beats], frames), 0.15)
    sung = music.singing * (0.40 + 0.45 * music.dense + 0.60 * music.force) * (1 - 0.6 * music.held)
    vigour = follow(np.maximum(sung, 0.30 * pulsed), 0.15)
    home = (1 - music.singing) * (0.55 + 0.45 * (1 - pulsed))
    vigour = np.maximum(vigour, 0.25 * home) * (0.5 if truth.speech else 1.0)
    thick = np.interp(grid, times, music.dense)
    accent = 0.45 + 0.3 * _near(grid, np.array(truth.downbeats))
    accent += 0.45 * _near(grid, np.array([n.start for n in truth.notes]))
    head, _ = sway(grid, accent, vigour, thick, home, style.vigour, rng)
    posture = follow(music.force * music.singing, 0.35)
    head[:, PITCH] += 0.07 * style.vigour * posture * (0.4 if truth.speech else 1.0)
    drift = np.cumsum(rng.normal(size=(frames, 6)), axis=0)
    slow = signal.lfilter([1, -1], [1, -0.97], drift, axis=0)
    slow = np.stack([follow(follow(column, 0.2), 0.2) for column in slow.T], 1)
    head += 0.012 * LIMIT * slow / (slow.std(axis=0) + 1e-9)
    return np.sign(head) * LIMIT * knee(np.abs(head) / LIMIT, 0.75, 1.0)


def act_gaze(head: F64, closing: F64, style: Style, rng: Rng) -> F64:
    """[T, 2] gaze: fixations of 0.6-3 s, on the audience or off; half the head turn undone."""
    frames = len(head)
    aim = np.zeros((frames, 2))
    frame = 0
    while frame < frames:
        away = rng.random() < style.away
        place = rng.normal(0, 1, 2) * ((0.16, 0.07) if away else (0.025, 0.015))
        place[1] -= 0.05 if away else 0.0
        length = rng.uniform(0.6, 1.6) if away else rng.uniform(1.0, 3.0)
        aim[frame : frame + int(length * FRAME_RATE)] = place
        frame += int(length * FRAME_RATE)
    aim = (aim + np.concatenate([aim[:1], aim[:-1]])) / 2
    aim -= 0.5 * head[:, [YAW, PITCH]]
    aim[:, 1] -= 0.08 * closing
    return aim.clip(-GAZE_LIMIT, GAZE_LIMIT)


def show_gaze(face: Face, gaze: F64) -> None:
    """Gaze in radians → eyeLook shapes, both eyes the same way."""
    left, up = gaze.T / EYE_TRAVEL
    face.shapes[:, INDEX["eyeLookOutLeft"]] = face.shapes[:, INDEX["eyeLookInRight"]] = left.clip(0)
    face.shapes[:, INDEX["eyeLookInLeft"]] = face.shapes[:, INDEX["eyeLookOutRight"]] = (
        -left
    ).clip(0)
    for side in ("Left", "Right"):
        face.shapes[:, INDEX["eyeLookUp" + side]] = up.clip(0)
        face.shapes[:, INDEX["eyeLookDown" + side]] = (-up).clip(0)


def perform(truth: Truth, voice: F32, style: int, rng: Rng) -> Performance:
    """Act one take of a song.

    truth: its phones, notes, phrases and beats; voice: [n] float32 at 16 kHz, the voice alone;
    style: index into `STYLES`; rng: decides directions and glances: another one, another take.
    Raises ValueError for an unknown style or a voice that is empty or not one-dimensional.
    """
    if not 0 <= style < len(STYLES):
        raise ValueError(f"style must be 0 to {len(STYLES) - 1}, got {style}")
    if voice.ndim != 1 or not len(voice):
        raise ValueError(f"voice must be [n] at {FEATURE_RATE} Hz with n > 0, got {voice.shape}")
    manner = STYLES[style]
    frames = -(-len(voice) * FRAME_RATE // FEATURE_RATE)
    music = listen(truth, voice, frames)
    closing = _lids(closing_spans(truth, music, manner, rng), frames)
    head = act_head(truth, music, manner, rng)
    gaze = act_gaze(head, closing, manner, rng)
    said = articulate(truth.phones, len(voice) / FEATURE_RATE, frame_times(frames))
    face = Face(frames, manner.lean)
    gain = mouth_gain(music, manner, truth.speech)
    act_mouth(face, said, gain, music.audible, manner, truth.speech)
    act_feeling(face, music, manner, closing)
    show_gaze(face, gaze)
    return Performance(
        blendshapes=face.shapes.clip(0, 1).astype(np.float32),
        head=head.astype(np.float32),
        gaze=gaze.astype(np.float32),
        long_closing=closing.astype(np.float32),
        voice=music.voice.astype(np.float32),
    )
