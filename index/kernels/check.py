"""One pass over vectors for the values that no index can hold."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit

LARGEST = 1e36
SMALLEST = 1e-36


@njit(cache=True, nogil=True)
def first_bad_row(vectors, no_zero):
    """First row that no index can hold; -1 when there is none.

    That is one with NaN or infinity, or with a squared norm above ``LARGEST``, or, if ``no_zero``, below ``SMALLEST``:
    beyond these, squares and inverse norms leave the range of float32. ``vectors``: float32, float64 or byte (n, dim).
    """
    n, dim = vectors.shape
    for i in range(n):
        total = np.float64(0.0)
        for j in range(dim):
            value = np.float64(vectors[i, j])
            total += value * value
        if not total <= LARGEST or (no_zero and total < SMALLEST):
            return i
    return -1


@njit(cache=True, nogil=True)
def first_fraction(vectors):
    """First row with a value that is not whole; -1 when there is none."""
    n, dim = vectors.shape
    for i in range(n):
        for j in range(dim):
            if vectors[i, j] != np.floor(vectors[i, j]):
                return i
    return -1
