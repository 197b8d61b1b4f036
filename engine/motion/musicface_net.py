"""MusicFace (musicface.txt §3, Tables 4–6) as torch modules: the truth for training and export.

Nothing live imports this file; the exported graph runs instead. Where the paper looks ahead or
disagrees with itself, the class that decides says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.norms import Norm1d

FEATURES = 26  # MFCC and derivatives
WINDOW = 39  # hops of 10 ms
STREAM = 128  # encoded channels of one stream
POSE = 6
GENERATORS = 3  # of expression, head and eyes
OPEN = 2.0  # logit of attention before training
POSE_UNIT = (0.3, 0.3, 0.3, 0.03, 0.03, 0.03)  # radians and metres that the network calls 1
LEAK = 0.01  # share of the pose lost each frame: p may not walk away in an hour
FREE, PULL = 1.3, 0.2  # beyond FREE units the pose is pulled back by this share of the excess


@dataclass(frozen=True)
class MusicFaceConfig:
    """subjects: manners learned. width: of the first layer, 32 in the paper, 16 in `small`.

    expression: width of the face space, 52 ARKit shapes here (64 in the paper).
    attention: inner channels of the ATM's U-Net; the paper's Fig. 10 is not in its text.

    For the ablation of Table 1: streams 1 hears the mixture only; modulated False leaves the ATMs
    out; generator False makes the pose by an MLP instead of the PGN. All as they are is "Ours".
    """

    subjects: int = 6
    width: int = 32
    expression: int = 52
    attention: int = 64
    streams: Literal[1, 2] = 2
    modulated: bool = True
    generator: bool = True

    @property
    def code(self) -> int:
        """Channels of the condition: one-hot subject, and lookahead / 6 as ours."""
        return self.subjects + 1

    @property
    def encoded(self) -> int:
        """Channels that the encoders hand on."""
        return self.streams * STREAM


SMALL = MusicFaceConfig(width=16)


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Two fully connected layers, 128 nodes between (appendix, 'Architecture of Decoder')."""
    return nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, outputs))


class Taps(nn.Conv1d):
    """A convolution over hops, [N, C, L] → [N, C', L'], zeros around it.

    It learns by matrix products over rows that lie as [N, L, C] (which `forward` returns a view
    of): on a processor that takes less than half the time of the convolution's own gradients.
    """

    def forward(self, x: Tensor) -> Tensor:
        learning_here = self.training and x.device.type == "cpu"
        return self.by_rows(x) if learning_here else super().forward(x)

    def by_rows(self, x: Tensor) -> Tensor:
        """The same, as products of rows."""
        reach, stride, around = self.kernel_size[0], self.stride[0], int(self.padding[0])
        rows = F.pad(x.transpose(1, 2), (0, 0, around, around))
        last = rows.shape[1] - reach
        weights = self.weight.transpose(1, 2).flatten(1).chunk(self.groups)
        made = []
        for part, weight in zip(rows.chunk(self.groups, 2), weights, strict=True):
            taps = [part[:, k : last + k + 1 : stride] for k in range(reach)]
            made.append(F.linear(torch.cat(taps, 2), weight))
        y = torch.cat(made, 2)
        return (y if self.bias is None else y + self.bias).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two 3-tap convolutions and a shortcut over hops; `stride` 2 where Table 4 downsamples.

    inputs, outputs: channels of all streams, which stay apart.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, streams: int) -> None:
        super().__init__()
        self.first = Taps(inputs, outputs, 3, stride, 1, groups=streams, bias=False)
        self.first_norm = Norm1d(outputs)
        self.second = Taps(outputs, outputs, 3, 1, 1, groups=streams, bias=False)
        self.second_norm = Norm1d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = (
            None if same else Taps(inputs, outputs, 1, stride, groups=streams, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class AudioEncoders(nn.Module):
    """TSAE: an AE of Table 4 for each of S streams, [N, S·(26 + code), 39] → [N, S·128].

    The streams are groups of the same layers: as many parameters as S encoders, a call for each
    layer instead of S, since live it is calls that cost. The fully connected layers are
    convolutions as long as what they see.
    Table 4 ends at 256, but Table 5 and the PGN's 268 inputs need 128 a stream: the last FC is 128.
    """

    def __init__(self, config: MusicFaceConfig) -> None:
        super().__init__()
        streams = config.streams
        w = config.width * streams
        self.enter = Taps(
            (FEATURES + config.code) * streams, w, 3, padding=1, groups=streams, bias=False
        )
        self.enter_norm = Norm1d(w)
        plan = ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2))  # width, stride
        widths = [1, *(times for times, _ in plan)]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(w * before, w * times, stride, streams)
                for before, (times, stride) in zip(widths[:-1], plan, strict=True)
            )
        )
        self.squeeze = Taps(16 * w, 24 * w, 3, groups=streams)
        self.leave = Taps(24 * w, STREAM * streams, 1, groups=streams)

    def forward(self, window: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.enter_norm(self.enter(window))))
        return F.relu(self.leave(F.relu(self.squeeze(x))))[..., 0]


class CausalConv(nn.Module):
    """3 taps over frames, `dilation` apart, left-padded: [B, C, T], past [B, C, 2·dilation]."""

    def __init__(self, inputs: int, outputs: int, dilation: int, groups: int = 1) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.inputs = inputs
        self.conv = nn.Conv1d(inputs, outputs, 3, dilation=dilation, groups=groups)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([past, x], dim=2)
        return F.relu(self.conv(joined)), joined[:, :, -self.reach :]


class AttentionState(NamedTuple):
    down1: Tensor
    down2: Tensor
    down3: Tensor
    bottom: Tensor
    up3: Tensor
    up2: Tensor
    up1: Tensor


class AttentionModulators(nn.Module):
    """The three ATMs, Eq. 4 and Table 5: weights in (0, 1) for each of the 256 channels, frame by
    frame, of the expression, the head and the eyes; groups of the same layers, as the encoders are.

    The paper's temporal U-Net halves time and sees the future. Ours is causal: stride becomes
    dilation 1, 2, 4, 8 (the same reach, one frame in, one frame out). Table 5's FC after the U-Net
    mixes over time as printed; ours acts on the channels of each frame, the only causal reading.
    They begin open, so that every channel of the encoders is learned from at first.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        wide, all_channels = GENERATORS * inner, GENERATORS * channels
        self.down1 = CausalConv(channels, wide, 1)
        self.down2 = CausalConv(wide, wide, 2, GENERATORS)
        self.down3 = CausalConv(wide, wide, 4, GENERATORS)
        self.bottom = CausalConv(wide, wide, 8, GENERATORS)
        self.up3 = CausalConv(2 * wide, wide, 4, GENERATORS)
        self.up2 = CausalConv(2 * wide, wide, 2, GENERATORS)
        self.up1 = CausalConv(2 * wide, wide, 1, GENERATORS)
        self.widen = nn.Conv1d(wide, all_channels, 1, groups=GENERATORS)
        self.weigh = nn.Conv1d(all_channels, all_channels, 1, groups=GENERATORS)
        nn.init.constant_(self.weigh.bias, OPEN)  # type: ignore[arg-type]

    def initial_state(self, batch: int = 1) -> AttentionState:
        """Nothing before the first frame."""
        convs = (self.down1, self.down2, self.down3, self.bottom, self.up3, self.up2, self.up1)
        return AttentionState(*(torch.zeros(batch, conv.inputs, conv.reach) for conv in convs))

    def forward(self, x: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """x: [B, T, C] → attention [B, T, 3, C]."""
        d1, down1 = self.down1(x.transpose(1, 2), state.down1)
        d2, down2 = self.down2(d1, state.down2)
        d3, down3 = self.down3(d2, state.down3)
        y, bottom = self.bottom(d3, state.bottom)
        y, up3 = self.up3(_each_with(y, d3), state.up3)
        y, up2 = self.up2(_each_with(y, d2), state.up2)
        y, up1 = self.up1(_each_with(y, d1), state.up1)
        attention = torch.sigmoid(self.weigh(F.relu(self.widen(y))))
        after = AttentionState(down1, down2, down3, bottom, up3, up2, up1)
        return attention.transpose(1, 2).unflatten(2, (GENERATORS, x.shape[2])), after


def _each_with(y: Tensor, skipped: Tensor) -> Tensor:
    """Each ATM's channels of y beside its channels of what skipped the deeper layers. [B, C, T]"""
    pairs = [part.unflatten(1, (GENERATORS, -1)) for part in (y, skipped)]
    return torch.cat(pairs, 2).flatten(1, 2)


class NoModulators(nn.Module):
    """In the ATMs' place where there are none: every channel counts fully."""

    def initial_state(self, batch: int = 1) -> AttentionState:
        """Nothing to remember."""
        return AttentionState(*(torch.zeros(batch, 0, 0) for _ in AttentionState._fields))

    def forward(self, x: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        return torch.ones_like(x)[:, :, None].expand(-1, -1, GENERATORS, -1), state


class PoseState(NamedTuple):
    pose: Tensor  # [B, 6] p at the last frame, in POSE_UNITs
    velocity: Tensor  # [B, 6] p − p at the frame before
    hidden: Tensor  # [B, 128]
    cell: Tensor  # [B, 128]


class PoseNetwork(nn.Module):
    """PGN, Eqs. 6–7: speed |MLP| times direction tanh(FC(LSTM)), added up.

    Ours adds a bound: the sum leaks a little and is pulled back beyond FREE, within this step.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.speed = mlp(inputs, POSE)
        self.lstm = nn.LSTMCell(inputs + 2 * POSE, STREAM)
        self.direction = nn.Linear(STREAM, POSE)

    def initial_state(self, batch: int = 1) -> PoseState:
        """At rest."""
        zeros = torch.zeros
        return PoseState(
            zeros(batch, POSE), zeros(batch, POSE), zeros(batch, STREAM), zeros(batch, STREAM)
        )

    def forward(self, x: Tensor, state: PoseState) -> tuple[Tensor, PoseState]:
        """x: [B, T, inputs] → pose [B, T, 6] in POSE_UNITs."""
        pose, _, after = self.roll(x, state)
        return pose, after

    def roll(self, x: Tensor, state: PoseState) -> tuple[Tensor, Tensor, PoseState]:
        """The same, and what the LSTM makes of each frame [B, T, 128]."""
        speed = self.speed(x).abs().clamp(max=0.5)
        from_sound, from_pose = self.lstm.weight_ih.split([x.shape[2], 2 * POSE], dim=1)
        heard = F.linear(x, from_sound, self.lstm.bias_ih + self.lstm.bias_hh)
        pose, velocity, hidden, cell = state
        path, thoughts = [], []
        for t in range(x.shape[1]):
            gates = heard[:, t] + F.linear(torch.cat([pose, velocity], 1), from_pose)
            gates = gates + F.linear(hidden, self.lstm.weight_hh)
            enter, forget, fresh, leave = gates.chunk(4, 1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(fresh)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            moved = pose * (1 - LEAK) + speed[:, t] * torch.tanh(self.direction(hidden))
            bounded = moved - PULL * (F.relu(moved - FREE) - F.relu(-moved - FREE))
            pose, velocity = bounded, bounded - pose
            path.append(pose)
            thoughts.append(hidden)
        after = PoseState(pose, velocity, hidden, cell)
        return torch.stack(path, 1), torch.stack(thoughts, 1), after


class PoseMLP(nn.Module):
    """The ablation's pose: an MLP of the frame's features, with no memory."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.pose = mlp(inputs, POSE)

    def initial_state(self, batch: int = 1) -> PoseState:
        """At rest."""
        return PoseState(*(torch.zeros(batch, n) for n in (POSE, POSE, 0, 0)))

    def forward(self, x: Tensor, state: PoseState) -> tuple[Tensor, PoseState]:
        return self.pose(x), state

    def roll(self, x: Tensor, state: PoseState) -> tuple[Tensor, Tensor, PoseState]:
        """As PoseNetwork's: pose, what its first layer makes of each frame [B, T, 128], state."""
        thoughts = self.pose[:2](x)
        return self.pose[2](thoughts), thoughts, state


class MusicFaceState(NamedTuple):
    attention: AttentionState
    pose: PoseState


class Acted(NamedTuple):
    expression: Tensor  # [B, T, 52], unbounded: clamp to [0, 1] to draw
    pose: Tensor  # [B, T, 6] radians and metres
    closing: Tensor  # [B, T] long eye closing, nominally 0 … 1


class MusicFace(nn.Module):
    """TSAE → three ATMs → EGN, PGN, ESGN (Fig. 3): windows and condition in, motion out."""

    def __init__(self, config: MusicFaceConfig) -> None:
        super().__init__()
        self.config = config
        streams, encoded = config.streams, config.encoded
        self.mean = nn.Parameter(torch.zeros(streams, FEATURES), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(streams, FEATURES), requires_grad=False)
        self.unit = nn.Parameter(torch.tensor(POSE_UNIT), requires_grad=False)
        self.encoders = AudioEncoders(config)
        self.modulators = (
            AttentionModulators(encoded, config.attention) if config.modulated else NoModulators()
        )
        self.egn = mlp(encoded + config.code, config.expression)
        pose_network = PoseNetwork if config.generator else PoseMLP
        self.pgn = pose_network(encoded + config.code)
        self.esgn = mlp(encoded + config.code, 1)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MusicFace:
        """Build from a plain dictionary, as exported files carry it."""
        return cls(MusicFaceConfig(**config))

    def initial_state(self, batch: int = 1) -> MusicFaceState:
        """Nothing before the first frame, head at rest."""
        return MusicFaceState(self.modulators.initial_state(batch), self.pgn.initial_state(batch))

    def encode(self, windows: Tensor, code: Tensor) -> Tensor:
        """TSAE, Eq. 3: windows [B, T, streams, 39, 26], code [B, T, code] → [B, T, encoded]."""
        batch, frames, streams = windows.shape[:3]
        x = (windows - self.mean[:, None]) * self.scale[:, None]
        known = code[:, :, None, None].expand(batch, frames, streams, WINDOW, code.shape[2])
        x = torch.cat([x, known], 4).transpose(3, 4).flatten(2, 3).flatten(0, 1)
        return self.encoders(x).unflatten(0, (batch, frames))

    def attend(
        self, encoded: Tensor, code: Tensor, state: AttentionState
    ) -> tuple[list[Tensor], Tensor, AttentionState]:
        """Each generator's input [B, T, 256 + code], attention [B, T, 3, 256], the ATMs' state."""
        attention, after = self.modulators(encoded, state)
        weighed = (attention * encoded[:, :, None]).unbind(2)
        return [torch.cat([part, code], 2) for part in weighed], attention, after

    def forward(
        self, windows: Tensor, code: Tensor, state: MusicFaceState
    ) -> tuple[Acted, MusicFaceState]:
        """windows: [B, T, 2, 39, 26] voice and accompaniment (or [B, T, 1, 39, 26] the mixture),
        code: [B, T, code]; T frames."""
        encoded = self.encode(windows, code)
        (face, head, eyes), _, attention = self.attend(encoded, code, state.attention)
        pose, pose_state = self.pgn(head, state.pose)
        acted = Acted(self.egn(face), pose * self.unit, self.esgn(eyes)[..., 0])
        return acted, MusicFaceState(attention, pose_state)


class Discriminator(nn.Module):
    """Table 6: features of the streams, pose, closing [B, 59, T] → [B, 1, T/16].

    The table prints 85 input channels, the text counts 26 + 26 + 6 + 1 = 59: 59.
    """

    def __init__(self, streams: int = 2) -> None:
        super().__init__()
        plan = ((streams * FEATURES + POSE + 1, 32), (32, 64), (64, 128), (128, 224), (224, 224))
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(plan):
            # Table 6 keeps 8 steps from the fourth layer on: the fifth has stride 1.
            layers.append(nn.Conv1d(inputs, outputs, 3, 2 if index < 4 else 1, 1))
            if index:
                layers.append(nn.BatchNorm1d(outputs))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv1d(224, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
