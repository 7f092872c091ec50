"""From what the engine returns to JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson

from ramet import Hits, Record, Records
from ramet.api.rest.values import plain

WITH_ARRAYS = orjson.OPT_SERIALIZE_NUMPY


def hits_of(hits: Hits) -> list[dict[str, Any]]:
    """Hits of one query as JSON-able dicts; what a record does not have, or was not asked for, is left out."""
    return _found(hits.ids, hits.distances.tolist(), hits.scores.tolist(), hits.documents, hits.metadata)


def _found(ids: list[str], distances: Any, scores: Any, documents: Any, metadata: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"id": name, "distance": distance, "score": score}
        for name, distance, score in zip(ids, distances, scores, strict=False)  # padded behind the ids
    ]
    if documents is not None:
        for hit, text in zip(found, documents, strict=True):
            if text is not None:
                hit["document"] = text
    if metadata is not None:
        for hit, fields in zip(found, metadata, strict=True):
            if fields is not None:
                hit["metadata"] = plain(fields)
    return found


def with_vectors(found: list[dict[str, Any]], hits: Hits) -> list[dict[str, Any]]:
    """The same, with vectors where these were asked for and a record has one."""
    if hits.vectors is not None:
        for hit, vector in zip(found, hits.vectors, strict=True):
            if vector is not None:
                hit["vector"] = vector
    return found


def bodies_of(hits: Hits) -> Iterator[bytes]:
    """The body of the answer to each query of a batch, without vectors."""
    distances, scores = hits.distances.tolist(), hits.scores.tolist()
    nothing = [None] * len(hits)
    documents, metadata = hits.documents or nothing, hits.metadata or nothing
    for columns in zip(hits.ids, distances, scores, documents, metadata, strict=True):
        yield orjson.dumps({"hits": _found(*columns)})


def result_of(hits: Hits, *, vectors: bool) -> dict[str, Any]:
    """The answer to one query; ``vectors``: with those, as arrays."""
    found = hits_of(hits)
    return {"hits": with_vectors(found, hits) if vectors else found}


def record_of(record: Record, include: frozenset[str], *, binary: bool = False) -> dict[str, Any]:
    """One record, with what was asked for; ``binary``: its vector is elsewhere."""
    found: dict[str, Any] = {"id": record.id, "tenant": record.tenant}
    if binary:
        found["has_vector"] = record.vector is not None
    elif "vectors" in include:
        found["vector"] = None if record.vector is None else np.ascontiguousarray(record.vector)
    if "documents" in include:
        found["document"] = record.document
    if "metadata" in include:
        found["metadata"] = None if record.metadata is None else plain(record.metadata)
    return found


def page_of(records: Records, include: frozenset[str], *, binary: bool = False) -> dict[str, Any]:
    """Records and where the next page begins."""
    return {"records": [record_of(one, include, binary=binary) for one in records], "cursor": records.cursor}


def stacked(vectors: Iterable[Any], dim: int, dtype: str) -> Any:
    """Vectors that are there, in order, as one array (n, dim)."""
    found = [vector for vector in vectors if vector is not None]
    return np.stack(found) if found else np.empty((0, dim), dtype)


def dumps(content: Any) -> bytes:
    """JSON, arrays as lists with as many digits as it takes to read the same number."""
    return orjson.dumps(content, option=WITH_ARRAYS)
