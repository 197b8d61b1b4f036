"""The renderer and its adversary, as the training loop knows them."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.rendering.neural.guide import CHANNELS
from engine.rendering.neural.networks import (
    Lite,
    LiteConfig,
    Network,
    NoState,
    UNetConfig,
    build,
)
from engine.training.loop import LoopConfig, descend, device
from engine.training.renderer.adversary import PatchGAN
from engine.training.renderer.lessons import Batch, Lessons
from engine.training.renderer.losses import (
    fooling_loss,
    gradient_loss,
    judging_loss,
    matching_loss,
    photo_loss,
    ssim_loss,
)
from engine.training.renderer.score import masked_ssim

LAST, LAST_PACE = ("paint.", "doubt."), 0.1


@dataclass(frozen=True)
class RendererTraining:
    """pairs: a folder of pairs, or `raster:NAME`: endless ones, for pre-training. net: which
    network: `lite`, or `unet` (`half` and `full` differ in its base). batch: pictures a step.
    crop: of the guidance, pixels a side (0: all of it). shift: pixels that all of it is moved by,
    at most. rate: of Adam, falling to zero over the last six tenths. gan_from: share of the steps
    after which the adversary joins. The others are weights of the loss's terms.
    """

    pairs: str = "raster:aria"
    net: str = "lite"
    batch: int = 4
    crop: int = 0
    shift: int = 0
    rate: float = 4e-4
    gan_from: float = 0.4
    photo: float = 1.0
    gradient: float = 1.0
    ssim: float = 0.5
    gan: float = 0.01
    matching: float = 0.1
    adversary: int = 32
    scored: int = 24
    lite: LiteConfig = field(default_factory=LiteConfig)
    unet: UNetConfig = field(default_factory=lambda: UNetConfig(base=32))
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.net not in ("lite", "unet"):
            raise ValueError(f"net must be lite or unet, got {self.net!r}")

    @property
    def network(self) -> LiteConfig | UNetConfig:
        """Configuration of the network that is trained."""
        return self.lite if self.net == "lite" else self.unet


class RendererTask:
    """What the loop needs to know about renderers."""

    def __init__(self, config: RendererTraining) -> None:
        """Raises what `Lessons` raises."""
        torch.manual_seed(config.loop.seed)
        self.config, network = config, config.network
        self._lessons = Lessons(config.pairs, network, config.batch, config.crop, config.shift)
        model = build(network)
        judge = PatchGAN(CHANNELS[network.guidance] + 1, config.adversary)
        self.models: dict[str, nn.Module] = {
            "model": model,
            "average": copy.deepcopy(model).eval(),
            "judge": judge,
        }
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "painter": torch.optim.Adam(_paced(model), config.rate, betas=(0.9, 0.99)),
            "judge": torch.optim.Adam(judge.parameters(), config.rate / 2, betas=(0.5, 0.99)),
        }
        self.record: dict[str, Any] = {
            "model": asdict(network),
            "net": config.net,
            "identity": self._lessons.identity,
            "pairs": config.pairs,
        }
        self._held_out = self._lessons.held_out(config.scored)

    @property
    def material(self) -> Lessons:
        """Where batches come from."""
        return self._lessons

    def step(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """One update of the painter, and of its judge once that has joined."""
        config = self.config
        for optimiser, rate in zip(
            self.optimisers.values(), (config.rate, config.rate / 2), strict=True
        ):
            for group in optimiser.param_groups:
                paced = rate * group.get("pace", 1.0)
                group["lr"] = paced * min(1.0, (step + 1) / 50) * min(1.0, (1 - progress) / 0.6)
        made = self._paint(self.models["model"], batch)
        terms = {
            "photo": config.photo * photo_loss(made, batch.truth, batch.eyes),
            "gradient": config.gradient * gradient_loss(made, batch.truth),
            "ssim": config.ssim * ssim_loss(made, batch.truth),
        }
        if progress >= config.gan_from:
            terms |= self._contend(batch, made)
        judged = terms.pop("judge", None)
        loss = torch.stack(list(terms.values())).sum()
        descend(loss, self.models["model"], self.optimisers["painter"], clip=1.0)
        return terms if judged is None else {**terms, "judge": judged}

    def score(self, model: nn.Module) -> dict[str, float]:
        """On held-out pairs: one minus SSIM on the singer, ours and bare guidance's."""
        ours, bare = [], []
        with torch.no_grad():
            for batch in self._held_out:
                on_device = Batch(*(x.to(device()) for x in batch))
                made = self._paint(model, on_device).clamp(0, 1)
                ours.append(masked_ssim(made[0], on_device.truth[0]))
                if self.config.network.guidance == "picture":
                    side = on_device.truth.shape[2:]
                    plain = nn.functional.interpolate(on_device.guidance, side, mode="bilinear")
                    bare.append(masked_ssim(plain[0], on_device.truth[0]))
        found = {"score": 1 - sum(ours) / len(ours)}
        if bare:
            found["guidance"] = 1 - sum(bare) / len(bare)
        return found

    def _paint(self, model: nn.Module, batch: Batch) -> Tensor:
        made, _ = model(
            guidance=batch.guidance,
            eyes=batch.eyes,
            reference=batch.reference,
            phase=batch.phase,
            state=NoState(),
        )
        return made.rgba  # type: ignore[no-any-return]

    def _contend(self, batch: Batch, made: Tensor) -> dict[str, Tensor]:
        """One update of the judge; what the painter then pays for being seen through."""
        judge = self.models["judge"]
        condition = torch.cat([batch.guidance, batch.eyes], 1)
        verdict = judging_loss(
            judge(condition, made.detach())[-1], judge(condition, batch.truth)[-1]
        )
        descend(verdict, judge, self.optimisers["judge"], clip=1.0)
        judge.requires_grad_(False)
        *felt, doubt = judge(condition, made)
        with torch.no_grad():
            known = judge(condition, batch.truth)[:-1]
        judge.requires_grad_(True)
        return {
            "gan": self.config.gan * fooling_loss(doubt),
            "matching": self.config.matching * matching_loss(felt, known),
            "judge": verdict,
        }


def _paced(model: Network) -> list[dict[str, Any]]:
    """Groups of parameters, and how fast each goes. Over a rasterised picture, whatever the last
    layers of `Lite` learn changes all of that picture at once: at the others' pace it swings about
    the truth and learns nothing (measured: after 350 steps still the guidance)."""
    added = isinstance(model, Lite) and model.config.guidance == "picture"
    last = [p for name, p in model.named_parameters() if added and name.startswith(LAST)]
    others = [p for name, p in model.named_parameters() if not (added and name.startswith(LAST))]
    groups = [{"params": others, "pace": 1.0}, {"params": last, "pace": LAST_PACE}]
    return [group for group in groups if group["params"]]
