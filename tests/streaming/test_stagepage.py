"""`--output stage`: a show's motion for the pages that follow it, the newest first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from aiohttp import ClientSession, ClientWSTimeout, TCPConnector, WSMsgType, WSServerHandshakeError

from streaming import models
from streaming.live import run_live
from streaming.motionlane import motion_message
from streaming.ports import UserError
from streaming.schemes import check_sink, open_sink
from streaming.stagepage import MOST_PAGES, PORT, Newest, Stage, read_port
from tests.browser import Browser, wait_for
from tests.fakes import FakeAvatar, FakeSource, chunks, noise
from tests.streaming.peers import FORMAT, a_motion
from tests.streaming.test_motionsocket import shallow_socket
from tests.streaming.test_vrm_page import WEBGL, WORN, motion, painted
from tests.streaming.tinyvrm import MOUTH, write_vrm

FORMAT_HERE = replace(FORMAT, models="nowhere")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with closing(Stage("0", FORMAT_HERE)) as stage:
        yield stage


def follow_url(stage: Stage) -> str:
    return stage.url.replace("/stage", "/follow")


async def followers(stage: Stage, count: int) -> None:
    """Wait until so many pages follow."""
    async with asyncio.timeout(10):
        while len(stage.followers) != count:
            await asyncio.sleep(0.01)


# ---- laws ---------------------------------------------------------------------------------------


def test_two_stages_tell_their_own_pages_every_frame(stage: Stage) -> None:
    """Pages of one stage get the same, as it was sent; those of another only the other's."""

    async def scenario(other: Stage) -> None:
        async with (
            ClientSession() as web,
            web.ws_connect(follow_url(stage)) as one,
            web.ws_connect(follow_url(stage)) as two,
            web.ws_connect(follow_url(other)) as three,
        ):
            await followers(stage, 2)
            await followers(other, 1)
            for frame in range(50):
                mine, theirs = a_motion(frame), a_motion(frame, seed=1)
                stage.write(mine, None, None)
                other.write(theirs, None, None)
                for page, sent in ((one, mine), (two, mine), (three, theirs)):
                    assert await page.receive_str(timeout=5) == motion_message(sent)

    with closing(Stage("0", FORMAT_HERE)) as other:
        asyncio.run(scenario(other))


def test_a_page_that_does_not_read_loses_frames_and_holds_up_nobody(stage: Stage) -> None:
    """Thousands of frames leave at once; it finds some old ones and then the newest."""

    async def scenario() -> None:
        connector = TCPConnector(socket_factory=lambda _: shallow_socket())
        async with (
            ClientSession(connector=connector) as web,
            web.ws_connect(follow_url(stage), timeout=ClientWSTimeout(ws_close=0.1)) as deaf,
            web.ws_connect(follow_url(stage)) as page,
        ):
            await followers(stage, 2)
            deaf._reader._protocol.pause_reading()
            last, sung = 3000, a_motion()
            for frame in range(last):
                stage.write(sung, None, None)
                if frame % 10 == 0:
                    await page.receive_str(timeout=5)
            first, _ = stage.followers.values()
            assert first.replaced > last / 2  # what waits for it has an end
            deaf._reader._protocol.resume_reading()
            stage.write(a_motion(77), None, None)
            while await deaf.receive_str(timeout=5) != motion_message(a_motion(77)):
                pass
            deaf._reader._protocol.pause_reading()
            for _ in range(last):
                stage.write(sung, None, None)
            began = time.monotonic()
            await asyncio.to_thread(stage.close)
            assert time.monotonic() - began < 6  # nor does it hold up the end
            deaf._reader._protocol.resume_reading()

    asyncio.run(scenario())


def test_only_the_newest_message_waits() -> None:
    async def scenario() -> None:
        newest = Newest()
        for message in "abc":
            newest.put(message)
        assert (await newest.take(), newest.replaced) == ("c", 2)
        newest.put("d")
        assert (await newest.take(), newest.replaced) == ("d", 2)

    asyncio.run(scenario())


def test_a_live_show_ends_with_its_pages_still_there() -> None:
    """As a sink among others: all frames, and the end is not held up by who still looks."""
    stage = Stage("0", FORMAT_HERE)
    heard: list[str] = []

    async def page() -> None:
        async with ClientSession() as web, web.ws_connect(follow_url(stage)) as socket:
            show = asyncio.ensure_future(asyncio.to_thread(sing))
            async for message in socket:
                heard.append(message.data)
            await show

    def sing() -> None:
        wait_for(lambda: stage.followers, 10)
        run_live(FakeAvatar(), FakeSource(chunks(noise(1.0), 1600)), [stage])

    asyncio.run(asyncio.wait_for(page(), 30))
    assert 15 < len(heard) <= 30
    stage.close()


# ---- who may ------------------------------------------------------------------------------------


def test_so_many_pages_and_no_more_each_place_free_again_when_one_goes(stage: Stage) -> None:
    async def scenario() -> None:
        async with ClientSession() as web:
            pages = [await web.ws_connect(follow_url(stage)) for _ in range(MOST_PAGES)]
            await followers(stage, MOST_PAGES)
            with pytest.raises(WSServerHandshakeError, match="503"):
                await web.ws_connect(follow_url(stage))
            await pages.pop().close()
            await pages[0].send_str("a page has nothing to say")
            assert (await pages[0].receive(timeout=5)).type is WSMsgType.CLOSE
            await followers(stage, MOST_PAGES - 2)
            for page in pages:
                await page.close()
            await followers(stage, 0)

    asyncio.run(scenario())


def test_pages_of_other_sites_and_names_are_refused(stage: Stage) -> None:
    async def scenario() -> None:
        async with ClientSession() as web:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
                with pytest.raises(WSServerHandshakeError, match="403"):
                    await web.ws_connect(follow_url(stage), headers=headers)

    asyncio.run(scenario())


# ---- bad input ----------------------------------------------------------------------------------


def test_ports(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setattr(models, "libraries_there", lambda: True)
    assert read_port("") == PORT
    assert read_port("9000") == 9000
    for bad in ("x", "-1", "65536", "1.2", "host:80"):
        with pytest.raises(UserError, match=f"stage:{bad}: expected a port, such as stage:8080"):
            check_sink(f"stage:{bad}")
    taken = stage.url.rpartition(":")[2].removesuffix("/stage")
    with pytest.raises(UserError, match=rf"stage:{taken}: .*in use; choose another port"):
        open_sink(f"stage:{taken}", FORMAT_HERE)


def test_without_the_libraries_it_is_refused_before_the_show(monkeypatch) -> None:
    monkeypatch.setattr(models, "libraries_there", lambda: False)
    with pytest.raises(UserError, match="stage: nothing is here yet to draw a VRM model with: run"):
        check_sink("stage")


# ---- the page -----------------------------------------------------------------------------------


def test_a_page_follows_one_show_and_the_next(tmp_path: Path) -> None:
    """In a real Chromium: the mouth of the first show, and of the one that comes after it."""
    if not models.libraries_there():
        pytest.skip(f"VRM models are not drawn: {models.FETCH}")
    write_vrm(tmp_path / "my.vrm", 0)
    fmt = replace(FORMAT, models=str(tmp_path))
    with Browser(tmp_path, *WEBGL) as page:
        page.look(256, 256)

        def mouth(stage: Stage, frame: int, jaw: float) -> int:
            """Its pixels once the frame is worn."""
            shown = page.run("Number(document.getElementById('canvas').dataset.frames)")
            wait_for(lambda: stage.followers, 10)
            stage.write(motion(frame, {"jawOpen": jaw}), None, None)
            page.until(WORN % shown)
            page.shoot(tmp_path / "page.png", transparent=True)
            picture = np.asarray(cv2.imread(str(tmp_path / "page.png"), cv2.IMREAD_UNCHANGED))
            assert picture[:, :8, 3].max() == 0
            return int(painted(picture, MOUTH).sum())

        with closing(Stage("0", fmt)) as stage:
            page.open(stage.url)
            page.until("document.getElementById('note')?.textContent.includes('?model=my.vrm')")
            page.open(f"{stage.url}?model=my.vrm")
            page.until(f"document.getElementById('canvas') && {WORN % 0}")
            closed = mouth(stage, 500, 0.0)
            assert mouth(stage, 501, 0.7) > 4 * closed
            assert page.errors == []
        port = stage.url.rpartition(":")[2].removesuffix("/stage")
        with closing(Stage(port, fmt)) as stage:
            assert mouth(stage, 0, 0.0) == closed
