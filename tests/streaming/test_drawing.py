"""The drawing process: the same pictures in order, every end told with its reason, nothing left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from engine.avatar import Avatar, AvatarConfig, RendererConfig, open_renderer
from engine.motion.resting import neutral
from engine.signals import Motion, Sound
from streaming.clock import Pacer
from streaming.drawing import SLOTS, DrawingEnded, DrawingProcess
from streaming.line import LiveConfig, LiveLine
from streaming.live import Warmth, WorkerError, run_file, run_live
from tests.fakes import SIZE, FakeAvatar, FakeSink, FakeSource, chunks, noise
from tests.streaming.renderers import (
    DIVIDES,
    EXITS,
    KILLED,
    LOCAL,
    open_fickle,
    open_never,
    open_steady,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL = AvatarConfig(renderer=RendererConfig(width=SIZE, height=SIZE))
PUPPET = AvatarConfig(renderer=RendererConfig(width=192, height=160, background="transparent"))
PATIENCE = 60  # s that a whole program may take on a busy machine


@pytest.fixture(scope="module")
def puppet():
    with DrawingProcess(PUPPET) as drawing:
        yield drawing


@pytest.fixture(scope="module")
def steady():
    with DrawingProcess(SMALL, open_steady) as drawing:
        yield drawing


@pytest.fixture
def fickle():
    with DrawingProcess(SMALL, open_fickle) as drawing:
        drawing.ready()
        yield drawing


def motions(n, seed=0):
    """Motions with something in every field."""
    random = np.random.default_rng(seed)

    def some(size, least, most):
        return random.uniform(least, most, size).astype(np.float32)

    return [
        Motion(
            frame,
            some(52, 0, 1),
            some(6, -0.3, 0.3),
            some(2, -0.4, 0.4),
            float(random.uniform()),
            some(2, -0.5, 0.5),
            some(3, -0.2, 0.2),
            float(random.uniform()),
        )
        for frame in range(n)
    ]


def assert_same(one, other):
    assert one.frame == other.frame
    assert (one.rgba.shape, one.rgba.dtype) == (other.rgba.shape, other.rgba.dtype)
    assert np.array_equal(one.rgba, other.rgba)


class Elsewhere(FakeAvatar):
    """A singer who has a process draw."""

    def __init__(self, drawing):
        super().__init__()
        self.draw = drawing.draw


# ---- the same pictures, in order


def test_pictures_are_bit_for_bit_those_drawn_here(puppet):
    here = open_renderer(PUPPET)
    shown = motions(6)
    for motion in [*shown, *reversed(shown)]:
        assert_same(puppet.draw(motion), here.draw(motion))


def test_small_pictures_are_those_of_half_the_size(puppet):
    half = RendererConfig(width=96, height=80, background="transparent")
    here = open_renderer(AvatarConfig(renderer=half))
    for motion in motions(3):
        assert_same(puppet.draw_small(motion), here.draw(motion))
        assert puppet.draw(motion).rgba.shape == (160, 192, 4)


def test_an_avatar_draws_elsewhere_what_it_hears_here(puppet):
    avatar = Avatar(PUPPET, puppet)
    assert avatar.renderer is puppet
    heard, _ = avatar.hear(Sound(noise(0.5), 0), avatar.initial_state())
    here = open_renderer(PUPPET)
    for motion in heard[-2:]:
        assert_same(avatar.draw(motion), here.draw(motion))


def test_pictures_under_way_come_in_order_and_stay_what_they_are(steady):
    here, shown = FakeAvatar(), motions(4 * SLOTS)
    drawn = []
    for start in range(0, len(shown), SLOTS):
        for motion in shown[start : start + SLOTS]:
            steady.begin(motion)
        drawn += [steady.finish() for _ in range(SLOTS)]
    for picture, motion in zip(drawn, shown, strict=True):
        assert_same(picture, here.draw(motion))


def test_one_too_many_is_refused(steady):
    for motion in motions(SLOTS):
        steady.begin(motion)
    with pytest.raises(RuntimeError, match="are under way; finish one"):
        steady.begin(neutral(9))
    with pytest.raises(RuntimeError, match="are under way; finish them"):
        steady.draw(neutral(9))
    assert [steady.finish().frame for _ in range(SLOTS)] == list(range(SLOTS))


def test_a_file_drawn_elsewhere_is_the_file_drawn_here(steady):
    sinks = []
    for drawing in (None, steady):
        sinks.append(FakeSink())
        run_file(FakeAvatar(), FakeSource(chunks(noise(1.0), 4000)), [sinks[-1]], drawing=drawing)
    assert [len(sink.frames) for sink in sinks] == [30, 30]
    for here, there in zip(*(sink.frames for sink in sinks), strict=True):
        assert np.array_equal(here.sound.samples, there.sound.samples)
        assert here.motion.frame == there.motion.frame
        assert_same(here.picture, there.picture)


def test_a_live_show_is_drawn_elsewhere(steady):
    sink, here = FakeSink(), FakeAvatar()
    source = FakeSource(chunks(noise(0.5), 1600))
    run_live(Elsewhere(steady), source, [sink], LiveConfig(margin_ms=400))
    own = [f for f in sink.frames if f.picture.frame == f.motion.frame]
    assert len(own) >= 8  # this machine may be busy
    for frame in own:
        assert_same(frame.picture, here.draw(frame.motion))


def test_the_overload_ladder_gets_its_small_pictures(steady):
    line = LiveLine(
        Elsewhere(steady),
        Pacer(0.1),
        config=LiveConfig(),
        first=steady.draw(neutral(-1)),
        draw_small=steady.draw_small,
    )
    line.ladder.level = 2
    motion = motions(1)[0]
    line.draw(motion)
    picture = line.pictures.take()
    small = FakeAvatar(size=SIZE // 2).draw(motion).rgba
    assert np.array_equal(picture.rgba, small.repeat(2, axis=0).repeat(2, axis=1))


def test_the_processor_time_of_the_child_is_told(puppet):
    puppet.draw(neutral(0))
    before = puppet.cpu_s
    puppet.draw(neutral(1))
    assert 0 < before < puppet.cpu_s


# ---- what goes wrong


def test_what_drawing_raises_is_raised_here_and_drawing_goes_on(fickle):
    for frame, kind, reason in (
        (DIVIDES, ZeroDivisionError, "no more ink"),
        (LOCAL, RuntimeError, "Local: a blot"),  # a class that only the child knows
    ):
        with pytest.raises(kind) as caught:
            fickle.draw(neutral(frame))
        assert str(caught.value) == reason
        assert "in _misbehave" in caught.value.__notes__[0]
    assert fickle.draw(neutral(0)).frame == 0
    for frame in (1, DIVIDES, 2):
        fickle.begin(neutral(frame))
    assert fickle.finish().frame == 1
    with pytest.raises(ZeroDivisionError):
        fickle.finish()
    assert fickle.finish().frame == 2


def test_what_opening_raises_is_raised_here():
    with DrawingProcess(SMALL, open_never) as drawing:
        with pytest.raises(ValueError, match="no ink for lumi"):
            drawing.ready()
        with pytest.raises(ValueError, match="no ink for lumi"):
            drawing.draw(neutral(0))


@pytest.mark.parametrize(
    ("frame", "how"), [(KILLED, "was killed by SIGKILL"), (EXITS, "ended with exit code 3")]
)
def test_a_process_that_ends_says_how(fickle, frame, how):
    fickle.begin(neutral(0))
    fickle.begin(neutral(frame))
    assert fickle.finish().frame == 0
    for _ in range(2):
        with pytest.raises(DrawingEnded, match=f"^the drawing process {how}$"):
            fickle.finish() if fickle._under_way else fickle.draw(neutral(1))


def test_a_killed_process_ends_the_show_with_its_reason(fickle):
    class Killing(FakeSink):
        def write(self, motion, picture, sound):
            super().write(motion, picture, sound)
            if motion.frame == 5:
                os.kill(fickle.pid, signal.SIGKILL)

    sink, source = Killing(), FakeSource(chunks(noise(9.0), 1600))
    reason = "drawing stopped: DrawingEnded: the drawing process was killed by SIGKILL"
    warmth = Warmth(0.001, 0.001, fickle.draw(neutral(-1)))
    with pytest.raises(WorkerError, match=reason):
        run_live(Elsewhere(fickle), source, [sink], warmth=warmth)
    assert 6 <= len(sink.frames) < 100
    assert (sink.closed, source.closed) == (1, True)
    assert not [t for t in threading.enumerate() if t.name.startswith("cantar")]


# ---- nothing is left


def shared_names():
    """Names in shared memory that this program could have made."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(("pym-", "psm_"))]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory has no folder here")
def test_nothing_is_left_when_it_is_closed():
    before = shared_names()
    drawing = DrawingProcess(SMALL, open_steady)
    os.kill(drawing.pid, signal.SIGINT)  # a Ctrl-C while it loads, sent to the whole group …
    drawing.ready()
    os.kill(drawing.pid, signal.SIGTERM)
    assert drawing.draw(neutral(0)).frame == 0  # … is for the parent alone to answer
    assert shared_names() == before
    drawing.close()
    drawing.close()
    assert shared_names() == before
    assert drawing.pid not in [child.pid for child in multiprocessing.active_children()]
    with pytest.raises(ProcessLookupError):
        os.kill(drawing.pid, 0)
    with pytest.raises(DrawingEnded, match="was closed"):
        drawing.draw(neutral(1))


def test_closing_does_not_wait_for_a_process_that_hangs():
    with DrawingProcess(SMALL, open_steady) as drawing:
        os.kill(drawing.pid, signal.SIGSTOP)


def command(*arguments, **pipes):
    """run_live.py as a program of its own."""
    program = [sys.executable, "run_live.py", "--size", "64x64", "--input", "silence", *arguments]
    return subprocess.Popen(program, cwd=ROOT, text=True, **pipes)


def test_the_program_draws_a_file_and_leaves_nothing(tmp_path):
    """Its pipes close only when every process that it started has ended."""
    file = tmp_path / "out.mp4"
    running = command(
        "--seconds", "0.3", "--output", str(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err) == (0, "")
    with av.open(str(file)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9


def test_a_killed_program_takes_its_drawing_with_it():
    running = command("--realtime", "--output", "none", stderr=subprocess.PIPE)
    assert "fps" in running.stderr.readline()  # the show is on
    running.kill()
    _, err = running.communicate(timeout=PATIENCE)  # to the end of the last process
    assert running.returncode == -signal.SIGKILL
    assert "leaked" not in err
    assert "Traceback" not in err


def test_ctrl_c_is_answered_by_the_program_alone():
    running = command("--realtime", "--output", "none", stderr=subprocess.PIPE, process_group=0)
    assert "fps" in running.stderr.readline()
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert "frames" in err
