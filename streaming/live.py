"""A show: to file in a plain loop, or live with a reader, two workers and a ticker.

    source ─▶ Ring ─▶ hear ─▶ Latest[Motion] ─▶ draw ─▶ Latest[Picture] ─▶ sinks, 30 ticks/s

Both take every step from `streaming.line`; here are only the threads, the clock, and the end.
"""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import NamedTuple

import numpy as np

from engine.motion.resting import neutral
from engine.signals import Motion, Picture, Sound
from engine.timeline import FRAME_RATE, HOP, HOP_RATE, SAMPLE_RATE
from streaming.clock import Paced, Pacer
from streaming.director import Director
from streaming.drawing import SLOTS, DrawingProcess
from streaming.line import REGULAR, Frame, LiveConfig, LiveLine, Singer, Tail, channels_of, sing
from streaming.ports import Follower, MotionSource, Sink, Source, Switchable, UserError
from streaming.preview import ShowOver
from streaming.stats import Stats

log = logging.getLogger("cantar")

MARGIN = (0.042, 0.150)  # s: the least, with room for what the warm-up did not see, and the most
LOOK = 0.1  # s: how often a waiting worker looks whether the show is over
JOIN = 2.0  # s that a worker has to end
STATUS_EVERY = 1.0  # s
WARM_PICTURES = 4
WAITED = 0.5  # of its sound's length: a device that answers sooner had recorded it already
MOST_BACKLOG = 1000  # reads


class WorkerError(RuntimeError):
    """A thread of the show ended with an exception that nobody expected (its `__cause__`)."""


class Outputs:
    """Several sinks as one. forgiving: one that fails is left out while there are others."""

    def __init__(self, sinks: Sequence[Sink], *, forgiving: bool = False) -> None:
        self._sinks = list(sinks)
        self._forgiving = forgiving
        self.wants_picture = any(sink.wants_picture for sink in sinks)
        self.wants_sound = any(sink.wants_sound for sink in sinks)

    def write(self, frame: Frame) -> None:
        """Give each sink what it wants of a frame; then raise ShowOver if one has seen enough."""
        over: ShowOver | None = None
        for sink in tuple(self._sinks):
            try:
                sink.write(
                    frame.motion,
                    frame.picture if sink.wants_picture else None,
                    frame.sound if sink.wants_sound else None,
                )
            except ShowOver as enough:
                over = enough
            except UserError as error:
                if not self._forgiving or len(self._sinks) == 1:
                    raise
                self._leave_out(sink, error)
        if over is not None:
            raise over

    def _leave_out(self, sink: Sink, error: UserError) -> None:
        log.warning("%s; the show goes on without it", error)
        self._sinks.remove(sink)
        with suppress(Exception):  # why it failed has been said
            sink.close()

    def close(self) -> None:
        """Finish every sink, also when one fails; then raise the first failure."""
        failure: Exception | None = None
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:  # the other sinks must be finished too
                failure = failure or error
        if failure is not None:
            raise failure


class Stopping:
    """Whether somebody asked the show to end. `signal`: which one did, None so far."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        """Handle a signal; the second one interrupts whatever is still running."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_on_signals() -> Iterator[Stopping]:
    """Turn Ctrl-C and SIGTERM into a question that the loops ask, so that files are finished.

    Main thread only.
    """
    stopping = Stopping()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stopping.ask) for number in numbers]
    try:
        yield stopping
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# ---- to file ------------------------------------------------------------------------------------


def run_file(
    avatar: Singer,
    source: Source | MotionSource,
    sinks: Sequence[Sink],
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda frames: None,
    undo: Callable[[], None] = lambda: None,
    drawing: DrawingProcess | None = None,
) -> int:
    """Draw every frame of a source into the sinks, as fast as it goes; return how many.

    drawing: draws for the avatar, a few frames behind what is heard (nothing is dropped).
    Ends early, with finished sinks, as soon as `stopped()`. `progress` is told the frames done.
    Source and sinks are closed in any case. When the source or the avatar fails after the first
    frame, `undo` is called last, to take back what was written; what a failing sink has written is
    kept.
    """
    outputs = Outputs(sinks)
    frames, writing = 0, False
    try:
        show = _show(avatar, source, outputs.wants_sound, stopped)
        drawn = _drawn(avatar, drawing, show) if outputs.wants_picture else _undrawn(show)
        for frame in drawn:
            writing = True
            outputs.write(frame)
            writing = False
            frames += 1
            progress(frames)
    except ShowOver:
        frames += 1
    except BaseException as error:
        _close_quietly(outputs)
        if isinstance(error, Exception) and frames and not writing:
            undo()
        raise
    finally:
        source.close()
    outputs.close()
    return frames


def _show(
    avatar: Singer,
    source: Source | MotionSource,
    with_sound: bool,
    stopped: Callable[[], bool],
) -> Iterator[tuple[Motion, Sound | None]]:
    if isinstance(source, Source):
        yield from sing(avatar, source, with_sound=with_sound, stopped=stopped)
        return
    while not stopped() and (motion := source.read()) is not None:
        yield motion, None


def _undrawn(show: Iterator[tuple[Motion, Sound | None]]) -> Iterator[Frame]:
    for motion, sound in show:
        yield Frame(motion, None, sound)


def _drawn(
    avatar: Singer, drawing: DrawingProcess | None, show: Iterator[tuple[Motion, Sound | None]]
) -> Iterator[Frame]:
    """Every frame with its picture, in order; with a drawing process, SLOTS are under way."""
    if drawing is None:
        for motion, sound in show:
            yield Frame(motion, avatar.draw(motion), sound)
        return
    under_way: deque[tuple[Motion, Sound | None]] = deque()
    for motion, sound in show:
        if len(under_way) == SLOTS:
            yield _finished(drawing, *under_way.popleft())
        drawing.begin(motion)
        under_way.append((motion, sound))
    while under_way:
        yield _finished(drawing, *under_way.popleft())


def _finished(drawing: DrawingProcess, motion: Motion, sound: Sound | None) -> Frame:
    return Frame(motion, drawing.finish(), sound)


def _close_quietly(outputs: Outputs) -> None:
    """Close on the way out of a failure, which is what the user should read about."""
    try:
        outputs.close()
    except Exception as error:  # the failure on its way is the reason to tell
        log.debug("closing after a failure: %s", error)


# ---- live ---------------------------------------------------------------------------------------


class Warmth(NamedTuple):
    """What the warm-up found: seconds of hearing per frame, of drawing per picture, and a first
    picture to show (frame -1, the resting face), if pictures are wanted."""

    hear_s: float
    draw_s: float
    first: Picture | None


def warm_up(
    avatar: Singer,
    *,
    channels: int | None,
    pictures: bool,
    now: Callable[[], float] = time.monotonic,
) -> Warmth:
    """Run both paths until they are compiled and cached, and time them.

    channels: of the sound that will be heard; None when none will be (a motion file).
    """
    hear_s, draw_s, first = 0.0, 0.0, None
    if channels is not None:
        state = avatar.initial_state()
        began = now()
        for hop in range(HOP_RATE):
            if hop == HOP_RATE // 2:
                began = now()
            _, state = avatar.hear(Sound(np.zeros((channels, HOP), np.float32), hop * HOP), state)
        hear_s = (now() - began) * 2 / FRAME_RATE
    if pictures:
        times = []
        for _ in range(WARM_PICTURES):
            began = now()
            first = avatar.draw(neutral(-1))
            times.append(now() - began)
        draw_s = sorted(times)[WARM_PICTURES // 2]
    return Warmth(hear_s, draw_s, first)


def delay_of(
    config: LiveConfig, lookahead: int, warmth: Warmth, *, with_sound: bool = True
) -> float:
    """Seconds from sample 1,600·n entering to tick n: one constant for pictures and sound.

    With sound it is at least what a whole frame of it takes to come (lookahead 0 asks for less).
    """
    least, most = MARGIN
    slack = config.slack_ms / 1000
    margin = min(max(slack + 1.5 * (warmth.hear_s + warmth.draw_s), least), most)
    if config.margin_ms is not None:
        margin = config.margin_ms / 1000
    whole = 1 / FRAME_RATE + REGULAR if with_sound else 0.0
    return max(lookahead / FRAME_RATE + margin, whole)


def run_live(
    avatar: Singer,
    source: Source | MotionSource,
    sinks: Sequence[Sink],
    config: LiveConfig | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    status: Callable[[str], None] = lambda line: None,
    warmth: Warmth | None = None,
    draw_small: Callable[[Motion], Picture] | None = None,
    watch: Callable[[LiveLine], None] = lambda line: None,
    alone: bool = True,
    director: Director | None = None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Stats:
    """Run a live show to its end, or until `stopped()`; return what happened.

    A source that answers at once is played at the pace of the clock. `status` gets one line a
    second. `warmth`: from a `warm_up` made already. `watch` gets the line before it starts,
    to look at its stats from elsewhere. `alone`: no other show runs in this process, so the garbage
    collector may stop it for a moment now rather than later. `director`: what is asked for from
    outside meanwhile. The sinks are written from the calling
    thread, 30 times a second; one that fails is left out, while there are others. Source and sinks
    are closed in any case. Raises UserError as source and sinks do, and WorkerError.
    """
    config = config or LiveConfig()
    outputs = Outputs(sinks, forgiving=True)
    try:
        channels = channels_of(source) if isinstance(source, Source) else None
        warmth = warmth or warm_up(
            avatar, channels=channels, pictures=outputs.wants_picture, now=now
        )
        lookahead = avatar.config.lookahead if channels else 0
        with_sound = outputs.wants_sound and channels is not None
        delay = delay_of(config, lookahead, warmth, with_sound=with_sound)
        line = LiveLine(
            avatar,
            Pacer(delay, now=now, sleep=sleep),
            config=config,
            first=warmth.first,
            channels=channels or 1,
            with_sound=with_sound,
            now=now,
            draw_small=draw_small,
            director=director,
        )
        watch(line)
        for sink in sinks:
            if isinstance(sink, Follower):
                sink.follow(line.sound, line.pacer)
            if isinstance(sink, Switchable) and director is not None:
                director.cameras.append(sink)
        with _garbage_kept() if alone else nullcontext():
            _Crew(line, source, outputs, stopped, status, now, sleep).run()
    except BaseException:
        _close_quietly(outputs)
        raise
    finally:
        source.close()
    outputs.close()
    return line.stats


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """What is loaded by now stays; it is not searched while the show runs."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Crew:
    """The threads of a live show. The first that fails ends it, and its reason is raised."""

    def __init__(
        self,
        line: LiveLine,
        source: Source | MotionSource,
        outputs: Outputs,
        stopped: Callable[[], bool],
        status: Callable[[str], None],
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._line, self._source, self._outputs = line, source, outputs
        self._stopped, self._status, self._now, self._sleep = stopped, status, now, sleep
        self._over = threading.Event()
        self._failure: tuple[str, BaseException] | None = None

    def run(self) -> None:
        """Start everyone, tick until the end, let everyone go home."""
        threads = [self._thread("hearing", self._hear), self._thread("drawing", self._draw)]
        if isinstance(self._source, Source):
            threads.append(self._thread("reading", self._read))
            self._line.pacer.start(self._now())
        else:
            threads.append(self._thread("reading", self._play_back))
            self._line.pacer.free(self._now())
        try:
            for thread in threads:
                thread.start()
            self._tick()
        except ShowOver:
            pass
        finally:
            self._over.set()
            self._line.close()
            for thread in threads:
                thread.join(JOIN)
        self._raise_failure()

    def _tick(self) -> None:
        said = self._now()
        while not self._line.done:
            tick = self._line.pacer.wait(lambda: self._over.is_set() or self._stopped())
            if tick is None:
                return
            t = self._now()
            for frame in self._line.on_tick(tick, t):
                self._outputs.write(frame)
            if t - said >= STATUS_EVERY:
                said = t
                self._line.stats.drift = getattr(self._source, "drift", None)
                self._status(self._line.stats.status_line())

    def _hear(self) -> None:
        while not self._over.is_set():
            sound = self._line.next_to_hear(LOOK)
            if sound is not None:
                self._line.hear(sound)

    def _draw(self) -> None:
        while not self._over.is_set():
            motion = self._line.next_to_draw(LOOK)
            if motion is not None and self._outputs.wants_picture:
                self._line.draw(motion)

    def _read(self) -> None:
        assert isinstance(self._source, Source)
        tail = Tail(self._source, self._line.avatar.config.lookahead, self._sleep)
        source = tail if tail.realtime else Paced(tail, now=self._now, sleep=self._sleep)
        if tail.realtime:
            self._drop_backlog(tail)
        while not self._over.is_set():
            sound = source.read()
            if tail.ended and self._line.frames is None:
                self._line.on_end()
            if sound is None:
                return
            if tail.ended:
                self._line.on_silence(sound)
            else:
                self._line.on_sound(self._now(), sound)

    def _drop_backlog(self, source: Tail) -> None:
        """Forget what a device recorded while everything was loaded: it answers without waiting."""
        waits = 0
        for _ in range(MOST_BACKLOG):
            began = self._now()
            sound = source.read()
            if sound is None or not sound.samples.shape[1]:
                return
            waits += self._now() - began > WAITED * sound.samples.shape[1] / SAMPLE_RATE
            if waits == 2:  # one may have been this machine's hiccup
                return

    def _play_back(self) -> None:
        frames = 0
        while not self._over.is_set():
            if frames > self._line.next_frame + 2:
                self._sleep(1 / FRAME_RATE / 4)
                continue
            motion = self._source.read()
            if motion is None:
                self._line.on_end(frames)
                return
            assert isinstance(motion, Motion)
            self._line.on_motion(motion)
            frames = motion.frame + 1

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # raised again by the main thread
                if self._failure is None and not self._over.is_set():
                    self._failure = (name, error)
                self._over.set()

        return threading.Thread(target=guarded, name=f"cantar {name}", daemon=True)

    def _raise_failure(self) -> None:
        if self._failure is None:
            return
        name, error = self._failure
        if isinstance(error, UserError):
            raise error
        raise WorkerError(f"{name} stopped: {type(error).__name__}: {error}") from error
