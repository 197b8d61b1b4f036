"""Make a folder of the corpus: `python -m engine.training.songs --out DIR --hours 30 --jobs 2`.

A song is `song_SSSSSS.flac` (16 kHz, voice | backing) with its truth beside it as JSON;
`--kind backings` makes instrumental pieces `KIND_SSSSSS.flac` (mono) instead. `manifest.json` names
every file with its sha256 and split. What is there already is kept, so a run that was killed goes
on where it stopped; the same arguments make the same bytes.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from engine.training.songs import voices
from engine.training.songs.corpus import (
    make_corpus,
    remove_past,
    write_backing,
    write_manifest,
    write_song,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.training.songs", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--hours", type=float, required=True, help="of sound in all")
    parser.add_argument("--seed", type=int, default=1000, help="of the first piece")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--kind", choices=("songs", "backings"), default="songs")
    parser.add_argument("--split", choices=(voices.TRAIN, voices.HELD_OUT), default=voices.TRAIN)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write = write_song if args.kind == "songs" else write_backing
    pieces = make_corpus(
        partial(write, out=args.out, split=args.split), args.hours * 3600, args.seed, args.jobs
    )
    remove_past(args.out, pieces, args.jobs)
    write_manifest(args.out, pieces, args.split)


if __name__ == "__main__":
    main()
