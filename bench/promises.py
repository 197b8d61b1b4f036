"""DESIGN §11's numbers, each beside what was measured here. Nothing is typed but the promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.figures import Cell, Part
from bench.latency import LATE, LIVE, SILENT, SKEW
from bench.soak import REAL, SHOW, SIMULATED

Parts = dict[str, Part]


class Promise(NamedTuple):
    """what: in words. most: what it may be at most (`least`: at least). find: the figure, None
    when the part that measures it was not run or could not."""

    what: str
    unit: str
    most: float
    find: Callable[[Parts], float | None]
    least: bool = False

    def met(self, figure: float) -> bool:
        return figure >= self.most if self.least else figure <= self.most


def timing_of(part: str, name: str, quantile: str) -> Callable[[Parts], float | None]:
    """A quantile of the timing of this name, or else of the first whose name begins so."""

    def find(parts: Parts) -> float | None:
        timings = parts[part].timings if part in parts else {}
        named = [name] if name in timings else [n for n in timings if n.startswith(name)]
        return getattr(timings[named[0]], quantile) if named else None

    return find


def cell_of(part: str, table: str, row: Cell, column: str) -> Callable[[Parts], float | None]:
    """A number in a table."""

    def find(parts: Parts) -> float | None:
        if part not in parts or table not in parts[part].tables:
            return None
        value = parts[part].tables[table].cell(row, column)
        return value if isinstance(value, (int, float)) else None

    return find


PROMISES = (
    Promise("sample 1600·n to picture n, lookahead 2, p95", "ms", 115,
            cell_of("latency", LIVE, LATE[1], "2")),
    Promise("… p99", "ms", 130, cell_of("latency", LIVE, LATE[2], "2")),
    Promise("… lookahead 0, p95", "ms", 50, cell_of("latency", LIVE, LATE[1], "0")),
    Promise("… lookahead 0, p95, no sound going out with them", "ms", 50,
            cell_of("latency", LIVE, LATE[1], SILENT)),
    Promise("sound against picture in Chromium, either way, p95", "ms", 20,
            cell_of("latency", SKEW, "Chromium", "skew p95 of |·|, ms")),
    Promise("… after a simulated day, at the sink", "ms", 20,
            cell_of("soak", SHOW, "largest skew, ms", SIMULATED)),
    Promise("pictures a second, 512², separator on", "", 29.97,
            cell_of("soak", SHOW, "pictures a second", REAL), least=True),
    Promise("skipped share of them", "", 0.001,
            cell_of("soak", SHOW, "skipped share", REAL)),
    Promise("processor, whole live line with the head, share of two cores", "", 0.60,
            cell_of("scale", "A second of show, in processor time", "aria, head",
                    "share of two cores")),
    Promise("separator + MFCC + MusicFace, per frame, p99", "ms", 4,
            timing_of("stages", "hear", "p99")),
    Promise("… inside a running show, p99", "ms", 4,
            cell_of("soak", SHOW, "sound to motion p99, ms", REAL)),
    Promise("head 512², per picture, p50", "ms", 22,
            timing_of("stages", "draw: aria, head", "p50")),
    Promise("neural lite 512², per picture, p50", "ms", 14,
            timing_of("stages", "draw: aria, neural-lite", "p50")),
    Promise("cold start to the first picture, p50", "s", 5,
            lambda parts: _seconds(timing_of("stages", "cold start", "p50")(parts))),
    Promise("memory of a live show", "GB", 1.2,
            lambda parts: _gigabytes(cell_of("soak", SHOW, "memory, MB", REAL)(parts))),
    Promise("its growth over the run", "", 0.01,
            cell_of("soak", SHOW, "memory growth, share", REAL)),
)  # fmt: skip


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _gigabytes(megabytes: float | None) -> float | None:
    return None if megabytes is None else megabytes / 1024


def rows(parts: Parts) -> list[tuple[str, str, str, str]]:
    """what, promised, measured, met: in words."""
    made = []
    for promise in PROMISES:
        figure = promise.find(parts)
        bound = f"{'≥' if promise.least else '≤'} {promise.most:g} {promise.unit}".strip()
        if figure is None:
            made.append((promise.what, bound, "not measured", ""))
        else:
            verdict = "met" if promise.met(figure) else "**not met**"
            made.append((promise.what, bound, f"{figure:.3g} {promise.unit}".strip(), verdict))
    return made
