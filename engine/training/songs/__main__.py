"""Make the corpus: `python -m engine.training.songs --out DIR --hours 3.5 --seed 1000 --jobs 2`.

A song is `song_SSSSSS.flac` (16 kHz, voice | backing) with its truth beside it as JSON;
`--kind backings` makes instrumental pieces `KIND_SSSSSS.flac` (mono) instead. What is there already
is kept, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from engine.training.songs import voices
from engine.training.songs.corpus import make_corpus, write_backing, write_song


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
    if args.kind == "songs":
        write = partial(write_song, out=args.out, split=args.split)
    else:
        write = partial(write_backing, out=args.out)
    make_corpus(write, args.hours * 3600, args.seed, args.jobs)


if __name__ == "__main__":
    main()
