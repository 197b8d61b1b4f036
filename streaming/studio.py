"""Drawing for many sessions in one process, which runs their networks in batches on a GPU.

              door: configuration, pipe, memory of each session
    sessions ──────────────────────────────────────────────────▶ child: a thread for each session,
        motion ─▶ its pipe ─▶ guidance ─▶ Batched network ─▶ its places in memory ─▶ picture

Every session keeps a pipe and a memory of its own, as if it had the process for itself: what one
waits for, fails at or leaves behind is no matter of the others'. Guidance is drawn by as many
threads as there are sessions, and lets go of the interpreter meanwhile. The process ends with its
last session.
"""

from __future__ import annotations

import atexit
import logging
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle

from engine.avatar import AvatarConfig, Renderer
from kernels.graphs import BackendUnavailable
from streaming.batching import may_share, open_batched
from streaming.drawing import (
    SPAWN,
    Drawing,
    DrawingEnded,
    DrawingProcess,
    bytes_of_places,
    deaf_to_signals,
    draw_what_comes,
    ending_of,
    places_in,
)

log = logging.getLogger("cantar")

Opens = Callable[[AvatarConfig], Renderer]


class Studio:
    """Where a server has its pictures drawn: in one process for all sessions where their networks
    take several at once (on a GPU), else in one for each. Thread-safe."""

    def __init__(self, opens: Opens = open_batched) -> None:
        """opens: opens the renderers that share; a function that can be imported by name."""
        self._opens = opens
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def drawing(self, config: AvatarConfig) -> Drawing:
        """Who draws for a session; its renderer opens meanwhile. Raises what finding its identity
        raises; with the backend `auto`, waits for the renderer and raises what opening it raises.
        """
        if not may_share(config) or not hasattr(os, "memfd_create"):
            return DrawingProcess(config)
        drawing = self.shared(config)
        if config.renderer.backend == "auto" and not _can_share(drawing):
            return DrawingProcess(config)
        return drawing

    def shared(self, config: AvatarConfig) -> SharedDrawing:
        """A session's place in the shared process, which is started where there is none.
        Raises DrawingEnded when that ends meanwhile."""
        with self._lock:
            if self._child is None or not self._child.admits():
                self._child = _Child(self._opens)
            child = self._child
        try:
            return SharedDrawing(child, config)
        except BaseException:
            child.leave()
            raise


def _can_share(drawing: SharedDrawing) -> bool:
    """Whether its renderer opens. Where there is no GPU for it after all, it is closed."""
    try:
        drawing.ready()
    except BackendUnavailable as reason:
        log.info("each session has a process that draws for it alone: %s", reason)
        drawing.close()
        return False
    except BaseException:
        drawing.close()
        raise
    return True


class SharedDrawing(Drawing):
    """A session's place in a process that draws for several.

    cpu_s: of its own thread there, with the batches that it ran for all.
    """

    def __init__(self, child: _Child, config: AvatarConfig) -> None:
        """child: has admitted it. Raises DrawingEnded."""
        self._child, self._closed = child, False
        size = bytes_of_places(config)
        memory = os.memfd_create("cantar pictures")
        try:
            os.ftruncate(memory, size)
            places = places_in(mmap.mmap(memory, size))
            ours, theirs = SPAWN.Pipe()
            with theirs:  # closed here, so that our end says when the child's is gone
                child.seat(config, theirs, memory)
        except (BrokenPipeError, ConnectionResetError):
            raise DrawingEnded(f"the drawing process {child.how_it_ended()}") from None
        finally:
            os.close(memory)
        super().__init__(ours, places)

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return not self._closed and self._child.alive

    def close(self) -> None:
        """Leave the process; the last one ends it. Safe to call twice."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        with socket.fromfd(self._pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as ours:
            ours.shutdown(socket.SHUT_RDWR)  # wakes who waits for a picture; `close` does not
        self._pipe.close()
        self._child.leave()

    def _how_it_ended(self) -> str:
        return "was closed" if self._closed else self._child.how_it_ended()


class _Child:
    """The process, and how many it draws for. Thread-safe."""

    def __init__(self, opens: Opens) -> None:
        """Start it, for one who is admitted with that."""
        self._lock = threading.Lock()  # two who ask at once how a process ended confuse the system
        self._seats = 1
        self._door, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=_receive, args=(theirs, opens), name="cantar studio", daemon=True
        )
        with deaf_to_signals():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def alive(self) -> bool:
        with self._lock:
            return self._process.is_alive()

    def admits(self) -> bool:
        """Whether there is room for one more, who has to `leave` then: as long as it runs."""
        with self._lock:
            alive = self._process.is_alive()
            self._seats += alive
            return alive

    def seat(self, config: AvatarConfig, pipe: Connection, memory: int) -> None:
        """Have it draw what comes through a pipe into a memory, a file descriptor."""
        with self._lock:
            self._door.send(config)
            for handle in (pipe.fileno(), memory):
                send_handle(self._door, handle, self.pid)

    def leave(self) -> None:
        """One less; the process ends with the last."""
        with self._lock:
            self._seats -= 1
            if self._seats == 0:
                self._process.kill()  # it holds nothing that would have to be finished
                self._process.join()
                self._door.close()

    def how_it_ended(self) -> str:
        with self._lock:
            return ending_of(self._process)


# ---- the child ----------------------------------------------------------------------------------


def _receive(door: Connection, opens: Opens) -> None:
    """A thread for each session that comes, until the parent's end of the door is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):
        while True:
            config = door.recv()
            pipe, memory = Connection(recv_handle(door)), recv_handle(door)
            places = places_in(mmap.mmap(memory, bytes_of_places(config)))
            os.close(memory)
            threading.Thread(
                target=draw_what_comes,
                args=(pipe, places, config, opens, time.thread_time),
                daemon=True,
            ).start()
            del pipe, places  # they are the session's, and go with it
    os._exit(0)  # threads may be in the middle of a picture that nobody wants
