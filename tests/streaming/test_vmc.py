"""VMC, message by message, against a python-osc server; then a day of it; then what goes wrong."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_server import BlockingOSCUDPServer

from engine.motion import vrm
from engine.motion.blendshapes import ARKIT
from streaming.peers import Address, Datagrams, part_of
from streaming.ports import UserError
from streaming.schemes import check_sink, open_sink
from streaming.vmc import ASSISTANT, PERFORMER, Layout, Vmc, read_options
from tests.streaming.peers import (
    FORMAT,
    Ear,
    a_motion,
    free_port,
    grown_in_a_show,
    vrm_model,
    write_glb,
)

Heard = list[tuple[str, tuple[Any, ...]]]
OPTIONS = ["", "?names=vrm1", "?names=arkit", "?names=vrm1+arkit", "?only=mouth", "?only=head,eyes"]


class Receiver:
    """A python-osc server: what a VMC program is built on."""

    def __init__(self) -> None:
        self.heard: Heard = []
        self.done = threading.Event()
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._hear)
        self._server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _hear(self, address: str, *arguments: Any) -> None:
        self.heard.append((address, arguments))
        if address == "/VMC/Ext/Blend/Apply":
            self.done.set()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def messages(datagrams: list[bytes]) -> Heard:
    bundles = [OscBundle(datagram) for datagram in datagrams]
    return [(m.address, tuple(m.params)) for bundle in bundles for m in bundle]


def check_frame(heard: Heard, number: int) -> dict[str, float]:
    """Every rule of the protocol for one frame; returns its blend values."""
    addresses = [address for address, _ in heard]
    assert addresses[0] == "/VMC/Ext/OK"
    assert heard[0][1] == (1,)
    assert type(heard[0][1][0]) is int
    assert addresses[1] == "/VMC/Ext/T"
    assert heard[1][1][0] == pytest.approx(number / 30, abs=1e-4)
    assert addresses.count("/VMC/Ext/Blend/Apply") == 1
    assert addresses[-1] == "/VMC/Ext/Blend/Apply"
    values: dict[str, float] = {}
    for address, arguments in heard[2:-1]:
        if address == "/VMC/Ext/Bone/Pos":
            assert len(arguments) == 8
            assert arguments[0] in vrm.BONES
            assert all(type(x) is float for x in arguments[1:])
            assert np.linalg.norm(arguments[4:]) == pytest.approx(1, abs=1e-5)
        else:
            assert address == "/VMC/Ext/Blend/Val"
            name, value = arguments
            assert name in (*vrm.VRM0, *vrm.VRM1, *ARKIT)
            assert name not in values
            assert 0 <= value <= 1
            values[name] = value
    return values


# ---- what is sent -------------------------------------------------------------------------------


def test_a_python_osc_server_gets_a_whole_frame(receiver: Receiver) -> None:
    sink = open_sink(f"vmc://127.0.0.1:{receiver.port}", FORMAT)
    sink.write(a_motion(7), None, None)
    assert receiver.done.wait(5)
    sink.close()
    sink.close()
    values = check_frame(receiver.heard, 7)
    assert tuple(values) == vrm.VRM0
    assert list(values.values()) == pytest.approx(vrm.vrm0(a_motion(7)).tolist())
    bones = [arguments for address, arguments in receiver.heard if address == "/VMC/Ext/Bone/Pos"]
    assert [bone[0] for bone in bones] == list(vrm.BONES)
    assert np.allclose([bone[4:] for bone in bones], vrm.bones(a_motion(7)), atol=1e-6)
    assert all(bone[1:4] == (0, 0, 0) for bone in bones)


@pytest.mark.parametrize("options", OPTIONS)
def test_bundles_are_small_and_every_frame_keeps_the_rules(options: str) -> None:
    _, layout = read_options(options)
    for frame in range(20):
        datagrams = layout.datagrams(a_motion(frame))
        assert max(map(len, datagrams)) <= 1500
        check_frame(messages(datagrams), frame)


def test_vrm0_is_always_there_and_silent_beside_perfect_sync() -> None:
    _, layout = read_options("?names=arkit+vrm1")
    values = check_frame(messages(layout.datagrams(a_motion())), 0)
    assert set(values) == {*vrm.VRM0, *vrm.VRM1, *ARKIT}
    assert not any(values[name] for name in (*vrm.VRM0, *vrm.VRM1))
    assert [values[name] for name in ARKIT] == pytest.approx(a_motion().blendshapes.tolist())


def test_vrm1_says_the_same_as_vrm0() -> None:
    _, layout = read_options("?names=vrm1")
    values = check_frame(messages(layout.datagrams(a_motion())), 0)
    # the table of the protocol's specification
    same = {"Joy": "happy", "Angry": "angry", "Sorrow": "sad", "Fun": "relaxed", "A": "aa",
            "I": "ih", "U": "ou", "E": "ee", "O": "oh", "Blink_L": "blinkLeft",
            "Blink_R": "blinkRight"}  # fmt: skip
    assert all(values[old] == values[new] for old, new in same.items())


def test_parts_that_are_left_to_others_are_not_sent() -> None:
    _, layout = read_options("?only=mouth&names=arkit")
    heard = messages(layout.datagrams(a_motion()))
    names = [arguments[0] for address, arguments in heard if address == "/VMC/Ext/Blend/Val"]
    assert {part_of(name) for name in names} == {"mouth"}
    assert {"A", "O", "jawOpen", "tongueOut"} <= set(names)
    assert not {"Blink", "Joy", "browInnerUp", "eyeBlinkLeft"} & set(names)
    assert not [address for address, _ in heard if address == "/VMC/Ext/Bone/Pos"]


@pytest.mark.parametrize(("version", "z"), [(0, 0.02), (1, -0.02)])
def test_a_models_own_bone_places(tmp_path: Path, version: int, z: float) -> None:
    path = write_glb(tmp_path / "my.vrm", vrm_model(version))
    _, layout = read_options(f"?model={path}")
    bones = {
        arguments[0]: arguments[1:4]
        for address, arguments in messages(layout.datagrams(a_motion()))
        if address == "/VMC/Ext/Bone/Pos"
    }
    assert bones["Neck"] == pytest.approx((0, 0.5, z))
    assert bones["LeftEye"][0] == pytest.approx(-0.03 if version == 0 else 0.03)


def test_ports() -> None:
    assert read_options("")[0] == Address("127.0.0.1", ASSISTANT)
    assert read_options("host")[0] == Address("host", 39540)
    assert read_options(f"[::1]:{PERFORMER}")[0] == Address("::1", 39539)


# ---- a day --------------------------------------------------------------------------------------


def grown(hours: float, step: int) -> int:
    def look(datagram: bytes) -> None:
        assert messages([datagram])[-1][0] == "/VMC/Ext/Blend/Apply"

    return grown_in_a_show(lambda now: Vmc("127.0.0.1:9", FORMAT, now=now), hours, step, look)


def test_a_day_in_one_frame_of_a_thousand_neither_loses_nor_grows() -> None:
    assert grown(24, 997) < 300


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_day_of_every_frame_neither_loses_nor_grows() -> None:
    assert grown(24, 1) < 300


# ---- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vmc://host:port", "the port must be a number"),
        ("vmc://host:70000", "the port must be a number"),
        ("vmc://host:0", "the port must be a number"),
        ("vmc://host:39540/path", "expected vmc://HOST:PORT"),
        ("vmc://host?name=vrm1", "unknown option name; did you mean names?"),
        ("vmc://host?names=vmr1", "unknown names vmr1; did you mean vrm1?"),
        ("vmc://host?names=", "names is empty; there are: vrm0, vrm1, arkit"),
        ("vmc://host?only=lips", "unknown only lips; there are: mouth"),
        ("vmc://host?model=none.vrm", "cannot read the model none.vrm: No such file"),
        ("vmc:/host", "did you mean vmc://H:P?"),
    ],
)
def test_bad_spellings_are_refused_before_the_show(spec: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_sink(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"glTF", b"not a model at all, but text", bytes(100), b"glTF" + bytes(96)],
)
def test_a_file_that_is_no_vrm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my.vrm"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a VRM model"):
        check_sink(f"vmc://host?model={path}")


@pytest.mark.parametrize(
    "model",
    [
        [], {}, {"nodes": []}, {"nodes": [], "extensions": {}}, {"extensions": {"VRM": 3}},
        {"nodes": [], "extensions": {"VRMC_vrm": {"humanoid": {"humanBones": {"head": {}}}}}},
        {"nodes": [], "extensions": {"VRM": {"humanoid": {"humanBones": [{"node": 0}]}}}},
    ],
)  # fmt: skip
def test_a_gltf_that_is_no_vrm(tmp_path: Path, model: Any) -> None:
    with pytest.raises(UserError, match="is not a VRM model"):
        check_sink(f"vmc://host?model={write_glb(tmp_path / 'my.vrm', model)}")


def test_nobody_there_is_said_once_and_the_show_goes_on(caplog) -> None:
    port = free_port()
    sink = open_sink(f"vmc://127.0.0.1:{port}", FORMAT)
    with caplog.at_level(logging.WARNING):
        for frame in range(50):
            sink.write(a_motion(frame), None, None)
    sink.close()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"VMC at 127.0.0.1:{port}: nobody listens there")
    assert "the show goes on" in line


def test_a_receiver_that_comes_later_gets_the_next_frame() -> None:
    port = free_port()
    sink = open_sink(f"vmc://127.0.0.1:{port}", FORMAT)
    sink.write(a_motion(0), None, None)
    ear = Ear(port)
    for frame in range(1, 4):
        sink.write(a_motion(frame), None, None)
    check_frame(messages([ear.hear()]), 1)
    ear.close()
    sink.close()


def test_a_name_is_looked_up_beside_the_show_until_it_is_found(caplog) -> None:
    ear, clock, asked = Ear(), [0.0], []

    def look_up(host: str, port: int) -> tuple[int, tuple]:
        asked.append(host)
        if len(asked) == 1:
            import socket

            raise socket.gaierror("no")
        return 2, ("127.0.0.1", port)

    peer = Datagrams(
        Address("studio.local", ear.port), "VMC", now=lambda: clock[0], look_up=look_up
    )
    for clock[0] in (0.0, 1.0, 11.0, 11.1):
        peer._looking.join()
        peer.send([b"x"])
    peer._looking.join()
    peer.send([b"y"])
    assert ear.hear() in (b"x", b"y")
    assert asked == ["studio.local"] * 2
    assert [r.getMessage() for r in caplog.records] == [
        f"VMC at studio.local:{ear.port}: no such host; the show goes on"
    ]
    peer.close()
    ear.close()


def test_a_network_that_is_full_loses_frames_and_waits_for_nobody() -> None:
    peer = Datagrams(Address("127.0.0.1", 9), "VMC")

    class Full:
        def send(self, datagram: bytes) -> None:
            raise BlockingIOError

        def close(self) -> None: ...

    peer._socket.close()
    peer._socket = Full()
    peer.send([b"x"] * 3)
    assert (peer.sent, peer.lost) == (0, 3)


@pytest.mark.parametrize(
    ("name", "part"),
    [("A", "mouth"), ("oh", "mouth"), ("jawOpen", "mouth"), ("cheekPuff", "mouth"),
     ("MouthSmile", "mouth"), ("TongueOut", "mouth"), ("Blink_L", "eyes"), ("lookUp", "eyes"),
     ("eyeWideLeft", "eyes"), ("EyeOpenLeft", "eyes"), ("LeftEye", "eyes"), ("Neck", "head"),
     ("Head", "head"), ("FaceAngleX", "head"), ("FacePositionY", "head"), ("Joy", "face"),
     ("angry", "face"), ("browInnerUp", "face"), ("cheekSquintLeft", "face"),
     ("CantarJawOpen", "mouth"), ("FaceAngry", "face"), ("Brows", "face")],
)  # fmt: skip
def test_parts(name: str, part: str) -> None:
    assert part_of(name) == part


def test_layouts_without_anything_left_still_apply() -> None:
    heard = messages(Layout(only=()).datagrams(a_motion()))
    assert [address for address, _ in heard] == [
        "/VMC/Ext/OK",
        "/VMC/Ext/T",
        "/VMC/Ext/Blend/Apply",
    ]
