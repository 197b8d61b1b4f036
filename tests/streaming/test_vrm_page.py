"""A VRM model on the stage, in a real Chromium: every move looked at in pixels."""

from __future__ import annotations

import itertools
import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.avatar import Avatar
from engine.motion.blendshapes import ARKIT, INDEX
from engine.signals import U8, Motion, Sound
from engine.timeline import FRAME, SAMPLE_RATE
from streaming.audiofile import AudioFile
from streaming.casts import Cast, Wings, prepare
from streaming.line import ShowConfig
from streaming.models import FETCH, libraries_there
from streaming.motionlane import NAMES, motion_message
from streaming.webconfig import WebConfig
from streaming.wish import UNDRAWN
from tests.browser import Browser, wait_for
from tests.serving import Served, serving
from tests.streaming.conftest import PATIENT
from tests.streaming.peers import vrm_model, write_glb
from tests.streaming.tinyvrm import LOCK, MOUTH, PUPIL, SHIRT, SKIN, write_vrm

WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
KINDS = {
    "zero.vrm": (0, False),
    "one.vrm": (1, False),
    "sync0.vrm": (0, True),
    "sync.vrm": (1, True),
}
BARE = "/stage?model=none"  # a page that has all it needs, and no show
OPEN = """(async () => {
  const { openModel } = await import('/vrm.js');
  const file = await (await fetch('/models/%s')).arrayBuffer();
  window.model = await openModel(document.getElementById('canvas'), file, %s, '%s');
})()"""
WORN = "Number(document.getElementById('canvas').dataset.frames) > %d"
Pose = Callable[..., U8]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a folder of models; skips, loudly, without the libraries."""
    if not libraries_there():
        pytest.skip(f"VRM models are not drawn: {FETCH}")
    folder = tmp_path_factory.mktemp("models")
    for name, (version, perfect_sync) in KINDS.items():
        write_vrm(folder / name, version, perfect_sync=perfect_sync)
    web = WebConfig(sessions=2, drain_s=0.0, models=str(folder))
    with serving(ShowConfig(live=PATIENT, web=web)) as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile"), *WEBGL) as browser:
        browser.look(384, 384)
        yield browser


@pytest.fixture
def model(served: Served, browser: Browser, tmp_path: Path) -> Callable[..., Pose]:
    """Opens a model by name; then `pose(motion's parts)` gives its picture, [384, 384, 4] BGRA."""

    def open_it(name: str, framing: str = "bust") -> Pose:
        browser.open("about:blank")
        browser.open(served.url + BARE)
        browser.until("document.getElementById('note')?.textContent.includes('No such model')")
        browser.run("document.getElementById('note').textContent = ''")
        browser.errors.clear()
        browser.run(OPEN % (name, json.dumps(NAMES), framing))
        browser.until(WORN % 0)
        assert browser.errors == []  # nothing that the page's own security forbids
        frames = itertools.count(1)

        def pose(shapes: dict[str, float] | None = None, **parts: Any) -> U8:
            moved = motion(next(frames), shapes or {}, **parts)
            before = browser.run("Number(document.getElementById('canvas').dataset.frames)")
            browser.run(f"model.wear({motion_message(moved)})")
            browser.until(WORN % before)
            path = tmp_path / f"{name}.png"
            browser.shoot(path, transparent=True)
            return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

        return pose

    return open_it


def motion(frame: int, shapes: dict[str, float], **parts: Any) -> Motion:
    face = np.zeros(len(ARKIT), np.float32)
    for name, value in shapes.items():
        face[INDEX[name]] = value
    arrays = {name: np.array(value, np.float32) for name, value in parts.items()}
    return Motion(frame, face, arrays.pop("head", np.zeros(6, np.float32)), **arrays)


def painted(picture: U8, colour: tuple[int, int, int]) -> np.ndarray:
    """[H, W] bool: where the picture shows this colour (RGB), opaque."""
    near = np.abs(picture[..., 2::-1].astype(int) - colour).max(axis=-1) < 24
    return near & (picture[..., 3] > 250)


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Column and row."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


ALL = pytest.mark.parametrize("name", KINDS)


@ALL
def test_what_stands_on_the_stage_is_the_model_alone(model, name: str) -> None:
    """Its face to the viewer, its arms down, everything around it transparent."""
    picture = model(name)()
    alpha = picture[..., 3]
    assert picture.shape == (384, 384, 4)
    assert alpha[:, :20].max() == alpha[:8].max() == 0
    assert 0.2 < (alpha == 255).mean() < 0.6
    for colour in (SKIN, PUPIL, MOUTH):
        assert painted(picture, colour).any()
    left, right = (centre(painted(part, PUPIL))[1] for part in np.split(picture, 2, axis=1))
    assert left == pytest.approx(right, abs=1)  # two eyes, as high as each other
    assert centre(painted(picture, PUPIL))[0] == pytest.approx(192, abs=1)


@ALL
def test_the_mouth_opens_and_the_eyes_close(model, name: str) -> None:
    pose = model(name)
    closed, half, wide = (
        painted(pose({"jawOpen": jaw, "mouthLowerDownLeft": jaw / 3}), MOUTH).sum()
        for jaw in (0.0, 0.35, 0.7)
    )
    assert 3 * closed < half < 0.7 * wide
    pupils = painted(pose(), PUPIL)
    wink = painted(pose({"eyeBlinkLeft": 1.0}), PUPIL)
    assert wink[:, :192].sum() == pupils[:, :192].sum()
    assert wink[:, 192:].sum() == 0  # the singer's left is the viewer's right


@ALL
def test_head_eyes_and_shoulders_turn_as_the_motion_says(model, name: str) -> None:
    """Yaw and gaze > 0: to the singer's left, the viewer's right; pitch and gaze > 0: up; roll > 0:
    to the singer's right, the viewer's left."""
    pose = model(name)
    x, y = centre(painted(pose(), MOUTH))
    assert centre(painted(pose(head=(0.3, 0, 0, 0, 0, 0)), MOUTH))[0] > x + 8
    assert centre(painted(pose(head=(0, 0.3, 0, 0, 0, 0)), MOUTH))[1] < y - 8
    assert centre(painted(pose(head=(0, 0, 0.3, 0, 0, 0)), PUPIL))[0] < x - 8
    u, v = centre(painted(pose(), PUPIL))
    assert centre(painted(pose(gaze=(0.2, 0)), PUPIL))[0] > u + 3
    assert centre(painted(pose(gaze=(0, 0.2)), PUPIL))[1] < v - 3
    shirt = painted(pose(), SHIRT)
    leaning = painted(pose(body=(0, 0, 0.1)), SHIRT)
    assert centre(leaning)[0] < centre(shirt)[0] - 2


@ALL
def test_hair_swings_after_the_head(model, name: str) -> None:
    """The lock at the singer's left lags behind a nod aside, and comes after."""
    pose = model(name)
    before = centre(painted(pose(), LOCK))
    first, *_, last = (centre(painted(pose(head=(0, 0, 0.4, 0, 0, 0)), LOCK)) for _ in range(15))
    assert last[1] < before[1] - 8  # the head has lifted it
    assert np.hypot(*np.subtract(first, last)) > 2


def test_a_face_fills_the_picture_when_asked(model) -> None:
    bust, face = (painted(model("one.vrm", framing)(), PUPIL).sum() for framing in ("bust", "face"))
    assert face > 2 * bust


def test_a_model_sings_the_demo_and_nobody_else_draws(
    served: Served, browser: Browser, tmp_path: Path
) -> None:
    """The whole way, from the server's hearing to this browser's pixels."""
    browser.open("about:blank")
    browser.errors.clear()
    browser.open(f"{served.url}/stage?model=one.vrm#input=demo")
    browser.until(f"document.getElementById('canvas') && {WORN % 5}", 40)
    (session,) = served.server.sessions.live
    assert session.performer.config.renderer.name == UNDRAWN
    mouths = []

    def sings() -> bool:
        browser.shoot(tmp_path / "stage.png", transparent=True)
        picture = np.asarray(cv2.imread(str(tmp_path / "stage.png"), cv2.IMREAD_UNCHANGED))
        mouths.append(painted(picture, MOUTH).sum())
        return bool(max(mouths) > 3 * min(mouths) > 0)

    wait_for(sings, 30, "a mouth that opens")
    assert browser.errors == []
    browser.open("about:blank")
    wait_for(lambda: not served.server.sessions.live, 10, "the show outlived its page")


# ---- lips and sound -----------------------------------------------------------------------------

BEEP = SAMPLE_RATE // 10  # samples, three frames of each second
NOTE_TIMES = """(() => {  // ms: when sound becomes loud in this browser, when the model is told so
  window.heard = []; window.worn = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...all) {
      super(...all);
      this.addEventListener('track', ({track}) => {
        const context = new AudioContext({sampleRate: 48000});
        const mediaStream = new MediaStream([track]);
        const sound = new AnalyserNode(context, {fftSize: 1024});
        new MediaStreamAudioSourceNode(context, {mediaStream}).connect(sound);
        const samples = new Float32Array(1024);
        let last = 0;
        setInterval(() => {
          sound.getFloatTimeDomainData(samples);
          const first = samples.findIndex((x) => Math.abs(x) > 0.2), now = performance.now();
          if (first >= 0 && now - last > 500) heard.push(now - (1024 - first) / 48);
          if (first >= 0) last = now;
        }, 4);
      });
    }
  };
  const later = window.setTimeout;
  let open = false;
  window.setTimeout = (work, ms, ...all) => later((...given) => {
    work(...given);
    if (!given[0]?.shapes) return;
    const loud = Math.max(...given[0].shapes) > 0.5;
    if (loud && !open) worn.push(performance.now());
    open = loud;
  }, ms, ...all);
})()"""


class Beeping:
    """An avatar whose jaw is open in the frames whose sound is loud, and in no other."""

    def __init__(self, avatar: Avatar) -> None:
        self._avatar, self.config, self.face = avatar, avatar.config, avatar.face
        self.initial_state = avatar.initial_state
        self._loud: set[int] = set()

    def hear(self, sound: Sound, state: Any) -> tuple[list[Motion], Any]:
        self._loud |= set((sound.start + np.flatnonzero(sound.samples[0] > 0.3)) // FRAME)
        heard, state = self._avatar.hear(sound, state)
        return [motion(m.frame, {"jawOpen": float(m.frame in self._loud)}) for m in heard], state


def beeping(config: ShowConfig) -> Cast:
    cast = prepare(config)
    return cast._replace(avatar=Beeping(cast.avatar))


@pytest.mark.slow
def test_lips_meet_the_sound_that_is_heard(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page's sound begins, the model's mouth opens: within 20 ms, in the median."""
    seconds = 20
    beeps = np.zeros((seconds, SAMPLE_RATE), np.int16)
    beeps[:, :BEEP] = 20_000 * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(BEEP))
    with wave.open(str(tmp_path / "beeps.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(beeps.tobytes())
    song = str(tmp_path / "beeps.wav")
    monkeypatch.setattr("streaming.server.open_source", lambda name: AudioFile(song))
    config = served.server.config
    with serving(config, Wings(beeping)) as beeper, Browser(tmp_path, *WEBGL) as browser:
        browser.look(64, 64)
        browser.prepare(NOTE_TIMES)
        browser.open(f"{beeper.url}/stage?model=one.vrm#input=demo")
        browser.until(f"window.heard?.length >= {seconds - 3}", 60)
        heard, worn = (np.array(browser.run(name)) for name in ("heard", "worn"))
    nearest = worn[np.abs(worn[None] - heard[:, None]).argmin(axis=1)]
    skews = (heard - nearest)[5:]  # the page learns in the first seconds how late sound is
    print("ms by which sound comes after the lips:", skews.round(1))
    assert abs(np.median(skews)) < 20


# ---- bad input ----------------------------------------------------------------------------------


def test_a_file_that_is_no_model_is_said_on_the_stage(served: Served, browser: Browser) -> None:
    """In a sentence, and no show begins for it."""
    folder = served.server.models.folder
    (folder / "song.vrm").write_bytes(b"RIFF" + bytes(100))
    write_glb(folder / "bones.vrm", vrm_model(1))
    for name, words in {
        "song.vrm": "Song.vrm is not a VRM model",
        "gone.vrm": "No such model",
        "bones.vrm": "bones.vrm cannot be shown: ",
    }.items():
        browser.open(f"{served.url}/stage?model={name}#input=demo")
        browser.until(f"document.getElementById('note')?.textContent.includes({words!r})")
    assert served.server.sessions.live == []
