"""The video's pictures as the renderer's truth: reframed as the rasteriser sees, cut out, paired
with the motions that were fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.motion.blendshapes import JAW_OPEN
from engine.motion.secondary import Secondary
from engine.rendering.portrait.face import OVAL
from engine.rendering.portrait.ground import cut_out, own_colour
from engine.signals import U8, Motion
from engine.training.identity.fitting import Track, heads
from engine.training.identity.plane import Placing
from engine.training.identity.video import pictures
from engine.training.identity.watching import mattes
from engine.training.renderer.motions import FRAMES
from engine.training.renderer.pairs import HELD_OUT, REFERENCE, Pairs, picture_name, write_picture

F64 = NDArray[np.float64]

SINGS = 0.15  # of jawOpen, on average over BREATH frames
BREATH = 15


def motions(track: Track, neck: NDArray, seed: int = 0) -> list[Motion]:
    """What the person did, told as an avatar is told it. neck: [2, 3] of the rig.

    Shoulders and breath are not seen: they follow as they follow an avatar's head. The frame is by
    chance, so that the temporal position tells the network nothing that it could learn by heart.
    """
    voice = np.convolve(track.weights[:, JAW_OPEN], np.full(BREATH, 1 / BREATH), "same") > SINGS
    head, secondary = heads(track.turn, track.shift, neck), Secondary()
    told = head.astype(np.float32), voice.astype(np.float32)
    (_, body, breath), _ = secondary(told, secondary.initial_state())
    head = heads(track.turn, track.shift, neck, body).astype(np.float32)
    frames = np.random.default_rng(seed).integers(FRAMES, size=len(head))
    return [
        Motion(
            frame=int(frames[k]),
            blendshapes=track.weights[k].astype(np.float32),
            head=head[k],
            gaze=track.gaze[k].astype(np.float32),
            voice=float(voice[k]),
            body=body[k],
            breath=float(breath[k]),
        )
        for k in range(len(head))
    ]


def order(count: int) -> NDArray[np.int_]:
    """[count] which picture has which number, so that those never trained on are the last ones, a
    stretch of time by itself: a picture's neighbours would give it away."""
    held = np.arange(count) % HELD_OUT == 0
    return np.argsort(np.argsort(held, kind="stable"), kind="stable")


def nearest_rest(told: list[Motion]) -> int:
    """Which motion is most like doing nothing: the reference."""
    moved = [np.abs(m.blendshapes).sum() + 4 * np.abs(m.head[:3]).sum() for m in told]
    return int(np.argmin(moved))


def paint(
    video: Path, watched: Path, chosen: NDArray, points: NDArray, placing: Placing, pairs: Pairs,
    say: Callable[[int], None] = lambda done: None,
) -> None:  # fmt: skip
    """Write the pictures that are not there yet.

    chosen: [count] the video's picture for each pair. points: [F, 478, 2] landmarks. say: is told
    how many were looked at.
    """
    size, done = pairs.about.size, set(pairs.done())
    wanted = {int(at): number for number, at in enumerate(chosen) if number not in done}
    if not wanted:
        return
    for at, ((_, rgb), matte) in enumerate(zip(pictures(video), mattes(watched), strict=False)):
        if at in wanted:
            rgba = reframed(rgb, matte, points[at], placing, size)
            write_picture(pairs.folder / picture_name(wanted[at]), rgba)
            say(at + 1)


def set_reference(pairs: Pairs) -> None:
    """The picture nearest to rest among those that are trained on."""
    if not (pairs.folder / REFERENCE).exists():
        known = [k for k in range(pairs.count) if k % HELD_OUT]
        at = known[nearest_rest([pairs.motion(k) for k in known])]
        write_picture(pairs.folder / REFERENCE, pairs.picture(at))


def reframed(rgb: U8, matte: U8, points: NDArray, placing: Placing, size: int) -> U8:
    """[size, size, 4] of a picture [H, W, 3] and how much of it is person, [h, w]."""
    way = placing.picture(size)
    height, width = rgb.shape[:2]
    small = _warped(rgb, way, size)
    shrink = np.diag([width / matte.shape[1], height / matte.shape[0], 1.0])
    shrink[:2, 2] = 0.5 * np.diag(shrink)[:2] - 0.5
    rough = _warped(matte, way @ shrink, size)
    oval = points[list(OVAL)] @ way[:, :2].T + way[:, 2]
    found = cut_out(small, oval, rough)
    alpha = np.full((size, size), 255, np.uint8) if found is None else found
    above = int(np.ceil(way[1, 2] - 0.5 * way[1, 1] + 0.5))  # rows that the video does not show
    alpha[: max(0, above)] = 0
    return np.ascontiguousarray(np.dstack([own_colour(small, alpha), alpha]))


def _warped(picture: U8, way: F64, size: int) -> U8:
    """A picture through [2, 3]; beyond its edges it goes on as its own mirror image."""
    if way[0, 0] < 1:  # four pixels are looked at: blur away what lies between
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45 / way[0, 0]), np.uint8)
    made = cv2.warpAffine(
        picture, way, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(made, np.uint8)
