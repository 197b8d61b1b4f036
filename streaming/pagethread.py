"""Pages of a show from the command line, served from a thread of their own beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from aiohttp import web

STARTS_S = 5.0  # that opening the port may take
ENDS_S = 1.0  # that open connections may take to end


class PageThread:
    """Serves an application until `close`.

    url: where it is. loop: what its handlers run in.
    """

    def __init__(self, make: Callable[[], web.Application], host: str, port: int) -> None:
        """make: called in the loop. Raises OSError when the port is taken, or nothing starts."""
        self.loop = asyncio.new_event_loop()
        self._make, self._place = make, (host, port)
        self._started, self._over = threading.Event(), asyncio.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="cantar pages", daemon=True)
        self._thread.start()
        if not self._started.wait(STARTS_S):
            raise TimeoutError(None, "it does not start")
        if self._failure is not None:
            raise self._failure
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.port}"

    def close(self) -> None:
        """Stop serving. Safe to call twice."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        runner = web.AppRunner(self._make(), access_log=None, shutdown_timeout=ENDS_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._place).start()
            self.port: int = runner.addresses[0][1]
            self._started.set()
            await self._over.wait()
        except OSError as error:
            self._failure = error
            self._started.set()
        finally:
            await runner.cleanup()
