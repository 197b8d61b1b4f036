"""The portrait: any one photo, painting or drawing sings. A printed sheet that bends and turns.

photo + landmarks ─▶ our own head in its likeness ─▶ sheet, eyes, lids, mouth       (once)
motion ─▶ shapes ─▶ neck ─▶ camera ─▶ sheet over the ground; eyes and mouth, finer    (a picture)
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.avatar import RendererConfig
from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT
from engine.rendering.head.rig import finite, gazes, shape_weights, softly, spine, turning
from engine.rendering.identity import Identity
from engine.rendering.portrait.eyes import Eye, lid_mesh, lip_colours, make_eyes
from engine.rendering.portrait.face import read_face
from engine.rendering.portrait.fitting import liken
from engine.rendering.portrait.ground import cut_out, own_colour, without_person
from engine.rendering.portrait.landmarks import Landmarks, landmarks_of
from engine.rendering.portrait.mouth import Mouth, between_lips, without_teeth
from engine.rendering.portrait.sheet import closed_oval, make_sheet
from engine.rendering.puppet.stage import Stage
from engine.signals import U8, Motion, Picture
from kernels.deform import bend, blend, carry, project
from kernels.warp import shrink, straighten, warp

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

TURNS = np.radians([19.0, 15.0, 18.0])  # yaw, pitch, roll that one photo can bear
SHIFT = 0.6  # of the head's shift, so that its edges stay in the picture
LEAN = 1.0  # of the shoulders' turn
FINER = 3  # samples a pixel has each way, at eyes and mouth
PAD = 3  # pixels around them
TALL = {"bust": 2.75, "face": 1.75}  # heights of the face in the picture's height
SINK = {"bust": 0.08, "face": 0.02}  # of the picture's height: how far above its middle the face is
MARGIN = 0.08  # of the view's larger side: photo around it that a moving head may bring in
FINEST = 1.5  # texels a pixel, where the photo has them


class View(NamedTuple):
    """texture: [h, w, 4] the person, premultiplied. ground: [H, W, 4] what is behind, as finished.
    places: [478, 2] landmarks in pixels of the picture. matte: [H + 2 m, W + 2 m] or None.
    margin: m, pixels. fine: texels a pixel. skin: [3] its colour, 0 … 255."""

    texture: U8
    ground: U8
    places: F64
    matte: U8 | None
    margin: int
    fine: float
    skin: F64


class Portrait:
    """Draws motions with one photo.

    identity: one whose assets name a `portrait`. config: size, framing, background, mirror. Raises
    ValueError for an identity without one, a bad config, a photo that cannot sing (the message says
    why) and one that nobody consented to. One Portrait serves one thread; its pictures do not
    depend on what was drawn before.
    """

    def __init__(self, identity: Identity, config: RendererConfig) -> None:
        if "portrait" not in identity.renderers or "portrait" not in identity.assets:
            raise ValueError(
                f"identity {identity.name!r} has no portrait; its renderers are "
                f"{', '.join(identity.renderers)}"
            )
        self.identity, self.config = identity, config
        stage = Stage(config, identity.palette)
        stage.open()
        view = make_view(landmarks_of(identity), config, stage.close())
        face = read_face()
        like = liken(face, view.places)
        self.texture, self.ground = view.texture, view.ground
        to_texel = view.fine, view.margin * view.fine
        upper, lower = (like.places[row] * to_texel[0] + to_texel[1] for row in face.openings[2])
        lips = lip_colours(self.texture, like.places, face, to_texel)
        without_teeth(self.texture, upper, lower, lips)
        cut = (between_lips(self.texture, upper, lower) - to_texel[1]) / to_texel[0]
        size = config.width, config.height
        self.sheet = make_sheet(face, like, size, view.margin, view.matte, cut)
        self.source = (self.sheet.places * to_texel[0] + to_texel[1]).astype(np.float32)
        self.camera, self.turn = like.pose.camera, like.pose.turn
        irises = view.places[468:]
        self.eyes = make_eyes(face, self.sheet, like.pose, irises, self.texture, to_texel)
        self.mouth = Mouth(face, like, self.sheet, view.skin, lips)
        joint = self.turn @ face.neck[1]
        self.neck = np.stack([joint + face.neck[0] - face.neck[1], joint]).astype(np.float32)
        self._buffers()

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion: [H, W, 4] uint8 RGBA, straight alpha. Pure."""
        limited = _limited(motion)
        weights, frames = shape_weights(limited), spine(limited, self.neck)
        self._pose(weights, frames)
        out = self.ground.copy()
        self.nearest.fill(0.0)
        warp(
            self.picture,
            self.sheet.triangles,
            self.source,
            self.opaque,
            self.texture,
            self.nearest,
            out,
        )
        closures = weights[[EYE_BLINK_LEFT, EYE_BLINK_RIGHT]]
        for eye, gaze, closure in zip(self.eyes, gazes(limited), closures, strict=True):
            self._eye(eye, gaze, float(closure), frames[-1], out)
        self.mouth.pose(weights, frames, self.camera, self.posed)
        self._mouth(out)
        if self.config.background == "transparent":
            straighten(out)
        if self.config.mirror:
            out = np.ascontiguousarray(out.view(np.uint32)[:, ::-1]).view(np.uint8)
        return Picture(motion.frame, out)

    # ---- what is made once ----------------------------------------------------------------------

    def _buffers(self) -> None:
        sheet = self.sheet
        rows = [np.flatnonzero(np.abs(one).max(1) > 1e-6) for one in sheet.moved]
        self.shape_index = np.concatenate(rows).astype(np.int32)
        self.shape_starts = np.cumsum([0, *map(len, rows)]).astype(np.int32)
        moved = [one[row] for one, row in zip(sheet.moved, rows, strict=True)]
        self.shape_moved = np.concatenate(moved).astype(np.float32)
        self.blended, self.posed, self.picture = np.empty((3, *sheet.points.shape), np.float32)
        self.opaque = np.ones(len(sheet.points), np.float32)
        self.nearest = np.empty((self.config.height, self.config.width), np.float32)

    # ---- what is made for every picture ---------------------------------------------------------

    def _pose(self, weights: F32, frames: F32) -> None:
        blend(
            self.sheet.points, weights, self.shape_starts, self.shape_index, self.shape_moved,
            self.blended,
        )  # fmt: skip
        bend(self.blended, self.sheet.along, frames, self.posed)
        project(self.posed, self.camera, self.picture)

    def _eye(self, eye: Eye, gaze: F64, closure: float, skull: F32, out: U8) -> None:
        edge = self.picture[np.concatenate([*eye.rows, eye.fold])]
        window = Window(edge, out)
        if window.empty:
            return
        turn = self.turn @ turning(gaze[0], gaze[1], 0.0) @ self.turn.T
        looking = (eye.iris.points - eye.centre) @ turn.T + eye.centre
        for patch, points in ((eye.white, eye.white.points), (eye.iris, looking)):
            seen = np.empty_like(patch.points)
            carry(np.ascontiguousarray(points, np.float32), skull, seen)
            project(seen, self.camera, seen)
            window.lay(seen, patch.triangles, patch.source, patch.texture)
        self._sheet(window)
        if closure > 0.0:
            lid = lid_mesh(self.picture[eye.rows[0]], self.picture[eye.fold])
            share = np.clip((closure - 0.15) / 0.6, 0.0, 1.0)
            window.lay(lid, eye.lid.triangles, eye.lid.source, eye.lid.texture, float(share))
        window.close(out)

    def _mouth(self, out: U8) -> None:
        lips = self.picture[np.stack(self.mouth.rows)]
        window = Window(lips.reshape(-1, 3), out)
        if window.empty:
            return
        self.mouth.draw(window.place, window.nearest, window.fine)
        self._sheet(window)
        window.close(out)

    def _sheet(self, window: Window) -> None:
        window.lay(self.picture, self.sheet.triangles, self.source, self.texture)


class Window:
    """A part of the picture drawn finer, then laid back: lids, lips and teeth have smooth edges."""

    def __init__(self, around: F32, out: U8) -> None:
        """around: [n, 3] points of the picture that it must show."""
        size = np.array([out.shape[1], out.shape[0]])
        low = np.floor(around[:, :2].min(0)).astype(int) - PAD
        high = np.ceil(around[:, :2].max(0)).astype(int) + PAD
        low, high = np.clip(low, 0, size), np.clip(high, 0, size)
        self.left, self.top = map(int, low)
        self.empty = bool((high - low < 1).any())
        self.magnify = np.array([FINER, *low], np.float32)
        part = out[low[1] : high[1], low[0] : high[0]]
        self.fine = np.repeat(np.repeat(part, FINER, 0), FINER, 1)
        self.nearest = np.zeros(self.fine.shape[:2], np.float32)

    def place(self, picture: F32) -> F32:
        """Points [..., 3] of the picture in the window."""
        seen = picture.copy()
        seen[..., :2] = (seen[..., :2] - self.magnify[1:]) * self.magnify[0]
        return seen

    def lay(
        self, picture: F32, triangles: I32, source: F32, texture: U8, fade: float = 1.0
    ) -> None:
        """Lay a mesh over what is there already, whatever its depth."""
        self.nearest.fill(0.0)
        shares = np.full(len(picture), fade, np.float32)
        warp(self.place(picture), triangles, source, shares, texture, self.nearest, self.fine)

    def close(self, out: U8) -> None:
        """Into the picture it came from."""
        shrink(self.fine, FINER, self.top, self.left, out)


def _limited(motion: Motion) -> Motion:
    """The motion as far as one photo can follow."""
    head = finite(motion.head)
    head[:3] = softly(head[:3], TURNS)
    head[3:] = SHIFT * np.clip(head[3:], -0.06, 0.06)
    body = LEAN * finite(motion.body)
    return replace(motion, head=head.astype(np.float32), body=body.astype(np.float32))


# ---- what the picture shows of the photo ---------------------------------------------------------


def make_view(found: Landmarks, config: RendererConfig, stage: U8) -> View:
    """Cut the picture's part out of the photo. stage: [H, W, 4] what the config's background is."""
    scale, corner = frame(found, config)
    size = config.width, config.height
    margin = round(MARGIN * max(size))
    fine = float(np.clip(1.0 / scale, 1.0, FINEST))
    rgba = _resampled(found.photo, corner, scale, margin, fine, size)
    places = (found.points - corner) * scale
    rgb, matte = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    known = found.cut_out
    if not known:
        oval = found.points[closed_oval(read_face())[::2]]
        guess = cut_out(found.photo[..., :3].copy(), oval, found.rough)
        if guess is None:
            matte = np.full_like(matte, 255)
        else:
            layer = np.repeat(guess[..., None], 4, -1)
            matte = np.ascontiguousarray(
                _resampled(layer, corner, scale, margin, fine, size)[..., 0]
            )
        known = guess is not None
    ground = stage
    if config.background == "scene" and not found.cut_out:
        behind = without_person(rgb, matte) if known else rgb
        m = round(margin * fine)
        inner = behind[m : behind.shape[0] - m, m : behind.shape[1] - m]
        shown = cv2.resize(inner, size, interpolation=cv2.INTER_AREA)
        ground = np.dstack([shown, np.full(shown.shape[:2], 255, np.uint8)])
    if known:
        rgb = own_colour(rgb, matte)
    premultiplied = (rgb * (matte[..., None] / 255.0) + 0.5).astype(np.uint8)
    padded = size[0] + 2 * margin, size[1] + 2 * margin
    small = cv2.resize(matte, padded, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return View(
        texture=np.ascontiguousarray(np.dstack([premultiplied, matte])),
        ground=np.ascontiguousarray(ground),
        places=places,
        matte=small if known else None,
        margin=margin,
        fine=fine,
        skin=_skin(found),
    )


def frame(found: Landmarks, config: RendererConfig) -> tuple[float, F64]:
    """Pixels of the picture for each of the photo's, and the place in the photo of its corner.

    The face gets its size; where the photo ends, more of the face is shown rather than nothing,
    as long as the face itself fits.
    """
    height, width = found.photo.shape[:2]
    low, high = found.points.min(0), found.points.max(0)
    tall = float(high[1] - low[1])
    middle = (low + high) / 2
    wanted = config.height / (TALL[config.framing] * tall)
    fills = max(config.width / width, config.height / height)
    fits = min(config.height / (1.45 * tall), config.width / (1.45 * float(high[0] - low[0])))
    scale = min(max(wanted, fills), fits)
    size = np.array([config.width, config.height]) / scale
    corner = middle - size / 2 + [0.0, SINK[config.framing] * size[1]]
    room = np.array([width, height]) - size
    inside = np.clip(corner, np.minimum(room, 0.0), np.maximum(room, 0.0))
    return scale, np.where(room >= 0, inside, room / 2)


def _resampled(
    photo: U8, corner: F64, scale: float, margin: int, fine: float, size: tuple[int, int]
) -> U8:
    """[h, w, 4] of the photo around the view at `fine` texels a pixel, its edges drawn out."""
    step = scale * fine
    wide, tall = (round((s + 2 * margin) * fine) for s in size)
    if step < 1.0:
        small = cv2.resize(photo, None, fx=step, fy=step, interpolation=cv2.INTER_AREA)
    else:
        small = photo
    grow = np.array(small.shape[1::-1]) / np.array(photo.shape[1::-1])
    # texel t shows the place (t + ½) / step − margin / scale + corner of the photo
    factor = grow / step
    shift = (corner - margin / scale) * grow + 0.5 * factor - 0.5
    moved = np.array([[factor[0], 0, shift[0]], [0, factor[1], shift[1]]])
    flags = cv2.INTER_LINEAR if step < 1.0 else cv2.INTER_CUBIC
    return np.asarray(
        cv2.warpAffine(
            small,
            moved,
            (wide, tall),
            flags=flags | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _skin(found: Landmarks) -> F64:
    """[3] the colour of forehead, cheeks and nose."""
    spots = np.array([9, 8, 50, 280, 205, 425, 4, 101, 330])
    x, y = np.clip(found.points[spots].astype(int), 0, np.array(found.photo.shape[1::-1]) - 1).T
    return np.asarray(np.median(found.photo[y, x, :3].astype(np.float64), axis=0))
