"""How good are the pictures? Sharpness, likeness, and two measures that need somebody's network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from engine.signals import U8

F64 = NDArray[np.float64]

GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as MATLAB's rgb2gray

BLOCK = 64  # pixels
EDGE_SHARE = 0.002  # a block with more edge pixels than this share is looked at
JUST_BLURRED = {True: 3.0, False: 5.0}  # width in pixels: contrast above CONTRAST, or not
CONTRAST = 50
BETA = 3.6
UPRIGHT = np.tan(np.pi / 8)
JUST_NOTICEABLE = 0.63  # probability of seeing blur, at the just noticeable width
NOT_EDGES = 70  # percentile of gradients below which nothing is an edge (MATLAB's Canny)

SIGMA, REACH = 1.5, 5  # pixels, of SSIM's window: 11 × 11
K1, K2, DEPTH = 0.01, 0.03, 255.0
STEADY = 170.0  # of GMSD's fraction, for pictures of 255 levels


class WeightsAbsent(RuntimeError):
    """A measure needs a network that is not here."""


# ---- sharpness ----------------------------------------------------------------------------------


def cpbd(picture: U8) -> float:
    """Cumulative Probability of Blur Detection (Narvekar & Karam 2011) of one picture [H, W(, 3)].

    Share of edges whose blur nobody would notice, 0 … 1; higher is sharper. Edges' widths are
    Marziliano's, along rows; P_blur = 1 − exp(−(width / JUST_BLURRED)^3.6); counted are those with
    P_blur ≤ 63 %. Edges are found with MATLAB's thresholds, as the authors' code does; the Python
    package `cpbd` lets weaker ones in and reports 0.1 to 0.5 more, in nearly the same order.
    Compare one identity at one size. nan for a picture without edges. Raises ValueError for sides
    shorter than a block.
    """
    grey = _grey(picture)
    if min(grey.shape) < BLOCK:
        raise ValueError(f"expected a picture of {BLOCK} pixels a side or more, got {grey.shape}")
    widths, edges = edge_widths(grey), _canny(grey)
    probabilities = [np.zeros(0)]
    for top in range(0, grey.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, grey.shape[1] - BLOCK + 1, BLOCK):
            block = np.s_[top : top + BLOCK, left : left + BLOCK]
            if edges[block].mean() <= EDGE_SHARE:
                continue
            width = widths[block][widths[block] > 0]
            contrast = np.ptp(grey[block]) > CONTRAST
            probabilities.append(1 - np.exp(-((width / JUST_BLURRED[bool(contrast)]) ** BETA)))
    every = np.concatenate(probabilities)
    return float((every <= JUST_NOTICEABLE).mean()) if len(every) else float("nan")


def edge_widths(grey: F64) -> F64:
    """Width in pixels of every vertical edge of a grey picture [H, W], 0 where there is none.

    An edge is where the horizontal Sobel gradient peaks and the gradient lies within 22.5° of the
    row; its width is the distance from the last local extremum before it to the first one after,
    along the row (Marziliano et al. 2002).
    """
    slope = cv2.Sobel(grey, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    across = np.abs(np.gradient(grey, axis=0)) <= UPRIGHT * np.abs(np.gradient(grey, axis=1))
    climb = cv2.Sobel(grey, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    strength = slope**2 + climb**2
    peak = np.zeros(grey.shape, bool)
    inner = strength[:, 1:-1]
    peak[:, 1:-1] = (inner >= strength[:, :-2]) & (inner > strength[:, 2:])
    found = peak & across & (strength > 4 * strength.mean())
    step = np.sign(np.diff(grey, axis=1))
    rising = slope > 0
    up = _run(step > 0)
    down = _run(step < 0)
    width = np.where(rising, up, down)
    return np.where(found, np.maximum(width, 1), 0).astype(np.float64)


def _run(steps: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[H, W − 1] steps that go on in one direction → [H, W] length of the run around each pixel."""
    before, after = _streak(steps), _streak(steps[:, ::-1])[:, ::-1]
    still = np.zeros((len(steps), 1), np.int64)
    return np.concatenate([still, before], 1) + np.concatenate([after, still], 1)


def _streak(steps: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many True in a row end at each place."""
    index = np.arange(1, steps.shape[1] + 1)
    broken = np.maximum.accumulate(np.where(steps, 0, index), axis=1)
    return index - broken


def _canny(grey: F64) -> NDArray[np.bool_]:
    """Canny's edges, thresholds from the picture itself."""
    smooth = gaussian_filter(grey, 2**0.5)
    dx = cv2.Sobel(smooth, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(smooth, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    high = max(float(np.percentile(np.hypot(dx, dy), NOT_EDGES)), 1.0)
    found = cv2.Canny(dx.astype(np.int16), dy.astype(np.int16), 0.4 * high, high, L2gradient=True)
    return found > 0


# ---- likeness -----------------------------------------------------------------------------------


def ssim(made: U8, truth: U8, where: NDArray[np.bool_] | None = None) -> float:
    """Structural similarity (Wang et al. 2004, Eq. 13 and §III-C) of two pictures [H, W(, C)].

    Mean over pixels at least REACH from the border, and over channels; 1 when equal. where: [H, W],
    of which pixels the mean is taken. Raises ValueError for different or too small shapes, or where
    there is nothing to compare.
    """
    if made.shape != truth.shape or min(made.shape[:2]) <= 2 * REACH:
        raise ValueError(
            f"expected two pictures of one shape above {2 * REACH} pixels, "
            f"got {made.shape}, {truth.shape}"
        )
    x, y = (np.atleast_3d(side).astype(np.float64) for side in (made, truth))
    mx, my = _window(x), _window(y)
    vx, vy = _window(x * x) - mx * mx, _window(y * y) - my * my
    both = _window(x * y) - mx * my
    c1, c2 = (K1 * DEPTH) ** 2, (K2 * DEPTH) ** 2
    every = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    inner = every[REACH:-REACH, REACH:-REACH]
    if where is None:
        return float(inner.mean())
    if not where[REACH:-REACH, REACH:-REACH].any():
        raise ValueError("expected some pixels to compare, got none")
    return float(inner[where[REACH:-REACH, REACH:-REACH]].mean())


def _window(x: F64) -> F64:
    return gaussian_filter(x, (SIGMA, SIGMA, 0), radius=(REACH, REACH, 0))


def gmsd(made: U8, truth: U8) -> float:
    """Gradient Magnitude Similarity Deviation (Xue et al. 2014, Eqs. 2–6) of two pictures
    [H, W(, 3)]: how unevenly slopes are kept, which people see. 0 when equal, about 0.35 at worst.

    Of grey pictures halved once, Prewitt's slopes. Raises ValueError for different shapes.
    """
    if made.shape != truth.shape:
        raise ValueError(f"expected two pictures of one shape, got {made.shape}, {truth.shape}")
    one, other = (_slope(_grey(side)) for side in (made, truth))
    alike = (2 * one * other + STEADY) / (one**2 + other**2 + STEADY)
    return float(alike.std())


def _slope(grey: F64) -> F64:
    """[H, W] → [H / 2, W / 2] Prewitt gradient magnitudes of the picture at half its size."""
    half = cv2.blur(grey, (2, 2))[::2, ::2]
    across = np.outer(np.ones(3), [1.0, 0.0, -1.0]) / 3
    return np.hypot(cv2.filter2D(half, -1, across), cv2.filter2D(half, -1, across.T))


def warping_error(pictures: U8, flows: NDArray[np.float32]) -> float:
    """How much of a film [T, H, W, C] changes that should only move (after Lai et al. 2018, Eq. 5):
    mean absolute difference, out of 255, of each picture and the one before moved along.

    flows: [T − 1, H, W, 2], for each pixel of a picture where it was before, pixels (x, y) away;
    nan where it was not to be seen. nan for a film in which nothing is seen twice.
    """
    off, counted = 0.0, 0
    for before, now, flow in zip(pictures, pictures[1:], flows, strict=False):
        known = ~np.isnan(flow).any(-1)
        rows, columns = np.indices(known.shape, np.float32)
        there = np.nan_to_num(flow) + np.stack([columns, rows], -1)
        moved = cv2.remap(before, there[..., 0], there[..., 1], cv2.INTER_LINEAR)
        off += float(np.abs(moved[known].astype(np.float64) - now[known]).sum())
        counted += int(known.sum()) * now.shape[-1]
    return off / counted if counted else float("nan")


def frechet_distance(made: NDArray, truth: NDArray) -> float:
    """Fréchet distance of two sets of features [n, D], each taken as a Gaussian (Heusel et al.
    2017, Eq. 6): |μ₁ − μ₂|² + tr(C₁ + C₂ − 2·(C₁C₂)^½). Raises ValueError for fewer than 2."""
    made, truth = np.asarray(made, np.float64), np.asarray(truth, np.float64)
    if min(len(made), len(truth)) < 2 or made.shape[1] != truth.shape[1]:
        raise ValueError(f"expected two [n ≥ 2, D], got {made.shape}, {truth.shape}")
    one, other = (np.atleast_2d(np.cov(side, rowvar=False)) for side in (made, truth))
    root = _root(one)
    shared = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    moved = ((made.mean(0) - truth.mean(0)) ** 2).sum()
    return float(moved + np.trace(one) + np.trace(other) - 2 * shared)


def _root(matrix: F64) -> F64:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


# ---- with somebody's network --------------------------------------------------------------------


def fid(made: U8, truth: U8, inception: Path) -> float:
    """Fréchet Inception Distance (Heusel et al. 2017) of pictures [n, H, W, 3].

    `inception`: an ONNX graph, [n, 3, H, W] in 0 … 1 → [n, 2048] pool features of the FID
    Inception-v3. Cantar ships no such weights. Raises WeightsAbsent.
    """
    run = _open(inception, "FID needs the FID Inception-v3 (pytorch-fid's, 91 MB)")
    features = [np.concatenate([run(x[None] / 255.0) for x in _planes(s)]) for s in (made, truth)]
    return frechet_distance(*features)


def lpips(made: U8, truth: U8, network: Path) -> float:
    """Learned Perceptual Image Patch Similarity (Zhang et al. 2018): mean over pictures
    [n, H, W, 3].

    `network`: an ONNX graph, two [1, 3, H, W] in −1 … 1 → distance, such as `lpips.LPIPS(net=
    "alex")` exports. Cantar ships no such weights. Raises WeightsAbsent.
    """
    run = _open(network, "LPIPS needs its AlexNet (the lpips package's, 233 MB)")
    pairs = zip(_planes(made), _planes(truth), strict=True)
    every = [run(x[None] / 127.5 - 1, y[None] / 127.5 - 1) for x, y in pairs]
    return float(np.mean([distance.mean() for distance in every]))


def _open(path: Path, need: str):  # type: ignore[no-untyped-def]
    """An ONNX graph as a function of its inputs, in order, to its first output."""
    if not Path(path).is_file():
        raise WeightsAbsent(f"{need} exported to ONNX; there is no {path}: not measured")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def run(*inputs: NDArray) -> NDArray:
        feeds = dict(zip(names, (x.astype(np.float32) for x in inputs), strict=True))
        return session.run(None, feeds)[0]

    return run


def _planes(pictures: U8) -> NDArray[np.float32]:
    """[n, H, W, 3] → [n, 3, H, W] float32."""
    return np.asarray(pictures).transpose(0, 3, 1, 2).astype(np.float32)


def _grey(picture: U8) -> F64:
    """[H, W] or [H, W, 3] → [H, W] in 0 … 255."""
    if picture.ndim == 2:
        return picture.astype(np.float64)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"expected a picture [H, W] or [H, W, 3], got {picture.shape}")
    return picture @ GREY
