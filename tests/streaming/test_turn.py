"""Where UDP finds no way through: a show by way of Debian's coturn, on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiortc import RTCIceServer
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from streaming.line import LiveConfig, ShowConfig
from streaming.server import Address, opened
from streaming.webconfig import WebConfig
from tests.browser import Browser, wait_for
from tests.serving import serving
from tests.visitor import Visitor

PATIENT = LiveConfig(margin_ms=120)
USER = {"username": "cantar", "credential": "secret"}
ONLY_RELAYED = """(() => {
  const Direct = RTCPeerConnection;
  window.RTCPeerConnection = function (config) {
    return window.pc = new Direct({...config, iceTransportPolicy: 'relay'});
  };
})()"""
RELAYED = """(async () => {
  const stats = [...(await pc.getStats()).values()];
  const pair = stats.find((s) => s.nominated && s.bytesReceived > 1e4);
  return pair && stats.find((s) => s.id === pair.localCandidateId).candidateType;
})()"""


@contextmanager
def coturn(folder: Path) -> Iterator[str]:
    """A TURN server as docs/browser.md starts one; its address."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no coturn here (Debian: apt-get install coturn): TURN is not tested")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--user", "cantar:secret", "--realm", "cantar", "--lt-cred-mech",
         "--fingerprint", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1",
         "--listening-port", str(port), "--allow-loopback-peers", "--no-cli", "--no-tls",
         "--no-dtls", "--userdb", str(folder / "turndb"), "--pidfile", str(folder / "pid"),
         "--log-file", "stdout"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(port), 15, "coturn does not answer")
        yield f"turn:127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    """Whether a TCP connection is taken: coturn listens on both."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def config(url: str, credential: str = "secret") -> ShowConfig:
    server: dict[str, Any] = {"urls": url, **USER, "credential": credential}
    web = WebConfig(sessions=1, drain_s=0.0, ice_servers=[server])
    return ShowConfig(live=PATIENT, web=web)


def test_a_peer_that_may_only_be_relayed_has_its_show(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        async with opened(config(url), Address(port=0)) as (server, address):
            await server.opened.wait()
            async with ClientSession(address.url) as client:
                turn = RTCIceServer(urls=url, **USER)
                visitor = Visitor(client, turn=turn, policy=RTCIceTransportPolicy.RELAY)
                assert (await visitor.ask(input="demo"))[0] == 201
                await visitor.seen(10)
                assert visitor.ways() == {"relay"}
                await visitor.leave()

    with coturn(tmp_path) as url:
        asyncio.run(asyncio.wait_for(scenario(url), 60))


def test_a_turn_server_that_refuses_costs_nobody_a_direct_show(tmp_path: Path) -> None:
    """Wrong credentials in the preset: the server says so to itself, and goes on without."""

    async def scenario(url: str) -> None:
        async with opened(config(url, "wrong"), Address(port=0)) as (server, address):
            await server.opened.wait()
            async with ClientSession(address.url) as client:
                visitor = Visitor(client)
                assert (await visitor.ask(input="demo"))[0] == 201
                await visitor.seen(5)
                assert visitor.ways() == {"host"}
                await visitor.leave()

    with coturn(tmp_path) as url:
        asyncio.run(asyncio.wait_for(scenario(url), 60))


def test_the_page_gets_its_turn_server_from_the_preset(tmp_path: Path) -> None:
    with coturn(tmp_path) as url, serving(config(url)) as served, Browser(tmp_path) as page:
        page.prepare(ONLY_RELAYED)
        page.open(served.url)
        page.until("document.body?.dataset.ready === 'yes'")
        page.click("#demo")
        page.until("document.getElementById('stage').classList.contains('playing')", 20)
        assert wait_for(lambda: page.run(RELAYED), 10) == "relay"
        assert page.errors == []
