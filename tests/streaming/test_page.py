"""The page in a real Chromium: pressed, and looked at pixel by pixel where a viewer sees it."""

from __future__ import annotations

import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine.signals import F32
from engine.timeline import SAMPLE_RATE
from streaming.casts import Wings
from streaming.line import ShowConfig
from streaming.webconfig import WebConfig
from streaming.webrtc import Incoming
from tests.browser import Browser, wait_for
from tests.serving import Served, nobody, serving

PLAYING = "document.getElementById('stage').classList.contains('playing')"
READY = "document.body?.dataset.ready === 'yes'"
IDLE = "document.getElementById('state').textContent === 'Ready'"
SUNG, INTERLUDE = (8.0, 20.0), (23.0, 25.8)  # s of the demo: two lines, the violin alone
OPEN = 0.01  # mean share of open mouth, of the region around it, in a sung line

NAMED = {"button", "radio", "slider", "link", "meter", "Video", "complementary", "region"}
CONFIG = ShowConfig(web=WebConfig(sessions=1, drain_s=0.0))

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
    page.press("Escape")
    page.until(IDLE)


def test_returned_sound_is_silent_until_headphones_are_confirmed(page: Browser) -> None:
    page.look(390, 700, phone=True)
    page.click("#sing")
    page.until(PLAYING, 10)
    page.run("document.getElementById('latency').open = true")
    assert page.run("document.getElementById('video').muted")
    assert not page.run("document.getElementById('headphones').hidden")
    page.click("#wearing")
    page.until("!document.getElementById('video').muted", 5)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.until("document.getElementById('stages').rows.length")
    check_delays(page.run(DELAYS))
    page.click("#stop")
    page.until(IDLE)


DELAYS = """[...document.getElementById('stages').rows].map(
    ({cells}) => [cells[0].textContent, parseInt(cells[1].textContent)])"""


def check_delays(rows: list[tuple[str, int]]) -> None:
    """Every stage, the network among them, and what they come to: from glass to glass."""
    *stages, (whole, total) = rows
    assert whole == "from glass to glass"
    assert {name for name, _ in stages} == {
        "microphone", "network, there and back", "listening ahead", "hearing", "drawing",
        "waiting for its turn", "encoding", "your browser",
    }  # fmt: skip
    assert dict(stages)["listening ahead"] == 67
    assert sum(ms for _, ms in stages) == pytest.approx(total, abs=len(stages))


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


def test_over_plain_http_from_elsewhere_it_says_that_https_is_needed(tmp_path: Path) -> None:
    """A real insecure context: the browser takes our address for a host of the network."""
    elsewhere = "--host-resolver-rules=MAP cantar.test 127.0.0.1"
    with (
        serving(CONFIG, Wings(nobody), "hush hush") as served,
        Browser(tmp_path, elsewhere) as page,
    ):
        page.open(served.url.replace("127.0.0.1", "cantar.test") + "#token=hush%20hush")
        page.until(READY)
        assert page.run("isSecureContext") is False
        assert page.run("location.hash") == ""  # nobody reads the token over a shoulder
        page.click("#sing")
        page.until("document.getElementById('alertText').textContent.includes('HTTPS')", 5)


def test_a_token_is_asked_for_and_asked_for_again_when_the_pass_is_over(tmp_path: Path) -> None:
    """Whatever is pressed before, or after an hour, leads to the question and to no other error."""
    with serving(CONFIG, Wings(nobody), "hush hush") as served, Browser(tmp_path) as page:
        page.open(served.url)
        asked = "document.getElementById('login')?.open"
        page.until(asked)
        page.press("Escape")
        page.until(f"!{asked}")
        page.click("#demo")
        page.until(asked)
        for word in ("hush", "hush hush"):
            page.run(f"document.getElementById('token').value = '{word}'")
            page.click("#enter")
            if word == "hush":
                page.until("!document.getElementById('wrong').hidden", 5)
        page.until(READY)
        page.until(f"!{asked}")
        served.server.gate._secret = b"an hour later"
        page.click("#demo")
        page.until(asked)
        assert page.run("document.getElementById('alert').hidden")
        assert not page.run("document.getElementById('demo').disabled")


def tone(path: Path, hertz: float, seconds: float = 4.0) -> Path:
    """A song of one tone, stereo."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    samples = np.round(0.4 * 32767 * np.sin(2 * np.pi * hertz * t)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.repeat(samples, 2).tobytes())
    return path


def test_a_file_is_sung_and_recorded(page: Browser, tmp_path: Path) -> None:
    """The recording is a film with pictures and sound, as long as the button was pressed."""
    page.keep_downloads(tmp_path)
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    page.click("#file")
    page.choose("#picker", tone(tmp_path / "song.wav", 330))
    page.until(PLAYING, 15)
    assert page.run("document.getElementById('state').textContent") == "Singing your song"
    page.click("#record")
    page.until("document.getElementById('record').ariaPressed === 'true'")
    since = page.run("document.getElementById('video').currentTime")
    page.until(f"document.getElementById('video').currentTime > {since} + 2")
    page.click("#record")
    page.downloaded()
    (film,) = tmp_path.glob("cantar-*.*")
    with av.open(str(film)) as container:
        kinds = {stream.type: 0 for stream in container.streams}
        for packet in container.demux():
            kinds[packet.stream.type] += packet.size > 0
    assert kinds["video"] > 15
    assert kinds["audio"] > 15
    page.until(IDLE, 10)


def strongest(samples: F32) -> float:
    """The loudest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


def test_in_karaoke_voice_and_backing_arrive_apart(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A microphone of 1 kHz and a backing of 330 Hz: each on its own channel, and only there."""
    stems: list[F32] = []
    place = Incoming._sound

    def keeping(self: Incoming, samples: F32, start: int) -> object:
        sound = place(self, samples, start)
        stems.append(sound.stems)
        return sound

    monkeypatch.setattr(Incoming, "_sound", keeping)
    microphone = tone(tmp_path / "voice.wav", 1000)
    with Browser(tmp_path, f"--use-file-for-fake-audio-capture={microphone}") as page:
        page.look(900, 620)
        page.open(server.url)
        page.until(READY)
        page.call("Page.setInterceptFileChooserDialog", enabled=True)
        page.click("#karaoke")
        page.choose("#picker", tone(tmp_path / "backing.wav", 330))
        page.until(PLAYING, 15)
        wait_for(lambda: sum(part.shape[1] for part in stems) > 2 * SAMPLE_RATE, 10)
        assert page.run("document.getElementById('state').textContent") == "Karaoke"
        assert page.run("document.getElementById('video').muted")
        page.click("#stop")
        page.until(IDLE)
        assert page.errors == []
    voice, backing = np.concatenate(stems, axis=1)[:, SAMPLE_RATE : 2 * SAMPLE_RATE]
    assert strongest(voice) == pytest.approx(1000, abs=15)
    assert strongest(backing) == pytest.approx(330, abs=15)


def test_on_stage_stands_nothing_but_the_avatar(server: Served, tmp_path: Path) -> None:
    """WebGL puts colour and matte together: corners are transparent, the face is not."""
    webgl = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    with Browser(tmp_path, *webgl) as page:
        page.look(512, 512)
        page.open(f"{server.url}/stage#input=demo")
        page.until("Number(document.getElementById('canvas')?.dataset.frames) > 10", 30)
        page.shoot(tmp_path / "stage.png", transparent=True)
        assert page.errors == []
        page.open("about:blank")
        wait_for(lambda: not server.server.sessions.live, 10, "the show outlived its page")
    picture = cv2.imread(str(tmp_path / "stage.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (512, 512, 4)
    alpha = picture[..., 3]
    assert alpha[:8, :40].max() == 0
    assert alpha[:8, -40:].max() == 0
    assert alpha[280:330, 230:280].min() > 240
    assert 0.3 < (alpha > 128).mean() < 0.8
    blue, _, red, _ = picture[282, 256].astype(int)
    assert red > blue + 15  # skin, not the matte's grey


def test_who_sings_and_where_changes_while_it_sings(page: Browser, server: Served) -> None:
    page.click("#demo")
    page.until(PLAYING, 10)
    (session,) = server.server.sessions.live
    page.run("document.querySelector('input[value=kai]').click()")
    page.run("document.querySelector('input[value=\"#14b85a\"]').click()")
    page.run("document.querySelector('input[value=scene]').click()")
    page.run("document.querySelector('input[value=\"#14b85a\"]').click()")  # the last word counts
    wait_for(lambda: session.performer.config.renderer.background == "#14b85a", 60)
    assert session.performer.config.avatar == "kai"
    page.click("#stop")
    page.until(IDLE)
    page.run("localStorage.clear()")


def test_a_screen_reader_gets_a_name_for_everything_and_no_figures_unasked(page: Browser) -> None:
    """Of the tree that Chromium gives to a screen reader, on a phone's width and on a desk's."""
    page.call("Accessibility.enable")
    for size in ((1280, 800), (390, 844)):
        page.look(*size)
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        heard = [(n["role"]["value"], n["name"]["value"]) for n in nodes if not n["ignored"]]
        assert [role for role, name in heard if role in NAMED and not name] == []
        assert ("heading", "Cantar") in heard
        assert {"main", "complementary", "status", "meter"} <= {role for role, _ in heard}
    changing = "[...document.querySelectorAll('output')].every((e) => e.ariaLive === 'off')"
    assert page.run(changing)  # else every new figure of the delay would be read out
    assert page.run("document.getElementById('avDelay').ariaValueText") == "0 milliseconds"
    page.call("Accessibility.disable")


def test_it_is_worked_by_keyboard_and_named_for_those_who_listen(page: Browser) -> None:
    """Tab reaches every control in the order of the page; each has a name to be read out."""
    names = page.run(
        """(() => {
        const kinds = 'button, input, summary, a, video, [role=meter]';
        const named = (e) => e.textContent.trim() || e.ariaLabel || e.labels?.[0]?.textContent
            || e.getAttribute('aria-labelledby');
        const all = [...document.querySelectorAll(kinds)];
        return all.filter((e) => !named(e)).map((e) => e.outerHTML);
        })()"""
    )
    assert names == []
    reached = []
    for _ in range(5):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    assert reached == ["skip", "sing", "demo", "file", "karaoke"]
    page.run("document.getElementById('demo').focus()")
    page.press("Enter")
    page.until(PLAYING, 15)
    page.until("document.activeElement.id === 'stop'", 5)
    page.press("Escape")
    page.until(IDLE)
    assert page.run("document.activeElement.id") == "sing"
