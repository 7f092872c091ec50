"""From answers of a server to what the embedded engine returns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ramet.api.client.messages import NPY, Reply
from ramet.api.client.values import Array, untagged, vectors_and_rest
from ramet.engine.hits import Columns, CompactReport, CurvePoint, Hits, Record, Records, UpsertReport
from ramet.engine.settings import Settings

if TYPE_CHECKING:
    from ramet import Explanation, VerifyReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a client knows of a collection from the beginning."""

    name: str
    settings: Settings
    embedder: str | None
    """Which model makes vectors of texts on the server."""


def parsed(reply: Reply) -> Any:
    """The JSON of an answer."""
    return json.loads(reply.body)


def both(reply: Reply) -> tuple[Array | None, Any]:
    """Vectors and JSON of an answer; None when it has no binary vectors."""
    return vectors_and_rest(reply.body) if reply.kind == NPY else (None, json.loads(reply.body))


def facts_of(reply: Reply) -> Facts:
    """A collection that the server describes.

    Raises
    ------
    CorruptionError
        The server has put it aside, as its files are damaged.
    """
    found = parsed(reply)
    if found.get("status") == "quarantined":
        from ramet.api.client.problems import engine_error

        raise engine_error("CorruptionError", found)
    settings = Settings(
        dim=int(found["dim"]),
        metric_name=found["metric"],
        dtype_name=found["dtype"],
        codes=found["codes"],
        language=found["language"],
        durability=found["durability"],
    )
    _ = settings.metric, settings.dtype  # one that is not known is noticed here
    return Facts(name=found["name"], settings=settings, embedder=found.get("embedder"))


def upsert_report(reply: Reply) -> UpsertReport:
    """What a write did."""
    found = parsed(reply)
    return UpsertReport(
        n_inserted=int(found["inserted"]), n_replaced=int(found["replaced"]), n_skipped=int(found["skipped"])
    )


def compact_report(reply: Reply) -> CompactReport:
    """What a compaction did."""
    found = parsed(reply)
    return CompactReport(n_bytes_before=int(found["bytes_before"]), n_bytes_after=int(found["bytes_after"]))


def curve_of(reply: Reply) -> list[CurvePoint]:
    """A measured recall curve."""
    return [CurvePoint(int(one["k"]), int(one["nprobe"]), float(one["recall"])) for one in parsed(reply)["curve"]]


def verify_report(reply: Reply) -> VerifyReport:
    """What a verification found."""
    from ramet import Problem, VerifyReport

    found = parsed(reply)
    problems = [
        Problem(file="", where="", what=one)
        if isinstance(one, str)
        else Problem(file=one.get("file", ""), where=one.get("where", ""), what=one.get("what", ""))
        for one in found["problems"]
    ]
    return VerifyReport(ok=bool(found["ok"]), problems=problems, checked=dict(found.get("checked") or {}))


def explanation_of(found: dict[str, Any] | None) -> Explanation | None:
    """How a query was answered."""
    if found is None:
        return None
    from ramet import Explanation

    made = Explanation(int(found["n_queries"]))
    made.stages = dict(found["microseconds"])
    made.total_us = found["total_us"]
    made.tenants = list(found["tenants"])
    return made


def records_of(reply: Reply, settings: Settings) -> Records:
    """Records and where the next page begins."""
    block, found = both(reply)
    vectors = _vectors(found["records"], block, settings)
    return Records(
        (
            Record(one["id"], vector, one["tenant"], one.get("document"), untagged(one.get("metadata")))
            for one, vector in zip(found["records"], vectors, strict=True)
        ),
        found.get("cursor"),
    )


def _vectors(found: Sequence[dict[str, Any]], block: Array | None, settings: Settings) -> list[Array | None]:
    """The vector of each record or hit, None for those without."""
    if block is None:
        given = [one.get("vector") for one in found]
        return [None if one is None else np.asarray(one, settings.dtype) for one in given]
    rows: Iterator[Array] = iter(block)
    vectors = [next(rows) if one.get("has_vector", True) else None for one in found]
    if next(rows, None) is not None:
        raise ValueError("more vectors than records that have one")
    return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What has to be known of a question to read its answer."""

    single: bool
    mode: str | None
    """None: it is the server that knows."""
    include: frozenset[str]


def answered(reply: Reply, facts: Facts, asked: Asked) -> Hits:
    """Hits of one query or of a batch."""
    block, found = both(reply)
    results = [found] if asked.single else found["results"]
    every = [hit for result in results for hit in result["hits"]]
    vectors = _vectors(every, block, facts.settings) if "vectors" in asked.include else []
    by_words = asked.mode != "dense" if asked.mode is not None else _is_by_words(every, facts)
    parts, at = [], 0
    for result in results:
        n = len(result["hits"])
        parts.append(_columns(result["hits"], vectors[at : at + n], facts.settings, asked.include, by_words))
        at += n
    hits = _joined(results, parts, asked.single, None if by_words else facts.settings)
    explanation = found.get("explanation") or (results[0].get("explanation") if results else None)
    hits.explanation = explanation_of(explanation)
    return hits


def _is_by_words(hits: list[dict[str, Any]], facts: Facts) -> bool:
    """Whether a question in words, whose mode nobody said, was answered by words."""
    if hits and facts.settings.metric.score_of_zero:
        return all(hit["score"] == -hit["distance"] for hit in hits)
    return facts.embedder is None


def _columns(
    hits: list[dict[str, Any]], vectors: list[Array | None], settings: Settings, include: frozenset[str], by_words: bool
) -> Columns:
    """What came with the hits of one query."""
    near: Any = vectors
    if not by_words:
        near = np.stack(vectors) if vectors else np.empty((0, settings.dim), settings.dtype)  # type: ignore[arg-type]
    return Columns(
        vectors=near if "vectors" in include else None,
        documents=[hit.get("document") for hit in hits] if "documents" in include else None,
        metadata=[untagged(hit.get("metadata")) for hit in hits] if "metadata" in include else None,
    )


def _joined(results: list[dict[str, Any]], parts: list[Columns], single: bool, settings: Settings | None) -> Hits:
    ids = [[hit["id"] for hit in result["hits"]] for result in results]
    distances = np.full((len(ids), max(map(len, ids), default=0)), np.inf, np.float32)
    for row, result in zip(distances, results, strict=True):
        row[: len(result["hits"])] = [hit["distance"] for hit in result["hits"]]
    metric = None if settings is None else settings.metric
    if single:
        return Hits(ids[0], distances[0], metric, False, parts[0])
    return Hits(ids, distances, metric, True, _batch_of(parts))


def _batch_of(parts: list[Columns]) -> Columns:
    """Columns of the queries of a batch."""
    return Columns(
        **{
            name: None if not parts or getattr(parts[0], name) is None else [getattr(part, name) for part in parts]
            for name in ("vectors", "documents", "metadata")
        }
    )


def together(found: list[Hits]) -> Hits:
    """The hits of one batch whose queries were sent in several requests."""
    if len(found) == 1:
        return found[0]
    width = max(hits.distances.shape[1] for hits in found)
    padded = [
        np.pad(hits.distances, ((0, 0), (0, width - hits.distances.shape[1])), constant_values=np.inf) for hits in found
    ]
    columns = {
        name: None if getattr(found[0], name) is None else [one for hits in found for one in getattr(hits, name)]
        for name in ("vectors", "documents", "metadata")
    }
    metric = found[0]._metric  # of this room's own making
    hits = Hits([ids for one in found for ids in one.ids], np.concatenate(padded), metric, True, Columns(**columns))
    hits.explanation = found[0].explanation
    return hits
