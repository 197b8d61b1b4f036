"""Sound in, motion out over a WebSocket: equal to a file's run, bounded, and rid of bad clients."""

from __future__ import annotations

import asyncio
import json
import socket as tcp
import subprocess
import sys
import wave
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession, TCPConnector, WSMsgType, web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

import run_live
from engine.motion.blendshapes import JAW_OPEN
from engine.signals import Sound
from engine.timeline import FRAME, samples_needed
from streaming import motionsocket
from streaming.line import ShowConfig
from streaming.motionfile import frame_line
from streaming.motionsocket import Format, Listener, Motions
from tests.browser import Browser
from tests.fakes import FakeAvatar
from tests.serving import Served
from tests.streaming.test_page import READY

CLIENTS = Path(__file__).resolve().parents[2] / "docs" / "clients"
HELLO = {"rate": 48_000, "channels": 1, "format": "s16"}
SONG = (0.5 * np.sin(np.arange(16_521) * 0.05) * np.minimum(1, np.arange(16_521) / 9000)).astype(
    np.float32
)


def pcm(samples=SONG) -> bytes:
    return np.round(samples * 32767).astype("<i2").tobytes()


def heard_whole(avatar) -> list[str]:
    """What a file's run makes of SONG."""
    samples = np.frombuffer(pcm(), "<i2").astype(np.float32) * np.float32(2**-15)
    frames = -(-len(samples) // FRAME)
    missing = samples_needed(frames - 1, avatar.config.lookahead) - len(samples)
    whole = np.pad(samples, (0, missing))[None]
    motions, _ = avatar.hear(Sound(whole, 0), avatar.initial_state())
    return [frame_line(motion).rstrip("\n") for motion in motions]


def shallow_socket() -> tcp.socket:
    """A socket in which little can wait: the system's own buffers would hold minutes of motion."""
    made = tcp.socket()
    for direction in (tcp.SO_RCVBUF, tcp.SO_SNDBUF):
        made.setsockopt(tcp.SOL_SOCKET, direction, 8192)
    made.setblocking(False)
    return made


def shallow_server(host: str, port: int, family: tcp.AddressFamily) -> tcp.socket:
    """The same, bound: what comes to it is as shallow."""
    made = shallow_socket()
    made.bind((host, port))
    return made


@asynccontextmanager
async def listening(load=lambda config: FakeAvatar(), *, shallow=False, **more):
    """A socket server with an avatar that hears in microseconds, and a client of it."""
    motions = Motions(ShowConfig(), load, **more)
    app = web.Application()
    app.router.add_get("/motion", motions.answer)

    async def hang_up(app):
        motions.close()

    app.on_shutdown.append(hang_up)
    server = TestServer(app, **({"socket_factory": shallow_server} if shallow else {}))
    await server.start_server()
    try:
        connector = TCPConnector(socket_factory=(lambda _: shallow_socket()) if shallow else None)
        async with ClientSession(connector=connector) as client:
            yield server.make_url("/motion"), client, motions
    finally:
        await server.close()


def run(scenario, seconds=30):
    async def bounded():
        async with asyncio.timeout(seconds):
            await scenario()

    asyncio.run(bounded())


async def told(socket) -> list[str]:
    """Everything until the server hangs up."""
    return [message.data async for message in socket if message.type == WSMsgType.TEXT]


# ---- laws ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 7000), max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_messages_give_the_same_motion_as_the_whole(sizes):
    listener, data = Listener(FakeAvatar(), Format()), pcm()
    motions = []
    for size in sizes:
        motions += listener.hear(data[: 2 * size])
        data = data[2 * size :]
    motions += listener.hear(data) + listener.end()
    assert [frame_line(motion).rstrip("\n") for motion in motions] == heard_whole(FakeAvatar())


def test_another_rate_gives_as_many_frames_and_takes_as_long():
    listener = Listener(FakeAvatar(), Format(rate=16_000))
    motions = listener.hear(pcm(SONG[::3])) + listener.end()
    assert [motion.frame for motion in motions] == list(range(-(-len(SONG) // FRAME)))


def test_two_clients_never_touch():
    async def scenario():
        async with listening() as (url, client, _):
            one, other = await client.ws_connect(url), await client.ws_connect(url)
            for socket in (one, other):
                await socket.send_json(HELLO)
            await one.send_bytes(pcm())
            await other.send_bytes(bytes(2 * len(SONG)))
            await one.send_str("end")
            await other.send_str("end")
            header, *lines = await told(one)
            assert json.loads(header)["cantar_motion"] == 1
            assert lines == heard_whole(FakeAvatar())
            assert await told(other) != lines

    run(scenario)


# ---- bounds -------------------------------------------------------------------------------------


def test_who_does_not_read_is_not_heard_further():
    """A minute of sound, and nobody reads: hearing stops early, memory does not grow."""
    heard = []

    async def scenario():
        load = lambda config: FakeAvatar(on_hear=lambda sound: heard.append(sound.end))  # noqa: E731
        async with listening(load, shallow=True) as (url, client, _):
            socket = await client.ws_connect(url)
            await socket.send_json(HELLO)
            protocol = socket._reader._protocol
            protocol.pause_reading()
            with pytest.raises(TimeoutError):  # it is not even taken off the wire
                await asyncio.wait_for(pour(socket), 2)
            protocol.transport.abort()

    async def pour(socket):
        for _ in range(60):
            await socket.send_bytes(bytes(2 * 48_000))

    run(scenario)
    assert heard[-1] < 30 * 48_000


def test_while_shows_run_sound_is_heard_at_twice_its_pace_at_most():
    async def scenario():
        async with listening(busy=lambda: True) as (url, client, _):
            socket = await client.ws_connect(url)
            await socket.send_json(HELLO)
            await socket.send_bytes(bytes(2 * 48_000))
            await socket.send_bytes(bytes(2 * 48_000))
            began = asyncio.get_running_loop().time()
            for _ in range(1 + 30):
                await socket.receive()
            assert asyncio.get_running_loop().time() - began > 0.4

    run(scenario)


def test_a_third_client_is_asked_to_come_later_and_places_come_free():
    async def scenario():
        async with listening() as (url, client, motions):
            sockets = [await client.ws_connect(url) for _ in range(3)]
            message = await sockets[2].receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, motionsocket.TRY_LATER)
            await sockets[0].close()
            await sockets[1].close()
            while motions.clients:
                await asyncio.sleep(0.01)

    run(scenario)


def test_a_client_that_says_nothing_is_left(monkeypatch):
    monkeypatch.setattr(motionsocket, "SILENCE_S", 0.2)

    async def scenario():
        async with listening() as (url, client, motions):
            socket = await client.ws_connect(url)
            message = await socket.receive()
            assert message.type == WSMsgType.CLOSE
            await socket.close()
            while motions.clients:
                await asyncio.sleep(0.01)

    run(scenario)


BAD = [
    ("[]", "rate, channels and format"),
    ("{", "must be JSON"),
    ('{"rate": 1e9}', "8000 to 192000"),
    ('{"rate": 48000, "path": "/etc"}', "rate, channels and format"),
    ('{"channels": 3}', "1 or 2"),
    ('{"format": "mp3"}', "s16 or f32"),
    (b"\0\0", "must be text"),
    ('{"rate": 48000}', b"\0"),
    ('{"format": "f32"}', np.float32(np.nan).tobytes()),
    ('{"rate": 48000}', "start"),
]


@pytest.mark.parametrize(("first", "second"), BAD)
def test_bad_clients_are_told_why(first, second):
    async def scenario():
        async with listening() as (url, client, motions):
            socket = await client.ws_connect(url)
            for message in (
                first,
                second if isinstance(second, bytes) or second == "start" else None,
            ):
                if isinstance(message, str):
                    await socket.send_str(message)
                elif message is not None:
                    await socket.send_bytes(message)
            lines = await told(socket)
            assert len(lines) <= 1
            assert socket.close_code == motionsocket.BAD_DATA
            while motions.clients:
                await asyncio.sleep(0.01)

    run(scenario)


def test_a_message_beyond_the_limit_ends_the_connection():
    async def scenario():
        async with listening() as (url, client, motions):
            socket = await client.ws_connect(url)
            await socket.send_json(HELLO)
            await socket.send_bytes(bytes(motionsocket.MOST + 2))
            await told(socket)
            assert socket.close_code == 1009
            while motions.clients:
                await asyncio.sleep(0.01)

    run(scenario)


# ---- the example clients, against the real server -----------------------------------------------


def test_the_example_clients_get_what_a_file_would(server: Served, tmp_path: Path) -> None:
    """Python's prints the motion file of its song; JavaScript's gets the same frames."""
    song, out = tmp_path / "song.wav", tmp_path / "song.jsonl"
    with wave.open(str(song), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(pcm())
    assert run_live.main(["--input", str(song), "--output", str(out)]) == 0
    expected = [json.loads(line) for line in out.read_text().splitlines()]
    url = server.url.replace("http", "ws") + "/motion"
    client = [sys.executable, str(CLIENTS / "motion.py"), str(song), url]
    got = subprocess.run(client, capture_output=True, text=True, timeout=60, check=True).stdout
    lines = [json.loads(line) for line in got.splitlines()]
    assert lines[1:] == expected[1:]
    assert lines[0]["blendshapes"] == expected[0]["blendshapes"]
    with Browser(tmp_path) as page:
        page.open(server.url)
        page.until(READY)
        page.run((CLIENTS / "motion.js").read_text().replace("export function", "function"))
        samples = (np.frombuffer(pcm(), "<i2") / 32768).tolist()
        script = f"""(async () => {{
            const frames = [], voice = follow('{url}', 48000, (frame) => frames.push(frame));
            voice.send(Float32Array.from({samples}));
            voice.end();
            await voice.over;
            return frames;
        }})()"""
        frames = page.run(script)
    assert [f["blendshapes"] for f in frames] == [f["blendshapes"] for f in expected[1:]]
    assert frames[0]["shapes"]["jawOpen"] == frames[0]["blendshapes"][JAW_OPEN]
