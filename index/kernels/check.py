"""One pass over vectors for the values that no index can hold."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def first_bad_row(vectors, no_zero):
    """First row with NaN or infinity, or, if ``no_zero``, with only zeros; -1 when there is none.

    ``vectors``: float32, float64 or byte array (n, dim).
    """
    n, dim = vectors.shape
    for i in range(n):
        total = np.float64(0.0)
        for j in range(dim):
            total += abs(np.float64(vectors[i, j]))
        if not np.isfinite(total) or (no_zero and total == 0.0):
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
