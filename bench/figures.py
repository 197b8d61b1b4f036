"""What a part of the bench gives: timings, tables and the curves behind its pictures.

All of it is plain numbers and words, so that results.json holds everything that RESULTS.md and the
pictures show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 20  # that a run of calls is cut into: their medians say how far a p50 can be trusted
QUANTILES = (50, 95, 99)
STRETCH = 50  # calls, whose median can be trusted
ROUNDS = 5  # at least, of what is measured in rounds

Cell = str | float | int | None


@dataclass(frozen=True)
class Timing:
    """How long something took, in ms, one value per call (or per syllable).

    cpu: processor ms per call, of all threads. kb: the most memory a call held beyond what it
    found, as numpy and Python count it. blocks: medians of consecutive calls. None: not measured.
    """

    count: int
    p50: float
    p95: float
    p99: float
    max: float
    cpu: float | None = None
    kb: float | None = None
    blocks: tuple[float, ...] = ()


def timing(
    milliseconds: Sequence[float] | NDArray[Any], cpu: float | None = None, kb: float | None = None
) -> Timing:
    """The figures of some calls. Raises ValueError when there are none."""
    values = np.asarray(milliseconds, np.float64)
    if not len(values):
        raise ValueError("nothing was timed")
    p50, p95, p99 = np.percentile(values, QUANTILES)
    blocks = [float(np.median(part)) for part in np.array_split(values, min(BLOCKS, len(values)))]
    return Timing(
        len(values), float(p50), float(p95), float(p99), float(values.max()), cpu, kb, tuple(blocks)
    )


def stretches(calls: NDArray[Any]) -> list[NDArray[Any]]:
    """A round's calls [n, …], cut into as many stretches as have STRETCH calls each, at least one:
    neighbours come and go within a round, too."""
    return np.array_split(calls, max(1, len(calls) // STRETCH))


def of_rounds(every: Timing, stretches: Sequence[Timing]) -> Timing:
    """The figures of all calls, but the usual time is that of the quietest stretch of a round,
    which is the program's own and the same tomorrow; p95, p99 and the slowest stay those of all."""
    quiet = min(stretches, key=lambda timing: timing.p50)
    return replace(every, p50=quiet.p50, cpu=quiet.cpu, blocks=quiet.blocks)


@dataclass(frozen=True)
class Table:
    """Columns by name; each row begins with what it is about. None: not measured."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def cell(self, row: Cell, column: str) -> Cell:
        """One figure; None when there is no such row or column."""
        if column not in self.columns:
            return None
        index = self.columns.index(column)
        return next((found[index] for found in self.rows if found[0] == row), None)


@dataclass
class Part:
    """One part's results. notes: assumptions, and what could not be measured and why.
    curves: numbers for the pictures."""

    about: str
    timings: dict[str, Timing] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)


def part_from_json(data: dict[str, Any]) -> Part:
    """What `asdict` made of a Part, read again. Raises KeyError and TypeError for anything else."""
    return Part(
        about=data["about"],
        timings={
            name: Timing(**{**values, "blocks": tuple(values["blocks"])})
            for name, values in data["timings"].items()
        },
        tables={
            name: Table(tuple(table["columns"]), tuple(map(tuple, table["rows"])))
            for name, table in data["tables"].items()
        },
        notes=list(data["notes"]),
        curves=dict(data["curves"]),
    )


def part_to_json(part: Part) -> dict[str, Any]:
    """A Part as JSON has it."""
    return asdict(part)


@dataclass(frozen=True)
class Plan:
    """How thoroughly to measure.

    seconds: of show for each figure. folder: for what has to be written meanwhile. tell: is told
    what is being measured. songs: made songs with their truth beside them.
    """

    seconds: float
    folder: Path
    tell: Callable[[str], None] = lambda doing: None
    songs: tuple[Path, ...] = ()

    @property
    def miniature(self) -> bool:
        """Too short for good figures: the ends of each range are enough, and what needs a browser
        or a sound server is left out."""
        return self.seconds < LEAST_S

    def rounds(self, turns: int) -> int:
        """How many rounds each of so many turns takes."""
        return 1 if self.miniature else -(-ROUNDS // turns)

    def some(self, values: Sequence[Any], few: Sequence[Any]) -> Sequence[Any]:
        """All values of a range, or a few in a miniature."""
        return few if self.miniature else values


LEAST_S = 5.0  # of show, for figures worth reading
