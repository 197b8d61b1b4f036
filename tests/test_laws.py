"""The five laws of streaming (engine/stateful.py), for every part of the line.

A part is listed once with how to make its input; each law is then asked of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from engine.hearing import bands, stft
from engine.hearing.bands import BandViews
from engine.hearing.features import Loudness
from engine.hearing.framing import Framer
from engine.hearing.hearing import Heard, Hearing
from engine.hearing.mfcc import Slope
from engine.hearing.resample import Decimator
from engine.hearing.separator import Separator
from engine.hearing.separator_net import SeparatorConfig, SeparatorNet
from engine.hearing.stems import Stems
from engine.hearing.stft import InverseSTFT
from engine.hearing.windows import FeatureWindows
from engine.motion.eyes import Eyes
from engine.motion.musicface import MusicFace
from engine.motion.musicface_net import (
    SMALL,
    AttentionModulators,
    PoseNetwork,
)
from engine.motion.musicface_net import MusicFace as MusicFaceNet
from engine.motion.secondary import Secondary
from engine.stateful import flatten
from engine.weights import shipped

SAMPLE_LENGTHS = (1, 127, 128, 129, 255, 257, 16_521)
STEP_LENGTHS = (1, 2, 3, 5, 1, 8, 13)
Rng = np.random.Generator


@dataclass(frozen=True)
class Part:
    """make: the part. draw: an input of n steps, leading axis (or `axis`) time. lengths: chunks."""

    make: Callable[[], Any]
    draw: Callable[[Rng, int], Any]
    lengths: tuple[int, ...] = STEP_LENGTHS
    axis: int = 0
    minute: int = 6000  # steps
    exact: bool = True  # bit for bit; else 1e-5 relative


def _noise(*shape: int) -> Callable[[Rng, int], Any]:
    return lambda rng, n: rng.normal(0, 0.2, (n, *shape)).astype(np.float32)


def _tensor(*shape: int) -> Callable[[Rng, int], Any]:
    """[1, n, *shape] torch."""
    return lambda rng, n: torch.from_numpy(rng.normal(0, 1, (1, n, *shape)).astype(np.float32))


def _quiet(module: torch.nn.Module) -> Any:
    """A torch module ready to listen, its batch norms as if trained."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    return module.eval().requires_grad_(False)


class _Coded:
    """MusicFace's torch module with a fixed condition, so that it takes one input."""

    def __init__(self) -> None:
        self.net = _quiet(MusicFaceNet(SMALL))
        self.initial_state = self.net.initial_state

    def __call__(self, x: torch.Tensor, state: Any) -> Any:
        code = torch.zeros(1, x.shape[1], SMALL.code)
        code[..., 1] = 1
        return self.net(x, code, state)


def _heard(rng: Rng, n: int) -> Heard:
    return Heard(rng.normal(0, 1, (n, 2, 26)).astype(np.float32), rng.random(n).astype(np.float32))


def _closing_and_head(rng: Rng, n: int) -> tuple[np.ndarray, np.ndarray]:
    return (
        (rng.random(n) ** 3).astype(np.float32),
        rng.normal(0, 0.2, (n, 6)).astype(np.float32),
    )


def _head_and_voice(rng: Rng, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(0, 0.2, (n, 6)).astype(np.float32), rng.random(n).astype(np.float32)


def _spectra(rng: Rng, n: int) -> np.ndarray:
    noise = rng.normal(0, 1, (n, stft.BINS, 2)).astype(np.float32)
    return noise.view(np.complex64)[..., 0]


PARTS = {
    "decimator": Part(Decimator, _noise(), SAMPLE_LENGTHS, minute=2_880_000),
    "framer": Part(
        lambda: Framer(1024, 2),
        lambda rng, n: rng.normal(0, 0.2, (2, n)).astype(np.float32),
        SAMPLE_LENGTHS,
        axis=1,
        minute=96_000,
    ),
    "inverse stft": Part(InverseSTFT, _spectra),
    "band views": Part(BandViews, lambda rng, n: rng.random((n, 1, bands.BANDS)).astype("f4")),
    "separator": Part(
        lambda: Separator(shipped("separator.onnx"), precision="auto"),
        _noise(stft.LENGTH),
        minute=600,
    ),
    "loudness": Part(Loudness, lambda rng, n: rng.random((n, 1, 2, 26)).astype("f4") * 1e-3),
    "slope": Part(Slope, _noise(2, 13)),
    "hearing": Part(
        lambda: Hearing(Separator(shipped("separator.onnx"), precision="auto")),
        lambda rng, n: rng.normal(0, 0.2, (1, n)).astype(np.float32),
        SAMPLE_LENGTHS,
        axis=1,
        minute=288_000,
    ),
    "hearing of known stems": Part(
        lambda: Hearing(Separator(shipped("separator.onnx"), precision="auto")),
        lambda rng, n: rng.normal(0, 0.2, (2, n)).astype(np.float32),
        SAMPLE_LENGTHS,
        axis=1,
        minute=288_000,
    ),
    "stems": Part(
        lambda: Stems(Separator(shipped("separator.onnx"))),
        lambda rng, n: rng.normal(0, 0.2, (1, n)).astype(np.float32),
        SAMPLE_LENGTHS,
        axis=1,
        minute=288_000,
    ),
    "known stems": Part(
        lambda: Stems(Separator(shipped("separator.onnx"))),
        lambda rng, n: rng.normal(0, 0.2, (2, n)).astype(np.float32),
        SAMPLE_LENGTHS,
        axis=1,
        minute=288_000,
    ),
    "windows": Part(lambda: FeatureWindows(2), _heard),
    "musicface": Part(
        lambda: MusicFace(shipped("musicface.onnx"), 0, 2, precision="auto"),
        _noise(2, 39, 26),
        minute=180,
    ),
    "eyes": Part(lambda: Eyes(seed=7), _closing_and_head, minute=1800),
    "secondary": Part(Secondary, _head_and_voice, minute=1800),
    "separator net": Part(
        lambda: _quiet(SeparatorNet(SeparatorConfig())),
        _tensor(2, 96),
        axis=1,
        minute=600,
        exact=False,
    ),
    "musicface net": Part(_Coded, _tensor(2, 39, 26), axis=1, minute=60, exact=False),
    "atms": Part(
        lambda: _quiet(AttentionModulators(256, 64)), _tensor(256), axis=1, minute=1800, exact=False
    ),
    "pgn": Part(lambda: _quiet(PoseNetwork(263)), _tensor(263), axis=1, minute=600, exact=False),
}
SLOW = {"decimator", "hearing", "hearing of known stems", "stems", "known stems"}

every_part = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())


def _slice(x: Any, axis: int, start: int, stop: int) -> Any:
    if isinstance(x, tuple):
        parts = [_slice(item, 0, start, stop) for item in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _leaves(y: Any) -> list[np.ndarray]:
    if isinstance(y, tuple):
        return [leaf for item in y for leaf in _leaves(item)]
    return [np.asarray(y)]


def _join(outputs: list[Any], axis: int) -> list[np.ndarray]:
    columns = zip(*(_leaves(y) for y in outputs), strict=True)
    return [np.concatenate(column, axis=_time_axis(column, axis)) for column in columns]


def _time_axis(column: tuple[np.ndarray, ...], axis: int) -> int:
    """Torch parts keep [B, T, …] in and out; everything else comes out time first."""
    return axis if axis == 1 and column[0].ndim > 1 and column[0].shape[0] == 1 else 0


def _run(part: Part, machine: Any, x: Any, cuts: list[int], state: Any = None) -> tuple[Any, Any]:
    state = machine.initial_state() if state is None else state
    outputs = []
    for start, stop in itertools.pairwise(cuts):
        y, state = machine(_slice(x, part.axis, start, stop), state)
        outputs.append(y)
    torch_like = isinstance(_leaves(outputs[0])[0], np.ndarray) and not part.exact
    return _join(outputs, 1 if torch_like else 0), state


def _shapes(state: Any) -> list[tuple[int, ...]]:
    return [
        np.asarray(leaf).shape
        for value in flatten(state).values()
        for leaf in (value if isinstance(value, tuple) else (value,))
    ]


def _cuts(part: Part) -> list[int]:
    return [0, *np.cumsum(part.lengths).tolist()]


@every_part
def test_any_chunking_equals_the_whole(part: Part) -> None:
    machine = part.make()
    cuts = _cuts(part)
    x = part.draw(np.random.default_rng(1), cuts[-1])
    whole, _ = _run(part, machine, x, [0, cuts[-1]])
    pieces, _ = _run(part, machine, x, cuts)
    for one, other in zip(whole, pieces, strict=True):
        if part.exact:
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(one).max())


@every_part
def test_the_future_never_changes_the_past(part: Part) -> None:
    machine = part.make()
    cuts = _cuts(part)
    x = part.draw(np.random.default_rng(1), cuts[-1])
    now = cuts[len(cuts) // 2]
    other = part.draw(np.random.default_rng(2), cuts[-1])
    before, state = _run(part, machine, x, [0, now])
    kept = [leaf.copy() for leaf in before]
    _run(part, machine, other, [now, cuts[-1]], state)
    again, _ = _run(part, machine, x, [0, now])
    for one, two, three in zip(kept, before, again, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@every_part
def test_interleaved_streams_never_touch(part: Part) -> None:
    machine = part.make()
    cuts = _cuts(part)
    inputs = [part.draw(np.random.default_rng(seed), cuts[-1]) for seed in (1, 2)]
    alone = [_run(part, machine, x, cuts)[0] for x in inputs]
    states = [machine.initial_state(), machine.initial_state()]
    outputs: list[list[Any]] = [[], []]
    for start, stop in itertools.pairwise(cuts):
        for stream in range(2):
            y, states[stream] = machine(
                _slice(inputs[stream], part.axis, start, stop), states[stream]
            )
            outputs[stream].append(y)
    for stream in range(2):
        together = _join(outputs[stream], 0 if part.exact else 1)
        for one, other in zip(alone[stream], together, strict=True):
            np.testing.assert_array_equal(one, other)


@every_part
def test_state_shapes_never_change_and_old_states_stay_valid(part: Part) -> None:
    machine = part.make()
    state = machine.initial_state()
    shapes = _shapes(state)
    cuts = _cuts(part)
    x = part.draw(np.random.default_rng(1), cuts[-1])
    for start, stop in itertools.pairwise(cuts):
        piece = _slice(x, part.axis, start, stop)
        first, after = machine(piece, state)
        again, _ = machine(piece, state)
        for one, other in zip(_leaves(first), _leaves(again), strict=True):
            np.testing.assert_array_equal(one, other)
        state = after
        assert _shapes(state) == shapes


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PARTS]
)
def test_ten_minutes_of_silence_then_noise_stay_bounded(name: str) -> None:
    part = PARTS[name]
    machine = part.make()
    rng = np.random.default_rng(3)
    state = machine.initial_state()
    for minute in range(10):
        x = part.draw(rng, part.minute)
        if minute < 5:
            x = _silent(x)
        y, state = machine(x, state)
        for leaf in _leaves(y):
            assert np.isfinite(leaf).all()
            assert leaf.size == 0 or np.abs(leaf).max() < 1e4
    for value in flatten(state).values():
        for leaf in value if isinstance(value, tuple) else (value,):
            assert np.isfinite(np.asarray(leaf)).all()


def _silent(x: Any) -> Any:
    if isinstance(x, tuple):
        parts = [_silent(item) for item in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return x * 0
