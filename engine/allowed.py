"""The rows that a query may return, in the two forms that kernels read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.index.kernels.filtered import set_bits

Words = npt.NDArray[np.uint64]
Listed = npt.NDArray[np.uint32]

OBJECT_BYTES = 500
"""What the objects take, beyond the rows: two bytes of each in the bitmap, four in the list, a bit for every row."""

ROW_BYTES = 2 + 4

KEPT_TIMES, KEPT_BYTES = 4, 8192
"""The bits of all rows are kept when they take at most so many times what the allowed rows do, or so few bytes. To make
them anew, for a few rows of a large collection, takes less than the search that needs them."""


class Allowed:
    """A set of rows of one tenant, fixed once made; threads may share it.

    Parameters
    ----------
    rows : BitMap
        Rows that the tenant sees and that have a vector: they may be returned without a look at the tenant's lists.
        It is not copied and must not change.
    n_rows : int
        Rows of the collection; every row is below it.

    Raises
    ------
    ValueError
        A row at or beyond ``n_rows``.
    """

    __slots__ = ("_listed", "_words", "bitmap", "count", "n_rows")

    def __init__(self, rows: BitMap, n_rows: int) -> None:
        self.count = len(rows)
        self.n_rows = n_rows
        if self.count and rows.max() >= n_rows:
            raise ValueError(f"row {rows.max()} is beyond the {n_rows} rows of the collection")
        self.bitmap = rows
        self._listed: Listed | None = None
        self._words: Words | None = None

    @property
    def listed(self) -> Listed:
        """The rows, ascending; uint32 (count,). Made on first use."""
        if self._listed is None:
            self._listed = np.frombuffer(self.bitmap.to_array(), np.uint32)
        return self._listed

    @property
    def words(self) -> Words:
        """One bit a row: bit ``row & 63`` of word ``row >> 6``; uint64 (ceil(n_rows / 64),).

        Made on first use; every time for few rows of a large collection (`KEPT_TIMES`).
        """
        words = self._words
        if words is None:
            words = np.zeros((self.n_rows + 63) // 64, np.uint64)
            set_bits(self.listed, words)
            if self._keeps_words:
                self._words = words
        return words

    @property
    def _keeps_words(self) -> bool:
        return self.n_rows // 8 <= max(KEPT_BYTES, KEPT_TIMES * ROW_BYTES * self.count)

    @property
    def n_bytes(self) -> int:
        """Memory held once all that is kept is made, about: what a cache must reckon with from the start."""
        return OBJECT_BYTES + ROW_BYTES * self.count + (self.n_rows // 8 if self._keeps_words else 0)

    def __len__(self) -> int:
        """Rows allowed."""
        return self.count
