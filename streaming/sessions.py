"""Shows for browsers: how each one runs and ends, and how many fit on this machine.

A Session is one live line with its threads; its Peer may leave and come back. All of Sessions runs
in the event loop, and whatever takes time (loading, joining threads) in its executor.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.timeline import FRAME_RATE
from streaming.answers import Refused
from streaming.casts import Cast, Performer, Wings, prepare
from streaming.control import direct
from streaming.director import Director
from streaming.drawing import DrawingEnded
from streaming.line import LiveLine, ShowConfig
from streaming.live import Warmth, WorkerError, run_live
from streaming.ports import Source, UserError
from streaming.stats import RECENT
from streaming.studio import Studio
from streaming.webrtc import MOST_DELAY_MS, Incoming, Outgoing, Peer, check_offer
from streaming.wish import Wish

log = logging.getLogger("cantar")

SHARE = 0.85  # of the cores that shows may take
COLD = 1.35  # times as long as in a row a call takes in a show, whose pauses empty the caches
ENCODE_S = 0.010  # s of a core per frame for pictures and sound on their way, measured at 512²
CONNECT_S = 20.0  # a page that has not connected by then is gone
RESUME_S = 20.0  # how long a show waits for a page whose connection broke
QUIET_S = 5.0  # without a single packet from a page, it counts as gone; ICE notices after 30
STOP_S = 10.0  # that a show may take to end
TIDY_S = 0.2  # after a show's end
LEVELS_EVERY = 0.1  # s
REAP_EVERY = 10  # levels
LEAST_FPS = 28.5  # of a running show; below it nobody else is let in


# ---- one show -----------------------------------------------------------------------------------


class Session:
    """One show for one page. The thread runs from `start` until the source ends or `stop`.

    failure: why it ended by itself, in words; None while it runs or when all was well.
    """

    def __init__(
        self,
        cast: Cast,
        source: Source,
        incoming: Incoming | None,
        outgoing: Outgoing,
        *,
        on_over: Callable[[Session], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.performer = Performer(cast)
        self.director = Director(self.performer.wear)
        self.incoming, self.outgoing = incoming, outgoing
        self.peer: Peer | None = None
        self.line: LiveLine | None = None
        self.failure: str | None = None
        self.began = now()
        self.alone_since: float | None = now()  # since when nobody is connected
        self.wished: Wish | None = None  # the newest change that was asked for
        self.changing = asyncio.Lock()
        self._received, self._received_at = 0, now()
        self._source, self._on_over, self._now = source, on_over, now
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to sing; once."""
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="cantar show", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            run_live(
                self.performer,
                self._source,
                [self.outgoing],
                self.performer.config.live,
                stopped=self._stopping.is_set,
                warmth=self.performer.cast.warmth,
                draw_small=self.performer.draw_small,
                watch=functools.partial(setattr, self, "line"),
                alone=False,
                director=self.director,
            )
        except (UserError, WorkerError, DrawingEnded) as error:
            self.failure = str(error)
            log.warning("a show ended: %s", error)
        except Exception:  # a bug: the thread ends here, so this is where the log hears of it
            self.failure = "the show ended unexpectedly"
            log.exception("a show ended")
        finally:
            self._on_over(self)

    def noticed(self, received: int) -> None:
        """The page has sent so many bytes so far: when they stop, nobody is there."""
        now = self._now()
        if received != self._received:
            self._received, self._received_at = received, now
            self.alone_since = None
        elif self.alone_since is None and now - self._received_at > QUIET_S:
            self.alone_since = self._received_at

    def stop(self) -> bool:
        """End it and wait until it is over, for at most STOP_S; whether it is."""
        self._stopping.set()
        if self.incoming is not None:
            self.incoming.close()  # wakes its reader; any other source is closed by the show
        if self._thread is not None:
            self._thread.join(STOP_S)
        else:
            self._source.close()
        return not self.running

    def levels(self) -> dict[str, Any]:
        """For the meters, ten times a second."""
        performer = self.performer
        frame = self.line.next_frame if self.line else 0
        return {
            "type": "levels",
            "frame": frame,
            "voice": round(performer.voice, 3),
            "backing": round(performer.backing, 3),
        }

    def measures(self, round_trip_s: float | None) -> dict[str, Any]:
        """For the latency panel, in milliseconds; all of it measured."""
        line, peer = self.line, self.peer
        if line is None or peer is None:
            return {"type": "measures"}
        stats = line.stats
        return {
            "type": "measures",
            "lookahead": 1000 * self.performer.config.lookahead / FRAME_RATE,
            "delay": 1000 * line.pacer.delay,
            "hear": stats.hear.percentile(50),
            "draw": stats.draw.percentile(50),
            "late": stats.lateness.percentile(50),
            "late95": stats.lateness.percentile(95),
            "convert": 1000 * self.outgoing.convert_s,
            "fps": stats.fps,
            "frames": stats.frames,
            "skipped": stats.skipped,
            "gaps": stats.gaps,
            "level": stats.level,
            "concealed": self.incoming.concealed if self.incoming else 0,
            "roundTrip": None if round_trip_s is None else 1000 * round_trip_s,
        }

    @property
    def strained(self) -> bool:
        """It already skips pictures."""
        stats = self.line.stats if self.line else None
        if stats is None or stats.frames < RECENT:
            return False
        return stats.level > 0 or stats.fps < LEAST_FPS


# ---- all shows ----------------------------------------------------------------------------------


class Counts:
    """What happened since the start, for /metrics."""

    def __init__(self) -> None:
        self.offered = 0
        self.refused = 0
        self.resumed = 0
        self.failed = 0
        self.frames = 0
        self.skipped = 0


class Sessions:
    """Every show of this process. Only the event loop calls."""

    def __init__(
        self,
        config: ShowConfig,
        *,
        open_song: Callable[[Wish], Source],
        wings: Wings | None = None,
        now: Callable[[], float] = time.monotonic,
        cores: int | None = None,
    ) -> None:
        self.config = config
        self.counts = Counts()
        self.draining = False
        self.capacity = config.web.sessions or 1
        self.direction = Director(lambda style: None)  # what the control room asks of every show
        self._open_song, self._now = open_song, now
        self._wings = wings or Wings(functools.partial(prepare, draws=Studio().drawing))
        self._cores = cores or _cores()
        self._live: dict[str, Session] = {}
        self._coming = 0  # offers that are being answered
        self._ending: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._clockwork: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._live)

    @property
    def live(self) -> list[Session]:
        return list(self._live.values())

    async def open(self) -> None:
        """Load the first cast and measure how many shows this machine holds."""
        cast = await self._in_executor(self._wings.take, self.config)
        self.capacity = self.config.web.sessions or measured_capacity(cast.warmth, self._cores)
        self._wings.put(cast)
        gc.collect()
        gc.freeze()  # what is loaded by now stays: the searches of `_tidy` need not look at it
        self._clockwork = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Let every show end, for at most `drain_s`; then end them."""
        self.draining = True
        for session in self.live:
            if session.peer is not None:
                session.peer.send({"type": "closing", "seconds": self.config.web.drain_s})
        until = self._now() + self.config.web.drain_s
        while self._live and self._now() < until:
            await asyncio.sleep(LEVELS_EVERY)
        if self._clockwork is not None:
            self._clockwork.cancel()
        await asyncio.gather(*(self.end(session.id) for session in self.live))
        await asyncio.gather(*self._ending, *self._leaving)
        await self._in_executor(self._wings.close)
        self._clockwork = None  # aiohttp remembers a server for good, and the task remembers shows
        gc.unfreeze()

    def direct(self, request: dict[str, Any]) -> None:
        """Ask every show, and those to come, for something. Raises BadRequest."""
        direct([self.direction, *(session.director for session in self.live)], request)

    async def offer(self, sdp: str, wish: Wish) -> tuple[Session, str]:
        """A new show and the answer to its page. Raises Refused, BadOffer, UserError."""
        check_offer(sdp, pictures=not wish.motion)
        self._admit()
        self._coming += 1
        try:
            session = await self._session(wish)
        finally:
            self._coming -= 1
        self._live[session.id] = session
        if self.draining:  # since it came
            await self.end(session.id)
            self._admit()
        self.counts.offered += 1
        try:
            return session, await self._answer(session, sdp)
        except BaseException:
            await self.end(session.id)
            raise

    async def resume(self, id: str, sdp: str) -> tuple[Session, str]:
        """The show goes on for a page that lost its connection."""
        session = self._live.get(id)
        if session is None:
            raise Refused(404, "that show is over")
        before, session.peer = session.peer, None
        if before is not None:
            await before.close()
        self.counts.resumed += 1
        return session, await self._answer(session, sdp)

    async def change(self, id: str, wish: Wish) -> None:
        """Another avatar, style or background, while the show goes on."""
        session = self._live.get(id)
        if session is None:
            raise Refused(404, "that show is over")
        wish = replace(wish, motion=not session.outgoing.wants_picture)  # as it began
        session.wished = wish
        async with session.changing:
            if session.wished is not wish:  # a newer wish has come while the last one was loading
                return
            cast = await self._take(wish)
            over = self._live.get(id) is not session  # it ended while this one was loading
            free = cast if over else session.performer.change(cast)
            await self._in_executor(self._wings.put, free)

    async def end(self, id: str) -> bool:
        """End a show; False if there is none of this id."""
        session = self._live.pop(id, None)
        if session is None:
            return False
        leaving = asyncio.ensure_future(self._leave(session))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.shield(leaving)
        return True

    async def _leave(self, session: Session) -> None:
        if session.peer is not None:
            await session.peer.close()
        over = await self._in_executor(session.stop)
        if session.line is not None:
            self.counts.frames += session.line.stats.frames
            self.counts.skipped += session.line.stats.skipped
        self.counts.failed += session.failure is not None
        free = self._wings.put if over else Wings.dismiss  # who still sings sings for nobody else
        await self._in_executor(free, session.performer.leave())
        asyncio.get_running_loop().call_later(TIDY_S, _tidy)

    def _admit(self) -> None:
        """Raise Refused when there is no room for another show."""
        taken = len(self._live) + self._coming
        if self.draining:
            reason = "the server is about to stop"
        elif taken >= self.capacity:
            reason = f"all {self.capacity} places are taken"
        elif self.config.web.sessions is None and any(s.strained for s in self.live):
            reason = "the shows that run now need the whole machine"
        else:
            return
        self.counts.refused += 1
        raise Refused(503, reason, retry_after=30)

    async def _session(self, wish: Wish) -> Session:
        loop = asyncio.get_running_loop()
        if self._leaving:  # their singer may be ours in a moment: quicker than to load another
            await asyncio.wait(set(self._leaving))
        source: Source
        if wish.input in ("microphone", "karaoke"):
            source = Incoming(karaoke=wish.input == "karaoke")
        else:
            source = await self._in_executor(self._open_song, wish)
        try:
            cast = await self._take(wish)
        except BaseException:
            source.close()
            raise
        incoming = source if isinstance(source, Incoming) else None
        outgoing = Outgoing(
            loop, self.config.web.sound_kbps, matte=wish.matte, pictures=not wish.motion
        )

        def over(session: Session) -> None:
            loop.call_soon_threadsafe(self._over, session)

        session = Session(cast, source, incoming, outgoing, on_over=over, now=self._now)
        direct([session.director], {**self.direction.asked(), "seconds": 0})
        return session

    async def _take(self, wish: Wish) -> Cast:
        """Who sings this wish. Goes back to the wings when nobody waits for it any more."""
        loading = asyncio.ensure_future(self._in_executor(self._wings.take, wish.of(self.config)))
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            loading.add_done_callback(self._unwanted)
            raise

    def _unwanted(self, loading: asyncio.Future[Cast]) -> None:
        if not loading.cancelled() and loading.exception() is None:
            self._wings.put(loading.result())

    async def _answer(self, session: Session, sdp: str) -> str:
        peer = Peer(
            self.config.web,
            session.incoming,
            session.outgoing,
            on_change=functools.partial(self._peer_changed, session),
            on_message=functools.partial(self._told, session),
        )
        session.peer = peer
        answer = await peer.answer(sdp)
        over = self._live.get(session.id) is not session
        if over or session.peer is not peer:  # meanwhile
            await peer.close()
            raise Refused(404, "that show is over") if over else Refused(409, "another page has it")
        return answer

    def _peer_changed(self, session: Session, peer: Peer) -> None:
        if peer is not session.peer:
            return
        if peer.state == "connected":
            session.alone_since = None
            session.start()
        elif session.alone_since is None:
            session.alone_since = self._now()

    def _told(self, session: Session, message: dict[str, Any]) -> None:
        """The page moved a slider, or says goodbye."""
        delay = message.get("avDelay")
        if isinstance(delay, (int, float)) and abs(delay) <= MOST_DELAY_MS:
            session.outgoing.offset.ask(float(delay))
        if message.get("bye") is True:
            self._end_soon(session)

    def _over(self, session: Session) -> None:
        """A show ended by itself: say so, and hang up a little later."""
        if session.id not in self._live:
            return
        if session.peer is not None:
            session.peer.send({"type": "over", "failure": session.failure})
        self._end_soon(session, after=1.0)

    def _end_soon(self, session: Session, after: float = 0.0) -> None:
        async def end() -> None:
            await asyncio.sleep(after)
            await self.end(session.id)

        task = asyncio.ensure_future(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _watch(self) -> None:
        """Tell pages what is heard and measured; end what nobody looks at."""
        count = 0
        while True:
            await asyncio.sleep(LEVELS_EVERY)
            count += 1
            await self._look(examine=count % REAP_EVERY == 0)

    async def _look(self, *, examine: bool) -> None:
        """One look at every show; `_watch` itself would remember the last one for good."""
        for session in self.live:
            if session.peer is None:
                continue
            try:
                session.peer.send(session.levels())
                if examine:
                    await self._examine(session, session.peer)
            except Exception:  # one bad connection: the others must go on being watched
                log.exception("a connection cannot be watched; its show ends")
                self._end_soon(session)

    async def _examine(self, session: Session, peer: Peer) -> None:
        """Once a second: is the page there, what does its panel show, has the show to end?"""
        received, round_trip = await peer.vitals()
        if peer.state == "connected":
            session.noticed(received)
        peer.send(session.measures(round_trip))
        if (reason := self.overdue(session)) is not None:
            peer.send({"type": "over", "failure": reason})
            self._end_soon(session, after=0.2)

    def overdue(self, session: Session) -> str | None:
        """Why a session has to end now, in words; None when it may go on."""
        now, web = self._now(), self.config.web
        if now - session.began > web.longest_s:
            return f"a show lasts at most {web.longest_s / 60:.0f} minutes"
        patience = RESUME_S if session.line is not None else CONNECT_S
        if session.alone_since is not None and now - session.alone_since > patience:
            return "the connection was lost"
        if session.incoming is not None and now - session.incoming.last > web.idle_s:
            return f"no sound came for {web.idle_s:.0f} seconds"
        return None

    async def _in_executor(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _tidy() -> None:
    """Connections are circles of references with coders in them, megabytes and threads of their
    own; left to itself, Python would keep a dozen. A few milliseconds."""
    gc.collect()


def _cores() -> int:
    """Those that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measured_capacity(warmth: Warmth, cores: int) -> int:
    """How many shows `cores` hold, from what one frame takes; at least one."""
    per_frame = COLD * (warmth.hear_s + warmth.draw_s) + ENCODE_S
    return max(1, int(SHARE * cores / (per_frame * FRAME_RATE)))
