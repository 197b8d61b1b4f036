"""How well the separator hears: `python -m bench.separation SONG.flac … [--weights FILE.onnx]`.

Songs are 16 kHz flacs of the song maker, voice and accompaniment in two channels. A recording of a
real song is scored by where nobody sings in it, `--recording song.ogg=0-10.7,17.5-21.5` in seconds;
real voices (`--voices`) are laid over the longest of those stretches, equally loud.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rich.console import Console
from rich.table import Table

from bench.sound import read_sound
from engine.hearing import bands, stft
from engine.hearing.framing import Framer
from engine.hearing.separator import Separation, Separator
from engine.hearing.stft import InverseSTFT
from engine.metrics.separation import area_under_curve, leak, si_sdr
from engine.signals import F32
from engine.timeline import FEATURE_HOP, FEATURE_RATE, SAMPLE_RATE
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


def offline_scores(take_voice: Callable[[F32], F32], voice: F32, backing: F32) -> dict[str, float]:
    """As `song_scores` of a separator that hears the whole song first and says nothing else."""
    estimate, alone = take_voice(voice + backing), take_voice(backing)
    return {
        "SI-SDR gain, dB": si_sdr(estimate, voice) - si_sdr(voice + backing, voice),
        "leak of accompaniment alone, dB": leak(alone, backing),
        "dry voice kept, dB": leak(take_voice(voice), voice),
    }


Stretches = list[tuple[float, float]]  # s


def recording_scores(separator: Separator, sound: F32, unsung: Stretches) -> dict[str, float]:
    """A real song [n] of which is known only where nobody sings; what is sung holds rests, too."""
    voice, said = take_out(separator, sound)
    seconds = np.arange(len(said.activity)) * FEATURE_HOP / FEATURE_RATE
    silent = np.any([(seconds >= a) & (seconds < b) for a, b in unsung], axis=0)
    parts = [slice(int(a * FEATURE_RATE), int(b * FEATURE_RATE)) for a, b in unsung]
    return {
        "false voice where nobody sings": float((said.activity[silent] > 0.5).mean()),
        "voice noticed elsewhere": float((said.activity[~silent] > 0.5).mean()),
        "activity AUC": area_under_curve(said.activity, (~silent).astype(np.float32)),
        "leak where nobody sings, dB": leak(
            np.concatenate([voice[part] for part in parts]),
            np.concatenate([sound[part] for part in parts]),
        ),
    }


def laid_over(voice: F32, sound: F32, unsung: Stretches) -> tuple[F32, F32]:
    """A voice and the longest unsung stretch of a song, equally long and loud."""
    start, end = max(unsung, key=lambda stretch: stretch[1] - stretch[0])
    backing = sound[int(start * FEATURE_RATE) : int(end * FEATURE_RATE)]
    length = min(len(voice), len(backing))
    voice, backing = voice[:length], backing[:length]
    return voice, backing * np.float32(np.sqrt((voice**2).mean() / (backing**2).mean()))


def _mono(path: str) -> F32:
    sound: F32 = soxr.resample(read_sound(path).mean(axis=0), SAMPLE_RATE, FEATURE_RATE)
    return sound


def recording_of(text: str) -> tuple[str, Stretches]:
    """`FILE=0-10.7,17.5-21.5` → the file and its unsung stretches."""
    path, _, stretches = text.rpartition("=")
    try:
        pairs = [tuple(float(end) for end in part.split("-")) for part in stretches.split(",")]
        unsung = [(start, end) for start, end in pairs if start < end]
    except ValueError:
        unsung = []
    if not path or not unsung:
        raise argparse.ArgumentTypeError(
            f"expected FILE=START-END,… in seconds where nobody sings, got {text!r}"
        )
    return path, unsung


def _show(title: str, rows: list[dict[str, float]]) -> None:
    table = Table("figure", "mean", "worst", title=title)
    for figure in rows[0]:
        values = [row[figure] for row in rows]
        worst = max(values) if "leak" in figure or "false" in figure else min(values)
        table.add_row(figure, f"{np.mean(values):.2f}", f"{worst:.2f}")
    Console().print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", nargs="*", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--recording", type=recording_of, metavar="FILE=0-10.7,…")
    parser.add_argument("--voices", nargs="*", default=[], help="real voices alone")
    parser.add_argument("--offline", action="store_true", help="and what librosa's separators do")
    args = parser.parse_args()
    separator = Separator(args.weights or shipped("separator.onnx"))
    pairs = [tuple(soundfile.read(path, dtype="float32")[0].T.copy()) for path in args.songs]
    if pairs:
        _show(f"{len(pairs)} made songs", [song_scores(separator, *pair) for pair in pairs])
    if args.offline:
        from bench.baselines import OFFLINE

        for name, take_voice in OFFLINE.items():
            _show(f"{name}, offline", [offline_scores(take_voice, *pair) for pair in pairs])
    if args.recording:
        sound, unsung = _mono(args.recording[0]), args.recording[1]
        _show("a recording", [recording_scores(separator, sound, unsung)])
        over = [laid_over(_mono(path), sound, unsung) for path in args.voices]
        if over:
            _show("real voices over it", [song_scores(separator, *pair) for pair in over])


if __name__ == "__main__":
    main()
