"""What a show needs, looked at one by one: `run_live.py doctor`.

Each check answers for itself with ok, warn (a show is possible) or fail, what it found and what
mends it; a check that breaks is a failed one, never the end of the others.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from engine.signals import F32
from streaming.ports import UserError

if TYPE_CHECKING:
    from streaming.line import LiveLine, ShowConfig
    from streaming.microphone import Microphone, MicrophoneConfig

Status = Literal["ok", "warn", "fail"]

LISTEN_S = 1.5  # s that the microphone is listened to
QUIET_DB, CLIPPED = -60.0, 0.99
TELEPHONE = 32_000  # Hz; below it a microphone is a telephone
PROCESSED = ("echo", "cancel", "noise", "rnnoise", "denoise", "easyeffects")
PAGE_PORT = 8080
PEERS = {"VMC 39539": 39539, "VMC 39540": 39540, "iFacialMocap 49983": 49983}
VTUBE_STUDIO = 8001
TURN_PATIENCE = 4.0  # s
ROOM = (200 << 20, 2 << 30)  # bytes of disk: less is a failure, less than that a warning
SELF_TEST_S = 5.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge", "firefox")


class Check(NamedTuple):
    """One line of the report."""

    name: str
    status: Status
    found: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n{'':21}→ {self.fix}" if self.fix else ""
        return f"{self.status:<4} {self.name:<15} {self.found}{fix}"


def examine(config: ShowConfig, microphone: str = "") -> Iterator[Check]:
    """All checks, each as soon as it is done. microphone: as `mic:NAME` names it; empty: the
    system's choice."""
    checks: dict[str, Callable[[], Check]] = {
        "microphone": lambda: check_microphone(lambda: _opened(microphone, config.microphone)),
        "processing": check_processing,
        "virtual camera": lambda: check_camera(config.renderer.width, config.renderer.height),
        "networks": lambda: check_networks(config.backend),
        "GPU": check_gpu,
        "ports": lambda: check_ports(config.web.port_range()),
        "other programs": check_programs,
        "TURN": lambda: check_turn(config.web.ice_servers),
        "browser": check_browser,
        "VRM stage": lambda: check_stage(config.web.models),
        "disk": check_disk,
        "speed": lambda: check_speed(config),
    }
    for name, check in checks.items():
        try:
            yield check()
        except Exception as error:  # the others are still worth knowing
            words = " ".join(str(error).split()) or type(error).__name__
            yield Check(name, "fail", words)


def succeeded(checks: Sequence[Check]) -> bool:
    return all(check.status != "fail" for check in checks)


# ---- sound --------------------------------------------------------------------------------------


def _opened(name: str, config: MicrophoneConfig) -> Microphone:
    """As a show opens it, but without its gate: a shut gate is no broken microphone. Raises
    UserError."""
    from streaming.microphone import Microphone

    return Microphone(name, config=replace(config, gate_db=None))


def check_microphone(opened: Callable[[], Microphone], seconds: float = LISTEN_S) -> Check:
    """Level and rate of a microphone."""
    try:
        microphone = opened()
    except UserError as error:
        return Check("microphone", "fail", str(error), "plug one in, then --list-devices")
    try:
        return judge_sound(microphone.device, microphone.rate, _listened(microphone, seconds))
    finally:
        microphone.close()


def _listened(microphone: Microphone, seconds: float) -> F32:
    """[C, n] of so much sound, less when the device gives less in twice the time."""
    parts: list[F32] = [np.zeros((microphone.channels, 0), np.float32)]
    end = time.monotonic() + 2 * seconds
    while sum(part.shape[1] for part in parts) < seconds * 48_000 and time.monotonic() < end:
        sound = microphone.read()
        if sound is None:
            break
        parts.append(sound.samples)
    return np.concatenate(parts, axis=1)


def judge_sound(device: str, rate: int, samples: F32) -> Check:
    """What a stretch of a microphone's sound says about it."""
    name = "microphone"
    if samples.shape[1] == 0:
        return Check(name, "fail", f"{device} gives no sound", "unplug it and plug it in again")
    peak = float(np.abs(samples).max())
    if peak == 0:
        fix = "unmute it, and let this program use it (the system's privacy settings)"
        return Check(name, "fail", f"{device}: digital silence", fix)
    level = 10 * np.log10(float(np.mean(np.square(samples, dtype=np.float64))))
    found = f"{device}, {rate} Hz, level {level:.0f} dB, peak {20 * np.log10(peak):.0f} dB"
    if peak >= CLIPPED:
        return Check(
            name, "warn", f"{found}: too loud", "lower its gain until it never reaches 0 dB"
        )
    if rate < TELEPHONE:
        fix = "a headset in telephone mode sounds dull: use a wired or USB microphone"
        return Check(name, "warn", found, fix)
    if level < QUIET_DB:
        return Check(name, "warn", f"{found}: very quiet", "sing while this runs; raise its gain")
    return Check(name, "ok", found)


def check_processing(ask: Callable[[], str | None] | None = None) -> Check:
    """Whether the system cleans the microphone's sound, which takes singing for noise."""
    source = (ask or _default_source)()
    if source is None:
        return Check("processing", "ok", "cannot be asked for on this system")
    if any(word in source.lower() for word in PROCESSED):
        fix = "choose the microphone itself: pactl set-default-source NAME"
        return Check("processing", "warn", f"{source} changes the sound", fix)
    return Check("processing", "ok", f"none that can be seen ({source})")


def _default_source() -> str | None:
    """PulseAudio's or PipeWire's default source; None where there is neither."""
    try:
        asked = subprocess.run(
            ["pactl", "get-default-source"], capture_output=True, text=True, timeout=3, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None


# ---- pictures and networks ----------------------------------------------------------------------


def check_camera(width: int, height: int) -> Check:
    """Open a virtual camera as a show would, and close it."""
    from streaming.camera import VirtualCamera
    from streaming.schemes import SinkFormat

    try:
        camera = VirtualCamera("", SinkFormat(width - width % 2, height - height % 2))
    except UserError as error:
        found, _, cure = str(error).partition("; to get one, ")
        return Check("virtual camera", "warn", found, cure or "pip install pyvirtualcam")
    camera.close()
    return Check("virtual camera", "ok", f"{camera.device}, {width}x{height}")


def check_networks(backend: str) -> Check:
    """Open the shipped networks with the chosen backend; say which others there are."""
    from engine.weights import shipped
    from kernels.graphs.opening import BACKENDS, BackendUnavailable, open_graph

    others = []
    for name in BACKENDS[1:]:
        with suppress(BackendUnavailable):
            open_graph(shipped("separator.onnx"), name)
            others.append(name)
    try:
        chosen = open_graph(shipped("musicface.onnx"), backend)
    except BackendUnavailable as error:
        fix = f"--set backend={others[0]}" if others else "pip install openvino"
        return Check("networks", "fail", str(error), fix)
    return Check("networks", "ok", f"on {chosen.backend} (there are: {', '.join(others)})")


def check_gpu(ask: Callable[[], str | None] | None = None) -> Check:
    gpu = (ask or _gpu)()
    return Check("GPU", "ok", gpu or "none that can be seen; two processor cores are enough")


def _gpu() -> str | None:
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(asked.stdout.strip().splitlines()) or None


# ---- network ------------------------------------------------------------------------------------


def check_ports(udp: tuple[int, int] | None, page: int = PAGE_PORT) -> Check:
    """Whether the page could be served, and its pictures sent within the configured range."""
    if not is_free(page, socket.SOCK_STREAM):
        fix = f"--serve {page + 1}, or close the other program"
        return Check("ports", "warn", f"another program has port {page}", fix)
    if udp is None:
        return Check("ports", "ok", f"{page} is free for the page")
    first, last = udp
    free = sum(is_free(port, socket.SOCK_DGRAM) for port in range(first, last + 1))
    found = f"{page} is free for the page, {free} of {last - first + 1} UDP ports too"
    if free < 2:
        return Check("ports", "fail", found, "--set web.udp_ports=FROM-TO with a free range")
    return Check("ports", "ok", found)


def is_free(port: int, kind: socket.SocketKind) -> bool:
    with closing(socket.socket(socket.AF_INET, kind)) as probe:
        if kind == socket.SOCK_STREAM and os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_programs(peers: dict[str, int] | None = None, studio: int = VTUBE_STUDIO) -> Check:
    """Which programs that could show the motion listen on this machine."""
    peers = PEERS if peers is None else peers
    there = [name for name, port in peers.items() if not is_free(port, socket.SOCK_DGRAM)]
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", studio), 0.5)):
        there.append(f"VTube Studio {studio}")
    return Check("other programs", "ok", f"listening here: {', '.join(there) or 'none'}")


def check_turn(servers: Sequence[dict]) -> Check:
    """Whether every configured STUN and TURN server gives what it is for."""
    urls = [(url, server) for server in servers for url in _urls(server)]
    if not urls:
        return Check("TURN", "ok", "none configured: enough for this machine and its network")
    wrong = [f"{url}: {why}" for url, server in urls if (why := _ice_trouble(url, server))]
    if wrong:
        fix = "check web.ice_servers: address, user name, credential, and the firewall"
        return Check("TURN", "fail", "; ".join(wrong), fix)
    return Check("TURN", "ok", ", ".join(url for url, _ in urls))


def _urls(server: dict) -> list[str]:
    urls = server["urls"]
    return list(urls) if isinstance(urls, list) else [urls]


def _ice_trouble(url: str, server: dict) -> str:
    """Why a server is of no use; empty when it is."""
    scheme, _, rest = url.partition(":")
    where, _, query = rest.partition("?")
    host, _, port = where.rpartition(":") if ":" in where.rpartition("]")[2] else (where, "", "")
    address = (
        host.strip("[]"),
        int(port) if port.isdecimal() else 5349 if scheme[-1] == "s" else 3478,
    )
    tcp = "transport=tcp" in query or scheme == "turns"
    try:
        if scheme.startswith("turn"):
            asyncio.run(_allocate(address, server, tcp, scheme == "turns"))
        else:
            _binding(address)
    except TimeoutError:
        return "no answer"
    except Exception as error:  # aioice has its own, and the network the rest
        return " ".join(str(error).split()) or type(error).__name__
    return ""


async def _allocate(address: tuple[str, int], server: dict, tcp: bool, tls: bool) -> None:
    """Ask a TURN server for a relay, as a browser would, and give it back."""
    from aioice.turn import create_turn_endpoint

    async with asyncio.timeout(TURN_PATIENCE):
        transport, _ = await create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=address,
            username=server.get("username"),
            password=server.get("credential"),
            ssl=tls or None,
            transport="tcp" if tcp else "udp",
        )
        transport.close()


def _binding(address: tuple[str, int]) -> None:
    """Ask a STUN server who we are. Raises OSError, TimeoutError."""
    from aioice import stun

    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asker:
        asker.settimeout(TURN_PATIENCE / 4)
        for last in (False, False, True):
            asker.sendto(bytes(request), address)
            try:
                stun.parse_message(asker.recv(2048))
                return
            except TimeoutError:
                if last:
                    raise


# ---- the machine --------------------------------------------------------------------------------


def check_browser(which: Callable[[str], str | None] = shutil.which) -> Check:
    found = next((path for name in BROWSERS if (path := which(name))), None)
    if found is None and sys.platform in ("darwin", "win32"):
        with suppress(webbrowser.Error):
            found = (
                webbrowser.get().name if hasattr(webbrowser.get(), "name") else "the default one"
            )
    if found is None:
        fix = "install Chromium, Chrome, Edge or Firefox to use the page"
        return Check("browser", "warn", "none found", fix)
    return Check("browser", "ok", found)


def check_stage(folder: str = "") -> Check:
    """Whether models of the user's own can be drawn on the stage, and which there are."""
    from streaming.models import FETCH, Models, libraries_there

    models = Models(folder)
    count = len(models.names())
    found = f"{count} VRM model{'' if count == 1 else 's'} in {models.folder}"
    if libraries_there():
        return Check("VRM stage", "ok", found)
    if count == 0:
        return Check("VRM stage", "ok", f"not set up, and {found}; to have one: make stage")
    return Check("VRM stage", "warn", f"{found}, and nothing to draw with", FETCH)


def check_disk(folder: Path | None = None) -> Check:
    """Room for recordings in the current folder."""
    folder = folder or Path.cwd()
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free in {folder}"
    least, enough = ROOM
    if not os.access(folder, os.W_OK):
        return Check("disk", "warn", f"{folder} cannot be written", "record into another folder")
    if free < least:
        return Check("disk", "fail", found, "free some space: a video takes about 1 GB an hour")
    if free < enough:
        return Check("disk", "warn", found, "a video takes about 1 GB an hour")
    return Check("disk", "ok", found)


def check_speed(config: ShowConfig) -> Check:
    """A real show of five seconds, kept by nobody: pictures a second, delay, processor."""
    from engine.avatar import Avatar
    from streaming.drawing import DrawingProcess
    from streaming.live import run_live
    from streaming.nothing import Nothing
    from streaming.schemes import SinkFormat, open_source

    lines: list[LiveLine] = []
    with DrawingProcess(config) as drawing:
        avatar = Avatar(config, drawing)
        drawing.ready()
        began = [0.0, 0.0]

        def watch(line: LiveLine) -> None:
            lines.append(line)
            began[:] = time.process_time() + drawing.cpu_s, time.monotonic()

        stats = run_live(
            avatar,
            open_source("demo", seconds=SELF_TEST_S),
            [Nothing("", SinkFormat(config.renderer.width, config.renderer.height))],
            config.live,
            draw_small=drawing.draw_small,
            watch=watch,
        )
        busy = time.process_time() + drawing.cpu_s - began[0]
    share = busy / max(1e-3, time.monotonic() - began[1]) / (os.cpu_count() or 1)
    return judge_speed(stats.fps, stats.skipped_share, share, lines[0].pacer.delay)


def judge_speed(fps: float, skipped: float, busy: float, delay: float) -> Check:
    """fps; share of frames skipped; share of all cores that is busy; delay in seconds."""
    found = (
        f"{fps:.1f} pictures a second, {100 * skipped:.1f} % skipped, {100 * busy:.0f} % of "
        f"{os.cpu_count()} cores; OBS Sync Offset {1000 * delay:.0f} ms"
    )
    fix = "close other programs, or draw less: --size 640x360, --renderer puppet"
    if skipped > 0.05 or fps < 25:
        return Check("speed", "fail", found, fix)
    if skipped > 0.01 or busy > 0.8:
        return Check("speed", "warn", found, fix)
    return Check("speed", "ok", found)
