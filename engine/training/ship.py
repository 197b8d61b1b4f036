"""Turn a checkpoint into the shipped graph: `python -m engine.training.ship separator RUN`.

Exports the averaged weights to one ONNX file that live runs and training alike read, and records in
the manifest where they come from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.hearing.separator_net import SeparatorNet
from engine.motion.musicface_net import FEATURES, WINDOW, MusicFace
from engine.training import checkpoint
from engine.weights import FOLDER, MANIFEST
from kernels.graphs.exporting import export

LICENCE = "Apache-2.0"
HOPS_AT_ONCE = 4  # of the separator: no frame of 1/30 s completes more
ORIGIN = (
    "Trained from nothing by this project on songs made by engine.training.songs: text of our own,"
    " sung by voices of espeak-ng, flite and festival through WORLD, accompanied by FluidR3 (MIT)"
    " and our own synthesisers. No recording of any person or published song was used."
)


def load_average(run: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged model of a run, separator or MusicFace, and the run's record."""
    from safetensors import safe_open

    path = run / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["meta"])
    kind: Any = SeparatorNet if "bands" in meta["model"] else MusicFace
    model = kind.from_config(meta["model"])
    checkpoint.load(path, {"average": model}, {})
    return model.eval(), meta


def examples(model: nn.Module) -> dict[str, torch.Tensor]:
    """Inputs of the shipped graph, by port name."""
    if isinstance(model, SeparatorNet):
        views = torch.zeros(1, HOPS_AT_ONCE, 2, model.config.bands)
        return {"views": views, "last": F.one_hot(torch.tensor([0]), HOPS_AT_ONCE).float()}
    assert isinstance(model, MusicFace)
    code = torch.zeros(1, 1, model.config.code)
    return {"windows": torch.zeros(1, 1, 2, WINDOW, FEATURES), "code": code}


def ship(name: str, run: Path, folder: Path = FOLDER, notes: str = "") -> Path:
    """Write `folder/name.onnx` and its manifest entry; return the file."""
    model, meta = load_average(run)
    path = folder / f"{name}.onnx"
    export(model, examples(model), path, meta["model"], bits=16)
    manifest_path = folder / MANIFEST.name
    manifest = (
        json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest_path.exists()
        else {"files": {}}
    )
    manifest["files"][path.name] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": LICENCE,
        "origin": ORIGIN,
        "config": meta["model"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": {
            "steps": meta["step"],
            "notes": notes,
        },
    }
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=("separator", "musicface"))
    parser.add_argument("run", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--notes", default="")
    args = parser.parse_args()
    path = ship(args.name, args.run, args.folder, args.notes)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
