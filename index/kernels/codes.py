"""Codes and factors of rows: 8-bit scalar quantization and the integers that byte kernels need.

SQ8 is per row and needs no training: ``x ~ mid + step * (code - 128)`` with the row's own ``mid`` and ``step``. So
an empty collection can encode its first record, and a drift of the data never makes old ranges wrong. The price is
12 bytes of factors a row: the squared norm of the *decoded* vector, ``mid`` and ``step``. With the decoded norm, the
error of an estimated squared distance is ``2 <q - x, e>``: it shrinks with the distance, where it matters.
"""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit

NORM, MID, STEP = 0, 1, 2
SQ8_FACTORS = 3


@njit(cache=True, nogil=True)
def sq8_encode(vectors, codes, factors):
    """Quantize rows to 8 bits.

    Parameters
    ----------
    vectors : float32 array (n, dim)
    codes : uint8 array (n, dim), written
    factors : float32 array (3, n), written
        Rows ``NORM``, ``MID``, ``STEP``.
    """
    n, dim = vectors.shape
    for i in range(n):
        low = vectors[i, 0]
        high = low
        for j in range(1, dim):
            low = min(low, vectors[i, j])
            high = max(high, vectors[i, j])
        step = (high - low) / np.float32(255.0)
        mid = low + np.float32(128.0) * step
        scale = np.float32(0.0) if step == 0 else np.float32(1.0) / step
        norm = 0.0
        for j in range(dim):
            code = np.int32((vectors[i, j] - low) * scale + np.float32(0.5))
            code = min(np.int32(255), max(np.int32(0), code))
            codes[i, j] = code
            value = mid + step * np.float32(code - 128)
            norm += value * value
        factors[NORM, i] = norm
        factors[MID, i] = mid
        factors[STEP, i] = step


@njit(cache=True, nogil=True)
def byte_factors(vectors, factors):
    """Squared norm and sum of each row of an int8 or uint8 array, exact.

    Parameters
    ----------
    vectors : int8 or uint8 array (n, dim)
    factors : int32 array (2, n), written
        Row 0: squared norm; row 1: sum.
    """
    n, dim = vectors.shape
    for i in range(n):
        norm = 0
        total = 0
        for j in range(dim):
            value = np.int64(vectors[i, j])
            norm += value * value
            total += value
        factors[0, i] = norm
        factors[1, i] = total


@njit(cache=True, nogil=True)
def inverse_norms(vectors, factors):
    """One over the Euclidean norm of each float row; ``factors``: float32 (1, n), written."""
    n, dim = vectors.shape
    for i in range(n):
        norm = 0.0
        for j in range(dim):
            norm += np.float64(vectors[i, j]) * np.float64(vectors[i, j])
        factors[0, i] = 1.0 / np.sqrt(norm)


@njit(cache=True, nogil=True)
def normalized(vectors, out):
    """Rows scaled to unit length; ``vectors`` and ``out``: float32 (n, dim)."""
    n, dim = vectors.shape
    for i in range(n):
        norm = 0.0
        for j in range(dim):
            norm += np.float64(vectors[i, j]) * np.float64(vectors[i, j])
        scale = 1.0 / np.sqrt(norm) if norm > 0.0 else 0.0
        for j in range(dim):
            out[i, j] = vectors[i, j] * scale
