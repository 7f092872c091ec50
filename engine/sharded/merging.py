"""Hits of several shards, made one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.hits import Columns, Hits
from ramet.engine.reads import Include
from ramet.engine.settings import Settings

Part = tuple[npt.NDArray[np.int64], Hits]
"""Numbers of queries, and the hits of these (a batch) in one shard."""

NAMES = ("vectors", "documents", "metadata", "tokens", "tenants")


class Merged:
    """The best ``k`` of each query, out of what several shards found.

    Parameters
    ----------
    n : int
        Queries.
    k : int
    parts : sequence of (query numbers, Hits)
        Hits with equal distances are taken in the order of the parts.
    once : bool
        An id is one record: leave out what is found again (a record that is just being moved is in two shards).
    """

    def __init__(self, n: int, k: int, parts: Sequence[Part], *, once: bool) -> None:
        self._parts = [hits for _, hits in parts]
        found: list[list[tuple[float, int, int, int]]] = [[] for _ in range(n)]
        for number, (queries, hits) in enumerate(parts):
            for row, query in enumerate(queries.tolist()):
                near = hits.distances[row, : len(hits.ids[row])].tolist()
                found[query].extend((distance, number, row, at) for at, distance in enumerate(near))
        self.found = [self._best(sorted(one), k, once) for one in found]

    def _best(self, found: list[tuple[float, int, int, int]], k: int, once: bool) -> list[tuple[float, int, int, int]]:
        if not once:
            return found[:k]
        seen: dict[str, tuple[float, int, int, int]] = {}
        for one in found:
            seen.setdefault(self.id_of(one), one)
            if len(seen) == k:
                break
        return list(seen.values())

    def id_of(self, one: tuple[float, int, int, int]) -> str:
        """Id of a hit."""
        _, part, row, at = one
        found: str = self._parts[part].ids[row][at]
        return found

    def column(self, name: str, found: list[tuple[float, int, int, int]]) -> list[Any]:
        """A column of some hits."""
        columns = [getattr(hits.columns, name) for hits in self._parts]
        return [None if columns[part] is None else columns[part][row][at] for _, part, row, at in found]

    def distances(self, width: int) -> npt.NDArray[np.float32]:
        """Distances of the hits of each query, (n, width), infinite where there are fewer."""
        distances = np.full((len(self.found), width), np.inf, np.float32)
        for i, found in enumerate(self.found):
            distances[i, : len(found)] = [one[0] for one in found]
        return distances

    def hits(self, settings: Settings, single: bool, include: Include, *, ranked: bool) -> Hits:
        """All as `Hits`; ``ranked``: scores are minus the distances, and records may have no vector."""
        distances = self.distances(max(map(len, self.found), default=0))
        ids: list[Any] = [[self.id_of(one) for one in found] for found in self.found]
        chosen = {name: self._every(name) for name in NAMES if getattr(include, name)}
        if "vectors" in chosen and not ranked:
            chosen["vectors"] = [_stacked(one, settings) for one in chosen["vectors"]]
        columns = Columns(**chosen)
        metric = None if ranked else settings.metric
        if single:
            return Hits(ids[0], distances[0], metric, False, columns.of(0))
        return Hits(ids, distances, metric, True, columns)

    def _every(self, name: str) -> list[Any]:
        return [self.column(name, found) for found in self.found]


def _stacked(vectors: list[Any], settings: Settings) -> npt.NDArray[Any]:
    if not vectors:
        return np.empty((0, settings.dim), settings.dtype)
    return np.stack(vectors)
