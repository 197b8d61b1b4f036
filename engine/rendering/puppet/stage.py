"""Canvas, camera and backdrop: from design units to straight-alpha pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import skia
from numpy.typing import NDArray

from engine.avatar import RendererConfig
from engine.rendering.identity import COLOUR, Palette
from engine.rendering.puppet.pen import F64, colour, radial, shade, surface_on
from kernels.outlines import I32, fill

SMALLEST, LARGEST = 16, 4096  # pixels


@dataclass(frozen=True)
class Framing:
    """units: design units over the picture's height. foot: y at its lower edge. width: units that a
    narrow picture must still show; it then shows more above the head."""

    units: float
    foot: float
    width: float


FRAMINGS = {"bust": Framing(480.0, 282.0, 340.0), "face": Framing(330.0, 161.0, 270.0)}


class Stage:
    """Owns one surface, wholly repainted for each picture. Raises ValueError for a bad config."""

    def __init__(self, config: RendererConfig, palette: Palette) -> None:
        self.config = _checked(config)
        size = (config.width, config.height)
        self.pixels = np.zeros((config.height, config.width), np.uint32)
        self.surface = surface_on(self.pixels)
        framing = FRAMINGS[config.framing]
        self.scale = min(config.height / framing.units, config.width / framing.width)
        self.foot = framing.foot
        above = config.height - 0.5 - np.arange(config.height)
        self.heights = np.asarray(self.foot - above / self.scale, np.float64)
        self.room = np.zeros(config.height * (config.width + 2), np.float32)
        self.backdrop = self._backdrop(palette)
        alpha = skia.kPremul_AlphaType if self.backdrop else skia.kUnpremul_AlphaType
        self.handed = skia.ImageInfo.Make(*size, skia.kRGBA_8888_ColorType, alpha)

    def open(self) -> Any:
        """Canvas with the backdrop painted, standing in design units."""
        canvas = self.surface.getCanvas()
        canvas.restoreToCount(1)
        canvas.resetMatrix()
        if self.backdrop is None:
            canvas.clear(0)
        else:
            canvas.drawImage(self.backdrop, 0, 0)
        canvas.save()
        canvas.translate(0.5 * self.config.width, self.config.height)
        canvas.scale(self.scale, self.scale)
        canvas.translate(0.0, -self.foot)
        return canvas

    def fill(self, outlines: F64, ramps: NDArray[np.uint32], inks: I32) -> None:
        """Paint outlines over what is there, in half the time that skia takes.

        outlines: [K, n, 2] design units, closed. ramps: [R, H] for each of `heights` a colour;
        inks: [K] which ramp each outline has.
        """
        corner = np.array([0.5 * self.config.width, self.config.height - self.scale * self.foot])
        spots = (outlines * self.scale + corner).astype(np.float32)
        fill(self.pixels, spots, ramps, inks, self.room)

    def close(self) -> NDArray[np.uint8]:
        """The finished picture [H, W, 4], straight alpha, its own memory."""
        rgba = np.empty((self.config.height, self.config.width, 4), np.uint8)
        self.surface.getCanvas().restoreToCount(1)
        self.surface.readPixels(self.handed, rgba, 4 * self.config.width, 0, 0)
        if self.config.mirror:
            rgba = np.ascontiguousarray(rgba.view(np.uint32)[:, ::-1]).view(np.uint8)
        return rgba

    def _backdrop(self, palette: Palette) -> Any:
        """Image behind the singer, painted once; None where it is transparent."""
        background = self.config.background
        if background == "transparent":
            return None
        pixels = np.zeros_like(self.pixels)
        surface = surface_on(pixels)
        if background == "scene":
            _paint_scene(surface.getCanvas(), self.config.width, self.config.height, palette)
        else:
            surface.getCanvas().clear(colour(background))
        return surface.makeImageSnapshot()


def _checked(config: RendererConfig) -> RendererConfig:
    for name in ("width", "height"):
        value = getattr(config, name)
        if not isinstance(value, int) or not SMALLEST <= value <= LARGEST:
            raise ValueError(f"{name} must be {SMALLEST} to {LARGEST} pixels, got {value!r}")
    if config.framing not in FRAMINGS:
        raise ValueError(f"framing must be {' or '.join(FRAMINGS)}, got {config.framing!r}")
    named = config.background in ("transparent", "scene")
    if not named and not re.fullmatch(COLOUR, str(config.background)):
        raise ValueError(
            f"background must be transparent, scene or a colour '#rrggbb', "
            f"got {config.background!r}"
        )
    return config


def _paint_scene(canvas: Any, width: int, height: int, palette: Palette) -> None:
    """A dim stage: a glow behind the singer, two beams, out-of-focus lights."""
    reach = float(np.hypot(width, height))
    top, bottom = colour(palette.scene_top), colour(palette.scene_bottom)
    wash = radial((0.42 * width, 0.30 * height), 0.85 * reach, [top, bottom], [0.0, 1.0])
    canvas.drawPaint(shade(wash))
    for lean, alpha in ((-0.34, 0.16), (0.36, 0.12)):
        _beam(canvas, width, height, lean, palette.scene_light, alpha)
    halo = radial(
        (0.5 * width, 0.44 * height),
        0.52 * height,
        [colour(palette.scene_light, 0.34), colour(palette.scene_light, 0.0)],
        [0.0, 1.0],
    )
    canvas.drawPaint(shade(halo))
    _lights(canvas, width, height, palette)


def _beam(canvas: Any, width: int, height: int, lean: float, ink: str, alpha: float) -> None:
    source, foot = 0.5 * width - 1.1 * lean * height, 0.5 * width + 0.9 * lean * height
    path = skia.Path()
    path.moveTo(source - 0.03 * height, -2)
    path.lineTo(source + 0.03 * height, -2)
    path.lineTo(foot + 0.24 * height, height + 2)
    path.lineTo(foot - 0.24 * height, height + 2)
    path.close()
    ramp = radial((source, 0.0), 1.1 * height, [colour(ink, alpha), colour(ink, 0.0)], [0.0, 1.0])
    paint = shade(ramp)
    paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 0.018 * height))
    canvas.drawPath(path, paint)


def _lights(canvas: Any, width: int, height: int, palette: Palette) -> None:
    chance = np.random.default_rng(7)
    count = int(10 + 8 * width / height)
    for x, y, size, alpha, kind in chance.random((count, 5)):
        ink = palette.glow if kind > 0.6 else palette.scene_light
        radius = height * (0.010 + 0.030 * size)
        spot = (x * width, (0.05 + 0.80 * y) * height)
        inks = [
            colour(ink, 0.05 + 0.12 * alpha),
            colour(ink, 0.10 + 0.12 * alpha),
            colour(ink, 0.0),
        ]
        canvas.drawCircle(*spot, radius, shade(radial(spot, radius, inks, [0.0, 0.82, 1.0])))
