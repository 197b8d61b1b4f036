"""A video whose truth is known goes all the way: python -m engine.training.identity.proof

The second identity sings a song that is drawn by the rasteriser and encoded like any video; its
person is made from that video alone; then what was found is measured against what was done.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from engine.avatar import Avatar, AvatarConfig, RendererConfig, Unseen
from engine.motion.blendshapes import INDEX
from engine.rendering.head import Head
from engine.rendering.identity import load_identity
from engine.signals import F32, U8, Motion, Sound
from engine.timeline import FRAME_RATE, SAMPLE_RATE
from engine.training.identity.making import Making, Request, begin, make, write_sheet
from engine.training.identity.plane import angles
from engine.training.identity.video import write
from engine.training.renderer.lessons import Batch, Lessons
from engine.training.renderer.score import masked_ssim, paint, sheet
from engine.training.renderer.shipping import load_renderer

WIDTH, HEIGHT, BEHIND = 960, 720, "#5f6b78"
STYLE, SEED = 5, 3  # theatrical
SHOWN = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmile", "mouthStretch", "mouthLowerDown",
    "mouthUpperUp", "eyeBlink", "eyeSquint", "browDown", "browInnerUp", "cheekSquint",
)  # fmt: skip
COMPARED = 60  # pictures never trained on


def sung(song: Path, seconds: float) -> list[Motion]:
    """What the avatar engine does to the beginning of a song."""
    parts: list[F32] = []
    with av.open(str(song)) as file:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        for frame in file.decode(file.streams.audio[0]):
            parts += [
                np.asarray(part.to_ndarray(), np.float32) for part in resampler.resample(frame)
            ]
            if sum(part.shape[1] for part in parts) > seconds * SAMPLE_RATE:
                break
    sound = np.concatenate(parts, axis=1)[:, : int(seconds * SAMPLE_RATE)]
    avatar = Avatar(AvatarConfig(style=STYLE, seed=SEED), Unseen())
    motions, _ = avatar.hear(Sound(sound, 0), avatar.initial_state())
    return motions


def film(identity: str, motions: list[Motion], path: Path) -> None:
    """The motions as a video, unless it is there."""
    if path.exists():
        return
    head = Head(load_identity(identity), RendererConfig("head", WIDTH, HEIGHT, "bust", BEHIND))

    def drawn() -> Iterator[U8]:
        for motion in motions:
            yield np.ascontiguousarray(head.draw(motion).rgba[..., :3])

    partial = path.with_name(f"partial-{path.name}")
    write(partial, drawn())
    partial.replace(path)


def likeness(found: NDArray, true: NDArray) -> tuple[float, float]:
    """Correlation, and mean absolute difference."""
    together = np.corrcoef(found, true)[0, 1] if true.std() > 0 and found.std() > 0 else np.nan
    return float(together), float(np.abs(found - true).mean())


def fitted_well(making: Making, motions: list[Motion]) -> Iterator[str]:
    """Lines of a table: pose, gaze, coefficients against the truth."""
    with np.load(making.fitted, allow_pickle=False) as stored:
        kept, weights, gaze = stored["kept"], stored["weights"], stored["gaze"]
        turn = stored["turn"]
    true = [motions[k] for k in kept]
    yield f"pictures followed: {len(kept)} of {len(motions)}"
    yield f"{'':<16}{'correlation':>12}{'mean error':>12}{'true spread':>12}"
    told = np.degrees(np.stack([m.head[:3] for m in true]))
    looked = np.degrees(np.stack([m.gaze for m in true]))
    looked -= np.median(looked, axis=0)  # where somebody usually looks is their rest
    rows = list(
        zip(("yaw °", "pitch °", "roll °"), np.degrees(angles(turn)).T, told.T, strict=True)
    )
    rows += zip(("gaze across °", "gaze up °"), np.degrees(gaze).T, looked.T, strict=True)
    shapes = np.stack([m.blendshapes for m in true])
    for name in SHOWN:
        columns = [k for n, k in INDEX.items() if n in (name, f"{name}Left", f"{name}Right")]
        rows.append((name, weights[:, columns].mean(1), shapes[:, columns].mean(1)))
    for label, found, truth in rows:
        together, off = likeness(found, truth)
        yield f"{label:<16}{together:>12.3f}{off:>12.3f}{truth.std():>12.3f}"


def painted_well(making: Making, count: int = COMPARED) -> Iterator[str]:
    """Lines: SSIM on the person, of the network and of what needs none, on the stretch of time that
    was never trained on."""
    network, record = load_renderer(making.request.work / "run")
    lessons = Lessons(record["pairs"], network.config, 1)
    assert lessons.pairs is not None
    batches = lessons.held_out(count)
    features = {k: _features(lessons.pairs.motion(k)) for k in lessons.known}
    every = np.stack([features[k] for k in lessons.known])
    mean = np.mean([_truth(lessons, k) for k in lessons.known[::8]], axis=0)
    found: dict[str, list[float]] = {"ours": [], "nearest picture": [], "mean picture": []}
    for batch, motion in zip(batches, lessons.held_out_motions(count), strict=True):
        truth, asked = batch.truth[0].numpy(), _features(motion)
        nearest = lessons.known[int(((every - asked) ** 2).sum(1).argmin())]
        found["ours"].append(masked_ssim(paint(network, batch), truth))
        found["nearest picture"].append(masked_ssim(_truth(lessons, nearest), truth))
        found["mean picture"].append(masked_ssim(mean, truth))
    for name, values in found.items():
        yield f"SSIM on {len(values)} held-out pictures, {name:<16}{np.mean(values):.4f}"
    write_sheet(
        making.request.work / "proof.png", sheet(network, batches[:: max(1, len(batches) // 6)])
    )


def _truth(lessons: Lessons, number: int) -> F32:
    assert lessons.pairs is not None
    batch: Batch = lessons._stack([lessons._numbered(number)])
    return np.asarray(batch.truth[0].numpy(), np.float32)


def _features(motion: Motion) -> NDArray:
    """[61] by which motions are near each other: a degree is as much as a thirtieth of a shape."""
    return np.concatenate([motion.blendshapes, 2 * motion.head[:3], 20 * motion.head[3:]])


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--identity", default="elias", help="who is filmed")
    parser.add_argument("--base", default="aria", help="whose head is bent")
    parser.add_argument("--song", type=Path, default=Path("streaming/demo/demo.ogg"))
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--work", type=Path, default=Path("runs/identity-proof"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    motions = sung(options.song, options.seconds)
    film(options.identity, motions, work / "film.mp4")
    request = Request(
        work / "film.mp4", f"{options.identity}-filmed", options.base, options.size, work / "pack",
        work / "work", tuple(options.settings),
    )  # fmt: skip
    print(f"{len(motions) / FRAME_RATE:.0f} s of {options.identity}, {request.size} pixels a side")
    making = Making(request, print)
    if not request.out.exists():
        begin(request, lambda: True, "the day of the proof")  # nobody real is shown
        make(request)
    for line in (*fitted_well(making, motions), *painted_well(making)):
        print(line)


if __name__ == "__main__":
    main()
