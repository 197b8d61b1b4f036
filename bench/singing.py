"""How well it sings, as a part of the bench: `bench.quality`'s figures on held-out songs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from bench import quality
from bench.figures import Part, Plan, Table
from bench.sound import HELD_OUT
from engine.avatar import Avatar, AvatarConfig, Unseen
from engine.motion.visemes import Phone
from engine.training.truth import Note, Phrase, load_truth, save_truth

AFTER_S = 0.5  # s that a song's beginning holds after its first line
Timed = TypeVar("Timed", Phone, Note, Phrase)


def songs_of(plan: Plan) -> tuple[Path, ...]:
    """The plan's songs, or those that come with the tests; in a miniature their first lines."""
    songs = plan.songs or HELD_OUT
    return tuple(first_line(path, plan.folder) for path in songs) if plan.miniature else songs


def first_line(path: Path, folder: Path) -> Path:
    """A made song and its truth, up to just after its first line, written to a folder."""
    truth = load_truth(path.with_suffix(".json"))
    end = truth.phrases[0].end + AFTER_S
    both, rate = soundfile.read(path, dtype="float32")

    def before(things: tuple[Timed, ...]) -> tuple[Timed, ...]:
        return tuple(thing for thing in things if thing.end <= end)

    out = folder / path.name
    soundfile.write(out, both[: round(end * rate)], rate)
    beginning = replace(
        truth,
        duration=end,
        phones=before(truth.phones),
        notes=before(truth.notes),
        phrases=before(truth.phrases),
        beats=tuple(beat for beat in truth.beats if beat < end),
        downbeats=tuple(beat for beat in truth.downbeats if beat < end),
    )
    save_truth(beginning, out.with_suffix(".json"))
    return out


def measure(plan: Plan) -> Part:
    """Every figure of `bench.quality` on songs that no network was trained on."""
    part = Part(
        "How well the shipped networks sing songs that they never heard; shares and correlations"
        " in 0 … 1, lateness in frames; bench/QUALITY.md has it on more songs"
    )
    config, takes = AvatarConfig(), []
    for path in songs_of(plan)[: 1 if plan.miniature else None]:
        plan.tell(path.stem)
        takes.append(quality.take(Avatar(config, Unseen()), path))
    rows = {song.name: quality.song_scores(song, config.vigour) for song in takes}
    names = dict.fromkeys(name for figures in rows.values() for name in figures)
    part.tables["Held-out songs"] = Table(
        ("figure", *rows),
        tuple((name, *(_known(row.get(name)) for row in rows.values())) for name in names),
    )
    return part


def _known(figure: float | None) -> float | None:
    """JSON has no nan."""
    return None if figure is None or np.isnan(figure) else figure
