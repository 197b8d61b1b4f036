"""Programs that show the motion: where they are, and sending to them without ever waiting.

An output is spelt `vmc://HOST:PORT?option=value&option=value`; whatever is left out has a default.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlsplit

from streaming.ports import UserError

AGAIN = 10.0  # s between attempts to find a name, and after which silence counts as peace
PARTS = ("mouth", "eyes", "face", "head")  # what `only=` may choose

log = logging.getLogger("cantar")


@dataclass(frozen=True)
class Address:
    """Where a peer listens, and its options."""

    host: str
    port: int
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(scheme: str, text: str, port: int, options: Sequence[str]) -> Address:
    """`text` is what follows `scheme://`; `port` the default, `options` those that exist.

    Raises UserError.
    """
    parts = urlsplit(f"//{text}")
    spec = f"{scheme}://{text}"
    try:
        given = parts.port
    except ValueError:
        raise UserError(f"{spec}: the port must be a number from 1 to 65535") from None
    if given == 0:
        raise UserError(f"{spec}: the port must be a number from 1 to 65535")
    if parts.path not in ("", "/") or parts.username or parts.fragment:
        raise UserError(
            f"{spec}: expected {scheme}://HOST:PORT, such as {scheme}://127.0.0.1:{port}"
        )
    chosen = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in chosen:
        if name not in options:
            near = get_close_matches(name, options, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(options)}"
            raise UserError(f"{spec}: unknown option {name}; {hint}")
    return Address(parts.hostname or "127.0.0.1", given or port, chosen)


def read_choices(spec: str, name: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """An option's words, joined by + or commas. Raises UserError for one that is not known."""
    words = text.replace("+", " ").replace(",", " ").split()
    for word in words:
        if word not in known:
            near = get_close_matches(word, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise UserError(f"{spec}: unknown {name} {word}; {hint}")
    if not words:
        raise UserError(f"{spec}: {name} is empty; there are: {', '.join(known)}")
    return tuple(dict.fromkeys(words))


_VOWELS = {"a", "i", "u", "e", "o", "aa", "ih", "ou", "ee", "oh"}
_BEGIN = {
    "mouth": ("mouth", "jaw", "tongue", "cheekpuff"),
    "eyes": ("eye", "lefteye", "righteye", "blink", "look"),
    "head": ("faceangle", "faceposition", "neck", "head"),
}


def part_of(name: str) -> str:
    """Which of PARTS a shape, preset, bone or parameter belongs to."""
    low = name.lower().removeprefix("cantar")
    if low in _VOWELS:
        return "mouth"
    return next((part for part, begins in _BEGIN.items() if low.startswith(begins)), "face")


class Datagrams:
    """UDP to one peer. `send` never waits and never raises; what goes wrong is said once.

    A name is looked up in a thread of its own, again and again until it is found. sent, lost:
    datagrams.
    """

    def __init__(
        self,
        address: Address,
        what: str,
        *,
        now: Callable[[], float] = time.monotonic,
        look_up: Callable[[str, int], tuple[int, tuple]] | None = None,
    ) -> None:
        self.sent = self.lost = 0
        self._address, self._what, self._now = address, what, now
        self._look_up = look_up or _look_up
        self._socket: socket.socket | None = None
        self._looking: threading.Thread | None = None
        self._looked = -AGAIN
        self._trouble = ""  # as it was said
        self._trouble_at = 0.0
        self._closed = False
        self._closing = threading.Lock()
        self._open()

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Send what belongs together, in order."""
        if self._socket is None:
            self._open()
            if self._socket is None:
                self.lost += len(datagrams)
                return
        for datagram in datagrams:
            try:
                self._send(self._socket, datagram)
                self.sent += 1
            except OSError as error:
                self.lost += 1
                self._complain(error)
        if self._trouble and self._now() - self._trouble_at > AGAIN:
            self._trouble = ""

    def _send(self, to: socket.socket, datagram: bytes) -> None:
        try:
            to.send(datagram)
        except ConnectionRefusedError as error:  # the answer to an earlier one
            self._complain(error)
            to.send(datagram)

    def close(self) -> None:
        with self._closing:
            self._closed = True
            if self._socket is not None:
                self._socket.close()

    def _open(self) -> None:
        if self._closed or self._now() - self._looked < AGAIN:
            return
        if self._looking is not None and self._looking.is_alive():
            return
        self._looked = self._now()
        self._looking = threading.Thread(target=self._connect, daemon=True, name="cantar look-up")
        self._looking.start()
        if _is_number(self._address.host):  # answers at once, so that no frame is lost
            self._looking.join()

    def _connect(self) -> None:
        with ExitStack() as unless_connected:
            try:
                family, place = self._look_up(self._address.host, self._address.port)
                made = unless_connected.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                made.setblocking(False)
                made.connect(place)
            except OSError as error:
                self._complain(error)
                return
            with self._closing:
                if not self._closed:  # a name may be found after the show
                    self._socket = made
                    unless_connected.pop_all()

    def _complain(self, error: OSError) -> None:
        self._trouble_at = self._now()
        if isinstance(error, BlockingIOError):  # the network is slower than we are; it was counted
            return
        trouble = _reason(error)
        if trouble != self._trouble:
            log.warning("%s at %s: %s; the show goes on", self._what, self._address, trouble)
        self._trouble = trouble


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there (is the program running, and is it set to receive?)"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "it cannot be reached from here"
    return error.strerror or str(error)


def _look_up(host: str, port: int) -> tuple[int, tuple]:
    family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    return family, place


def _is_number(host: str) -> bool:
    """Whether a host is an address already, which needs no looking up."""
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    return True
