"""The sink over real sockets: the token's file, closing and opening again, announcements."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streaming import vtubestudio
from streaming.ports import Sink, UserError
from streaming.schemes import check_sink
from streaming.userfolder import config_folder, read_secrets, write_secrets
from streaming.vtubestudio import VTubeStudio, read_options
from tests.streaming.peers import FORMAT, Log, a_motion, free_port, listening_to_the_log, repeating
from tests.streaming.vtube_studio import Studio, announcement, announcing, serving


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in life, only faster."""
    monkeypatch.setattr(vtubestudio, "BACKOFF", (0.01, 0.05))
    monkeypatch.setattr(vtubestudio, "PATIENCE", 0.5)


@contextmanager
def showing(sink: VTubeStudio) -> Iterator[None]:
    """A show that goes on: a motion every few milliseconds."""
    try:
        with repeating(lambda frame: sink.write(a_motion(frame), None, None), 0.005):
            yield
    finally:
        sink.close()


@pytest.fixture
def log() -> Iterator[Log]:
    with listening_to_the_log() as log:
        yield log


def lines(log: Log) -> list[str]:
    return [line for line in log.lines if line.startswith("VTube")]


def test_asks_once_and_keeps_the_token_for_this_user_only(tmp_path: Path, log: Log) -> None:
    with serving(Studio()) as served:
        for _ in range(2):
            served.injected.clear()
            sink = VTubeStudio(f"127.0.0.1:{served.port}", FORMAT, folder=tmp_path / "cantar")
            assert isinstance(sink, Sink)
            with showing(sink):
                assert served.injected.wait(5)
        assert served.studio.asked == 1
        assert served.studio.broken == []
    kept = tmp_path / "cantar" / "vtube-studio.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert json.loads(kept.read_text()) == {"127.0.0.1": next(iter(served.studio.tokens))}
    assert os.listdir(kept.parent) == ["vtube-studio.json"]
    assert [line for line in lines(log) if "press Allow" in line] == lines(log)[:1]
    assert not any(token in line for token in served.studio.tokens for line in lines(log))


def test_closed_and_opened_again(tmp_path: Path, log: Log) -> None:
    studio = Studio()
    with serving(studio) as served:
        sink = VTubeStudio(f"127.0.0.1:{served.port}", FORMAT, folder=tmp_path)
        with showing(sink):
            assert served.injected.wait(5)
            for _ in range(3):
                served.injected.clear()
                studio.values.clear()
                served.hang_up()
                assert served.injected.wait(5)
    assert studio.asked == 1
    assert sum("the connection broke" in line for line in lines(log)) <= 4
    assert any("connected" in line for line in lines(log))


def test_not_running_is_said_once_and_it_may_come_later(tmp_path: Path, log: Log) -> None:
    port = free_port()
    sink = VTubeStudio(f"127.0.0.1:{port}", FORMAT, folder=tmp_path)
    with showing(sink):
        log.until("nobody answers")
        with serving(Studio(), port) as served:
            assert served.injected.wait(5)
            log.until("connected")
    assert sum("nobody answers" in line for line in lines(log)) == 1
    [first] = [line for line in lines(log) if "nobody answers" in line]
    assert first == (
        f"VTube Studio at 127.0.0.1:{port}: nobody answers (is it running, with Start API "
        "(allow plugins) on?); the show goes on, and it is tried again"
    )


def test_a_user_who_says_no_is_left_in_peace(tmp_path: Path, log: Log) -> None:
    with serving(Studio(allow=False)) as served:
        sink = VTubeStudio(f"127.0.0.1:{served.port}", FORMAT, folder=tmp_path)
        with showing(sink):
            sink._thread.join(5)
            assert not sink._thread.is_alive()
        assert served.studio.asked == 1
    assert "it does not let Cantar in" in lines(log)[-1]
    assert read_secrets(tmp_path / "vtube-studio.json") == {"127.0.0.1": None}


def test_announcements_tell_another_port(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vtubestudio, "PORT", free_port())
    ear = free_port()
    with serving(Studio()) as served, announcing(announcement(served.port), ear):
        sink = VTubeStudio("", FORMAT, folder=tmp_path, announced_at=ear)
        with showing(sink):
            assert served.injected.wait(5)


def test_announcements_tell_that_the_api_is_off(tmp_path: Path, monkeypatch, log: Log) -> None:
    monkeypatch.setattr(vtubestudio, "PORT", free_port())
    ear = free_port()
    with announcing(announcement(8001, active=False), ear):
        sink = VTubeStudio("", FORMAT, folder=tmp_path, announced_at=ear)
        with showing(sink):
            log.until("plugin API is switched off")


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"messageType": "x"}', announcement(0)])
def test_other_announcements_are_passed_over(text: bytes) -> None:
    assert vtubestudio._read_announcement(text) is None


def test_announcements_from_elsewhere_are_passed_over() -> None:
    assert vtubestudio._is_at("127.0.0.1", "127.0.0.1")
    assert not vtubestudio._is_at("192.0.2.1", "127.0.0.1")
    assert not vtubestudio._is_at("192.0.2.1", "192.0.2.2")


def test_something_else_on_that_port(tmp_path: Path, log: Log) -> None:
    """A TCP server that hangs up at once."""
    over = threading.Event()

    def hang_up() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        thread = threading.Thread(target=hang_up)
        thread.start()
        sink = VTubeStudio(f"127.0.0.1:{server.getsockname()[1]}", FORMAT, folder=tmp_path)
        with showing(sink):
            log.until("the connection broke")
        over.set()
        thread.join()


def test_a_folder_that_cannot_be_written(tmp_path: Path, log: Log) -> None:
    (tmp_path / "file").write_text("")
    with serving(Studio()) as served:
        sink = VTubeStudio(f"127.0.0.1:{served.port}", FORMAT, folder=tmp_path / "file")
        with showing(sink):
            assert served.injected.wait(5)
            served.injected.clear()
            served.hang_up()
            assert served.injected.wait(5)
        assert served.studio.asked == 1
    assert any("will ask again next time" in line for line in lines(log))


def test_secrets(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "new" / "secrets.json"
    assert read_secrets(path) == {}
    write_secrets(path, {"a": "b"})
    os.chmod(path, 0o666)
    write_secrets(path, {"a": "c"})
    assert read_secrets(path) == {"a": "c"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("[1]")
    assert read_secrets(path) == {}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert config_folder() == tmp_path / "cantar"


def test_spellings() -> None:
    assert read_options("").address.port == 8001
    assert read_options("").announced
    assert read_options("studio?only=mouth").announced
    assert not read_options("[::1]:8001").announced
    assert read_options("?names=arkit&only=head,mouth")[2:] == (("head", "mouth"), True)
    for spec, message in [
        ("vts://h:x", "the port must be"),
        ("vts://h?nams=arkit", "did you mean names?"),
        ("vts://h?names=vrm1", "unknown names vrm1"),
    ]:
        with pytest.raises(UserError, match="vts://h") as caught:
            check_sink(spec)
        assert message.rstrip("?") in str(caught.value)
