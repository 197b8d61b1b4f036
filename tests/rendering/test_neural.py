"""The neural renderer: pure, where the head would be, on every backend, and clear without weights.

Its networks are small and untrained here: one draws the rasterised picture as it is, so that what
comes out can be compared with the head's own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.motion.blendshapes import INDEX
from engine.rendering.identity import load_identity
from engine.rendering.neural.guide import Rasteriser, cut, temporal_position
from engine.rendering.neural.networks import LiteConfig, UNetConfig, as_shown, build, examples
from engine.rendering.neural.painter import Painter
from engine.signals import Motion
from kernels.developing import out_of_cells
from kernels.graphs import BackendUnavailable
from kernels.graphs.exporting import export

PLAIN = LiteConfig(size=96, enlarge=1, widths=(8, 12), fine=8)
SIDE = PLAIN.size
CONFIG = RendererConfig("neural-lite", SIDE, SIDE, background="transparent", precision="fp32")


def motion(frame: int = 7, yaw: float = 0.0, **values: float) -> Motion:
    shapes = np.zeros(52, np.float32)
    for name, value in values.items():
        shapes[INDEX[name]] = value
    return Motion(frame, shapes, np.array([yaw, 0, 0, 0, 0, 0], np.float32))


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identity whose `neural-lite` repeats its guidance and whose `neural` hears everything."""
    folder = tmp_path_factory.mktemp("packs") / "aria"
    shutil.copytree(load_identity("aria").folder, folder)
    torch.manual_seed(0)
    noise = build(UNetConfig(size=96, base=4, levels=5))
    for name, network in (("neural-lite", as_shown(build(PLAIN))), ("neural", noise)):
        config = asdict(network.config)
        export(network.eval(), examples(network), folder / f"{name}.onnx", config, bits=16)
    said = yaml.safe_load((folder / "identity.yaml").read_text(encoding="utf-8"))
    said["renderers"] += ["neural", "neural-lite"]
    del said["assets"]["neural-lite-int8"]  # of another network
    said["assets"] |= {name: f"{name}.onnx" for name in ("neural", "neural-lite")}
    (folder / "identity.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder


@cache
def painter(pack: Path, config: RendererConfig = CONFIG) -> Painter:
    made = open_renderer(AvatarConfig(avatar=str(pack), renderer=config))
    assert isinstance(made, Painter)
    return made


def drawn(pack: Path, what: Motion, config: RendererConfig = CONFIG) -> np.ndarray:
    return painter(pack, config).draw(what).rgba.astype(int)


@pytest.mark.parametrize("name", ["neural", "neural-lite"])
def test_drawing_is_pure(packs: Path, name: str) -> None:
    config = replace(CONFIG, name=name)
    one = Painter(load_identity(packs), config)
    first = one.draw(motion(41, 0.2, jawOpen=0.6))
    kept = first.rgba.copy()
    one.draw(motion(99, -0.3))
    np.testing.assert_array_equal(one.draw(motion(41, 0.2, jawOpen=0.6)).rgba, kept)
    np.testing.assert_array_equal(first.rgba, kept)
    assert first.frame == 41
    assert kept.dtype == np.uint8


def test_a_network_that_repeats_its_guidance_draws_the_head(packs: Path) -> None:
    head = open_renderer(AvatarConfig(avatar="aria", renderer=replace(CONFIG, name="head")))
    what = motion(0, 0.25, jawOpen=0.7, eyeBlinkLeft=1.0)
    expected = head.draw(what).rgba.astype(int)
    made = drawn(packs, what)
    solid = expected[..., 3] == 255
    assert np.abs(made - expected)[solid].max() <= 1
    assert np.abs(made[..., 3] - expected[..., 3]).max() <= 1


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("framing", ["bust", "face"])
@pytest.mark.parametrize(("width", "height"), [(192, 108), (64, 128), (200, 200), (48, 48)])
def test_every_size_shows_what_the_head_shows(
    packs: Path, width: int, height: int, framing: str, mirror: bool
) -> None:
    config = replace(CONFIG, width=width, height=height, framing=framing, mirror=mirror)
    made = drawn(packs, motion(0, 0.3), config)
    head = open_renderer(AvatarConfig(avatar="aria", renderer=replace(config, name="head")))
    expected = head.draw(motion(0, 0.3)).rgba.astype(int)
    assert made.shape == expected.shape == (height, width, 4)
    assert np.abs(made[..., 3] - expected[..., 3]).mean() < 8  # the eye stands a little elsewhere


@pytest.mark.parametrize("background", ["scene", "#336699"])
def test_backgrounds_are_laid_behind(packs: Path, background: str) -> None:
    made = drawn(packs, motion(), replace(CONFIG, background=background))
    assert (made[..., 3] == 255).all()
    if background.startswith("#"):
        assert made[0, 0].tolist() == [0x33, 0x66, 0x99, 255]


def test_the_phase_is_told_and_only_the_phase(packs: Path) -> None:
    """Everything held, phase included: the same picture; `neural` hears where in time it is."""
    config = replace(CONFIG, name="neural")
    np.testing.assert_array_equal(
        drawn(packs, motion(3), config), drawn(packs, motion(3 + 2048), config)
    )
    lone = painter(packs, config)
    lone.rasteriser.tell(motion(3), lone.told)
    feeds = {name: x.copy() for name, x in lone.told.items()}
    later = {**feeds, "phase": temporal_position(19, 2)[None]}
    assert np.abs(lone.graph(feeds)["rgba"] - lone.graph(later)["rgba"]).max() > 1e-6


@pytest.mark.parametrize("name", ["neural", "neural-lite"])
@pytest.mark.parametrize(
    ("backend", "precision", "tolerance"),
    [("onnxruntime", "fp32", 1e-4), ("openvino", "fp32", 1e-4), ("openvino", "bf16", 2e-2)],
)
def test_backends_paint_what_eager_paints(
    packs: Path, name: str, backend: str, precision: str, tolerance: float
) -> None:
    eager = painter(packs, replace(CONFIG, name=name, backend="eager"))
    other = painter(
        packs,
        replace(CONFIG, name=name, backend=backend, precision=precision),  # type: ignore[arg-type]
    )
    assert (eager.graph.backend, other.graph.backend) == ("eager", backend)
    eager.rasteriser.tell(motion(5, 0.2), eager.told)
    made, expected = other.graph(eager.told), eager.graph(eager.told)
    for port in expected:
        np.testing.assert_allclose(made[port], expected[port], atol=tolerance)


def test_the_reference_is_the_packs_own_picture(packs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "aria"
    shutil.copytree(packs, folder)
    rgba = np.zeros((50, 50, 4), np.uint8)
    rgba[..., 2], rgba[..., 3] = 200, 128
    cv2.imwrite(str(folder / "reference.png"), rgba)
    said = yaml.safe_load((folder / "identity.yaml").read_text(encoding="utf-8"))
    said["assets"]["reference"] = "reference.png"
    (folder / "identity.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    told = Painter(load_identity(folder), CONFIG).told["reference"][0]
    given = out_of_cells(told, PLAIN.grid)[None]
    assert given.shape == (1, 4, SIDE, SIDE)
    np.testing.assert_allclose(
        given[0, :, 5, 5], [200 / 255 * 128 / 255, 0, 0, 128 / 255], rtol=1e-4
    )
    (folder / "reference.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="expected a picture with alpha"):
        Painter(load_identity(folder), CONFIG)


@pytest.mark.parametrize("kind", ["picture", "geometry", "depth"])
def test_told_in_place_is_what_is_guided(kind: str) -> None:
    """Whether in planes or in cells."""
    rasteriser = Rasteriser(load_identity("aria"), kind, 64, 4)
    guide = rasteriser.guide(motion(9, 0.4, jawOpen=1.0))._asdict()
    for expected in (guide, cut(guide, 4)):
        told = {port: np.full_like(x, np.nan) for port, x in expected.items()}
        rasteriser.tell(motion(9, 0.4, jawOpen=1.0), told)
        for port, x in expected.items():
            np.testing.assert_allclose(told[port], x, atol=1e-6)


@pytest.mark.parametrize("kind", ["picture", "geometry", "depth"])
def test_guidance_is_bounded(kind: str) -> None:
    guide = Rasteriser(load_identity("aria"), kind, 64, 4).guide(motion(10**9, 0.4, jawOpen=1.0))
    for part in guide:
        assert part.dtype == np.float32
        assert np.abs(part).max() <= 1.0 + 1e-6
    assert guide.phase.shape == (1, 8)


def test_without_weights_it_says_what_to_do() -> None:
    config = AvatarConfig(avatar="elias", renderer=replace(CONFIG, name="neural"))
    with pytest.raises(ValueError, match=r"'elias' has no neural weights; its renderers are head"):
        open_renderer(config)
    with pytest.raises(ValueError, match="guidance must be one of picture, geometry, depth"):
        Rasteriser(load_identity("aria"), "photo", 64, 1)


def test_a_precision_that_is_not_there_says_so(packs: Path) -> None:
    what = "neural-lite.onnx cannot run: int8: aria has no neural-lite-int8 network"
    with pytest.raises(BackendUnavailable, match=re.escape(what)):
        Painter(load_identity(packs), replace(CONFIG, precision="int8"))
    with pytest.raises(BackendUnavailable, match="fp32 or int8"):
        Painter(load_identity(packs), replace(CONFIG, backend="onnxruntime", precision="bf16"))
    assert painter(packs, replace(CONFIG, precision="auto")).graph.backend


def test_painting_never_imports_torch(packs: Path) -> None:
    program = f"""
import sys
import numpy as np
from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.signals import Motion
look = RendererConfig("neural-lite", {SIDE}, {SIDE})
painter = open_renderer(AvatarConfig(avatar={str(packs)!r}, renderer=look))
painter.draw(Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32)))
heavy = {{"torch", "engine.training", "engine.rendering.neural.networks"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
