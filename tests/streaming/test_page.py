"""The page in a real Chromium: pressed, and looked at pixel by pixel where a viewer sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streaming.line import LiveConfig, ShowConfig
from streaming.webconfig import WebConfig
from tests.browser import Browser, chromium
from tests.serving import Served, serving

PATIENT = LiveConfig(margin_ms=120)  # this machine may be busy
CONFIG = ShowConfig(live=PATIENT, web=WebConfig(sessions=2, drain_s=0.0))
PLAYING = "document.getElementById('stage').classList.contains('playing')"
READY = "document.body?.dataset.ready === 'yes'"
IDLE = "document.getElementById('state').textContent === 'Ready'"
SUNG, INTERLUDE = (8.0, 20.0), (23.0, 25.8)  # s of the demo: two lines, the violin alone
OPEN = 0.01  # mean share of open mouth, of the region around it, in a sung line

KEEP_FRAME = """(() => {  // which frame of the show is due, as the page is told ten times a second
  const make = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...all) {
    const channel = make.apply(this, all);
    channel.addEventListener('message', ({data}) => {
      const message = JSON.parse(data);
      if (message.type === 'levels') window.frame = message.frame;
    });
    return channel;
  };
})()"""

WATCH = """(() => {  // every picture shown: the frame then due, its stamp, how open the mouth is
  const video = document.getElementById('video'), canvas = document.createElement('canvas');
  const paint = canvas.getContext('2d', {willReadFrequently: true}), [w, h] = [64, 44];
  window.seen = [];
  [canvas.width, canvas.height] = [w, h];
  const mouth = () => {  // the share around it that is as dark and as red as a mouth's inside
    const [W, H] = [video.videoWidth, video.videoHeight];
    paint.drawImage(video, 0.4 * W, 0.52 * H, 0.2 * W, 0.14 * H, 0, 0, w, h);
    const d = paint.getImageData(0, 0, w, h).data;
    let n = 0;
    for (let i = 0; i < d.length; i += 4) n += d[i] > 70 && d[i] < 140 && d[i + 1] < 45;
    return n / (w * h);
  };
  const next = (now, frame) => {
    if (window.frame) seen.push([window.frame, frame.rtpTimestamp, mouth()]);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
})()"""


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One for all: each test leaves it without a show."""
    chromium()
    with serving(CONFIG) as served:
        yield served


@pytest.fixture
def page(server: Served, tmp_path: Path) -> Iterator[Browser]:
    """The page, loaded; it must not have complained to its console by the end."""
    with Browser(tmp_path) as page:
        page.prepare(KEEP_FRAME)
        page.look(900, 620)
        page.open(server.url)
        page.until(READY)
        yield page
        assert page.errors == []


def seconds_and_mouths(seen: list[list[float]]) -> np.ndarray:
    """[n, 2]: second of the song, share of open mouth; of what WATCH saw."""
    due, stamps, mouths = np.array(seen).T
    times = stamps / 90_000
    return np.stack([times + np.median(due / 30 - times), mouths], axis=1)


def openness(seen: np.ndarray, start: float, end: float) -> float:
    """Mean share of open mouth between two seconds of the song."""
    shares = seen[(seen[:, 0] >= start) & (seen[:, 0] <= end), 1]
    assert len(shares) > 3
    return float(shares.mean())


def test_pressing_the_demo_makes_it_sing_within_5_seconds(page: Browser) -> None:
    """And the mouth moves with the voice, and rests in the interlude."""
    pressed = time.monotonic()
    page.click("#demo")
    page.until(PLAYING, 5)
    assert time.monotonic() - pressed < 5
    page.run(WATCH)
    page.until(f"window.frame > {30 * SUNG[0]}")
    assert page.run("Number(document.getElementById('voice').ariaValueNow)") > 20
    assert page.run("document.getElementById('state').textContent") == "Singing the demo"
    assert not page.run("document.getElementById('video').muted")
    page.until(f"window.frame > {30 * INTERLUDE[1]}", 30)
    seen = seconds_and_mouths(page.run("seen"))
    assert openness(seen, *SUNG) > OPEN > 4 * openness(seen, *INTERLUDE)
    page.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    page.until(IDLE)


def test_returned_sound_is_silent_until_headphones_are_confirmed(page: Browser) -> None:
    page.look(390, 700, phone=True)
    page.click("#sing")
    page.until(PLAYING, 10)
    assert page.run("document.getElementById('video').muted")
    assert not page.run("document.getElementById('headphones').hidden")
    page.click("#wearing")
    page.until("!document.getElementById('video').muted", 5)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.click("#stop")
    page.until(IDLE)


def test_the_page_says_in_words_why_there_is_no_microphone(page: Browser) -> None:
    for name, words in {
        "NotAllowedError": "was denied",
        "NotFoundError": "No microphone was found",
        "NotReadableError": "another program uses it",
    }.items():
        page.run(
            "navigator.mediaDevices.getUserMedia = () => "
            f"Promise.reject(new DOMException('', '{name}'))"
        )
        page.click("#sing")
        page.until(f"document.getElementById('alertText').textContent.includes({words!r})", 5)
        assert page.run("document.getElementById('alert').role") == "alert"
        assert not page.run("document.getElementById('sing').disabled")
    page.run("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    page.click("#sing")
    page.until("document.getElementById('alertText').textContent.includes('HTTPS')", 5)
