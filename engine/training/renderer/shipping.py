"""Give an identity the renderer it was trained: python -m engine.training.renderer.shipping RUN

Exports the averaged weights beside the identity's other assets, with the reference they were
trained with, an int8 version where that stays alike, and names them in `identity.yaml`.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import safe_open

from engine.rendering.identity import load_identity
from engine.rendering.neural.guide import cut
from engine.rendering.neural.networks import RGBA, Lite, Network, UNet, as_shown, examples
from engine.signals import F32
from engine.training import checkpoint
from engine.training.loop import CHECKPOINT
from engine.training.renderer.lessons import Batch, Lessons
from engine.training.renderer.pairs import REFERENCE, read_picture
from engine.training.renderer.rounding import ready_for_int8
from engine.training.renderer.score import masked_ssim
from kernels.developing import out_of_cells
from kernels.graphs import BackendUnavailable, open_graph
from kernels.graphs.exporting import export
from kernels.graphs.opening import LEAST_LIKENESS
from kernels.graphs.quantising import quantise

NAMES = {"lite": "neural-lite", "unet": "neural"}
BITS = 8  # of a stored weight: an identity is to be carried about
START_BITS = 16  # … where a training goes on from it
TEACHERS = {"raster": "our own rasteriser", "cycles": "Blender's Cycles", "video": "a camera"}
CALIBRATION = 48  # pictures


def load_renderer(run: Path) -> tuple[Network, dict[str, Any]]:
    """The averaged network of a run, and the run's record."""
    path = run / CHECKPOINT
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["meta"])
    kind = Lite if record["net"] == "lite" else UNet
    network = kind.from_config(record["model"])
    checkpoint.load(path, {"average": network}, {})
    return network.eval(), record


def likeness(made: dict, exact: dict) -> float:
    """SSIM of what two precisions paint, where the exact one paints somebody."""
    return masked_ssim(_planes(made), _planes(exact))


def _planes(made: dict[str, F32]) -> F32:
    """[4, H, W] of a network's answers."""
    if "rgba" in made:
        return made["rgba"][0]
    cells = made["cells"][0]
    return out_of_cells(cells, math.isqrt(cells.shape[2] // RGBA))


def export_network(run: Path, path: Path) -> None:
    """Only the network, such as `loop.start` of the next training begins from."""
    network, _ = load_renderer(run)
    _export(network, path, START_BITS)


def _export(network: Network, path: Path, bits: int) -> None:
    shown = as_shown(network)
    export(shown, examples(shown), path, asdict(network.config), bits)


def ship(run: Path, folder: Path | None = None) -> list[Path]:
    """Write the network, and its int8 version, into an identity's folder; the files written."""
    network, record = load_renderer(run)
    folder = folder or load_identity(record["identity"]).folder
    name = NAMES[record["net"]]
    path, small = folder / f"{name}.onnx", folder / f"{name}.int8.onnx"
    lessons = Lessons(record["pairs"], network.config, 1)
    seen = lessons.held_out(CALIBRATION)
    _export(network, path, BITS)
    feeds, assets = _feeds(network, seen), {name: path.name}
    small.unlink(missing_ok=True)  # of the network before
    with tempfile.TemporaryDirectory() as aside:
        whole, ready = Path(aside) / "whole.onnx", Path(aside) / "ready.onnx"
        _export(network, whole, 32)
        print(f"stored in {BITS} bits it is {_alike(path, whole, feeds):.4f} like itself")
        if isinstance(network, Lite):  # the others are too large to be shipped twice
            _export(ready_for_int8(network, seen), ready, 32)
            if _quantised(ready, feeds, small, whole):
                assets[f"{name}-int8"] = small.name
    if lessons.pairs is not None:
        _refer(lessons.pairs.folder / REFERENCE, folder / REFERENCE)
        assets["reference"] = REFERENCE
    _name(folder, name, assets, lessons.pairs.about.truth if lessons.pairs else "raster")
    return [folder / file for file in assets.values()]


def _quantised(ready: Path, feeds: list[dict[str, F32]], small: Path, whole: Path) -> bool:
    """Write an int8 version; whether it may be shipped. If not, says why, and nothing is left."""
    try:
        found = quantise(ready, feeds, likeness, small, whole)
    except BackendUnavailable as reason:  # it cannot be looked at here
        print(f"{reason}: not shipped")
        small.unlink()
        return False
    print(f"int8 is {found:.4f} like it" + ("" if found >= LEAST_LIKENESS else ": not shipped"))
    if found < LEAST_LIKENESS:
        small.unlink()
    return found >= LEAST_LIKENESS


def _feeds(network: Network, seen: list[Batch]) -> list[dict[str, F32]]:
    """What the exported network is fed for some pictures."""
    feeds = [
        {name: np.asarray(x) for name, x in batch._asdict().items() if name != "truth"}
        for batch in seen
    ]
    return [cut(one, network.config.grid) for one in feeds] if isinstance(network, Lite) else feeds


def _alike(path: Path, other: Path, feeds: list[dict[str, F32]]) -> float:
    """Mean likeness of what two files paint in float32."""
    one, two = open_graph(path, "openvino"), open_graph(other, "openvino")
    return float(np.mean([likeness(one(feed), two(feed)) for feed in feeds]))


def _refer(picture: Path, kept: Path) -> None:
    """Keep a picture at rest; of two, the larger: each network is told it at its own size."""
    if not kept.exists() or read_picture(kept).size < read_picture(picture).size:
        shutil.copy(picture, kept)


def _name(folder: Path, name: str, assets: dict[str, str], truth: str) -> None:
    """Name the assets, the renderer and whose pictures taught it in identity.yaml."""
    path = folder / "identity.yaml"
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: file for key, file in said.get("assets", {}).items() if key != f"{name}-int8"}
    said["assets"] = {**kept, **assets}
    if name not in said["renderers"]:
        said["renderers"].append(name)
    taught = f"{name}: learned from pictures of this head by {TEACHERS[truth]}."
    if taught not in said["origin"]:
        said["origin"] += f" {taught}"
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--folder", type=Path, help="of the identity; default: the one it is of")
    parser.add_argument("--network", type=Path, help="write only the network, to this ONNX file")
    options = parser.parse_args()
    if options.network:
        export_network(options.run, options.network)
        return
    for path in ship(options.run, options.folder):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
