"""The control page of a show from the command line, at the same port as OSC (TCP here, UDP there).

    GET   /control      the page
    GET   /direction    what is asked for now; also what there is to ask for
    PATCH /direction    what shall be asked for: any of `direction_of`'s keys, and `seconds`

The page of `--serve` has the same two requests, for all its shows (`server.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from engine.motion.directing import MOST, OVERLAYS
from streaming.answers import SMALL, guarded, read_json, serve_pages
from streaming.director import FADE_S, MOST_TEMPO, SIZES, BadRequest, Director
from streaming.gate import Gate, Rate
from streaming.pagethread import PageThread
from streaming.ports import UserError

STYLES = ("Shy", "Warm", "Pop", "Rock", "Dreamy", "Theatrical")
KEYS = (
    *SIZES,
    "tempo",
    "overlays",
    "rest",
    "mute",
    "camera",
    "style",
    "recentre",
    "reset",
    "seconds",
)
REQUESTS = 1200  # a minute, from one address: a slider that is dragged asks often


def direction_of(director: Director) -> dict[str, Any]:
    """What is asked for, and what could be: names and ranges."""
    choices = {"overlays": list(OVERLAYS), "styles": STYLES, "most": MOST, "mostTempo": MOST_TEMPO}
    return {**director.asked(), "choices": choices}


def direct(directors: Iterable[Director], request: dict[str, Any]) -> None:
    """Ask all of them for what a request holds: all of it, or nothing. Raises BadRequest."""
    steps = _steps(request)
    rehearsal = Director(lambda number: None)
    for director in (rehearsal, *directors):
        for step in steps:
            step(director)


def _steps(request: dict[str, Any]) -> list[Callable[[Director], None]]:
    for key in request:
        if key not in KEYS:
            raise BadRequest(f"{key}: unknown key; known here: {', '.join(KEYS)}")
    seconds = _number(request, "seconds", FADE_S)
    steps: list[Callable[[Director], None]] = []
    if _truth(request, "reset"):
        steps.append(lambda director: director.reset(seconds))
    for name in (*SIZES, "tempo"):
        if name in request:
            steps.append(_size(name, _number(request, name), seconds))
    overlays = request.get("overlays", {})
    if not isinstance(overlays, dict):
        raise BadRequest("overlays: expected an object of names and weights")
    steps += [_overlay(name, _number(overlays, name), seconds) for name in overlays]
    if "rest" in request:
        rest = _truth(request, "rest")
        steps.append(lambda director: director.rest(rest, seconds))
    if "mute" in request:
        mute = _truth(request, "mute")
        steps.append(lambda director: director.mute(mute))
    if request.get("camera") is not None:
        camera = _truth(request, "camera")
        steps.append(lambda director: director.camera(camera))
    if _truth(request, "recentre"):
        steps.append(lambda director: director.recentre(seconds))
    if request.get("style") is not None:
        style = request["style"]
        check_style(style)
        steps.append(lambda director: director.style(style))
    return steps


def check_style(style: object) -> None:
    """Raise BadRequest for what is no style's number."""
    if type(style) is not int or not 0 <= style < len(STYLES):
        raise BadRequest(f"style: expected a whole number from 0 to {len(STYLES) - 1}")


def _size(name: str, value: float, seconds: float) -> Callable[[Director], None]:
    return lambda director: director.size(name, value, seconds)


def _overlay(name: str, weight: float, seconds: float) -> Callable[[Director], None]:
    return lambda director: director.overlay(name, weight, seconds)


def _number(request: dict[str, Any], key: str, default: float | None = None) -> float:
    value = request.get(key, default)
    if type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not float:
        raise BadRequest(f"{key}: expected a number")
    return value


def _truth(request: dict[str, Any], key: str) -> bool:
    value = request.get(key, False)
    if type(value) is not bool:
        raise BadRequest(f"{key}: expected true or false")
    return value


class ControlPage:
    """Serves the page for one director, in a thread of its own, from the start until `close`.

    url: where the page is.
    """

    def __init__(self, director: Director, host: str, port: int, token: str | None = None) -> None:
        """token: needed on any host but this one. Raises UserError when the port is taken."""
        self._director = director
        self._gate = Gate(token, time.time)
        self._requests = Rate(REQUESTS, 60, time.monotonic)
        try:
            self._pages = PageThread(self._app, host, port)
        except OSError as error:
            raise UserError(
                f"--control {host}:{port}: {error.strerror}; choose another port"
            ) from None
        self.port, self.url = self._pages.port, f"{self._pages.url}/control"

    def close(self) -> None:
        self._pages.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[guarded(self._gate)], client_max_size=SMALL)
        serve_pages(app, {"/": "control.html", "/control": "control.html"})
        app.router.add_get("/direction", self._asked)
        app.router.add_patch("/direction", self._ask)
        return app

    async def _asked(self, request: web.Request) -> web.Response:
        self._let_in(request)
        return web.json_response(direction_of(self._director))

    async def _ask(self, request: web.Request) -> web.Response:
        self._let_in(request)
        direct([self._director], await read_json(request))
        return web.json_response(direction_of(self._director))

    def _let_in(self, request: web.Request) -> None:
        self._requests.check(request.remote or "")
        self._gate.check_token(request.headers)
