"""Others' ways to move a mouth, on the same machine and the same sound, beside ours.

Two kinds are in use: loudness opens the jaw (VTube Studio's, VSeeFace's and Warudo's simplest
setting), and MFCC are matched with prototypes of visemes (uLipSync, HeadAudio). Both are written
here anew, from how they are described, for comparison only; each is calibrated on the other song's
dry voice, which favours them. What others publish of theirs is in a table of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from bench.figures import STRETCH, Cell, Part, Plan, Table
from bench.machine import apart
from bench.quality import mouth_class, phone_rows, stems_of
from bench.singing import songs_of
from bench.stages import WARM, Spent, Tally
from bench.syllables import Train, answer, train
from engine.avatar import Avatar, AvatarConfig, Unseen
from engine.hearing import mfcc
from engine.hearing.resample import Decimator
from engine.hearing.separator import Separator
from engine.hearing.stems import Stems
from engine.metrics import mouth
from engine.motion.blendshapes import ARKIT, JAW_OPEN
from engine.signals import F32, Sound
from engine.timeline import DECIMATION, FEATURE_HOP, FEATURE_RATE, FRAME, FRAME_RATE, SAMPLE_RATE
from engine.training.performer import Performance, perform
from engine.training.truth import Truth, load_truth
from engine.weights import shipped

PUBLISHED = Path(__file__).parent / "published.json"
FLOOR_DB, FULL_DB = -45.0, -15.0  # of full scale: where a loudness mouth is shut, and wide open
WIDEST = 0.8  # jawOpen of a loudness mouth
FALLS = 0.6  # of its opening that a mouth keeps from one frame to the next, when it closes
TURNS = 0.5  # of its shape that a viseme mouth keeps from one frame to the next
QUIET_DB = -45.0  # below it a viseme mouth is shut
COEFFICIENTS = slice(1, 13)  # MFCC without the loudness
WINDOWS = 3  # of 25 ms, each a hop on: what a viseme is told from
LEAST = 4  # examples that a prototype needs
KINDS = ("press", "round", "spread", "open", "")  # of `mouth_class`; "" is every other sound


class Song(NamedTuple):
    """stems: [2, n] at 48 kHz. acted: by the performer, whose mouth is taken for the truth."""

    stems: F32
    truth: Truth
    acted: Performance


class Peer(Protocol):
    """Hears a frame of sound [1, 1600], answers with the mouths that it completes, [k, 52]."""

    def __call__(self, samples: F32) -> F32: ...


def decibels(samples: F32) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


class Loudness:
    """The jaw follows loudness: at once when it opens, gently when it closes."""

    def __init__(self) -> None:
        self._open = 0.0

    def __call__(self, samples: F32) -> F32:
        wanted = (decibels(samples) - FLOOR_DB) / (FULL_DB - FLOOR_DB)
        wanted = WIDEST * float(np.clip(wanted, 0, 1))
        self._open = max(wanted, FALLS * self._open)
        shapes = np.zeros((1, len(ARKIT)), np.float32)
        shapes[0, JAW_OPEN] = self._open
        return shapes


class SeparatedLoudness:
    """The same on the voice that Cantar's separator takes out."""

    def __init__(self) -> None:
        self._stems = Stems(Separator(shipped("separator.onnx")))
        self._state = self._stems.initial_state()
        self._mouth = Loudness()

    def __call__(self, samples: F32) -> F32:
        made, self._state = self._stems(samples, self._state)
        return self._mouth(made[:, 0]) if len(made) else np.zeros((0, len(ARKIT)), np.float32)


class Prototypes(NamedTuple):
    """For each kind of sound: where its MFCC lie, and what the mouth does. means: [k, 12].
    inverse: [12, 12] of the shared covariance. shapes: [k, 52]."""

    means: F32
    inverse: F32
    shapes: F32


def cepstra(recent: F32) -> F32:
    """[12] of the last windows of 16 kHz sound, their mean."""
    found = []
    for back in range(WINDOWS):
        stop = len(recent) - back * FEATURE_HOP
        energy = mfcc.mel_of_frames(recent[None, stop - mfcc.WINDOW - 1 : stop])[0]
        found.append(mfcc.BASIS @ np.log(energy + 1e-8))
    return np.asarray(np.mean(found, axis=0)[COEFFICIENTS], np.float32)


NEEDS = mfcc.WINDOW + 1 + (WINDOWS - 1) * FEATURE_HOP  # samples at 16 kHz that `cepstra` looks at


def calibrated(song: Song) -> Prototypes:
    """What a user does with a calibration panel, done with a whole song's truth."""
    voice = Decimator()
    sound, _ = voice(song.stems[0], voice.initial_state())
    heard: dict[str, list[F32]] = {kind: [] for kind in KINDS}
    rows: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for phone in song.truth.phones:
        middle = (phone.start + phone.end) / 2
        stop = round(middle * FEATURE_RATE) + NEEDS // 2
        row = int(middle * FRAME_RATE)
        if NEEDS <= stop <= len(sound) and row < len(song.acted.blendshapes):
            heard[mouth_class(phone.label)].append(cepstra(sound[:stop]))
            rows[mouth_class(phone.label)].append(row)
    kinds = [kind for kind in KINDS if len(heard[kind]) >= LEAST]
    means = np.stack([np.mean(heard[kind], axis=0) for kind in kinds])
    apart = np.concatenate([np.array(heard[k]) - m for k, m in zip(kinds, means, strict=True)])
    spread = apart.T @ apart / len(apart)
    spread += np.diag(0.1 * np.diag(spread) + 1e-3)  # few examples
    shapes = np.stack([song.acted.blendshapes[rows[kind]].mean(axis=0) for kind in kinds])
    return Prototypes(means, np.linalg.inv(spread).astype(np.float32), shapes)


class Visemes:
    """MFCC against prototypes by Mahalanobis distance (HeadAudio); shapes blended (uLipSync)."""

    def __init__(self, prototypes: Prototypes) -> None:
        self._prototypes = prototypes
        self._decimator = Decimator()
        self._state = self._decimator.initial_state()
        self._recent = np.zeros(NEEDS, np.float32)
        self._shapes = np.zeros(len(ARKIT), np.float32)

    def __call__(self, samples: F32) -> F32:
        new, self._state = self._decimator(samples[0], self._state)
        self._recent = np.concatenate([self._recent, new])[-NEEDS:]
        self._shapes = TURNS * self._shapes + (1 - TURNS) * self._wanted(decibels(samples))
        return self._shapes[None].astype(np.float32)

    def _wanted(self, loud: float) -> F32:
        if loud < QUIET_DB:
            return np.zeros(len(ARKIT), np.float32)
        means, inverse, shapes = self._prototypes
        apart = cepstra(self._recent) - means
        score = -0.5 * np.einsum("ki,ij,kj->k", apart, inverse, apart)
        weight = np.exp(score - score.max())
        return np.asarray(weight / weight.sum() @ shapes, np.float32)


class Ours:
    """Cantar itself, its head and eyes with it."""

    def __init__(self, lookahead: int) -> None:
        config = replace(AvatarConfig(), lookahead=lookahead)
        self._avatar, self._at = Avatar(config, Unseen()), 0
        self._state = self._avatar.initial_state()

    def __call__(self, samples: F32) -> F32:
        motions, self._state = self._avatar.hear(Sound(samples, self._at), self._state)
        self._at += samples.shape[1]
        return np.array([motion.blendshapes for motion in motions]).reshape(-1, len(ARKIT))


class Heard(NamedTuple):
    """shapes: [k, 52]. times: [k] s of sound that had been heard when each came. spent: of each
    call."""

    shapes: F32
    times: np.ndarray
    spent: Spent


def run(peer: Peer, sound: F32, lookahead: int = 0) -> Heard:
    """A whole sound [1, n], frame by frame, with the silence after it that completes its mouths."""
    frames = -(-sound.shape[1] // FRAME)
    whole = np.zeros((1, (frames + lookahead + 1) * FRAME), np.float32)
    whole[:, : sound.shape[1]] = sound
    shapes, times, spent = [], [], []
    for end in range(FRAME, whole.shape[1] + 1, FRAME):
        began, cpu = time.perf_counter(), time.process_time()
        made = peer(whole[:, end - FRAME : end])
        spent.append((time.perf_counter() - began, time.process_time() - cpu))
        shapes.append(made)
        times += [end / SAMPLE_RATE] * len(made)
    return Heard(np.concatenate(shapes)[:frames], np.array(times[:frames]), 1000 * np.array(spent))


# ---- what is compared ----------------------------------------------------------------------------


class Way(NamedTuple):
    """name, how it is made for a calibrated voice, and how many frames of the future it hears."""

    name: str
    make: Callable[[Prototypes], Peer]
    lookahead: int = 0


WAYS = (
    Way("loudness", lambda _: Loudness()),
    Way("MFCC visemes", Visemes),
    Way("loudness of our separated voice", lambda _: SeparatedLoudness()),
    Way("Cantar, lookahead 0", lambda _: Ours(0)),
    Way("Cantar, lookahead 2", lambda _: Ours(2), 2),
)
FIGURES = (
    "ms a frame, p50", "processor ms a frame", "hears of the future, ms",
    "syllable to mouth, processing left out, ms", "shut on accompaniment alone",
    "open when voiced", "jaw tells singing, AUC", "mouth explained, R²",
    "lips pressed on m b p", "… on vowels",
)  # fmt: skip


def load(path: Path, style: int) -> Song:
    """A made song with its performance."""
    stems, truth = stems_of(path), load_truth(path.with_suffix(".json"))
    dry = np.ascontiguousarray(stems[0, ::DECIMATION])
    return Song(stems, truth, perform(truth, dry, style, np.random.default_rng(0)))


def scores(song: Song, mixed: F32, alone: F32) -> dict[str, float]:
    """What mouths [T, 52] do on the mixture and on the accompaniment alone."""
    frames = min(len(mixed), len(song.acted.blendshapes))
    shapes, truth = mixed[:frames], song.acted.blendshapes[:frames]
    voiced = mouth.voiced_frames(mouth.frame_levels(song.stems[0], SAMPLE_RATE, frames))

    def pressed(kinds: set[str]) -> float:
        rows = phone_rows(song.truth, kinds, frames)
        return float(shapes[rows][:, mouth.PRESS].mean()) if len(rows) else float("nan")

    return {
        "shut on accompaniment alone": mouth.shut_share(alone),
        "open when voiced": mouth.open_share(shapes, voiced),
        "jaw tells singing, AUC": mouth.jaw_auc(shapes, voiced),
        "mouth explained, R²": mouth.explained(shapes, truth, voiced),
        "lips pressed on m b p": pressed({"press"}),
        "… on vowels": pressed({"open", "round", "spread"}),
    }


def compare(way: Way, songs: Sequence[Song], syllables: Train, part: Part) -> dict[str, Cell]:
    """One way's figures, means over songs, each calibrated on another."""
    profiles = [calibrated(song) for song in songs]
    found = []
    for n, song in enumerate(songs):
        profile = profiles[(n + 1) % len(songs)]
        mixture, backing = song.stems.sum(axis=0, keepdims=True), song.stems[1:]
        mixed = run(way.make(profile), mixture, way.lookahead)
        alone = run(way.make(profile), backing, way.lookahead)
        found.append(scores(song, mixed.shapes, alone.shapes))
    said = run(way.make(profiles[0]), syllables.sound, way.lookahead)
    timed = part.timings[f"{way.name}, per frame"]
    try:
        lag: Cell = 1000 * answer(said.times, said.shapes[:, JAW_OPEN], syllables.onsets).lag
    except ValueError as error:
        part.notes.append(f"{way.name}: {error}")
        lag = None
    means = {name: float(np.nanmean([each[name] for each in found])) for name in found[0]}
    return {
        FIGURES[0]: timed.p50,
        FIGURES[1]: timed.cpu,
        FIGURES[2]: 1000 * way.lookahead / FRAME_RATE,
        FIGURES[3]: lag,
        **means,
    }


def offline(songs: Sequence[Song], part: Part) -> dict[str, Cell] | None:
    """Loudness of the voice that REPET-SIM takes out of the whole song: no live way at all."""
    try:
        from bench.baselines import repet_sim
    except ImportError as error:
        part.notes.append(f"REPET-SIM is not measured: {error}")
        return None
    found, spent, frames = [], 0.0, 0
    for song in songs:
        shapes = []
        for sound in (song.stems.sum(axis=0), song.stems[1]):
            began = time.process_time()
            voice = repet_sim(np.ascontiguousarray(sound[::DECIMATION]))
            spent += time.process_time() - began
            whole = np.repeat(voice, DECIMATION)[None, : song.stems.shape[1]].astype(np.float32)
            shapes.append(run(Loudness(), whole).shapes)
            frames += len(shapes[-1])
        found.append(scores(song, *shapes))
    means = {name: float(np.nanmean([each[name] for each in found])) for name in found[0]}
    return {FIGURES[1]: 1000 * spent / frames, FIGURES[2]: float("inf"), **means}


def one_round(ways: Sequence[int], path: Path) -> dict[str, Spent]:
    """What some of WAYS take for each frame of a song, after a few that are not counted."""
    song = load(path, AvatarConfig().style)
    profile, mixture = calibrated(song), song.stems.sum(axis=0, keepdims=True)
    chosen = [WAYS[n] for n in ways]
    return {
        f"{way.name}, per frame": run(way.make(profile), mixture, way.lookahead).spent[WARM:]
        for way in chosen
    }


class Rounds:
    """The part whose timings are measured in rounds, which other parts come between."""

    def __init__(self, plan: Plan, turns: int = 1) -> None:
        """turns: how often `take` will be called."""
        self._plan, self._each = plan, plan.rounds(turns)
        self._ways = plan.some(range(len(WAYS)), (0, 1, len(WAYS) - 1))
        self._songs = songs_of(plan)
        self._tally, self._taken = Tally(), 0

    def take(self) -> None:
        """A turn's rounds, each in a process of its own."""
        for _ in range(self._each):
            self._taken += 1
            self._plan.tell(f"every way, round {self._taken}")
            for name, calls in apart(one_round, self._ways, self._songs[0]).items():
                self._tally.add(name, calls)

    def part(self) -> Part:
        """Every way on the held-out songs and on syllables; and what others publish."""
        part = Part(
            "Ways to move a mouth, on the same sound; songs that no network was trained on."
            f" Timed in {self._taken} rounds, p50 of the quietest {STRETCH} calls or more",
            self._tally.timings(),
        )
        side_by_side(self._plan, self._songs, [WAYS[n] for n in self._ways], part)
        return part


def side_by_side(plan: Plan, paths: Sequence[Path], ways: Sequence[Way], part: Part) -> None:
    """Both tables; `part` has the timings."""
    songs = [load(path, AvatarConfig().style) for path in paths]
    syllables = train(plan.seconds)
    found: dict[str, dict[str, Cell]] = {}
    for way in ways:
        plan.tell(way.name)
        found[way.name] = compare(way, songs, syllables, part)
    if not plan.miniature:
        plan.tell("REPET-SIM")
        if (whole := offline(songs, part)) is not None:
            found["loudness of REPET-SIM's voice, whole song at hand"] = whole
    rows = tuple((name, *(_known(f.get(name)) for f in found.values())) for name in FIGURES)
    part.tables["Side by side, mixed songs"] = Table(("figure", *found), rows)
    listed = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    columns = ("who", "what", "figure", "hardware", "source")
    part.tables["Published by others, on their hardware: not comparable with anything above"] = (
        Table(columns, tuple(tuple(each[column] for column in columns) for each in listed))
    )
    part.notes.append(
        "Nobody of them publishes how long it takes from a microphone to the moving mouth."
    )


def _known(figure: Cell) -> Cell:
    """JSON has neither nan nor infinity."""
    if isinstance(figure, float) and not np.isfinite(figure):
        return "the whole song" if figure > 0 else None
    return figure
