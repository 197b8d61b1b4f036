"""Batches for the renderer: guidance drawn from motions, truth from pairs or the rasteriser."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.rendering.identity import load_identity
from engine.rendering.neural.guide import Guide, Rasteriser, premultiplied
from engine.rendering.neural.networks import LiteConfig, UNetConfig
from engine.signals import F32, U8, Motion
from engine.training.renderer.motions import numbered_motion, rest, some_motion
from engine.training.renderer.pairs import HELD_OUT, Painter, Pairs, rasterise, rig_digest

FACING = 0.5  # share of crops about the eyes
KEPT = 1024  # pairs, some 2 MB each
RASTER = "raster:"  # truth from the rasteriser itself, made as it is needed


class Batch(NamedTuple):
    """Inputs as the network takes them, and the truth [B, 4, H, W], premultiplied."""

    guidance: Tensor
    eyes: Tensor
    reference: Tensor
    phase: Tensor
    truth: Tensor


class Lessons:
    """Pairs of one identity. Opened again in each data worker: a rasteriser serves one thread."""

    def __init__(
        self,
        source: str,
        config: UNetConfig | LiteConfig,
        batch: int,
        crop: int = 0,
        shift: int = 0,
    ) -> None:
        """source: a folder of pairs, or `raster:NAME` for endless ones of the rasteriser.

        crop: of the guidance, pixels a side, 0 for all of it. shift: pixels of the guidance that
        whole ones are moved by, at most, guidance and truth alike: a network that sees a picture as
        a whole would learn the few there are by heart. Raises BadPairs; ValueError for a folder
        without pictures, or a crop that the network cannot take.
        """
        self.source, self.config, self.size = source, config, batch
        self.crop, self.shift = crop, shift
        step = config.grid * 2 ** (len(config.widths) - 1) if isinstance(config, LiteConfig) else 0
        if crop and (not step or crop % step or crop > config.size):
            raise ValueError(f"crop must be a multiple of {step or config.size}, got {crop}")
        self.pairs: Pairs | None = None
        if source.startswith(RASTER):
            self.identity = source.removeprefix(RASTER)
            rig_digest(self.identity)  # is there such a head?
        else:
            self.pairs = Pairs(Path(source))
            self.pairs.check()
            self.identity = self.pairs.about.identity
            done = self.pairs.done()
            self.known = [k for k in done if k % HELD_OUT]
            self.unknown = [k for k in done if not k % HELD_OUT]
            if not self.known or not self.unknown:
                raise ValueError(f"{source} has too few pictures: {len(done)}")

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened."""
        opened = ("rasteriser", "painter", "reference", "known_pair")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    @cached_property
    def rasteriser(self) -> Rasteriser:
        """Draws the guidance."""
        config = self.config
        return Rasteriser(
            load_identity(self.identity), config.guidance, config.size, config.periods
        )

    @cached_property
    def painter(self) -> Painter:
        """Draws the truth where there are no pairs."""
        return rasterise(self.identity, self.config.size * self.config.enlarge)

    @cached_property
    def reference(self) -> F32:
        """[4, S, S]."""
        rgba = self.pairs.reference() if self.pairs else next(self.painter([rest()]))
        return _sized(premultiplied(rgba), self.config.size)

    def batch(self, rng: np.random.Generator, step: int) -> Batch:
        """The batch of a step."""
        if self.pairs is None:
            return self._stack([self._pair(some_motion(rng), rng=rng) for _ in range(self.size)])
        numbers = rng.choice(self.known, self.size)
        return self._stack([self._numbered(int(k), rng) for k in numbers])

    def held_out(self, count: int) -> list[Batch]:
        """Whole pictures that are never trained on, a batch each; the same ones every time."""
        if self.pairs is None:
            return [self._stack([self._pair(motion)]) for motion in self.held_out_motions(count)]
        return [self._stack([self._numbered(number)]) for number in self._spread(count)]

    def held_out_motions(self, count: int) -> list[Motion]:
        """What those pictures show."""
        if self.pairs is None:
            return [numbered_motion(999_999, k) for k in range(count)]
        return [self.pairs.motion(number) for number in self._spread(count)]

    def told(self, motion: Motion) -> Batch:
        """What the network is told of any motion, a batch of one; its truth is left empty."""
        side = self.config.size * self.config.enlarge
        return self._stack([self._pair(motion, np.zeros((4, side, side), np.float32))])

    def _spread(self, count: int) -> list[int]:
        among = np.linspace(0, len(self.unknown) - 1, min(count, len(self.unknown)))
        return [self.unknown[int(k)] for k in among]

    def _numbered(self, number: int, rng: np.random.Generator | None = None) -> tuple[F32, ...]:
        guide, rgba = self.known_pair(number)
        return self._cropped(guide, premultiplied(rgba), rng)

    @cached_property
    def known_pair(self) -> Callable[[int], tuple[Guide, U8]]:
        """Guidance and true picture of a numbered pair; the last KEPT stay in memory."""
        assert self.pairs is not None
        pairs = self.pairs

        @lru_cache(KEPT)
        def pair(number: int) -> tuple[Guide, U8]:
            return self.rasteriser.guide(pairs.motion(number)), pairs.picture(number)

        return pair

    def _pair(
        self, motion: Motion, truth: F32 | None = None, rng: np.random.Generator | None = None
    ) -> tuple[F32, ...]:
        """Guidance, eyes, reference, phase and truth of one motion; cropped by chance."""
        if truth is None:
            truth = premultiplied(next(self.painter([motion])))
        return self._cropped(self.rasteriser.guide(motion), truth, rng)

    def _cropped(
        self, guide: Guide, truth: F32, rng: np.random.Generator | None
    ) -> tuple[F32, ...]:
        times = self.config.enlarge
        truth = _sized(truth, self.config.size * times)
        parts = [guide.guidance[0], guide.eyes[0], self.reference, guide.phase[0], truth]
        if rng is not None and self.crop:
            x, y = _corner(rng, parts[0], parts[1], self.crop)
            for k, scale in ((0, 1), (1, 1), (2, 1), (4, times)):
                rows = slice(y * scale, (y + self.crop) * scale)
                parts[k] = parts[k][:, rows, x * scale : (x + self.crop) * scale]
        elif rng is not None and self.shift:
            by = rng.integers(-self.shift, self.shift + 1, 2)
            for k, scale in ((0, 1), (1, 1), (4, times)):
                parts[k] = _moved(parts[k], by * scale)
        return tuple(parts)

    def _stack(self, pairs: list[tuple[F32, ...]]) -> Batch:
        columns = zip(*pairs, strict=True)
        return Batch(*(torch.from_numpy(np.ascontiguousarray(np.stack(c))) for c in columns))


def _corner(rng: np.random.Generator, guidance: F32, eyes: F32, crop: int) -> tuple[int, int]:
    """Left and top of a crop, on cells of four pixels, about some place on the singer (the corners
    are empty, and there is nothing to learn there), every other time about her eyes: they are the
    smallest, and what people look at."""
    there = np.argwhere((eyes[0] if rng.random() < FACING else guidance[_told(guidance)]) > 0)
    y, x = there[rng.integers(len(there))] if len(there) else (0, 0)
    y, x = np.array([y, x]) - rng.integers(crop // 4, 3 * crop // 4, 2)
    return tuple(int(k) // 4 * 4 for k in np.clip([x, y], 0, guidance.shape[1] - crop))  # type: ignore[return-value]


def _moved(planes: F32, by: NDArray[np.int64]) -> F32:
    """[C, H, W] moved right and down; its edges go on where nothing is known."""
    rows, columns = (
        np.clip(np.arange(size) - step, 0, size - 1)
        for size, step in zip(planes.shape[1:], by[::-1], strict=True)
    )
    return planes[:, rows][:, :, columns]


def _told(guidance: F32) -> int:
    """The channel that is nothing where nobody is."""
    return -1 if len(guidance) > 1 else 0


def _sized(picture: F32, side: int) -> F32:
    """[4, H, W] → [4, side, side]."""
    if picture.shape[1] == side:
        return picture
    way = cv2.INTER_AREA if side < picture.shape[1] else cv2.INTER_CUBIC
    whole = cv2.resize(picture.transpose(1, 2, 0), (side, side), interpolation=way)
    return np.clip(whole, 0.0, 1.0).transpose(2, 0, 1).astype(np.float32)
