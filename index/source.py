"""Vectors as the index sees them: float32 blocks in the space where cells are made."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ramet.index.kernels.codes import normalized

FloatArray = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int64]


class VectorSource(Protocol):
    """Random access to vectors in *working space*: float32, scaled to unit length under cosine."""

    n: int
    dim: int

    def take(self, rows: RowArray) -> FloatArray:
        """Vectors of ``rows`` as a new float32 array (len(rows), dim)."""
        ...


class ArraySource:
    """A source over an array in memory or a mapped ``.npy``; nothing is copied but the blocks asked for.

    Parameters
    ----------
    vectors : array (n, dim) of float32, float16, int8 or uint8
    unit : bool
        Scale every vector to unit length (cosine).
    """

    def __init__(self, vectors: npt.NDArray[np.generic], *, unit: bool) -> None:
        self.n, self.dim = vectors.shape
        self._vectors = vectors
        self._unit = unit

    def take(self, rows: RowArray) -> FloatArray:
        """Vectors of ``rows`` as a new float32 array (len(rows), dim)."""
        block = np.ascontiguousarray(self._vectors[rows], dtype=np.float32)
        if self._unit:
            normalized(block, block)
        return block
