"""The stage of a show from the command line: a page where a user's VRM model does what it does.

    GET /stage?model=NAME   the page, for OBS's Browser source        GET /config    names and ways
    GET /models/NAME        the model (`models.py`)                   GET /follow    WebSocket:
    GET /vendor/…           what draws it                             `motionlane.py`'s messages

    --output stage[:PORT]

Nothing is drawn here, and no page asks for a microphone, which OBS would not give it. Each page
gets the newest frame as soon as it has taken the last one; what it is too slow for, it never sees.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from aiohttp import web

from engine.signals import Motion, Picture, Sound
from streaming.answers import SMALL, Refused, guarded, serve_pages
from streaming.gate import Gate
from streaming.models import Models, answer_model, check_libraries, serve_libraries
from streaming.motionlane import NAMES, motion_message
from streaming.pagethread import ENDS_S, PageThread
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

HOST, PORT = "127.0.0.1", 8080
MOST_PAGES = 8
KEPT = 8192  # bytes that the system may keep for a page: about ten frames
ALIVE_S = 20.0  # how often a page is asked whether it is there


class Newest:
    """One message for a page. replaced: those that it never took. Event loop only."""

    def __init__(self) -> None:
        self.replaced = 0
        self._message: str | None = None
        self._there = asyncio.Event()

    def put(self, message: str) -> None:
        self.replaced += self._message is not None
        self._message = message
        self._there.set()

    async def take(self) -> str:
        await self._there.wait()
        self._there.clear()
        message, self._message = self._message, None
        assert message is not None
        return message


class Stage:
    """A sink: the show's motion for every page that follows it. url: where the page is."""

    wants_picture = False
    wants_sound = False

    def __init__(self, argument: str, fmt: SinkFormat) -> None:
        """Raises UserError for a port that is none, or taken."""
        port = read_port(argument)
        self._models = Models(fmt.models)
        self.followers: dict[web.WebSocketResponse, Newest] = {}
        try:
            self._pages = PageThread(self._app, HOST, port)
        except OSError as error:
            why = f"{error.strerror}; choose another port"
            raise UserError(f"stage:{port}: {why}: --output stage:PORT") from None
        self.url = f"{self._pages.url}/stage"

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self._pages.loop.call_soon_threadsafe(self._hand_on, motion_message(motion))

    def close(self) -> None:
        self._pages.close()

    def _hand_on(self, message: str) -> None:
        for newest in self.followers.values():
            newest.put(message)

    # -- in the loop of the pages

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[guarded(Gate(None, time.time))], client_max_size=SMALL)
        serve_pages(app, {"/": "stage.html", "/stage": "stage.html"})
        serve_libraries(app)
        app.router.add_get("/config", self._config)
        app.router.add_get("/models/{name}", self._model)
        app.router.add_get("/follow", self._follow)
        app.on_shutdown.append(self._hang_up)
        return app

    async def _config(self, request: web.Request) -> web.Response:
        return web.json_response({"motion": NAMES, "follow": "/follow"})

    async def _model(self, request: web.Request) -> web.StreamResponse:
        return await answer_model(self._models, request)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Tell one page of every frame, until it goes."""
        if len(self.followers) >= MOST_PAGES:
            raise Refused(503, f"{MOST_PAGES} pages follow this show already", retry_after=10)
        page = web.WebSocketResponse(
            heartbeat=ALIVE_S, timeout=ENDS_S, compress=False, max_msg_size=1024
        )
        await page.prepare(request)
        if request.transport is not None:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KEPT)
        newest = self.followers[page] = Newest()
        telling = asyncio.ensure_future(self._tell(page, newest))
        try:
            await page.receive()  # it has nothing to say: whatever comes is its end
        finally:
            del self.followers[page]
            telling.cancel()
        return page

    async def _tell(self, page: web.WebSocketResponse, newest: Newest) -> None:
        try:
            while True:
                await page.send_str(await newest.take())
        except ConnectionError:  # it has gone: `_follow` ends, too
            return

    async def _hang_up(self, app: web.Application) -> None:
        """Pages stay as long as they like: they must not hold up the end."""
        ends = [asyncio.ensure_future(page.close()) for page in self.followers]
        if ends:
            await asyncio.wait(ends, timeout=ENDS_S)


def read_port(argument: str) -> int:
    """What follows `stage:`. Raises UserError."""
    if not argument:
        return PORT
    if not argument.isdecimal() or int(argument) > 65535:
        raise UserError(f"stage:{argument}: expected a port, such as stage:{PORT}")
    return int(argument)


def check_stage(argument: str, fmt: SinkFormat | None) -> None:
    """Raise UserError for what is no port, and while there is nothing to draw with."""
    read_port(argument)
    try:
        check_libraries()
    except Refused as error:
        raise UserError(f"stage: {error}") from None
