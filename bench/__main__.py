"""Measure Cantar on this machine: `python -m bench [PART …] [--seconds N] [--compare old.json]`.

Each part alone or all; tables on the screen, results.json, RESULTS.md and pictures in `--out`.
Parts that were measured before, on this machine or another, stay in the results until they are
measured again. The README beside the folder gets the headline.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.compare import compare
from bench.figures import Part, Plan, part_from_json, part_to_json
from bench.machine import Neighbours, here_and_now, jitter, machine
from bench.report import BEGIN, headline, markdown, show, show_comparison, show_promises

HERE = Path(__file__).parent
# What can be measured, and the module that does it.
PARTS = {
    "stages": "stages", "latency": "latency", "load": "load", "soak": "soak", "scale": "scale",
    "quality": "singing", "peers": "peers", "gpu": "gpu",
}  # fmt: skip
SECONDS = 30.0
LIMIT = 0.10  # of a regression
FORMAT = 3  # of results.json


class Unusable(ValueError):
    """A results.json that is none, or of another version."""


class Ran:
    """How long a part took, however often it was interrupted, and what others did meanwhile."""

    def __init__(self) -> None:
        self._spells: list[tuple[float, float]] = []  # s, cores of others

    @contextmanager
    def going(self) -> Iterator[None]:
        began = time.monotonic()
        with Neighbours() as neighbours:
            yield
        self._spells.append((time.monotonic() - began, neighbours.cores))

    def told(self) -> dict[str, float]:
        took = sum(spell for spell, _ in self._spells)
        others = sum(spell * cores for spell, cores in self._spells) / max(took, 1e-9)
        return {"took, s": took, "cores of others": others}


def run(names: Sequence[str], plan: Plan, console: Console) -> dict[str, Any]:
    """Measure parts, one after another, and the rounds of those that have any before, between and
    after the others, so that a neighbour who is busy for minutes is not in all of them: results as
    results.json has them."""
    about, began = machine(), here_and_now()
    about["steadiness"] = jitter()
    label = f"{about['cpu']}, {about['cores']} cores"
    results: dict[str, Any] = {"format": FORMAT, "machines": {label: about}, "parts": {}}
    columns = (TextColumn("{task.fields[part]}"), BarColumn(24), TimeElapsedColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(names), part="")
        plan = replace(plan, tell=lambda doing: bar.update(task, description=doing))
        modules = {name: importlib.import_module(f"bench.{PARTS[name]}") for name in names}
        at_once = [name for name in names if not hasattr(modules[name], "Rounds")]
        ran = {name: Ran() for name in names}
        in_rounds = {
            name: modules[name].Rounds(plan, len(at_once) + 1)
            for name in names
            if name not in at_once
        }

        def next_rounds() -> None:
            for name, rounds in in_rounds.items():
                bar.update(task, part=name, description="")
                with ran[name].going():
                    rounds.take()

        def finish(name: str, measure: Callable[[], Part]) -> None:
            bar.update(task, part=name, description="")
            with ran[name].going():
                part = measure()
            known = {"machine": label, **began, "seconds": plan.seconds, **ran[name].told()}
            results["parts"][name] = {**part_to_json(part), "ran": known}
            show(console, name, part)
            bar.advance(task)

        for name in at_once:
            next_rounds()
            finish(name, partial(modules[name].measure, plan))
        next_rounds()
        for name, rounds in in_rounds.items():
            finish(name, rounds.part)
    return results


def read(path: Path) -> dict[str, Any]:
    """A results.json. Raises Unusable for what is none, OSError when it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Unusable(f"{path} is no results.json: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Unusable(
            f"{path} is no results.json of this version; make one with python -m bench --out FOLDER"
        )
    return found


def _kept(path: Path) -> dict[str, Any]:
    """What a folder already holds; nothing where that is of another version."""
    try:
        return read(path)
    except (Unusable, FileNotFoundError):
        return {"machines": {}, "parts": {}}


def parts_of(results: dict[str, Any]) -> dict[str, Part]:
    """Its parts, in the order of PARTS."""
    there = [name for name in PARTS if name in results["parts"]]
    return {name: part_from_json(results["parts"][name]) for name in there}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was measured before, and what is new; machines that no part names any more go."""
    parts = {**old["parts"], **new["parts"]}
    named = {part["ran"]["machine"] for part in parts.values()}
    machines = {**old["machines"], **new["machines"]}
    kept = {name: about for name, about in machines.items() if name in named}
    return {"format": FORMAT, "machines": kept, "parts": parts}


def write(results: dict[str, Any], folder: Path) -> None:
    """results.json, the pictures, RESULTS.md."""
    from bench.pictures import draw  # and matplotlib with it

    folder.mkdir(parents=True, exist_ok=True)
    parts = parts_of(results)
    for name, part in parts.items():
        results["parts"][name]["ran"]["pictures"] = draw(name, part, folder)
    text = json.dumps(results, indent=1, ensure_ascii=False, default=float)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "RESULTS.md").write_text(markdown(results, parts), encoding="utf-8")


def tell_readme(results: dict[str, Any], folder: Path) -> None:
    """Give the headline to the README beside the folder, if one is there that asks for it."""
    readme = folder.parent / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if BEGIN in text:
        told = headline(text, results, parts_of(results), folder.name)
        readme.write_text(told, encoding="utf-8")


def compared(console: Console, old: dict[str, Any], new: dict[str, Any], limit: float) -> bool:
    """Show new against old; whether nothing got slower."""
    if set(old["machines"]) != set(new["machines"]):
        console.print("The machines differ: the ratios compare them, not the code.")
    ratios = compare(parts_of(old), parts_of(new))
    show_comparison(console, ratios, limit)
    slower = [ratio for ratio in ratios if ratio.regressed(limit)]
    for ratio in slower:
        console.print(f"slower: {ratio.name}, {ratio.ratio:.2f} times", markup=False)
    return not slower


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Cantar here.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of show for each figure")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="exit 1 if slower")
    parser.add_argument("--limit", type=float, default=LIMIT, help="of a regression: 0.1 is 10 %%")
    parser.add_argument("--songs", nargs="*", type=Path, default=[], help="made songs, for quality")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the results")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: 0, 1 when something got slower, 2 for what the user can mend."""
    parser = _parser()
    args = parser.parse_args(argv)
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; there are {', '.join(PARTS)}")
    if not 0 < args.seconds < float("inf") or not args.limit > 0:
        parser.error("--seconds and --limit must be above 0")
    try:
        before = None if args.compare is None else read(args.compare)
    except Unusable as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--compare {args.compare}: {error.strerror}")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(args.seconds, Path(folder), songs=tuple(args.songs))
        new = run(args.parts or list(PARTS), plan, console)
    results = merged(_kept(args.out / "results.json"), new)
    write(results, args.out)
    tell_readme(results, args.out)
    show_promises(console, parts_of(results))
    console.print(f"{args.out / 'RESULTS.md'}, {args.out / 'results.json'}")
    if before is None:
        return 0
    return 0 if compared(console, before, new, args.limit) else 1


if __name__ == "__main__":
    sys.exit(main())
