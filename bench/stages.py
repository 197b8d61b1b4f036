"""Every stage of the line, timed where it works: inside the call of the stage above it.

source → 48→16 kHz → separator → MFCC → windows → MusicFace → eyes, hair → picture → camera, page
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.figures import STRETCH, Part, Plan, Table, Timing, of_rounds, stretches, timing
from bench.machine import apart
from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig, RendererConfig, Unseen, open_renderer
from engine.motion.resting import neutral
from engine.rendering.identity import list_identities, load_identity
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME
from kernels.graphs.opening import BACKENDS, BackendUnavailable
from streaming.drawing import DrawingProcess

WARM = 15  # frames before a stage is as fast as it stays
LEAST = 30  # frames that are timed in any case
HEARD = 6  # times as many frames are heard as drawn: it is quick
TRACED = 6  # frames whose memory is traced, which is slow
ROOT = Path(__file__).resolve().parents[1]

# What a stage is called, and where it hangs on an Avatar; each is inside the nearest one above it
# whose place begins its own.
STAGES = {
    "48→16 kHz": "hearing.decimator",
    "frames of 64 ms": "hearing.framer",
    "separator": "hearing.separator",
    "separator: bands": "hearing.separator.views",
    "separator: network": "hearing.separator.net",
    "loudness": "hearing.loudness",
    "slopes": "hearing.slope",
    "windows": "windows",
    "MusicFace": "face",
    "MusicFace: network": "face.net",
    "eyes": "eyes",
    "hair, shoulders, breath": "secondary",
}
MFCC = "MFCC and the rest of hearing"
REST = "motions, and the rest"
OWN = f"draw: {AvatarConfig().avatar} in a process of its own, and back"
COLD_START = "cold start to the first picture"


Spent = NDArray[np.float64]  # [calls, 2] ms, processor ms


class Clocked:
    """A part of the avatar that tells a watch how long each of its calls took."""

    def __init__(self, part: Any, tell: Callable[[float, float], None]) -> None:
        self._part, self._tell = part, tell

    def __call__(self, *arguments: Any) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return self._part(*arguments)
        finally:
            self._tell(time.perf_counter() - began, time.process_time() - cpu)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class Watch:
    """Seconds and processor seconds that each stage took in the frame under way, and frame by
    frame in `frames`: [stage → (s, cpu s)]."""

    def __init__(self) -> None:
        self.frames: list[dict[str, tuple[float, float]]] = []
        self._now: dict[str, tuple[float, float]] = {}

    def tell(self, stage: str, seconds: float, cpu: float) -> None:
        before = self._now.get(stage, (0.0, 0.0))
        self._now[stage] = (before[0] + seconds, before[1] + cpu)

    def lap(self) -> None:
        """A frame is over."""
        self.frames.append(self._now)
        self._now = {}

    def spent(self, skip: int) -> dict[str, Spent]:
        """Every stage's calls, the first frames left out."""
        frames = self.frames[skip:]
        stages = dict.fromkeys(stage for frame in frames for stage in frame)
        nothing = (0.0, 0.0)
        return {
            stage: 1000 * np.array([frame.get(stage, nothing) for frame in frames])
            for stage in stages
        }

    def timings(self, skip: int) -> dict[str, Timing]:
        """Every stage's figures, the first frames left out."""
        return {stage: figures(spent) for stage, spent in self.spent(skip).items()}


def figures(spent: Spent, kb: float | None = None) -> Timing:
    """Of calls."""
    return timing(spent[:, 0], cpu=float(spent[:, 1].mean()), kb=kb)


class Tally:
    """What calls took, round by round."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[Spent]] = {}
        self._kb: dict[str, float] = {}

    def add(self, name: str, spent: Spent, kb: float | None = None) -> None:
        self._rounds.setdefault(name, []).append(spent)
        if kb is not None:
            self._kb[name] = kb

    def timings(self) -> dict[str, Timing]:
        """In the order in which names came first."""
        return {
            name: of_rounds(
                figures(np.concatenate(rounds), self._kb.get(name)),
                [figures(part) for calls in rounds for part in stretches(calls)],
            )
            for name, rounds in self._rounds.items()
        }


def clocked(avatar: Avatar, watch: Watch) -> Avatar:
    """The same avatar, whose stages tell the watch; the deepest are wrapped first."""
    for stage, place in sorted(STAGES.items(), key=lambda item: -item[1].count(".")):
        *owners, name = place.split(".")
        owner: Any = avatar
        for step in owners:
            owner = getattr(owner, step)
        setattr(owner, name, Clocked(getattr(owner, name), partial(watch.tell, stage)))
    avatar.hearing = Clocked(avatar.hearing, partial(watch.tell, "hearing"))  # type: ignore[assignment]
    return avatar


def frames_of(seconds: float) -> int:
    """Frames to time, on top of the first ones."""
    return max(LEAST, round(30 * seconds))


def song(frames: int) -> F32:
    """The demo song [2, n], so many frames of it and those that warm up."""
    need = (frames + WARM) * FRAME
    samples = read_sound("demo", need / 48_000)
    return np.tile(samples, -(-need // samples.shape[1]))[:, :need]


def hear(avatar: Avatar, samples: F32, watch: Watch) -> list[Motion]:
    """Hear frame by frame as the live line does; the watch is told of each."""
    state, motions = avatar.initial_state(), []
    for start in range(0, samples.shape[1] - FRAME + 1, FRAME):
        began, cpu = time.perf_counter(), time.process_time()
        more, state = avatar.hear(Sound(samples[:, start : start + FRAME], start), state)
        watch.tell("hear", time.perf_counter() - began, time.process_time() - cpu)
        watch.lap()
        motions += more
    return motions


class Hearer:
    """An avatar that hears under a watch."""

    def __init__(self, config: AvatarConfig) -> None:
        """Raises what Avatar raises."""
        self.config, self._watch = config, Watch()
        self.avatar = clocked(Avatar(config, Unseen()), self._watch)

    def hear(self, samples: F32, skip: int = WARM) -> tuple[dict[str, Spent], list[Motion]]:
        """The stages from sound to motion, per frame, their remainders among them."""
        self._watch.frames.clear()
        with one_torch_thread(self.config.backend):
            motions = hear(self.avatar, samples, self._watch)
        for frame in self._watch.frames:
            _add_remainders(frame)
        return self._watch.spent(skip), motions


def _add_remainders(frame: dict[str, tuple[float, float]]) -> None:
    """What no stage of its own accounts for: in hearing that is the MFCC."""
    nothing = (0.0, 0.0)

    def rest(whole: str, parts: Iterable[str]) -> tuple[float, float]:
        spent = np.array([frame.get(part, nothing) for part in parts]).sum(axis=0)
        left = np.maximum(0.0, np.array(frame.get(whole, nothing)) - spent)
        return float(left[0]), float(left[1])

    inside = [stage for stage in STAGES if ":" not in stage]
    in_hearing = [stage for stage in inside if STAGES[stage].startswith("hearing.")]
    beside = [stage for stage in inside if not STAGES[stage].startswith("hearing.")]
    frame[MFCC] = rest("hearing", in_hearing)
    frame[REST] = rest("hear", ["hearing", *beside])


def spent(calls: Iterable[Callable[[], object]], skip: int = WARM) -> Spent:
    """Back to back, the first few left out."""
    rows = []
    for call in calls:
        began, cpu = time.perf_counter(), time.process_time()
        call()
        rows.append((time.perf_counter() - began, time.process_time() - cpu))
    return 1000 * np.array(rows[skip:])


def timed(calls: Sequence[Callable[[], object]], skip: int = WARM) -> Timing:
    """Back to back, the first few left out; and the memory that a call holds on the way."""
    return figures(spent(calls, skip), _memory(calls[-TRACED:]))


def _memory(calls: Sequence[Callable[[], object]]) -> float:
    """Kilobytes that the greediest of the calls held at once beyond what it found."""
    most = 0
    tracemalloc.start()
    try:
        for call in calls:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            most = max(most, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return most / 1024


def renderers() -> Iterator[tuple[str, AvatarConfig]]:
    """Every identity with each of its renderers, at the size that budgets are stated for."""
    for name in list_identities():
        for kind in load_identity(name).renderers:
            yield f"{name}, {kind}", AvatarConfig(avatar=name, renderer=RendererConfig(name=kind))


Draws = Callable[[Motion], object]


def drawers(missing: list[str]) -> dict[str, Draws]:
    """Every renderer that there is here, for pictures of 512²; the others go into `missing`."""
    found: dict[str, Draws] = {}
    for name, config in renderers():
        try:
            found[f"draw: {name}"] = open_renderer(config).draw
        except (ValueError, ImportError, OSError, RuntimeError) as error:  # not built, or not here
            missing.append(f"{name} is not measured: {' '.join(str(error).split())}")
    return found


def senders(picture: Picture, sound: F32) -> dict[str, Callable[[int], object]]:
    """What hands the picture and the sound of frame n on: to a camera, to a page."""
    import av
    from aiortc.codecs.vpx import Vp8Encoder

    from streaming.compositing import flatten
    from streaming.webrtc import SoundCoder, yuv_of

    black = np.zeros(3, np.uint8)
    moving = [np.roll(picture.rgba, 3 * n, axis=1) for n in range(8)]  # something to encode
    video, voice, sent = Vp8Encoder(), SoundCoder(160), count()
    video.target_bitrate = 2_500_000

    def encode(n: int) -> None:
        frame = av.VideoFrame.from_ndarray(yuv_of(moving[n % 8], matte=False), "yuv420p")
        frame.pts, frame.time_base = 3000 * next(sent), Fraction(1, 90_000)
        video.encode(frame)

    return {
        "send: RGBA to a camera's RGB": lambda n: flatten(picture.rgba, black),
        "send: to I420 and VP8 at 2.5 Mb/s, for a page": encode,
        "send: 33 ms of sound to Opus": lambda n: voice(sound[:, :FRAME]),
    }


@contextmanager
def one_torch_thread(backend: str) -> Iterator[None]:
    """As every other runtime is opened: two threads of torch's on two cores stand in each other's
    way as soon as anything else runs."""
    if backend != "eager":
        yield
        return
    try:
        import torch
    except ImportError:  # opening it will say so
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def hearers(missing: list[str]) -> dict[str, Hearer]:
    """Sound to motion on every runtime that can be had here; the others go into `missing`."""
    found = {}
    for backend in BACKENDS[1:]:
        try:
            with one_torch_thread(backend):
                found[backend] = Hearer(AvatarConfig(backend=backend))
        except BackendUnavailable as reason:
            missing.append(f"{backend} is not measured: {reason}")
    return found


def cold_start() -> dict[str, float]:
    """Seconds from the command to each step on the way to a show's first picture; files are in the
    disk cache."""
    began = time.monotonic()
    started = [sys.executable, "-m", "bench.coldstart"]
    done = subprocess.run(started, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a show did not start: {done.stderr.strip()}")
    return {name: at - began for name, at in json.loads(done.stdout).items()}


def cold_steps(tries: Sequence[dict[str, float]], part: Part) -> None:
    """The steps of all cold starts."""
    steps = np.array([list(each.values()) for each in tries])  # [tries, steps] seconds
    took = np.diff(steps, axis=1, prepend=0.0)
    rows = [
        (name, round(float(np.median(took[:, k])), 3), round(float(np.median(steps[:, k])), 3))
        for k, name in enumerate(tries[0])
    ]
    part.curves["cold"] = [(name, since - lasts, lasts) for name, lasts, since in rows]
    part.timings[COLD_START] = timing(1000 * steps[:, -1])
    part.tables["Cold start, step by step"] = Table(
        ("until", "s", "s since the command"), tuple(rows)
    )


def waterfall(timings: dict[str, Timing]) -> list[tuple[str, float, float]]:
    """(stage, ms after a frame's sound is there at which it begins, ms it takes), in order."""
    order = [stage for stage in STAGES if ":" not in stage]
    order.insert(1 + order.index("slopes"), MFCC)
    order += [
        REST,
        next((name for name in timings if name.startswith(f"draw: {AvatarConfig().avatar},")), ""),
    ]
    bars, at = [], 0.0
    for stage in order:
        if stage in timings:
            bars.append((stage, at, timings[stage].p50))
            at += timings[stage].p50
    return bars


class Round(NamedTuple):
    """What everything took for some frames."""

    spent: dict[str, Spent]
    kb: dict[str, float]  # held by a call
    notes: list[str]  # what is not there


def one_round(frames: int) -> Round:
    """Open everything, and time so many pictures of each renderer, and HEARD times as many frames
    of hearing, after a few that are not counted."""
    taken = Round({}, {}, [])
    samples = song(HEARD * frames)
    hearer = Hearer(AvatarConfig())
    heard, motions = hearer.hear(samples)
    taken.spent.update(heard)
    taken.kb["hear"] = _held(samples)
    motions = motions[: frames + WARM]

    def time_calls(name: str, calls: Sequence[Callable[[], object]]) -> None:
        taken.spent[name] = spent(calls)
        taken.kb[name] = _memory(calls[-TRACED:])

    for name, draw in drawers(taken.notes).items():
        time_calls(name, [partial(draw, motion) for motion in motions])
    with DrawingProcess(AvatarConfig()) as drawing:
        drawing.ready()
        time_calls(OWN, [partial(drawing.draw, motion) for motion in motions])
    picture = open_renderer(AvatarConfig()).draw(neutral(0))
    for name, send in senders(picture, samples).items():
        time_calls(name, [partial(send, n) for n in range(frames + WARM)])
    for backend, hearer in hearers(taken.notes).items():
        found, _ = hearer.hear(samples)
        for stage in ("hear", "separator: network", "MusicFace: network"):
            taken.spent[f"{stage} on {backend}"] = found[stage]
    return taken


def _held(samples: F32) -> float:
    """Kilobytes that hearing a frame holds."""
    avatar = Avatar(AvatarConfig(), Unseen())
    state = avatar.initial_state()

    def one(n: int) -> None:
        nonlocal state
        part = slice(n * FRAME, (n + 1) * FRAME)
        _, state = avatar.hear(Sound(samples[:, part], n * FRAME), state)

    return _memory([partial(one, n) for n in range(TRACED)])


class Rounds:
    """The part that is measured in rounds, which other parts come between: a host whose neighbours
    are busy for minutes is quiet in one of them."""

    def __init__(self, plan: Plan, turns: int = 1) -> None:
        """turns: how often `take` will be called."""
        self._each = plan.rounds(turns)
        self._frames = -(-frames_of(plan.seconds) // (self._each * turns))
        self._tally, self._cold, self._notes = Tally(), list[dict[str, float]](), list[str]()
        self._plan = plan

    def take(self) -> None:
        """A turn's rounds, each in a process of its own that leaves nothing behind, and as many
        cold starts."""
        for _ in range(self._each):
            self._plan.tell(f"everything, round {len(self._cold) + 1}")
            found = apart(one_round, self._frames)
            for name, calls in found.spent.items():
                self._tally.add(name, calls, found.kb.get(name))
            self._notes = found.notes
            self._plan.tell(f"cold start {len(self._cold) + 1}")
            self._cold.append(cold_start())

    def part(self) -> Part:
        """All rounds."""
        part = Part(
            "Each stage's calls, timed one after another on an otherwise idle line, in"
            f" {len(self._cold)} rounds: p50 of the quietest {STRETCH} calls or more, the rest of"
            " all",
            notes=self._notes,
        )
        found = self._tally.timings()
        found[OWN] = replace(found[OWN], cpu=None)  # spent where this process cannot tell
        part.timings = found
        part.curves["waterfall"] = waterfall(found)
        cold_steps(self._cold, part)
        return part
