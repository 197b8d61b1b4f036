"""What is the person in a photo and what is behind them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

WORK = 320  # pixels of the longer side in which the person is cut out
BEHIND = 160  # … in which the background is filled in
CERTAIN = 250  # of 255: surely the person


def cut_out(rgb: U8, oval: F64, rough: U8 | None) -> U8 | None:
    """[H, W] how much of each pixel is the person, 0 … 255; None where that cannot be told.

    rgb: [H, W, 3]. oval: [n, 2] outline of the face. rough: [h, w] somebody's guess for the whole
    picture, or None: then it is guessed from the colours, the face and what lies below it.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK / max(height, width))
    small = smaller(rgb, scale)
    size = small.shape[1], small.shape[0]
    if rough is None:
        share = _by_colour(small, oval * scale)
    else:
        guess = cv2.resize(rough, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        share = np.clip((guess / 255 - 0.25) / 0.5, 0.0, 1.0).astype(np.float32)
    if not 0.05 < share.mean() < 0.97:
        return None
    fine = cv2.resize(share, (width, height), interpolation=cv2.INTER_CUBIC)
    sharp = _guided(fine, rgb, radius=max(2, round(6 / scale / 2)))
    return np.asarray(np.clip((sharp - 0.06) / 0.88 * 255.0, 0, 255).astype(np.uint8))


def _by_colour(small: U8, oval: F64) -> NDArray[np.float32]:
    """How much is person, by GrabCut: the face is, what lies beside and above the head is not."""
    height, width = small.shape[:2]
    (x0, y0), (x1, y1) = oval.min(0), oval.max(0)
    wide, tall = x1 - x0, y1 - y0
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    head = (float((x0 + x1) / 2), float((y0 + y1) / 2 - 0.15 * tall))
    cv2.ellipse(mask, (head, (1.6 * wide, 1.9 * tall), 0.0), int(cv2.GC_PR_FGD), -1)
    neck = max(0, min(height - 1, round(y1)))
    chest = np.array([[x0, neck], [x1, neck], [x1 + wide, height], [x0 - wide, height]])
    cv2.fillPoly(mask, [np.round(chest).astype(np.int32)], int(cv2.GC_PR_FGD))
    cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], int(cv2.GC_FGD))
    columns = np.arange(width)
    aside = (columns < x0 - 1.1 * wide) | (columns > x1 + 1.1 * wide)
    above = max(0, int(y0 - 0.75 * tall))
    mask[:neck, aside] = cv2.GC_BGD
    mask[:above] = cv2.GC_BGD
    mask[: max(1, neck // 2), [0, -1]] = cv2.GC_BGD
    if not (mask == cv2.GC_BGD).any():
        return np.ones((height, width), np.float32)
    cv2.setRNGSeed(1)  # the same photo is always cut out the same way
    whole, models = (0, 0, width, height), np.zeros((2, 1, 65))
    bgr = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(bgr, mask, whole, models[0], models[1], 4, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(person)
    if count > 1:
        person = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.2), np.float32)


def _guided(share: NDArray, rgb: U8, radius: int) -> NDArray:
    """The guided filter: edges of `share` moved onto those of the picture."""
    guide = rgb.astype(np.float32).mean(-1) / 255.0
    size = (2 * radius + 1, 2 * radius + 1)
    mean = lambda x: cv2.blur(x, size)  # noqa: E731
    share = share.astype(np.float32)
    a_mean, g_mean = mean(share), mean(guide)
    slope = (mean(share * guide) - a_mean * g_mean) / (mean(guide * guide) - g_mean**2 + 2e-3)
    return np.asarray(mean(slope) * guide + mean(a_mean - slope * g_mean))


def smaller(rgb: U8, scale: float) -> U8:
    """The picture at a scale of at most 1."""
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def without_person(rgb: U8, matte: U8) -> U8:
    """[H, W, 3] the photo with the person painted over by what surrounds them, out of focus."""
    height, width = rgb.shape[:2]
    scale = min(1.0, BEHIND / max(height, width))
    small = smaller(rgb, scale)
    size = small.shape[1], small.shape[0]
    covered = cv2.resize(matte, size, interpolation=cv2.INTER_AREA) > 8
    person = cv2.dilate(covered.astype(np.uint8), np.ones((7, 7), np.uint8))
    if person.all():
        return rgb
    filled = cv2.inpaint(small, person, 4, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(filled, (0, 0), 5)
    filled = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    share = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.5)
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray((filled * share + rgb * (1.0 - share)).astype(np.uint8))


def own_colour(rgb: U8, matte: U8) -> U8:
    """[H, W, 3] the photo whose half-covered pixels have the person's colour only: laid over
    another ground, their edge shows none of the old one."""
    sure = (matte >= CERTAIN).astype(np.float32)
    weight, total = sure, rgb * sure[..., None]
    spread, covered = rgb.astype(np.float32), sure > 0
    for sigma in (1.5, 3.0, 6.0):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        inks = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(near, 1e-4)[..., None]
        reached = (near > 0.02) & ~covered
        spread[reached], covered = inks[reached], covered | reached
    keep = (matte.astype(np.float32) / 255.0)[..., None] ** 2
    mixed = np.where(sure[..., None] > 0, rgb, keep * rgb + (1.0 - keep) * spread)
    return np.asarray(np.clip(mixed, 0, 255).astype(np.uint8))
