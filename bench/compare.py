"""Two results side by side: how much longer each timing takes, and how sure that is.

The medians of a run's blocks are drawn again and again (bootstrap); the ratio of the medians of
such draws has the confidence interval. A regression's interval lies wholly above the limit.
What differs between whole runs (another day, another neighbour) no interval of one run can know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bench.figures import Part, Timing

DRAWS = 2000
CONFIDENCE = 95  # percent
LEAST_BLOCKS = 4  # fewer say nothing about how sure a ratio is
AGREE = 0.10  # two runs on an idle machine agree when their p50s differ by less, …
WORTH_MS = 0.1  # … for whatever takes at least so long


class Ratio(NamedTuple):
    """new over old p50 of one timing, and between what it lies; nan where that cannot be told."""

    name: str
    old: float  # ms
    new: float  # ms
    ratio: float
    low: float
    high: float

    def regressed(self, limit: float) -> bool:
        """Surely slower by more than `limit` (0.1 is 10 %)."""
        return self.low > 1 + limit

    def improved(self, limit: float) -> bool:
        return self.high < 1 / (1 + limit)


def compare(old: dict[str, Part], new: dict[str, Part]) -> list[Ratio]:
    """Every timing that both have and that takes time, in the order of the new ones."""
    return [
        _ratio(f"{part}: {name}", was, is_)
        for part, name, was, is_ in _pairs(old, new)
        if was.p50 > 0 and is_.p50 > 0
    ]


def _pairs(old: dict[str, Part], new: dict[str, Part]) -> Iterator[tuple[str, str, Timing, Timing]]:
    for part, results in new.items():
        for name, timing in results.timings.items():
            if part in old and name in old[part].timings:
                yield part, name, old[part].timings[name], timing


def _ratio(name: str, old: Timing, new: Timing) -> Ratio:
    low = high = float("nan")
    if min(len(old.blocks), len(new.blocks)) >= LEAST_BLOCKS:
        chance = np.random.default_rng(0)
        ratios = _medians(new, chance) / np.maximum(_medians(old, chance), 1e-9)
        tail = (100 - CONFIDENCE) / 2
        low, high = map(float, np.percentile(ratios, [tail, 100 - tail]))
    return Ratio(name, old.p50, new.p50, new.p50 / old.p50, low, high)


def _medians(timing: Timing, chance: np.random.Generator) -> np.ndarray:
    """[DRAWS] medians of blocks drawn with replacement."""
    blocks = np.array(timing.blocks)
    return np.asarray(np.median(chance.choice(blocks, (DRAWS, len(blocks))), axis=1))


def agreement(ratios: list[Ratio]) -> tuple[int, int]:
    """How many p50s worth comparing agree within 10 %, and how many there are."""
    worth = [ratio for ratio in ratios if min(ratio.old, ratio.new) >= WORTH_MS]
    return sum(1 / (1 + AGREE) <= ratio.ratio <= 1 + AGREE for ratio in worth), len(worth)
