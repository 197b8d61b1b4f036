"""The neural renderer, live: rasterised guidance → compiled network → picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from engine.avatar import RendererConfig
from engine.rendering.head import FRAMINGS
from engine.rendering.identity import Identity
from engine.rendering.neural.guide import Rasteriser, cut, premultiplied
from engine.rendering.puppet.stage import Stage
from engine.signals import F32, U8, Motion, Picture
from kernels.developing import finish, finish_cells, finish_planes, out_of_cells
from kernels.graphs import BackendUnavailable, Graph, open_graph

PRECISIONS = ("int8", "bf16", "fp32")  # quickest first
Opens = Callable[[Path, str, str], Graph]
REST = 0  # frame of the motion that the reference shows where a pack has none


class Painter:
    """Draws motions by the network that an identity has for `config.name`: `neural`, `neural-lite`.

    Pure: equal motions give equal pictures, and the temporal position comes from the motion's own
    frame. One Painter serves one thread. Raises ValueError for an identity without such weights,
    BackendUnavailable where no runtime can run them.
    """

    def __init__(
        self, identity: Identity, config: RendererConfig, opens: Opens = open_graph
    ) -> None:
        """opens: gives the graph of a file, backend and precision, which others may run, too."""
        self.config = config
        self.graph = open_network(identity, config, opens)
        told = self.graph.meta["config"]
        self.rasteriser = Rasteriser(identity, told["guidance"], told["size"], told["periods"])
        self.told = {port: self.graph.buffer(port) for port in self.graph.inputs}
        self._refer(reference(identity, told["size"], self.rasteriser))
        stage = Stage(config, identity.palette)
        stage.open()
        self.backdrop = stage.close()
        self.side = told["size"] * told.get("enlarge", 1)
        self.placing = _placing(config, self.side)
        self.as_it_is = self.backdrop.shape[:2] == (self.side, self.side) and np.allclose(
            self.placing, np.eye(2, 3)
        )

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion: [H, W, 4] uint8 RGBA, straight alpha."""
        self.rasteriser.tell(motion, self.told)
        made = self.graph.borrow(self.told)
        rgba = self.backdrop.copy()
        if not self.as_it_is:
            self._finish_placed(made, rgba)
        elif "cells" in made:
            finish_cells(made["cells"][0], rgba)
        else:
            finish_planes(made["rgba"][0], rgba)
        return Picture(motion.frame, rgba)

    def _refer(self, planes: F32) -> None:
        """Tell the network the reference, [4, S, S], once."""
        given = {"reference": planes[None]}
        if "coarse" in self.told:
            given = cut(given, planes.shape[1] // self.told["coarse"].shape[1])
        self.told["reference"][:] = given["reference"]

    def _finish_placed(self, made: dict[str, F32], rgba: U8) -> None:
        """The network's square where `config` has it, over what `rgba` holds."""
        if "cells" in made:
            cells = made["cells"][0]
            planes = out_of_cells(cells, self.side // len(cells))
        else:
            planes = made["rgba"][0]
        painted = self._place(np.ascontiguousarray(planes.transpose(1, 2, 0)) * np.float32(255.0))
        np.minimum(painted[..., :3], painted[..., 3:], out=painted[..., :3])
        finish(painted, rgba)

    def _place(self, painted: F32) -> F32:
        """The network's square where `config` has it: framing, size, mirror."""
        size = self.config.width, self.config.height
        scale = float(self.placing[1, 1])  # pixels of the network for one of the picture
        if scale > 1:  # warping looks at four pixels only: blur away what they would miss
            painted = np.asarray(cv2.GaussianBlur(painted, (0, 0), 0.4 * scale), np.float32)
        way = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if scale > 1 else cv2.INTER_CUBIC)
        # the lower edge goes on; beside and above the singer there is nothing to go on
        placed = cv2.warpAffine(
            painted, self.placing, size, flags=way, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(np.clip(placed, 0.0, 255.0), np.float32)


def open_network(identity: Identity, config: RendererConfig, opens: Opens = open_graph) -> Graph:
    """The network of a pack by `config.name`, on the quickest precision that it may run at, or on
    the one that `config.precision` names."""
    name = config.name
    path = weights(identity, name)
    wanted = PRECISIONS if config.precision == "auto" else (config.precision,)
    reasons = []
    for precision in wanted:
        small = identity.assets.get(f"{name}-int8")
        if precision == "int8" and small is None:
            reasons.append(f"int8: {identity.name} has no {name}-int8 network")
            continue
        file = identity.folder / str(small) if precision == "int8" else path
        try:
            return opens(file, config.backend, precision)
        except BackendUnavailable as reason:
            reasons.append(f"{precision}: {reason}")
    raise BackendUnavailable(f"{path.name} cannot run: " + "; ".join(reasons))


def weights(identity: Identity, name: str) -> Path:
    """The file of a pack's network. Raises ValueError where it has none, and says how to get it."""
    asset = identity.assets.get(name)
    if name not in identity.renderers or asset is None:
        raise ValueError(
            f"identity {identity.name!r} has no {name} weights; its renderers are "
            f"{', '.join(identity.renderers)}. To train some: python -m engine.training.renderer"
        )
    return identity.folder / str(asset)


def reference(identity: Identity, size: int, rasteriser: Rasteriser) -> F32:
    """[4, size, size] premultiplied: the pack's own picture at rest, else the rasterised one."""
    asset = identity.assets.get("reference")
    if asset is None:
        motion = Motion(REST, np.zeros(52, np.float32), np.zeros(6, np.float32))
        return premultiplied(rasteriser.head.draw(motion).rgba)
    stored = cv2.imread(str(identity.folder / str(asset)), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4:
        raise ValueError(f"{identity.folder / str(asset)}: expected a picture with alpha")
    rgba = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA), np.uint8)
    whole = premultiplied(rgba).transpose(1, 2, 0)
    small = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small.transpose(2, 0, 1), np.float32)


def _placing(config: RendererConfig, side: int) -> F32:
    """[2, 3] from a pixel of the picture to one of the network's square, which shows `bust`."""
    own, asked = FRAMINGS["bust"], FRAMINGS[config.framing]
    per_metre = side / own.tall
    scale = per_metre / min(config.height / asked.tall, config.width / asked.wide)
    low = side - per_metre * (
        asked.foot - own.foot
    )  # row of the network at the picture's lower edge
    sign = -1.0 if config.mirror else 1.0
    across = 0.5 * side - 0.5 - sign * scale * (0.5 * config.width - 0.5)
    down = low - 0.5 - scale * (config.height - 0.5)
    return np.array([[sign * scale, 0.0, across], [0.0, scale, down]], np.float32)
