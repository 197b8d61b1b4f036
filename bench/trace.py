"""See what the avatar heard and did: `python -m bench.trace SOUND --out trace.png`.

A spectrogram with the motion under it, on one time axis.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np

from bench.quality import motions_of, shapes_of
from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig
from engine.motion.blendshapes import INDEX
from engine.signals import F32, Motion
from engine.timeline import FRAME_RATE, SAMPLE_RATE

TRACKS = {
    "jaw": ("jawOpen",),
    "round": ("mouthPucker", "mouthFunnel"),
    "spread": ("mouthStretchLeft", "mouthStretchRight"),
    "press": ("mouthPressLeft", "mouthPressRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "brows": ("browInnerUp", "browOuterUpLeft"),
}


def draw(sound: F32, motions: list[Motion], start: float, stop: float, out: Path) -> None:
    """Write the picture of seconds `start` to `stop`."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shapes = shapes_of(motions)
    time = np.arange(len(motions)) / FRAME_RATE
    figure, axes = plt.subplots(4, 1, figsize=(18, 12), sharex=True, height_ratios=(3, 3, 2, 1.5))
    axes[0].specgram(
        sound.mean(0) + 1e-9,
        NFFT=2048,
        Fs=SAMPLE_RATE,
        noverlap=1536,
        cmap="magma",
        vmin=-140,
    )
    axes[0].set_ylim(0, 6000)
    for name, channels in TRACKS.items():
        values = shapes[:, [INDEX[channel] for channel in channels]].mean(1)
        axes[1].plot(time, values, label=name, lw=1)
    axes[1].set_ylim(0, 1)
    for k, name in enumerate(("yaw", "pitch", "roll")):
        axes[2].plot(time, [motion.head[k] for motion in motions], label=name, lw=1)
    axes[2].set_ylabel("rad")
    axes[3].plot(time, [motion.closure for motion in motions], label="eyes closed", lw=1)
    axes[3].plot(time, [motion.voice for motion in motions], label="voice", lw=1)
    for axis in axes[1:]:
        axis.legend(loc="upper right", fontsize=8, ncols=6)
        axis.grid(alpha=0.3)
    axes[3].set_xlim(start, stop)
    figure.tight_layout()
    figure.savefig(out, dpi=60)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sound")
    parser.add_argument("--out", type=Path, default=Path("trace.png"))
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--style", type=int, default=0)
    args = parser.parse_args()
    stop = args.start + args.seconds
    sound = read_sound(args.sound, stop)
    avatar = Avatar(replace(AvatarConfig(), style=args.style))
    draw(sound, motions_of(avatar, sound), args.start, stop, args.out)


if __name__ == "__main__":
    main()
