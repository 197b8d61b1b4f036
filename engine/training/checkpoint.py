"""Training checkpoints: safetensors, never pickle; written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def save(path: Path, models: dict[str, nn.Module], optimisers: dict[str, Any], meta: dict) -> None:
    """Write models, optimisers and a JSON-able `meta` (step, config …) to one file."""
    tensors: dict[str, Tensor] = {}
    for name, model in models.items():
        for key, value in model.state_dict().items():
            tensors[f"model/{name}/{key}"] = value.detach().cpu().contiguous().clone()
    for name, optimiser in optimisers.items():
        for index, slots in optimiser.state_dict()["state"].items():
            for slot, value in slots.items():
                tensors[f"optimiser/{name}/{index}/{slot}"] = (
                    torch.as_tensor(value).cpu().clone(memory_format=torch.contiguous_format)
                )
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, partial, metadata={"meta": json.dumps(meta)})
    os.replace(partial, path)


def load(path: Path, models: dict[str, nn.Module], optimisers: dict[str, Any]) -> dict:
    """Restore what `save` wrote into the given objects; return `meta`."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        meta = json.loads(file.metadata()["meta"])
    for name, model in models.items():
        prefix = f"model/{name}/"
        found = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        model.load_state_dict(found)
    for name, optimiser in optimisers.items():
        whole = optimiser.state_dict()
        prefix = f"optimiser/{name}/"
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, slot = key[len(prefix) :].split("/")
                whole["state"].setdefault(int(index), {})[slot] = value
        optimiser.load_state_dict(whole)
    return meta
