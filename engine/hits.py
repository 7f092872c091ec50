"""What queries and reads return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.index.metrics import Metric

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """One record found."""

    id: str
    distance: float
    """Smaller is nearer: squared Euclidean (l2), 1 - cosine, or minus the inner product."""
    score: float
    """Larger is better: -distance (l2), the cosine, or the inner product."""
    vector: npt.NDArray[Any] | None = field(default=None, compare=False)
    """Only when asked for."""


class Hits:
    """Results of a query or of a batch of queries, best first.

    Attributes
    ----------
    ids : list of str, or list of such lists for a batch
    distances, scores : float32 array (k,), or (n, k) for a batch
        In a batch, a query with fewer than k results is padded with infinity (scores: minus infinity).
    vectors : array, list of arrays for a batch, or None
        In the collection's dtype, only when asked for.

    Iterating gives `Hit` objects for one query, one `Hits` per query for a batch.
    """

    __slots__ = ("_metric", "batch", "distances", "ids", "vectors")

    def __init__(self, ids: list[Any], distances: Floats, metric: Metric, batch: bool, vectors: Any = None) -> None:
        self.ids = ids
        self.distances = distances
        self._metric = metric
        self.batch = batch
        self.vectors = vectors

    @property
    def scores(self) -> Floats:
        """Larger is better: -distance (l2), the cosine, or the inner product; shaped like ``distances``."""
        return self._metric.scores(self.distances)

    def __len__(self) -> int:
        """Hits of one query, or queries of a batch."""
        return len(self.ids)

    def __getitem__(self, i: int | slice) -> Any:
        """Hit ``i`` of one query, or the `Hits` of query ``i`` of a batch; a slice gives `Hits` of the same kind."""
        vectors = None if self.vectors is None else self.vectors[i]
        if isinstance(i, slice):
            return Hits(self.ids[i], self.distances[i], self._metric, self.batch, vectors)
        if self.batch:
            n = len(self.ids[i])
            return Hits(self.ids[i], self.distances[i, :n], self._metric, False, vectors)
        distance = float(self.distances[i])
        return Hit(self.ids[i], distance, self._metric.score_of_zero - distance, vectors)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def to_list(self) -> list[Any]:
        """Plain dicts (JSON-able but for vectors): ``[{"id", "distance", "score"}]``, nested for a batch."""
        if self.batch:
            return [hits.to_list() for hits in self]
        return [{"id": hit.id, "distance": hit.distance, "score": hit.score} for hit in self]

    def __repr__(self) -> str:
        if self.batch:
            return f"Hits of {len(self)} queries"
        return f"Hits({self.ids[:3]}{', ...' if len(self) > 3 else ''})"


@dataclass(frozen=True, slots=True)
class Record:
    """One record read by its id."""

    id: str
    vector: npt.NDArray[Any] | None
    """As it was put in, in the collection's dtype; None when not asked for."""
    tenant: str


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the measured recall curve."""

    k: int
    nprobe: int
    recall: float
    """Mean recall@k over the held-out queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did."""

    n_records: int
    n_lists: int
    n_replicas: float
    """Lists that hold a record, on average."""
    seconds: float
    stages: dict[str, float]
    """Seconds of each stage."""
    curve: list[CurvePoint]
    """Recall measured on queries that took no part in the clustering."""
    nprobe: int
    """Probes that the default recall of 0.95 at k=10 takes."""
    n_bytes: int
    """Size on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertReport:
    """What an upsert did."""

    n_inserted: int
    """Records new to their tenant."""
    n_replaced: int
    """Records that took the place of one of the same id."""
    n_skipped: int
    """Records left out because their id was there (``on_conflict="skip"``)."""

    def __add__(self, other: UpsertReport) -> UpsertReport:
        return UpsertReport(
            n_inserted=self.n_inserted + other.n_inserted,
            n_replaced=self.n_replaced + other.n_replaced,
            n_skipped=self.n_skipped + other.n_skipped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did."""

    n_bytes_before: int
    """Bytes of the collection's files before."""
    n_bytes_after: int
    """And afterwards."""
