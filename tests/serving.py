"""The server in a thread of its own, for tests whose client is a browser."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from streaming.casts import Cast, Wings
from streaming.line import ShowConfig
from streaming.live import Warmth
from streaming.server import Address, Server, opened
from tests.fakes import FakeAvatar, FakeDrawing

LOADING_S = 60.0  # that a singer may take to load


class Served(NamedTuple):
    """A server that is ready. Only `url` is for other threads; look at the rest, touch nothing."""

    url: str
    server: Server


def nobody(config: ShowConfig) -> Cast:
    """A cast that loads at once, and does not sing."""
    drawing: Any = FakeDrawing(FakeAvatar())
    avatar: Any = FakeAvatar()
    return Cast(config, avatar, drawing, Warmth(0.001, 0.001, None))


@contextmanager
def serving(
    config: ShowConfig, wings: Wings | None = None, token: str | None = None
) -> Iterator[Served]:
    """Serve on a free port of loopback until the block ends."""
    found: list[Served] = []
    there = threading.Event()
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with opened(config, Address(port=0, token=token), wings) as (server, address):
            await asyncio.wait_for(server.opened.wait(), LOADING_S)
            found.append(Served(address.url, server))
            ends.append(functools.partial(loop.call_soon_threadsafe, over.set))
            there.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert there.wait(LOADING_S), "the server did not come up"
        yield found[0]
    finally:
        for end in ends:
            end()
        thread.join(30)
