"""OSC in: a lighting desk, TouchOSC, a stream deck, another program directs the show.

    /cantar/mouth 1.2 [seconds]          how large it plays, 0 to 2; also /cantar/head, /cantar/eyes
    /cantar/tempo 0.5 [seconds]          how fast head and shoulders move, 0 to 2
    /cantar/overlay smile 1 [seconds]    an expression laid over the face, 0 to 1
    /cantar/rest 1 [seconds]             away; 0: back
    /cantar/mute 1                       the microphone
    /cantar/camera 0                     other programs may have the virtual camera; 1: on again
    /cantar/style 3                      0 shy, 1 warm, 2 pop, 3 rock, 4 dreamy, 5 theatrical
    /cantar/recentre [seconds]           where the head is now is straight ahead
    /cantar/reset [seconds]

UDP, on this machine's own address unless told otherwise. What cannot be done is told once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from streaming.director import SIZES, BadRequest, Director
from streaming.ports import UserError

PREFIX = "/cantar/"
MOST_TOLD = 64  # different complaints of one show

log = logging.getLogger("cantar")


class OscControl:
    """Listens from the start until `close`. port: where."""

    def __init__(self, director: Director, host: str, port: int) -> None:
        """Raises UserError when the port is taken or the address is not ours."""
        self._commands = _commands(director)
        self._told: set[str] = set()
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._take)
        try:
            self._server = BlockingOSCUDPServer((host, port), dispatcher)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(f"--control {host}:{port}: {why}; choose another port") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="cantar control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, address: str, *arguments: Any) -> None:
        name = address.removeprefix(PREFIX) if address.startswith(PREFIX) else address
        try:
            command = self._commands.get(name)
            if command is None:
                near = get_close_matches(name, self._commands, 1, 0.5)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
                raise BadRequest(f"unknown{hint}")
            command(*arguments)
        except (BadRequest, TypeError, ValueError, OverflowError) as error:
            words = str(error) if isinstance(error, BadRequest) else "wrong arguments"
            asked = f"{address[:60]} {' '.join(map(str, arguments))[:60]}"
            self._tell(f"OSC {_plain(asked)}: {_plain(words)}")

    def _tell(self, line: str) -> None:
        if line not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(line)
            log.warning("%s", line)


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor: anybody in the network may have sent it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _commands(director: Director) -> dict[str, Callable[..., None]]:
    def sized(name: str) -> Callable[..., None]:
        return lambda value, *fade: director.size(name, float(value), *map(float, fade[:1]))

    return {
        **{name: sized(name) for name in (*SIZES, "tempo")},
        "overlay": lambda name, weight=1.0, *fade: director.overlay(
            str(name), float(weight), *map(float, fade[:1])
        ),
        "rest": lambda on=1, *fade: director.rest(bool(float(on)), *map(float, fade[:1])),
        "mute": lambda on=1: director.mute(bool(float(on))),
        "camera": lambda on=1: director.camera(bool(float(on))),
        "style": lambda number: director.style(int(number)),
        "recentre": lambda *fade: director.recentre(*map(float, fade[:1])),
        "reset": lambda *fade: director.reset(*map(float, fade[:1])),
    }
