"""What a neural renderer is told about a picture, as arrays: guidance, eyes, temporal position."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from engine.avatar import RendererConfig
from engine.rendering.head import DISTANCE, Head
from engine.rendering.identity import Identity
from engine.signals import F32, U8, Motion
from kernels.developing import cells, in_cells, planes

CHANNELS = {"picture": 4, "geometry": 5, "depth": 1}
REFERENCE = 4  # channels of the reference: a premultiplied picture
NEAR = 2  # pixels a side of the cells that `networks.Lite` draws its last stage in
PERIODS = (32.0, 128.0, 512.0, 2048.0)  # frames
REACH = 0.35  # metres before and behind the neck's axis that depth tells apart


class Guide(NamedTuple):
    """One picture's inputs, batch of one. guidance: [1, C, S, S]. eyes: [1, 1, S, S].
    phase: [1, 2 · periods]."""

    guidance: F32
    eyes: F32
    phase: F32


def positions(periods: int) -> int:
    """Numbers that tell the temporal position."""
    return 2 * periods


def temporal_position(frame: int, periods: int) -> F32:
    """[2 · periods] sine and cosine of the frame on the first of PERIODS (SingingHead's temporal
    positional embedding). Bounded however long the show."""
    turns = 2 * np.pi * np.array([frame % period / period for period in PERIODS[:periods]])
    return np.concatenate([np.sin(turns), np.cos(turns)]).astype(np.float32)


def premultiplied(rgba: U8) -> F32:
    """[H, W, 4] straight alpha → [4, H, W] in 0 … 1, colours multiplied by alpha."""
    out = rgba.astype(np.float32).transpose(2, 0, 1) * np.float32(1 / 255)
    out[:3] *= out[3]
    return out


class Rasteriser:
    """Draws guidance of one kind for one identity, framing `bust`. Pure, as Head is."""

    def __init__(self, identity: Identity, kind: str, size: int, periods: int) -> None:
        """Raises ValueError for an identity without a head or an unknown kind."""
        if kind not in CHANNELS:
            raise ValueError(f"guidance must be one of {', '.join(CHANNELS)}, got {kind!r}")
        config = replace(RendererConfig(), width=size, height=size, background="transparent")
        if "rig" in identity.assets:  # a pack may have geometry and yet no looks of its own
            identity = replace(identity, renderers=["head"])
        self.head, self.kind, self.periods = Head(identity, config), kind, periods

    def guide(self, motion: Motion) -> Guide:
        """The inputs of one motion's picture."""
        if self.kind == "picture":
            painted, eyes = self.head.present(motion)
            told = np.empty((REFERENCE, *eyes.shape), np.float32)
            planes(painted, told)
        else:
            known = self.head.guide(motion)
            eyes = known.eyes
            near = np.where(known.depth > 0, 0.5 + (DISTANCE - known.depth) / (2 * REACH), 0.0)
            told = near[None].clip(0, 1)
            if self.kind == "geometry":
                told = np.concatenate([told, known.normals.transpose(2, 0, 1), known.mask[None]])
        phase = temporal_position(motion.frame, self.periods)
        return Guide(np.asarray(told[None], np.float32), eyes[None, None], phase[None])

    def tell(self, motion: Motion, told: dict[str, F32]) -> None:
        """Write the inputs of one motion's picture where a network takes them: as `guide` has them,
        or in cells (see `networks.LiteInCells`)."""
        if "coarse" in told and self.kind == "picture":
            painted, eyes = self.head.present(motion)
            cells(painted, eyes, told["coarse"][0], told["near"][0], told["shown"][0])
            told["phase"][0] = temporal_position(motion.frame, self.periods)
            return
        given = self.guide(motion)._asdict()
        if "coarse" in told:
            given = cut(given, given["guidance"].shape[2] // told["coarse"].shape[1])
        for name, value in given.items():
            told[name][:] = value


def cut(given: dict[str, F32], grid: int) -> dict[str, F32]:
    """Inputs of `networks.Lite`, some or all, as `LiteInCells` takes them; a batch of one. grid:
    pixels a side of the coarse cells."""
    out: dict[str, F32] = {}
    if "guidance" in given:
        told = np.concatenate([given["guidance"][0], given["eyes"][0]])
        out |= {"coarse": in_cells(told, grid)[None], "near": in_cells(told, NEAR)[None]}
        if len(told) == REFERENCE + 1:  # a picture and the eyes
            out["shown"] = in_cells(told[:REFERENCE], NEAR)[None]
    if "reference" in given:
        out["reference"] = in_cells(given["reference"][0], grid)[None]
    return {**out, "phase": given["phase"]} if "phase" in given else out
