"""One search over the lists of one tenant or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ramet.engine.residency import Residency
from ramet.engine.searcher import Floats, Rows, Searcher


@dataclass(slots=True, kw_only=True)  # not frozen: that would cost a microsecond a query
class Effort:
    """How hard to search."""

    recall: float
    """Target, unless one of the following says otherwise."""
    nprobe: int | None = None
    exact: bool = False
    ratio: float = 0.0
    """Of true distances, beyond which lists are skipped; 0: none are."""
    n_threads: int = 1

    def probes(self, searcher: Searcher, k: int) -> int:
        """Posting lists to read of one tenant."""
        if self.exact:
            return searcher.n_lists
        return searcher.nprobe_for(self.recall, k) if self.nprobe is None else min(self.nprobe, searcher.n_lists)


def search(
    searchers: Sequence[Searcher], queries: Floats, k: int, effort: Effort, residency: Residency
) -> tuple[Rows, Floats]:
    """Rows and distances of the top ``k`` of each query; as many columns as the tenants have records, at most ``k``.

    Rows are -1 and distances infinite where fewer were found. A row that several tenants see comes once.
    """
    if len(searchers) == 1:
        return _of_one(searchers[0], queries, k, effort, residency)
    parts = [_of_one(searcher, queries, k, effort, residency) for searcher in searchers]
    rows = np.concatenate([rows for rows, _ in parts], axis=1)
    distances = np.concatenate([distances for _, distances in parts], axis=1)
    return _best(rows, distances, min(k, rows.shape[1]))


def _of_one(searcher: Searcher, queries: Floats, k: int, effort: Effort, residency: Residency) -> tuple[Rows, Floats]:
    k = min(k, searcher.n_records)
    probes = effort.probes(searcher, k)
    return searcher.search(
        queries, k, probes, ratio=effort.ratio, exact=effort.exact, residency=residency, n_threads=effort.n_threads
    )


def _best(rows: Rows, distances: Floats, k: int) -> tuple[Rows, Floats]:
    """The ``k`` nearest of each line, each row once, ascending; ties by row, as a search of one tenant gives them."""
    order = np.lexsort((rows, distances), axis=1)
    rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
    again = np.zeros(rows.shape, bool)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]  # the same row has the same distance, so its copies lie together
    again |= rows < 0
    order = np.argsort(again, axis=1, kind="stable")
    rows = np.where(again, -1, rows)
    distances = np.where(again, np.float32(np.inf), distances).astype(np.float32)
    return np.take_along_axis(rows, order, 1)[:, :k], np.take_along_axis(distances, order, 1)[:, :k]
