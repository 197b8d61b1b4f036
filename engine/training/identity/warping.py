"""Space bent so that some points come where they should, and what is far from them stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

LENGTH = 0.045  # metres over which neighbours move alike
ROUGH = 0.10  # how much of a point's movement its neighbours need not explain


class Warp:
    """Kriging with a Matérn 3/2 covariance (Rasmussen & Williams 2006, Eqs. 2.25 and 4.17): smooth
    near the points, fading to no movement away from them."""

    def __init__(self, points: NDArray, moved: NDArray) -> None:
        """points: [n, 3] metres. moved: [n, 3] how far each should go."""
        self.points = np.asarray(points, np.float64)
        covariance = _matern(self.points, self.points)
        covariance[np.diag_indices(len(covariance))] += ROUGH**2
        self.pulls = np.linalg.solve(covariance, np.asarray(moved, np.float64))

    def __call__(self, points: NDArray) -> F64:
        """[..., 3] where points [..., 3] come."""
        flat = np.asarray(points, np.float64).reshape(-1, 3)
        step = 4096  # rows at a time: the covariances of a whole head are large
        parts = [flat[k : k + step] for k in range(0, len(flat), step)]
        bent = [part + _matern(part, self.points) @ self.pulls for part in parts]
        return np.concatenate(bent).reshape(np.shape(points)) if bent else flat


def _matern(a: F64, b: F64) -> F64:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    far = np.sqrt(3 * np.maximum(square, 0.0)) / LENGTH
    return np.asarray((1 + far) * np.exp(-far))
