"""The exact nearest rows of some records, found while all rows pass by anyway: what recall is measured against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.builder import held_out
from ramet.engine.curve import MEASURED_K
from ramet.engine.jobs.work import Work, assigned_dtype, in_working_space
from ramet.index.kernels.plan import L2

DEPTH = MEASURED_K[-1] + 1
"""Neighbours kept of each query, its own row among them."""

ROWS_AT_A_TIME = 8192

Floats = npt.NDArray[np.float32]


def keep_queries(work: Work) -> None:
    """Take the queries out of the records read, once; none when several tenants share the collection.

    They are records of the collection, so a query's own row is not counted as its neighbour.
    """
    if work.place.has("truth/rows"):
        return
    rows = held_out(work.n_read, work.plan.cluster.seed) if len(work.tenants) == 1 else np.empty(0, np.int64)
    rows = np.setdiff1d(rows, work.dropped)
    work.place.put_array("truth/vecs", work.vectors_read(rows))
    work.place.put_array("truth/rows", rows.astype("<i8"))


class Truth:
    """Queries, and the rows nearest to them.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self.queries: npt.NDArray[Any] = work.vectors("truth/vecs", place=work.source)
        self._metric = work.plan.settings.metric
        self._points = in_working_space(self.queries, self._metric.unit)

    def look(self, unit: int, first_row: int, vectors: npt.NDArray[Any]) -> None:
        """Remember the rows of a bucket that are nearest to each query."""
        if not len(self.queries):
            return
        best = np.full((len(self._points), DEPTH), np.inf, np.float32)
        rows = np.full(best.shape, -1, np.int64)
        for a in range(0, len(vectors), ROWS_AT_A_TIME):
            points = in_working_space(vectors[a : a + ROWS_AT_A_TIME], self._metric.unit)
            self._merge(best, rows, points, first_row + a)
        self._work.place.put_array(f"truth/{unit:06d}.distances", best)
        self._work.place.put_array(f"truth/{unit:06d}.rows", rows)

    def _merge(self, best: Floats, rows: npt.NDArray[np.int64], points: Floats, first: int) -> None:
        """Take the nearest of some points into what is best so far; distances are exact for what is kept."""
        keys = self._points @ points.T
        keys *= -1
        if self._metric.number == L2:
            keys += 0.5 * np.einsum("ij,ij->i", points, points)[None, :]
        n = min(DEPTH, len(points))
        near = np.argpartition(keys, n - 1, axis=1)[:, :n]
        limit = best[:, -1]
        for i, chosen in enumerate(near):
            exact = self._exact(self._points[i], points[chosen])
            mine = exact < limit[i]
            if not mine.any():
                continue
            distances = np.concatenate([best[i], exact[mine]])
            numbers = np.concatenate([rows[i], first + chosen[mine]])
            order = np.lexsort((numbers, distances))[:DEPTH]
            best[i], rows[i] = distances[order], numbers[order]

    def _exact(self, query: Floats, points: Floats) -> Floats:
        """Distances as a search reports them."""
        if self._metric.number == L2:
            wide = points.astype(np.float64) - query
            return np.asarray((wide * wide).sum(axis=1), np.float32)
        inner = points.astype(np.float64) @ query.astype(np.float64)
        return np.asarray((1.0 if self._metric.unit else 0.0) - inner, np.float32)

    def found(self, n_units: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """The row of each query itself, and the distances of its neighbours, ascending, (n, DEPTH - 1)."""
        shape = (len(self.queries), DEPTH)
        distances, rows = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64)
        for unit in range(n_units):
            more = self._work.place.get_array(f"truth/{unit:06d}.distances", np.float32).reshape(shape)
            more_rows = self._work.place.get_array(f"truth/{unit:06d}.rows", np.int64).reshape(shape)
            both, numbers = np.hstack([distances, more]), np.hstack([rows, more_rows])
            order = np.argsort(both, axis=1, kind="stable")[:, :DEPTH]
            distances, rows = np.take_along_axis(both, order, 1), np.take_along_axis(numbers, order, 1)
        own = self._own_rows()
        distances[rows == own[:, None]] = np.inf
        distances.sort(axis=1)
        return own, distances[:, : DEPTH - 1]

    def _own_rows(self) -> npt.NDArray[np.int64]:
        """Row of the collection that each query is."""
        read = self._work.source.get_array("truth/rows", np.int64)
        out, first, unit = np.full(len(read), -1, np.int64), 0, 0
        kind = assigned_dtype(self._work.plan.closure.replicas)
        while self._work.place.has(f"rows/{unit:06d}.keys"):
            rows = self._work.place.get_array(f"rows/{unit:06d}.keys", kind)["row"].astype(np.int64)
            at = np.flatnonzero(np.isin(rows, read))
            out[np.searchsorted(read, rows[at])] = first + at
            first, unit = first + len(rows), unit + 1
        return out
