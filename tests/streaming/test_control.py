"""The control page and its API: what is asked for, who may ask, and the page in a real Chromium."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.udp_client import SimpleUDPClient

from engine.motion.blendshapes import INDEX
from engine.signals import Motion
from streaming.answers import MOST_WRONG
from streaming.control import ControlPage, direct
from streaming.director import BadRequest, Director
from streaming.ports import UserError
from tests.browser import Browser, chromium
from tests.motion.test_vrm import face

ROOT = Path(__file__).resolve().parents[2]
SMILE = INDEX["mouthSmileLeft"]


def seen(director: Director, frame: int = 0) -> Motion:
    return director.motion(Motion(frame, face(jawOpen=0.4), np.zeros(6, np.float32)))


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_is_taken_whole() -> None:
    director = Director(lambda style: None)
    request = {"mouth": 0.5, "overlays": {"smile": 1}, "mute": True, "style": 3, "seconds": 0}
    direct([director], request)
    asked = director.asked()
    assert asked == {
        "mouth": 0.5, "head": 1, "eyes": 1, "tempo": 1, "overlays": {"smile": 1}, "rest": False,
        "mute": True, "camera": None, "style": 3,
    }  # fmt: skip
    moved = seen(director)
    assert moved.blendshapes[INDEX["jawOpen"]] == pytest.approx(0.2)
    assert moved.blendshapes[SMILE] == pytest.approx(0.75)
    direct([director], {"reset": True, "seconds": 0})
    assert director.asked() == {**Director().asked(), "style": 3}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"smile": 1}, "smile: unknown key; known here: mouth"),
        ({"mouth": "wide"}, "mouth: expected a number"),
        ({"mouth": True}, "mouth: expected a number"),
        ({"mouth": 3}, "mouth: expected 0 to 2, got 3"),
        ({"mouth": float("nan")}, "mouth: expected 0 to 2"),
        ({"mouth": 10**400}, "mouth: expected a number"),
        ({"tempo": -1}, "tempo: expected 0 to 2"),
        ({"overlays": ["smile"]}, "overlays: expected an object"),
        ({"overlays": {"smirk": 1}}, "unknown expression smirk"),
        ({"overlays": {"smile": None}}, "smile: expected a number"),
        ({"rest": 1}, "rest: expected true or false"),
        ({"style": 6}, "style: expected a whole number from 0 to 5"),
        ({"style": 1.0}, "style: expected a whole number"),
        ({"seconds": 61, "rest": True}, "seconds: expected 0 to 60"),
    ],
)
def test_what_cannot_be_asked_for_changes_nothing(request_: dict, message: str) -> None:
    director = Director(lambda style: None)
    before = director.asked()
    with pytest.raises(BadRequest, match=message):
        direct([director], {"eyes": 0.5, **request_})
    assert director.asked() == before


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["mouth", "overlays", "rest", "style", "seconds"]), JSON))
def test_any_json_is_taken_or_refused(request_: dict) -> None:
    director = Director(lambda style: None)
    try:
        direct([director], request_)
    except BadRequest:
        assert director.asked() == Director().asked()
    assert np.isfinite(seen(director).blendshapes).all()


# ---- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def director() -> Director:
    return Director(lambda style: None, style=2)


@pytest.fixture
def desk(director: Director) -> Iterator[ControlPage]:
    with closing(ControlPage(director, "127.0.0.1", 0)) as page:
        yield page


def ask(
    page: ControlPage | SimpleNamespace, method: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{page.port}/direction"
    request = Request(url, data, {**kind, **headers}, method=method)
    try:
        with urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def test_it_says_what_there_is_and_does_what_is_asked(
    desk: ControlPage, director: Director
) -> None:
    status, there = ask(desk, "GET")
    assert status == 200
    assert "wink" in there["choices"]["overlays"]
    assert there["choices"]["styles"][there["style"]] == "Pop"
    status, now = ask(desk, "PATCH", {"rest": True, "overlays": {"wink": 0.5}})
    assert (status, now["rest"], now["overlays"]) == (200, True, {"wink": 0.5})
    assert director.asked()["rest"]
    assert ask(desk, "PATCH", {"rest": "yes"}) == (400, {"error": "rest: expected true or false"})
    assert ask(desk, "PATCH", [1])[0] == 400
    assert ask(desk, "PATCH")[0] == 415
    assert ask(desk, "DELETE")[0] == 405


def test_pages_from_elsewhere_direct_nothing(desk: ControlPage, director: Director) -> None:
    assert ask(desk, "PATCH", {"rest": True}, Origin="http://evil.example")[0] == 403
    assert ask(desk, "PATCH", {"rest": True}, Host="evil.example")[0] == 403
    assert not director.asked()["rest"]


def test_with_a_token_nobody_directs_without_it_and_it_cannot_be_guessed() -> None:
    with closing(ControlPage(Director(), "127.0.0.1", 0, token="hush hush")) as page:
        right = {"Authorization": "Bearer hush hush"}
        assert ask(page, "GET")[0] == 401
        assert ask(page, "GET", **right)[0] == 200
        wrong = [ask(page, "GET", Authorization=f"Bearer {n}")[0] for n in range(MOST_WRONG + 5)]
        assert wrong[0] == 401
        assert wrong[-1] == 429
        assert ask(page, "GET", **right)[0] == 429  # nor told when the guess is right


def test_a_port_that_is_taken_is_one_line_and_leaves_nothing(desk: ControlPage) -> None:
    with pytest.raises(UserError, match=rf"--control 127.0.0.1:{desk.port}: .*another port"):
        ControlPage(Director(), "127.0.0.1", desk.port)


def test_a_live_show_serves_it_and_hears_osc_at_the_same_port(tmp_path: Path) -> None:
    show = subprocess.Popen(
        [sys.executable, str(ROOT / "run_live.py"), "--input", "silence", "--output", "none",
         "--realtime", "--control", "0", "--token", "hush hush", "--size", "64x64"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert show.stderr is not None
    try:
        found = re.search(
            r"control page: http://127\.0\.0\.1:(\d+)/control", show.stderr.readline()
        )
        assert found is not None
        place = SimpleNamespace(port=int(found[1]))
        assert ask(place, "GET")[0] == 401
        right = {"Authorization": "Bearer hush hush"}
        assert ask(place, "PATCH", {"style": 4}, **right)[1]["style"] == 4
        SimpleUDPClient("127.0.0.1", place.port).send_message("/cantar/mute", 1)
        pause = threading.Event()  # a datagram is answered by nobody: ask until it has arrived
        for _ in range(200):
            if (muted := ask(place, "GET", **right)[1]["mute"]) is True or pause.wait(0.05):
                break
        assert muted
    finally:
        show.terminate()
        show.communicate(timeout=30)
    assert show.returncode == 128 + signal.SIGTERM


# ---- the page -----------------------------------------------------------------------------------


def pressed(selector: str) -> str:
    return f"document.querySelector({selector!r}).ariaPressed === 'true'"


def test_the_page_directs_by_keyboard_and_pointer_and_shows_what_others_ask(
    desk: ControlPage, director: Director, tmp_path: Path
) -> None:
    chromium()
    with Browser(tmp_path) as page:
        page.look(900, 700)
        page.open(desk.url)
        page.until("document.body?.dataset.ready === 'yes'")
        page.press("1")
        page.until(pressed("[data-overlay=smile]"))
        assert director.asked()["overlays"] == {"smile": 1}
        page.press("1")
        page.until(f"!({pressed('[data-overlay=smile]')})")
        page.press("m")
        page.until(pressed("#mute"))
        page.press("4", shift=True)
        page.until(pressed("#styles :nth-child(4)"))
        assert (director.asked()["mute"], director.asked()["style"]) == (True, 3)
        page.click("#rest")
        page.until(pressed("#rest"))
        page.run("document.getElementById('head').focus()")
        for _ in range(3):
            page.press("ArrowLeft")
        page.until("document.getElementById('headOut').textContent === '0.7'")
        page.press("Escape")
        page.until(f"!({pressed('#rest')})")
        assert director.asked() == {**Director().asked(), "style": 3}
        director.overlay("pout")  # over OSC, or from another page
        page.until(pressed("[data-overlay=pout]"))
        unnamed = page.run(
            "[...document.querySelectorAll('button, input')].filter((e) => !e.textContent.trim()"
            " && !e.labels?.[0]?.textContent).length"
        )
        assert unnamed == 0
        page.look(390, 800, phone=True)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []


def test_the_page_asks_for_the_token(director: Director, tmp_path: Path) -> None:
    chromium()
    with (
        closing(ControlPage(director, "127.0.0.1", 0, token="hush hush")) as desk,
        Browser(tmp_path) as page,
    ):
        page.open(desk.url)
        page.until("document.getElementById('login')?.open")
        for word, answer in (("hush", "!$('wrong').hidden"), ("hush hush", "!$('login').open")):
            page.run(f"document.getElementById('token').value = '{word}'")
            page.click("#enter")
            page.until(answer.replace("$(", "document.getElementById("), 5)
        page.press("1")
        page.until(pressed("[data-overlay=smile]"))
        assert director.asked()["overlays"] == {"smile": 1}
