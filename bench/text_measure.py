"""Quality and latency of text search on one set: Ramet in its modes, each beside its reference, in turns."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import text_reference
from bench.measure import WARM_QUERIES
from bench.text_reference import Reference
from bench.texts import Queries, TextSet, mean_ndcg

RECALL = 0.99
"""Ramet's default for questions in words, asked for by name as the questions come as vectors. The default for vectors,
0.95, has a row of its own."""

ALPHA = 0.5
"""Ramet's default weight of the dense side."""
BATCH = 1_000
Ask = Callable[[int], Any]
"""Number of a query -> what the library returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One set with its vectors."""

    of: TextSet
    documents: np.ndarray
    queries: np.ndarray
    """(n, dim): vectors of the test queries."""


@dataclass(slots=True, kw_only=True)
class Case:
    """One way to search, in the course of the measurement."""

    contender: str
    mode: str
    ask: Ask
    places: Callable[[Any], list[int]]
    timed: bool = True
    ndcg: float = 0.0
    p50_ns: list[float] = field(default_factory=list)
    p99_ns: list[float] = field(default_factory=list)


def fill(docs: Any, material: Material) -> None:
    """Put the documents in, with their vectors and texts."""
    ids = [str(place) for place in range(len(material.of.ids))]
    for start in range(0, len(ids), BATCH):
        part = slice(start, start + BATCH)
        docs.upsert(ids[part], material.documents[part], documents=material.of.texts[part])


def run(material: Material, folder: Path, alpha: float | None, rounds: int, k: int) -> list[Case]:
    """Fill a collection in `folder`, judge every way to search, and time them in turns.

    Parameters
    ----------
    material : Material
    folder : Path
        Database directory to make.
    alpha : float or None
        A second weight for the weighted fusion, beside the default.
    rounds, k : int

    Returns
    -------
    list of Case
    """
    with ramet.connect(folder, create=True) as database:
        docs = database.create_collection("texts", dim=material.documents.shape[1], metric="cosine", language="en")
        fill(docs, material)
        docs.maintain(60.0)
        reference = Reference.of(material.of.texts, material.documents)
        cases = _ours(docs, material, alpha, k) + _theirs(reference, material, alpha, k)
        queries = material.of.test
        for case in cases:
            rankings = [case.places(case.ask(number)) for number in range(len(queries))]
            case.ndcg = mean_ndcg(rankings, queries)
        for _ in range(rounds):
            for case in cases:
                if case.timed:
                    _turn(case, len(queries))
    return cases


def _ours(docs: Any, material: Material, alpha: float | None, k: int) -> list[Case]:
    """Ramet's modes; vectors of the queries are there already, as they are for the reference."""
    vectors, texts = list(material.queries), material.of.test.texts

    def case(mode: str, with_vectors: bool, **more: Any) -> Case:
        chosen = mode.split(" ")[0]

        def ask(number: int) -> Any:
            vector = vectors[number] if with_vectors else None
            text = texts[number] if chosen != "dense" else None
            return docs.query(vector, k, text=text, mode=chosen, include=(), **more).ids

        return Case(contender="ramet", mode=mode, ask=ask, places=lambda ids: [int(name) for name in ids])

    deep = {"recall": RECALL}
    out = [case("dense", True, **deep), case("dense (recall 0.95)", True)]
    out += [case("keyword", False), case("hybrid rrf", True, **deep)]
    return out + [case(name, True, fusion="weighted", alpha=value, **deep) for name, value in _weights(alpha)]


def _weights(alpha: float | None) -> list[tuple[str, float]]:
    named = [("hybrid weighted", ALPHA)]
    return named if alpha is None else [*named, ("hybrid weighted, tuned", alpha)]


def _theirs(reference: Reference, material: Material, alpha: float | None, k: int) -> list[Case]:
    vectors, texts = list(material.queries), material.of.test.texts
    words = [reference.analyzer.words(text) for text in texts]

    def both(number: int) -> tuple[text_reference.Ranking, text_reference.Ranking]:
        return reference.dense(vectors[number]), reference.keyword(texts[number])

    def plain(name: str, mode: str, ask: Ask) -> Case:
        return Case(contender=name, mode=mode, ask=ask, places=lambda found: found[0].tolist()[:k], timed=False)

    def fused(mode: str, fuse: Callable[..., list[int]], *more: float) -> Case:
        def ask(number: int) -> list[int]:
            return fuse(*both(number), *more)[:k]

        return Case(contender="reference", mode=mode, ask=ask, places=list, timed=False)

    def bm25s(number: int) -> Any:
        return reference.bm25.retrieve([words[number]], k=k, show_progress=False)

    retrieved = Case(contender="bm25s", mode="keyword", ask=bm25s, places=lambda found: found[0][0].tolist())
    out = [
        plain("reference", "dense", lambda number: reference.dense(vectors[number])),
        plain("reference", "keyword", lambda number: reference.keyword(texts[number])),
        fused("hybrid rrf", text_reference.rrf),
        *(fused(name, text_reference.weighted, value) for name, value in _weights(alpha)),
        retrieved,
    ]
    return out


def _turn(case: Case, n: int) -> None:
    """One round of one case: every query on its own."""
    clock, ask = time.perf_counter_ns, case.ask
    times = np.empty(n, np.int64)
    for number in range(n)[-WARM_QUERIES:]:
        ask(number)
    gc.collect()
    gc.disable()
    try:
        for number in range(n):
            begun = clock()
            ask(number)
            times[number] = clock() - begun
    finally:
        gc.enable()
    case.p50_ns.append(float(np.percentile(times, 50)))
    case.p99_ns.append(float(np.percentile(times, 99)))


def tune(queries: Queries, vectors: np.ndarray, reference: Reference) -> float:
    """Return the weight of the dense side that is best on queries which are not tested with."""
    rankings = [
        (reference.dense(vector), reference.keyword(text)) for vector, text in zip(vectors, queries.texts, strict=True)
    ]

    def judge(fuse: Callable[..., list[int]]) -> float:
        return mean_ndcg([fuse(dense, keyword) for dense, keyword in rankings], queries)

    return text_reference.tuned_alpha(judge, [round(0.1 * tenth, 1) for tenth in range(11)])
