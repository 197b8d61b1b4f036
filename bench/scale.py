"""What one singer costs, so how many machines many singers need, with assumptions in the open."""

from __future__ import annotations

import time
from functools import partial
from math import ceil

import numpy as np

from bench.batches import Batches
from bench.figures import Cell, Part, Plan, Table
from bench.load import shows
from bench.machine import CORES, cores
from bench.sound import read_sound
from bench.stages import (
    WARM,
    Watch,
    frames_of,
    hear,
    renderers,
    senders,
    song,
    spent,
    timed,
)  # fmt: skip
from engine.avatar import Avatar, AvatarConfig, Unseen, open_renderer
from engine.timeline import FRAME_RATE
from streaming.casts import prepare
from streaming.line import ShowConfig
from streaming.sessions import SHARE

SINGERS = (100, 10_000)
MACHINES = (16, 64)  # cores of other machines, beside the one measured
COST = "A second of show, in processor time"


def costs(plan: Plan, part: Part) -> dict[str, float]:
    """Processor ms per frame: hearing, each renderer's picture, and the way to a page."""
    frames = frames_of(plan.seconds)
    samples, watch = song(frames), Watch()
    plan.tell("hearing")
    motions = hear(Avatar(AvatarConfig(), Unseen()), samples, watch)
    found = {"hear": watch.timings(WARM)["hear"].cpu or 0.0}
    picture = None
    for name, config in renderers():
        plan.tell(f"drawing {name}")
        try:
            renderer = open_renderer(config)
        except (ValueError, ImportError, OSError, RuntimeError) as error:
            part.notes.append(f"{name} is not measured: {' '.join(str(error).split())}")
            continue
        found[name] = timed([partial(renderer.draw, motion) for motion in motions]).cpu or 0.0
        picture = renderer.draw(motions[-1])
    plan.tell("sending")
    found["page"] = 0.0
    for name, send in senders(picture, samples).items() if picture is not None else ():
        if "camera" not in name:
            calls = [partial(send, n) for n in range(frames + WARM)]
            found["page"] += float(spent(calls)[:, 1].mean())
    return found


def whole(plan: Plan, samples: np.ndarray, config: ShowConfig) -> float:
    """Cores that a whole live show takes, threads, hand-overs and the drawing process with it."""
    cast = prepare(config)
    try:
        began, cpu = time.monotonic(), time.process_time() + cast.drawing.cpu_s
        shows([cast], samples, plan.seconds)
        return (time.process_time() + cast.drawing.cpu_s - cpu) / (time.monotonic() - began)
    finally:
        cast.drawing.close()


def per_stream(plan: Plan, part: Part) -> None:
    """One stream's cost with each renderer, and the machines that many streams need."""
    found, samples = costs(plan, part), read_sound("demo")
    rows: list[tuple[Cell, ...]] = []
    machines: list[tuple[Cell, ...]] = []
    for name, config in renderers():
        if name not in found:
            continue
        plan.tell(f"a live show, {name}")
        live = whole(plan, samples, ShowConfig(avatar=config.avatar, renderer=config.renderer))
        page = FRAME_RATE * found["page"] / 1000
        rest = max(0.0, live - FRAME_RATE * (found["hear"] + found[name]) / 1000)
        taken = live + page
        rows.append((name, FRAME_RATE * found["hear"] / 1000, FRAME_RATE * found[name] / 1000,
                     rest, live, live / CORES, page, taken))  # fmt: skip
        for many in SINGERS:
            need = [ceil(many * taken / (SHARE * size)) for size in (cores(), *MACHINES)]
            machines.append((name, many, round(many * taken, 1), *need))
    part.tables[COST] = Table(
        ("renderer", "hear, s", "draw, s", "threads, hand-overs, s", "live line, cores",
         "share of two cores", "to a page, s", "in all, cores"), tuple(rows)
    )  # fmt: skip
    sizes = (f"machines of {size} cores" for size in (cores(), *MACHINES))
    part.tables["Machines"] = Table(
        ("renderer", "singers at once", "cores at work", *sizes), tuple(machines)
    )
    web = ShowConfig().web
    part.notes += [
        f"Machines: all sing at once, each on a page at {web.kbps + web.sound_kbps} kb/s; shows"
        f" take at most {SHARE:.0%} of the cores, as the server's own admission has it; cores are"
        " like this machine's, and what one core does two do twice; no spare machines.",
        f"What leaves for {SINGERS[-1]:,} singers: pictures and sound of"
        f" {SINGERS[-1] * (web.kbps + web.sound_kbps) / 1e6:.0f} Gb/s.",
    ]


class Rounds:
    """The part whose batches are measured in rounds, which other parts come between."""

    def __init__(self, plan: Plan, turns: int = 1) -> None:
        """turns: how often `take` will be called."""
        self._plan, self._each = plan, plan.rounds(turns)
        self._batches, self._missing = Batches(plan, "cpu"), ""

    def take(self) -> None:
        """A turn's rounds."""
        try:
            for _ in range(self._each):
                self._batches.take()
        except ImportError as error:
            self._missing = f"Batches are not measured: {error}; pip install 'cantar[torch]'"

    def part(self) -> Part:
        """What a stream costs; machines; and what batching networks would give here."""
        part = Part("What one stream costs here, and the machines that many of them need")
        per_stream(self._plan, part)
        if self._missing:
            part.notes.append(self._missing)
        else:
            self._batches.report(part)
        return part
