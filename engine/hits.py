"""What queries and reads return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ramet.index.metrics import Metric

if TYPE_CHECKING:
    from ramet.engine.explain import Explanation

Floats = npt.NDArray[np.float32]
Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One record found."""

    id: str
    distance: float
    """Smaller is better: squared Euclidean (l2), 1 - cosine, or minus the inner product; for words minus the score."""
    score: float
    """Larger is better: -distance (l2), the cosine, or the inner product; BM25 or the fused score for words."""
    vector: npt.NDArray[Any] | None = field(default=None, compare=False)
    """Only when asked for."""
    document: str | None = field(default=None, compare=False)
    """The record's text, None when it has none or when it was not asked for."""
    metadata: Metadata | None = field(default=None, compare=False)
    """As it was put in, datetimes in UTC; None when there is none or when it was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What comes with hits: lists of one query, or of every query of a batch; None where it was not asked for."""

    vectors: Any = None
    documents: list[Any] | None = None
    metadata: list[Any] | None = None
    tokens: list[Any] | None = None
    """Token codes, int8 of shape (t, 64), None where a record has none."""
    tenants: list[Any] | None = None
    """Name of the tenant, of those asked, in which each record is known by its id."""

    def of(self, i: Any) -> Columns:
        """Of query ``i`` of a batch, or of a slice."""
        parts = (self.vectors, self.documents, self.metadata, self.tokens, self.tenants)
        vectors, documents, metadata, tokens, tenants = (None if part is None else part[i] for part in parts)
        return Columns(vectors=vectors, documents=documents, metadata=metadata, tokens=tokens, tenants=tenants)


_NOTHING = Columns()


class Hits:
    """Results of a query or of a batch of queries, best first.

    Attributes
    ----------
    ids : list of str, or list of such lists for a batch
    distances, scores : float32 array (k,), or (n, k) for a batch
        In a batch, a query with fewer than k results is padded with infinity (scores: minus infinity). The scores of a
        keyword search are BM25, of a hybrid one those of the fusion; their distances are minus that.
    documents : list of str or None; metadata : list of dict or None
        Or lists of such lists for a batch; None when they were not asked for.
    vectors : array, list of arrays for a batch, or None
        In the collection's dtype, only when asked for. In a keyword or hybrid search a list, with None for records
        without a vector.
    explanation : Explanation or None
        With ``explain=True``.

    Iterating gives `Hit` objects for one query, one `Hits` per query for a batch.
    """

    __slots__ = ("_columns", "_metric", "batch", "distances", "explanation", "ids")

    def __init__(
        self,
        ids: list[Any],
        distances: Floats,
        metric: Metric | None,
        batch: bool,
        columns: Columns = _NOTHING,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self._metric = metric  # None: scores are minus the distances
        self.batch = batch
        self._columns = columns
        self.explanation: Explanation | None = None

    vectors = property(lambda self: self._columns.vectors, doc="Stored vectors, when asked for.")
    documents = property(lambda self: self._columns.documents, doc="Texts of the records.")
    metadata = property(lambda self: self._columns.metadata, doc="Metadata of the records.")
    columns = property(
        lambda self: self._columns, doc="All that comes with the ids; for the other modules of this room."
    )

    @property
    def scores(self) -> Floats:
        """Larger is better; shaped like ``distances``."""
        return -self.distances if self._metric is None else self._metric.scores(self.distances)

    def __len__(self) -> int:
        """Hits of one query, or queries of a batch."""
        return len(self.ids)

    def __getitem__(self, i: int | slice) -> Any:
        """Hit ``i`` of one query, or the `Hits` of query ``i`` of a batch; a slice gives `Hits` of the same kind."""
        columns = self._columns.of(i)
        if isinstance(i, slice):
            return Hits(self.ids[i], self.distances[i], self._metric, self.batch, columns)
        if self.batch:
            n = len(self.ids[i])
            return Hits(self.ids[i], self.distances[i, :n], self._metric, False, columns)
        distance = float(self.distances[i])
        score = -distance if self._metric is None else self._metric.score_of_zero - distance
        return Hit(self.ids[i], distance, score, columns.vectors, columns.documents, columns.metadata)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def to_list(self) -> list[Any]:
        """Plain dicts ``{"id", "distance", "score"}``, with "document" and "metadata" if the record has them.

        Nested for a batch.
        """
        if self.batch:
            return [hits.to_list() for hits in self]
        found: list[Any] = []
        for hit in self:
            found.append({"id": hit.id, "distance": hit.distance, "score": hit.score})
            if hit.document is not None:
                found[-1]["document"] = hit.document
            if hit.metadata is not None:
                found[-1]["metadata"] = hit.metadata
        return found

    def __repr__(self) -> str:
        if self.batch:
            return f"Hits of {len(self)} queries"
        return f"Hits({self.ids[:3]}{', ...' if len(self) > 3 else ''})"


@dataclass(frozen=True, slots=True)
class Record:
    """One record read."""

    id: str
    vector: npt.NDArray[Any] | None
    """As it was put in, in the collection's dtype; None when it has none or was not asked for."""
    tenant: str
    document: str | None = None
    """None when it has none or was not asked for."""
    metadata: Metadata | None = None
    """Datetimes in UTC; None when it has none or was not asked for."""


class Records(list[Record]):
    """Records read, and where the next page begins.

    Attributes
    ----------
    cursor : str or None
        To pass to the next call; None when these are the last ones.
    """

    __slots__ = ("cursor",)

    def __init__(self, records: Iterable[Record] = (), cursor: str | None = None) -> None:
        super().__init__(records)
        self.cursor = cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What searches have read."""

    lists: int
    """Posting lists."""
    rows: int
    """Rows of these whose code, or vector, was compared."""
    vectors: int
    """Full-precision vectors compared."""
    bytes: int
    """Of codes and vectors, without what is around them."""


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


def _no_positions() -> npt.NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertReport:
    """What an upsert did."""

    n_inserted: int
    """Records new to their tenant."""
    n_replaced: int
    """Records that took the place of one of the same id."""
    n_skipped: int
    """Records left out because their id was there (``on_conflict="skip"``)."""
    there: npt.NDArray[np.int64] = field(default_factory=_no_positions, compare=False, repr=False)
    """Positions in the call of the records that were replaced or left out: whose id was there."""

    def __add__(self, other: UpsertReport) -> UpsertReport:
        return UpsertReport(
            n_inserted=self.n_inserted + other.n_inserted,
            n_replaced=self.n_replaced + other.n_replaced,
            n_skipped=self.n_skipped + other.n_skipped,
            there=np.concatenate([self.there, other.there]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did."""

    n_bytes_before: int
    """Bytes of the collection's files before."""
    n_bytes_after: int
    """And afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What `Collection.add_texts` did."""

    ids: list[str]
    """Of all documents of the call, in its order."""
    n_documents: int
    """Documents stored."""
    n_skipped: int
    """Documents left out because their id was there (``on_conflict="skip"``)."""
    n_chunks: int
    """Records stored."""
    n_replaced: int
    """Records that took the place of one of the same id."""
    n_tokens: int
    """Tokens in all chunks, as the embedder counts them."""
