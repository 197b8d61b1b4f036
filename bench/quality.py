"""How well the shipped networks sing: `python -m bench.quality SONG.flac … --out bench/QUALITY.md`.

Each song is a 16 kHz flac, voice in channel 0 and accompaniment in channel 1, beside the truth that
the song maker wrote; take some that were held out from training. Real recordings may be added: of a
voice alone (`--voices`), and of songs of which is known where nobody sings (`--recording`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from rich.progress import track

from bench.separation import Stretches, recording_of
from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig
from engine.metrics import beats, eyes, head, mouth, phones
from engine.metrics.separation import area_under_curve
from engine.motion.blendshapes import JAW_OPEN
from engine.motion.lyrics import KnownWords
from engine.motion.visemes import BREATH, TABLE, VOWELS, Phone, nucleus, read_ipa
from engine.signals import F32, Motion, Sound
from engine.timeline import FEATURE_RATE, FRAME, FRAME_RATE, MAX_LOOKAHEAD, SAMPLE_RATE, frames_in
from engine.training.performer import Performance, perform
from engine.training.truth import Truth, load_truth
from streaming.lyrics import Word, syllables, timed

HEADER = """# How well the shipped networks sing

Written by `python -m bench.quality`, style {style}, lookahead {lookahead}. {songs} made songs of
{minutes:.0f} minutes, whose voices, melodies and accompaniments were held out from training; the
truth beside them is acted by the procedural performer. Recordings took no part in training.
Shares, accuracies and correlations in 0 … 1; lateness in frames of 1/30 s.
"""

Figures = dict[str, float]


class Take(NamedTuple):
    """A made song, how the performer acts it, and what the avatar does as it hears it: mixed, mixed
    and with its words known, its stems known, its voice alone, its accompaniment alone."""

    name: str
    voice: F32  # [n] at 16 kHz
    truth: Truth
    acted: Performance
    mixed: list[Motion]
    words: list[Motion]
    stems: list[Motion]
    dry: list[Motion]
    alone: list[Motion]

    @property
    def levels(self) -> mouth.F64:
        """Of the voice, dB, per frame. [T]"""
        return mouth.frame_levels(self.voice, FEATURE_RATE, len(self.mixed))


# ---- taking --------------------------------------------------------------------------------------


def motions_of(avatar: Avatar, sound: F32, stems: F32 | None = None) -> list[Motion]:
    """Everything the avatar does to a whole 48 kHz sound [C, n], as a file run would."""
    tail = np.zeros((sound.shape[0], (avatar.config.lookahead + 1) * FRAME), np.float32)
    whole = np.concatenate([sound, tail], axis=1)
    if stems is not None:
        stems = np.concatenate([stems, np.zeros((2, tail.shape[1]), np.float32)], axis=1)
    motions, _ = avatar.hear(Sound(whole, 0, stems), avatar.initial_state())
    return motions[: frames_in(sound.shape[1])]


def shapes_of(motions: list[Motion]) -> F32:
    """[T, 52]."""
    return np.stack([motion.blendshapes for motion in motions])


def heads_of(motions: list[Motion]) -> F32:
    """[T, 6]."""
    return np.stack([motion.head for motion in motions])


def stems_of(path: Path) -> F32:
    """A made song's voice and accompaniment at 48 kHz, [2, n]. Raises ValueError for others."""
    both, rate = soundfile.read(path, dtype="float32")
    if rate != FEATURE_RATE or both.shape[1:] != (2,):
        raise ValueError(f"{path}: expected 16 kHz and two channels, got {rate} Hz, {both.shape}")
    return np.stack([soxr.resample(side, rate, SAMPLE_RATE) for side in both.T])


def take(avatar: Avatar, path: Path) -> Take:
    """Let the avatar hear one song in every way."""
    stems, truth = stems_of(path), load_truth(path.with_suffix(".json"))
    voice = soundfile.read(path, dtype="float32")[0][:, 0].copy()
    mixed = motions_of(avatar, stems.sum(0, keepdims=True))
    known = sung_words(truth)
    return Take(
        path.stem,
        voice,
        truth,
        perform(truth, voice, avatar.config.style, np.random.default_rng(0)),
        mixed,
        [known(motion, avatar.config.style) for motion in mixed],
        motions_of(avatar, stems.sum(0, keepdims=True), stems),
        motions_of(avatar, stems[:1]),
        motions_of(avatar, stems[1:]),
    )


def sung_words(truth: Truth) -> KnownWords:
    """A song's words as a timed lyrics file tells them: when each syllable begins, to 10 ms, and
    which sounds it has, but not how long each of them lasts."""
    known: list[Phone] = []
    for phrase in truth.phrases:
        sung = [
            phone
            for phone in truth.phones
            if phrase.start <= phone.start < phrase.end and phone.label != BREATH
        ]
        labels = [phone.label for phone in sung]
        if not labels:
            continue
        firsts = np.cumsum([0, *(len(group) for group in syllables(labels)[:-1])])
        starts = tuple(round(sung[first].start, 2) for first in firsts)
        known += timed(Word("", starts, round(sung[-1].end, 2)), labels)
    return KnownWords(known)


# ---- one song ------------------------------------------------------------------------------------


def mouth_class(label: str) -> str:
    """What a phone visibly does: press, round, spread, open, or nothing of these."""
    sounds = read_ipa(label)
    if not sounds:
        return ""
    held = TABLE[nucleus(label)]
    if held.touch:
        return "press"
    if not any(sound in VOWELS for sound in sounds):
        return ""
    if held.pucker >= 0.5:
        return "round"
    if held.spread >= 0.5:
        return "spread"
    return "open" if held.jaw >= 0.5 else ""


def phone_rows(truth: Truth, kinds: set[str], frames: int) -> np.ndarray:
    """The middle frame of every phone of these mouth classes. [many]"""
    rows = []
    for phone in truth.phones:
        if mouth_class(phone.label) in kinds:
            middle = (phone.start + phone.end) / 2 * SAMPLE_RATE / FRAME
            if middle < frames:
                rows.append(int(middle))
    return np.array(rows, int)


def song_scores(song: Take, vigour: float = 1.0) -> Figures:
    """Every figure for one song, heard mixed, with its stems known, dry and without its voice."""
    heard = {
        "mixed": song.mixed,
        "words known": song.words,
        "stems known": song.stems,
        "dry": song.dry,
    }
    scores = {"shut on accompaniment": mouth.shut_share(shapes_of(song.alone))}
    for name, motions in heard.items():
        found = _voice_scores(song, shapes_of(motions))
        scores |= {f"{name}: {figure}": value for figure, value in found.items()}
    return scores | _head_and_eyes(song, vigour)


def _voice_scores(song: Take, shapes: F32) -> Figures:
    frames = min(len(shapes), len(song.acted.blendshapes))
    shapes, target = shapes[:frames], song.acted.blendshapes[:frames]
    levels = song.levels[:frames]
    voiced = mouth.voiced_frames(levels)
    away = mouth.away_from_voice(voiced)
    guess = mouth.loudness_mouth(levels, target, voiced)
    return {
        "open when voiced": mouth.open_share(shapes, voiced),
        "shut away from the voice": mouth.shut_share(shapes[away]) if away.any() else np.nan,
        "jaw tells singing, AUC": mouth.jaw_auc(shapes, voiced) if not voiced.all() else np.nan,
        "jaw follows loudness": mouth.loudness_correlation(shapes, levels),
        "late against acting": mouth.lateness(shapes[:, JAW_OPEN], target[:, JAW_OPEN]),
        "mouth explained": mouth.explained(shapes, target, voiced),
        "explained by loudness": mouth.explained(guess, target, voiced),
        **_phone_scores(shapes, song.truth),
    }


def _phone_scores(shapes: F32, truth: Truth) -> Figures:
    def mean(channels: tuple[int, ...], kinds: set[str]) -> float:
        rows = phone_rows(truth, kinds, len(shapes))
        return float(shapes[rows][:, channels].mean()) if len(rows) else float("nan")

    return {
        "press on m b p": mean(mouth.PRESS, {"press"}),
        "press on vowels": mean(mouth.PRESS, {"open", "round", "spread"}),
        "round on u o": mean(mouth.ROUND, {"round"}),
        "round on i e": mean(mouth.ROUND, {"spread"}),
        "spread on i e": mean(mouth.SPREAD, {"spread"}),
        "spread on u o": mean(mouth.SPREAD, {"round"}),
    }


def _head_and_eyes(song: Take, vigour: float) -> Figures:
    """Of the mixed song. The head's speed is compared at vigour 1, the performer's own."""
    made = heads_of(song.mixed)[: len(song.acted.head)] / vigour
    acted = song.acted.head[: len(made)]
    closure = np.array([motion.closure for motion in song.mixed])
    long = eyes.closing_durations(closure) > eyes.LONG
    yaw, pitch, roll = np.degrees(np.abs(made[:, :3] * vigour).max(0))
    made_speed, acted_speed = head.speed(made[:, :3]).mean(), head.speed(acted[:, :3]).mean()
    return {
        "head: speed over acted": float(made_speed / acted_speed),
        "head: CCA of speed": head.speed_cca(made, acted),
        "head: Rough": head.rough(made[:, :3]),
        "head: Rough, acted": head.rough(acted[:, :3]),
        "head: largest yaw, °": float(yaw),
        "head: largest pitch, °": float(pitch),
        "head: largest roll, °": float(roll),
        "eyes: blinks/s": eyes.blink_rate(closure),
        "eyes: blink, s": eyes.blink_duration(closure),
        "eyes: long closings/min": float(long.sum() * 60 * FRAME_RATE / len(closure)),
    }  # fmt: skip


# ---- all songs -----------------------------------------------------------------------------------


def probe_scores(songs: Sequence[Take]) -> Figures:
    """Can m b p, f v, u o, i e, a be told apart? By a linear probe on the 52 shapes, on songs that
    it was not fitted to; by the voice's loudness alone in the last row. Chance is 0.2."""
    ways = {
        "acted (what can be told)": [song.acted.blendshapes for song in songs],
        "stems known": [shapes_of(song.stems) for song in songs],
        "mixed": [shapes_of(song.mixed) for song in songs],
        "mixed, words known": [shapes_of(song.words) for song in songs],
        "loudness alone": [song.levels[:, None].astype(np.float32) for song in songs],
    }
    return {
        name: phones.probe_accuracy(
            phones.join(
                phones.phone_examples(shapes, song.truth.phones, number)
                for number, (shapes, song) in enumerate(zip(tracks, songs, strict=True))
            )
        )
        for name, tracks in ways.items()
    }


def beat_scores(songs: Sequence[Take]) -> dict[str, Figures]:
    """Is each head nearer to its own song's beats than to the other songs'? (permutation test) As
    heard in the mix, and as the performer acts it."""
    ways = {
        "mixed": [heads_of(song.mixed) for song in songs],
        "acted": [song.acted.head for song in songs],
    }
    return {name: _on_the_beat(heads, songs) for name, heads in ways.items()}


def _on_the_beat(heads: Sequence[F32], songs: Sequence[Take]) -> Figures:
    found = beats.against_shuffled(
        [
            beats.Take(beats.motion_beats(head), beats.audio_beats(song.truth.beats), len(head))
            for head, song in zip(heads, songs, strict=True)
        ]
    )
    return {"Beat Align": found.score, "with other songs": found.shuffled, "p": found.p}


def lookahead_scores(config: AvatarConfig, paths: Sequence[Path]) -> dict[str, Figures]:
    """A few figures of mixed songs for each lookahead, means over songs."""
    rows = {}
    for lookahead in track(range(MAX_LOOKAHEAD + 1), "lookahead"):
        avatar = Avatar(replace(config, lookahead=lookahead))
        found = [song_scores(take(avatar, path), config.vigour) for path in paths]
        rows[str(lookahead)] = {
            figure: float(np.nanmean([scores[f"mixed: {figure}"] for scores in found]))
            for figure in ("late against acting", "mouth explained", "open when voiced")
        }
    return rows


# ---- recordings ----------------------------------------------------------------------------------


def real_voice_scores(avatar: Avatar, path: Path) -> Figures:
    """A recording of a voice alone, without truth: is the mouth open, does it follow loudness?"""
    sound = read_sound(str(path))
    shapes = shapes_of(motions_of(avatar, sound))
    levels = mouth.frame_levels(sound.mean(axis=0), SAMPLE_RATE, len(shapes))
    voiced = mouth.voiced_frames(levels)
    floor = np.maximum(levels, np.percentile(levels, 95) - 40)
    return {
        "open when voiced": mouth.open_share(shapes, voiced),
        "jaw follows loudness": mouth.loudness_correlation(shapes, levels),
        "late against loudness": mouth.lateness(shapes[:, JAW_OPEN], floor),
    }


def real_song_scores(avatar: Avatar, path: str, unsung: Stretches) -> Figures:
    """A recorded song: is the mouth shut where nobody sings? What is sung holds rests, too."""
    sound = read_sound(path)
    shapes = shapes_of(motions_of(avatar, sound))
    seconds = np.arange(len(shapes)) / FRAME_RATE
    away = mouth.AWAY
    silent = np.any([(seconds >= a + away) & (seconds < b - away) for a, b in unsung], axis=0)
    sung = ~np.any([(seconds >= a) & (seconds < b) for a, b in unsung], axis=0)
    levels = mouth.frame_levels(sound.mean(axis=0), SAMPLE_RATE, len(shapes))
    known = silent | sung
    return {
        "shut where nobody sings": mouth.shut_share(shapes[silent]),
        "open elsewhere": mouth.open_share(shapes, sung),
        "jaw tells singing, AUC": mouth.jaw_auc(shapes[known], sung[known]),
        "loudness tells singing, AUC": area_under_curve(levels[known], sung[known]),
    }


def ablation(path: Path) -> str:
    """MusicFace's Table 1 again: networks that lack a part, each trained alike and briefly on the
    same lessons (`python -m bench.ablation`), on songs that none of them heard; mean ± deviation
    over seeds."""
    from bench.ablation import markdown as table

    return table(json.loads(path.read_text(encoding="utf-8")))


# ---- report --------------------------------------------------------------------------------------


def markdown(rows: dict[str, Figures], across: bool = False) -> str:
    """A table: a line per figure with mean, worst two ends, or with a column per row (`across`)."""
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    columns = list(rows) if across else ["mean", "least", "most"]
    lines = [f"| figure | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for figure in figures:
        values = np.array([row.get(figure, np.nan) for row in rows.values()])
        shown = values if across else (np.nanmean(values), np.nanmin(values), np.nanmax(values))
        cells = ["–" if np.isnan(value) else f"{value:.3g}" for value in shown]
        lines.append(f"| {figure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(config: AvatarConfig, args: argparse.Namespace) -> str:
    """Every table that the arguments ask for, as Markdown."""
    avatar = Avatar(config)
    songs = [take(avatar, path) for path in track(args.songs, "songs")]
    minutes = sum(len(song.mixed) for song in songs) / FRAME_RATE / 60
    parts = [
        HEADER.format(
            style=config.style, lookahead=config.lookahead, songs=len(songs), minutes=minutes
        )
    ]
    if songs:
        scores = {song.name: song_scores(song, config.vigour) for song in songs}
        parts += ["## Made songs", markdown(scores)]
    if len(songs) > 1:
        parts += ["## Phones on the lips", _about(probe_scores)]
        parts += [markdown({"balanced accuracy": probe_scores(songs)}, across=True)]
        parts += ["## The head and the beat", _about(beat_scores)]
        parts += [markdown(beat_scores(songs), across=True)]
    if args.ablation:
        parts += ["## Without its parts", _about(ablation), ablation(args.ablation)]
    if args.lookahead_songs:
        found = lookahead_scores(config, args.songs[: args.lookahead_songs])
        parts += ["## Lookahead, in frames", markdown(found, across=True)]
    if args.voices:
        voices = {path.stem: real_voice_scores(avatar, path) for path in args.voices}
        parts += ["## Real voices", markdown(voices, across=True)]
    if args.recording:
        path, unsung = args.recording
        scores = {Path(path).stem: real_song_scores(avatar, path, unsung)}
        parts += ["## A real song", markdown(scores, across=True)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _about(part: object) -> str:
    """A function's docstring as running text."""
    return " ".join((part.__doc__ or "").split())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="*", type=Path, help="made songs, truth beside them")
    parser.add_argument("--voices", nargs="*", type=Path, default=[], help="real voices alone")
    parser.add_argument("--recording", type=recording_of, metavar="FILE=0-10.7,…")
    parser.add_argument("--style", type=int, default=2)
    parser.add_argument("--lookahead", type=int, default=2)
    parser.add_argument(
        "--lookahead-songs", type=int, default=0, metavar="N", help="try 0…6 on the first N songs"
    )
    parser.add_argument("--ablation", type=Path, help="what bench.ablation found, ablation.json")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown, too")
    args = parser.parse_args()
    text = report(replace(AvatarConfig(), style=args.style, lookahead=args.lookahead), args)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
