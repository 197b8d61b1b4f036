"""Requests from outside: fades counted in frames, OSC in, and what cannot be done."""

from __future__ import annotations

from queue import Queue

import numpy as np
import pytest
from pythonosc.udp_client import SimpleUDPClient

from engine.motion.blendshapes import INDEX, JAW_OPEN
from engine.signals import Motion, Sound
from streaming.director import BadRequest, Director
from streaming.line import LiveConfig
from streaming.live import run_live
from streaming.osccontrol import OscControl
from streaming.ports import UserError
from tests.fakes import FakeAvatar, FakeSink, FakeSource, chunks, noise
from tests.motion.test_vrm import face

SMILE = INDEX["mouthSmileLeft"]


def played(director: Director, frames: range, yaw: float = 0.0) -> list[Motion]:
    shapes = face(jawOpen=0.4)
    head = np.array([yaw, 0, 0, 0, 0, 0], np.float32)
    return [director.motion(Motion(frame, shapes, head)) for frame in frames]


def test_without_requests_everything_is_the_same_object() -> None:
    director, moved = Director(), Motion(0, face(jawOpen=1), np.zeros(6, np.float32))
    sound = Sound(np.ones((1, 10), np.float32), 0)
    assert director.motion(moved) is moved
    assert director.sound(sound) is sound


def test_an_expression_fades_in_and_out_evenly() -> None:
    director = Director()
    director.overlay("smile", 1.0, seconds=1.0)
    smiles = [float(m.blendshapes[SMILE]) for m in played(director, range(40))]
    assert smiles[29] == pytest.approx(0.75)
    assert np.allclose(np.diff(smiles[:30]), 0.75 / 30, atol=1e-5)
    director.overlay("smile", 0.0, seconds=0.5)
    away = [float(m.blendshapes[SMILE]) for m in played(director, range(40, 60))]
    assert away[-1] == 0
    assert away == sorted(away, reverse=True)
    assert played(director, range(60, 61))[0].blendshapes[JAW_OPEN] == np.float32(0.4)


def test_fades_count_the_frames_that_never_came() -> None:
    director = Director()
    played(director, range(1))
    director.size("mouth", 0.0, seconds=1.0)
    [moved] = played(director, range(15, 16))
    assert moved.blendshapes[JAW_OPEN] == pytest.approx(0.2, abs=1e-5)


def test_recentring_learns_where_the_head_is() -> None:
    director = Director()
    played(director, range(150), yaw=0.25)
    director.recentre()
    assert abs(float(played(director, range(150, 170), yaw=0.25)[-1].head[0])) < 0.01


def test_muted_nothing_is_heard() -> None:
    director = Director()
    director.mute(True)
    sound = director.sound(Sound(np.ones((2, 10), np.float32), 7, np.ones((2, 10), np.float32)))
    assert sound.start == 7
    assert not sound.samples.any()
    assert not sound.stems.any()


def test_reset_takes_everything_back() -> None:
    director = Director()
    director.size("head", 2.0)
    director.overlay("grin")
    director.rest(True)
    director.mute(True)
    played(director, range(30))
    director.reset()
    after = played(director, range(30, 60))[-1]
    assert np.array_equal(after.blendshapes, face(jawOpen=0.4))
    sound = Sound(np.ones((1, 1), np.float32), 0)
    assert director.sound(sound) is sound


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda d: d.size("ears", 1), "there are mouth, head, eyes"),
        (lambda d: d.size("mouth", 3), "mouth: expected 0 to 2, got 3"),
        (lambda d: d.size("mouth", float("nan")), "expected 0 to 2"),
        (lambda d: d.overlay("smirk"), "unknown expression smirk; there are smile"),
        (lambda d: d.overlay("smile", -1), "smile: expected 0 to 1"),
        (lambda d: d.rest(True, 1e9), "seconds: expected 0 to 60"),
        (lambda d: d.style(3), "cannot change its style"),
    ],
)
def test_what_cannot_be_done(request_, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        request_(Director())


def test_styles_are_passed_on() -> None:
    worn: list[int] = []

    def restyle(number: int) -> None:
        if number > 5:
            raise ValueError("style must be 0 to 5")
        worn.append(number)

    director = Director(restyle)
    director.style(3)
    with pytest.raises(BadRequest, match="0 to 5"):
        director.style(6)
    assert worn == [3]


# ---- OSC ----------------------------------------------------------------------------------------


@pytest.fixture
def listening():
    worn: Queue[int] = Queue()
    director = Director(worn.put)
    control = OscControl(director, "127.0.0.1", 0)
    client = SimpleUDPClient("127.0.0.1", control.port)
    yield director, client, worn
    control.close()


def test_a_python_osc_client_directs(listening) -> None:
    director, client, worn = listening
    client.send_message("/cantar/mouth", [0.5, 0.0])
    client.send_message("/cantar/overlay", ["smile", 1, 0.0])
    client.send_message("/cantar/mute", 1)
    client.send_message("/cantar/rest", [0])
    client.send_message("/cantar/recentre", [])
    client.send_message("/cantar/style", 4)
    assert worn.get(timeout=5) == 4
    [moved] = played(director, range(1))
    assert moved.blendshapes[JAW_OPEN] == pytest.approx(0.2)
    assert moved.blendshapes[SMILE] == pytest.approx(0.75)
    assert not director.sound(Sound(np.ones((1, 1), np.float32), 0)).samples.any()


def test_nonsense_is_told_once_and_harms_nothing(listening, caplog) -> None:
    director, client, worn = listening
    for _ in range(3):
        client.send_message("/cantar/mouht", 1)
        client.send_message("/cantar/mouth", "wide")
        client.send_message("/cantar/overlay", [])
        client.send_message("/cantar/mouth", 9)
        client.send_message("/cantar/style", float("inf"))
        client.send_message("/\x1b[2J", 1)
        client.send_message("/elsewhere", [1, 2, 3])
    client._sock.sendto(b"\xff" * 50, ("127.0.0.1", client._port))
    client.send_message("/cantar/style", 1)
    assert worn.get(timeout=5) == 1
    lines = [record.getMessage() for record in caplog.records if "OSC" in record.getMessage()]
    assert len(lines) == 7
    assert all(line.isprintable() for line in lines)
    assert "did you mean /cantar/mouth?" in lines[0]
    assert "wrong arguments" in lines[1]
    assert "expected 0 to 2, got 9" in lines[3]
    [moved] = played(director, range(1))
    assert moved.blendshapes[JAW_OPEN] == np.float32(0.4)


def test_a_port_that_is_taken() -> None:
    first = OscControl(Director(), "127.0.0.1", 0)
    with pytest.raises(UserError, match=r"--control 127.0.0.1:\d+: Address already in use; choose"):
        OscControl(Director(), "127.0.0.1", first.port)
    first.close()


# ---- in a show ----------------------------------------------------------------------------------


def test_a_live_show_is_directed() -> None:
    director, sink = Director(), FakeSink()
    director.overlay("wink", 1.0, 0.0)
    director.mute(True)
    run_live(FakeAvatar(), FakeSource(chunks(noise(0.3), 1600)), [sink], LiveConfig(),
             director=director)  # fmt: skip
    heard = [frame for frame in sink.frames if frame.motion.blendshapes.any()]
    assert heard
    assert all(frame.motion.blendshapes[INDEX["eyeBlinkLeft"]] == 1 for frame in heard)
    assert not any(frame.motion.blendshapes[JAW_OPEN] for frame in heard)
    assert not any(frame.sound.samples.any() for frame in sink.frames)


# ---- tempo --------------------------------------------------------------------------------------


def nods(frames: int) -> list[Motion]:
    """A head that nods once a second."""
    yaw = 0.2 * np.sin(np.arange(frames) * 2 * np.pi / 30)
    return [
        Motion(n, face(jawOpen=0.4), np.array([yaw[n], 0, 0, 0, 0, 0], np.float32))
        for n in range(frames)
    ]


def speeds(motions: list[Motion]) -> np.ndarray:
    return np.abs(np.diff([float(motion.head[0]) for motion in motions]))


def test_at_another_tempo_the_head_moves_so_much_faster() -> None:
    for tempo in (0.0, 0.5, 2.0):
        director = Director()
        director.size("tempo", tempo, 0.0)
        played = [director.motion(motion) for motion in nods(300)]
        ratio = speeds(played)[60:].mean() / speeds(nods(300))[60:].mean()
        assert ratio == pytest.approx(tempo, abs=0.12)


def test_no_tempo_leads_a_head_away_and_at_the_first_tempo_it_comes_back() -> None:
    director = Director()
    director.size("tempo", 2.0, 0.0)
    ramp = [
        Motion(n, face(), np.full(6, min(n, 30) / 60, np.float32)) for n in range(900)
    ]  # turns once, and stays
    played = [director.motion(motion) for motion in ramp]
    assert max(float(np.abs(m.head).max()) for m in played) <= 2 * 0.5
    assert np.allclose(played[-1].head, 0.5, atol=1e-3)
    director.size("tempo", 1.0, 0.0)
    last = [director.motion(Motion(n, face(), ramp[-1].head)) for n in range(900, 1300)][-1]
    assert last.head is ramp[-1].head
