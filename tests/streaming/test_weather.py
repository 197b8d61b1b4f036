"""Shows through bad weather, watched in a real Chromium: loss, jitter, outages, tabs that die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streaming import sessions
from tests.browser import Browser, wait_for
from tests.serving import Served
from tests.weather import Weather

READY = "document.body?.dataset.ready === 'yes'"
STATE = "document.getElementById('state').textContent"
LEAST_FPS = 12  # pictures that must be seen each second, also on a busy machine

WATCH = """(() => {  // every picture shown: how late it is, ms, but for a constant
  const video = document.getElementById('video');
  window.late = [];
  const next = (now, frame) => {
    late.push(now - frame.rtpTimestamp / 90);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
})()"""


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Weather:
    return Weather().over(monkeypatch)


@pytest.fixture
def page(server: Served, weather: Weather, tmp_path: Path) -> Iterator[Browser]:
    """A page whose microphone is heard (Chromium's beeps) and whose avatar is seen."""
    with Browser(tmp_path) as page:
        page.look(700, 620)
        page.open(server.url)
        page.until(READY)
        page.click("#sing")
        page.until("document.getElementById('stage').classList.contains('playing')")
        page.run(WATCH)
        seen(page, 1)
        yield page
        if page.alive:
            page.open("about:blank")
        wait_for(lambda: not server.server.sessions.live, 10, "the show outlived its page")


def seen(page: Browser, seconds: float, within: float = 15) -> list[float]:
    """Lateness, ms, of the pictures of so many seconds; waits until LEAST_FPS · s have come."""
    page.run("late.length = 0")
    count = int(LEAST_FPS * seconds)
    page.until(f"late.length >= {count}", within)
    return list(page.run("late"))


def test_loss_and_jitter_neither_end_a_show_nor_delay_it(
    page: Browser, server: Served, weather: Weather
) -> None:
    """5 % of all packets are lost, and each is late by up to 100 ms."""
    before = seen(page, 1)
    weather.loss, weather.jitter = 0.05, 0.1
    seen(page, 3)
    (session,) = server.server.sessions.live
    assert weather.lost > 10
    assert session.incoming.concealed > 0
    weather.loss = weather.jitter = 0.0
    seen(page, 1)
    after = seen(page, 1)
    assert abs(np.median(after) - np.median(before)) < 250
    assert page.run(STATE) == "Listening to you"
    assert page.errors == []


def test_after_an_outage_of_two_seconds_the_show_goes_on_as_before(
    page: Browser, server: Served, weather: Weather
) -> None:
    before = seen(page, 1)
    (session,) = server.server.sessions.live
    weather.outage(2.0)
    seen(page, 1, within=8)
    after = seen(page, 1)
    assert abs(np.median(after) - np.median(before)) < 250
    assert server.server.sessions.live == [session]
    assert page.errors == []


def test_a_page_whose_network_changed_comes_back_to_its_show(
    page: Browser, server: Served, weather: Weather
) -> None:
    (session,) = server.server.sessions.live
    frame = session.line.next_frame
    page.click("#wearing")
    weather.cut()
    page.run("window.dispatchEvent(new Event('online'))")
    page.until(f"{STATE} === 'Connection lost, trying again'", 12)
    page.until(f"{STATE} === 'Listening to you'", 20)
    seen(page, 1)
    assert server.server.sessions.live == [session]
    assert server.server.sessions.counts.resumed >= 1
    assert session.line.next_frame > frame
    assert not page.run("document.getElementById('video').muted")  # headphones are still worn
    assert page.run("document.getElementById('headphones').hidden")
    assert page.errors == []


def test_a_tab_that_slept_wakes_up_in_its_show(page: Browser, server: Served) -> None:
    """Its scripts stand still for some seconds, and Chromium pauses its video: it plays on."""
    (session,) = server.server.sessions.live
    page.call("Page.setWebLifecycleState", state="frozen")
    frame = session.line.next_frame
    wait_for(lambda: session.line.next_frame > frame + 90, 30, "the show stood still, too")
    page.call("Page.setWebLifecycleState", state="active")
    page.until("!document.getElementById('video').paused")
    since = page.run("document.getElementById('video').currentTime")
    page.until(f"document.getElementById('video').currentTime > {since} + 0.5")
    assert server.server.sessions.live == [session]
    assert page.run(STATE) == "Listening to you"
    assert page.errors == []


def test_a_tab_that_dies_leaves_its_place(
    page: Browser, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "QUIET_S", 1.0)
    monkeypatch.setattr(sessions, "RESUME_S", 1.0)
    page.kill()
    wait_for(lambda: not server.server.sessions.live, 10, "nobody noticed")
