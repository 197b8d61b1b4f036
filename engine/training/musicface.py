"""Train MusicFace: `python -m engine.training.musicface --config configs/train/musicface.yaml`.

Losses of Eqs. 10–13 with the paper's weights; what we add or change is said where it is done.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from engine.hearing.mfcc import BASIS, COEFFICIENTS, MEL_BANDS, mel_edges
from engine.metrics.mouth import MOUTH
from engine.motion.blendshapes import ARKIT
from engine.motion.musicface_net import STREAM, Acted, Discriminator, MusicFace, MusicFaceConfig
from engine.motion.visemes import CLASSES
from engine.timeline import FRAME, HOP, MAX_LOOKAHEAD
from engine.training.examples import frame_windows
from engine.training.loop import (
    LoopConfig,
    descend,
    device,
    linear_decay,
    mixed_precision,
    moved,
    require_unseen,
    run,
)

RIDGE = 0.01  # variance of a shape below which differences are hardly seen


@dataclass(frozen=True)
class MusicFaceTraining:
    """lessons, valid: folders that `engine.training.acting` wrote, the second of songs that are
    never trained on ('': none). batch: sequences of `frames` (the paper's 128) a step. rate: at the
    start; it decays linearly over the last 60 % of the steps. adversary_from: step at which LSGAN
    joins. rollout: share of the steps, at the end, that see sequences four times as long, a quarter
    as many, so that the head stays stable. phones, lips, beats: weights of telling what sounds
    are sung from the encoded voice and from the mouth, and where in a beat the music is; ours.
    throats, colours: how far the voices' vocal tracts vary in length, in ln, and the colours of
    microphones, in deviations of each coefficient; made voices are few, and people many.
    still: parts of the network that learn nothing more, such as `encoders egn`.
    """

    lessons: str = "corpus/lessons"
    valid: str = ""
    batch: int = 16
    frames: int = 128
    rate: float = 1e-3
    adversary_from: int = 300
    rollout: float = 0.15
    phones: float = 2.0
    lips: float = 0.15
    beats: float = 2.0
    throats: float = 0.22
    colours: float = 0.3
    still: str = ""
    net: MusicFaceConfig = field(default_factory=MusicFaceConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        require_unseen(self.valid, self.loop)


class Batch(NamedTuple):
    windows: Tensor  # [B, T, 2, 39, 26], or [B, T, 1, 39, 26] of the mixture
    code: Tensor  # [B, T, code]
    face: Tensor  # [B, T, 52]
    pose: Tensor  # [B, T, 6] radians, metres
    before: Tensor  # [B, 2, 6] the two poses before the first frame
    closing: Tensor  # [B, T]
    phones: Tensor  # [B, T] index into visemes.CLASSES, -1 where nobody knows
    beats: Tensor  # [B, T] how far from one beat to the next, 0 … 1, nan where nobody knows


class Lessons:
    """Every song's lessons in memory, cut at random into sequences."""

    def __init__(self, config: MusicFaceTraining, folder: Path) -> None:
        """Raises FileNotFoundError when the folder holds no lesson."""
        paths = sorted(p for p in folder.glob("*.npz") if ".partial" not in p.name)
        if not paths:
            raise FileNotFoundError(f"no lessons in {folder}: run engine.training.acting first")
        self.songs = [dict(np.load(path)) for path in paths]
        self.config = config
        self.deviation = 1 / self.statistics()[1][0, :COEFFICIENTS]  # of the voice's cepstra

    def _another_voice(self, rng: np.random.Generator, windows: np.ndarray) -> np.ndarray:
        """The same singing out of another throat, through another microphone. [T, 39, 26]"""
        warp = warped_cepstra(float(np.exp(rng.uniform(-1, 1) * self.config.throats)))
        n = len(warp)
        colour = self.config.colours * self.deviation * rng.normal(size=n)
        cepstra, slopes = windows[..., :n] @ warp.T, windows[..., n:] @ warp.T
        return np.concatenate([cepstra + colour.astype(np.float32), slopes], -1)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and 1/deviation [streams, 26] of the features."""
        some = np.concatenate(
            [
                self._heard(song)[:, ::7]
                .astype(np.float32)
                .reshape(-1, *self._heard(song).shape[2:])
                for song in self.songs[:60]
            ]
        )
        return some.mean(0), 1 / (some.std(0) + 1e-3)

    def _heard(self, song: dict[str, np.ndarray]) -> np.ndarray:
        """Features [variants, hops, streams, 26] as the configured face hears a song."""
        return song["features"] if self.config.net.streams == 2 else song["mixed"][:, :, None]

    def shape_weights(self) -> np.ndarray:
        """0.4 / deviation for the mouth's shapes, at most 8; 1 for the others. In other face spaces
        than the 52 nothing says which are the mouth's: all weigh so. [expression]"""
        some = np.concatenate([song["sung_face"][0, ::5] for song in self.songs[:60]])
        weights = np.ones(some.shape[1], np.float32)
        mouth = self._mouth(some.shape[1])
        weights[mouth] = np.minimum(8, 0.4 / (some[:, mouth].astype(np.float32).std(0) + 0.05))
        return weights

    def mouths(self) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Which shapes are the mouth's, as `shape_weights` has it; these of a choice of frames
        [n, mouth], and the sounds of those frames [n]."""
        faces = np.concatenate([song["sung_face"][0, ::3] for song in self.songs[:200]])
        sounds = np.concatenate(
            [song["phones"][: song["sung_face"].shape[1] : 3] for song in self.songs[:200]]
        )
        channels = self._mouth(faces.shape[1])
        return channels, faces[sounds >= 0][:, channels].astype(np.float32), sounds[sounds >= 0]

    @staticmethod
    def _mouth(expression: int) -> list[int]:
        return list(MOUTH if expression == len(ARKIT) else range(expression))

    def phones(self) -> np.ndarray:
        """How often each of visemes.CLASSES sounds."""
        known = np.concatenate([song["phones"] for song in self.songs])
        return np.bincount(known[known >= 0], minlength=len(CLASSES))

    def batch(self, rng: np.random.Generator, step: int) -> Batch:
        """The random sequences of a step."""
        config = self.config
        longer = step >= (1 - config.rollout) * config.loop.steps
        many, frames = (
            (config.batch // 4, 4 * config.frames) if longer else (config.batch, config.frames)
        )
        cuts = [self._cut(rng, frames) for _ in range(max(2, many))]
        return Batch(
            *(
                torch.from_numpy(np.stack(side).astype(np.float32))
                for side in zip(*cuts, strict=True)
            )
        )

    def _cut(self, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, ...]:
        long_enough = [s for s in self.songs if s["sung_face"].shape[1] > frames + 2]
        if not long_enough:
            raise ValueError(f"no lesson is longer than {frames} frames: set fewer, or rollout=0")
        song = long_enough[rng.integers(len(long_enough))]
        variant = rng.integers(len(song["silent"]))
        kind = "rest" if song["silent"][variant] else "sung"
        take = rng.integers(len(song["styles"]))
        length = min(song[f"{kind}_face"].shape[1], song["features"].shape[1] * HOP // FRAME)
        start = int(rng.integers(2, length - frames + 1))
        lookahead = 2 if rng.random() < 0.6 else int(rng.integers(MAX_LOOKAHEAD + 1))
        span = np.arange(start, start + frames)
        windows = frame_windows(self._heard(song)[variant].astype(np.float32), span, lookahead)
        windows[:, 0] = self._another_voice(rng, windows[:, 0])
        code = np.zeros((frames, self.config.net.code), np.float32)
        code[:, song["styles"][take]] = 1
        code[:, -1] = lookahead / MAX_LOOKAHEAD
        return (
            windows,
            code,
            song[f"{kind}_face"][take, span],
            song[f"{kind}_head"][take, span],
            song[f"{kind}_head"][take, start - 2 : start],
            song[f"{kind}_closing"][take, span],
            song["phones"][span] if kind == "sung" else np.zeros(frames),
            song["beats"][span],
        )


def warped_cepstra(stretch: float) -> np.ndarray:
    """[13, 13] that makes of cepstra those of a vocal tract `stretch` times as short: formants
    `stretch` times as high, c0 as before (Pitz & Ney, "Vocal tract normalization equals linear
    transformation in cepstral space", 2005)."""
    lift = np.sqrt((BASIS**2).sum(1, keepdims=True))
    hertz = mel_edges()[1:-1]
    bands = np.arange(MEL_BANDS)
    source = np.interp(hertz / stretch, hertz, bands)
    shift = np.maximum(0, 1 - np.abs(source[:, None] - bands))
    warped = BASIS @ shift @ (BASIS / lift**2).T
    warped[0], warped[:, 0] = 0, 0
    warped[0, 0] = 1
    return warped.astype(np.float32)


class PhoneReader(nn.Module):
    """Ours, for training only: which sound is sung, told from the encoded voice.

    Lips that touch are rare, and regression alone learns little of them; telling sounds apart
    teaches the encoder what the mouth will need.
    """

    def __init__(self, inputs: int, phones: np.ndarray) -> None:
        """phones: how often each of visemes.CLASSES occurs; rare ones count more."""
        super().__init__()
        self.tell = nn.Linear(inputs, len(CLASSES))
        share = phones / max(1, phones.sum()) + 1e-3
        self.tell.bias.data.copy_(torch.from_numpy(np.log(share)))
        weight = 1 / np.sqrt(share)
        self.weight = torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(device())

    def forward(self, x: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, inputs], phones [B, T] → cross-entropy, and the share told right of what is not
        silence."""
        told, truth = self.tell(x.float()).flatten(0, 1), phones.long().flatten()
        if not (truth >= 0).any():
            return told.sum() * 0, told.new_zeros(())
        sung = truth > 0
        right = (told.argmax(1) == truth)[sung].float().sum() / sung.sum().clamp(min=1)
        return nn.functional.cross_entropy(told, truth, self.weight, ignore_index=-1), right


class LipReader(PhoneReader):
    """Ours, for training only: which sound a mouth looks like.

    It reads as the acted mouths are read best by straight lines (Fisher's discriminants) and learns
    nothing, so that a face must look right to be read right; between two sounds that it cannot
    tell, a face that only regresses stays in the middle and looks like neither. After the
    lip-reading loss of SPECTRE (Filntisis et al. 2022, "Visual speech-aware perceptual 3D facial
    expression reconstruction from videos").
    """

    def __init__(self, channels: list[int], mouths: np.ndarray, sounds: np.ndarray) -> None:
        """channels: of the expression, which `mouths` [n, channels] show while `sounds` [n] sound;
        where nobody knows any, nothing is read."""
        counts = np.bincount(sounds, minlength=len(CLASSES))
        super().__init__(len(channels), counts)
        self.channels = channels
        if not len(sounds):
            return
        known = np.flatnonzero(counts)
        means = np.tile(mouths.mean(0), (len(CLASSES), 1))
        means[known] = [mouths[sounds == sound].mean(0) for sound in known]
        within = np.cov((mouths - means[sounds]).T) + RIDGE * np.eye(len(channels))
        weights = np.linalg.solve(within, means.T).T
        with torch.no_grad():
            self.tell.weight.copy_(torch.from_numpy(weights))
            self.tell.bias.sub_(torch.from_numpy((weights * means).sum(1) / 2))
        self.to(device()).requires_grad_(False)

    def forward(self, x: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, T, expression]; otherwise as PhoneReader."""
        return super().forward(x[..., self.channels], phones)


class BeatReader(nn.Module):
    """Ours, for training only: how far the music is from one beat to the next, told from the
    encoded accompaniment and from what the LSTM makes of it. A head that is not sure of the beat
    loses least by moving evenly, and then never finds out.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.tell = nn.Linear(inputs, 2)

    def forward(self, x: Tensor, beats: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, inputs], beats [B, T] → mean square error of the place on the circle, 0 … 1 for
        whoever knows no better than its middle, and how sure it is of the right one, -1 … 1."""
        known = ~beats.isnan()
        if not known.any():
            return x.sum() * 0, x.new_zeros(())
        turn = 2 * torch.pi * beats[known]
        truth = torch.stack([turn.cos(), turn.sin()], 1)
        told = self.tell(x.float())[known]
        sure = nn.functional.cosine_similarity(told, truth).mean()
        return (told - truth).square().sum(1).mean(), sure


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
    made: Acted, batch: Batch, attention: Tensor, unit: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """Eqs. 10–11 with w1 = 5, w4 = 10, w5 = 5 and others 1; what differs, and why:

    w2 is 10, not 50: ARKit shapes move faster than BFM's, and at 50 a short training learns to
    hold still. `weight` [52] evens shapes out, or lips would count for nothing beside the jaw.
    Speed is compared at once and over half a second, since L1 alone prefers the median, which for
    strokes on beats is rest; so is acceleration, squared, or a head would turn back at full speed,
    in corners. Closing is squared, too, and closed frames count six times: the output is then a
    likelihood that a threshold can cut. MMD looks at excerpts of half a second, so that it sees
    movement. ‖att‖₁ is a mean over the three ATMs, weighed 0.0002; most
    channels close all the same, to a mean of 0.07. Pose in POSE_UNITs.
    """
    face, closing = made.expression.float(), made.closing.float()
    expression = ((face - batch.face).square() * weight).sum(2).mean()
    change = ((_step(face) - _step(batch.face)).square() * weight).sum(2).mean()
    pose, truth, last = made.pose.float() / unit, batch.pose / unit, batch.before[:, 1:] / unit
    velocity, true_velocity = (_step(torch.cat([last, path], 1)) for path in (pose, truth))
    speed, true_speed = velocity.abs(), true_velocity.abs()
    jolt = (_jolt(velocity) - _jolt(true_velocity)).abs().sum(1).mean()
    pace = (_half_second(speed) - _half_second(true_speed)).abs().sum(1).mean()
    shut = 1 + 5 * (batch.closing > 0.5)
    return {
        "expression": 5 * expression + 10 * change,
        "pose": 10 * ((speed - true_speed).abs().sum(2).mean() + 2 * pace + 2 * jolt)
        + mmd(snippets(truth, 16, 3, 16), snippets(pose, 16, 3, 16)),
        "eyes": 5 * (shut * (closing - batch.closing).square()).mean()
        + mmd(
            snippets(batch.closing[..., None], 16, 3, 16), snippets(closing[..., None], 16, 3, 16)
        ),
        "attention": 0.0002 * attention.float().mean(),
    }


def _step(x: Tensor) -> Tensor:
    """Change from frame to frame, [B, T, …] → [B, T − 1, …]."""
    return x[:, 1:] - x[:, :-1]


def _half_second(x: Tensor) -> Tensor:
    """Means over 15 frames, every 5: [B, T, C] → [B, C, many]."""
    return nn.functional.avg_pool1d(x.transpose(1, 2), 15, 5)


def _jolt(velocity: Tensor) -> Tensor:
    """Acceleration over half a second, root of the mean square: [B, T, C] → [B, C, many]."""
    return (_half_second(_step(velocity).square()) + 1e-8).sqrt()


def discriminator_input(batch: Batch, pose: Tensor, closing: Tensor, model: MusicFace) -> Tensor:
    """Newest features of both streams, pose and closing: [B, 59, T]."""
    newest = (batch.windows[:, :, :, -1] - model.mean) * model.scale
    return torch.cat([newest.flatten(2), pose / model.unit, closing[..., None]], 2).transpose(1, 2)


class Take(NamedTuple):
    """What a generator made of a batch, and what it made it from."""

    acted: Acted
    attention: Tensor  # [B, T, 3, channels]
    spoken: Tensor  # [B, T, 128] the voice, encoded
    played: Tensor  # [B, T, 128] the accompaniment, encoded; of one stream both are the mixture
    thoughts: Tensor  # [B, T, 128] of the head's LSTM


class MusicFaceTask:
    """What the loop needs to know about MusicFace: generator, adversary, their optimisers."""

    def __init__(self, config: MusicFaceTraining) -> None:
        """Raises FileNotFoundError when there are no lessons, ValueError for a wrong `still`."""
        torch.manual_seed(config.loop.seed)
        self.config, self.lessons = config, Lessons(config, Path(config.lessons))
        self._unseen = _unseen(config) if config.valid else []
        model = MusicFace(config.net)
        mean, scale = self.lessons.statistics()
        model.mean.data.copy_(torch.from_numpy(mean))
        model.scale.data.copy_(torch.from_numpy(scale))
        for part in config.still.split():
            _part(model, part).requires_grad_(False)
        self.model, self.adversary = model, Discriminator(config.net.streams)
        self.reader = PhoneReader(STREAM, self.lessons.phones())
        self.beat_heard, self.beat_kept = BeatReader(STREAM), BeatReader(STREAM)
        self.lip_reader = LipReader(*self.lessons.mouths())
        self.models: dict[str, nn.Module] = {
            "model": model,
            "average": copy.deepcopy(model).eval(),
            "adversary": self.adversary,
            "reader": self.reader,
            "beat heard": self.beat_heard,
            "beat kept": self.beat_kept,
        }
        adam = torch.optim.Adam
        learners = (model, self.reader, self.beat_heard, self.beat_kept)
        learning = [weights for module in learners for weights in module.parameters()]
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "adam": adam(learning, config.rate, betas=(0.9, 0.99)),
            "adversary": adam(self.adversary.parameters(), 2e-4, betas=(0.5, 0.99)),
        }
        self.record: dict[str, Any] = {"model": asdict(config.net)}
        self.weight = torch.from_numpy(self.lessons.shape_weights()).to(device())

    @property
    def material(self) -> Lessons:
        """Where batches come from."""
        return self.lessons

    def act(self, model: MusicFace, batch: Batch) -> Take:
        """A generator on a batch, its head starting where the truth's was (p₀ of Eq. 12)."""
        state = moved(model.initial_state(len(batch.code)), device())
        before = batch.before / model.unit
        pose_state = state.pose._replace(pose=before[:, 1], velocity=before[:, 1] - before[:, 0])
        with mixed_precision():
            encoded = model.encode(batch.windows, batch.code)
            inputs, attention, _ = model.attend(encoded, batch.code, state.attention)
            face, closing = model.egn(inputs[0]), model.esgn(inputs[2])[..., 0]
        pose, thoughts, _ = model.pgn.roll(inputs[1].float(), pose_state)
        acted = Acted(face, pose * model.unit, closing)
        voice, backing = encoded[..., :STREAM], encoded[..., -STREAM:]
        return Take(acted, attention, voice, backing, thoughts)

    def step(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """One update of the generator and, once it joined, of the adversary."""
        config, adam = self.config, self.optimisers["adam"]
        for group in adam.param_groups:
            group["lr"] = config.rate * min(1, (step + 1) / 50) * linear_decay(progress)
        take = self.act(self.model, batch)
        terms = regression_loss(take.acted, batch, take.attention, self.model.unit, self.weight)
        terms["phones"] = config.phones * self.reader(take.spoken, batch.phones)[0]
        terms["lips"] = config.lips * self.lip_reader(take.acted.expression, batch.phones)[0]
        heard = self.beat_heard(take.played, batch.beats)[0]
        terms["beats"] = config.beats * (heard + self.beat_kept(take.thoughts, batch.beats)[0])
        if step >= config.adversary_from:
            acted = take.acted
            fake = discriminator_input(batch, acted.pose.float(), acted.closing.float(), self.model)
            terms["adversary"] = 0.1 * (self.adversary(fake) - 1).square().mean()
        descend(torch.stack(list(terms.values())).sum(), self.model, adam, clip=2.0)
        if "adversary" in terms:
            terms["judge"] = self._judge(batch, fake.detach())
        return terms

    def score(self, model: nn.Module) -> dict[str, float]:
        """Losses on unseen songs, their sum as the score; `bench.quality` says what they mean."""
        assert isinstance(model, MusicFace)
        figures: dict[str, float] = {}
        with torch.no_grad():
            for batch in self._unseen:
                take = self.act(model, batch)
                terms = regression_loss(take.acted, batch, take.attention, model.unit, self.weight)
                told = {f"unseen {name}": term for name, term in terms.items()}
                told["score"] = torch.stack(list(terms.values())).sum()
                told["phones told"] = self.reader(take.spoken, batch.phones)[1]
                told["phones on the lips"] = self.lip_reader(take.acted.expression, batch.phones)[1]
                told["beat heard"] = self.beat_heard(take.played, batch.beats)[1]
                told["beat kept"] = self.beat_kept(take.thoughts, batch.beats)[1]
                for name, term in told.items():
                    figures[name] = figures.get(name, 0.0) + float(term) / len(self._unseen)
        return figures

    def _judge(self, batch: Batch, fake: Tensor) -> Tensor:
        real = discriminator_input(batch, batch.pose, batch.closing, self.model)
        loss = (self.adversary(real) - 1).square().mean() + self.adversary(fake).square().mean()
        descend(loss, self.adversary, self.optimisers["adversary"], clip=1e9)
        return loss


def _part(model: MusicFace, name: str) -> nn.Module:
    parts = dict(model.named_children())
    if name not in parts:
        raise ValueError(f"still: expected one of {', '.join(parts)}, got {name!r}")
    return parts[name]


def _unseen(config: MusicFaceTraining, batches: int = 8) -> list[Batch]:
    """Fixed sequences of the held-out songs, in their own voices."""
    lessons = Lessons(replace(config, throats=0.0, colours=0.0), Path(config.valid))
    made = [lessons.batch(np.random.default_rng([99, k]), 0) for k in range(batches)]
    return [Batch(*(x.to(device()) for x in batch)) for batch in made]


def main() -> None:
    """Command line."""
    run(MusicFaceTraining, MusicFaceTask, "configs/train/musicface.yaml", __doc__)


if __name__ == "__main__":
    main()
