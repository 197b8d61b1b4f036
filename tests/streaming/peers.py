"""Programs on the other end, for tests: a UDP ear, motions to send, models to read."""

from __future__ import annotations

import gc
import json
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.signals import Motion
from streaming.schemes import SinkFormat

FORMAT = SinkFormat(64, 64)


def a_motion(frame: int = 0, seed: int = 0) -> Motion:
    """A face that pulls every muscle, differently for every frame."""
    random = np.random.default_rng([seed, frame])
    return Motion(
        frame,
        random.uniform(0, 1, len(ARKIT)).astype(np.float32),
        random.uniform(-0.3, 0.3, 6).astype(np.float32),
        gaze=random.uniform(-0.3, 0.3, 2).astype(np.float32),
    )


class Ear:
    """A UDP socket of this machine that hears what is sent to its port."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(2.0)
        self.port: int = self._socket.getsockname()[1]

    def hear(self) -> bytes:
        """The next datagram; fails when none comes in two seconds."""
        return self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


class Wire:
    """Where a peer's socket was: counts what is sent, and looks at it once a minute."""

    def __init__(self, look: Callable[[bytes], object]) -> None:
        self.frame = self.sent = 0
        self._look = look

    def send(self, datagram: bytes) -> None:
        self.sent += 1
        if self.frame % 1800 == 0:
            self._look(datagram)


def grown_in_a_show(
    opened: Callable[[Callable[[], float]], Any],
    hours: float,
    step: int,
    look: Callable[[bytes], object],
) -> int:
    """So much of a show, every `step`th frame of it, into a sink that is opened with a clock and
    sends one datagram a frame; how many blocks of memory more there are in the end than after an
    eighth of it."""
    clock, wire, before = [0.0], Wire(look), 0
    sink = opened(lambda: clock[0])
    sink.peer._socket = wire
    motions = [a_motion(frame) for frame in range(64)]
    frames = range(0, round(hours * 3600 * 30), step)
    for frame in frames:
        if frame == frames[len(frames) // 8]:
            before = blocks()
        wire.frame, clock[0] = frame, frame / 30
        sink.write(motions[frame % 64], None, None)
    assert wire.sent == sink.peer.sent == len(frames)
    assert sink.peer.lost == 0
    return blocks() - before


def blocks() -> int:
    """Blocks of memory that Python holds."""
    gc.collect()
    return sys.getallocatedblocks()


@contextmanager
def repeating(work: Callable[[int], object], every: float) -> Iterator[None]:
    """`work(0)`, `work(1)` … in a thread, every so many seconds, while the block runs."""
    over = threading.Event()

    def run() -> None:
        turn = 0
        while not over.wait(every):
            work(turn)
            turn += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Log(logging.Handler):
    """What Cantar's log says, as it says it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.lines.append(record.getMessage())
            self._changed.notify_all()

    def until(self, said: str, seconds: float = 5.0) -> None:
        """Wait until some line holds these words."""
        with self._changed:
            there = self._changed.wait_for(lambda: any(said in x for x in self.lines), seconds)
        assert there, f"{said!r} was never said, only {self.lines}"


@contextmanager
def listening_to_the_log() -> Iterator[Log]:
    log = Log()
    logging.getLogger("cantar").addHandler(log)
    try:
        yield log
    finally:
        logging.getLogger("cantar").removeHandler(log)


def free_port() -> int:
    """A UDP port where nobody listens."""
    ear = Ear()
    ear.close()
    return ear.port


def write_glb(path: Path, model: Any) -> str:
    """A binary glTF file with this JSON and nothing else."""
    text = json.dumps(model).encode()
    text += b" " * (-len(text) % 4)
    chunk = struct.pack("<II", len(text), 0x4E4F534A) + text
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunk)) + chunk)
    return str(path)


def vrm_model(version: int) -> dict[str, Any]:
    """The bones of a VRM: hips under a root, then neck, head, eyes."""
    nodes = [
        {"name": "root", "children": [1]},
        {"name": "hips", "translation": [0, 0.9, 0.01], "children": [2]},
        {"name": "neck", "translation": [0.0, 0.5, -0.02], "children": [3]},
        {"name": "head", "translation": [0.001, 0.08, 0.03], "children": [4, 5]},
        {"name": "eye.L", "translation": [-0.03, 0.06, -0.02]},
        {"name": "eye.R", "translation": [0.03, 0.06, -0.02]},
    ]
    numbers = {"hips": 1, "neck": 2, "head": 3, "leftEye": 4, "rightEye": 5}
    if version == 0:
        bones: Any = [{"bone": name, "node": node} for name, node in numbers.items()]
        return {"nodes": nodes, "extensions": {"VRM": {"humanoid": {"humanBones": bones}}}}
    bones = {name: {"node": node} for name, node in numbers.items()}
    return {"nodes": nodes, "extensions": {"VRMC_vrm": {"humanoid": {"humanBones": bones}}}}
