"""The line, measured: `python -m bench.line` writes bench/RESULTS.md and results.json.

Stages per call, each alone and back to back; then a live run of the demo into nothing: the same
stages inside it, lateness from sample 1,600·n to picture n, pictures delivered, memory, and
processor time against the two cores of DESIGN's table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig, open_renderer
from engine.signals import Motion, Sound
from engine.timeline import FRAME, FRAME_RATE
from streaming.drawing import DrawingProcess
from streaming.live import run_live
from streaming.schemes import open_source
from streaming.stats import Histogram, Stats

HERE = Path(__file__).parent
CORES = 2  # that the budget is stated for


class Pictures:
    """A sink that takes pictures and sound and keeps nothing."""

    wants_picture = True
    wants_sound = True

    def write(self, motion: Motion, picture: object, sound: object) -> None:
        """Take a frame."""

    def close(self) -> None:
        """Nothing to finish."""


def machine() -> dict[str, str | int]:
    """What the numbers belong to."""
    name = platform.processor() or platform.machine()
    for line in (
        Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else ()
    ):
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    return {"cpu": name, "cores": os.cpu_count() or 0, "python": platform.python_version()}


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max."""
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    return {"p50": p50, "p95": p95, "p99": p99, "max": max(milliseconds)}


def timed(calls: Sequence[Callable[[], object]], skip: int = 15) -> dict[str, float]:
    """Milliseconds per call, the first few left out."""
    spent = []
    for call in calls:
        began = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - began))
    return percentiles(spent[skip:])


def stages(seconds: float) -> dict[str, dict[str, float]]:
    """Hearing (sound to motion) and drawing, per frame."""
    avatar = Avatar(AvatarConfig())
    sound = read_sound("demo", seconds)
    state, motions = avatar.initial_state(), []

    def hear(at: int) -> None:
        nonlocal state
        more, state = avatar.hear(Sound(sound[:, at : at + FRAME], at), state)
        motions.extend(more)

    starts = range(0, sound.shape[1] - FRAME + 1, FRAME)
    heard = timed([lambda at=at: hear(at) for at in starts])  # type: ignore[misc]
    found = {"hear: sound to motion, per frame": heard}
    for kind, name in (("puppet", "lumi"), ("head", "aria")):
        renderer = open_renderer(AvatarConfig(avatar=name))
        drawn = timed([partial(renderer.draw, motion) for motion in motions])
        found[f"draw: {kind} 512², per picture"] = drawn
    return found


class Live(NamedTuple):
    """A live run: what happened, processor seconds per second of show and megabytes in memory,
    both of all processes."""

    stats: Stats
    cores: float
    megabytes: float


def live(seconds: float) -> Live:
    """A live run of the demo, drawn in a process of its own as run_live.py does it."""
    config = AvatarConfig()
    with DrawingProcess(config) as drawing:
        avatar = Avatar(config, drawing)
        source = open_source("demo", None, None, seconds=seconds)
        drawing.ready()
        began, cpu = time.monotonic(), time.process_time() + drawing.cpu_s
        stats = run_live(avatar, source, [Pictures()])
        spent = time.process_time() + drawing.cpu_s - cpu
        cores = spent / (time.monotonic() - began)
        return Live(stats, cores, sum(map(resident, (os.getpid(), drawing.pid))))


def resident(pid: int | None) -> float:
    """Megabytes of memory that a process has in use; nan where /proc does not say."""
    status = Path(f"/proc/{pid}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def spread(histogram: Histogram) -> dict[str, float]:
    """The percentiles of `percentiles`, from a live run's counts."""
    return {f"p{q}": histogram.percentile(q) for q in (50, 95, 99)} | {"max": histogram.max}


def measure(seconds: float) -> dict:
    """Every figure, as results.json has them."""
    per_stage = stages(seconds)
    stats, cores, megabytes = live(seconds)
    return {
        "machine": machine(),
        "seconds": seconds,
        "milliseconds": {
            **per_stage,
            "live: hear, per frame": spread(stats.hear),
            "live: draw, per picture": spread(stats.draw),
            "live: sample 1600·n to picture n, lookahead 2": spread(stats.lateness),
        },
        "live": {
            "frames": stats.frames,
            "pictures per second": FRAME_RATE * stats.shown / max(1, stats.frames),
            "skipped share": stats.skipped_share,
            "share of two cores": cores / CORES,
            "memory, MB": megabytes,
            "ring max / capacity": stats.ring_max / max(1, stats.ring_capacity),
        },
    }


def markdown(results: dict) -> str:
    """RESULTS.md."""
    about = results["machine"]
    rows = [
        f"| {name} | "
        + " | ".join(f"{row[q]:.2f}" if q in row else "–" for q in ("p50", "p95", "p99", "max"))
        + " |"
        for name, row in results["milliseconds"].items()
    ]
    facts = [f"| {name} | {value:.4g} |" for name, value in results["live"].items()]
    return "\n".join(
        [
            "# The line, measured",
            "",
            f"`python -m bench.line --seconds {results['seconds']:g}` on {about['cpu']},"
            f" {about['cores']} cores, Python {about['python']}. Written by that command; other"
            " work may have shared the cores.",
            "",
            "| milliseconds | p50 | p95 | p99 | max |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "| live run of the demo | |",
            "|---|---|",
            *facts,
            "",
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    results = measure(args.seconds)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (args.out / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    table = Table("figure", "value")
    for name, row in results["milliseconds"].items():
        table.add_row(name, "  ".join(f"{q} {v:.2f}" for q, v in row.items()) + " ms")
    for name, value in results["live"].items():
        table.add_row(name, f"{value:.4g}")
    Console().print(table)


if __name__ == "__main__":
    main()
