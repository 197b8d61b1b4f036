"""Stand-ins: an avatar that hears by the rules in microseconds, sources, sinks, and a clock that
moves only when told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import numpy as np

from engine.avatar import AvatarConfig, RendererConfig
from engine.motion.blendshapes import ARKIT, JAW_OPEN
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME, HOP, SAMPLE_RATE, frames_in, samples_needed
from streaming.line import Frame, LiveLine

SIZE = 8  # pixels


class FakeState(NamedTuple):
    """recent: [n] mono samples up to `end`. frame: the next motion. yaw: an integral, rad."""

    recent: F32
    end: int
    frame: int
    yaw: float


class FakeAvatar:
    """Jaw = the loudest sample of the last heard frame, yaw = its leaky integral: exact in any
    chunking, and every frame depends on the whole past. `on_hear` and `on_draw` may be slow or
    raise."""

    def __init__(
        self,
        lookahead: int = 2,
        on_hear: Callable[[Sound], None] = lambda sound: None,
        on_draw: Callable[[Motion], None] = lambda motion: None,
        size: int = SIZE,
    ) -> None:
        renderer = RendererConfig(width=size, height=size)
        self.config = AvatarConfig(lookahead=lookahead, renderer=renderer)
        self.on_hear, self.on_draw = on_hear, on_draw
        self.drawn: list[int] = []

    def initial_state(self) -> FakeState:
        return FakeState(np.zeros(0, np.float32), 0, 0, 0.0)

    def hear(self, sound: Sound, state: FakeState) -> tuple[list[Motion], FakeState]:
        self.on_hear(sound)
        mono = sound.samples.mean(axis=0) if sound.stems is None else sound.stems[0]
        recent, frame, yaw = state.recent, state.frame, state.yaw
        if sound.start != state.end:
            recent = np.zeros(0, np.float32)
            while samples_needed(frame, self.config.lookahead) <= sound.start:
                frame += 1
        recent = np.concatenate([recent, mono])
        motions = []
        while (need := samples_needed(frame, self.config.lookahead)) <= sound.end:
            stop = len(recent) - (sound.end - need)
            window = recent[max(0, stop - FRAME) : stop]
            jaw = float(min(1.0, np.abs(window).max(initial=0.0)))
            yaw += 0.1 * (jaw - yaw)
            motions.append(self._motion(frame, jaw, yaw))
            frame += 1
        keep = FRAME + HOP * 4 + sound.end - samples_needed(frame, self.config.lookahead)
        return motions, FakeState(recent[-max(keep, 1) :], sound.end, frame, yaw)

    def _motion(self, frame: int, jaw: float, yaw: float) -> Motion:
        blendshapes = np.zeros(len(ARKIT), np.float32)
        blendshapes[JAW_OPEN] = jaw
        head = np.array([yaw, 0, 0, 0, 0, 0], np.float32)
        return Motion(frame, blendshapes, head, voice=jaw)

    def draw(self, motion: Motion) -> Picture:
        self.on_draw(motion)
        self.drawn.append(motion.frame)
        size = self.config.renderer.width
        rgba = np.zeros((size, size, 4), np.uint8)
        rgba[..., 0] = round(255 * float(motion.blendshapes[JAW_OPEN]))
        rgba[..., 1] = round(1000 * float(motion.head[0])) % 256
        rgba[..., 3] = 255
        return Picture(motion.frame, rgba)


class FakeDrawing:
    """A DrawingProcess that is none: what it begins is drawn at once, by the avatar."""

    alive = True

    def __init__(self, avatar: FakeAvatar) -> None:
        self.draw = self.draw_small = avatar.draw
        self._drawn: deque[Picture] = deque()

    def ready(self) -> None:
        pass

    def begin(self, motion: Motion) -> None:
        self._drawn.append(self.draw(motion))

    def finish(self) -> Picture:
        return self._drawn.popleft()

    def close(self) -> None:
        pass

    def __enter__(self) -> FakeDrawing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FakeSource:
    """Gives sounds at once. `realtime` says so only; the clock is the test's."""

    def __init__(self, sounds: Iterable[Sound], realtime: bool = False, channels: int = 1) -> None:
        self._sounds = iter(sounds)
        self.realtime = realtime
        self.length: int | None = None
        self.channels = channels
        self.closed = False

    def read(self) -> Sound | None:
        return next(self._sounds, None)

    def close(self) -> None:
        self.closed = True


class FakeMotions:
    """A motion source."""

    def __init__(self, motions: Iterable[Motion]) -> None:
        self._motions = iter(motions)
        self.length: int | None = None
        self.closed = False

    def read(self) -> Motion | None:
        return next(self._motions, None)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeSink:
    """Keeps every frame."""

    wants_picture: bool = True
    wants_sound: bool = True
    frames: list[Frame] = field(default_factory=list)
    closed: int = 0

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self.frames.append(Frame(motion, picture, sound))

    def close(self) -> None:
        self.closed += 1


class Clock:
    """Seconds that pass only by `sleep`."""

    def __init__(self, t: float = 100.0) -> None:
        self.t = t

    def now(self) -> float:
        return self.t

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.t += seconds


# ---- sound that says where it belongs -----------------------------------------------------------


def indexed(start: int, n: int) -> Sound:
    """Stereo sound whose samples spell their own index, exactly in float32 up to 2⁴⁰."""
    index = np.arange(start, start + n)
    samples = np.empty((2, n), np.float32)
    samples[0] = (index & 0xFFFFF) * 2.0**-20
    samples[1] = (index >> 20) * 2.0**-20
    return Sound(samples, start)


def index_of(sound: Sound, column: int = 0) -> int:
    """What index a sample of `indexed` sound spells."""
    low, high = (round(float(x) * 2**20) for x in sound.samples[:, column])
    return (high << 20) + low


def noise(seconds: float, seed: int = 0, channels: int = 1) -> F32:
    """[channels, n] float32 with a slowly changing loudness."""
    n = round(seconds * SAMPLE_RATE)
    random = np.random.default_rng(seed)
    loud = 0.5 + 0.5 * np.sin(np.arange(n) * (2 * np.pi * 1.7 / SAMPLE_RATE))
    return (random.uniform(-1, 1, (channels, n)) * loud).astype(np.float32)


def chunks(samples: F32, sizes: Iterator[int] | int, start: int = 0) -> Iterator[Sound]:
    """Samples [C, n] as sounds of the given sizes."""
    at = 0
    while at < samples.shape[1]:
        n = sizes if isinstance(sizes, int) else next(sizes)
        yield Sound(samples[:, at : at + n], start + at)
        at += n


# ---- a simulated world --------------------------------------------------------------------------


class SourceClock:
    """When sample s of a source really enters: a clock that is off, changed at given samples.

    parts: (from sample, seconds per sample relative to nominal), first from 0.
    """

    def __init__(self, start: float, parts: list[tuple[int, float]]) -> None:
        self._knots = [(parts[0][0], start, parts[0][1] / SAMPLE_RATE)]
        for index, ratio in parts[1:]:
            self._knots.append((index, self(index), ratio / SAMPLE_RATE))

    def __call__(self, index: float) -> float:
        knot = next(k for k in reversed(self._knots) if index >= k[0] or k is self._knots[0])
        return knot[1] + (index - knot[0]) * knot[2]


def arrivals(
    clock: SourceClock, samples: int, jitter: float, random: Random, chunk: int = HOP
) -> Iterator[tuple[float, Sound]]:
    """Chunks of indexed sound and when they arrive: up to `jitter` seconds late, in order."""
    last = 0.0
    for start in range(0, samples, chunk):
        n = min(chunk, samples - start)
        last = max(last, clock(start + n) + random.uniform(0, jitter))
        yield last, indexed(start, n)


class Simulation:
    """Runs a LiveLine against arrivals on a simulated clock: one reader, two workers, a ticker.

    hear_s: seconds per pull; draw_s: seconds per picture (a function of when it begins).
    """

    def __init__(
        self,
        line: LiveLine,
        clock: Clock,
        hear_s: float = 0.004,
        draw_s: Callable[[float], float] = lambda t: 0.012,
        ended: bool = True,
    ) -> None:
        self.line, self.clock = line, clock
        self.hear_s, self.draw_s = hear_s, draw_s
        self._ended = ended
        self._hearing: tuple[float, float, Sound] | None = None  # done at, begun at, what
        self._drawing: tuple[float, float, Motion] | None = None
        assert isinstance(line.avatar, FakeAvatar)
        line.avatar.on_hear = lambda sound: clock.sleep(self._cost)
        line.avatar.on_draw = lambda motion: clock.sleep(self._cost)
        self._cost = 0.0
        self._blocked = 0.0  # the ticker does nothing before this time

    def block(self, seconds: float) -> None:
        """The sinks keep the ticker so long; everyone else goes on."""
        self._blocked = self.clock.t + seconds

    def run(
        self, sounds: Iterator[tuple[float, Sound]], until: float = np.inf
    ) -> Iterator[tuple[float, Frame]]:
        """Every frame that leaves, and when. Ends with the show, or at time `until`."""
        arrival = next(sounds, None)
        while not self.line.done:
            t, what = self._next(arrival)
            if t > until:
                return
            self.clock.t = t
            if what == "arrival" and arrival is not None:
                self.line.on_sound(t, arrival[1])
                arrival = next(sounds, None)
                if arrival is None and self._ended:
                    self._end()
            elif what == "heard" and self._hearing is not None:
                self._finish_hearing(*self._hearing)
            elif what == "drawn" and self._drawing is not None:
                self._finish_drawing(*self._drawing)
            else:
                tick = self.line.pacer.poll(t)
                for frame in self.line.on_tick(tick, t) if tick is not None else ():
                    yield t, frame
            self._begin_work()

    def _next(self, arrival: tuple[float, Sound] | None) -> tuple[float, str]:
        due = self.line.pacer.due(self.line.pacer.tick + 1)
        events = [(max(due, self._blocked), "tick")]
        if arrival is not None:
            events.append((arrival[0], "arrival"))
        if self._hearing is not None:
            events.append((self._hearing[0], "heard"))
        if self._drawing is not None:
            events.append((self._drawing[0], "drawn"))
        t, what = min(events)
        return max(t, self.clock.t) + (1e-9 if what == "tick" else 0.0), what

    def _end(self) -> None:
        end = self.line.place.end
        self.line.on_end()
        last = frames_in(end) - 1
        n = samples_needed(last, self.line.avatar.config.lookahead) - end
        if n > 0:
            self.line.ring.push(Sound(np.zeros((2, n), np.float32), end))

    def _begin_work(self) -> None:
        t = self.clock.t
        if self._hearing is None and (sound := self.line.ring.pull()) is not None:
            self._hearing = (t + self.hear_s, t, sound)
        if self._drawing is None and (motion := self.line.next_to_draw()) is not None:
            self._drawing = (t + self.draw_s(t), t, motion)

    def _finish_hearing(self, done: float, begun: float, sound: Sound) -> None:
        self._hearing, self.clock.t, self._cost = None, begun, done - begun
        self.line.hear(sound)
        self.clock.t = done

    def _finish_drawing(self, done: float, begun: float, motion: Motion) -> None:
        self._drawing, self.clock.t, self._cost = None, begun, done - begun
        self.line.draw(motion)
        self.clock.t = done
