"""How much one machine holds: more shows at once, other programs beside one, and slower drawing.

The first two run for real, in threads as the server runs its sessions; the overload ladder is also
drawn as a curve on a simulated clock, where nothing but the cost of a picture changes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any

import numpy as np

from bench.figures import Cell, Part, Plan, Table
from bench.latency import Witness
from bench.machine import cores
from bench.sound import Clip, Entering, read_sound
from engine.signals import Picture
from engine.timeline import FRAME, FRAME_RATE, SAMPLE_RATE
from streaming.casts import Cast, prepare
from streaming.clock import Paced, Pacer
from streaming.ladder import Ladder
from streaming.line import LiveConfig, LiveLine, ShowConfig
from streaming.live import run_live
from streaming.sessions import measured_capacity
from streaming.stats import Stats
from tests.fakes import Clock, FakeAvatar, Simulation, SourceClock, arrivals

SMOOTH_SHARE = 0.01  # of frames skipped, up to which a show counts as smooth …
SMOOTH_FPS = 29.5  # … and the pictures a second that it then shows
BEYOND = 2  # loads past the knee that are still measured
MOST_SHOWS = 16
STOLEN = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)  # of all cores
SPIN_MS = 10  # of a thief's turn of working and sleeping
DRAW_MS = (5, 10, 15, 20, 25, 28, 31, 34, 38, 44, 52, 60, 68, 80, 100, 130, 170)
LADDER_S = 60.0  # of simulated show for each cost of a picture
LADDER_DELAY_S = 0.2  # enough for the slowest of them: what is seen is the ladder, not the hold
COLUMNS = ("load", "pictures a second", "skipped share", "late p50, ms", "late p95, ms",
           "late p99, ms", "hear p95, ms", "draw p95, ms", "ladder", "frames")  # fmt: skip
THIEF = """
import sys, time
share, turn = float(sys.argv[1]), float(sys.argv[2]) / 1000
while True:
    until = time.perf_counter() + share * turn
    while time.perf_counter() < until: pass
    time.sleep((1 - share) * turn)
"""


@contextmanager
def stolen(amount: float) -> Iterator[None]:
    """So many cores' worth of work in other processes, as long as the block lasts."""
    shares = [1.0] * int(amount) + [amount % 1] * (amount % 1 > 0)
    thieves = [
        subprocess.Popen([sys.executable, "-c", THIEF, str(share), str(SPIN_MS)])
        for share in shares
    ]
    try:
        yield
    finally:
        for thief in thieves:
            thief.kill()
            thief.wait()


def shows(casts: Sequence[Cast], samples: np.ndarray, seconds: float) -> list[tuple[Stats, Any]]:
    """Every cast in a show of its own, at once: what its line counted, and ms of lateness."""
    length = round(seconds * FRAME_RATE) * FRAME
    found: list[tuple[Stats, Any] | None] = [None] * len(casts)

    def one(index: int, cast: Cast) -> None:
        witness, source = Witness(), Entering(Paced(Clip(samples, length)))
        stats = run_live(
            cast.avatar, source, [witness], cast.config.live, warmth=cast.warmth,
            draw_small=cast.drawing.draw_small, alone=False,
        )  # fmt: skip
        found[index] = stats, witness.late(source.began)

    threads = [threading.Thread(target=one, args=item) for item in enumerate(casts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = found.count(None)
    if missing:
        raise RuntimeError(f"{missing} of {len(casts)} shows ended with an error")
    return [each for each in found if each is not None]


def row(load: float, found: Sequence[tuple[Stats, Any]]) -> tuple[Cell, ...]:
    """One load's figures: the mean of the shows' rates, the worst of their steps, all pictures."""
    every = [stats for stats, _ in found]
    late = np.concatenate([ms for _, ms in found])
    spread = np.percentile(late, [50, 95, 99]) if len(late) else [None] * 3
    return (
        load,
        FRAME_RATE * sum(s.shown for s in every) / max(1, sum(s.frames for s in every)),
        sum(s.skipped for s in every) / max(1, sum(s.frames for s in every)),
        *(None if ms is None else float(ms) for ms in spread),
        max(s.hear.percentile(95) for s in every),
        max(s.draw.percentile(95) for s in every),
        max(s.level for s in every),
        sum(s.frames for s in every),
    )


def smooth(figures: Sequence[Cell]) -> bool:
    """Whether a load's shows skip hardly a picture."""
    fps, skipped = figures[1], figures[2]
    assert isinstance(fps, float)
    assert isinstance(skipped, float)
    return skipped <= SMOOTH_SHARE and fps >= SMOOTH_FPS


def knee(rows: Sequence[Sequence[Cell]]) -> Cell:
    """The largest load up to which every one was smooth; None when none was."""
    last = None
    for figures in rows:
        if not smooth(figures):
            break
        last = figures[0]
    return last


def _curve(rows: Sequence[Sequence[Cell]]) -> dict[str, Any]:
    return {
        "load": [figures[0] for figures in rows],
        "fps": [figures[1] for figures in rows],
        "late": [figures[4] for figures in rows],
        "knee": knee(rows),
    }


def by_sessions(plan: Plan, samples: np.ndarray, part: Part) -> None:
    """One show, two, three … until some are rough, and a little further."""
    rows: list[tuple[Cell, ...]] = []
    with ExitStack() as stack:
        casts: list[Cast] = []
        rough = 0
        while rough < BEYOND and len(casts) < (1 if plan.miniature else MOST_SHOWS):
            casts.append(prepare(ShowConfig()))
            stack.callback(casts[-1].drawing.close)
            plan.tell(f"{len(casts)} shows at once")
            rows.append(row(len(casts), shows(casts, samples, plan.seconds)))
            rough += not smooth(rows[-1])
        planned = measured_capacity(casts[0].warmth, cores())
    part.tables["Shows at once"] = Table(("shows", *COLUMNS[1:]), tuple(rows))
    part.notes.append(
        f"Shows at once: smooth up to {knee(rows) or 0}; the server would let {planned} in."
    )
    part.curves["sessions"] = _curve(rows)


def by_neighbours(plan: Plan, samples: np.ndarray, part: Part) -> None:
    """One show beside programs that take more and more of the processor."""
    rows = []
    cast = prepare(ShowConfig())
    try:
        for share in plan.some(STOLEN, (0.5,)):
            amount = share * cores()
            plan.tell(f"{amount:g} cores taken by others")
            with stolen(amount):
                rows.append(row(amount, shows([cast], samples, plan.seconds)))
    finally:
        cast.drawing.close()
    part.tables["One show beside others"] = Table(("cores taken", *COLUMNS[1:]), tuple(rows))
    part.notes.append(f"One show beside others: smooth up to {knee(rows) or 0} cores taken.")
    part.curves["stolen"] = _curve(rows)


def ladder(draw_ms: float, seconds: float) -> tuple[Cell, ...]:
    """The live line on a simulated clock while every picture takes so long; half-size pictures take
    a quarter. What is skipped, how late, and on which step it ends."""
    clock, samples = Clock(0.0), round(seconds) * SAMPLE_RATE
    avatar = FakeAvatar()
    line = LiveLine(
        avatar,
        Pacer(LADDER_DELAY_S, now=clock.now, sleep=clock.sleep),
        config=LiveConfig(),
        first=Picture(-1, np.zeros((8, 8, 4), np.uint8)),
        now=clock.now,
        draw_small=avatar.draw,
    )
    line.ladder = Ladder(2, say=lambda step: None)

    def cost(_: float) -> float:
        return draw_ms / 1000 / (4 if line.ladder.level >= 2 else 1)

    truth = SourceClock(0.5, [(0, 1.0)])
    late = []
    for when, frame in Simulation(line, clock, draw_s=cost).run(
        arrivals(truth, samples, 0.0, Random(0), chunk=FRAME)
    ):
        if frame.picture is not None and frame.picture.frame == frame.motion.frame:
            late.append(1000 * (when - truth(frame.motion.frame * FRAME)))
    stats = line.stats
    return (
        float(draw_ms),
        FRAME_RATE * stats.shown / stats.frames,
        stats.skipped_share,
        *map(float, np.percentile(late, [50, 95, 99])),
        stats.hear.percentile(95),
        stats.draw.percentile(95),
        stats.level,
        stats.frames,
    )


def by_cost(plan: Plan, part: Part) -> None:
    """The overload ladder as a curve."""
    seconds = plan.some((LADDER_S,), (10.0,))[0]
    rows = []
    for draw_ms in plan.some(DRAW_MS, (10, 60)):
        plan.tell(f"pictures of {draw_ms} ms, simulated")
        rows.append(ladder(draw_ms, seconds))
    part.tables["The overload ladder, simulated"] = Table(
        ("ms a picture", *COLUMNS[1:]), tuple(rows)
    )
    part.curves["ladder"] = _curve(rows)


def measure(plan: Plan) -> Part:
    """Shows at once, others beside one, slower pictures."""
    part = Part(
        "How many shows, and how many other programs, a machine holds; smooth is at most"
        f" {SMOOTH_SHARE:.0%} of frames skipped and {SMOOTH_FPS} pictures a second"
    )
    samples = read_sound("demo")
    by_sessions(plan, samples, part)
    by_neighbours(plan, samples, part)
    by_cost(plan, part)
    return part
