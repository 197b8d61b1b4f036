"""The one training loop: every model's `python -m engine.training.<model>` runs through it.

Step k sees the batch of generator [seed, rank, k] and the rate of k, so a run that was killed and
resumed from its last checkpoint ends with the same weights as one that was not, however many data
workers there are. Under `torchrun` gradients are averaged over the processes (DDP without its
wrapper, so that adversaries and averages need no special case).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from engine.config import ConfigError, read
from engine.training import checkpoint
from kernels.graphs.opening import load_module

T = TypeVar("T")

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
LOG = "log.jsonl"
CURVES = "curves.png"
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of glibc's mallopt(3)


@dataclass(frozen=True)
class LoopConfig:
    """out: folder of the run. start: an exported network whose weights to begin from ('': chance).
    steps: in all, over however many runs. average: decay of the running average of the weights,
    which is what is shipped. save_every, log_every, score_every: in steps (0: never scored).
    workers: processes that make batches. threads: of torch in this process. compile: torch.compile,
    on CUDA only.
    """

    out: str = "runs/model"
    start: str = ""
    steps: int = 4000
    average: float = 0.999
    save_every: int = 200
    log_every: int = 50
    score_every: int = 0
    workers: int = 1
    threads: int = 1
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        if min(self.steps, self.save_every, self.log_every, self.threads) < 1:
            raise ValueError("steps, save_every, log_every and threads must be at least 1")
        if not 0 <= self.average < 1 or min(self.workers, self.score_every) < 0:
            raise ValueError("average must be in [0, 1); workers and score_every not negative")


class Material(Protocol):
    """Where batches, NamedTuples of tensors, come from; it is copied into the data workers."""

    def batch(self, rng: np.random.Generator, step: int) -> Any: ...


class Task(Protocol):
    """What differs between models.

    models: by name; `model` is averaged, exported and shipped. record: JSON-able, kept with the
    weights; `model` in it rebuilds the module.
    """

    models: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    record: dict[str, Any]

    @property
    def material(self) -> Material: ...

    def step(self, batch: Any, step: int, progress: float) -> dict[str, Tensor]:
        """One update of everything; the terms of the loss. progress: 0 at the first step, to 1."""
        ...

    def score(self, model: nn.Module) -> dict[str, float]:
        """Figures of the averaged model on what it never trains on; least `score` is kept."""
        ...


class _Batches(Dataset):
    """Batch k of `range(steps)`, each from a generator of its own."""

    def __init__(self, material: Material, seed: int, rank: int) -> None:
        self.material, self.seed, self.rank = material, seed, rank

    def __getitem__(self, step: int) -> Any:
        return self.material.batch(np.random.default_rng([self.seed, self.rank, step]), step)


def device() -> torch.device:
    """This process's GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def moved(state: Any, to: torch.device) -> Any:
    """A nested state on another device."""
    if isinstance(state, Tensor):
        return state.to(to)
    return type(state)(*(moved(part, to) for part in state))


def mixed_precision() -> torch.autocast:
    """bfloat16 where it is safe, on either kind of device."""
    return torch.autocast(device().type, torch.bfloat16)


def descend(loss: Tensor, model: nn.Module, optimiser: torch.optim.Optimizer, clip: float) -> None:
    """One step down: gradients averaged over processes, their norm clipped."""
    optimiser.zero_grad()
    loss.backward()
    if distributed.is_initialized():
        for parameter in model.parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.get_world_size()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()


def linear_decay(progress: float, share: float = 0.6) -> float:
    """The paper's schedule: constant, then a line to zero over the last `share`."""
    return min(1.0, (1 - progress) / share)


def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the running average of the weights one step towards the model."""
    with torch.no_grad():
        for slow, fast in zip(
            average.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)


def train(task: Task, config: LoopConfig) -> Path:
    """Run until `config.steps`, from the last checkpoint if there is one; return the checkpoint."""
    rank = _join_others()
    keep_memory()
    out = Path(config.out)
    torch.set_num_threads(config.threads)
    if config.start and not (out / CHECKPOINT).exists():
        _start_from(task, Path(config.start))
    step = _resume(task, out)
    log = _Log(out, step, config.log_every)
    batches = DataLoader(
        _Batches(task.material, config.seed, rank),
        batch_size=None,
        sampler=range(step, config.steps),
        num_workers=config.workers,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if config.workers else None,
    )
    best = float(task.record.get("best", "inf"))
    for batch in batches:
        on_device = batch._make(x.to(device(), non_blocking=True) for x in batch)
        terms = task.step(on_device, step, step / config.steps)
        step += 1
        follow(
            task.models["average"], task.models["model"], min(config.average, step / (step + 20))
        )
        if rank:
            continue
        log.add(step, terms)
        if config.score_every and step % config.score_every == 0:
            figures = task.score(task.models["average"])
            log.write({"step": step, **figures})
            if figures["score"] < best:
                best = task.record["best"] = figures["score"]
                _save(task, out / BEST, step, config)
        if step % config.save_every == 0:
            _save(task, out / CHECKPOINT, step, config)
    if not rank and (log.steps or not (out / CHECKPOINT).exists()):
        _save(task, out / CHECKPOINT, step, config)
        draw_curves(out)
    return out / CHECKPOINT


def keep_memory() -> None:
    """What a step gives back stays with this process, where the C library can be told so (glibc): a
    step asks for the same gigabytes again, and to have every page cleared anew took 40 % of it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, -1)


def _join_others() -> int:
    """This process's rank; joins the group that torchrun describes, if it does."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 0
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank()


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def _start_from(task: Task, path: Path) -> None:
    """Raises FileNotFoundError, or RuntimeError where the network's sizes are others."""
    if not path.is_file():
        raise FileNotFoundError(f"no network to start from at {path}")
    weights = load_module(path).module.state_dict()
    for name in ("model", "average"):
        task.models[name].load_state_dict(weights)


def _resume(task: Task, out: Path) -> int:
    """Load the last checkpoint, if any; the step it had reached."""
    step = 0
    if (out / CHECKPOINT).exists():
        meta = checkpoint.load(out / CHECKPOINT, task.models, task.optimisers)
        task.record.update(meta)
        step = int(meta["step"])
    for module in task.models.values():
        module.to(device())
    for optimiser in task.optimisers.values():
        optimiser.load_state_dict(optimiser.state_dict())  # slots follow their parameters' device
    return step


def _save(task: Task, path: Path, step: int, config: LoopConfig) -> None:
    meta = {**task.record, "step": step, "loop": asdict(config)}
    checkpoint.save(path, task.models, task.optimisers, meta)


class _Log:
    """Means of the terms, a JSON object per line; lines after the resumed step are dropped."""

    def __init__(self, out: Path, step: int, every: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._path, self._every, self.steps = out / LOG, every, 0
        self._sums: dict[str, float] = {}
        self._since = 0
        kept = [line for line in read_log(out) if line["step"] <= step]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def add(self, step: int, terms: dict[str, Tensor]) -> None:
        """Count a step; write a line at every `every`-th."""
        self.steps += 1
        self._since += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        if step % self._every == 0:
            self.write({"step": step, **{k: v / self._since for k, v in self._sums.items()}})
            self._sums, self._since = {}, 0

    def write(self, line: dict[str, float]) -> None:
        """Append a line to the file and say it."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


def read_log(run: Path) -> list[dict[str, float]]:
    """The lines of a run's log; a half-written last line is left out."""
    path, lines = run / LOG, []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def draw_curves(run: Path) -> Path:
    """A picture of every term of a run's log over its steps."""
    from matplotlib.figure import Figure

    lines = read_log(run)
    names = sorted({name for line in lines for name in line} - {"step"})
    figure = Figure(figsize=(6, 1.6 * max(1, len(names))), layout="constrained")
    panels = figure.subplots(max(1, len(names)), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, names, strict=False):
        points = [(line["step"], line[name]) for line in lines if name in line]
        panel.plot(*zip(*points, strict=True), linewidth=1)
        panel.set_ylabel(name)
    panels[-1].set_xlabel("step")
    figure.savefig(run / CURVES, dpi=100)
    return run / CURVES


def require_unseen(valid: str, loop: LoopConfig) -> None:
    """Raises ValueError where a training is to be scored and there is nothing to score it on."""
    if loop.score_every and not valid:
        raise ValueError(
            f"loop.score_every is {loop.score_every}, so `valid` must name a folder of songs that"
            " are never trained on; or set loop.score_every=0"
        )


def run(cls: type[T], task: Callable[[T], Task], default: str, description: str | None) -> None:
    """A training's command line, `--config FILE --set KEY=VALUE …`; exits 2 with what is wrong."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", default=default)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    args = parser.parse_args()
    try:
        config: Any = read(cls, args.config, args.overrides)
        train(task(config), config.loop)
    except (ConfigError, FileNotFoundError) as error:
        parser.error(str(error))
