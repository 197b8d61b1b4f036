"""How well the separator hears: `python -m bench.separation SONG.flac … [--weights FILE.onnx]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from engine.hearing import bands, stft
from engine.hearing.framing import Framer
from engine.hearing.separator import Separation, Separator
from engine.hearing.stft import InverseSTFT
from engine.metrics.separation import area_under_curve, leak, si_sdr
from engine.signals import F32
from engine.timeline import FEATURE_HOP
from engine.training.separator import activity_of
from engine.weights import shipped


def take_out(separator: Separator, sound: F32) -> tuple[F32, Separation]:
    """16 kHz sound [n] → its voice [n], delay undone, and what the separator said."""
    framer, inverse = Framer(stft.LENGTH), InverseSTFT()
    frames, _ = framer(np.pad(sound, (0, FEATURE_HOP))[None], framer.initial_state())
    said, _ = separator(frames[:, 0], separator.initial_state())
    spectra = stft.spectrum(frames[:, 0]) * (said.bands[:, 0] @ bands.BANK)
    voice, _ = inverse(spectra.astype(np.complex64), inverse.initial_state())
    return voice[FEATURE_HOP : FEATURE_HOP + len(sound)], said


def song_scores(separator: Separator, voice: F32, backing: F32) -> dict[str, float]:
    """Gain over doing nothing, what leaks, and how well singing is noticed."""
    whole = len(voice) // FEATURE_HOP * FEATURE_HOP
    voice, backing = voice[:whole], backing[:whole]
    estimate, said = take_out(separator, voice + backing)
    alone, alone_said = take_out(separator, backing)
    dry, dry_said = take_out(separator, voice)
    n = len(estimate)
    active = activity_of(voice[None])[0]
    hops = min(len(active), len(said.activity), len(dry_said.activity))
    return {
        "SI-SDR gain, dB": si_sdr(estimate, voice[:n]) - si_sdr(voice[:n] + backing[:n], voice[:n]),
        "leak of accompaniment alone, dB": leak(alone, backing),
        "false voice on accompaniment": float((alone_said.activity > 0.5).mean()),
        "activity AUC": area_under_curve(said.activity[:hops], active[:hops]),
        "dry voice kept, dB": leak(dry, voice),
        "voice noticed when dry": float((dry_said.activity[:hops][active[:hops] > 0] > 0.5).mean()),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    separator = Separator(args.weights or shipped("separator.onnx"))
    rows = []
    for path in args.songs:
        both, _ = soundfile.read(path, dtype="float32")
        rows.append(song_scores(separator, both[:, 0].copy(), both[:, 1].copy()))
    table = Table("figure", "mean", "worst")
    for figure in rows[0]:
        values = [row[figure] for row in rows]
        worst = max(values) if "leak" in figure or "false" in figure else min(values)
        table.add_row(figure, f"{np.mean(values):.2f}", f"{worst:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
