"""What the doctor says, one check at a time, and that no check stops the others."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

import run_live
from engine.config import read
from kernels.graphs.opening import BackendUnavailable
from streaming import doctor
from streaming.doctor import Check, examine, judge_sound, judge_speed, succeeded
from streaming.line import ShowConfig
from streaming.microphone import MicrophoneConfig
from streaming.ports import UserError
from tests.streaming.peers import Ear
from tests.streaming.test_microphone import HEADSET, USB, World, block
from tests.streaming.turn_server import turn_server

NAMES = ["microphone", "processing", "virtual camera", "networks", "GPU", "ports",
         "other programs", "TURN", "browser", "VRM stage", "disk", "speed"]  # fmt: skip


def tone(level: float, n: int = 48_000) -> np.ndarray:
    return (level * np.sin(np.arange(n) * 0.05)).astype(np.float32)[None]


# ---- the microphone -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "rate", "status", "words"),
    [
        (tone(0.2), 48_000, "ok", "level -17 dB"),
        (tone(0.2), 44_100, "ok", "44100 Hz"),
        (tone(1.0), 48_000, "warn", "too loud"),
        (tone(0.0005), 48_000, "warn", "very quiet"),
        (tone(0.2), 16_000, "warn", "16000 Hz"),
        (tone(0.0), 48_000, "fail", "digital silence"),
        (tone(0.0, 0), 48_000, "fail", "gives no sound"),
    ],
)
def test_sound_is_judged(samples: np.ndarray, rate: int, status: str, words: str) -> None:
    check = judge_sound("USB Audio", rate, samples)
    assert check.status == status
    assert words in check.found
    assert bool(check.fix) == (status != "ok")


def test_the_microphone_is_opened_listened_to_and_closed() -> None:
    world = World(USB)
    for _ in range(5):
        world.heard(block(0.0))

    def opened():
        microphone = world.microphone()
        for _ in range(20):
            world.give(0.3 * np.sign(np.sin(np.arange(480) + block(0.0))))
        return microphone

    check = doctor.check_microphone(opened, seconds=0.1)
    assert check.status == "ok"
    assert check.found.startswith("USB Audio, 44100 Hz, level -10 dB")
    assert not world.alive


def test_the_chosen_microphone_is_opened_with_its_channel_and_without_its_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gate that is shut, in a quiet room, would look like a broken microphone."""
    world = World(HEADSET, USB)
    opened: list[tuple] = []

    def microphone(name, *, config):
        opened.append((name, config))
        return world.microphone(name)

    monkeypatch.setattr("streaming.microphone.Microphone", microphone)
    monkeypatch.setattr(doctor, "_listened", lambda *_: tone(0.2))
    show = read(ShowConfig, "vtuber", ["microphone.channel=1"])
    check = next(examine(show, "usb"))
    assert opened == [("usb", MicrophoneConfig(channel=1, gate_db=None))]
    assert check.name == "microphone"
    assert check.found.startswith("USB Audio")


def test_a_headset_in_telephone_mode_is_told_though_the_system_resamples_it() -> None:
    world = World(HEADSET)

    def opened():
        microphone = world.microphone()
        for _ in range(20):
            world.give(block(0.2, channels=1))
        return microphone

    check = doctor.check_microphone(opened, seconds=0.1)
    assert check.status == "warn"
    assert "telephone" in check.fix


def test_no_microphone() -> None:
    check = doctor.check_microphone(World().microphone)
    assert (check.status, check.fix) == ("fail", "plug one in, then --list-devices")


@pytest.mark.parametrize(
    ("source", "status"),
    [(None, "ok"), ("alsa_input.usb-Yeti.analog-stereo", "ok"), ("echocancel_source", "warn"),
     ("rnnoise_input", "warn"), ("EasyEffects Source", "warn")],
)  # fmt: skip
def test_processing(source: str | None, status: str) -> None:
    assert doctor.check_processing(lambda: source).status == status


# ---- network ------------------------------------------------------------------------------------


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = doctor.check_ports(None, page=port)
        assert (check.status, str(port) in check.found) == ("warn", True)
        assert check.fix.startswith(f"--serve {port + 1}")
    assert doctor.check_ports(None, page=port).status == "ok"
    ear = Ear()
    only = (ear.port, ear.port)
    assert doctor.check_ports(only, page=port).status == "fail"
    assert "0 of 1 UDP ports" in doctor.check_ports(only, page=port).found
    ear.close()


def test_other_programs() -> None:
    ear = Ear()
    with socket.create_server(("127.0.0.1", 0)) as studio:
        here = doctor.check_programs({"VMC": ear.port}, studio.getsockname()[1])
    assert here.found.startswith("listening here: VMC, VTube Studio")
    ear.close()
    assert doctor.check_programs({"VMC": ear.port}, 9).found == "listening here: none"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TURN_PATIENCE", 0.4)


def test_turn_servers_are_asked_for_a_relay(impatient: None) -> None:
    with turn_server("singer", "secret") as port:
        good = {"urls": f"turn:127.0.0.1:{port}", "username": "singer", "credential": "secret"}
        stun = {"urls": [f"stun:127.0.0.1:{port}"]}
        assert doctor.check_turn([good, stun]).status == "ok"
        wrong = doctor.check_turn([{**good, "credential": "guess"}])
    assert wrong.status == "fail"
    assert "401" in wrong.found or "Unauthorized" in wrong.found
    assert "web.ice_servers" in wrong.fix


@pytest.mark.parametrize("scheme", ["stun", "turn", "turns"])
def test_servers_that_do_not_answer(impatient: None, scheme: str) -> None:
    ear = Ear()
    server = {"urls": f"{scheme}:127.0.0.1:{ear.port}", "username": "a", "credential": "b"}
    check = doctor.check_turn([server])
    assert check.status == "fail"
    assert check.found.startswith(f"{scheme}:127.0.0.1:{ear.port}: ")
    ear.close()


def test_no_turn_is_no_trouble() -> None:
    assert doctor.check_turn([]).status == "ok"


# ---- the machine --------------------------------------------------------------------------------


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    check = doctor.check_networks("onnxruntime")
    assert check.status == "ok"
    assert "on onnxruntime" in check.found
    assert "openvino" in check.found
    broken = doctor.check_networks("tensorrt")
    assert (broken.status, broken.fix) == ("fail", "--set backend=numba")

    def nothing(path: Path, backend: str) -> None:
        raise BackendUnavailable(f"{backend}: not installed")

    monkeypatch.setattr("kernels.graphs.opening.open_graph", nothing)
    assert doctor.check_networks("auto").fix == "pip install openvino"


def test_gpu_and_browser() -> None:
    assert doctor.check_gpu(lambda: None).found.startswith("none")
    assert doctor.check_gpu(lambda: "NVIDIA H200, 570").found == "NVIDIA H200, 570"
    assert doctor.check_browser(lambda name: None).status in ("warn", "ok")
    assert doctor.check_browser(lambda name: f"/bin/{name}").found == "/bin/chromium"


@pytest.mark.parametrize(
    ("there", "count", "status"),
    [(True, 0, "ok"), (True, 2, "ok"), (False, 0, "ok"), (False, 1, "warn")],
)
def test_the_stage_of_vrm_models(
    there: bool, count: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.models.libraries_there", lambda: there)
    for number in range(count):
        (tmp_path / f"{number}.vrm").touch()
    check = doctor.check_stage(str(tmp_path))
    assert check.status == status
    assert f"{count} VRM model" in check.found
    assert ("make stage" in str(check)) == (not there)


@pytest.mark.parametrize(("free", "status"), [(10, "fail"), (1 << 30, "warn"), (9 << 30, "ok")])
def test_disk(free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert doctor.check_disk(tmp_path).status == status


@pytest.mark.parametrize(
    ("fps", "skipped", "busy", "status"),
    [(30.0, 0.0, 0.3, "ok"), (29.5, 0.03, 0.3, "warn"), (30.0, 0.0, 0.9, "warn"),
     (22.0, 0.0, 0.9, "fail"), (29.0, 0.2, 0.9, "fail")],
)  # fmt: skip
def test_speed_is_judged(fps: float, skipped: float, busy: float, status: str) -> None:
    check = judge_speed(fps, skipped, busy, 0.1004)
    assert check.status == status
    assert "OBS Sync Offset 100 ms" in check.found


def test_speed_is_that_of_a_real_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SELF_TEST_S", 0.5)
    check = doctor.check_speed(
        read(ShowConfig, None, ["renderer.width=128", "renderer.height=128"])
    )
    assert check.name == "speed"
    assert "pictures a second" in check.found


# ---- all together -------------------------------------------------------------------------------


def test_a_check_that_breaks_is_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("microphone", "camera", "networks", "speed"):
        monkeypatch.setattr(doctor, f"check_{name}", lambda *_: 1 / 0)
    monkeypatch.setattr(doctor, "check_gpu", lambda: (_ for _ in ()).throw(UserError("no\n way")))
    checks = list(examine(ShowConfig()))
    assert [check.name for check in checks] == NAMES
    assert [check.status for check in checks if check.name in ("GPU", "speed")] == ["fail"] * 2
    assert "no way" in next(check.found for check in checks if check.name == "GPU")
    assert not succeeded(checks)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_the_command_line(status, code: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    made = [Check("disk", "ok", "9 GB"), Check("TURN", status, "found", "mend it")]
    asked: list[tuple] = []

    def examined(*given):
        asked.append(given)
        return iter(made)

    monkeypatch.setattr(doctor, "examine", examined)
    assert run_live.main(["doctor", "--input", "mic:Blue"]) == code
    assert asked[0][1] == "Blue"
    text = capsys.readouterr().out
    assert "ok   disk            9 GB\n" in text
    assert "→ mend it" in text
    assert run_live.main(["doctor", "--json", "--config", "vtuber"]) == code
    listed = json.loads(capsys.readouterr().out)
    assert listed == [
        {"name": "disk", "status": "ok", "fix": ""},
        {"name": "TURN", "status": status, "fix": "mend it"},
    ]


def test_bad_configurations_are_refused_first(capsys) -> None:
    assert run_live.main(["doctor", "--set", "nothing=1"]) == 2
    assert run_live.main(["--json"]) == 2
    assert "--json is for doctor" in capsys.readouterr().err
