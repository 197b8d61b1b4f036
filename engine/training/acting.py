"""Songs into lessons: what the face hears (separated, in 5 variants) and what it should do.

`python -m engine.training.acting --songs DIR --separator FILE.onnx --out CACHE` writes one npz per
song, features as float16. Skips songs that are already there. Recorded performances come instead
with `--singing-head FOLDER` or `--singing-face FOLDER`, in their own face space.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch

from engine.hearing.bands import BandViews
from engine.hearing.resample import DELAY
from engine.hearing.separator_net import SeparatorNet
from engine.motion.blendshapes import ARKIT
from engine.motion.mouthing import STYLES
from engine.motion.visemes import sounding
from engine.signals import F32
from engine.timeline import FEATURE_HOP, FEATURE_RATE
from engine.training.examples import band_power, mel_energy, spectra, stem_features
from engine.training.mixing import Library, loudness, make_backing, reshape_sound
from engine.training.performer import Performance, perform, pulse_phase
from engine.training.readers.clip import BadCorpus, Clip
from engine.training.readers.singing_face import SingingFace
from engine.training.readers.singing_head import SingingHead
from engine.training.truth import Truth, load_truth
from kernels.graphs.opening import load_module

STRETCH = 200  # hops
LOOKS = [index for index, name in enumerate(ARKIT) if name.startswith("eyeLook")]
TAKES = 2  # styles acted for each song


class Heard(NamedTuple):
    features: F32  # [B, hops, 2, 26] of voice and accompaniment
    mixed: F32  # [B, hops, 26] of both at once, for the ablation's single stream


def heard(voice: F32, backing: F32, net: SeparatorNet | None) -> Heard:
    """16 kHz stems [B, n], separated by `net`, or known where there is none."""
    whole = voice.shape[1] // FEATURE_HOP * FEATURE_HOP
    late = [np.pad(x, ((0, 0), (DELAY, 0)))[:, :whole].astype(np.float32) for x in (voice, backing)]
    mix = late[0] + late[1]
    mixed = stem_features(mel_energy(mix)[:, :, None])[:, :, 0]
    if net is None:
        return Heard(stem_features(np.stack([mel_energy(x) for x in late], 2)), mixed)
    part = BandViews()
    views, _ = part(band_power(spectra(mix)).transpose(1, 0, 2), part.initial_state(len(mix)))
    gains = _mel_gains(torch.from_numpy(views.transpose(1, 0, 2, 3).copy()), net)
    return Heard(stem_features(gains**2 * mel_energy(mix)[:, :, None]), mixed)


def _mel_gains(views: torch.Tensor, net: SeparatorNet) -> F32:
    """[B, hops, 2, 96] → [B, hops, 2, 26], in stretches that stay in the processor's cache."""
    state, made = net.initial_state(len(views)), []
    with torch.inference_mode():
        for piece in views.split(STRETCH, dim=1):
            gains, state = net(piece, state)
            made.append(gains.mel.numpy())
    return np.concatenate(made, axis=1)


def variants(
    rng: np.random.Generator, voice: F32, backing: F32, others: Library, net: SeparatorNet
) -> tuple[Heard, np.ndarray]:
    """The ways one song is heard: as made; over another or a quieter backing; dry or in a noisy
    room; without its voice; with its stems known. Five of them, and which are silent [5]."""
    length = len(voice)
    level = loudness(backing) or 0.05
    other = make_backing(rng, others, length)
    other *= level / (loudness(other) + 1e-6) * 10 ** (rng.uniform(-6, 4) / 20)
    rough = reshape_sound(rng, voice)
    quiet = backing * 10 ** (rng.uniform(-14, 2) / 20)
    room = rng.normal(0, 10 ** rng.uniform(-4.5, -3), length)
    nothing = np.zeros_like(voice)
    pairs = (
        (voice, backing),
        (rough, other if rng.random() < 0.6 else quiet),
        (rough, room) if rng.random() < 0.5 else (voice, nothing),
        (nothing, backing if rng.random() < 0.5 else other),
    )
    voices, backings = (
        np.stack([np.asarray(x, np.float32) for x in side]) for side in zip(*pairs, strict=True)
    )
    separated = heard(voices, backings, net)
    known = heard(voice[None], backing[None], None)
    silent = np.array([False, False, False, True, False])
    return Heard(*(np.concatenate(sides) for sides in zip(separated, known, strict=True))), silent


def unsung(truth: Truth) -> Truth:
    """The same music with nobody singing."""
    return dataclasses.replace(truth, phones=(), notes=(), phrases=())


def write_lesson(path: Path, out: Path, seed: int, others: Library, net: SeparatorNet) -> None:
    """One song's features, takes, phones and beats into `out`, whole or not at all."""
    both, rate = soundfile.read(path, dtype="float32")
    if rate != FEATURE_RATE:
        raise ValueError(f"{path}: expected {FEATURE_RATE} Hz, got {rate}")
    voice, backing = np.ascontiguousarray(both.T)
    truth = load_truth(path.with_suffix(".json"))
    rng = np.random.default_rng([seed, truth.seed])
    sound, silent = variants(rng, voice, backing, others, net)
    styles = rng.permutation(len(STYLES))[:TAKES]
    sung = [perform(truth, voice, int(style), rng) for style in styles]
    rests = [perform(unsung(truth), 0 * voice, int(style), rng) for style in styles]
    frames = len(sung[0].blendshapes)
    phones, beats = sounding(truth.phones, frames), pulse_phase(truth, frames)
    takes = _pack("sung", sung) | _pack("rest", rests)
    _save(
        out, sound, silent, styles, {"phones": phones, "beats": beats.astype(np.float16), **takes}
    )


def write_recording(clip: Clip, out: Path, seed: int, net: SeparatorNet) -> None:
    """One recorded performance as a lesson in its own face space, whole or not at all.

    Heard in 4 variants: as recorded, with the accompaniment louder or quieter and in another room,
    dry, and with its stems known. Without its voice it is not heard: nobody recorded that face.
    """
    rng = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
    gain = 10 ** (rng.uniform(-14, 4) / 20)
    voices = np.stack([clip.voice, reshape_sound(rng, clip.voice), clip.voice])
    backings = np.stack([clip.backing, gain * clip.backing, 0 * clip.backing])
    separated = heard(voices.astype(np.float32), backings.astype(np.float32), net)
    known = heard(clip.voice[None], clip.backing[None], None)
    sound = Heard(*(np.concatenate(sides) for sides in zip(separated, known, strict=True)))
    takes: dict[str, np.ndarray] = {
        "sung_face": clip.expression[None].astype(np.float16),
        "sung_head": clip.head[None].astype(np.float32),
        "sung_closing": clip.closing[None].astype(np.float16),
    }
    frames = len(clip.expression)
    unknown = {
        "phones": np.full(frames, -1, np.int16),
        "beats": np.full(frames, np.nan, np.float16),
    }
    _save(out, sound, np.zeros(4, bool), np.array([clip.subject]), unknown | takes)


def _save(
    out: Path,
    sound: Heard,
    silent: np.ndarray,
    styles: np.ndarray,
    truth: dict[str, np.ndarray],
) -> None:
    partial = out.with_suffix(".partial.npz")
    lesson = {name: x.astype(np.float16) for name, x in sound._asdict().items()}
    lesson |= {"silent": silent, "styles": styles, **truth}
    np.savez(partial, **lesson)  # type: ignore[arg-type]
    os.replace(partial, out)


def _pack(name: str, takes: list[Performance]) -> dict[str, np.ndarray]:
    """Where the eyes look is chance, which no network can hear: eyes.py samples it."""
    faces = np.stack([take.blendshapes for take in takes])
    faces[..., LOOKS] = 0
    return {
        f"{name}_face": faces.astype(np.float16),
        f"{name}_head": np.stack([take.head for take in takes]).astype(np.float32),
        f"{name}_closing": np.stack([take.long_closing for take in takes]).astype(np.float16),
    }


def record(
    corpus: SingingHead | SingingFace,
    out: Path,
    seed: int,
    net: SeparatorNet,
    part: int,
    parts: int,
) -> str:
    """Every clip of a corpus (of this process's share) as a lesson; says how to train on them."""
    out.mkdir(parents=True, exist_ok=True)
    for number in range(part, len(corpus), parts):
        target = out / f"{corpus.names[number]}.npz"
        if not target.exists():
            write_recording(corpus[number], target, seed, net)
    return (
        f"{len(corpus)} clips of {len(corpus.subjects)} singers in {out}; train with "
        f"--set lessons={out} --set net.expression={corpus.expression} "
        f"--set net.subjects={len(corpus.subjects)}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--songs", type=Path, help="songs that engine.training.songs made")
    source.add_argument("--singing-head", type=Path, help="SingingHead, as published")
    source.add_argument("--singing-face", type=Path, help="SingingFace, see its reader")
    parser.add_argument("--split", default="train", help="of a recorded corpus")
    parser.add_argument("--hard", type=Path)
    parser.add_argument("--separator", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="0/1", help="this process's share, e.g. 0/2 and 1/2")
    args = parser.parse_args()
    part, parts = map(int, args.part.split("/"))
    torch.set_num_threads(1)
    net = load_module(args.separator).module
    if args.songs is None:
        reader, folder = (
            (SingingHead, args.singing_head)
            if args.singing_head is not None
            else (SingingFace, args.singing_face)
        )
        try:
            print(record(reader(folder, args.split), args.out, args.seed, net, part, parts))
        except BadCorpus as error:
            parser.error(str(error))
        return
    songs = sorted(args.songs.glob("song_*.flac"))
    backings = [
        soundfile.read(path, dtype="int16")[0][:, 1].copy()
        for path in songs[:: max(1, len(songs) // 40)]
    ]
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
