"""Many shows, one after the other and at once: nothing is left behind, and one too many is told so.

The second peer is aiortc's own, in this process; the server runs in another, so that its memory is
its own.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientError, ClientSession

from engine.timeline import SAMPLE_RATE
from streaming.live import Warmth
from streaming.sessions import COLD, ENCODE_S, SHARE, measured_capacity
from tests.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ("frames", "skipped_frames")
POOL = 4  # threads by which asyncio's pool may still grow
SMALL = ("renderer.width=128", "renderer.height=128", "live.margin_ms=120", "web.drain_s=0")


@contextmanager
def program(*settings: str, asked_already: bool = False) -> Iterator[tuple[str, int]]:
    """`run_live.py --serve`: where it is, and its process id. It ends well, and is asked to by the
    end of the block unless that has happened."""
    sets = [word for value in settings for word in ("--set", value)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_live.py"), "--serve", "0", *sets],
        stdout=subprocess.PIPE, text=True,
        env={k: v for k, v in os.environ.items() if "DISPLAY" not in k},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://[^ ]+", process.stdout.readline())
        assert found is not None
        yield found[0], process.pid
    finally:
        if not asked_already:
            process.terminate()
        assert process.wait(30) == 0


class Possessions:
    """What a process holds: files and sockets, threads, children; resident memory in bytes."""

    def __init__(self, pid: int) -> None:
        proc = Path(f"/proc/{pid}")
        self.files = len(list((proc / "fd").iterdir()))
        self.threads = len(list((proc / "task").iterdir()))
        self.children = sum(len(x.read_text().split()) for x in proc.glob("task/*/children"))
        pages = int((proc / "statm").read_text().split()[1])
        self.memory = pages * os.sysconf("SC_PAGE_SIZE")


async def visit(client: ClientSession, turn: int) -> None:
    """A show of a third of a second, ended in one of three ways."""
    song = np.zeros((2, SAMPLE_RATE), np.float32) if turn % 2 else None
    visitor = Visitor(client, song)
    status, answer = await visitor.ask(input="microphone" if turn % 2 else "demo")
    assert status == 201, answer
    await visitor.seen(8)
    if turn % 3 == 0:
        async with client.delete(f"/sessions/{visitor.session}") as response:
            assert response.status == 204
    elif turn % 3 == 1:
        visitor.channel.send('{"bye": true}')
    else:
        await visitor.leave()
        async with client.delete(f"/sessions/{visitor.session}") as response:
            assert response.status == 204
    await visitor.leave()
    await emptied(client)


async def ready(client: ClientSession) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status != 200:
            await asyncio.sleep(0.05)


async def emptied(client: ClientSession) -> None:
    async with asyncio.timeout(10):
        while (await (await client.get("/config")).json())["sessions"]:
            await asyncio.sleep(0.02)


async def after(url: str, pid: int, visits: int) -> Possessions:
    """What the server holds when so many have come and gone."""
    async with ClientSession(url) as client:
        await ready(client)
        for turn in range(visits):
            await visit(client, turn)
    await asyncio.sleep(0.3)  # its sockets are told to close; the system takes its time
    return Possessions(pid)


def test_shows_leave_no_thread_socket_or_child_behind() -> None:
    """One a show would be eight."""
    with program("web.sessions=1", *SMALL) as (url, pid):
        before, later = asyncio.run(after(url, pid, 3)), asyncio.run(after(url, pid, 8))
    assert later.files <= before.files + 2
    assert later.threads <= before.threads + POOL
    assert later.children == before.children


@pytest.mark.slow
def test_fifty_shows_leave_no_memory_behind() -> None:
    """Memory is back within 5 % once the allocator has seen every kind of show."""
    with program("web.sessions=1", "web.offers_per_minute=1000", *SMALL) as (url, pid):
        before, later = asyncio.run(after(url, pid, 12)), asyncio.run(after(url, pid, 50))
    print(f"{before.memory >> 20} MB, then {later.memory >> 20} MB")
    assert later.files <= before.files + 2
    assert later.threads <= before.threads + POOL
    assert later.memory <= 1.05 * before.memory


def test_a_server_that_is_asked_to_stop_lets_its_show_go_on_for_a_while() -> None:
    """SIGTERM: the page is told, its pictures go on for `drain_s`, nobody else is let in."""

    async def scenario(url: str, pid: int) -> None:
        async with ClientSession(url) as client:
            await ready(client)
            visitor = Visitor(client)
            assert (await visitor.ask(input="demo"))[0] == 201
            await visitor.seen(5)
            os.kill(pid, signal.SIGTERM)
            async with asyncio.timeout(10):
                while "closing" not in {message["type"] for message in visitor.messages}:
                    await asyncio.sleep(0.02)
            await visitor.seen(len(visitor.pictures) + 10)
            with pytest.raises(ClientError):
                await client.get("/readyz")
            await visitor.leave()

    with program("web.sessions=1", *SMALL, "web.drain_s=3", asked_already=True) as (url, pid):
        asyncio.run(asyncio.wait_for(scenario(url, pid), 120))


# ---- admission ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hear_ms", "draw_ms", "cores", "shows"),
    [(4, 6, 2, 2), (4, 22, 2, 1), (4, 6, 16, 19), (90, 90, 2, 1)],
)
def test_the_machine_is_asked_how_many_shows_it_holds(hear_ms, draw_ms, cores, shows) -> None:
    warmth = Warmth(hear_ms / 1000, draw_ms / 1000, None)
    assert measured_capacity(warmth, cores) == shows
    per_show = COLD * (hear_ms + draw_ms) / 1000 + ENCODE_S
    assert shows == 1 or shows * per_show * 30 <= SHARE * cores


def test_two_sing_and_the_third_is_told_when_to_ask_again() -> None:
    async def scenario(url: str) -> None:
        async with ClientSession(url) as client:
            await ready(client)
            pair = [Visitor(client), Visitor(client)]
            for visitor in pair:
                assert (await visitor.ask(input="demo"))[0] == 201
            third = Visitor(client)
            status, answer = await third.ask(input="demo")
            assert (status, answer["error"]) == (503, "all 2 places are taken")
            async with client.get("/readyz") as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) > 0
            for visitor in [*pair, third]:
                await visitor.seen(15 if visitor is not third else 0)
                await visitor.leave()

    with program("web.sessions=2", *SMALL) as (url, _):
        asyncio.run(asyncio.wait_for(scenario(url), 120))


@pytest.mark.slow
def test_as_many_shows_as_are_let_in_do_not_stutter() -> None:
    """Puppets of 512 × 512, half a minute, on a quiet machine. Counted is what was drawn: pictures
    are sent at an even pace also where the one before is shown again."""

    async def counted(client: ClientSession) -> tuple[float, float]:
        async with client.get("/metrics") as response:
            told = dict(re.findall(r"^(cantar_\w+) ([\d.]+)$", await response.text(), re.M))
        frames, skipped = (float(told[f"cantar_{name}_total"]) for name in FRAMES)
        return frames, frames - skipped

    async def scenario(url: str) -> tuple[int, float, list[float]]:
        async with ClientSession(url) as client:
            await ready(client)
            async with client.get("/config") as response:
                places = (await response.json())["capacity"]
            visitors = [Visitor(client) for _ in range(places)]
            for visitor in visitors:
                visitor.keep = False
                assert (await visitor.ask(input="demo"))[0] == 201
            assert (await Visitor(client).ask(input="demo"))[0] == 503
            for visitor in visitors:
                await visitor.seen(300)  # ten seconds: beginnings are heavy
            seen = [len(visitor.pictures) for visitor in visitors]
            due, drawn = await counted(client)
            await asyncio.sleep(20)
            after = await counted(client)
            rates = [(len(v.pictures) - n) / 20 for v, n in zip(visitors, seen, strict=True)]
            for visitor in visitors:
                await visitor.leave()
            return places, (after[1] - drawn) / (after[0] - due), rates

    with program("renderer.name=puppet", "web.drain_s=0") as (url, _):
        places, drawn, rates = asyncio.run(asyncio.wait_for(scenario(url), 150))
    print(f"{places} shows: {drawn:.2%} of their pictures drawn, {rates} a second received")
    assert min(rates) >= 29.5, rates
    assert drawn >= 29.5 / 30
