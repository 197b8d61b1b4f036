"""Train MusicFace: `python -m engine.training.musicface --lessons CACHE --out runs/face`.

Losses of Eqs. 10–13 with the paper's weights; what we add or change is said where it is done.
Resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from engine.metrics.mouth import MOUTH
from engine.motion.musicface_net import SMALL, Acted, Discriminator, MusicFace, MusicFaceConfig
from engine.timeline import FRAME, HOP, MAX_LOOKAHEAD
from engine.training import checkpoint
from engine.training.examples import frame_windows
from engine.training.separator import follow


@dataclass(frozen=True)
class MusicFaceTraining:
    """batch sequences of `frames` (the paper's 128) a step; rate above its 1e-4: fewer steps here.

    minutes: of training, all runs together. adversary_from: step at which LSGAN joins.
    """

    batch: int = 16
    frames: int = 128
    rate: float = 1e-3
    minutes: float = 40.0
    average: float = 0.998
    adversary_from: int = 300
    seed: int = 0


class Batch(NamedTuple):
    windows: Tensor  # [B, T, 2, 39, 26]
    code: Tensor  # [B, T, code]
    face: Tensor  # [B, T, 52]
    pose: Tensor  # [B, T, 6] radians, metres
    before: Tensor  # [B, 2, 6] the two poses before the first frame
    closing: Tensor  # [B, T]


class Lessons:
    """Every song's lessons in memory, cut at random into sequences."""

    def __init__(self, folder: Path, config: MusicFaceConfig, seed: int) -> None:
        """Raises FileNotFoundError when the folder holds no lesson."""
        paths = sorted(p for p in folder.glob("*.npz") if ".partial" not in p.name)
        if not paths:
            raise FileNotFoundError(f"no lessons in {folder}: run engine.training.acting first")
        self.songs = [dict(np.load(path)) for path in paths]
        self.config = config
        self.rng = np.random.default_rng(seed)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and 1/deviation [2, 26] of the features."""
        some = np.concatenate(
            [
                song["features"][:, ::7].reshape(-1, 2, 26).astype(np.float32)
                for song in self.songs[:60]
            ]
        )
        return some.mean(0), 1 / (some.std(0) + 1e-3)

    def shape_weights(self) -> np.ndarray:
        """[52] 0.4 / deviation for the mouth's shapes, at most 8; 1 for the others."""
        some = np.concatenate([song["sung_face"][0, ::5] for song in self.songs[:60]])
        weights = np.ones(some.shape[1], np.float32)
        mouth = list(MOUTH)
        weights[mouth] = np.minimum(8, 0.4 / (some[:, mouth].astype(np.float32).std(0) + 0.05))
        return weights

    def batch(self, size: int, frames: int) -> Batch:
        """`size` random sequences."""
        cuts = [self._cut(frames) for _ in range(size)]
        return Batch(
            *(
                torch.from_numpy(np.stack(side).astype(np.float32))
                for side in zip(*cuts, strict=True)
            )
        )

    def _cut(self, frames: int) -> tuple[np.ndarray, ...]:
        rng, song = self.rng, self.songs[self.rng.integers(len(self.songs))]
        variant = rng.integers(len(song["silent"]))
        kind = "rest" if song["silent"][variant] else "sung"
        take = rng.integers(len(song["styles"]))
        length = min(song[f"{kind}_face"].shape[1], song["features"].shape[1] * HOP // FRAME)
        start = int(rng.integers(2, length - frames + 1))
        lookahead = 2 if rng.random() < 0.6 else int(rng.integers(MAX_LOOKAHEAD + 1))
        span = np.arange(start, start + frames)
        windows = frame_windows(song["features"][variant].astype(np.float32), span, lookahead)
        code = np.zeros((frames, self.config.code), np.float32)
        code[:, song["styles"][take]] = 1
        code[:, -1] = lookahead / MAX_LOOKAHEAD
        return (
            windows,
            code,
            song[f"{kind}_face"][take, span],
            song[f"{kind}_head"][take, span],
            song[f"{kind}_head"][take, start - 2 : start],
            song[f"{kind}_closing"][take, span],
        )


def snippets(x: Tensor, length: int, step: int, hop: int) -> Tensor:
    """[B, T, C] → [many, length / step · C] short excerpts, thinned in time, as samples for MMD."""
    cut = x.unfold(1, length, hop)[..., ::step]
    return cut.reshape(-1, cut.shape[2] * cut.shape[3])


def mmd(real: Tensor, made: Tensor) -> Tensor:
    """Maximum mean discrepancy (Eq. 11) with a mixture of Gaussian kernels around the median."""
    both = torch.cat([real, made])
    distance = torch.cdist(both, both).square()
    middle = distance.detach().median().clamp(min=1e-4)
    kernel = torch.stack([torch.exp(-distance / (middle * s)) for s in (0.25, 1.0, 4.0)]).mean(0)
    n = len(real)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def regression_loss(
    made: Acted, batch: Batch, attention: list[Tensor], unit: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """Eqs. 10–11 with w1 = 5, w4 = 10, w5 = 5 and others 1; what differs, and why:

    w2 is 10, not 50: ARKit shapes move faster than BFM's, and at 50 a short training learns to
    hold still. `weight` [52] evens shapes out, or lips would count for nothing beside the jaw.
    Speed is compared at once and over half a second, since L1 alone prefers the median, which for
    strokes on beats is rest. For the same reason closing is squared, and closed frames count six
    times: the output is then a likelihood that a threshold can cut. MMD looks at excerpts of half
    a second, so that it sees movement. ‖att‖₁ is a mean, weighed 0.0005: more closes every
    channel. Pose in POSE_UNITs.
    """
    face, closing = made.expression.float(), made.closing.float()
    expression = ((face - batch.face).square() * weight).sum(2).mean()
    change = ((_step(face) - _step(batch.face)).square() * weight).sum(2).mean()
    pose, truth, last = made.pose.float() / unit, batch.pose / unit, batch.before[:, 1:] / unit
    speed = _step(torch.cat([last, pose], 1)).abs()
    true_speed = _step(torch.cat([last, truth], 1)).abs()
    pace = (_half_second(speed) - _half_second(true_speed)).abs().sum(1).mean()
    shut = 1 + 5 * (batch.closing > 0.5)
    return {
        "expression": 5 * expression + 10 * change,
        "pose": 10 * ((speed - true_speed).abs().sum(2).mean() + 2 * pace)
        + mmd(snippets(truth, 16, 3, 16), snippets(pose, 16, 3, 16)),
        "eyes": 5 * (shut * (closing - batch.closing).square()).mean()
        + mmd(
            snippets(batch.closing[..., None], 16, 3, 16), snippets(closing[..., None], 16, 3, 16)
        ),
        "attention": 0.0005 * torch.stack([a.float().mean() for a in attention]).sum(),
    }


def _step(x: Tensor) -> Tensor:
    """Change from frame to frame, [B, T, …] → [B, T − 1, …]."""
    return x[:, 1:] - x[:, :-1]


def _half_second(x: Tensor) -> Tensor:
    """Means over 15 frames, every 5: [B, T, C] → [B, C, many]."""
    return nn.functional.avg_pool1d(x.transpose(1, 2), 15, 5)


def discriminator_input(
    batch: Batch, pose: Tensor, closing: Tensor, unit: Tensor, model: MusicFace
) -> Tensor:
    """Newest features of both streams, pose and closing: [B, 59, T]."""
    newest = (batch.windows[:, :, :, -1] - model.mean) * model.scale
    return torch.cat([newest.flatten(2), pose / unit, closing[..., None]], 2).transpose(1, 2)


class Trainer:
    """Generator, adversary, their optimisers and the running average, resumable."""

    def __init__(self, config: MusicFaceTraining, model_config: MusicFaceConfig, out: Path) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = MusicFace(model_config)
        self.average = copy.deepcopy(self.model).eval()
        self.adversary = Discriminator()
        self.optimiser = torch.optim.Adam(self.model.parameters(), config.rate, betas=(0.9, 0.99))
        self.adversary_optimiser = torch.optim.Adam(
            self.adversary.parameters(), 2e-4, betas=(0.5, 0.99)
        )
        self.weight = torch.ones(model_config.expression)
        self.path = out / "checkpoint.safetensors"
        self.meta: dict = {"step": 0, "spent": 0.0, "model": asdict(model_config)}

    def _parts(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        models = {"model": self.model, "average": self.average, "adversary": self.adversary}
        return models, {"adam": self.optimiser, "adversary": self.adversary_optimiser}

    def resume(self, lessons: Lessons) -> None:
        """Load the last checkpoint, or set the feature statistics of a fresh model."""
        self.weight = torch.from_numpy(lessons.shape_weights())
        if self.path.exists():
            self.meta = checkpoint.load(self.path, *self._parts())
            return
        mean, scale = lessons.statistics()
        for module in (self.model, self.average):
            module.mean.data.copy_(torch.from_numpy(mean))
            module.scale.data.copy_(torch.from_numpy(scale))

    def save(self) -> None:
        """Write the checkpoint."""
        checkpoint.save(self.path, *self._parts(), self.meta)

    def act(self, batch: Batch) -> tuple[Acted, list[Tensor]]:
        """The generator on a batch, its head starting where the truth's was (p₀ of Eq. 12)."""
        model = self.model
        state = model.initial_state(len(batch.code))
        before = batch.before / model.unit
        pose_state = state.pose._replace(pose=before[:, 1], velocity=before[:, 1] - before[:, 0])
        with torch.autocast("cpu", torch.bfloat16):
            inputs, attention, _ = model.attend(batch.windows, batch.code, state)
            face, closing = model.egn(inputs[0]), model.esgn(inputs[2])[..., 0]
        pose, _ = model.pgn(inputs[1].float(), pose_state)
        return Acted(face, pose * model.unit, closing), attention

    def step(self, batch: Batch, progress: float) -> dict[str, float]:
        """One update of the generator and, once it joined, of the adversary."""
        config = self.config
        rate = config.rate * min(1, (self.meta["step"] + 1) / 50, (1 - progress) / 0.6 + 1e-3)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        made, attention = self.act(batch)
        terms = regression_loss(made, batch, attention, self.model.unit, self.weight)
        if self.meta["step"] >= config.adversary_from:
            fake = discriminator_input(
                batch, made.pose.float(), made.closing.float(), self.model.unit, self.model
            )
            terms["adversary"] = 0.1 * (self.adversary(fake) - 1).square().mean()
        self.optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        if "adversary" in terms:
            terms["judge"] = self._judge(batch, fake.detach())
        self.meta["step"] += 1
        follow(
            self.average,
            self.model,
            min(config.average, self.meta["step"] / (self.meta["step"] + 20)),
        )
        return {name: float(value.detach()) for name, value in terms.items()}

    def _judge(self, batch: Batch, fake: Tensor) -> Tensor:
        real = discriminator_input(batch, batch.pose, batch.closing, self.model.unit, self.model)
        loss = (self.adversary(real) - 1).square().mean() + self.adversary(fake).square().mean()
        self.adversary_optimiser.zero_grad()
        loss.backward()
        self.adversary_optimiser.step()
        return loss.detach()


def train(
    lessons: Lessons, out: Path, config: MusicFaceTraining, model_config: MusicFaceConfig
) -> Path:
    """Train until `config.minutes` are spent, over however many runs; return the checkpoint."""
    trainer = Trainer(config, model_config, out)
    trainer.resume(lessons)
    lessons.rng = np.random.default_rng([config.seed, trainer.meta["step"]])
    begun, before = time.monotonic(), trainer.meta["spent"]
    sums: dict[str, float] = {}
    while True:
        trainer.meta["spent"] = before + time.monotonic() - begun
        if trainer.meta["spent"] >= config.minutes * 60:
            break
        progress = trainer.meta["spent"] / (config.minutes * 60)
        for name, value in trainer.step(
            lessons.batch(config.batch, config.frames), progress
        ).items():
            sums[name] = sums.get(name, 0.0) + value / 50
        if trainer.meta["step"] % 50 == 0:
            line = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"{trainer.meta['step']} {trainer.meta['spent']:.0f} s  {line}", flush=True)
            sums = {}
        if trainer.meta["step"] % 200 == 0:
            trainer.save()
    trainer.save()
    return trainer.path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=MusicFaceTraining.minutes)
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model_config = SMALL if args.size == "small" else MusicFaceConfig()
    config = MusicFaceTraining(minutes=args.minutes)
    train(Lessons(args.lessons, model_config, config.seed), args.out, config, model_config)


if __name__ == "__main__":
    main()
