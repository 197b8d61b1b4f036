"""Who may ask what of the server: hosts and origins, tokens, rates. No socket, no clock of its own.

On loopback no token is needed, but the browser's Host and Origin must be ours: a page from
elsewhere can neither post to us nor reach us under a name of its own. On any other address the
operator's token is needed; the page changes it for a pass that is valid for an hour.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

PASS_S = 3600  # s that a pass is valid
TICKET_S = 30  # s that a ticket is valid, once
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_KNOWN = 4096  # addresses whose rate is remembered, and tickets


class Denied(Exception):
    """A request that is not let through: HTTP `status` and the reason."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.retry_after = status, retry_after


class Gate:
    """token: the operator's; None on loopback, where none is needed. origins: other sites whose
    pages may ask, too."""

    def __init__(
        self, token: str | None, now: Callable[[], float], origins: Sequence[str] = ()
    ) -> None:
        self._token, self._now, self._origins = token, now, origins
        self._secret = secrets.token_bytes(32)
        self._used: OrderedDict[str, None] = OrderedDict()

    @property
    def needs_token(self) -> bool:
        return self._token is not None

    def login(self, token: object) -> str:
        """A pass for an hour in exchange for the token. Raises Denied."""
        if self._token is None:
            return self._signed("pass", PASS_S)
        given = token.encode() if isinstance(token, str) else b""
        if not hmac.compare_digest(given, self._token.encode()):
            raise Denied(401, "that is not the token of this server")
        return self._signed("pass", PASS_S)

    def ticket(self) -> str:
        """For one WebSocket, which cannot carry a header: valid once, for half a minute."""
        return self._signed("ticket", TICKET_S)

    def check_pass(self, headers: Mapping[str, str]) -> None:
        """Raise Denied unless the request carries a pass or the token itself, if one is needed."""
        if self._token is None:
            return
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        token = hmac.compare_digest(given.encode(), self._token.encode())
        if scheme != "Bearer" or not (token or self._holds(given, "pass")):
            raise Denied(401, "this server needs its token")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Raise Denied unless the request carries the token itself, if one is needed: a pass, which
        pages of guests have, is not enough."""
        if self._token is None:
            return
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Denied(401, "this server needs its token")

    def check_ticket(self, ticket: str) -> None:
        """Raise Denied for a ticket that is not ours, too old, or used before."""
        if not self._holds(ticket, "ticket") or ticket in self._used:
            raise Denied(401, "the ticket is not valid (any more)")
        self._used[ticket] = None
        while len(self._used) > MOST_KNOWN:
            self._used.popitem(last=False)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raise Denied for a page from elsewhere, and for a Host that is not ours on loopback."""
        host = headers.get("Host", "")
        if self._token is None and host_name(host) not in LOOPBACK:
            raise Denied(403, "this server answers to localhost only")
        origin = headers.get("Origin")
        if origin is None or origin in self._origins:
            return
        if urlsplit(origin).netloc.lower() != host.lower():
            raise Denied(403, "pages from elsewhere may not use this server")

    def sharing(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers (CORS) that let a page of one of `origins` read the answer."""
        origin = headers.get("Origin", "")
        if origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Expose-Headers": "Location, Retry-After",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": "Origin",
        }

    def _signed(self, kind: str, seconds: int) -> str:
        text = f"{kind}.{int(self._now()) + seconds}.{secrets.token_urlsafe(9)}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), sha256).hexdigest()

    def _holds(self, given: str, kind: str) -> bool:
        text, _, signature = given.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            return False
        of_kind, expires, _ = text.split(".", 2)
        return of_kind == kind and self._now() <= int(expires)


def host_name(host: str) -> str:
    """`localhost:8080` → localhost, `[::1]:8080` → ::1; empty for nonsense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class Rate:
    """At most `count` requests in `seconds` from one address, as a leaking bucket."""

    def __init__(self, count: int, seconds: float, now: Callable[[], float]) -> None:
        self._count, self._leak, self._now = count, count / seconds, now
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # level, when

    def check(self, address: str) -> None:
        """Count a request; raise Denied (429) when there were too many."""
        self.refuse_full(address)
        level, now = self._level(address), self._now()
        self._levels.pop(address, None)
        self._levels[address] = (level + 1, now)
        while len(self._levels) > MOST_KNOWN:
            self._levels.popitem(last=False)

    def refuse_full(self, address: str) -> None:
        """Raise Denied (429) when there were too many already; counts nothing."""
        if self._level(address) + 1 > self._count:
            raise Denied(429, "too many requests", retry_after=max(1, round(1 / self._leak)))

    def _level(self, address: str) -> float:
        level, at = self._levels.get(address, (0.0, self._now()))
        return max(0.0, level - (self._now() - at) * self._leak)
