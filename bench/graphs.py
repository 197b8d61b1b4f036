"""Every network on every runtime that this machine has: `python -m bench.graphs [--calls N]`.

Milliseconds a call, processor time of all threads, and how far the answers are from eager torch's.
Renderers that no identity ships yet have random weights: their speed is true, and so is parity;
what int8 would cost their looks is not known before they are trained.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.console import Console

from bench.figures import Cell, Part, Plan, Table
from bench.machine import Neighbours, machine
from bench.report import show
from bench.stages import one_torch_thread, timed
from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.rendering.identity import load_identity
from engine.rendering.neural.networks import (
    FULL,
    HALF,
    LITE,
    LiteConfig,
    UNetConfig,
    as_shown,
    build,
    examples,
    macs,
)
from engine.signals import F32
from engine.training.renderer.motions import numbered_motion
from engine.weights import shipped
from kernels.graphs import BackendUnavailable, open_graph
from kernels.graphs.exporting import export
from kernels.graphs.opening import BACKENDS, PRECISIONS
from kernels.graphs.quantising import quantise

WARM, CALLS = 4, 24
IDENTITY = "aria"
RENDERERS: dict[str, UNetConfig | LiteConfig] = {"full": FULL, "half": HALF, "lite": LITE}
COLUMNS = ("network", "backend", "precision", "ms", "processor ms", "from eager, at most")
CALIBRATION = 8  # noises: for speed only
KICK = 0.02  # spread of weights that begin at zero


def measure(plan: Plan) -> Part:
    """Tables of every network and of whole pictures."""
    part = Part("Networks on every runtime")
    calls = min(CALLS, max(1, int(plan.seconds)))
    rows = []
    for name, path, small in networks(plan.folder, plan.miniature):
        for backend in BACKENDS[1:]:
            plan.tell(f"{name} on {backend}")
            with one_torch_thread(backend):
                rows += on_backend(name, path, small, backend, calls, part.notes)
    part.tables["One call, one thread"] = Table(COLUMNS, tuple(rows))
    if not plan.miniature:
        plan.tell("whole pictures")
        part.tables["A picture with its guidance, one thread"] = pictures(plan.folder, calls)
    return part


# ---- networks ------------------------------------------------------------------------------------


def networks(folder: Path, few: bool) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, file and int8 file of the shipped networks and of the renderers' sizes."""
    for name in ("separator", "musicface"):
        yield name, shipped(f"{name}.onnx"), None
    for name, config in RENDERERS.items():
        if few and name != "lite":
            continue
        path = untrained(config, folder / f"{name}.onnx")
        network = build(config)
        made = config.size * config.enlarge
        title = f"{name} {made}², {macs(network) / 1e9:.2f} GMAC"
        yield title, path, quantised(path)


def untrained(config: UNetConfig | LiteConfig, path: Path) -> Path:
    """An exported renderer of random weights."""
    torch.manual_seed(0)
    network = build(config).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, KICK)
    shown = as_shown(network)
    export(shown, examples(shown), path, asdict(config), bits=16)
    return path


def quantised(path: Path) -> Path | None:
    """Its int8 version, let in whatever it lost: only its speed is asked. None without nncf."""
    out = path.with_suffix(".int8.onnx")
    shapes = open_graph(path, "onnxruntime").inputs
    seen = [noise(shapes, seed) for seed in range(CALIBRATION)]
    try:
        quantise(path, seen, lambda made, exact: 1.0, out)
    except ImportError:
        return None
    return out


def noise(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, F32]:
    """Inputs by port: uniform, states at zero."""
    rng = np.random.default_rng(seed)
    return {
        name: np.zeros(shape, np.float32)
        if name.startswith("state.")
        else rng.random(shape, np.float32)
        for name, shape in shapes.items()
    }


def on_backend(
    name: str, path: Path, small: Path | None, backend: str, calls: int, notes: list[str]
) -> list[tuple[Cell, ...]]:
    """A row for each precision that the backend has; a note for each reason that it has not."""
    rows: list[tuple[Cell, ...]] = []
    for precision in PRECISIONS:
        file = small if precision == "int8" else path
        if file is None:
            continue
        try:
            graph = open_graph(file, backend, precision)
        except BackendUnavailable as reason:
            note = f"Not measured: {reason}"
            if precision == "fp32" and note not in notes:  # else it is a precision it never has
                notes.append(note)
            continue
        feeds = noise(graph.inputs, 1)
        found = timed([partial(graph, feeds)] * (calls + WARM), skip=WARM)
        truth = open_graph(path, "eager")(feeds)
        answers = graph(feeds)
        off = max(float(np.abs(answers[port] - truth[port]).max()) for port in truth)
        rows.append((name, backend, precision, _short(found.p50), _short(found.cpu), f"{off:.1e}"))
    return rows


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


# ---- whole pictures ------------------------------------------------------------------------------


def pictures(folder: Path, calls: int) -> Table:
    """`draw` of the head, and of the renderers over it, on OpenVINO."""
    pack, rows = dressed(folder), []
    motions = [numbered_motion(5, number) for number in range(calls + WARM)]
    plain = RendererConfig("head", background="transparent", backend="openvino")
    looks = {"head 512²": plain}
    for precision in ("fp32", "bf16", "int8"):
        for name, side in (("neural-lite", 512), ("neural", 256)):
            looks[f"{name} {side}² in {precision}"] = replace(
                plain, name=name, width=side, height=side, precision=precision
            )
    for title, look in looks.items():
        try:
            renderer = open_renderer(AvatarConfig(avatar=str(pack), renderer=look))
        except BackendUnavailable:
            continue
        found = timed([partial(renderer.draw, motion) for motion in motions], skip=WARM)
        rows.append((title, _short(found.p50), _short(found.p95), _short(found.cpu)))
    return Table(("picture", "ms", "p95", "processor ms"), tuple(rows))


def dressed(folder: Path) -> Path:
    """An identity with the untrained renderers that `networks` left in the folder."""
    pack = folder / IDENTITY
    shutil.copytree(load_identity(IDENTITY).folder, pack, dirs_exist_ok=True)
    said = yaml.safe_load((pack / "identity.yaml").read_text(encoding="utf-8"))
    for name, file in (("neural", "half"), ("neural-lite", "lite")):
        said["renderers"] = sorted({*said["renderers"], name})
        said["assets"] |= {name: f"../{file}.onnx", f"{name}-int8": f"../{file}.int8.onnx"}
    (pack / "identity.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return pack


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=CALLS, help="of each network")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, Neighbours() as neighbours:
        tell = partial(console.print, style="dim", markup=False)
        part = measure(Plan(float(max(options.calls, 5)), Path(folder), tell))
    about = machine()
    part.notes.append(
        f"{about['cpu']}, {about['cores']} cores, of which other programs took "
        f"{neighbours.cores:.1f}; {about['libraries']}"
    )
    show(console, "graphs", part)


if __name__ == "__main__":
    main()
