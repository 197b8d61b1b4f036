"""Train the separator: `python -m engine.training.separator --config configs/train/separator.yaml`.

Loss: compressed band power and SDR on the separator's own bands, log mel energy of both stems with
a stronger penalty where the voice is over-suppressed (VoiceFilter-Lite), activity cross-entropy.
Scored on songs, and hard pieces, of families that it never trains on.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.hearing.bands import BANK, BandViews
from engine.hearing.separator_net import Gains, SeparatorConfig, SeparatorNet
from engine.timeline import FEATURE_HOP
from engine.training.examples import band_power, mel_energy, spectra
from engine.training.loop import (
    LoopConfig,
    descend,
    device,
    mixed_precision,
    moved,
    require_unseen,
    run,
)
from engine.training.mixing import Library, load_library, make_pair


@dataclass(frozen=True)
class SeparatorTraining:
    """songs, hard, valid: folders of songs, hard backings, and songs of unseen families ('': none).

    batch: mixtures a step. hops: of 10 ms in each; long, for nets trained on short chunks collapse
    when streamed. rate: at the start, falling to zero.
    """

    songs: str = "corpus/train"
    hard: str = "corpus/backings"
    valid: str = ""
    batch: int = 16
    hops: int = 640
    rate: float = 2e-3
    net: SeparatorConfig = field(default_factory=SeparatorConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        require_unseen(self.valid, self.loop)


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


class Mixtures:
    """Batches of mixtures, roughened and remixed anew each time."""

    def __init__(self, library: Library, config: SeparatorTraining) -> None:
        self.library, self.size, self.length = library, config.batch, config.hops * FEATURE_HOP

    def batch(self, rng: np.random.Generator, step: int) -> Batch:
        """The batch of a step."""
        pairs = [make_pair(rng, self.library, self.length) for _ in range(self.size)]
        voice, backing = (np.stack(side) for side in zip(*pairs, strict=True))
        return make_batch(voice, backing)


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


class SeparatorTask:
    """What the loop needs to know about separators."""

    def __init__(self, config: SeparatorTraining) -> None:
        """Raises FileNotFoundError when there are no songs."""
        torch.manual_seed(config.loop.seed)
        self.config = config
        model = SeparatorNet(config.net)
        self.models: dict[str, nn.Module] = {
            "model": model,
            "average": copy.deepcopy(model).eval(),
        }
        optimiser = torch.optim.AdamW(
            model.parameters(), config.rate, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adamw": optimiser}
        hard = Path(config.hard) if config.hard else None
        self._mixtures = Mixtures(load_library(Path(config.songs), hard), config)
        self.record: dict[str, Any] = {"model": asdict(config.net)}
        self._unseen = _unseen(config) if config.valid else []
        compiled = device().type == "cuda" and config.loop.compile
        self._forward = torch.compile(model) if compiled else model

    @property
    def material(self) -> Mixtures:
        """Where batches come from."""
        return self._mixtures

    def step(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """One update; the terms of the loss."""
        model, optimiser = self.models["model"], self.optimisers["adamw"]
        for group in optimiser.param_groups:
            group["lr"] = self.config.rate * min(1, (step + 1) / 50) * (1 - progress) ** 0.8
        terms = separation_loss(self._hear(self._forward, batch), batch)
        descend(torch.stack(list(terms.values())).sum(), model, optimiser, clip=3.0)
        return terms

    def score(self, model: nn.Module) -> dict[str, float]:
        """Loss on unseen mixtures, and how much of unseen accompaniment alone is heard as voice."""
        losses, leaks, false = [], [], []
        with torch.no_grad():
            for batch in self._unseen:
                gains = self._hear(model, batch)
                losses.append(float(sum(separation_loss(gains, batch).values())))
                alone = batch.voice.sum((1, 2)) == 0
                power = (gains.bands[:, :, 0].float() ** 2 * batch.mix).sum((1, 2))
                leaks.append((power / batch.mix.sum((1, 2)).clamp(min=1e-9))[alone])
                false.append((gains.activity.float() > 0).float().mean(1)[alone])
        leak = float(10 * torch.cat(leaks).mean().log10())
        heard = float(torch.cat(false).mean())
        return {"score": float(np.mean(losses)), "unseen leak, dB": leak, "unseen false": heard}

    def _hear(self, model: Any, batch: Batch) -> Gains:
        state = self.models["model"].initial_state(len(batch.views))  # type: ignore[operator]
        state = moved(state, device())
        with mixed_precision():
            gains, _ = model(batch.views, state)
        return gains


def _unseen(config: SeparatorTraining, batches: int = 8) -> list[Batch]:
    """Fixed mixtures of the held-out songs."""
    mixtures = Mixtures(load_library(Path(config.valid), None), config)
    made = [mixtures.batch(np.random.default_rng([99, k]), 0) for k in range(batches)]
    return [Batch(*(x.to(device()) for x in batch)) for batch in made]


def main() -> None:
    """Command line."""
    run(SeparatorTraining, SeparatorTask, "configs/train/separator.yaml", __doc__)


if __name__ == "__main__":
    main()
