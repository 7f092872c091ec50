"""The posting cells of the tree that all shards share: where a record lives, and which shards are near a query."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.settings import Settings
from ramet.index import defaults
from ramet.index.assign import assign_points
from ramet.index.navigate import GroupNavigator, flat_navigator, group_centres, group_navigator, home_groups
from ramet.index.source import ArraySource

Floats = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

SEED = 0
"""Of the grouping of cells, which is made anew whenever a collection is opened."""


class SharedCells:
    """Centroids in file order, and a navigator over them.

    Parameters
    ----------
    settings : Settings
    centroids : float32 array (n, dim)
    """

    def __init__(self, settings: Settings, centroids: Floats) -> None:
        self._settings = settings
        self.centroids = centroids
        self._alive = np.ones(len(centroids), np.uint32)
        self._navigator = _navigator(centroids)

    def __len__(self) -> int:
        return len(self.centroids)

    def home(self, vectors: npt.NDArray[Any]) -> I64:
        """The cell nearest to each vector, (n,)."""
        if not len(vectors):
            return np.empty(0, np.int64)
        points = self._points(vectors)
        cells, _ = assign_points(points, self._navigator, self.centroids, self._alive, 1, None)
        return cells[:, 0].astype(np.int64)

    def near(self, queries: Floats, n: int) -> I64:
        """The ``n`` cells nearest to each query, nearest first, (n_queries, min(n, cells)); -1: there are fewer."""
        keys = self._navigator.nearest(self._points(queries), n, self._settings.metric.number)
        found: I64 = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        found[keys == np.uint64(0xFFFFFFFFFFFFFFFF)] = -1
        return found

    def _points(self, vectors: npt.NDArray[Any]) -> Floats:
        return ArraySource(vectors, unit=self._settings.metric.unit).take(np.arange(len(vectors), dtype=np.int64))


def _navigator(centroids: Floats) -> GroupNavigator:
    if len(centroids) <= defaults.FLAT_CELLS:
        return flat_navigator(centroids)
    centres = group_centres(centroids, SEED)
    return group_navigator(centroids, centres, home_groups(centroids, centres))
