"""Exact neighbours inside one tenant, and answers judged by them: recall, and rows that belong to somebody else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench import truth as exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """Queries by tenants, with the true answers within each tenant."""

    base: np.ndarray
    """(n_rows, dim) float32, rows of all tenants."""
    rows_of: Callable[[int], np.ndarray]
    """Tenant -> its rows, rising."""
    queries: np.ndarray
    """(n, dim) float32."""
    tenants: np.ndarray
    """(n,) tenant of each query."""
    metric: str
    k: int
    truths: dict[int, exact.Truth]
    """Per tenant, in the order of its queries; row numbers are places among the tenant's rows."""

    def judge(self, found: np.ndarray) -> tuple[np.ndarray, int]:
        """Judge the first answers.

        Parameters
        ----------
        found : np.ndarray
            (m, k) int64 rows found for the first m queries, -1 where there was nothing.

        Returns
        -------
        recalls : np.ndarray
            (m,) float64: share of the true k nearest, or of all its records for a tenant with fewer.
        strangers : int
            Rows that do not belong to the tenant that asked; they count as misses too.
        """
        tenants = self.tenants[: len(found)]
        recalls = np.empty(len(found))
        strangers = 0
        for tenant, truth in self.truths.items():
            places = np.flatnonzero(tenants == tenant)
            if not len(places):
                continue
            rows = self.rows_of(tenant)
            own = places_in(rows, found[places])
            strangers += int(((own < 0) & (found[places] >= 0)).sum())
            part = exact.Truth(
                rows=truth.rows[: len(places)],
                distances=truth.distances[: len(places)],
                slack=truth.slack[: len(places)],
            )
            hits = exact.hits(own, self.base[rows], self.queries[places], self.metric, part, self.k)
            recalls[places] = hits / min(self.k, len(rows))
        return recalls, strangers


def inside(
    base: np.ndarray,
    rows_of: Callable[[int], np.ndarray],
    queries: np.ndarray,
    tenants: np.ndarray,
    metric: str,
    k: int,
) -> Inside:
    """Find the exact neighbours of each query among its tenant's rows (see `Inside` for the arguments)."""
    truths = {}
    for tenant in np.unique(tenants):
        rows = rows_of(int(tenant))
        truths[int(tenant)] = exact.exact_neighbours(base[rows], queries[tenants == tenant], metric, depth=k)
    return Inside(base=base, rows_of=rows_of, queries=queries, tenants=tenants, metric=metric, k=k, truths=truths)


def places_in(rows: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return where each of `found` stands in `rows` (rising), -1 for what is not there, in the shape of `found`."""
    places = np.minimum(np.searchsorted(rows, found), len(rows) - 1)
    return np.where(rows[places] == found, places, -1)
