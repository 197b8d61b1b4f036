"""Catmull–Clark subdivision as one sparse matrix, so that blendshapes need only the coarse mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

I64 = NDArray[np.int64]


def subdivide(quads: I64, count: int) -> tuple[sparse.csr_matrix, I64]:
    """One level of a quad mesh with `count` vertices.

    quads: [Q, 4]. Returns S [count + E + Q, count], which maps coarse positions to fine ones, and
    the fine quads [4 Q, 4]; fine vertices are the old ones, then one per edge, then one per quad.
    Borders stay where they are but for the rule of cubic curves. (Catmull and Clark 1978.)
    """
    q = len(quads)
    ends = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), axis=1)
    edges, edge_of, faces_of = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(q, 4)
    e = len(edges)
    face = _rows(np.repeat(np.arange(q), 4), quads.ravel(), 0.25, (q, count))
    ends_mean = _rows(np.repeat(np.arange(e), 2), edges.ravel(), 0.5, (e, count))
    inner = faces_of == 2
    faces_mean = _rows(edge_of.ravel(), np.repeat(np.arange(q), 4), 0.5, (e, q)) @ face
    half = sparse.diags(np.where(inner, 0.5, 1.0)), sparse.diags(np.where(inner, 0.5, 0.0))
    edge = half[0] @ ends_mean + half[1] @ faces_mean
    old = _vertices(quads, edges, inner, face, ends_mean, count)
    corner = np.arange(4)
    fine = np.stack(
        [
            quads,
            count + edge_of,
            np.broadcast_to((count + e + np.arange(q))[:, None], (q, 4)),
            count + edge_of[:, corner - 1],
        ],
        axis=-1,
    ).reshape(-1, 4)
    return sparse.vstack([old, edge, face]).tocsr(), fine


def _vertices(
    quads: I64,
    edges: I64,
    inner: NDArray[np.bool_],
    face: sparse.csr_matrix,
    ends_mean: sparse.csr_matrix,
    count: int,
) -> sparse.csr_matrix:
    """Where the old vertices go: (F + 2 R + (n − 3) P) / n inside, (6 P + neighbours) / 8 on
    borders."""
    q, e = len(quads), len(edges)
    touching = _rows(quads.ravel(), np.repeat(np.arange(q), 4), 1.0, (count, q))
    n = np.maximum(np.asarray(touching.sum(1)).ravel(), 1.0)
    along = _rows(edges.ravel(), np.repeat(np.arange(e), 2), 1.0, (count, e))
    degree = np.maximum(np.asarray(along.sum(1)).ravel(), 1.0)
    smooth = (
        sparse.diags(1.0 / n**2) @ touching @ face
        + sparse.diags(2.0 / (n * degree)) @ along @ ends_mean
        + sparse.diags((n - 3.0) / n)
    )
    border = along @ sparse.diags((~inner).astype(float))
    on_border = np.asarray(border.sum(1)).ravel() > 0
    curve = 0.5 * sparse.identity(count) + 0.25 * (border @ ends_mean)
    pick = sparse.diags(on_border.astype(float))
    unused = sparse.diags((np.asarray(touching.sum(1)).ravel() == 0).astype(float))
    inside = sparse.identity(count) - pick - unused
    return (inside @ smooth + pick @ curve + unused).tocsr()


def _rows(rows: I64, columns: I64, value: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.full(len(rows), value), (rows, columns)), shape=shape)
