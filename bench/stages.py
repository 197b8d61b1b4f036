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
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Part, Plan, Table, Timing, timing
from bench.sound import read_sound
from engine.avatar import Avatar, AvatarConfig, RendererConfig, Unseen, open_renderer
from engine.rendering.identity import list_identities, load_identity
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME
from kernels.graphs.opening import BACKENDS, BackendUnavailable
from streaming.drawing import DrawingProcess

WARM = 15  # frames before a stage is as fast as it stays
LEAST = 30  # frames that are timed in any case …
FEW = 10  # … and on each runtime
TRACED = 6  # frames whose memory is traced, which is slow
COLD_STARTS = 5
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

    def timings(self, skip: int) -> dict[str, Timing]:
        """Every stage's figures, the first frames left out."""
        frames = self.frames[skip:]
        stages = dict.fromkeys(stage for frame in frames for stage in frame)
        made = {}
        for stage in stages:
            spent = np.array([frame.get(stage, (0.0, 0.0)) for frame in frames])
            made[stage] = timing(1000 * spent[:, 0], cpu=1000 * float(spent[:, 1].mean()))
        return made


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


def hearing(config: AvatarConfig, samples: F32) -> tuple[dict[str, Timing], list[Motion]]:
    """The stages from sound to motion, per frame, their remainders among them."""
    watch = Watch()
    motions = hear(clocked(Avatar(config, Unseen()), watch), samples, watch)
    for frame in watch.frames:
        _add_remainders(frame)
    return watch.timings(WARM), motions


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


def timed(calls: Sequence[Callable[[], object]], skip: int = WARM) -> Timing:
    """Back to back, the first few left out; and the memory that a call holds on the way."""
    spent = []
    for n, call in enumerate(calls):
        if n == skip:
            cpu = time.process_time()
        began = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - began))
    per_call = 1000 * (time.process_time() - cpu) / (len(calls) - skip)
    return timing(spent[skip:], cpu=per_call, kb=_memory(calls[-TRACED:]))


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


def drawing(motions: Sequence[Motion], plan: Plan, part: Part) -> None:
    """Every renderer, per picture of 512²; then the default one in a process of its own."""
    for name, config in renderers():
        plan.tell(f"drawing {name}")
        try:
            renderer = open_renderer(config)
        except (ValueError, ImportError, OSError, RuntimeError) as error:  # not built, or not here
            part.notes.append(f"{name} is not measured: {' '.join(str(error).split())}")
            continue
        part.timings[f"draw: {name}"] = timed([partial(renderer.draw, m) for m in motions])
    plan.tell("drawing in a process of its own")
    with DrawingProcess(AvatarConfig()) as process:
        process.ready()
        there = timed([partial(process.draw, motion) for motion in motions])
    part.timings[f"draw: {AvatarConfig().avatar} in a process of its own, and back"] = replace(
        there, cpu=None
    )


def sending(picture: Picture, sound: F32, frames: int, part: Part) -> None:
    """What it takes to hand a picture and its sound on: to a camera, to a page."""
    import av
    from aiortc.codecs.vpx import Vp8Encoder

    from streaming.compositing import flatten
    from streaming.webrtc import SoundCoder, yuv_of

    black = np.zeros(3, np.uint8)
    moving = [np.roll(picture.rgba, 3 * n, axis=1) for n in range(8)]  # something to encode
    video, voice = Vp8Encoder(), SoundCoder(160)
    video.target_bitrate = 2_500_000

    def encode(n: int) -> None:
        frame = av.VideoFrame.from_ndarray(yuv_of(moving[n % 8], matte=False), "yuv420p")
        frame.pts, frame.time_base = 3000 * n, Fraction(1, 90_000)
        video.encode(frame)

    part.timings["send: RGBA to a camera's RGB"] = timed(
        [partial(flatten, picture.rgba, black)] * (frames + WARM)
    )
    part.timings["send: to I420 and VP8 at 2.5 Mb/s, for a page"] = timed(
        [partial(encode, n) for n in range(frames + WARM)]
    )
    part.timings["send: 33 ms of sound to Opus"] = timed(
        [partial(voice, sound[:, :FRAME])] * (frames + WARM)
    )


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


def backends(samples: F32, plan: Plan, part: Part) -> None:
    """Sound to motion on every runtime that can be had here."""
    for backend in BACKENDS[1:]:
        plan.tell(f"hearing on {backend}")
        try:
            with one_torch_thread(backend):
                found, _ = hearing(AvatarConfig(backend=backend), samples)
        except BackendUnavailable as reason:
            part.notes.append(f"{backend} is not measured: {reason}")
            continue
        for stage in ("hear", "separator: network", "MusicFace: network"):
            part.timings[f"{stage} on {backend}"] = found[stage]


def cold_starts(plan: Plan, part: Part) -> None:
    """From the command to a show's first picture, step by step; files are in the disk cache."""
    tries = []
    for n in range(1 if plan.miniature else COLD_STARTS):
        plan.tell(f"cold start {n + 1}")
        began = time.monotonic()
        started = [sys.executable, "-m", "bench.coldstart"]
        done = subprocess.run(started, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"a show did not start: {done.stderr.strip()}")
        tries.append({name: at - began for name, at in json.loads(done.stdout).items()})
    steps = np.array([list(each.values()) for each in tries])  # [tries, steps] seconds
    took = np.diff(steps, axis=1, prepend=0.0)
    rows = [
        (name, round(float(np.median(took[:, k])), 3), round(float(np.median(steps[:, k])), 3))
        for k, name in enumerate(tries[0])
    ]
    part.curves["cold"] = [(name, since - lasts, lasts) for name, lasts, since in rows]
    part.timings["cold start to the first picture"] = timing(1000 * steps[:, -1])
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


def measure(plan: Plan) -> Part:
    """Every stage alone, on every runtime and renderer, and the way to the first picture."""
    part = Part("Each stage's calls, timed one after another on an otherwise idle line")
    frames = frames_of(plan.seconds)
    samples = song(frames)
    plan.tell("hearing")
    part.timings, motions = hearing(AvatarConfig(), samples)
    avatar = Avatar(AvatarConfig(), Unseen())
    state = avatar.initial_state()
    sounds = [Sound(samples[:, n * FRAME : (n + 1) * FRAME], n * FRAME) for n in range(TRACED)]

    def one(sound: Sound) -> None:
        nonlocal state
        _, state = avatar.hear(sound, state)

    part.timings["hear"] = replace(
        part.timings["hear"], kb=_memory([partial(one, sound) for sound in sounds])
    )
    drawing(motions[: frames + WARM], plan, part)
    part.curves["waterfall"] = waterfall(part.timings)
    plan.tell("sending")
    picture = open_renderer(AvatarConfig()).draw(motions[-1])
    sending(picture, samples, frames, part)
    backends(samples[:, : (max(FEW, frames // 3) + WARM) * FRAME], plan, part)
    cold_starts(plan, part)
    return part
