"""The server against people who mean it ill: nobody's show may notice."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, WSServerHandshakeError
from aiortc import RTCConfiguration, RTCPeerConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming import server as serving_module
from streaming.casts import Wings
from streaming.line import LiveConfig, ShowConfig
from streaming.motionsocket import TRY_LATER
from streaming.ports import UserError
from streaming.server import Address, opened
from streaming.webconfig import WebConfig
from tests.serving import Served, nobody, serving
from tests.visitor import Visitor

CONFIG = ShowConfig(live=LiveConfig(margin_ms=120), web=WebConfig(sessions=1, drain_s=0.0))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(CONFIG) as served:
        for rate in served.server._rates.values():
            rate._count = 10**6  # its own tests are elsewhere
        yield served


def ask(served: Served, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
    """One request, raw; the status of its answer, which must be ours and JSON if it is an error."""

    async def scenario() -> int:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = {"Host": f"{host}:{port}", "Connection": "close", "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (head | headers).items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        head_, _, text = answer.partition(b"\r\n\r\n")
        status = int(head_.split(b" ")[1])
        if status >= 400 and method != "HEAD" and b"application/json" in head_:
            assert json.loads(text)["error"]
        assert b"Traceback" not in text
        return status

    return asyncio.run(scenario())


# ---- equivalent of schemathesis: any request at all gets an answer of the contract --------------

NAMES = st.sampled_from(
    ["type", "sdp", "session", "input", "song", "avatar", "style", "background", "framing", "matte"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    | st.sampled_from(["offer", "demo", "song", "karaoke", "lumi", "#ffffff", "v=0\r\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)  # fmt: skip
BODIES = st.dictionaries(NAMES | st.text(max_size=8), VALUES, max_size=8)
ROUTES = st.sampled_from(
    [("POST", "/offer"), ("POST", "/login"), ("PATCH", "/sessions/x"), ("POST", "/ticket"),
     ("DELETE", "/sessions/x"), ("POST", "/songs"), ("GET", "/motion"), ("GET", "/config")]
)  # fmt: skip
CONTRACT = {200, 201, 204, 400, 404, 405, 413, 415, 422}


@given(ROUTES, BODIES)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_gets_an_answer_of_the_contract(served: Served, route, body) -> None:
    data = json.dumps(body).encode()
    status = ask(served, *route, {"Content-Type": "application/json"}, data)
    assert status in CONTRACT
    assert len(served.server.sessions) == 0


PATHS = st.text(st.characters(codec="latin-1", exclude_characters=" \r\n\0?#"), max_size=30)


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"]), PATHS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_path_is_one_of_ours_or_none(served: Served, caplog, method: str, path: str) -> None:
    assert ask(served, method, f"/{path}", {}, b"") in CONTRACT
    assert caplog.records == []  # nobody fills the log from outside


JUNK = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)
PLACE = st.integers(0, 10**6)
EDITS = st.lists(
    st.tuples(st.sampled_from(["drop", "twice", "junk", "cut", "swap"]), PLACE, PLACE, JUNK),
    min_size=1, max_size=6,
)  # fmt: skip


def edited(sdp: str, edits) -> str:
    """An offer with lines lost, doubled, exchanged, cut off or replaced."""
    lines = sdp.splitlines()
    for kind, i, j, junk in edits:
        i, j = i % len(lines), j % len(lines)
        if kind == "drop":
            lines[i] = ""
        elif kind == "twice":
            lines.insert(j, lines[i])
        elif kind == "junk":
            lines[i] = lines[i][:2] + junk
        elif kind == "cut":
            lines[i] = lines[i][: len(lines[i]) * (j % 7) // 7]
        else:
            lines[i], lines[j] = lines[j], lines[i]
    return "\r\n".join([*filter(None, lines), ""])


@pytest.fixture(scope="module")
def offer() -> str:
    """As a page's."""

    async def made() -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTransceiver("audio", direction="recvonly")
        pc.addTransceiver("video", direction="recvonly")
        pc.createDataChannel("show")
        await pc.setLocalDescription(await pc.createOffer())
        await pc.close()
        return pc.localDescription.sdp

    return asyncio.run(made())


@given(EDITS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sdp_is_answered_or_refused_and_leaves_nothing(served: Served, offer, edits) -> None:
    body = {"type": "offer", "sdp": edited(offer, edits), "input": "demo"}
    kind = {"Content-Type": "application/json"}
    status = ask(served, "POST", "/offer", kind, json.dumps(body).encode())
    assert status in {201, 400, 413}
    for session in served.server.sessions.live:
        assert status == 201
        assert ask(served, "DELETE", f"/sessions/{session.id}", {}, b"") == 204
    assert len(served.server.sessions) == 0


# ---- connections --------------------------------------------------------------------------------


def test_the_slow_are_cut_off_and_the_quick_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow-loris: heads and bodies that come a byte at a time, forty at once; a show runs on."""
    monkeypatch.setattr(serving_module, "IDLE_S", 1.0)
    monkeypatch.setattr("streaming.answers.BODY_S", 1.0)

    async def drip(host: str, port: int, first: bytes) -> float:
        reader, writer = await asyncio.open_connection(host, port)
        began = time.monotonic()
        writer.write(first)
        answer = asyncio.ensure_future(reader.read())
        try:
            while not answer.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.wait([answer], timeout=0.2)
        except ConnectionError:
            pass
        writer.close()
        answer.cancel()
        return time.monotonic() - began

    async def scenario() -> None:
        async with opened(CONFIG, Address(port=0)) as (server, address), asyncio.timeout(60):
            await server.opened.wait()
            where = f"{address.host}:{address.port}"
            head = b"GET / HTTP/1.1\r\nHost: " + where.encode() + b"\r\nX-Slow: "
            body = (
                f"POST /offer HTTP/1.1\r\nHost: {where}\r\nContent-Type: application/json\r\n"
                "Content-Length: 60000\r\n\r\n"
            ).encode()
            async with ClientSession(address.url) as client:
                visitor = Visitor(client)
                await visitor.ask(input="demo")
                await visitor.seen(10)
                drips = [asyncio.ensure_future(drip(address.host, address.port, first))
                         for first in [head, body] * 20]  # fmt: skip
                for _ in range(5):
                    began = time.monotonic()
                    async with client.get("/healthz") as response:
                        assert response.status == 200
                    assert time.monotonic() - began < 2
                seen = len(visitor.pictures)
                await visitor.seen(seen + 10)
                assert max(await asyncio.gather(*drips)) < 15
                await visitor.leave()

    asyncio.run(scenario())


def test_a_page_from_elsewhere_can_neither_post_nor_listen(served: Served) -> None:
    async def scenario() -> None:
        async with ClientSession(served.url) as client:
            evil = {"Origin": "http://evil.example"}
            for method, path in (("POST", "/offer"), ("POST", "/songs"), ("GET", "/motion"),
                                 ("OPTIONS", "/offer"), ("GET", "/config")):  # fmt: skip
                async with client.request(method, path, headers=evil) as response:
                    assert response.status in (403, 405), path
                    assert "Access-Control-Allow-Origin" not in response.headers
            async with client.get("/metrics") as response:
                lines = (await response.text()).splitlines()
            (denials,) = [line for line in lines if line.startswith("cantar_denials_total ")]
            assert float(denials.split()[1]) >= 4

    asyncio.run(scenario())


def counted(metrics: str) -> dict[str, float]:
    """The counters of /metrics, by name and labels."""
    lines = [line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_what_is_refused_is_counted_by_its_status(served: Served) -> None:
    async def counts() -> dict[str, float]:
        async with ClientSession(served.url) as client, client.get("/metrics") as response:
            return counted(await response.text())

    before = asyncio.run(counts())
    kind = {"Content-Type": "application/json"}
    bad = json.dumps({"type": "offer", "sdp": "v=0"}).encode()
    large = {**kind, "Content-Length": str(1 << 20)}
    assert ask(served, "POST", "/offer", kind, bad) == 400
    assert ask(served, "POST", "/offer", large, b"") == 413
    assert ask(served, "POST", "/offer", {}, b"{}") == 415
    assert ask(served, "GET", "/../etc/passwd", {}, b"") == 404
    after = asyncio.run(counts())
    for status in (400, 404, 413, 415):
        name = f'cantar_errors_total{{status="{status}"}}'
        assert after[name] == before.get(name, 0) + 1


def test_a_song_without_end_is_cut_off_and_leaves_nothing(served: Served) -> None:
    """2 GB in pieces, their length untold: 413 once the limit is reached, not when all has come."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 2 << 30:
            sent += 1 << 18
            yield bytes(1 << 18)

    async def scenario() -> None:
        async with ClientSession(served.url) as client, asyncio.timeout(60):
            try:
                async with client.post("/songs", data=pieces()) as response:
                    assert response.status == 413
            except ClientError:  # it hung up while we were still talking
                pass

    asyncio.run(scenario())
    assert sent < 2 * served.server.config.web.upload_mb * 1_000_000
    assert list(served.server.songs._folder.iterdir()) == []


def test_a_flood_of_sockets_and_of_messages_disturbs_no_show(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty WebSockets at once: a few are served, two at a time; the others are told to come later,
    and beyond the rate are not even let in."""
    for kind in ("motion", "offer"):
        monkeypatch.setattr(served.server._rates[kind], "_count", 30)
        served.server._rates[kind]._levels.clear()

    async def flood(client: ClientSession) -> int:
        try:
            async with client.ws_connect("/motion") as socket:
                await socket.send_json({"rate": 48_000, "channels": 1, "format": "s16"})
                for _ in range(500):
                    await socket.send_bytes(bytes(2))
                await socket.send_str("end")
                async for _ in socket:
                    pass
                return socket.close_code or 0
        except WSServerHandshakeError as refused:
            return refused.status
        except ClientError:  # it was hung up on before it had said everything
            return TRY_LATER

    async def scenario() -> None:
        async with ClientSession(served.url) as client, asyncio.timeout(60):
            visitor = Visitor(client)
            assert (await visitor.ask(input="demo"))[0] == 201
            await visitor.seen(10)
            floods = [asyncio.ensure_future(flood(client)) for _ in range(40)]
            await visitor.seen(len(visitor.pictures) + 30, 30)
            ends = Counter(await asyncio.gather(*floods))
            assert ends[429] >= 5
            assert ends[429] + ends[TRY_LATER] >= 30
            assert set(ends) <= {429, TRY_LATER, 1000}
            async with client.get("/metrics") as response:
                counts = counted(await response.text())
            assert counts["cantar_motion_refusals_total"] >= ends[TRY_LATER]
            async with client.delete(f"/sessions/{visitor.session}") as response:
                assert response.status == 204
            await visitor.leave()

    asyncio.run(scenario())


# ---- elsewhere than loopback --------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, secret


def test_over_tls_with_a_token_a_show_is_had_by_who_knows_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)

    async def scenario() -> None:
        address = Address("0.0.0.0", 0, "hush hush", str(cert), str(key))
        async with opened(CONFIG, address) as (server, bound), asyncio.timeout(60):
            await server.opened.wait()
            trust = ssl.create_default_context(cafile=str(cert))
            url = f"https://localhost:{bound.port}"
            token = {"token": "hush hush"}
            async with (
                ClientSession(url) as client,
                client.post("/login", json=token, ssl=trust) as answer,
            ):
                given = (await answer.json())["pass"]
            bearer = {"Authorization": f"Bearer {given}"}
            async with ClientSession(url, headers=bearer) as client:
                visitor = Visitor(client, ssl=trust)
                assert (await visitor.ask(input="demo"))[0] == 201
                await visitor.seen(5)
                await visitor.leave()
            async with ClientSession(url) as client:
                stranger = Visitor(client, ssl=trust)
                assert (await stranger.ask(input="demo"))[0] == 401
                await stranger.leave()

    asyncio.run(scenario())


def test_passes_and_tickets_that_are_over_used_or_forged_open_nothing() -> None:
    async def scenario() -> None:
        async with opened(CONFIG, Address(port=0, token="hush hush"), Wings(nobody)) as (
            server,
            address,
        ):
            await server.opened.wait()
            async with ClientSession(address.url) as client:

                async def config(given: str) -> int:
                    bearer = {"Authorization": f"Bearer {given}"}
                    async with client.get("/config", headers=bearer) as response:
                        return response.status

                async def socket(ticket: str) -> int:
                    async with client.get("/motion", params={"ticket": ticket}) as response:
                        return response.status

                given = server.gate.login("hush hush")
                bearer = {"Authorization": f"Bearer {given}"}
                async with client.post("/ticket", headers=bearer) as response:
                    ticket = (await response.json())["ticket"]
                assert await config(given) == 200
                assert await socket(ticket) == 400  # let in, but it is no WebSocket
                assert await socket(ticket) == 401  # a second time
                assert await socket(given) == 401  # a pass is no ticket
                assert await config(ticket) == 401
                kind, expires, rest = given.split(".", 2)
                assert await config(f"{kind}.{int(expires) + 3600}.{rest}") == 401
                late = server.gate.ticket()
                server.gate._now = lambda: time.time() + 3601
                assert await config(given) == 401
                assert await socket(late) == 401
                assert server.errors[401] == 6

    asyncio.run(scenario())


def test_what_is_not_safe_is_not_served() -> None:
    with pytest.raises(UserError, match="anyone in the network could sing here; give --token"):
        Address("0.0.0.0", 0)
    with pytest.raises(UserError, match="belong together"):
        Address("127.0.0.1", 0, cert="cert.pem")
    with pytest.raises(UserError, match="--tls-cert"):
        Address("127.0.0.1", 0, cert="nothing.pem", key="nothing.pem").tls()
