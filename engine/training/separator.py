"""Train the separator: `python -m engine.training.separator --songs DIR --hard DIR --out runs/sep`.

Loss: compressed band power and SDR on the separator's own bands, log mel energy of both stems with
a stronger penalty where the voice is over-suppressed (VoiceFilter-Lite), activity cross-entropy.
Resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from engine.hearing.bands import BANK, BandViews
from engine.hearing.separator_net import Gains, SeparatorConfig, SeparatorNet
from engine.timeline import FEATURE_HOP
from engine.training import checkpoint
from engine.training.examples import band_power, mel_energy, spectra
from engine.training.mixing import load_library, make_pair


@dataclass(frozen=True)
class SeparatorTraining:
    """batch: mixtures a step; hops: of 10 ms in each; minutes: of training, all runs together."""

    batch: int = 6
    hops: int = 640
    rate: float = 2e-3
    minutes: float = 45.0
    average: float = 0.999
    seed: int = 0


class Batch(NamedTuple):
    """What a step needs. Powers are those of mixture, voice, and their cross term. [B, T, …]"""

    views: Tensor  # [B, T, 2, 96]
    mix: Tensor  # [B, T, 96]
    voice: Tensor  # [B, T, 96]
    cross: Tensor  # [B, T, 96] real part of mixture · conj(voice)
    mel_mix: Tensor  # [B, T, 26]
    mel_voice: Tensor  # [B, T, 26]
    mel_backing: Tensor  # [B, T, 26]
    active: Tensor  # [B, T]


def make_batch(voice: np.ndarray, backing: np.ndarray) -> Batch:
    """voice, backing: [B, n] → everything the loss compares."""
    voices, mixes = spectra(voice), spectra(voice + backing)
    power_mix, power_voice = band_power(mixes), band_power(voices)
    cross = (mixes * voices.conj()).real.astype(np.float32)
    part = BandViews()
    views, _ = part(power_mix.transpose(1, 0, 2), part.initial_state(len(voice)))
    arrays = (
        np.ascontiguousarray(views.transpose(1, 0, 2, 3)),
        power_mix,
        power_voice,
        cross @ BANK.T,
        mel_energy(voice + backing),
        mel_energy(voice),
        mel_energy(backing),
        activity_of(voice),
    )
    return Batch(*(torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in arrays))


def activity_of(voice: np.ndarray) -> np.ndarray:
    """[B, n] → [B, k] 1 where the voice is within 27 dB of its loud level, in 30 ms."""
    power = (voice.reshape(len(voice), -1, FEATURE_HOP) ** 2).mean(axis=2)
    smooth = np.apply_along_axis(
        lambda p: np.convolve(p, np.ones(3) / 3, "full")[: len(p)], 1, power
    )
    loud = np.percentile(smooth, 97, axis=1, keepdims=True)
    return ((smooth > loud * 10**-2.7) & (loud > 1e-8)).astype(np.float32)


class Mixtures(IterableDataset):
    """Endless batches, each worker with its own generator."""

    def __init__(
        self, songs: Path, hard: Path | None, config: SeparatorTraining, start: int
    ) -> None:
        self.songs, self.hard, self.config, self.start = songs, hard, config, start

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        torch.set_num_threads(1)
        library = load_library(self.songs, self.hard)
        rng = np.random.default_rng([self.config.seed, self.start, info.id if info else 0])
        length = self.config.hops * FEATURE_HOP
        while True:
            pairs = [make_pair(rng, library, length) for _ in range(self.config.batch)]
            voice, backing = (np.stack(side) for side in zip(*pairs, strict=True))
            yield make_batch(voice, backing)


def separation_loss(gains: Gains, batch: Batch) -> dict[str, Tensor]:
    """The weighted terms of the loss, by name."""
    scale = batch.mix.mean((1, 2), keepdim=True).clamp(min=1e-9)
    backing = (batch.mix - 2 * batch.cross + batch.voice).clamp(min=0)
    truth = torch.stack([batch.voice, backing], 2)
    cross = torch.stack([batch.cross, batch.mix - batch.cross], 2)
    mix, g = batch.mix[:, :, None], gains.bands.float()

    made = (g * g * mix / scale[..., None] + 1e-5) ** 0.2
    bands = ((made - (truth / scale[..., None] + 1e-5) ** 0.2) ** 2).mean((0, 1, 3))
    error = (g * g * mix - 2 * g * cross + truth).clamp(min=0).sum((1, 3))
    sdr = (error / batch.mix.sum((1, 2)).clamp(min=1e-6)[:, None] + 3e-3).log10().mean(0) * 10

    mel_scale = batch.mel_mix.mean((1, 2), keepdim=True).clamp(min=1e-9)[..., None]
    mel_truth = torch.stack([batch.mel_voice, batch.mel_backing], 2) / mel_scale + 1e-4
    mel_made = gains.mel.float() ** 2 * batch.mel_mix[:, :, None] / mel_scale + 1e-4
    gap = mel_truth.log() - mel_made.log()
    mel = torch.where(gap > 0, 1.5 * gap, -gap).mean((0, 1, 3))
    active = F.binary_cross_entropy_with_logits(gains.activity.float(), batch.active)
    return {
        "bands": 10 * (bands[0] + 0.5 * bands[1]),
        "sdr": 0.12 * (sdr[0] + 0.5 * sdr[1]),
        "mel": 0.3 * (mel[0] + 0.5 * mel[1]),
        "active": 0.5 * active,
    }


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


def train(songs: Path, hard: Path | None, out: Path, config: SeparatorTraining) -> Path:
    """Train until `config.minutes` are spent, over however many runs; return the checkpoint."""
    torch.manual_seed(config.seed)
    model = SeparatorNet(SeparatorConfig(channels=32, wide_hidden=192))
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(
        model.parameters(), config.rate, betas=(0.9, 0.98), weight_decay=1e-4
    )
    path = out / "checkpoint.safetensors"
    meta: dict = {"step": 0, "spent": 0.0, "model": asdict(model.config)}
    if path.exists():
        meta = checkpoint.load(path, {"model": model, "average": average}, {"adamw": optimiser})
    data = DataLoader(
        Mixtures(songs, hard, config, meta["step"]),
        batch_size=None,
        num_workers=1,
        prefetch_factor=3,
    )
    begun, before = time.monotonic(), meta["spent"]
    sums: dict[str, float] = {}
    for batch in data:
        meta["spent"] = before + time.monotonic() - begun
        if meta["spent"] >= config.minutes * 60:
            break
        done = meta["spent"] / (config.minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = config.rate * min(1, (meta["step"] + 1) / 50) * (1 - done) ** 0.8
        with torch.autocast("cpu", torch.bfloat16):
            gains, _ = model(batch.views, model.initial_state(config.batch))
        terms = separation_loss(gains, batch)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimiser.step()
        meta["step"] += 1
        follow(average, model, min(config.average, meta["step"] / (meta["step"] + 20)))
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item() / 50
        if meta["step"] % 50 == 0:
            line = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"{meta['step']} {meta['spent']:.0f} s  {line}", flush=True)
            sums = {}
        if meta["step"] % 200 == 0:
            checkpoint.save(path, {"model": model, "average": average}, {"adamw": optimiser}, meta)
    checkpoint.save(path, {"model": model, "average": average}, {"adamw": optimiser}, meta)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--hard", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=SeparatorTraining.minutes)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args.songs, args.hard, args.out, SeparatorTraining(minutes=args.minutes))


if __name__ == "__main__":
    main()
