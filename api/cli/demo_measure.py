"""What the demo measures: recall against exact search, and the time of single queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ramet import Hits

# Queries compared with all records at once: 50 x 400,000 float32 similarities are 80 MB.
BLOCK = 50

# float32 similarities of one pair differ by a few 1e-7 between two orders of summation; a tie must not cost recall.
TIE_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Recall and latency of one search setting."""

    recall: float
    """Mean share of the true nearest k that were found, 0 to 1; ties count as found."""

    p50_us: float
    """Median time of one query, microseconds, Python call included."""

    p99_us: float
    """99th percentile of the time of one query, microseconds."""


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of (n, dim) to length 1; a row of zeros stays as it is."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
    result: NDArray[np.float32] = np.divide(vectors, lengths, where=lengths > 0, out=vectors.copy())
    return result


def kth_cosines(base: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Find each query's k-th largest cosine by comparing it with every record.

    Parameters
    ----------
    base, queries
        Rows of length 1, shapes (n, dim) and (m, dim).
    k
        1 <= k <= n.

    Returns
    -------
    ndarray of float32, shape (m,)
    """
    import numpy as np

    blocks = [queries[start : start + BLOCK] @ base.T for start in range(0, len(queries), BLOCK)]  # (BLOCK, n) each
    return np.concatenate([np.partition(block, len(base) - k, axis=1)[:, len(base) - k] for block in blocks])


class Examiner:
    """Knows the right answers of a set of queries and marks what a search returns."""

    def __init__(
        self, words: Sequence[str], vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int
    ) -> None:
        self._row_of = {word: row for row, word in enumerate(words)}
        self._base = normalised(vectors)
        self._queries = normalised(queries)
        self._raw_queries = queries
        self._k = min(k, len(words))
        self._kth = kth_cosines(self._base, self._queries, self._k)

    def measure(self, search: Callable[[NDArray[np.float32]], Hits]) -> Measurement:
        """Ask every query once, one after the other, and mark the answers.

        Parameters
        ----------
        search
            Called with one vector of shape (dim,).
        """
        import numpy as np

        for vector in self._raw_queries[:50]:  # the first queries load pages and may compile
            search(vector)
        times, answers = [], []
        for vector in self._raw_queries:
            started = perf_counter_ns()
            hits = search(vector)
            times.append(perf_counter_ns() - started)
            answers.append(hits.ids)
        p50, p99 = np.percentile(times, [50, 99]) / 1000
        return Measurement(recall=self.recall(answers), p50_us=float(p50), p99_us=float(p99))

    def recall(self, answers: Sequence[Sequence[str]]) -> float:
        """Mark one answer (ids) per query by its similarities, so that equally near records count alike."""
        import numpy as np

        found = 0
        for query, kth, ids in zip(self._queries, self._kth, answers, strict=True):
            rows = np.array([self._row_of[word] for word in ids[: self._k]], np.int64)
            found += int(np.count_nonzero(self._base[rows] @ query >= kth - TIE_EPSILON))
        return found / (self._k * len(self._queries))
