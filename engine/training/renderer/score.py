"""How well a renderer paints: likeness to held-out truth, sharpness, flicker, speed; and a sheet.

python -m engine.training.renderer.score RUN --pairs corpus/aria --out sheet.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.avatar import RendererConfig
from engine.metrics.picture import cpbd, gmsd, ssim, warping_error
from engine.rendering.head import Head
from engine.rendering.identity import load_identity
from engine.rendering.neural.guide import REFERENCE, premultiplied
from engine.rendering.neural.networks import Network, NoState
from engine.signals import F32, U8
from engine.timeline import FRAME_RATE
from engine.training.renderer.lessons import Batch, Lessons
from engine.training.renderer.motions import film
from engine.training.renderer.seeing import face, flow

MASK = 0.5  # alpha from which a pixel is the singer's
FILM, FILM_SEED = 48, 77  # pictures
TEN_MINUTES = 600 * FRAME_RATE  # frames
SHEET_ROWS = 6


def masked_ssim(made: Tensor | F32, truth: Tensor | F32) -> float:
    """SSIM where the singer truly is. [4, H, W] premultiplied, 0 … 1."""
    pictures = [_eight_bits(np.asarray(x)) for x in (made, truth)]
    return ssim(pictures[0][..., :3], pictures[1][..., :3], where=pictures[1][..., 3] > 255 * MASK)


def _eight_bits(picture: F32) -> U8:
    return np.rint(255 * picture.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)


def paint(network: Network, batch: Batch) -> F32:
    """[4, H, W] of a batch of one."""
    with torch.no_grad():
        made, _ = network(*batch[:-1], state=NoState())
    return made.rgba[0].numpy()  # type: ignore[no-any-return]


def figures(network: Network, lessons: Lessons, count: int) -> dict[str, float]:
    """Means over `count` held-out pairs, of ours, of bare guidance where it is a picture, of truth.

    ssim: on the singer, and on her face alone. gmsd: see `metrics.picture`, on grey. cpbd:
    sharpness. flicker: largest change of a picture whose inputs are held, out of 255. drift: the
    same motion ten minutes later, SSIM. warping: error of a film of FILM pictures.
    """
    found: dict[str, list[float]] = {}
    head = _head(lessons)
    batches, motions = lessons.held_out(count), lessons.held_out_motions(count)
    for batch, motion in zip(batches, motions, strict=True):
        truth, made = batch.truth[0].numpy(), paint(network, batch)
        rows = {"ours": made, "truth": truth}
        if batch.guidance.shape[1] == REFERENCE:
            rows["guidance"] = enlarged(batch.guidance[0].numpy(), truth.shape[1])
        where = face(head, motion)
        for name, picture in rows.items():
            found.setdefault(f"cpbd {name}", []).append(cpbd(_eight_bits(picture)[..., :3]))
            if name != "truth":
                found.setdefault(f"ssim {name}", []).append(masked_ssim(picture, truth))
                found.setdefault(f"ssim face {name}", []).append(face_ssim(picture, truth, where))
                grey = gmsd(_on_grey(picture), _on_grey(truth))
                found.setdefault(f"gmsd {name}", []).append(grey)
        again = np.abs(paint(network, batch) - made).max() * 255
        found.setdefault("flicker", []).append(float(again))
        later = paint(network, lessons.told(replace(motion, frame=motion.frame + TEN_MINUTES)))
        found.setdefault("drift", []).append(masked_ssim(later, made))
    means = {name: float(np.nanmean(values)) for name, values in found.items()}
    return {**means, **_on_film(network, lessons, head)}


def _head(lessons: Lessons) -> Head:
    side = lessons.config.size * lessons.config.enlarge
    config = replace(RendererConfig(), width=side, height=side, background="transparent")
    return Head(load_identity(lessons.identity), config)


def _on_film(network: Network, lessons: Lessons, head: Head) -> dict[str, float]:
    """Warping errors of ours and of the rasterised head, and milliseconds a picture, in torch."""
    motions = film(FILM_SEED, FILM)
    told = [lessons.told(motion) for motion in motions]
    start = perf_counter()
    made = [paint(network, batch) for batch in told]
    spent = (perf_counter() - start) / len(made)
    flows = np.stack([flow(head, *pair) for pair in pairwise(motions)])
    ours = np.stack([_on_grey(picture) for picture in made])
    drawn = np.stack([_on_grey(premultiplied(head.draw(motion).rgba)) for motion in motions])
    return {
        "warping ours": warping_error(ours, flows),
        "warping rasterised": warping_error(drawn, flows),
        "ms a picture, torch": 1000 * spent,
    }


def face_ssim(made: F32, truth: F32, where: NDArray[np.bool_]) -> float:
    """SSIM where the face is; nan for a picture that shows none."""
    if not where.any():
        return float("nan")
    return ssim(_eight_bits(made)[..., :3], _eight_bits(truth)[..., :3], where)


def enlarged(picture: F32, side: int) -> F32:
    """[C, S, S] → [C, side, side]."""
    whole = cv2.resize(picture.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole.reshape(side, side, -1).transpose(2, 0, 1), np.float32)


def sheet(network: Network, batches: list[Batch]) -> U8:
    """Rows of guidance | ours | truth on grey, [H, W, 3]."""
    rows = []
    for batch in batches[:SHEET_ROWS]:
        truth = batch.truth[0].numpy()
        told = enlarged(batch.guidance[0].numpy(), truth.shape[1])
        if len(told) != REFERENCE:  # depth or geometry: the first channel, as grey
            told = np.concatenate([np.repeat(told[:1], 3, 0), np.ones_like(told[:1])])
        rows.append(np.hstack([_on_grey(x) for x in (told, paint(network, batch), truth)]))
    return np.vstack(rows)


def _on_grey(picture: F32) -> U8:
    over = picture[:3] + np.float32(0.35) * (1 - picture[3:])
    return np.rint(255 * over.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Command line."""
    from engine.training.renderer.shipping import load_renderer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", help="a folder, or raster:NAME; default: those it learned from")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--out", type=Path, help="picture of guidance | ours | truth")
    options = parser.parse_args()
    network, record = load_renderer(options.run)
    lessons = Lessons(options.pairs or record["pairs"], network.config, 1)
    for name, value in figures(network, lessons, options.count).items():
        print(f"{name:<20} {value:.4f}")
    if options.out:
        batches = lessons.held_out(SHEET_ROWS)
        cv2.imwrite(str(options.out), sheet(network, batches)[..., ::-1])


if __name__ == "__main__":
    main()
