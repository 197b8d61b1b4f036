"""How the page is served and how its pictures travel: the `web` group of a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]]+(:\d{1,5})?")
ICE_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


@dataclass(frozen=True)
class WebConfig:
    """Everything of the page that can be chosen.

    codec: of the pictures, the one offered first. kbps: of the pictures at the start, following
    the receiver's reports between kbps_least and kbps_most. sound_kbps: of the returned sound.
    sessions: singers at once; null: as many as this machine was measured to hold. idle_s: a session
    that nobody sends sound to ends after so long. longest_s: every session does. drain_s: what a
    show may still take when the server is asked to stop. upload_mb: the largest song that is taken.
    offers_per_minute: shows and changes that one address may ask for. origins: other sites whose
    pages may use the server (CORS), `https://host[:port]` each.
    models: the folder of VRM models for `/stage?model=NAME`; empty: `models` in the user's own.
    ice_servers: as in a browser, `{urls, username, credential}` each. udp_ports: `FROM-TO`, or
    `any`.
    """

    codec: Literal["vp8", "h264"] = "vp8"
    kbps: int = 2500
    kbps_least: int = 400
    kbps_most: int = 4000
    sound_kbps: int = 160
    sessions: int | None = None
    idle_s: float = 60.0
    longest_s: float = 7200.0
    drain_s: float = 10.0
    upload_mb: int = 50
    offers_per_minute: int = 30
    origins: list = field(default_factory=list, hash=False)
    ice_servers: list = field(default_factory=list, hash=False)
    udp_ports: str = "any"
    models: str = ""

    def __post_init__(self) -> None:
        if not 50 <= self.kbps_least <= self.kbps <= self.kbps_most:
            raise ValueError("expected 50 <= kbps_least <= kbps <= kbps_most")
        if not 16 <= self.sound_kbps <= 510:
            raise ValueError(f"sound_kbps must be 16 to 510, got {self.sound_kbps}")
        if self.sessions is not None and self.sessions < 1:
            raise ValueError(f"sessions must be 1 or more, or null, got {self.sessions}")
        if min(self.idle_s, self.longest_s) <= 0 or self.drain_s < 0 or self.upload_mb < 1:
            raise ValueError("idle_s, longest_s and upload_mb must be above 0, drain_s not below")
        if self.offers_per_minute < 1:
            raise ValueError(f"offers_per_minute must be 1 or more, got {self.offers_per_minute}")
        for origin in self.origins:
            if not isinstance(origin, str) or not ORIGIN.fullmatch(origin):
                raise ValueError(f"origins: expected https://host[:port], got {origin!r}")
        for server in self.ice_servers:
            _check_ice_server(server)
        self.port_range()

    def port_range(self) -> tuple[int, int] | None:
        """First and last UDP port, or None for any. Raises ValueError for what is no range."""
        if self.udp_ports == "any":
            return None
        match = PORTS.fullmatch(self.udp_ports)
        if match is None or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
            raise ValueError(
                f"udp_ports must be any, or FROM-TO within 1024-65535, got {self.udp_ports!r}"
            )
        return int(match[1]), int(match[2])


def _check_ice_server(server: object) -> None:
    """Raise ValueError unless it is `{urls: stun:… or turn:…, username, credential}`."""
    if not isinstance(server, dict) or not set(server) <= {"urls", "username", "credential"}:
        raise ValueError(f"ice_servers: expected {{urls, username, credential}}, got {server}")
    urls = server.get("urls")
    for url in urls if isinstance(urls, list) else [urls]:
        if not isinstance(url, str) or not url.startswith(ICE_SCHEMES):
            raise ValueError(f"ice_servers: urls must begin with stun: or turn:, got {url!r}")
