"""Truth by Blender's Cycles: the same head, path-traced, in the same camera and studio.

Geometry comes from the renderer's own poser, so that a pair fits to the pixel. Blender runs in a
Python of its own (`scene.py` there: its pins do not fit ours) and is told one picture at a time.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.avatar import RendererConfig
from engine.rendering.head import Head
from engine.rendering.head.light import AMBIENT, COLOURS, DIRECTIONS
from engine.rendering.identity import load_identity
from engine.signals import F32, U8, Motion

SCENE = Path(__file__).with_name("scene.py")
FIBRE = 0.00038  # metres of ribbon for each hair
HAIR = 0.00010  # metres, radius at the root
LIFT = 0.0007  # metres that hairs lie off their ribbon
NEARER = 0.0025  # metres, of lashes and brows
LOCK, OWN = 0.16, 0.30  # how much locks, and hairs of a lock, differ in lightness
NOTHING = 1e-4  # alpha


class BlenderFailed(RuntimeError):
    """Blender could not be started or ended; the message has its last words."""


class Fibres(NamedTuple):
    """Hairs in ribbons, N of K points. ribbon: [N]. across: [N, 1, 1] 0 left … 1 right.
    off: [N, 1, 1] metres along the normal. tone: [N, 1, 1] how light, about 1."""

    ribbon: np.ndarray
    across: F32
    off: F32
    tone: F32


class Cycles:
    """Paints motions, seconds each. A context manager: Blender ends with it."""

    def __init__(self, identity: str, size: int, samples: int, blender: str) -> None:
        """blender: a Python that has bpy. samples: light paths a pixel, denoised afterwards."""
        config = replace(RendererConfig(), width=size, height=size, background="transparent")
        self.head = Head(load_identity(identity), config)
        self.size, self.samples, self.blender = size, samples, blender
        self.fibres = _fibres(self.head)

    def __enter__(self) -> Cycles:
        self._folder = tempfile.TemporaryDirectory(prefix="cycles")
        np.savez(Path(self._folder.name) / "scene.npz", allow_pickle=False, **self._scene())
        # -P: else Blender would take this file for its own add-on of the same name
        command = [self.blender, "-P", str(SCENE), self._folder.name]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise BlenderFailed(f"cannot start {self.blender}: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()
        self._folder.cleanup()

    def paint(self, motions: Iterable[Motion]) -> Iterator[U8]:
        """[size, size, 4] straight alpha of each motion. Raises BlenderFailed."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        folder = Path(self._folder.name)
        for motion in motions:
            np.savez(folder / "frame.npz", allow_pickle=False, **self.geometry(motion))
            self._child.stdin.write("paint\n")
            self._child.stdin.flush()
            for line in self._child.stdout:
                if line.strip() == "painted":
                    break
            else:
                raise BlenderFailed(f"{self.blender} ended; has it bpy? pip install bpy==4.5.15")
            yield self.develop(np.load(folder / "painted.npy"))

    def geometry(self, motion: Motion) -> dict[str, F32]:
        """Points and normals of the mesh [V, 3], points of the hairs [N K, 3], in metres."""
        posed = self.head.poser.pose(motion)
        laid = self.head.hair.lay(motion, posed.spine[-1])
        ribbons, along = self.head.rig.hair.width.shape
        edges = laid.edges.reshape(ribbons, along, 2, 3)[self.fibres.ribbon]
        normals = laid.normals.reshape(ribbons, along, 3)[self.fibres.ribbon]
        hairs = edges[:, :, 0] + self.fibres.across * (edges[:, :, 1] - edges[:, :, 0])
        hairs = hairs + self.fibres.off * normals
        return {
            "points": self._lifted(posed.points),
            "normals": posed.normals,
            "hairs": hairs.reshape(-1, 3).astype(np.float32),
        }

    def _lifted(self, points: F32) -> F32:
        """Lashes and brows nearer to the camera, along its rays: as drawn they dip into the skin,
        which the rasteriser forgives them."""
        first = self.head.rig.ends[-2]
        lifted = points.copy()
        rays = np.array([0.0, *self.head.camera[-2:]], np.float32) - points[first:]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        lifted[first:] += np.float32(NEARER) * rays
        return lifted

    def develop(self, light: F32) -> U8:
        """Linear premultiplied light [H, W, 4] on the head's own film, straight alpha."""
        alpha = np.clip(light[..., 3:], 0.0, 1.0)
        own = np.maximum(light[..., :3] / np.maximum(alpha, NOTHING), 0.0)
        steps = len(self.head.tone) - 1
        shown = self.head.tone[np.minimum((np.sqrt(own) * steps / 2).astype(int), steps)]
        shown = np.where(alpha > NOTHING, shown, 0)
        return np.concatenate([shown, np.rint(255 * alpha)], axis=-1).astype(np.uint8)

    def _scene(self) -> dict:
        """What does not move."""
        rig, folder = self.head.rig, self.head.identity.folder
        ribbon = self.fibres.ribbon
        taper = np.linspace(1.0, 0.35, rig.hair.width.shape[1])
        high, wide = self.head.texture.shape[:2]
        corners = (self.head.corners + np.float32(0.5)) / np.array([wide, high], np.float32)
        return {
            "triangles": rig.triangles,
            "part": rig.triangle_part,
            "parts": np.array(rig.parts),
            "ends": np.array(rig.ends),
            "corners": corners,
            "strand_starts": rig.strand_starts,
            "strand_radius": rig.strand_width / 2,
            "strand_kind": rig.strand_kind,
            "strand_colour": np.array([rig.look["lash"], rig.look["brow"]])[rig.strand_kind],
            "hair_points": np.array(rig.hair.width.shape[1]),
            "hair_radius": np.tile(HAIR * taper, len(ribbon)),
            "hair_colour": (rig.hair.tint[ribbon] * self.fibres.tone).reshape(-1, 3),
            "camera": self.head.camera,
            "size": np.array(self.size),
            "samples": np.array(self.samples),
            "lamps": DIRECTIONS,
            "lamp_colours": COLOURS,
            "ambient": AMBIENT,
            "colour": np.array(str((folder / "colour.webp").resolve())),
            "surface": np.array(str((folder / "surface.webp").resolve())),
        }


def _fibres(head: Head) -> Fibres:
    """Hairs enough to fill every ribbon, the same each time."""
    rng = np.random.default_rng(7)
    width = head.rig.hair.width.max(1)
    ribbon = np.repeat(np.arange(len(width)), np.maximum(1, np.rint(width / FIBRE).astype(int)))
    across = rng.random((len(ribbon), 1, 1)).astype(np.float32)
    off = rng.uniform(-LIFT, LIFT, (len(ribbon), 1, 1)).astype(np.float32)
    lock, own = rng.normal(0, LOCK, len(width))[ribbon], rng.normal(0, OWN, len(ribbon))
    tone = np.exp(lock + own)[:, None, None].astype(np.float32)
    return Fibres(ribbon, across, off, tone)
