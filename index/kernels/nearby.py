"""Kernel of large builds: closure assignment of vectors of which a cell nearby is known."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.cluster import choose_cells
from ramet.index.kernels.compiled import njit
from ramet.index.kernels.simd import l2_f32

HOPS = 4
"""Cells whose neighbours are looked at for a vector, at most: each is nearer to it than the one before."""


@njit(cache=True, nogil=True)
def assign_nearby(points, labels, near, centroids, n_candidates, factor, most, cells, counts):
    """Closure assignment by a walk: from a cell nearby to the nearest of its neighbours, until none is nearer.

    Parameters
    ----------
    points : float32 array (n, dim)
    labels : int32 array (n,)
        Where the walk of each begins.
    near : int32 array (n_cells, n_near)
        Cells nearest to each cell, itself first.
    centroids : float32 array (n_cells, dim)
    n_candidates : int
        Nearest cells that further lists are chosen from (`cluster.choose_cells`).
    factor : float
    most : int
    cells : int32 array (n, most), written
    counts : int32 array (n,), written
    """
    dim = points.shape[1]
    base = np.int64(centroids.ctypes.data)
    candidates = np.empty(n_candidates, np.int64)
    distances = np.empty(n_candidates, np.float32)
    for i in range(points.shape[0]):
        point = np.uintp(points[i].ctypes.data)
        label, size = np.int64(labels[i]), 0
        for _ in range(HOPS):
            size = 0
            for at in range(near.shape[1]):
                cell = np.int64(near[label, at])
                d = l2_f32(point, np.uintp(base + cell * dim * 4), dim)
                if size == n_candidates and not d < distances[size - 1]:
                    continue
                j = size if size < n_candidates else size - 1
                while j > 0 and (distances[j - 1] > d or (distances[j - 1] == d and candidates[j - 1] > cell)):
                    if j < n_candidates:
                        distances[j], candidates[j] = distances[j - 1], candidates[j - 1]
                    j -= 1
                distances[j], candidates[j] = d, cell
                size = min(size + 1, n_candidates)
            if candidates[0] == label:
                break
            label = candidates[0]
        counts[i] = choose_cells(points[i], centroids, candidates, size, factor, most, cells[i])
