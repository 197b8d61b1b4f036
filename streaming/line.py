"""The line from sound to frames without threads and clocks: whoever calls it passes the time.

`sing` is the line in a plain loop, nothing dropped. `LiveLine` is the same line in steps that may
be taken by different threads, or by a simulation; frame n of both is equal when n was not skipped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.avatar import AvatarConfig
from engine.motion.resting import FADE, HOLD, neutral, rest_weight, rested
from engine.signals import Motion, Picture, Sound
from engine.timeline import (
    FRAME,
    FRAME_RATE,
    HOP,
    SAMPLE_RATE,
    frames_in,
    samples_needed,
)
from streaming.clock import PERIOD, Pacer
from streaming.director import Director
from streaming.handover import DelayLine, Latest, Ring, cut
from streaming.ladder import Ladder, enlarged
from streaming.microphone import MicrophoneConfig
from streaming.ports import Source, UserError
from streaming.stats import Stats
from streaming.webconfig import WebConfig

log = logging.getLogger("cantar")

SPARE = 2  # motions and pictures that may wait for their tick beyond those of the delay itself
SHELF = 64  # frames of motion that may wait for their tick
ARRIVALS = 256  # frames whose arrival is remembered
BACKLOG = 2 * FRAME_RATE  # frames that slow sinks may be behind before some are passed over
HEARD_S = 4.0  # s of full-band sound that may wait for its picture
BUSY = 0.75  # share of its time that drawing must take before the ladder blames it
REGULAR = 0.030  # s from a sample's instant to its arrival that the delay has room for
MOST_EXTRA = (
    0.10  # s that the delay may grow before the first tick for a source that comes in gulps
)
EARLY = 0.06  # s: sound that comes so much before its time is a device's backlog
STRAY = 0.10  # s: sound that comes so much after its time …
AWAY = 0.50  # … for so long, or …
LONG_AWAY = 1.0  # … so much after its time, has been away: the timeline jumps to it


@dataclass(frozen=True)
class LiveConfig:
    """How a live show deals with time.

    ring_ms: sound that may wait to be heard: hearing's latency bound. slack_ms: allowance for
    sound and threads that come late. margin_ms: from the last sound a frame hears to its picture
    leaving; null: slack + 1.5 × (hearing + drawing) as measured at the start, 42 to 150 ms.
    ladder: under overload
    go down to 15 pictures a second, then to smaller ones; otherwise skip single pictures only.
    """

    ring_ms: float = 200.0
    slack_ms: float = 10.0
    margin_ms: float | None = None
    ladder: bool = True

    def __post_init__(self) -> None:
        if self.ring_ms < 100:
            raise ValueError(f"ring_ms must be at least 100 (a chunk of sound), got {self.ring_ms}")
        if not 0 <= self.slack_ms <= 1000 or not 0 <= (self.margin_ms or 0) <= 1000:
            raise ValueError("slack_ms and margin_ms must be 0 to 1000")


@dataclass(frozen=True)
class ShowConfig(AvatarConfig):
    """All of a preset: who sings and how, what is done to the microphone's sound, how the show
    deals with time, how a page is served."""

    microphone: MicrophoneConfig = field(default_factory=MicrophoneConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    web: WebConfig = field(default_factory=WebConfig)


class Singer(Protocol):
    """What the line needs of `engine.avatar.Avatar`."""

    @property
    def config(self) -> AvatarConfig: ...

    def initial_state(self) -> Any: ...

    def hear(self, sound: Sound, state: Any) -> tuple[list[Motion], Any]: ...

    def draw(self, motion: Motion) -> Picture: ...


class Frame(NamedTuple):
    """All that belongs to one frame, as a sink takes it."""

    motion: Motion
    picture: Picture | None
    sound: Sound | None


def channels_of(source: object) -> int:
    """Channels of a source's full-band sound, 1 or 2."""
    return int(getattr(source, "channels", 2))


class Tail:
    """A source followed by silence, until the last frame of its sound is complete.

    ended: the source's own sound is over. total: its end on its own timeline, in samples.
    """

    def __init__(
        self, source: Source, lookahead: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.realtime = source.realtime
        self.length = source.length
        self.channels = channels_of(source)
        self.ended = False
        self.total = 0
        self._source = source
        self._lookahead = lookahead
        self._sleep = sleep
        self._like: Sound | None = None  # the last sound, for the shape of the silence
        self._at = 0

    def read(self) -> Sound | None:
        """The source's sound, then silence in hops (at the pace of a real-time source), or None."""
        if not self.ended:
            sound = self._source.read()
            if sound is not None:
                if sound.samples.shape[1]:
                    self._like, self._at = sound, sound.end
                    self.total = sound.end
                return sound
            self.ended = True
        return self._silence()

    def _silence(self) -> Sound | None:
        last = frames_in(self.total) - 1
        n = min(HOP, samples_needed(last, self._lookahead) - self._at)
        if self._like is None or n <= 0:
            return None
        if self.realtime:
            self._sleep(n / SAMPLE_RATE)
        stems = None if self._like.stems is None else np.zeros((2, n), np.float32)
        sound = Sound(np.zeros((self._like.samples.shape[0], n), np.float32), self._at, stems)
        self._at = sound.end
        return sound

    def close(self) -> None:
        self._source.close()


class Easing:
    """Motions as heard, eased back from rest where the sound had a gap. `last`: the last one."""

    def __init__(self) -> None:
        self.last: Motion | None = None
        self._weight = 0.0

    def heard(self, motion: Motion) -> Motion:
        """The avatar's next motion; without a gap before it, the same object."""
        self._weight = max(0.0, self._weight - 1 / FADE)
        if self.last is not None:
            self._weight = max(self._weight, rest_weight(motion.frame - self.last.frame - 1))
        self.last = rested(motion, self._weight)
        return self.last


def held(last: Motion | None, frame: int) -> Motion:
    """The motion of a frame that has none of its own: the last one, eased to rest."""
    if last is None:
        return neutral(frame)
    return rested(replace(last, frame=frame), rest_weight(frame - last.frame))


def sing(
    avatar: Singer,
    source: Source,
    *,
    with_sound: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Motion, Sound | None]]:
    """All frames of a source, in order: its motion and its 1,600 samples of full-band sound.

    As many frames as the sound fills (`frames_in`), the last one filled up with silence; fewer
    only when `stopped()`. Memory does not grow with the length. Raises UserError for a source
    without sound.
    """
    tail = Tail(source, avatar.config.lookahead)
    line = DelayLine(tail.channels, HEARD_S)
    for motion in _motions(avatar, tail, line if with_sound else None, stopped):
        yield motion, line.take(motion.frame) if with_sound else None
    if not tail.total and not stopped():
        raise UserError("the input holds no sound (0 samples)")


def _motions(
    avatar: Singer, tail: Tail, line: DelayLine | None, stopped: Callable[[], bool]
) -> Iterator[Motion]:
    """One motion per frame of the sound, those in its gaps held.

    With little lookahead a motion is there before the sound of its own frame: it waits for all of
    that, or for the end.
    """
    easing, state, following = Easing(), avatar.initial_state(), 0
    waiting: deque[Motion] = deque()
    sound: Sound | None = None
    while not stopped():
        sound = tail.read()
        if sound is not None and sound.samples.shape[1]:
            if line is not None and not tail.ended:
                line.append(sound)
            motions, state = avatar.hear(sound, state)
            waiting.extend(motions)
        whole = frames_in(tail.total) if tail.ended else tail.total // FRAME
        while waiting and waiting[0].frame < whole:
            before, motion = easing.last, waiting.popleft()
            yield from (held(before, frame) for frame in range(following, motion.frame))
            yield easing.heard(motion)
            following = motion.frame + 1
        if sound is None:
            yield from (held(easing.last, f) for f in range(following, frames_in(tail.total)))
            return


class LiveLine:
    """A live show in steps. Each may be called from a thread of its own, but each from only one.

    on_sound (reader) → ring → hear → motions → draw → pictures → on_tick (ticker) → frames

    Sound that comes far off its place on the timeline (an unplugged microphone is back) is moved to
    where it belongs now; in between the face eases to rest. Frames leave exactly once and in order;
    a frame whose picture is not there leaves with the one shown before it.
    """

    def __init__(
        self,
        avatar: Singer,
        pacer: Pacer,
        *,
        config: LiveConfig,
        first: Picture | None,
        channels: int = 2,
        with_sound: bool = True,
        now: Callable[[], float] = time.monotonic,
        draw_small: Callable[[Motion], Picture] | None = None,
        director: Director | None = None,
    ) -> None:
        """`first`: what is shown until a picture is there; None when nobody wants pictures."""
        self.avatar, self.pacer = avatar, pacer
        self.stats = Stats()
        self.ring = Ring(config.ring_ms)
        ahead = ceil((pacer.delay + MOST_EXTRA) * FRAME_RATE) + SPARE
        self.motions: Latest[Motion] = Latest(ahead)
        self.pictures: Latest[Picture] = Latest(ahead)
        self.sound = DelayLine(channels, HEARD_S) if with_sound else None
        self.ladder = Ladder(0 if not config.ladder else 1 if draw_small is None else 2)
        self.frames: int | None = None  # in all, known when the source has ended
        self.stats.ring_capacity = self.ring.capacity
        self._now = now
        self._delay = pacer.delay
        self._opening: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)  # start, when it came
        self._draw_small = draw_small
        self._director = director or Director()
        self._draw_s = 0.0  # s a picture takes, smoothed
        self._hear_s = 0.0  # s spent since the last motion
        self._heard = -1  # the last frame that was heard
        self._state = avatar.initial_state()
        self._easing = Easing()
        self._shelf: dict[int, Motion] = {}  # heard, waiting for their ticks
        self._lock = threading.Lock()  # of the shelf and of _next
        self._next = 0  # the frame that leaves next
        self._shown: Motion | None = None  # the last frame's motion
        self._held = first
        self._arrived = [(-1, 0.0)] * ARRIVALS  # by frame % ARRIVALS: when its first sample came
        self.place = Place(pacer)

    # -- reader

    def on_sound(self, t: float, sound: Sound) -> None:
        """Sound arrived at `t` seconds. Empty sound is no sound."""
        placed = self.place(sound, t)
        if placed is None:
            return
        if self.pacer.tick < 0:
            self._make_room(placed, t)
        first = -(-placed.start // FRAME)
        for frame in range(first, -(-placed.end // FRAME)):
            self._arrived[frame % ARRIVALS] = (frame, t)
        placed = self._director.sound(placed)
        self.ring.push(placed)
        if self.sound is not None:
            self.sound.append(placed)

    def _make_room(self, sound: Sound, t: float) -> None:
        """Before the first tick: lengthen the delay for a source that comes in long gulps.

        The constant from then on; without it the sound of a frame would leave unfinished.
        """
        self._opening.append((sound.start, t))
        waits = (came - self.pacer.entered(start) for start, came in self._opening)
        extra = min(max(0.0, max(waits) - REGULAR), MOST_EXTRA)
        self.pacer.delay = self._delay + extra

    def on_silence(self, sound: Sound) -> None:
        """Silence after the end, which completes the last frames."""
        self.ring.push(self.place.shifted(sound))

    def on_motion(self, motion: Motion) -> None:
        """Ready motion (a motion file), in order."""
        self._deliver(motion)

    def on_end(self, frames: int | None = None) -> None:
        """The source ended, after the sound so far or after so many frames."""
        self.frames = max(self._next, frames_in(self.place.end) if frames is None else frames)

    # -- hearing

    def next_to_hear(self, timeout: float | None = 0.0) -> Sound | None:
        """The sound that completes the next motion, or what there is when the time is over.

        A frame's hops are heard together: one at a time would find the caches cold each time.
        """
        complete = samples_needed(self._heard + 1, self.avatar.config.lookahead)
        return self.ring.pull(timeout, until=complete)

    def hear(self, sound: Sound) -> None:
        """Hear what was pulled from the ring; hand its motions on."""
        began = self._now()
        motions, self._state = self.avatar.hear(sound, self._state)
        self._hear_s += self._now() - began
        for motion in motions:
            self.stats.hear.add(1000 * self._hear_s / len(motions))
            self._deliver(self._easing.heard(motion))
        if motions:
            self._hear_s = 0.0
            self._heard = motions[-1].frame

    def _deliver(self, motion: Motion) -> None:
        if self.frames is not None and motion.frame >= self.frames:
            return
        motion = self._director.motion(motion)
        with self._lock:
            if motion.frame >= self._next:
                self._shelf[motion.frame] = motion
                if len(self._shelf) > SHELF:
                    del self._shelf[min(self._shelf)]
        self.motions.put(motion)

    # -- drawing

    def next_to_draw(self, timeout: float | None = 0.0) -> Motion | None:
        """The oldest motion whose picture can be ready for its tick, else the newest.

        None when none came in time, or only one that the overload ladder leaves out.
        """
        due = self.pacer.tick_after(self._now() + self._draw_s)
        motion = self.motions.take(timeout, due)
        return motion if motion is not None and self.ladder.wants(motion.frame) else None

    def draw(self, motion: Motion) -> None:
        """Draw a motion; hand its picture on."""
        began = self._now()
        if self.ladder.level >= 2 and self._draw_small is not None:
            renderer = self.avatar.config.renderer
            picture = enlarged(self._draw_small(motion), renderer.width, renderer.height)
        else:
            picture = self.avatar.draw(motion)
        took = self._now() - began
        self._draw_s += 0.2 * (took - self._draw_s)
        self.stats.draw.add(1000 * took)
        self.pictures.put(picture)

    # -- ticking

    @property
    def done(self) -> bool:
        """All frames have left."""
        return self.frames is not None and self._next >= self.frames

    @property
    def next_frame(self) -> int:
        """The frame that leaves next."""
        return self._next

    def on_tick(self, tick: int, t: float) -> list[Frame]:
        """The frames that leave at tick `tick`: one, or also those whose ticks were missed."""
        last = tick if self.frames is None else min(tick, self.frames - 1)
        if last - self._next >= BACKLOG:
            self._pass_over(last)
        frames = [self._frame(frame, t) for frame in range(self._next, last + 1)]
        self._note()
        return frames

    def _frame(self, frame: int, t: float) -> Frame:
        with self._lock:
            own = self._shelf.pop(frame, None)
            self._next = frame + 1
        motion = held(self._shown, frame) if own is None else own
        picture = self.pictures.take_until(frame) if self._held is not None else None
        self._held = picture or self._held
        fresh = self._held is None or self._held.frame == frame
        self._count(frame, t, fresh, own is not None)
        if own is not None:
            self._shown = own
        else:
            self._rest(frame + 1)
        sound = None if self.sound is None else self.sound.take(frame)
        return Frame(motion, self._held, sound)

    def _rest(self, frame: int) -> None:
        """While no sound comes, have the fading face drawn in time for the next tick."""
        if self._held is None or self._shown is None:
            return
        silent = frame - self._shown.frame
        if HOLD < silent <= HOLD + FADE or (silent > HOLD and frame % FRAME_RATE == 0):
            self.motions.put(held(self._shown, frame))

    def _count(self, frame: int, t: float, fresh: bool, heard: bool) -> None:
        away = self._shown is None or frame - self._shown.frame > HOLD
        resting = away and not heard
        skipped = not fresh and not resting
        self.stats.published(t, fresh)
        self.stats.skipped += skipped
        self.stats.rested += resting
        of, arrived = self._arrived[frame % ARRIVALS]
        if fresh and heard and of == frame:
            self.stats.lateness.add(1000 * (t - arrived))
        busy = self._draw_s > BUSY * PERIOD * self.ladder.stride
        self.ladder.observe(frame, skipped and heard and busy)

    def _pass_over(self, last: int) -> None:
        """The sinks are two seconds behind: pass over what they missed, sound and pictures."""
        if not self.stats.lost:
            log.warning("the outputs are too slow for a live show; frames are lost")
        self.stats.lost += last - self._next
        with self._lock:
            for frame in range(self._next, last):
                self._shelf.pop(frame, None)
            self._next = last

    def _note(self) -> None:
        stats = self.stats
        stats.ring, stats.ring_max = self.ring.level, self.ring.level_max
        stats.gaps = self.ring.gaps
        stats.replaced = self.motions.replaced + self.pictures.replaced
        stats.missed, stats.realigned = self.pacer.skipped, self.place.returns
        stats.sound_late = 0 if self.sound is None else self.sound.late
        stats.level, stats.steps = self.ladder.level, self.ladder.told
        stats.delay = self.pacer.delay

    # -- ending

    def close(self) -> None:
        """Readers of the hand-overs stop."""
        for handover in (self.ring, self.motions, self.pictures):
            handover.close()


class Place:
    """Where sound belongs on the show's timeline, and how the pacer learns of it.

    A source counts its own samples. Sound that was away (a microphone unplugged for ten seconds)
    comes back with the index at which it left; it is moved to where the ticks are now. Sound that
    comes too early (the backlog of a device that hung) is moved back as far as earlier sound
    allows, or dropped. `end` never rewinds.
    """

    def __init__(self, pacer: Pacer) -> None:
        self.end = 0  # sample index, on the show's timeline, after the last sound
        self.returns = 0  # times that sound came back after it had been away
        self._pacer = pacer
        self._offset: int | None = None  # samples, from the source's timeline to the show's
        self._late_since = 0.0
        self._late_least: float | None = None

    def shifted(self, sound: Sound) -> Sound:
        """The sound on the show's timeline."""
        return replace(sound, start=sound.start + self._offset) if self._offset else sound

    def __call__(self, sound: Sound, t: float) -> Sound | None:
        """The sound of a chunk that arrived at `t` at its place; None if it is not to be used."""
        if not sound.samples.shape[1]:
            return None
        if self._offset is None:
            self._offset = -sound.start
            if self._pacer.tick >= 0:  # the ticks did not wait for it any longer
                self._move(self._lateness(sound, t))
        self._follow(sound, t)
        placed = self.shifted(sound)
        if placed.start < self.end:
            placed = cut(placed, self.end, placed.end)
        if not placed.samples.shape[1] or self._too_early(placed, t):
            return None
        self._pacer.observe(placed.end, t)
        self.end = placed.end
        return placed

    def _lateness(self, sound: Sound, t: float) -> float:
        """Seconds that a sound came after the time at which its place on the timeline entered."""
        return t - self._pacer.entered(self.shifted(sound).end)

    def _too_early(self, placed: Sound, t: float) -> bool:
        return self._pacer.tick >= 0 and t - self._pacer.entered(placed.end) < -EARLY

    def _follow(self, sound: Sound, t: float) -> None:
        """Move the timeline's offset when sound stays away from its place."""
        if self._pacer.tick < 0:
            return
        late = self._lateness(sound, t)
        if late < -EARLY:
            early = min(-late, (self.shifted(sound).start - self.end) / SAMPLE_RATE)
            if early > 0:
                self._move(-early)
        elif late <= STRAY:
            self._late_least = None
        elif self._late_least is None and late <= LONG_AWAY:
            self._late_since, self._late_least = t, late
        else:
            self._late_least = min(late, self._late_least or late)
            if late > LONG_AWAY or t - self._late_since > AWAY:
                self._move(self._late_least)
                self._late_least = None

    def _move(self, seconds: float) -> None:
        assert self._offset is not None
        self._offset += round(seconds * SAMPLE_RATE)
        self.returns += seconds > 0
