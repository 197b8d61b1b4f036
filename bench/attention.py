"""What the attention modulators listen to: `python -m bench.attention SONG.flac --out weights.png`.

The paper's Fig. 6: weights of the voice's and the accompaniment's channels over time, for the
expression, the head and the eyes. SONG: as `bench.quality` takes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from bench.quality import Figures, markdown, stems_of
from engine.avatar import Avatar, AvatarConfig, Unseen
from engine.metrics import mouth
from engine.motion.musicface_net import STREAM, MusicFace
from engine.signals import F32
from engine.timeline import FRAME_RATE, SAMPLE_RATE
from engine.weights import shipped
from kernels.graphs.opening import load_module

NAMES = ("expression", "head", "eyes")


def attention_of(avatar: Avatar, sound: F32) -> F32:
    """Weights [T, 3, 256] that the shipped ATMs give to the encoded voice (the first half) and
    accompaniment of a mixture [1, n] at 48 kHz."""
    model = load_module(shipped("musicface.onnx")).module
    assert isinstance(model, MusicFace)
    heard, _ = avatar.hearing(sound, avatar.hearing.initial_state())
    windows, _ = avatar.windows(heard, avatar.windows.initial_state())
    features = torch.from_numpy(windows.features)[None]
    code = torch.from_numpy(avatar.face.code).expand(1, features.shape[1], -1)
    with torch.inference_mode():
        encoded = model.encode(features, code)
        _, weights, _ = model.attend(encoded, code, model.initial_state().attention)
    return np.asarray(weights[0], np.float32)


def shares(weights: F32, sung: np.ndarray) -> dict[str, Figures]:
    """Mean weight of each stream's channels, where somebody sings [T] and where nobody does."""
    rows: dict[str, Figures] = {}
    for k, name in enumerate(NAMES):
        streams = {"voice": weights[:, k, :STREAM], "accompaniment": weights[:, k, STREAM:]}
        rows[name] = {
            f"{stream}, {'sung' if here else 'not sung'}": float(part[sung == here].mean())
            for stream, part in streams.items()
            for here in (True, False)
        }
    return rows


def draw(sound: F32, weights: F32, sung: np.ndarray, out: Path) -> None:
    """Write the picture; brighter is heavier, each panel's brightest channel is white."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    seconds = len(weights) / FRAME_RATE
    figure, axes = plt.subplots(
        4, 1, figsize=(14, 13), sharex=True, height_ratios=(2, 3, 3, 3), layout="constrained"
    )
    axes[0].specgram(
        sound[0] + 1e-9, NFFT=2048, Fs=SAMPLE_RATE, noverlap=1536, cmap="magma", vmin=-140
    )
    axes[0].set_ylim(0, 5000)
    time = np.arange(len(sung)) / FRAME_RATE
    axes[0].fill_between(time, 0, 250, where=sung, color="tab:cyan", label="somebody sings")
    axes[0].legend(loc="upper right")
    for k, name in enumerate(NAMES):
        axis, panel = axes[k + 1], weights[:, k].T
        axis.imshow(
            panel, aspect="auto", cmap="gray", vmin=0, extent=(0, seconds, len(panel), 0),
            interpolation="nearest",
        )  # fmt: skip
        axis.axhline(STREAM, color="tab:cyan", lw=1)
        axis.set_ylabel(f"{name}\naccompaniment | voice")
    axes[-1].set_xlabel("s")
    figure.savefig(out, dpi=50)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("song", type=Path)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--style", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("attention.png"))
    args = parser.parse_args()
    stems = stems_of(args.song)
    avatar = Avatar(AvatarConfig(style=args.style), Unseen())
    mixture = stems.sum(0, keepdims=True)
    weights = attention_of(avatar, mixture)
    sung = mouth.voiced_frames(mouth.frame_levels(stems[0], SAMPLE_RATE, len(weights)))
    print(markdown(shares(weights, sung), across=True))
    first, last = (round(t * FRAME_RATE) for t in (args.start, args.start + args.seconds))
    part = slice(round(args.start * SAMPLE_RATE), round((args.start + args.seconds) * SAMPLE_RATE))
    draw(mixture[:, part], weights[first:last], sung[first:last], args.out)


if __name__ == "__main__":
    main()
