"""RESULTS.md and the tables on the screen, from results.json alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table as Screen

from bench import promises
from bench.compare import CONFIDENCE, Ratio, agreement
from bench.figures import Cell, Part, Table, Timing

BEGIN, END = "<!-- python -m bench writes from here -->", "<!-- to here -->"  # in the README
HEAD = ("p50", "p95", "p99", "max", "CPU ms", "kB held", "calls")


def words(cell: Cell) -> str:
    """A figure with three digits that mean something."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        if cell != cell:
            return "–"
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def _timing(timing: Timing) -> list[str]:
    figures = (timing.p50, timing.p95, timing.p99, timing.max, timing.cpu, timing.kb)
    return [*(words(figure) for figure in figures), str(timing.count)]


def _lines(columns: tuple[str, ...], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _part(name: str, part: Part, machine: str, ran: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    took = f"{ran['took, s']:.0f} s, others took {ran['cores of others']:.2f} of a core meanwhile"
    code = f"Cantar at {ran['code']}, {ran['when']}"
    yield f"{part.about}. ({machine}; {code}; `--seconds {ran['seconds']:g}`; {took}.)"
    yield ""
    if part.timings:
        rows = [[title, *_timing(timing)] for title, timing in part.timings.items()]
        yield from _lines(("milliseconds", *HEAD), rows)
    for title, table in part.tables.items():
        yield f"**{title}**"
        yield ""
        yield from _lines(table.columns, [[words(cell) for cell in row] for row in table.rows])
    for note in part.notes:
        yield f"- {note}"
    if part.notes:
        yield ""
    for picture in ran.get("pictures", ()):
        yield f"![{picture['title']}]({picture['file']})"
        yield ""


def _machine(about: dict[str, Any]) -> Iterator[str]:
    cpu, cores, memory = about["cpu"], about["cores"], about["memory, GB"]
    yield f"{cpu}, {cores} cores, {memory} GB, {about['system']}, Python {about['python']};"
    yield f"{about['libraries']}."
    steady = about["steadiness"]
    yield (
        f"The same work repeated took at p99 {steady['p99 / p50']:.2f} and at most"
        f" {steady['max / p50']:.1f} times its median."
    )
    yield ""


def markdown(results: dict[str, Any], parts: dict[str, Part]) -> str:
    """RESULTS.md. Parts measured on another machine say so."""
    machines = results["machines"]
    lines = [
        "# Measured",
        "",
        "Written by `make bench` (`python -m bench`); no figure is typed.",
        "",
    ]
    for name, about in machines.items():
        lines += [f"**{name}**: " + line if n == 0 else line
                  for n, line in enumerate(_machine(about))]  # fmt: skip
    lines += ["## Promises", ""]
    lines += _lines(
        ("what", "promised", "measured", ""), [list(row) for row in promises.rows(parts)]
    )
    for name, part in parts.items():
        ran = results["parts"][name]["ran"]
        lines += _part(name, part, ran["machine"], ran)
    return "\n".join(lines).rstrip() + "\n"


def headline(readme: str, results: dict[str, Any], parts: dict[str, Part], folder: str) -> str:
    """A README with the promises that were measured, and one picture of `folder`, between its
    marks. Raises ValueError where it has no marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a line {BEGIN!r} and, below it, a line {END!r}")
    known = [list(row) for row in promises.rows(parts) if row[3]]
    machines = "; ".join(results["machines"])
    table = "\n".join(_lines(("what", "promised", f"measured ({machines})", ""), known))
    pictures = results["parts"].get("latency", {}).get("ran", {}).get("pictures", ())
    shown = "".join(f"\n![The way of a frame, and how late it is]({folder}/{picture['file']})\n"
                    for picture in pictures)  # fmt: skip
    return f"{before}{BEGIN}\n{table}{shown}{END}{after}"


def show(console: Console, name: str, part: Part) -> None:
    """One part on the screen."""
    if part.timings:
        table = Screen("milliseconds", title=f"{name}: {part.about}", title_justify="left")
        for column in HEAD:
            table.add_column(column, justify="right")
        for title, timing in part.timings.items():
            table.add_row(title, *_timing(timing))
        console.print(table)
    for title, made in part.tables.items():
        console.print(_screen(title, made))
    for note in part.notes:
        console.print(f"  · {note}", markup=False)


def _screen(title: str, made: Table) -> Screen:
    table = Screen(title=title, title_justify="left")
    for n, column in enumerate(made.columns):
        table.add_column(column, justify="right" if n else "left")
    for row in made.rows:
        table.add_row(*(words(cell) for cell in row))
    return table


def show_promises(console: Console, parts: dict[str, Part]) -> None:
    """DESIGN's numbers on the screen."""
    table = Screen("what", "promised", "measured", "", title="Promises", title_justify="left")
    for row in promises.rows(parts):
        table.add_row(*(text.replace("*", "") for text in row))
    console.print(table)


def show_comparison(console: Console, ratios: list[Ratio], limit: float) -> None:
    """New over old, with confidence."""
    table = Screen("p50", title="Compared with before", title_justify="left")
    for column in ("old, ms", "new, ms", "ratio", f"{CONFIDENCE} % confidence", ""):
        table.add_column(column, justify="right")
    for ratio in ratios:
        verdict = "slower" if ratio.regressed(limit) else "faster" if ratio.improved(limit) else ""
        sure = f"{ratio.low:.2f} … {ratio.high:.2f}" if ratio.low == ratio.low else "too few calls"
        table.add_row(
            ratio.name, words(ratio.old), words(ratio.new), f"{ratio.ratio:.2f}", sure, verdict
        )
    console.print(table)
    same, worth = agreement(ratios)
    console.print(f"{same} of {worth} p50s of 0.1 ms or more agree within 10 %")
