"""The head: a three-dimensional singer, drawn by a rasteriser on one processor core."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.avatar import RendererConfig
from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT
from engine.rendering.head.guidance import Guidance, eye_attention
from engine.rendering.head.hair import HairPoser, Laid
from engine.rendering.head.light import LAMPS, LightCamera, film, surface
from engine.rendering.head.rig import Posed, Poser, Rig, read_rig, read_texture
from engine.rendering.identity import Identity
from engine.rendering.puppet.stage import Stage
from engine.signals import U8, Motion, Picture
from kernels.deform import carry, project
from kernels.developing import Scene, develop, finish, resolve, strokes, survey
from kernels.lighting import Strands, illuminate, illuminate_strands, unshadowed
from kernels.raster import NOTHING, SAMPLES, cover, cover_ribbons, front_to_back

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

DISTANCE = 1.35  # metres from the camera to the neck's axis


class Framing(NamedTuple):
    """tall: metres over the picture's height. foot: y at its lower edge. wide: metres that a narrow
    picture must still show; it then shows more above the head."""

    tall: float
    foot: float
    wide: float


FRAMINGS = {"bust": Framing(0.385, -0.225, 0.32), "face": Framing(0.30, -0.150, 0.25)}
SHADOW_BIAS = 0.006  # metres
STRAY = np.float32(0.30)  # of the key light that finds its way into its own shadows
BACK = -0.25  # hair that faces away more than this, above CROWN, is behind the head; below,
CROWN = 0.08  # metres, one may look at its inside past the face
TEXELS = 1.3  # of texture for each pixel of the face


class Head:
    """Draws motions as a lit head, neck and shoulders.

    identity: one whose renderers include `head`. config: size, framing, background, mirror.
    Raises ValueError for an identity without a head, a bad config or a broken asset. One Head
    serves one thread; its pictures do not depend on what was drawn before.
    """

    def __init__(self, identity: Identity, config: RendererConfig) -> None:
        if "head" not in identity.renderers:
            raise ValueError(
                f"identity {identity.name!r} has no head; its renderers are "
                f"{', '.join(identity.renderers)}"
            )
        self.identity, self.config = identity, config
        stage = Stage(config, identity.palette)
        stage.open()
        self.backdrop = stage.close()
        if config.mirror:
            self.backdrop = np.ascontiguousarray(self.backdrop[:, ::-1])
        self.rig = rig = read_rig(identity.folder)
        self.camera = self._camera()
        self.texture, self.corners = self._texture()
        self.poser, self.hair = Poser(rig), HairPoser(rig.hair)
        self.tone = film(exposure=rig.look.get("exposure", 1.0))
        self.surfaces = [surface(name) for name in rig.parts]
        self.light = LightCamera()
        self.light_frame = self.light.frame()
        self._buffers()

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion: [H, W, 4] uint8 RGBA, straight alpha. Pure."""
        self._see(motion, self.poser.pose(motion))
        rgba = self.backdrop.copy()
        finish(self.painted, rgba)
        if self.config.mirror:
            rgba = np.ascontiguousarray(rgba.view(np.uint32)[:, ::-1]).view(np.uint8)
        return Picture(motion.frame, rgba)

    def guide(self, motion: Motion) -> Guidance:
        """What lies where in the picture of one motion, unmirrored. Pure."""
        posed = self.poser.pose(motion)
        self._cover(posed, self.hair.lay(motion, posed.spine[-1]))
        return self._survey(motion, posed)

    def present(self, motion: Motion) -> tuple[F32, F32]:
        """The picture without backdrop, unmirrored, [H, W, 4] premultiplied on 0 … 255, until the
        next one is drawn over it; and where the eyes are in it, [H, W] (see `Guidance`). Pure."""
        posed = self.poser.pose(motion)
        self._see(motion, posed)
        return self.painted, self._attend(motion, posed)

    def _see(self, motion: Motion, posed: Posed) -> None:
        """Paint what the camera sees of one motion."""
        laid = self.hair.lay(motion, posed.spine[-1])
        self._shade(posed, laid)
        self._cover(posed, laid)
        self._paint()

    def _survey(self, motion: Motion, posed: Posed) -> Guidance:
        """Guidance of what was covered last."""
        size = self.config.height, self.config.width
        depth, mask = np.empty((2, *size), np.float32)
        normals = np.empty((*size, 3), np.float32)
        strands = self.hair.normals.reshape(self.rig.hair.points.shape)
        survey(
            self.picture, self.rig.triangles, posed.normals, strands, self.nearest, self.seen,
            depth, normals, mask,
        )  # fmt: skip
        return Guidance(depth, normals, mask, self._attend(motion, posed))

    def _attend(self, motion: Motion, posed: Posed) -> F32:
        """Where the eyes are in what was covered last."""
        closure = np.clip(motion.blendshapes[[EYE_BLINK_LEFT, EYE_BLINK_RIGHT]], 0.0, 1.0)
        return eye_attention(self.nearest, self.camera, self.rig.eyes, posed.spine[-1], closure)

    # ---- what is made once ----------------------------------------------------------------------

    def _camera(self) -> F32:
        """[6] as `kernels.deform.project` takes it."""
        framing, config = FRAMINGS[self.config.framing], self.config
        scale = min(config.height / framing.tall, config.width / framing.wide)  # pixels per metre
        middle = framing.foot + 0.5 * framing.tall
        row = config.height - scale * (middle - framing.foot)
        eye_z = DISTANCE
        focal = scale * (DISTANCE - 0.09)
        return np.array([focal, config.width / 2, row, 0.0, middle, eye_z], np.float32)

    def _texture(self) -> tuple[U8, F32]:
        """The texture at the size this picture needs, and the triangles' corners in its texels."""
        pixels_per_metre = float(self.camera[0]) / (DISTANCE - 0.09)
        stored = float(self.rig.look["texels_per_metre"])
        scale = min(1.0, TEXELS * pixels_per_metre / stored)
        texture = read_texture(self.identity.folder, scale)
        corners = self.rig.corners * np.float32(scale) - np.float32(0.5)
        return texture, np.ascontiguousarray(corners)

    def _buffers(self) -> None:
        rig, (height, width) = self.rig, (self.config.height, self.config.width)
        vertices, hairs = len(rig.along), rig.hair.points.shape[0] * rig.hair.points.shape[1]
        self.nearest = np.empty((SAMPLES * height, width), np.float32)
        self.seen = np.empty((SAMPLES * height, width), np.int32)
        self.painted = np.empty((height, width, 4), np.float32)
        self.picture = np.empty((vertices, 3), np.float32)
        self.diffuse, self.specular = np.empty((2, vertices, 3), np.float32)
        self.free = np.ones(vertices, np.float32)
        self.hair_picture = np.empty((2 * hairs, 3), np.float32)
        self.hair_light = np.zeros((hairs, 3), np.float32)
        self.hair_free = np.empty(hairs, np.float32)
        self.depth = np.empty((self.light.size, self.light.size), np.float32)
        self.casting = np.empty(self.depth.shape, np.int32)
        self.ribbons = int((~rig.hair.strand).sum())  # single hairs come after them
        self.low = rig.hair.points[..., 1] < CROWN
        hair = rig.hair
        self.hair_flat = (
            np.ascontiguousarray(hair.open_.reshape(-1)),
            np.ascontiguousarray(np.repeat(hair.shift, hair.points.shape[1])),
            np.ascontiguousarray(hair.tint.reshape(-1, 3)),
        )
        kind = rig.strand_kind
        self.strand_albedo = np.array([rig.look["lash"], rig.look["brow"]], np.float32)[kind]
        self.strand_ink = np.empty((len(kind), 4), np.float32)
        self.strand_ink[:, 3] = np.array([0.90, 0.55], np.float32)[kind]
        self.shine = np.array(rig.look["hair_shine"], np.float32)
        self.casters = _casters(rig)

    # ---- what is made for every picture ---------------------------------------------------------

    def _shade(self, posed: Posed, laid: Laid) -> None:
        eye = self.camera[3:6]
        self.depth.fill(0.0)
        seen, seen_hair = self.picture, self.hair_picture
        carry(posed.points, self.light_frame, seen)
        carry(laid.edges, self.light_frame, seen_hair)
        cover(seen, self.casters[0], True, self.depth, self.casting)
        cover(seen_hair, self.casters[1], False, self.depth, self.casting)
        unshadowed(seen, self.depth, SHADOW_BIAS, 3.5, self.free)
        self.free *= 1.0 - STRAY
        self.free += STRAY
        unshadowed(
            np.ascontiguousarray(seen_hair[::2]), self.depth, 2 * SHADOW_BIAS, 1.6, self.hair_free
        )
        for (first, last), look in zip(pairwise(self.rig.ends), self.surfaces, strict=True):
            part = slice(first, last)
            illuminate(
                posed.points[part], posed.normals[part], self.free[part], eye, LAMPS, look,
                self.diffuse[part], self.specular[part],
            )  # fmt: skip
        strands = Strands(laid.points, laid.tangents, laid.normals, self.hair_free, *self.hair_flat)
        illuminate_strands(strands, eye, LAMPS, self.shine, self.hair_light)
        develop(self.hair_light, self.tone)

    def _cover(self, posed: Posed, laid: Laid) -> None:
        """Find what every sample sees."""
        rig, hair = self.rig, self.rig.hair
        self.nearest.fill(0.0)
        self.seen.fill(NOTHING)
        project(posed.points, self.camera, self.picture)
        cover(self.picture, rig.triangles, True, self.nearest, self.seen)
        count, points = hair.width.shape
        project(laid.edges, self.camera, self.hair_picture)
        picture = self.hair_picture.reshape(count, points, 2, 3)
        facing = laid.normals[:, 2].reshape(count, points) > BACK
        shown = ((facing | self.low) & (hair.shown != 0)).astype(np.uint8)
        pieces = front_to_back(shown, picture[:, :, 0, 2], self.ribbons)
        cover_ribbons(picture, hair.kind, pieces, rig.pattern, self.nearest, self.seen)

    def _paint(self) -> None:
        """Colour the samples; then lashes and brows, then single hairs."""
        rig = self.rig
        scene = Scene(
            self.picture, rig.triangles, self.corners, rig.triangle_part, self.diffuse,
            self.specular, self.hair_light.reshape(rig.hair.points.shape), self.texture, self.tone,
        )  # fmt: skip
        resolve(scene, self.nearest, self.seen, self.painted)
        first = rig.ends[-2]
        scale = self.camera[0] / (DISTANCE - 0.10)
        colours = self._strand_colours(first)
        strokes(
            self.picture[first:], rig.strand_width * scale, colours, rig.strand_starts, 0.0034,
            self.nearest, self.painted,
        )  # fmt: skip
        hair, first = rig.hair, self.ribbons
        count, points = hair.width.shape
        if first < count:
            edges = self.hair_picture[2 * points * first :]
            picture = np.float32(0.5) * (edges[::2] + edges[1::2])
            ink = np.full((len(picture), 4), 0.45, np.float32)
            ink[:, :3] = self.hair_light[first * points :]
            starts = np.arange(0, len(picture) + 1, points, dtype=np.int32)
            width = hair.width[first:].ravel() * scale
            strokes(picture, width, ink, starts, 0.002, self.nearest, self.painted)

    def _strand_colours(self, first: int) -> F32:
        """[n, 4] colour and opacity of the points of lashes and brows."""
        light = self.diffuse[first:] + np.float32(0.15) * self.specular[first:]
        light *= self.strand_albedo
        develop(light, self.tone)
        self.strand_ink[:, :3] = light
        return self.strand_ink


def _casters(rig: Rig) -> tuple[I32, I32]:
    """Triangles that throw shadows, coarse: of the skin, and of every second ribbon."""
    hair = rig.hair
    ribbons, count = int((~hair.strand).sum()), hair.points.shape[1]
    first = (np.arange(0, ribbons, 2) * 2 * count)[:, None]
    a = (first + np.arange(0, count - 3, 3)[None, :] * 2).ravel()
    one, two = np.stack([a, a + 1, a + 6], 1), np.stack([a + 1, a + 7, a + 6], 1)
    return rig.casters, np.concatenate([one, two]).astype(np.int32)
