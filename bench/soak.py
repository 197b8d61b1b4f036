"""One show for hours: does anything drift, grow or get later?

On the real clock for as long as asked, everything as users run it; and a day on a simulated clock,
the line itself against a source whose clock is off by 200 ppm, first fast and then slow.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from random import Random
from typing import NamedTuple

import numpy as np

from bench.figures import Cell, Part, Plan, Table
from bench.machine import apart, resident
from bench.sound import Clip, Entering, read_sound
from engine.avatar import Avatar, AvatarConfig
from engine.signals import Motion, Picture, Sound
from engine.timeline import FRAME, FRAME_RATE, SAMPLE_RATE
from streaming.clock import Paced, Pacer
from streaming.drawing import DrawingProcess
from streaming.line import LiveConfig, LiveLine
from streaming.live import run_live, warm_up
from tests.fakes import Clock, FakeAvatar, Simulation, SourceClock, arrivals, index_of

Curve = dict[str, list[float]]

DAY_H = 24.0
OFF = 200e-6  # by which the simulated source's clock is fast, then slow
JITTER_S = 0.020  # by which its sound comes late
DELAY_S = 0.109  # of the simulated show: lookahead 2 and the least margin
STRETCHES = 60  # of a run, each with its own percentiles
LEAST_EVERY = 0.1  # s between two looks at memory
SHOW = "One show, hour after hour"
REAL, SIMULATED = "real clock", "simulated clock"


class Log:
    """A sink that writes a few numbers a frame into memory that it took beforehand."""

    wants_picture = True
    wants_sound = True

    def __init__(self, frames: int) -> None:
        self.rows = np.full((frames, 3), np.nan)  # instant, whether the picture is new, skew in s
        self.frames = 0

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self.frames += 1
        if motion.frame < len(self.rows) and picture is not None and sound is not None:
            skew = sound.start / SAMPLE_RATE - picture.frame / FRAME_RATE
            self.rows[motion.frame] = time.monotonic(), picture.frame == motion.frame, skew

    def close(self) -> None:
        """Nothing to finish."""


class Vitals(NamedTuple):
    """What the processes of a show hold: seconds since the start, MB, files, threads."""

    s: float
    megabytes: float
    files: float
    threads: float


def vitals(began: float, child: int | None) -> Vitals:
    """Now; nan for what this system does not tell."""
    own = "/proc/self"
    there = os.path.isdir(own)
    files = float(len(os.listdir(f"{own}/fd"))) if there else float("nan")
    threads = float(len(os.listdir(f"{own}/task"))) if there else float("nan")
    megabytes = resident(os.getpid()) + resident(child)
    return Vitals(time.monotonic() - began, megabytes, files, threads)


def real(seconds: float) -> tuple[dict[str, Cell], dict[str, Curve]]:
    """A live show of the demo song, again and again: its figures, and how it went."""
    config = AvatarConfig()
    frames = round(seconds * FRAME_RATE)
    log, seen, over = Log(frames), [], threading.Event()
    with DrawingProcess(config) as drawing:
        drawing.ready()
        avatar = Avatar(config, drawing)
        clip = Clip(read_sound("demo"), frames * FRAME)
        warmth = warm_up(avatar, channels=clip.channels, pictures=True)
        source, began = Entering(Paced(clip)), time.monotonic()
        every = max(LEAST_EVERY, seconds / STRETCHES)

        def look() -> None:
            while not over.wait(every):
                seen.append(vitals(began, drawing.pid))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        stats = run_live(avatar, source, [log], warmth=warmth)
        over.set()
        thread.join()
    late = 1000 * (log.rows[:, 0] - source.began - np.arange(frames) / FRAME_RATE)
    late[log.rows[:, 1] != 1] = np.nan
    figures: dict[str, Cell] = {
        "hours": frames / FRAME_RATE / 3600,
        "frames of sound": frames,
        "frames out": log.frames,
        "pictures a second": FRAME_RATE * float(np.nansum(log.rows[:, 1])) / frames,
        "skipped share": stats.skipped_share,
        **_growth(late),
        "sound to motion p50, ms": stats.hear.percentile(50),
        "sound to motion p99, ms": stats.hear.percentile(99),
        "largest skew, ms": 1000 * float(np.nanmax(np.abs(log.rows[:, 2]))),
        **_held(seen),
    }
    return figures, _curves(late, seen)


def _curves(late: np.ndarray, seen: list[Vitals]) -> dict[str, Curve]:
    stretches = [piece[~np.isnan(piece)] for piece in np.array_split(late, STRETCHES)]
    middles = (np.arange(STRETCHES) + 0.5) * len(late) / FRAME_RATE / STRETCHES
    known = [(s, stretch) for s, stretch in zip(middles, stretches, strict=True) if len(stretch)]
    lateness = {
        "s": [float(s) for s, _ in known],
        "p50": [float(np.percentile(stretch, 50)) for _, stretch in known],
        "p99": [float(np.percentile(stretch, 99)) for _, stretch in known],
    }
    memory = {"s": [v.s for v in seen], "MB": [v.megabytes for v in seen]}
    return {"late over time": lateness, "memory": memory}


def _growth(late: np.ndarray) -> dict[str, Cell]:
    """Lateness in ms at the beginning and at the end: of the first and last tenth."""
    tenth = max(1, len(late) // 10)
    ends = {"first tenth": late[:tenth], "last tenth": late[-tenth:]}
    made: dict[str, Cell] = {}
    for q in (50, 99):
        for name, values in ends.items():
            known = values[~np.isnan(values)]
            made[f"late p{q}, {name}, ms"] = float(np.percentile(known, q)) if len(known) else None
    return made


def _held(seen: list[Vitals]) -> dict[str, Cell]:
    """Memory, files and threads at the end, and memory's growth from after the first fifth."""
    if not seen:
        return {}
    memory = np.array([v.megabytes for v in seen])
    begin, end = np.median(memory[len(memory) // 5 :][:3]), np.median(memory[-3:])
    return {
        "memory, MB": float(end),
        "memory growth, share": float(end / begin - 1),
        "open files": seen[-1].files,
        "… opened since the start": seen[-1].files - seen[0].files,
        "threads": seen[-1].threads,
        "… begun since the start": seen[-1].threads - seen[0].threads,
    }


# ---- a day in minutes ----------------------------------------------------------------------------


def simulated(plan: Plan, hours: float, part: Part) -> dict[str, Cell]:
    """The live line with a stand-in for the avatar, its clocks simulated, for so many hours."""
    samples = round(hours * 3600) * SAMPLE_RATE
    truth = SourceClock(0.5, [(0, 1 / (1 + OFF)), (samples // 2, 1 / (1 - OFF))])
    clock, avatar = Clock(0.0), FakeAvatar()
    line = LiveLine(
        avatar,
        Pacer(DELAY_S, now=clock.now, sleep=clock.sleep),
        config=LiveConfig(),
        first=Picture(-1, np.zeros((8, 8, 4), np.uint8)),
        now=clock.now,
    )
    frames = samples // FRAME
    skew, phase = np.full((2, frames), np.nan)  # s; in memory that is taken now
    began = resident(os.getpid())
    arriving = arrivals(truth, samples, JITTER_S, Random(1), chunk=FRAME)
    for count, (when, frame) in enumerate(Simulation(line, clock).run(arriving)):
        n = frame.motion.frame
        assert frame.sound is not None
        assert frame.picture is not None
        skew[n] = (index_of(frame.sound) - frame.picture.frame * FRAME) / SAMPLE_RATE
        phase[n] = when - truth(n * FRAME) - DELAY_S
        if count % (3600 * FRAME_RATE) == 0:
            avatar.drawn.clear()  # it would remember every frame
            plan.tell(f"simulated hour {count // (3600 * FRAME_RATE)} of {hours:.3g}")
    gc.collect()
    holds = resident(os.getpid())
    blocks = {"phase": phase, "skew": skew}
    part.curves["day"] = {
        "h": [float(h) for h in (np.arange(STRETCHES) + 0.5) * hours / STRETCHES],
        **{
            name: [1000 * float(np.abs(b).max()) for b in np.array_split(values, STRETCHES)]
            for name, values in blocks.items()
        },
    }
    stats = line.stats
    return {
        "hours": hours,
        "frames of sound": frames,
        "frames out": stats.frames,
        "pictures a second": FRAME_RATE * stats.shown / stats.frames,
        "skipped share": stats.skipped_share,
        **_growth(1000 * (phase + DELAY_S)),
        "largest skew, ms": 1000 * float(np.abs(skew).max()),
        "largest drift of the ticks, ms": 1000 * float(np.abs(phase).max()),
        "memory, MB": holds,
        "memory growth, share": holds / began - 1,
    }


def measure(plan: Plan) -> Part:
    """The real clock for the plan's seconds; the simulated one for a day."""
    part = Part("One show for hours: drift, growth, and how late its end is against its beginning")
    plan.tell("a show on the real clock")
    on_the_clock, curves = apart(real, plan.seconds)  # else its memory were all that we ever did
    part.curves.update(curves)
    plan.tell("a day on a simulated clock")
    hours = plan.seconds / 60 if plan.miniature else DAY_H
    found = {REAL: on_the_clock, SIMULATED: simulated(plan, hours, part)}
    names = dict.fromkeys(name for figures in found.values() for name in figures)
    rows = tuple((name, *(figures.get(name) for figures in found.values())) for name in names)
    part.tables[SHOW] = Table(("", *found), rows)
    part.notes.append(
        "The simulated show has a stand-in for the avatar, as tests/fakes.py has it; line, clocks,"
        " delay line and hand-overs are the real ones."
    )
    return part
