"""Songs into lessons: what the face hears (separated, 8 variants of it) and what it should do.

`python -m engine.training.acting --songs DIR --separator FILE.onnx --out CACHE` writes one compressed
npz per song, features as float16. Skips songs that are already there.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch

from engine.hearing.bands import BandViews
from engine.hearing.resample import DELAY
from engine.hearing.separator_net import SeparatorNet
from engine.signals import F32
from engine.timeline import FEATURE_HOP, FEATURE_RATE
from engine.training.examples import band_power, mel_energy, spectra, stem_features
from engine.training.mixing import Library, loudness, make_backing, reshape_sound
from engine.training.performer import STYLES, perform
from engine.training.truth import Truth, load_truth
from kernels.graphs.opening import load_module

TAKES = 3  # styles acted for each song


class Lesson(NamedTuple):
    """One way a song may sound, and the take that answers it."""

    features: F32  # [hops, 2, 26]
    silent: bool  # nobody sings in this variant


def heard(voice: F32, backing: F32, net: SeparatorNet | None) -> F32:
    """16 kHz stems [n] → features [hops, 2, 26] through the separator, or from the true stems."""
    whole = len(voice) // FEATURE_HOP * FEATURE_HOP
    late = [np.pad(x, (DELAY, 0))[:whole].astype(np.float32) for x in (voice, backing)]
    if net is None:
        stems = np.stack([mel_energy(x[None])[0] for x in late], 1)
        return stem_features(stems)
    mix = (late[0] + late[1])[None]
    part = BandViews()
    views, _ = part(band_power(spectra(mix)).transpose(1, 0, 2), part.initial_state())
    with torch.inference_mode():
        gains, _ = net(torch.from_numpy(views.transpose(1, 0, 2, 3).copy()), net.initial_state(1))
    energy = mel_energy(mix)[0]
    return stem_features(gains.mel[0].numpy() ** 2 * energy[:, None])


def variants(
    rng: np.random.Generator, voice: F32, backing: F32, others: Library, net: SeparatorNet
) -> list[Lesson]:
    """The ways one song is heard: as made, over another backing, dry, alone, from known stems."""
    length = len(voice)
    gain = loudness(backing) or 0.05
    other = make_backing(rng, others, length)
    other = other * (gain / (loudness(other) + 1e-6) * 10 ** (rng.uniform(-6, 4) / 20))
    rough = reshape_sound(rng, voice)
    made = [
        Lesson(heard(voice, backing, net), False),
        Lesson(heard(rough, other, net), False),
        Lesson(heard(rough, backing * 10 ** (rng.uniform(-12, 0) / 20), net), False),
        Lesson(heard(voice, np.zeros_like(voice), net), False),
        Lesson(heard(rough, rng.normal(0, 10 ** rng.uniform(-4.5, -3), length), net), False),
        Lesson(heard(voice, backing, None), False),
        Lesson(heard(np.zeros_like(voice), backing, net), True),
        Lesson(heard(np.zeros_like(voice), other.astype(np.float32), net), True),
    ]
    return made


def unsung(truth: Truth) -> Truth:
    """The same music with nobody singing."""
    return dataclasses.replace(truth, phones=(), notes=(), phrases=())


def write_lesson(path: Path, out: Path, seed: int, others: Library, net: SeparatorNet) -> None:
    """One song's features, takes and phones into `out`, whole or not at all."""
    both, rate = soundfile.read(path, dtype="float32")
    if rate != FEATURE_RATE:
        raise ValueError(f"{path}: expected {FEATURE_RATE} Hz, got {rate}")
    voice, backing = np.ascontiguousarray(both.T)
    truth = load_truth(path.with_suffix(".json"))
    rng = np.random.default_rng([seed, truth.seed])
    lessons = variants(rng, voice, backing, others, net)
    styles = rng.permutation(len(STYLES))[:TAKES]
    sung = [perform(truth, voice, int(style), rng) for style in styles]
    rests = [perform(unsung(truth), 0 * voice, int(style), rng) for style in styles]
    partial = out.with_suffix(".partial.npz")
    np.savez(
        partial,
        features=np.stack([lesson.features for lesson in lessons]).astype(np.float16),
        silent=np.array([lesson.silent for lesson in lessons]),
        styles=styles,
        **_pack("sung", sung),
        **_pack("rest", rests),
    )
    os.replace(partial, out)


def _pack(name: str, takes: list) -> dict[str, np.ndarray]:
    return {
        f"{name}_face": np.stack([take.blendshapes for take in takes]).astype(np.float16),
        f"{name}_head": np.stack([take.head for take in takes]).astype(np.float32),
        f"{name}_closing": np.stack([take.long_closing for take in takes]).astype(np.float16),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--hard", type=Path)
    parser.add_argument("--separator", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="0/1", help="this process's share, e.g. 0/2 and 1/2")
    args = parser.parse_args()
    part, parts = map(int, args.part.split("/"))
    torch.set_num_threads(1)
    net = load_module(args.separator).module
    songs = sorted(args.songs.glob("song_*.flac"))
    backings = [soundfile.read(path, dtype="int16")[0][:, 1].copy() for path in songs[:: max(1, len(songs) // 40)]]
    pieces = sorted(args.hard.rglob("*.flac")) if args.hard else []
    others = Library([], backings, [soundfile.read(p, dtype="int16")[0] for p in pieces])
    args.out.mkdir(parents=True, exist_ok=True)
    for path in songs[part::parts]:
        target = args.out / f"{path.stem}.npz"
        if not target.exists():
            write_lesson(path, target, args.seed, others, net)
    print(f"{len(songs[part::parts])} lessons in {args.out}")


if __name__ == "__main__":
    main()
