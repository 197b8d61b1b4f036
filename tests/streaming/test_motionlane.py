"""Motion for pages that draw for themselves: whole, apart, bounded, and no pictures made for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import SimpleNamespace

import numpy as np
import pytest
from aiohttp import ClientSession

from engine.motion import vrm
from engine.motion.blendshapes import JAW_OPEN
from engine.signals import F32
from engine.timeline import SAMPLE_RATE
from streaming.line import LiveConfig, ShowConfig
from streaming.motionlane import MOST_WAITING, NAMES, MotionLane, motion_message
from streaming.schemes import open_source
from streaming.server import Address, opened
from streaming.webconfig import WebConfig
from streaming.wish import UNDRAWN, Wish
from tests.streaming.peers import a_motion
from tests.visitor import Visitor

SUNG_AT = 8  # s of the demo
CONFIG = ShowConfig(live=LiveConfig(margin_ms=120), web=WebConfig(sessions=2, drain_s=0.0))


@pytest.fixture(scope="module")
def run():
    """Runs `scenario(server, client)` with the one server of all tests."""
    doors = AsyncExitStack()

    async def open_doors():
        server, address = await doors.enter_async_context(opened(CONFIG, Address(port=0)))
        await asyncio.wait_for(server.opened.wait(), 60)
        return server, await doors.enter_async_context(ClientSession(address.url))

    with asyncio.Runner() as runner:
        place = runner.run(open_doors())
        yield lambda scenario: runner.run(asyncio.wait_for(scenario(*place), 90))
        runner.run(doors.aclose())


# ---- a message ----------------------------------------------------------------------------------


def test_a_message_holds_what_was_moved_and_fits_one_packet() -> None:
    for frame in range(30):
        sung = a_motion(frame)
        message = json.loads(motion_message(sung))
        assert set(message) == {"frame", "presets", "shapes", "gaze", "chest", "neck", "head"}
        assert message["frame"] == frame
        assert message["shapes"] == pytest.approx(sung.blendshapes.tolist(), abs=1e-4)
        assert message["presets"] == pytest.approx(vrm.vrm1(sung).tolist(), abs=1e-4)
        assert message["gaze"] == pytest.approx(sung.gaze.tolist(), abs=1e-4)
        for name, turn in zip(("chest", "neck", "head"), vrm.torso(sung), strict=True):
            assert message[name] == pytest.approx(turn, abs=1e-4)
        assert len(motion_message(sung)) <= 900
    assert [len(NAMES[name]) for name in ("presets", "shapes")] == [18, 52]


def test_a_wish_for_motion_has_no_pictures_and_draws_nothing() -> None:
    assert Wish(motion=True).of(CONFIG).renderer.name == UNDRAWN
    with pytest.raises(ValueError, match="matte: a show of motion has no pictures"):
        Wish(motion=True, matte=True)
    with pytest.raises(ValueError, match="motion: expected true or false"):
        Wish(motion="yes")  # type: ignore[arg-type]


async def leave(server, *visitors: Visitor) -> None:
    """Hang up, and wait until the shows are over."""
    await asyncio.gather(*(visitor.leave() for visitor in visitors))
    await asyncio.gather(*(server.sessions.end(session.id) for session in server.sessions.live))


def a_sung_line() -> F32:
    """[2, 5 s] of the demo, from where its voice begins."""
    source, parts = open_source("demo", seconds=SUNG_AT + 5), []
    while (sound := source.read()) is not None:
        parts.append(sound.samples)
    source.close()
    return np.concatenate(parts, axis=1)[:, SUNG_AT * SAMPLE_RATE :]


# ---- shows --------------------------------------------------------------------------------------


def test_two_stages_get_their_own_motion_and_nobody_draws(run) -> None:
    """One sings, one is silent: each frame once, each jaw its own, no picture and none drawn."""

    async def scenario(server, client) -> None:
        singing = Visitor(client, a_sung_line(), draws=True)
        silent = Visitor(client, np.zeros((2, 480), np.float32), draws=True)
        assert (await singing.ask(input="microphone"))[0] == 201
        assert (await silent.ask(input="microphone"))[0] == 201
        for session in server.sessions.live:
            assert session.performer.config.renderer.name == UNDRAWN
        await asyncio.gather(singing.moved(130), silent.moved(130))
        for visitor in (singing, silent):
            frames = [motion["frame"] for motion in visitor.motions]
            assert len(set(frames)) == len(frames)
            assert max(frames) - min(frames) < 1.1 * len(frames)
            assert visitor.pictures == []
        jaws = [np.array([m["shapes"][JAW_OPEN] for m in v.motions]) for v in (singing, silent)]
        assert jaws[0].max() > 0.25
        assert jaws[1].max() < 0.1
        assert singing.sounds  # what is sung comes with it
        async with client.patch(f"/sessions/{singing.session}", json={"style": 4}) as answer:
            assert answer.status == 204
        before = len(singing.motions)
        await singing.moved(before + 30)
        (first, _) = server.sessions.live
        assert first.performer.config.renderer.name == UNDRAWN
        await leave(server, singing, silent)

    run(scenario)


def test_a_page_that_takes_nothing_loses_frames_and_holds_up_nobody(run) -> None:
    """From its 30th frame on one page's network swallows all: what waits for it stays bounded, and
    the other page's motion goes on."""

    async def scenario(server, client) -> None:
        deaf, other = Visitor(client, draws=True), Visitor(client, draws=True)
        assert (await deaf.ask(input="demo"))[0] == 201
        (session,) = server.sessions.live
        assert (await other.ask(input="demo"))[0] == 201
        await deaf.moved(30)

        async def swallow(data: bytes) -> None:
            return None

        deaf.pc.sctp._handle_data = swallow
        lane = session.peer.screen
        channel, most = lane._channel, 0
        before = len(other.motions)
        while lane.lost < 60:
            await other.moved(len(other.motions) + 1)
            most = max(most, channel.bufferedAmount)
        assert 0 < most <= MOST_WAITING
        assert len(other.motions) - before >= 60
        assert session.line.next_frame > 60
        await leave(server, deaf, other)

    run(scenario)


def test_motion_waits_for_no_page_and_a_new_one_gets_it() -> None:
    """Frames before the channel is there are not kept; another peer's channel gets the next."""

    sent: list[list[str]] = [[], []]
    lane = MotionLane()
    lane.offer("0")
    for kept, message in zip(sent, "12", strict=True):
        channel = SimpleNamespace(readyState="open", bufferedAmount=0, send=kept.append)
        lane.open(channel)  # type: ignore[arg-type]
        lane.offer(message)
    lane.stop()
    lane.offer("3")
    assert (sent, lane.lost) == ([["1"], ["2"]], 0)


# ---- what no page asks --------------------------------------------------------------------------


def test_offers_of_the_wrong_sections_are_refused(run) -> None:
    async def scenario(server, client) -> None:
        for draws, motion, why in ((True, False, "one for pictures"), (False, True, "none for")):
            visitor = Visitor(client, draws=draws)
            status, answer = await visitor.ask(input="demo", motion=motion)
            assert (status, why in answer["error"]) == (400, True)
            await visitor.leave()
        assert len(server.sessions) == 0

    run(scenario)
