"""Drawing in a process of its own, so that it never holds the interpreter that hearing needs.

motion ─▶ pipe ─▶ child draws ─▶ one of SLOTS places in shared memory ─▶ copy ─▶ picture

A library that paints for 10 ms without letting go of the interpreter would stop hearing for as
long. Here who calls `draw` waits on a pipe, and every other thread runs. No picture is lost: the
caller gets a copy that is its own (0.02 ms at 512²), and a place is used again only after that. The
memory has no name and the child ends with its pipe: whoever dies, and however, leaves nothing
behind. (Many sessions in one such process: `studio.py`.)
"""

from __future__ import annotations

import atexit
import functools
import pickle
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, Self

import numpy as np

from engine.avatar import AvatarConfig, Renderer, open_renderer
from engine.signals import U8, Motion, Picture

SLOTS = 3  # pictures under way: one being drawn, and those that wait for their turn or their reader
CHILD_ENDS = 5.0  # s that a dying child has to say how it ended
SPAWN = get_context("spawn")  # a fork would copy locks that other threads hold


class DrawingEnded(RuntimeError):
    """The drawing process ended, though nobody asked it to."""


class _Drawn(NamedTuple):
    """The child's answer: how big the picture in its place is, and its processor seconds so far."""

    height: int
    width: int
    cpu_s: float


class Drawing(ABC):
    """A `Renderer` whose pictures are drawn by a child process; serves one thread at a time.

    cpu_s: processor seconds that the child has spent on them, as of its last answer.
    """

    def __init__(self, pipe: Connection, places: U8) -> None:
        """pipe: to who draws. places: [SLOTS, bytes of a picture], which both see."""
        self.cpu_s = 0.0
        self._pipe, self._places = pipe, places
        self._opened = False
        self._begun = 0
        self._under_way: deque[tuple[int, int]] = deque()  # frame, place
        atexit.register(self.close)

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The child's process id."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the child runs."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is drawn any more, not even what is under way. Safe to call twice."""

    @abstractmethod
    def _how_it_ended(self) -> str:
        """What there is to say once the pipe is gone."""

    def ready(self) -> None:
        """Wait until the renderer is open. Raises what opening it raised, and DrawingEnded."""
        if not self._opened:
            self._opened = True
            self._answer()

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion: [H, W, 4] uint8. Pure, and bit for bit what the renderer itself draws.

        Raises what drawing raised, with the child's traceback as a note, and DrawingEnded.
        """
        return self._drawn_alone(motion, small=False)

    def draw_small(self, motion: Motion) -> Picture:
        """As `draw`, at half the size; that renderer is opened when it is first asked for."""
        return self._drawn_alone(motion, small=True)

    def begin(self, motion: Motion, *, small: bool = False) -> None:
        """Have a motion drawn, and do something else until `finish`; at most SLOTS are under way.

        Raises what opening the renderer raised, DrawingEnded, and RuntimeError for one too many.
        """
        self.ready()
        if len(self._under_way) == SLOTS:
            raise RuntimeError(f"{SLOTS} pictures are under way; finish one before the next")
        place = self._begun % SLOTS
        with self._telling_how_it_ended():
            self._pipe.send((motion, small, place))
        self._begun += 1
        self._under_way.append((motion.frame, place))

    def finish(self) -> Picture:
        """The picture of the oldest motion begun, as `draw` gives it. Waits for it."""
        frame, place = self._under_way.popleft()
        drawn = self._answer()
        pixels = self._places[place, : drawn.height * drawn.width * 4]
        return Picture(frame, pixels.reshape(drawn.height, drawn.width, 4).copy())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drawn_alone(self, motion: Motion, *, small: bool) -> Picture:
        if self._under_way:
            raise RuntimeError(f"{len(self._under_way)} pictures are under way; finish them first")
        self.begin(motion, small=small)
        return self.finish()

    def _answer(self) -> _Drawn:
        with self._telling_how_it_ended():
            answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        self.cpu_s = answer.cpu_s
        return answer

    @contextmanager
    def _telling_how_it_ended(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise DrawingEnded(f"the drawing process {self._how_it_ended()}") from None


class DrawingProcess(Drawing):
    """A child process that draws for one session alone."""

    def __init__(
        self, config: AvatarConfig, opens: Callable[[AvatarConfig], Renderer] = open_renderer
    ) -> None:
        """Start the child, which opens its renderer meanwhile: see `ready`.

        opens: a function that can be imported by name; its pictures are of the config's size.
        """
        shared = SPAWN.RawArray("B", bytes_of_places(config))
        ours, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=_serve, args=(theirs, shared, config, opens), name="cantar drawing", daemon=True
        )
        with deaf_to_signals():
            self._process.start()
        theirs.close()  # so that our end says when the child's is gone
        super().__init__(ours, places_in(shared))

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def close(self) -> None:
        """End the child, also in the middle of a picture. Safe to call twice."""
        atexit.unregister(self.close)
        if self._pipe.closed:
            return
        self._process.kill()  # it holds nothing that would have to be finished
        self._process.join()
        self._pipe.close()

    def _how_it_ended(self) -> str:
        return "was closed" if self._pipe.closed else ending_of(self._process)


def ending_of(process: SpawnProcess) -> str:
    """How a process ended that has hung up, in words; waits a little until it has."""
    process.join(CHILD_ENDS)
    code = process.exitcode
    if code is None:
        return "hung up"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def bytes_of_places(config: AvatarConfig) -> int:
    """Of the memory that a session's pictures need."""
    return SLOTS * config.renderer.width * config.renderer.height * 4


def places_in(shared: Any) -> U8:
    """Shared memory as [SLOTS, bytes of a picture]."""
    return np.frombuffer(shared, np.uint8).reshape(SLOTS, -1)


@contextmanager
def deaf_to_signals() -> Iterator[None]:
    """A process started here never gets Ctrl-C or SIGTERM, which terminals and service managers
    send to whole groups: the parent alone answers them, and ends its child."""
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows: the child turns a deaf ear itself as soon as it runs
        return
    resource_tracker.ensure_running()  # its start, a part of the first child's, unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- the child ----------------------------------------------------------------------------------


def _serve(
    pipe: Connection,
    shared: Any,
    config: AvatarConfig,
    opens: Callable[[AvatarConfig], Renderer],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    draw_what_comes(pipe, places_in(shared), config, opens, time.process_time)


def draw_what_comes(
    pipe: Connection,
    places: U8,
    config: AvatarConfig,
    opens: Callable[[AvatarConfig], Renderer],
    cpu_s: Callable[[], float],
) -> None:
    """Open the renderer, then draw what comes, until the parent's end of the pipe is gone.

    cpu_s: processor seconds so far.
    """
    renderer = functools.cache(opens)

    def opened() -> _Drawn:
        renderer(config)
        return _Drawn(0, 0, cpu_s())

    def drawn(motion: Motion, small: bool, place: int) -> _Drawn:
        rgba = renderer(_halved(config) if small else config).draw(motion).rgba
        height, width, _ = rgba.shape
        places[place, : rgba.size] = rgba.ravel()
        return _Drawn(height, width, cpu_s())

    with pipe, suppress(EOFError, ConnectionError):
        pipe.send(_outcome(opened))
        while True:
            pipe.send(_outcome(functools.partial(drawn, *pipe.recv())))


def _halved(config: AvatarConfig) -> AvatarConfig:
    half = replace(
        config.renderer, width=config.renderer.width // 2, height=config.renderer.height // 2
    )
    return replace(config, renderer=half)


def _outcome(work: Callable[[], _Drawn]) -> _Drawn | Exception:
    """What the work gave or raised; an exception that cannot travel as itself, as its text."""
    try:
        return work()
    except Exception as error:
        reason = error if _travels(error) else RuntimeError(f"{type(error).__name__}: {error}")
        reason.add_note("In the drawing process:\n" + "".join(traceback.format_exception(error)))
        return reason


def _travels(error: Exception) -> bool:
    """Not when its class is local, or cannot be made again from its arguments."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign class may raise
        return False
    return True
