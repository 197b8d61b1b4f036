"""The curves of results.json as PNG, one picture a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from bench.figures import Part

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the choice of a back-end
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

INK, FAINT, BLUE, PINK, GREEN, GOLD = (
    "#24213a", "#c9c6d8", "#3f6fd8", "#d8457f", "#2f9e77", "#e0a21b",
)  # fmt: skip
COLOURS = (BLUE, PINK, GREEN, GOLD)
WIDE, TALL, DPI = 12.0, 4.6, 110  # inches, inches of a row of panels, dots per inch
STYLE: Any = {
    "font.size": 10, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.grid": True, "grid.color": "#ecebf3",
    "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlesize": 11,
    "legend.frameon": False,
}  # fmt: skip
Panel = Callable[[Axes, Part], None]


def draw(name: str, part: Part, folder: Path) -> list[dict[str, str]]:
    """Draw what a part has curves for; the files' names and titles."""
    panels = [panel for curve, panel in PANELS.get(name, ()) if part.curves.get(curve)]
    if not panels:
        return []
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(WIDE, TALL), squeeze=False, layout="constrained"
        )
        for panel, axis in zip(panels, axes[0], strict=True):
            panel(axis, part)
        figure.savefig(folder / f"{name}.png", dpi=DPI)
        plt.close(figure)
    return [{"title": name, "file": f"{name}.png"}]


def _bars(axis: Axes, bars: Sequence[Sequence[Any]], unit: str) -> None:
    """(label, begins, lasts) one under the other."""
    for k, (_, begins, lasts) in enumerate(bars):
        axis.barh(k, lasts, left=begins, color=COLOURS[k % len(COLOURS)], height=0.62)
        axis.text(begins + lasts, k, f" {lasts:.3g}", va="center", fontsize=8.5)
    axis.set_yticks(range(len(bars)), [str(label) for label, _, _ in bars])
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    axis.set_xlim(0, 1.12 * max(begins + lasts for _, begins, lasts in bars))
    axis.grid(axis="y", visible=False)


def _stages(axis: Axes, part: Part) -> None:
    _bars(axis, part.curves["waterfall"], "ms of a frame, p50")
    axis.set_title("From 33 ms of sound to a picture")


def _cold(axis: Axes, part: Part) -> None:
    _bars(axis, part.curves["cold"], "s since the command")
    axis.set_title("Cold start")


def _way(axis: Axes, part: Part) -> None:
    _bars(axis, part.curves["waterfall"], "ms after sample 1,600·n entered")
    axis.set_title("The way of a frame, lookahead 2")


def _late(axis: Axes, part: Part) -> None:
    late = np.array(part.curves["late"], float)
    axis.hist(late, bins=min(60, max(8, len(late) // 4)), color=BLUE)
    for percent, colour in ((50, INK), (95, GOLD), (99, PINK)):
        value = float(np.percentile(late, percent))
        axis.axvline(value, color=colour, lw=1.2, label=f"p{percent} {value:.1f} ms")
    axis.set_xlabel("ms from sample 1,600·n to picture n")
    axis.set_ylabel("pictures")
    axis.set_title("How late, lookahead 2")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.legend()


def _lookaheads(axis: Axes, part: Part) -> None:
    found = {key: np.array(values, float) for key, values in part.curves["lookaheads"].items()}
    axis.plot(found["lookahead"], found["computed"], "o--", color=FAINT, label="computed")
    axis.plot(found["lookahead"], found["motion"], "o-", color=BLUE, label="to motion")
    axis.plot(found["lookahead"], found["pixels"], "o-", color=PINK, label="to camera pixels")
    axis.plot(found["lookahead"], found["sound"], "o-", color=GREEN, label="to sound out")
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("lookahead, frames")
    axis.set_ylabel("ms after a syllable begins")
    axis.set_title("Mouth and sound, by lookahead")
    axis.legend()


def _load(curve: str, label: str, title: str) -> Panel:
    def panel(axis: Axes, part: Part) -> None:
        found = part.curves[curve]
        axis.plot(found["load"], found["fps"], "o-", color=BLUE, label="pictures a second")
        axis.set_ylim(0, 32)
        axis.set_xlim(0, 1.05 * max(found["load"]) or 1)
        axis.set_xlabel(label)
        axis.set_ylabel("pictures a second", color=BLUE)
        axis.set_title(title)
        if found.get("knee") is not None:
            axis.axvline(found["knee"], color=FAINT, lw=6, zorder=0)
            axis.text(found["knee"], 1, " knee", fontsize=8.5)
        late = axis.twinx()
        late.plot(found["load"], found["late"], "s--", color=PINK)
        late.set_ylabel("late p95, ms", color=PINK)
        late.set_ylim(bottom=0)
        late.grid(visible=False)

    return panel


def _over_time(axis: Axes, part: Part) -> None:
    found = part.curves["late over time"]
    for key, colour in (("p50", BLUE), ("p99", PINK)):
        axis.plot(found["s"], found[key], color=colour, label=f"{key} of each stretch")
    _from_nothing(axis, found["p99"])
    axis.set_xlabel("s of show, real clock")
    axis.set_ylabel("ms from sample 1,600·n to picture n")
    axis.set_title("How late, over time")
    axis.legend()


def _from_nothing(axis: Axes, values: Sequence[float]) -> None:
    """The axis from 0, with air above: what is steady should look so."""
    axis.set_ylim(0, 1.25 * max([1.0, *values]))


def _memory(axis: Axes, part: Part) -> None:
    found = part.curves["memory"]
    axis.plot(found["s"], found["MB"], color=GREEN)
    _from_nothing(axis, found["MB"])
    axis.set_xlabel("s of show, real clock")
    axis.set_ylabel("MB, with the drawing process")
    axis.set_title("Memory, over time")


def _day(axis: Axes, part: Part) -> None:
    found = part.curves["day"]
    axis.plot(found["h"], found["phase"], color=BLUE, label="tick against its sound, worst")
    axis.plot(found["h"], found["skew"], color=PINK, label="picture against sound, worst")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("hours of show, simulated clock")
    axis.set_ylabel("ms")
    axis.set_title("Drift, a clock 200 ppm off")
    axis.legend()


def _batches(axis: Axes, part: Part) -> None:
    for (name, found), colour in zip(part.curves["batches"].items(), COLOURS, strict=False):
        axis.plot(found["batch"], found["ms"], "o-", color=colour, label=f"{name}: whole batch")
        each = np.array(found["ms"]) / np.array(found["batch"])
        axis.plot(found["batch"], each, "o:", color=colour, label=f"{name}: per stream")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("streams in a batch")
    axis.set_ylabel("ms a step")
    axis.set_title("Batch against latency")
    axis.legend(fontsize=8)


PANELS: dict[str, tuple[tuple[str, Panel], ...]] = {
    "stages": (("waterfall", _stages), ("cold", _cold)),
    "latency": (("waterfall", _way), ("late", _late), ("lookaheads", _lookaheads)),
    "load": (
        ("sessions", _load("sessions", "shows at once", "Shows on this machine")),
        ("stolen", _load("stolen", "cores taken by others", "Others on this machine")),
        ("ladder", _load("ladder", "ms a picture takes (simulated)", "The overload ladder")),
    ),
    "soak": (("late over time", _over_time), ("memory", _memory), ("day", _day)),
    "scale": (("batches", _batches),),
    "gpu": (("batches", _batches),),
}
