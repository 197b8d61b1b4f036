"""The server as a whole, over real HTTP and WebRTC, with a real avatar and an aiortc peer."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession

import run_live
from engine.rendering.identity import IDENTITIES
from streaming.casts import Wings
from streaming.line import LiveConfig, ShowConfig
from streaming.ports import UserError
from streaming.server import Address, opened, serve
from streaming.sessions import Counts, Refused
from streaming.webconfig import WebConfig
from streaming.wish import Wish
from tests.serving import nobody
from tests.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]
PATIENT = LiveConfig(margin_ms=120)  # this machine may be busy
WEB = WebConfig(sessions=1, drain_s=0.0)


def show(**web):
    """Small pictures, room for one."""
    config = ShowConfig(live=PATIENT, web=replace(WEB, **web))
    return replace(config, renderer=replace(config.renderer, width=128, height=128))


@asynccontextmanager
async def serving(config, token=None, wings=None):
    """A server, loaded, and a client of it."""
    async with opened(config, Address(port=0, token=token), wings) as (server, address):
        await asyncio.wait_for(server.opened.wait(), 30)
        async with ClientSession(address.url) as client:
            yield server, client


@asynccontextmanager
async def serving_nobody(token=None, **web):
    """As `serving`, for what needs no singer: up at once."""

    async with serving(show(**web), token, Wings(nobody)) as served:
        yield served


@pytest.fixture(scope="module")
def runner():
    """The loop of the one server; nothing in it moves between tests."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def house(runner):
    """One server for all, and a client of it."""
    doors = AsyncExitStack()
    try:
        yield runner.run(doors.enter_async_context(serving(show())))
    finally:
        runner.run(doors.aclose())


@pytest.fixture
def run(runner, house):
    """Runs `scenario(server, client)` there; each leaves the house as it was."""
    server, client = house
    for rate in server._rates.values():
        rate._levels.clear()
    server.sessions.counts = Counts()

    def run(scenario, seconds=90):
        async def bounded():
            async with asyncio.timeout(seconds):
                try:
                    await scenario(server, client)
                finally:
                    await gone(server)

        runner.run(bounded())

    return run


async def gone(server):
    """Wait until no show is left."""
    for session in server.sessions.live:
        await server.sessions.end(session.id)
    await asyncio.gather(*server.sessions._ending, *server.sessions._leaving)


def run_apart(scenario, seconds=90):
    """A scenario with a server, or none, of its own."""

    async def bounded():
        async with asyncio.timeout(seconds):
            await scenario()

    asyncio.run(bounded())


def test_a_peer_sees_and_hears_the_demo_on_one_clock(run):
    async def scenario(server, client):
        visitor = Visitor(client)
        status, answer = await visitor.ask(input="demo")
        assert status == 201
        assert set(answer) == {"sdp", "type", "session"}
        await visitor.seen(75)
        await check_clock(visitor)
        other = Visitor(client)
        status, answer = await other.ask(input="demo")
        assert (status, answer["error"]) == (503, "all 1 places are taken")
        await other.leave()
        async with client.delete(f"/sessions/{visitor.session}") as response:
            assert response.status == 204
        assert len(server.sessions) == 0
        await visitor.leave()
        shows = [t.name for t in threading.enumerate() if t.name.startswith("cantar")]
        assert shows == []

    run(scenario)


async def a_show_and_its_singer(client, server):
    """Of a show that was seen and watched, and is over."""
    visitor = Visitor(client)
    await visitor.ask(input="demo")
    await visitor.seen(15)
    assert any(message["type"] == "levels" for message in visitor.messages)
    (session,) = server.sessions.live
    found = weakref.ref(session), weakref.ref(session.performer.cast.avatar)
    await visitor.leave()
    await gone(server)
    return found


def test_a_show_that_is_over_is_forgotten(run):
    async def scenario(server, client):
        show, _ = await a_show_and_its_singer(client, server)
        gc.collect()
        assert show() is None

    run(scenario)


def test_a_server_that_has_ended_keeps_no_singer():
    """aiohttp keeps the server itself for good."""
    left = []

    async def scenario():
        async with serving(show()) as (server, client):
            left.extend(await a_show_and_its_singer(client, server))

    run_apart(scenario)
    gc.collect()
    assert [it() for it in left] == [None, None]


async def check_clock(visitor):
    """Time stamps step by a frame; sound and picture of one instant come together."""
    stamps = [t for t, _, _ in visitor.pictures]
    steps = np.round(np.diff(stamps) * 30)
    assert (steps >= 1).all()
    assert visitor.pictures[0][2].width == 128
    sound = np.concatenate([samples for _, _, samples in visitor.sounds], axis=1)
    assert np.abs(sound).max() > 0.02  # the song, not silence
    kinds = {message["type"] for message in visitor.messages}
    assert "levels" in kinds
    late_pictures = np.median([at - t for t, at, _ in visitor.pictures[30:]])
    late_sounds = np.median([at - t for t, at, _ in visitor.sounds[30:]])
    first = visitor.pictures[0][0] - visitor.sounds[0][0]
    assert abs(late_pictures - late_sounds) < 0.25, first


def test_a_voice_comes_back_delayed_with_its_picture(run):
    """Clicks sung into the microphone return once each, in stereo, at one constant delay."""

    async def scenario(server, client):
        song = np.zeros((2, 48_000 * 4), np.float32)
        for click in range(4):
            start = 24_000 + 40_000 * click
            song[:, start : start + 960] = 0.8 * np.sin(np.arange(960) * 0.13)
        for _ in range(3):
            onsets, starved = await heard_clicks(server, client, song)
            if not starved:
                break
        else:
            pytest.skip(
                f"this machine is too busy for a live show: sound was late or lost, {starved}"
            )
        assert len(onsets) == 4
        assert (np.abs(np.diff(onsets) - 40_000 / 48_000) < 0.03).all()

    run(scenario)


async def heard_clicks(server, client, song):
    """When, s of the show, each click that was sung came back; what the show itself counts of sound
    that came too late or was given up."""
    visitor = Visitor(client, song)
    assert (await visitor.ask(input="microphone"))[0] == 201
    (session,) = server.sessions.live
    await visitor.seen(110)
    level = np.array([np.abs(samples).max() for _, _, samples in visitor.sounds])
    when = np.array([t for t, _, _ in visitor.sounds])
    stats = session.line.stats
    starved = stats.sound_late + stats.gaps + stats.lost + session.incoming._ring.gaps
    await visitor.leave()
    await gone(server)
    return when[1:][(level[1:] > 0.3) & (level[:-1] <= 0.3)], starved


def test_a_show_goes_on_for_a_page_that_lost_its_connection(run):
    async def scenario(server, client):
        first = Visitor(client)
        await first.ask(input="demo")
        await first.seen(30)
        frame = round(first.pictures[-1][0] * 30)
        await first.leave()
        again = Visitor(client)
        status, _ = await again.ask(session=first.session)
        assert status == 201
        assert again.session == first.session
        await again.seen(20)
        (session,) = server.sessions.live
        assert session.line.next_frame > frame + 20
        assert server.sessions.counts.resumed == 1
        await again.leave()
        gone = Visitor(client)
        assert (await gone.ask(session="x"))[0] == 404
        await gone.leave()

    run(scenario)


def test_the_avatar_changes_while_it_sings(run):
    async def scenario(server, client):
        visitor = Visitor(client)
        await visitor.ask(input="demo", background="#00ff00")
        await visitor.seen(20)
        change = {"avatar": "kai", "background": "#ff0000", "style": 5}
        async with client.patch(f"/sessions/{visitor.session}", json=change) as response:
            assert response.status == 204
        await visitor.seen(len(visitor.pictures) + 15)
        corner = [p.to_ndarray(format="rgb24")[2, 2] for _, _, p in visitor.pictures]
        assert corner[3][1] > 200
        assert corner[-1][0] > 200
        (session,) = server.sessions.live
        assert session.performer.config.avatar == "kai"
        assert session.line.stats.frames >= 35
        await visitor.leave()

    run(scenario)


def test_of_many_changes_the_last_one_wins_and_none_outlives_its_show(run):
    """However long each takes to load."""

    async def scenario(server, client):
        visitor = Visitor(client)
        await visitor.ask(input="microphone")
        (session,) = server.sessions.live
        colours = ["#ff0000", "#00ff00", "#0000ff"]
        change = functools.partial(server.sessions.change, session.id)
        await asyncio.gather(*(change(Wish(background=colour)) for colour in colours))
        assert session.performer.config.renderer.background == colours[-1]
        late = asyncio.ensure_future(change(Wish(background="#ffffff")))
        await asyncio.sleep(0)
        await server.sessions.end(session.id)
        await late
        assert session.performer.config.renderer.background == colours[-1]
        assert len({id(cast) for cast in server.sessions._wings._waiting}) == 1
        await visitor.leave()

    run(scenario)


def test_pictures_travel_as_h264_where_the_operator_likes_it_better(run, monkeypatch):
    async def scenario(server, client):
        monkeypatch.setattr(server.sessions, "config", show(codec="h264"))
        visitor = Visitor(client)
        _, answer = await visitor.ask(input="demo", background="#ff0000")
        video = answer["sdp"].split("m=video")[1]
        first = video.split("\r\n")[0].split()[2]
        assert f"a=rtpmap:{first} H264/90000" in video
        await visitor.seen(10)
        red, green, _ = visitor.pictures[-1][2].to_ndarray(format="rgb24")[2, 2]
        assert red > 200 > 60 > green
        await visitor.leave()

    run(scenario)


def test_of_two_connections_to_a_show_one_has_it_and_none_outlives_it(run):
    async def scenario(server, client):
        first = Visitor(client)
        await first.ask(input="demo")
        (session,) = server.sessions.live
        again = [Visitor(client) for _ in range(2)]
        answers = await asyncio.gather(*(visitor.ask(session=session.id) for visitor in again))
        assert sorted(status for status, _ in answers) == [201, 409]
        late = Visitor(client)
        asked = asyncio.ensure_future(server.sessions.resume(session.id, await late.offer()))
        await asyncio.sleep(0)
        await server.sessions.end(session.id)
        with pytest.raises(Refused):
            await asked
        assert session.peer.state == "closed"
        for visitor in (first, *again, late):
            await visitor.leave()

    run(scenario)


def test_the_control_room_directs_every_show_also_those_to_come(run):
    async def scenario(server, client):
        async def ask(request):
            async with client.patch("/direction", json=request) as response:
                return response.status, await response.json()

        assert (await ask({"mouth": 3}))[0] == 400
        assert (await ask({"mouth": 0.0, "style": 5}))[1]["mouth"] == 0
        visitor = Visitor(client)
        await visitor.ask(input="demo")
        (session,) = server.sessions.live
        assert session.director.asked()["mouth"] == 0
        cast = session.performer.cast
        assert cast.avatar.face.code[..., 5] == 1
        assert (await ask({"overlays": {"wink": 1}}))[0] == 200
        assert session.director.asked()["overlays"] == {"wink": 1}
        await visitor.leave()
        await server.sessions.end(session.id)
        assert cast.avatar.face.code[..., cast.config.style] == 1  # for whoever has it next
        await ask({"reset": True, "style": cast.config.style})

    run(scenario)


def test_a_show_that_cannot_be_watched_ends_and_the_next_one_is_watched(run, caplog):
    async def scenario(server, client):
        ill, well = Visitor(client), Visitor(client)
        await ill.ask(input="demo")
        await ill.seen(1)
        (session,) = server.sessions.live
        session.levels = None  # not even callable
        await asyncio.wait_for(ill.hung_up.wait(), 10)
        await gone(server)
        await well.ask(input="demo")
        await asyncio.wait_for(well.told.wait(), 10)
        for visitor in (ill, well):
            await visitor.leave()

    run(scenario)
    assert "cannot be watched" in caplog.text


def test_a_page_that_says_goodbye_or_never_comes_leaves_its_place(run):
    async def scenario(server, client):
        visitor = Visitor(client)
        await visitor.ask(input="demo")
        await visitor.seen(3)
        for nonsense in ("[" * 4000, "{", "7", '{"avDelay": NaN}', "x" * 5000, b"\xff\0"):
            visitor.channel.send(nonsense)
        await visitor.seen(len(visitor.pictures) + 5)
        visitor.channel.send('{"bye": true}')
        await asyncio.wait_for(visitor.hung_up.wait(), 10)
        assert len(server.sessions) == 0
        await gone(server)
        await visitor.leave()
        never = Visitor(client)
        await never.ask(input="microphone")
        (session,) = server.sessions.live
        assert server.sessions.overdue(session) is None
        session.alone_since = session.began = -1e6
        assert "at most 120 minutes" in server.sessions.overdue(session)
        await never.leave()

    run(scenario)


# ---- everything that is not a page's request ----------------------------------------------------

JSON = {"Content-Type": "application/json"}
SDP = '{"type":"offer","sdp":"%s"}'
TWO = r"m=audio\nm=video\n"
BAD = [  # method, path, headers, body → status
    ("GET", "/nothing", {}, b"", 404),
    ("GET", "/../engine/avatar.py", {}, b"", 404),
    ("GET", "/%2e%2e/engine/avatar.py", {}, b"", 404),
    ("GET", "/avatars/..%2f..%2frun_live.png", {}, b"", 404),
    ("GET", "/avatars/nobody.png", {}, b"", 404),
    ("PUT", "/offer", {}, b"", 405),
    ("POST", "/", {}, b"", 405),
    ("POST", "/offer", {}, b"", 415),
    ("POST", "/offer", {"Content-Type": "text/plain"}, b"{}", 415),
    ("POST", "/offer", JSON, b"", 400),
    ("POST", "/offer", JSON, b"[1]", 400),
    ("POST", "/offer", JSON, b'{"type":', 400),
    ("POST", "/offer", JSON, b"[" * 60_000, 400),
    ("POST", "/offer", JSON, b'{"type":"answer","sdp":"x"}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":7}', 400),
    ("POST", "/offer", JSON, (SDP % "v=0").encode(), 400),
    ("POST", "/offer", JSON, (SDP % TWO).encode(), 400),
    ("POST", "/offer", JSON, (SDP % "\\u0000" * 99).encode(), 400),
    ("POST", "/offer", JSON, (SDP % ("a=" + "x" * 1_000_000)).encode(), 413),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","avatar":"../../etc"}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","style":1e9}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","style":true}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","background":"url(x)"}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","input":"file:///etc/passwd"}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","input":"song"}', 400),
    ("POST", "/offer", JSON, b'{"type":"offer","sdp":"","volume":11}', 400),
    ("PATCH", "/sessions/x", JSON, b"{}", 404),
    ("DELETE", "/sessions/x", {}, b"", 404),
    ("POST", "/songs", {}, b"", 400),
    ("POST", "/songs", {}, b"no song at all", 422),
    ("POST", "/songs", {"Content-Length": str(2 << 30)}, None, 413),
    ("POST", "/offer", {"Origin": "http://evil.example"}, b"{}", 403),
    ("GET", "/config", {"Host": "evil.example"}, b"", 403),
    ("GET", "/motion", {}, b"", 400),
]


def test_bad_requests_are_4xx_in_json_and_disturb_nobody(run, monkeypatch):
    async def scenario(server, client):
        visitor = Visitor(client)
        for kind in ("offer", "song"):
            monkeypatch.setattr(server._rates[kind], "_count", 1000)
        monkeypatch.setattr(server.sessions, "capacity", 2)
        await visitor.ask(input="demo")
        await visitor.seen(10)
        for method, path, headers, body, status in BAD:
            got, text = await raw(client, method, path, headers, body)
            assert got == status, (method, path, body and body[:60], text)
            assert text.startswith('{"error": "'), (path, text)
            assert str(ROOT) not in text
        stranger = Visitor(client)
        assert (await stranger.ask(input="song", song="../../etc/passwd"))[0] == 422
        await stranger.leave()
        seen = len(visitor.pictures)
        await visitor.seen(seen + 10)
        assert len(server.sessions) == 1
        await visitor.leave()

    run(scenario)


async def raw(client, method, path, headers, body):
    """One request as it is, without a client's good manners; status and the answer's body."""
    base = client._base_url
    reader, writer = await asyncio.open_connection(base.host, base.port)
    head = {"Host": f"{base.host}:{base.port}", "Connection": "close"}
    if body:
        head["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (head | headers).items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b"")[:200_000])
    answer = await reader.read()
    writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), text.decode()


def test_too_many_requests_are_429_with_a_time_to_wait(run):
    async def scenario(server, client):
        statuses = []
        for _ in range(40):
            async with client.post("/offer", json={}) as response:
                statuses.append(response.status)
        assert statuses[:30] == [400] * 30
        assert statuses[-1] == 429
        assert int(response.headers["Retry-After"]) >= 1

    run(scenario)


def test_who_comes_before_the_singer_is_asked_to_come_again(run, monkeypatch):
    monkeypatch.setattr("streaming.server.LOADING_S", 0.0)

    async def scenario(server, client):
        monkeypatch.setattr(server, "opened", asyncio.Event())
        visitor = Visitor(client)
        status, answer = await visitor.ask(input="demo")
        assert (status, answer["error"]) == (503, "the avatar is still getting ready")
        await visitor.leave()

    run(scenario)


def test_an_avatar_of_ones_own_is_offered_and_no_page_learns_where_it_lies(tmp_path):
    folder = tmp_path / "secret place" / "me"
    shutil.copytree(IDENTITIES / "kai", folder)
    text = (folder / "identity.yaml").read_text(encoding="utf-8").replace("title: Kai", "title: Me")
    (folder / "identity.yaml").write_text(text, encoding="utf-8")
    config = replace(show(), avatar=str(folder))

    async def scenario():
        async with serving(config, wings=Wings(nobody)) as (server, client):
            async with client.get("/config") as response:
                told = await response.json()
                assert "secret" not in await response.text()
            assert told["avatar"] == "own"
            assert [x["title"] for x in told["avatars"] if x["name"] == "own"] == ["Me"]
            async with client.get("/avatars/own.png") as response:
                assert (response.status, response.content_type) == (200, "image/png")
            visitor = Visitor(client)
            assert (await visitor.ask(avatar="own"))[0] == 201
            (session,) = server.sessions.live
            assert session.performer.config.avatar == str(folder)
            await visitor.leave()

    run_apart(scenario)
    assert Wish(avatar="own").of(show()).avatar == show().avatar


def test_with_a_token_nothing_is_told_without_it():
    async def scenario():
        async with serving_nobody(token="hush hush") as (_, client):
            for method, path in (("GET", "/config"), ("POST", "/offer"), ("POST", "/songs"),
                                 ("GET", "/metrics"), ("DELETE", "/sessions/x"),
                                 ("POST", "/ticket"), ("GET", "/motion"),
                                 ("GET", "/direction"), ("PATCH", "/direction")):  # fmt: skip
                async with client.request(method, path) as response:
                    assert response.status == 401, path
            async with client.post("/login", json={"token": "hush"}) as response:
                assert response.status == 401
            async with client.post("/login", json={"token": "hush hush"}) as response:
                got = (await response.json())["pass"]
            bearer = {"Authorization": f"Bearer {got}"}
            for path in ("/config", "/metrics"):
                async with client.get(path, headers=bearer) as response:
                    assert response.status == 200
            for word, status in ((got, 401), ("hush hush", 200)):  # a pass is for one's own show
                bearer = {"Authorization": f"Bearer {word}"}
                async with client.get("/direction", headers=bearer) as response:
                    assert response.status == status
            async with client.get("/") as response:
                assert response.status == 200  # the page itself, which then asks for the token

    run_apart(scenario)


def test_a_site_that_the_operator_named_may_ask_and_no_other():
    async def scenario():
        async with serving_nobody(origins=["https://my.site"]) as (_, client):
            mine, other = {"Origin": "https://my.site"}, {"Origin": "https://other.site"}
            async with client.options("/offer", headers=mine) as response:
                assert response.status == 204
                assert "POST" in response.headers["Access-Control-Allow-Methods"]
            async with client.get("/config", headers=mine) as response:
                assert response.headers["Access-Control-Allow-Origin"] == "https://my.site"
            async with client.options("/offer", headers=other) as response:
                assert response.status == 403
                assert "Access-Control-Allow-Origin" not in response.headers
            async with client.options("/offer") as response:
                assert response.status == 405

    run_apart(scenario)


def test_pages_carry_a_strict_policy_and_no_inline_script(run):
    async def scenario(server, client):
        for path in ("/", "/stage", "/control"):
            async with client.get(path) as response:
                text, policy = await response.text(), response.headers
                assert "default-src 'none'" in policy["Content-Security-Policy"]
                assert "unsafe" not in policy["Content-Security-Policy"]
                assert policy["X-Content-Type-Options"] == "nosniff"
                assert "Access-Control-Allow-Origin" not in policy
                executed = r'<script(?! type="importmap"|[^>]* src=)'
                assert not re.search(executed + r"|\son\w+=|style=", text)
        async with client.get("/healthz") as response:
            assert response.status == 200
        async with client.get("/readyz") as response:
            assert response.status == 200
        async with client.get("/metrics") as response:
            text = await response.text()
        assert "cantar_sessions 0.0" in text
        assert 'cantar_delay_seconds{quantile="0.95"}' in text

    run(scenario)


def test_a_port_that_is_taken_is_one_line_for_people():
    async def scenario():
        async with serving_nobody() as (_, client):
            with pytest.raises(UserError, match=r"cannot serve at .*another port: --serve PORT"):
                async with opened(show(), Address(port=client._base_url.port), Wings(nobody)):
                    raise AssertionError("never here")

    run_apart(scenario)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_server_says_where_it_is_and_ends_when_asked(number, code, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_live.py"), "--serve", "0"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={k: v for k, v in os.environ.items() if "DISPLAY" not in k},
    )  # fmt: skip
    line = process.stdout.readline()
    assert re.fullmatch(r"Cantar sings at http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)\n", line)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", "")


def test_whoever_serves_others_without_tls_is_warned(monkeypatch, caplog):
    """In one line, and the token stands in none."""
    up = functools.partial(opened, wings=Wings(nobody))
    monkeypatch.setattr("streaming.server.opened", up)
    said = []

    def stop(line):
        said.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve(show(), Address("0.0.0.0", 0, "hush hush"), stop) == 0
    assert len(said) == 1
    (record,) = caplog.records
    assert record.message.startswith("without --tls-cert")
    assert "hush" not in record.message + said[0]


@pytest.mark.parametrize(("platform", "display", "shown"), [
    ("linux", ":0", True), ("linux", None, False), ("darwin", None, True),
])  # fmt: skip
def test_the_page_is_opened_where_there_is_a_desktop(platform, display, shown, monkeypatch):
    pages = []
    monkeypatch.setattr("webbrowser.open", pages.append)
    monkeypatch.setattr("sys.platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display is not None:
        monkeypatch.setenv("DISPLAY", display)
    run_live._open_page("http://127.0.0.1:8080")
    assert pages == ["http://127.0.0.1:8080"] * shown


def test_a_server_without_a_singer_ends_and_says_why(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run_live.py"), "--serve", "0", "--set", "backend=tensorrt"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2
    assert re.fullmatch(r"cantar: .*tensorrt.*\n", ended.stderr)
