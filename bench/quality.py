"""How well the shipped networks sing: `python -m bench.quality SONG.flac …` over songs with truth.

Each song is a 16 kHz flac, voice in channel 0 and accompaniment in channel 1, beside the truth that
the song maker wrote. Real recordings of a voice alone may be added.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig
from engine.metrics import mouth
from engine.motion.blendshapes import JAW_OPEN
from engine.signals import F32, Motion, Sound
from engine.timeline import FEATURE_RATE, FRAME, SAMPLE_RATE, frames_in
from engine.training.performer import Performance, perform
from engine.training.truth import Truth, load_truth
from engine.training.visemes import TABLE, VOWELS, nucleus, read_ipa

HEADER = """# How well the shipped networks sing

Written by `{command}` over songs of the song maker whose voices, melodies and
accompaniments were held out from training (columns with every figure), and over recordings of real
voices that took no part in training (columns with few). Shares and correlations in 0 … 1, lateness
in frames of 1/30 s. "Explained" is R² of the mouth's shapes against the performer's, over voiced
frames; "by loudness" is the best that loudness alone can do, fitted to the truth itself.

"""


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


def song_scores(avatar: Avatar, path: Path) -> dict[str, float]:
    """Every figure for one song, heard mixed, dry and without its voice."""
    both, rate = soundfile.read(path, dtype="float32")
    if rate != FEATURE_RATE or both.shape[1] != 2:
        raise ValueError(f"{path}: expected 16 kHz and two channels, got {rate} Hz, {both.shape}")
    voice, backing = (soxr.resample(side, rate, SAMPLE_RATE)[None] for side in both.T)
    truth = load_truth(path.with_suffix(".json"))
    acted = perform(truth, both[:, 0].copy(), avatar.config.style, np.random.default_rng(0))
    moved = motions_of(avatar, voice + backing)
    mixed = shapes_of(moved)
    dry = shapes_of(motions_of(avatar, voice))
    alone = shapes_of(motions_of(avatar, backing))
    return {
        "shut on accompaniment": mouth.shut_share(alone),
        "mixed: head speed over acted, vigour 1": head_speed(moved, acted) / avatar.config.vigour,
        **_voice_scores("dry", dry, both[:, 0], acted, truth),
        **_voice_scores("mixed", mixed, both[:, 0], acted, truth),
    }


def head_speed(motions: list[Motion], acted: Performance) -> float:
    """Mean speed of the head's three angles over the performer's."""
    made = np.stack([motion.head[:3] for motion in motions])
    return float(
        np.abs(np.diff(made, axis=0)).mean() / np.abs(np.diff(acted.head[:, :3], axis=0)).mean()
    )


def _voice_scores(
    name: str, shapes: F32, voice: F32, acted: Performance, truth: Truth
) -> dict[str, float]:
    frames = min(len(shapes), len(acted.blendshapes))
    shapes, target = shapes[:frames], acted.blendshapes[:frames]
    levels = mouth.frame_levels(voice, FEATURE_RATE, frames)
    voiced = mouth.voiced_frames(levels)
    guess = mouth.loudness_mouth(levels, target, voiced)
    return {
        f"{name}: open when voiced": mouth.open_share(shapes, voiced),
        f"{name}: jaw follows loudness": mouth.loudness_correlation(shapes, levels),
        f"{name}: late against acting": mouth.lateness(shapes[:, JAW_OPEN], target[:, JAW_OPEN]),
        f"{name}: mouth explained": mouth.explained(shapes, target, voiced),
        f"{name}: explained by loudness": mouth.explained(guess, target, voiced),
        **_phone_scores(name, shapes, truth),
    }


def _phone_scores(name: str, shapes: F32, truth: Truth) -> dict[str, float]:
    def mean(channels: tuple[int, ...], kinds: set[str]) -> float:
        rows = phone_rows(truth, kinds, len(shapes))
        return float(shapes[rows][:, channels].mean()) if len(rows) else float("nan")

    return {
        f"{name}: press on m b p": mean(mouth.PRESS, {"press"}),
        f"{name}: press on vowels": mean(mouth.PRESS, {"open", "round", "spread"}),
        f"{name}: round on u o": mean(mouth.ROUND, {"round"}),
        f"{name}: round on i e": mean(mouth.ROUND, {"spread"}),
        f"{name}: spread on i e": mean(mouth.SPREAD, {"spread"}),
        f"{name}: spread on u o": mean(mouth.SPREAD, {"round"}),
    }


def real_voice_scores(avatar: Avatar, path: Path) -> dict[str, float]:
    """A recording of a voice alone, without truth: is the mouth open, does it follow loudness?"""
    sound = read_sound(str(path))
    shapes = shapes_of(motions_of(avatar, sound))
    levels = mouth.frame_levels(sound.mean(axis=0), SAMPLE_RATE, len(shapes))
    voiced = mouth.voiced_frames(levels)
    floor = np.maximum(levels, np.percentile(levels, 95) - 40)
    return {
        "dry: open when voiced": mouth.open_share(shapes, voiced),
        "dry: jaw follows loudness": mouth.loudness_correlation(shapes, levels),
        "dry: late against loudness": mouth.lateness(shapes[:, JAW_OPEN], floor),
    }


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """A table: one line per figure, one column per song, and their mean."""
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    lines = [f"| figure | {' | '.join(rows)} | mean |", "|---" * (len(rows) + 2) + "|"]
    for figure in figures:
        values = [row.get(figure, float("nan")) for row in rows.values()]
        cells = ["–" if np.isnan(value) else f"{value:.2f}" for value in values]
        lines.append(f"| {figure} | {' | '.join(cells)} | {np.nanmean(values):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "songs", nargs="*", type=Path, help="made songs, with their truth beside them"
    )
    parser.add_argument(
        "--voices", nargs="*", type=Path, default=[], help="recordings of a voice alone"
    )
    parser.add_argument("--style", type=int, default=2)
    parser.add_argument("--lookahead", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the table as Markdown, too")
    args = parser.parse_args()
    avatar = Avatar(replace(AvatarConfig(), style=args.style, lookahead=args.lookahead))
    rows = {path.stem: song_scores(avatar, path) for path in args.songs}
    rows |= {path.stem: real_voice_scores(avatar, path) for path in args.voices}
    table = markdown(rows)
    print(table)
    if args.out:
        command = f"python -m bench.quality --style {args.style} --lookahead {args.lookahead} …"
        args.out.write_text(HEADER.format(command=command) + table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
