"""What the numbers belong to: the machine, what was measured on it, and how noisy it was."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CORES = 2  # that DESIGN's budgets are stated for
LIBRARIES = ("numpy", "numba", "openvino", "onnxruntime", "skia-python", "aiortc")
SPIN = 20_000  # additions of one turn of the jitter's loop, about a millisecond
TURNS = 200
MEGABYTE = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # of /proc/stat, a second

T = TypeVar("T")


def machine() -> dict[str, Any]:
    """Processor, cores that we may use, memory, system and versions."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory, GB": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def here_and_now() -> dict[str, str]:
    """The state of the code, and the time."""
    return {"code": _commit(), "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    info = Path("/proc/meminfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 1e6, 1)
    return None


def _commit() -> str:
    """The commit that is checked out, and whether files of it were changed."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def resident(pid: int | None) -> float:
    """Megabytes of memory that a process has in use; nan where /proc does not say."""
    status = Path(f"/proc/{pid}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def apart(work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns (or raises) in a process of its own, which leaves no memory behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def jitter() -> dict[str, float]:
    """How steadily this machine does the same work, over some 0.2 s: p99 and the slowest over the
    median. 1 is a machine of our own."""
    spent = []
    for _ in range(TURNS):
        began = time.perf_counter()
        sum(range(SPIN))
        spent.append(time.perf_counter() - began)
    p50, p99 = np.percentile(spent, [50, 99])
    return {"p99 / p50": float(p99 / p50), "max / p50": float(max(spent) / p50)}


class Neighbours:
    """`with Neighbours() as n:` `n.cores`: processor cores that other programs took meanwhile; nan
    where /proc does not say. Children must have ended by the block's end to be known as ours."""

    cores: float = float("nan")

    def __enter__(self) -> Neighbours:
        self._began, self._ours, self._all = time.monotonic(), _own_s(), _busy_s()
        return self

    def __exit__(self, *_: object) -> None:
        spent = (_busy_s() - self._all) - (_own_s() - self._ours)
        self.cores = max(0.0, spent / max(time.monotonic() - self._began, 1e-9))


def _own_s() -> float:
    """Processor seconds of this process and of its children that have ended."""
    mine = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in mine)


def _busy_s() -> float:
    """Processor seconds of the whole machine that were not idle; nan where /proc does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return float("nan")
    user, nice, system, _, _, *interrupts = map(
        int, stat.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts)) / TICKS
