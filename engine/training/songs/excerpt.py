"""Keep a piece of a held-out song. A woman and a man in `tests/data` were made so:

    python -m engine.training.songs.excerpt 952210 --start 1.2 --seconds 20.6 --peak 0.11 \\
        --out tests/data/held_out_1
    python -m engine.training.songs.excerpt 950334 --start 4.4 --seconds 22.4 --peak 0.2 \\
        --out tests/data/held_out_2
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine.motion.visemes import Phone
from engine.training.songs import voices
from engine.training.songs.corpus import RATE, write_flac
from engine.training.songs.singing import FRAME
from engine.training.songs.song import Song, make_song
from engine.training.truth import Note, Phrase, save_truth

Timed = TypeVar("Timed", Phone, Note, Phrase)


def _within(things: tuple[Timed, ...], start: float, end: float) -> tuple[Timed, ...]:
    """Things that lie wholly in [start, end) seconds, in time from `start`."""
    return tuple(
        replace(thing, start=thing.start - start, end=thing.end - start)
        for thing in things
        if start <= thing.start and thing.end <= end
    )


def excerpt(song: Song, start: float, seconds: float) -> Song:
    """The piece from `start` for `seconds`, its truth in its own time.

    Raises ValueError if that is not inside the song or cuts a phone in two.
    """
    end, truth = start + seconds, song.truth
    if start < 0 or end > truth.duration:
        raise ValueError(f"{start}–{end} s is not within the song's {truth.duration:.1f} s")
    for phone in truth.phones:
        if phone.start < start < phone.end or phone.start < end < phone.end:
            raise ValueError(f"{start}–{end} s cuts {phone.label!r} at {phone.start:.2f} s in two")
    samples = slice(round(start * song.rate), round(end * song.rate))
    frames = slice(round(start / FRAME), round(end / FRAME))
    return replace(
        song,
        voice=song.voice[:, samples],
        backing=song.backing[:, samples],
        pitch=song.pitch[frames],
        truth=replace(
            truth,
            duration=seconds,
            phones=_within(truth.phones, start, end),
            notes=_within(truth.notes, start, end),
            phrases=_within(truth.phrases, start, end),
            beats=tuple(beat - start for beat in truth.beats if start <= beat < end),
            downbeats=tuple(beat - start for beat in truth.downbeats if start <= beat < end),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.training.songs.excerpt", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--start", type=float, required=True, help="seconds")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--peak", type=float, default=0.25, help="of the mixture; low is small")
    parser.add_argument("--out", type=Path, required=True, help="path without .flac and .json")
    args = parser.parse_args()
    piece = excerpt(make_song(args.seed, RATE, split=voices.HELD_OUT), args.start, args.seconds)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    stems = np.concatenate([piece.voice, piece.backing])
    write_flac(args.out.with_suffix(".flac"), stems * args.peak / np.abs(stems.sum(0)).max())
    save_truth(piece.truth, args.out.with_suffix(".json"))


if __name__ == "__main__":
    main()
