"""What posting lists hold of each row: codes and factors, by kind of list."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.index.kernels.codes import SQ8_FACTORS, byte_factors, inverse_norms, normalized, sq8_encode
from ramet.index.kernels.plan import FLOAT16, FLOAT32, INT8, SQ8, UINT8


def encode_rows(
    vectors: npt.NDArray[Any], kind: int, unit: bool
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Codes and factors of rows.

    Parameters
    ----------
    vectors : array (n, dim) in the collection's dtype, C order
    kind : int
        Kind of list (``kernels.plan``).
    unit : bool
        Cosine: codes are of unit vectors; lists of floats get the inverse norms as a factor.

    Returns
    -------
    factors : uint32 array (n_factors, n)
        The bits of float32 (SQ8: decoded norm squared, mid, step; floats under cosine: inverse norm) or int32
        (bytes: norm squared, sum).
    codes : uint8 array (n, code_bytes)
    """
    n = len(vectors)
    if kind == SQ8:
        block = np.ascontiguousarray(vectors, dtype=np.float32)
        if unit:
            scaled = np.empty_like(block)
            normalized(block, scaled)
            block = scaled
        codes, factors = np.empty(block.shape, np.uint8), np.empty((SQ8_FACTORS, n), np.float32)
        sq8_encode(block, codes, factors)
        return factors.view(np.uint32), codes
    raw = np.ascontiguousarray(vectors).view(np.uint8).reshape(n, vectors.shape[1] * vectors.itemsize)
    if kind in (INT8, UINT8):
        sums = np.empty((2, n), np.int32)
        byte_factors(vectors, sums)
        return sums.view(np.uint32), raw
    if kind in (FLOAT32, FLOAT16) and unit:
        norms = np.empty((1, n), np.float32)
        inverse_norms(np.ascontiguousarray(vectors, dtype=np.float32), norms)
        return norms.view(np.uint32), raw
    return np.empty((0, n), np.uint32), raw
