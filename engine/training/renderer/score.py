"""How well a renderer paints: likeness to held-out truth, sharpness, flicker; and a sheet to see.

python -m engine.training.renderer.score RUN --pairs corpus/aria --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.metrics.picture import cpbd, ssim
from engine.rendering.neural.guide import REFERENCE
from engine.rendering.neural.networks import Network, NoState
from engine.signals import F32, U8
from engine.training.renderer.lessons import Batch, Lessons

MASK = 0.5  # alpha from which a pixel is the singer's
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


def figures(network: Network, batches: list[Batch]) -> dict[str, float]:
    """Means over held-out pairs: SSIM on the singer and sharpness, of ours, of bare guidance where
    it is a picture, of the truth; and `flicker`, the largest change of a picture whose inputs are
    held, out of 255."""
    found: dict[str, list[float]] = {}
    for batch in batches:
        truth, made = batch.truth[0].numpy(), paint(network, batch)
        rows = {"ours": made, "truth": truth}
        if batch.guidance.shape[1] == REFERENCE:
            rows["guidance"] = enlarged(batch.guidance[0].numpy(), truth.shape[1])
        for name, picture in rows.items():
            found.setdefault(f"cpbd {name}", []).append(cpbd(_eight_bits(picture)[..., :3]))
            if name != "truth":
                found.setdefault(f"ssim {name}", []).append(masked_ssim(picture, truth))
        again = np.abs(paint(network, batch) - made).max() * 255
        found.setdefault("flicker", []).append(float(again))
    return {name: float(np.nanmean(values)) for name, values in found.items()}


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
    batches = lessons.held_out(options.count)
    for name, value in figures(network, batches).items():
        print(f"{name:<14} {value:.4f}")
    if options.out:
        cv2.imwrite(str(options.out), sheet(network, batches)[..., ::-1])


if __name__ == "__main__":
    main()
