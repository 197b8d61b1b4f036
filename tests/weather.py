"""Bad weather between a page and the server: a UDP relay that loses, delays and cuts off.

Every answer leads to a relay of its own, and the offer's own addresses are taken away, so nothing
finds a way around it. One seed, one weather.
"""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

from streaming.webrtc import Peer

NOWHERE = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"


class Weather:
    """loss: share of packets lost, each way. jitter: each is late by up to so many seconds.
    Change them at any time, from any thread."""

    def __init__(self, seed: int = 0) -> None:
        self.loss = 0.0
        self.jitter = 0.0
        self.lost = 0
        self.down = False  # an outage
        self.relays: list[Relay] = []
        self._chance = random.Random(seed)
        self._went_down = 0.0  # when the first packet was lost to an outage
        self._outage_s = 0.0
        self._back = threading.Event()

    def over(self, monkeypatch: Any) -> Weather:
        """Let every peer of this process be answered through it."""
        direct = Peer.answer

        async def answer(peer: Peer, sdp: str) -> str:
            return await self._led_through(await direct(peer, hidden(sdp)))

        monkeypatch.setattr(Peer, "answer", answer)
        return self

    def cut(self) -> None:
        """The relays of today carry nothing any more; a new answer gets a new one."""
        for relay in self.relays:
            relay.cut = True

    def outage(self, seconds: float) -> None:
        """Nothing gets through for so long, counted by the packets that try; returns after it."""
        self._went_down, self._outage_s = 0.0, seconds
        self._back.clear()
        self.down = True
        assert self._back.wait(10 * seconds), "nobody sent anything"

    def _wear_off(self, now: float) -> None:
        self._went_down = self._went_down or now
        if now - self._went_down > self._outage_s:
            self.down = False
            self._back.set()

    def delay(self, relay: Relay) -> float | None:
        """What happens to the next packet: seconds that it takes; None when it is lost."""
        if self.down:
            self._wear_off(asyncio.get_running_loop().time())
        if relay.cut or self.down or self._chance.random() < self.loss:
            self.lost += 1
            return None
        return self._chance.random() * self.jitter

    async def _led_through(self, answer: str) -> str:
        lines = answer.splitlines()
        host, port = next(line.split()[4:6] for line in lines if is_udp(line))
        relay = Relay(self)
        self.relays.append(relay)
        ours = await relay.open((host, int(port)))
        led = f"a=candidate:1 1 udp 2130706431 {host} {ours} typ host"
        kept = [led if line.startswith("a=candidate:") else line for line in lines]
        return "\r\n".join([*kept, ""])


def is_udp(line: str) -> bool:
    """An IPv4 candidate over UDP."""
    return line.startswith("a=candidate:") and " udp " in line and ":" not in line.split()[4]


def hidden(sdp: str) -> str:
    """An offer that names no address at which its page can be reached."""
    lines = [line for line in sdp.splitlines() if line != "a=end-of-candidates"]
    hidden = [NOWHERE if line.startswith("a=candidate:") else line for line in lines]
    return "\r\n".join([*hidden, ""])


class Relay:
    """Two UDP sockets: the page's packets leave from one to the server, the server's come back."""

    def __init__(self, weather: Weather) -> None:
        self.cut = False
        self._weather = weather
        self._page: tuple[str, int] | None = None

    async def open(self, server: tuple[str, int]) -> int:
        """Begin; the port that the page finds it at."""
        loop = asyncio.get_running_loop()
        here = (server[0], 0)
        self._front, _ = await loop.create_datagram_endpoint(
            lambda: Side(self._from_page), local_addr=here
        )
        self._back, _ = await loop.create_datagram_endpoint(
            lambda: Side(self._from_server), local_addr=here, remote_addr=server
        )
        return int(self._front.get_extra_info("sockname")[1])

    def _from_page(self, data: bytes, sender: tuple[str, int]) -> None:
        self._page = sender
        self._later(self._back.sendto, data)

    def _from_server(self, data: bytes, sender: tuple[str, int]) -> None:
        if self._page is not None:
            self._later(self._front.sendto, data, self._page)

    def _later(self, send: Any, *what: Any) -> None:
        seconds = self._weather.delay(self)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, send, *what)

    def close(self) -> None:
        self._front.close()
        self._back.close()


class Side(asyncio.DatagramProtocol):
    """One socket of a relay. What the network says of unreachable ports is no news here."""

    def __init__(self, took: Any) -> None:
        self.datagram_received = took  # type: ignore[method-assign]
