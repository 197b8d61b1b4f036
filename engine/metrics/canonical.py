"""Canonical correlation: how alike two sequences are, whatever they are measured in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RANK = 1e-10  # share of the largest singular value below which a direction is no direction


def canonical_correlations(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """[T, p] and [T, q] → correlations of their canonical pairs, largest first. [min(ranks)]

    Hotelling 1936, as Björck & Golub 1973 compute it: singular values of Uxᵀ·Uy, with U an
    orthonormal basis of each centred sequence. Directions that never change are left out; nothing
    changing gives [0]. Fitted to the very frames it is asked of, so without T ≫ p + q it flatters.
    Raises ValueError for sequences of different length or shorter than 3.
    """
    a, b = (_columns(side) for side in (x, y))
    if len(a) != len(b) or len(a) < 3:
        raise ValueError(f"expected two sequences of one length, 3 or more; got {len(a)}, {len(b)}")
    a, b = _basis(a), _basis(b)
    if not a.shape[1] or not b.shape[1]:
        return np.zeros(1)
    return np.linalg.svd(a.T @ b, compute_uv=False).clip(0, 1)


def _columns(side: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(side, np.float64)
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _basis(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns that span the changes of [T, p]."""
    x = x - x.mean(0)
    x = x / np.maximum(x.std(0), np.finfo(float).tiny)  # units do not decide the rank
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > RANK * max(s[0], 1.0)] if s.size else u
