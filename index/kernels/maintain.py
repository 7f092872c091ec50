"""Kernels of maintenance: which rows of lists are nearer to another cell than to their own."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.simd import l2_f32


@njit(cache=True, nogil=True)
def better_homes(points, lists, homes, starts, candidates, centroids, first, last, best):
    """The nearest of its own cell and some candidates, for each row of some lists.

    Parameters
    ----------
    points : float32 array (n, dim)
        Rows of all lists, list after list.
    lists : int64 array (n_lists + 1,)
        Where the rows of each list begin in ``points``.
    homes : int64 array (n_lists,)
        Position of each list's cell.
    starts : int64 array (n_lists + 1,)
        Candidates of list i are ``candidates[starts[i]:starts[i + 1]]``: positions of cells.
    centroids : float32 array (n_cells, dim)
    first, last : int
        Lists to look at.
    best : int64 array (n,), written
        Position of the nearest cell; the own one of equals.
    """
    dim = centroids.shape[1]
    base = np.int64(centroids.ctypes.data)
    rows = np.int64(points.ctypes.data)
    for i in range(first, last):
        own = np.uintp(base + homes[i] * dim * 4)
        for r in range(lists[i], lists[i + 1]):
            at = np.uintp(rows + r * dim * 4)
            least = l2_f32(at, own, dim)
            nearest = homes[i]
            for c in range(starts[i], starts[i + 1]):
                d = l2_f32(at, np.uintp(base + candidates[c] * dim * 4), dim)
                if d < least:
                    least = d
                    nearest = candidates[c]
            best[r] = nearest
