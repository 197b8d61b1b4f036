"""MusicFace's Table 1 again: `python -m bench.ablation --lessons DIR --valid DIR --out DIR`.

Four networks, trained the same with several seeds, and scored on lessons of songs that none of them
heard (`engine.training.acting` makes both). A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from engine.metrics import eyes, head, mouth
from engine.motion.blendshapes import JAW_OPEN
from engine.motion.musicface_net import SMALL, MusicFace
from engine.timeline import FRAME, HOP, MAX_LOOKAHEAD
from engine.training import checkpoint
from engine.training.examples import frame_windows
from engine.training.loop import CHECKPOINT, LoopConfig, train
from engine.training.musicface import MusicFaceTask, MusicFaceTraining

VARIANTS: Mapping[str, dict[str, Any]] = {
    "Single-Stream": {"streams": 1, "modulated": False, "generator": False},
    "Two-Stream": {"modulated": False, "generator": False},
    "With-ATM": {"generator": False},
    "Ours": {},
}
LOOKAHEAD = 2
RESULTS = "ablation.json"

Figures = dict[str, float]


def trained(variant: str, seed: int, config: MusicFaceTraining) -> MusicFace:
    """The averaged network of one variant and seed, trained now or before."""
    net = replace(config.net, **VARIANTS[variant])
    out = Path(config.loop.out) / f"{variant.lower()}-{seed}"
    loop = replace(config.loop, out=str(out), seed=seed)
    train(MusicFaceTask(replace(config, net=net, loop=loop)), loop)
    model = MusicFace(net)
    checkpoint.load(out / CHECKPOINT, {"average": model}, {})
    return model.eval()


def song_scores(model: MusicFace, lesson: Mapping[str, np.ndarray]) -> Figures:
    """One song as made, its first take, heard separated (or, with one stream, mixed)."""
    frames = min(lesson["sung_face"].shape[1], lesson["features"].shape[1] * HOP // FRAME)
    two = model.config.streams == 2
    features = lesson["features"][0] if two else lesson["mixed"][0][:, None]
    windows = frame_windows(features.astype(np.float32), np.arange(frames), LOOKAHEAD)
    code = np.zeros((1, frames, model.config.code), np.float32)
    code[..., lesson["styles"][0]] = 1
    code[..., -1] = LOOKAHEAD / MAX_LOOKAHEAD
    with torch.inference_mode():
        made, _ = model(
            torch.from_numpy(windows)[None], torch.from_numpy(code), model.initial_state(1)
        )
    face, pose, closing = (np.asarray(part[0], np.float32) for part in made)
    acted = lesson["sung_face"][0, :frames].astype(np.float32)
    wide = acted[:, JAW_OPEN] >= mouth.SHUT
    truth = lesson["sung_head"][0, :frames]
    return {
        "mouth, RMS error": float(np.sqrt(((face - acted)[:, mouth.MOUTH] ** 2).mean())),
        "jaw tells open from shut, AUC": mouth.jaw_auc(face, wide),
        "pose, CCA of speed": head.speed_cca(pose, truth),
        "pose, Rough": head.rough(pose[:, :3]),
        "eyes, CCA": eyes.eye_cca(closing, lesson["sung_closing"][0, :frames].astype(np.float32)),
    }


def scored(model: MusicFace, valid: Path) -> Figures:
    """Means over the songs of a folder of lessons."""
    rows = [song_scores(model, np.load(path)) for path in sorted(valid.glob("*.npz"))]
    if not rows:
        raise FileNotFoundError(f"no lessons in {valid}: run engine.training.acting first")
    return {figure: float(np.nanmean([row[figure] for row in rows])) for figure in rows[0]}


def markdown(results: Mapping[str, Mapping[str, Figures]]) -> str:
    """A row per variant: mean ± standard deviation over its seeds."""
    figures = next(iter(next(iter(results.values())).values()))
    lines = ["| | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for variant, seeds in results.items():
        cells = []
        for figure in figures:
            values = [row[figure] for row in seeds.values()]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(config: MusicFaceTraining, seeds: int, valid: Path) -> dict[str, dict[str, Figures]]:
    """Every variant and seed that has no result yet; what was found is kept after each."""
    kept = Path(config.loop.out) / RESULTS
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for seed in range(seeds):
        for variant in VARIANTS:
            row = results.setdefault(variant, {})
            if str(seed) not in row:
                row[str(seed)] = scored(trained(variant, seed, config), valid)
                kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True, help="lessons of held-out songs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    config = MusicFaceTraining(
        lessons=str(args.lessons), net=SMALL, loop=LoopConfig(out=str(args.out), steps=args.steps)
    )
    try:
        results = run(config, args.seeds, args.valid)
    except FileNotFoundError as error:
        parser.error(str(error))
    table = Table("variant", *next(iter(next(iter(results.values())).values())))
    for line in markdown(results).splitlines()[2:]:
        table.add_row(*(cell.strip() for cell in line.strip("|").split("|")))
    Console().print(table)


if __name__ == "__main__":
    main()
