"""One drawing process for many sessions: each gets what it gets alone, up to the rounding of
floats, and nothing that befalls one is felt by another.

The GPU's part is played by `eager`, which takes any batch on a processor, too.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from aiohttp import ClientSession

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.motion.resting import neutral
from engine.rendering.identity import load_identity
from engine.rendering.neural.networks import LiteConfig, build, examples
from kernels.graphs import BackendUnavailable, opening
from kernels.graphs.exporting import export
from streaming.casts import Wings, prepare
from streaming.drawing import SLOTS, DrawingEnded, DrawingProcess
from streaming.line import LiveConfig, ShowConfig
from streaming.server import Address, opened
from streaming.studio import SharedDrawing, Studio
from streaming.webconfig import WebConfig
from tests.fakes import SIZE, FakeAvatar
from tests.serving import nobody
from tests.streaming.renderers import (
    DIVIDES,
    HANGS,
    KILLED,
    open_fickle,
    open_never,
    open_steady,
)
from tests.streaming.test_drawing import assert_same, motions
from tests.visitor import Visitor

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="memory without a name needs Linux: nothing is shared"
)
ROOT = Path(__file__).resolve().parents[2]
SMALL = AvatarConfig(renderer=RendererConfig(width=SIZE, height=SIZE))
LARGER = replace(SMALL, renderer=replace(SMALL.renderer, width=2 * SIZE, height=2 * SIZE))
LOOK = RendererConfig("neural-lite", 96, 96, backend="eager", precision="fp32")
KICK = 0.02  # spread of weights that begin at zero
PATIENCE = 60  # s that a whole program may take on a busy machine


@pytest.fixture
def fickle():
    """Three sessions of one process whose renderers misbehave when told to."""
    studio = Studio(open_fickle)
    sessions = [studio.shared(SMALL) for _ in range(3)]
    yield sessions
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Aria with a small network that nobody trained."""
    folder = tmp_path_factory.mktemp("packs") / "aria"
    shutil.copytree(load_identity("aria").folder, folder)
    torch.manual_seed(0)
    network = build(LiteConfig(size=96, enlarge=1, widths=(8, 12), fine=8)).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, KICK)
    export(network, examples(network), folder / "neural-lite.onnx", asdict(network.config))
    said = yaml.safe_load((folder / "identity.yaml").read_text(encoding="utf-8"))
    said["assets"].pop("reference", None)
    (folder / "identity.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder


def gone(pid):
    """Whether a child has ended and left nothing to collect."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return pid not in [child.pid for child in multiprocessing.active_children()]
    return False


# ---- the same pictures


def test_each_session_gets_what_it_gets_alone(pack):
    """At most a step of 255 apart: a batch is summed in another order."""
    looks = [
        LOOK,
        replace(LOOK, background="transparent", mirror=True),
        replace(LOOK, width=160, height=128, background="#336699"),
    ]
    configs = [AvatarConfig(str(pack), renderer=look) for look in looks]
    studio = Studio()
    shown = [replace(m, head=m.head * np.float32(0.2)) for m in motions(SLOTS)]
    drawings = [studio.drawing(config) for config in configs]
    try:
        assert {type(drawing) for drawing in drawings} == {SharedDrawing}
        assert len({drawing.pid for drawing in drawings}) == 1
        for motion in shown:
            for drawing in drawings:
                drawing.begin(motion)
        for drawing, config in zip(drawings, configs, strict=True):
            here = open_renderer(config)
            for motion in shown:
                alone, shared = here.draw(motion), drawing.finish()
                assert shared.frame == alone.frame
                assert shared.rgba.shape == alone.rgba.shape
                assert np.abs(shared.rgba.astype(int) - alone.rgba).max() <= 1
        half = replace(LOOK, width=48, height=48)
        here = open_renderer(AvatarConfig(str(pack), renderer=half))
        small = drawings[0].draw_small(shown[0]).rgba.astype(int)
        assert np.abs(small - here.draw(shown[0]).rgba).max() <= 1
        assert all(drawing.cpu_s > 0 for drawing in drawings)
    finally:
        for drawing in drawings:
            drawing.close()


def test_pictures_under_way_come_in_order_to_whom_they_belong():
    studio, here = Studio(open_steady), FakeAvatar()
    shown = [motions(4 * SLOTS, seed) for seed in range(3)]
    sessions = [studio.shared(SMALL) for _ in shown]
    for start in range(0, 4 * SLOTS, SLOTS):
        for n in range(start, start + SLOTS):
            for session, own in zip(sessions, shown, strict=True):
                session.begin(own[n])
        for session, own in zip(reversed(sessions), reversed(shown), strict=True):
            for n in range(start, start + SLOTS):
                assert_same(session.finish(), here.draw(own[n]))
    for session in sessions:
        session.close()


def test_sessions_of_other_sizes_share_the_process():
    studio = Studio(open_steady)
    with studio.shared(SMALL) as one, studio.shared(LARGER) as other:
        motion = motions(1)[0]
        assert_same(one.draw(motion), FakeAvatar().draw(motion))
        assert_same(other.draw(motion), FakeAvatar(size=2 * SIZE).draw(motion))
        assert one.pid == other.pid


def test_one_too_many_is_refused_to_the_session_that_begins_it(fickle):
    for frame in range(SLOTS):
        fickle[0].begin(neutral(frame))
    with pytest.raises(RuntimeError, match="are under way; finish one"):
        fickle[0].begin(neutral(9))
    assert fickle[1].draw(neutral(5)).frame == 5
    assert [fickle[0].finish().frame for _ in range(SLOTS)] == list(range(SLOTS))


# ---- each for itself


def test_nobody_waits_for_a_session_that_has_nothing_or_never_ends(fickle):
    idle, hanging, drawing = fickle
    idle.ready()
    hanging.begin(neutral(HANGS))
    for frame in range(10):
        assert drawing.draw(neutral(frame)).frame == frame
    hanging.close()
    assert drawing.draw(neutral(10)).frame == 10
    assert idle.draw(neutral(11)).frame == 11


def test_what_drawing_raises_is_raised_to_its_session_alone(fickle):
    fickle[0].begin(neutral(DIVIDES))
    for session in fickle[1:]:
        session.begin(neutral(1))
    with pytest.raises(ZeroDivisionError, match="no more ink") as caught:
        fickle[0].finish()
    assert "in _misbehave" in caught.value.__notes__[0]
    assert [session.finish().frame for session in fickle[1:]] == [1, 1]
    assert fickle[0].draw(neutral(2)).frame == 2


def test_a_session_that_closes_is_not_missed(fickle):
    leaving, *others = fickle
    for session in fickle:
        session.begin(neutral(0))
    leaving.close()
    leaving.close()
    assert not leaving.alive
    assert [session.finish().frame for session in others] == [0, 0]
    with pytest.raises(DrawingEnded, match="was closed"):
        leaving.finish()
    assert [session.draw(neutral(1)).frame for session in others] == [1, 1]


def test_who_waits_for_a_picture_is_told_when_the_session_closes(fickle):
    waiting, other = fickle[:2]
    waiting.begin(neutral(HANGS))
    raised = []

    def wait():
        try:
            waiting.finish()
        except DrawingEnded as error:
            raised.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.close()
    thread.join(10)
    assert raised == ["the drawing process was closed"]
    assert other.draw(neutral(0)).frame == 0


def test_what_opening_raises_is_raised_to_its_session_alone():
    studio = Studio(open_never)
    with studio.shared(SMALL) as one, studio.shared(replace(SMALL, avatar="kai")) as other:
        for session, name in ((one, "lumi"), (other, "kai")):
            with pytest.raises(ValueError, match=f"no ink for {name}"):
                session.ready()


def test_a_process_that_dies_is_told_to_all_and_the_next_session_has_another():
    studio = Studio(open_fickle)
    sessions = [studio.shared(SMALL) for _ in range(3)]
    for session in sessions:
        session.ready()
    sessions[0].begin(neutral(KILLED))
    for session in sessions:
        with pytest.raises(DrawingEnded, match=r"^the drawing process was killed by SIGKILL$"):
            session.finish() if session._under_way else session.draw(neutral(0))
        assert not session.alive
    with studio.shared(SMALL) as next_one:
        assert next_one.draw(neutral(1)).frame == 1
        for session in sessions:
            session.close()
        assert next_one.draw(neutral(2)).frame == 2


def test_a_cast_whose_process_died_sings_in_no_other_show():
    cast = nobody(ShowConfig())
    wings = Wings(lambda config: cast)
    drawing = Studio(open_steady).shared(SMALL)
    drawing.ready()
    wings.put(cast._replace(drawing=drawing))
    os.kill(drawing.pid, signal.SIGKILL)
    with pytest.raises(DrawingEnded):
        drawing.draw(neutral(0))
    assert wings.take(ShowConfig()) is cast
    assert gone(drawing.pid)


# ---- who shares


def test_other_renderers_and_backends_have_a_process_each(pack):
    for config in (
        AvatarConfig(),
        AvatarConfig(str(pack), renderer=replace(LOOK, backend="openvino")),
    ):
        with Studio().drawing(config) as one:
            assert type(one) is DrawingProcess
            one.ready()


def test_where_auto_finds_no_gpu_after_all_each_has_a_process(pack, monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "NVIDIA", tmp_path)  # for this process, not for its children
    config = AvatarConfig(str(pack), renderer=replace(LOOK, backend="auto"))
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with Studio().drawing(config) as drawing:
        assert type(drawing) is DrawingProcess
        drawing.ready()
        assert [child.pid for child in multiprocessing.active_children()] == [drawing.pid]
    with Studio().shared(config) as drawing, pytest.raises(BackendUnavailable, match="cuda: "):
        drawing.ready()


def test_the_shows_of_a_server_are_drawn_by_one_process(pack):
    config = ShowConfig(
        avatar=str(pack),
        renderer=LOOK,
        live=LiveConfig(margin_ms=120),
        web=WebConfig(sessions=2, drain_s=0.0),
    )

    async def scenario():
        async with (
            opened(config, Address(port=0)) as (server, address),
            asyncio.timeout(PATIENCE),
            ClientSession(address.url) as client,
        ):
            visitors = [Visitor(client) for _ in range(2)]
            for visitor in visitors:
                status, answer = await visitor.ask(input="demo")
                assert status == 201, answer
            for visitor in visitors:
                await visitor.seen(8)
            found = {session.performer.cast.drawing.pid for session in server.sessions.live}
            async with client.delete(f"/sessions/{visitors[0].session}") as response:
                assert response.status == 204
            await visitors[1].seen(len(visitors[1].pictures) + 8)
            for visitor in visitors:
                await visitor.leave()
            return found

    (pid,) = asyncio.run(scenario())
    assert gone(pid)


def test_casts_share_when_they_are_told_to(pack):
    config = ShowConfig(avatar=str(pack), renderer=LOOK)
    draws = Studio().drawing
    casts = [prepare(config, draws) for _ in range(2)]
    assert casts[0].drawing.pid == casts[1].drawing.pid
    assert all(cast.warmth.first.rgba.shape == (96, 96, 4) for cast in casts)
    for cast in casts:
        Wings.dismiss(cast)
    assert gone(casts[0].drawing.pid)


# ---- nothing is left


def test_nothing_is_left_when_the_last_has_closed():
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    studio = Studio(open_steady)
    sessions = [studio.shared(SMALL) for _ in range(3)]
    pid = sessions[0].pid
    os.kill(pid, signal.SIGINT)  # a Ctrl-C, sent to the whole group …
    os.kill(pid, signal.SIGTERM)
    for session in sessions:
        assert session.draw(neutral(0)).frame == 0  # … is for the parent alone to answer
    held = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(5):  # sessions that come and go leave nothing in the process, either
        with studio.shared(SMALL) as passing:
            passing.draw(neutral(1))
    with studio.shared(SMALL) as passing:
        passing.draw(neutral(2))
        assert len(os.listdir(f"/proc/{pid}/fd")) <= held + 4
    for session in sessions:
        assert not gone(pid)
        session.close()
    assert gone(pid)
    del studio, sessions, session, passing  # what a process leaves to its parent goes with them
    assert len(os.listdir("/proc/self/fd")) == files
    assert threading.active_count() == threads


def test_a_killed_program_takes_its_studio_with_it():
    """Its pipe closes only when every process that it started has ended."""
    program = """
from engine.avatar import AvatarConfig
from engine.motion.resting import neutral
from streaming.studio import Studio
from tests.streaming.renderers import open_steady
studio = Studio(open_steady)
sessions = [studio.shared(AvatarConfig()) for _ in range(2)]
for session in sessions:
    session.draw(neutral(0))
print("drawn", flush=True)
input()
"""
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout.readline() == "drawn\n"
    running.kill()
    _, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err) == (-signal.SIGKILL, "")
