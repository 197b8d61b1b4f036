"""Motion to VTube Studio, as a plugin over its WebSocket (port 8001).

    vts://HOST:PORT?only=mouth+head&names=arkit

A thread of its own connects, asks the user once, and connects again when VTube Studio was closed;
the show never waits for it. Where no port is given and none answers at 8001, VTube Studio's own
announcements (UDP 47779, every two seconds) tell it. The token that the user grants is kept in
`vtube-studio.json` in the user's configuration folder.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from engine.signals import Motion, Picture, Sound
from streaming.handover import Latest
from streaming.peers import PARTS, Address, read_address, read_choices
from streaming.userfolder import config_folder, read_secrets, write_secrets
from streaming.vtsplugin import Lost, Plugin

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

PORT, ANNOUNCED_AT = 8001, 47779
OPTIONS = ("only", "names")
LOOK = 0.05  # s that the thread waits for a motion
PATIENCE = 3.0  # s to connect, and to wait for an announcement
BACKOFF = (1.0, 30.0)  # s between attempts: the first, and the most; doubled each time
HOLDS = 30.0  # s after which a connection counts as good, and the next attempts begin anew

log = logging.getLogger("cantar")


class Options(NamedTuple):
    address: Address
    announced: bool  # whether announcements may tell another port
    only: tuple[str, ...]
    arkit: bool


def read_options(argument: str) -> Options:
    """What follows `vts://`. Raises UserError."""
    address = read_address("vts", argument, PORT, OPTIONS)
    spec, options = f"vts://{argument}", address.options
    only = read_choices(spec, "only", options.get("only", "+".join(PARTS)), PARTS)
    names = read_choices(spec, "names", options.get("names", "vts"), ("vts", "arkit"))
    given = argument.partition("?")[0].rpartition("]")[2].rpartition(":")[1]
    return Options(address, not given, only, "arkit" in names)


class VTubeStudio:
    """A sink that leaves each motion to its thread, which sends the newest one."""

    wants_picture = False
    wants_sound = False

    def __init__(
        self,
        argument: str,
        fmt: SinkFormat,
        *,
        folder: Path | None = None,
        announced_at: int = ANNOUNCED_AT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = read_options(argument)
        self._address = self._options.address
        self._secrets = (folder or config_folder()) / "vtube-studio.json"
        kept = read_secrets(self._secrets).get(self._address.host)
        self._token = kept if isinstance(kept, str) else None
        self._announced_at, self._now = announced_at, now
        self._motions: Latest[Motion] = Latest()
        self._over = threading.Event()
        self._trouble = ""  # as it was said
        self._thread = threading.Thread(target=self._run, name="cantar VTube Studio", daemon=True)
        self._thread.start()

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self._motions.put(motion)

    def close(self) -> None:
        self._over.set()
        self._motions.close()
        self._thread.join(PATIENCE)

    # -- the thread

    def _run(self) -> None:
        wait = BACKOFF[0]
        while not self._over.is_set():
            began = self._now()
            try:
                self._converse()
                return
            except Lost as error:
                self._complain(str(error))
            except (OSError, WebSocketException) as error:
                self._complain(_reason(error))
            wait = BACKOFF[0] if self._now() - began > HOLDS else wait
            self._over.wait(wait)
            wait = min(BACKOFF[1], 2 * wait)

    def _converse(self) -> None:
        """One connection, until the show is over or the user refuses. Raises what breaks it."""
        plugin = Plugin(self._token, self._say, only=self._options.only, arkit=self._options.arkit)
        with ExitStack() as stack:
            connection = self._connect(stack)
            self._send(connection, plugin.connected(self._now()))
            while not self._over.is_set():
                motion, now = self._motions.take(LOOK), self._now()
                due = plugin.idle(now) if motion is None else plugin.show(motion, now)
                self._send(connection, due)
                self._answers(connection, plugin)
                if plugin.refused:
                    self._keep(None)
                    self._say(plugin.refused)
                    return

    def _answers(self, connection: Any, plugin: Plugin) -> None:
        while (answer := _received(connection)) is not None:
            token = plugin.token
            self._send(connection, plugin.received(answer, self._now()))
            if plugin.token != token:
                self._keep(plugin.token)
        if plugin.ready and self._trouble:
            self._trouble = ""
            self._say("connected")

    @staticmethod
    def _send(connection: Any, texts: list[str]) -> None:
        for text in texts:
            connection.send(text)

    def _connect(self, stack: ExitStack) -> Any:
        """A connection, closed with `stack`. Raises Lost with what the user can do."""
        try:
            return stack.enter_context(_connection(self._address))
        except ConnectionRefusedError:
            announced = self._announced() if self._options.announced else None
        if announced is None:
            raise Lost("nobody answers (is it running, with Start API (allow plugins) on?)")
        active, port = announced
        if not active:
            raise Lost("its plugin API is switched off (Settings: Start API (allow plugins))")
        self._address = Address(self._address.host, port, self._address.options)
        return stack.enter_context(_connection(self._address))

    def _announced(self) -> tuple[bool, int] | None:
        """What VTube Studio announces of itself: whether its API is on, and its port."""
        deadline = self._now() + PATIENCE
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ear:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.settimeout(LOOK)
            try:
                ear.bind(("", self._announced_at))
            except OSError:  # another plugin listens alone
                return None
            while self._now() < deadline and not self._over.is_set():
                try:
                    text, (sender, _) = ear.recvfrom(65536)
                except OSError:
                    continue
                announced = _read_announcement(text)
                if announced is not None and _is_at(sender, self._address.host):
                    return announced
        return None

    # -- what is kept and said

    def _keep(self, token: str | None) -> None:
        self._token = token
        secrets = {**read_secrets(self._secrets), self._address.host: token}
        try:
            write_secrets(self._secrets, secrets)
        except OSError as error:
            self._say(f"will ask again next time: cannot write {self._secrets} ({error.strerror})")

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble and not self._over.is_set():
            self._say(f"{trouble}; the show goes on, and it is tried again")
        self._trouble = trouble

    def _say(self, words: str) -> None:
        log.warning("VTube Studio at %s: %s", self._address, words)


def _connection(address: Address) -> AbstractContextManager[Any]:
    return connect(
        f"ws://{address}",
        open_timeout=PATIENCE,
        close_timeout=1,
        compression=None,
        max_size=1 << 22,
    )


def _reason(error: OSError | WebSocketException) -> str:
    if isinstance(error, WebSocketException):
        return f"the connection broke ({type(error).__name__})"
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return error.strerror or str(error)


def _received(connection: Any) -> str | bytes | None:
    try:
        answer: str | bytes = connection.recv(timeout=0)
    except TimeoutError:
        return None
    return answer


def _read_announcement(text: bytes) -> tuple[bool, int] | None:
    try:
        announced = json.loads(text)
        if announced["messageType"] != "VTubeStudioAPIStateBroadcast":
            return None
        active, port = announced["data"]["active"], announced["data"]["port"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (active is True, port) if isinstance(port, int) and 0 < port < 65536 else None


def _is_at(sender: str, host: str) -> bool:
    """Whether an announcement comes from where we look: a token is not for just anybody."""
    if host not in ("localhost", "127.0.0.1", "::1"):
        return sender in {place[4][0] for place in socket.getaddrinfo(host, None)}
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind((sender, 0))  # possible for this machine's own addresses only
        except OSError:
            return False
    return True


def check_vtube_studio(argument: str, fmt: SinkFormat | None) -> None:
    """Raise UserError for an address or an option that cannot be used."""
    read_options(argument)
