"""From a question to its candidates: one query of the collection, and what the arrays of a pool are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine import asking, checks
from ramet.engine.asking import Question
from ramet.engine.curve import TEXT_RECALL
from ramet.engine.documents import DOCUMENT, START
from ramet.engine.embedding import TextEmbedder
from ramet.engine.embedding_tokens import TokenEmbedder
from ramet.engine.errors import ArgumentError
from ramet.engine.hits import Hits
from ramet.engine.opened import Opened
from ramet.engine.rag.coverage import aspects, coverage
from ramet.engine.rag.pool import F32, I64, Candidate, Name, Pool
from ramet.engine.reads import Include
from ramet.engine.search import Effort
from ramet.engine.token_codes import I8, Projection, can_encode, unit
from ramet.engine.where import Filter

EVERYTHING = Include(documents=True, metadata=True, vectors=True, tokens=True, tenants=True)

MORE = 8
"""Times as many records are asked for when too few of those found have documents."""
MOST_LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question is asked."""

    tenants: tuple[str, ...]
    where: Filter | None
    mode: str
    """"dense", "keyword" or "hybrid"."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the embedder sees it."""

    text: str
    vector: F32 | None
    """Shape (dim,); None without an embedder."""
    tokens: F32 | None
    """Shape (t, d); None where the embedder has no vectors of tokens."""
    words: Sequence[str]
    """The tokens, (t,)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate, and what its place in the arrays comes from."""

    candidate: Candidate
    vector: F32
    """Of length 1, (dim,); zeros where the record has none."""
    codes: I8 | None


def asked(embedder: TextEmbedder | None, text: str, *, needed: bool) -> Asked:
    """The vectors of a question, from one pass of the model.

    Raises
    ------
    ArgumentError
        They are ``needed``, and the embedder knows no word of it.
    """
    if embedder is None:
        return Asked(text, None, None, ())
    tokens, words = None, list[str]()
    if can_encode(embedder):
        assert isinstance(embedder, TokenEmbedder)
        vector, tokens, words = embedder.embed_question_with_tokens(text)
    else:
        vector = embedder.embed_queries([text])[0]
    if not vector.any():
        if not needed:
            return Asked(text, None, None, ())
        raise ArgumentError("question", f"{text!r} has no word that the embedder knows; pass mode='keyword'")
    return Asked(text, vector, tokens, words)


def retrieved(opened: Opened, question: Asked, place: Place, n: int) -> list[Found]:
    """Up to ``n`` records with documents that fit the question best."""
    queries = None
    if place.mode != "keyword":
        queries, _ = checks.query_form(question.vector, opened.settings, "question")
    texts = None if place.mode == "dense" else [question.text]
    k = n
    while True:
        hits = answered(opened, queries, texts, place, k)[0]
        found = found_in(hits, question, place.mode)
        # Records without a document are no chunks, but may be nearer than those that have one: then more are looked at.
        if len(found) >= n or len(hits.ids) < k or k >= MOST_LOOKED_AT:
            return found[:n]
        k = min(MORE * k, MOST_LOOKED_AT)


def answered(opened: Opened, queries: F32 | None, texts: list[str] | None, place: Place, n: int) -> Hits:
    """Hits of a batch with everything that comes with them."""
    query = Question(
        queries=queries, texts=texts, single=False, k=n, where=place.where, effort=Effort(recall=TEXT_RECALL),
        include=EVERYTHING,
    )  # fmt: skip
    return asking.answer(opened, query, place.mode, place.tenants)


def found_in(hits: Hits, question: Asked, mode: str) -> list[Found]:
    """The hits of one query that have a document."""
    n = len(hits.ids)
    columns = hits.columns
    documents, metadata, codes = (part or [None] * n for part in (columns.documents, columns.metadata, columns.tokens))
    tenants = columns.tenants or []
    found: list[Found] = []
    for i, name in enumerate(hits.ids):
        if not documents[i]:
            continue
        fields = metadata[i]
        stored = None if columns.vectors is None else columns.vectors[i]
        vector = _unit_of(stored, question)
        score = float(hits.scores[i]) if mode != "dense" else float(vector @ unit_question(question))
        document, position = _place_of(name, fields or {})
        candidate = Candidate(
            id=name, text=documents[i], score=score, document=document, position=position, metadata=fields,
            tenant=tenants[i],
        )  # fmt: skip
        found.append(Found(candidate, vector, codes[i]))
    return found


def _place_of(name: str, fields: Mapping[str, Any]) -> tuple[str, int]:
    """Document and offset of a record; fields of these names that somebody else wrote may hold anything."""
    document, position = fields.get(DOCUMENT), fields.get(START)
    at = position if isinstance(position, int) and not isinstance(position, bool) else 0
    return document if isinstance(document, str) else name, at


def unit_question(question: Asked) -> F32:
    """The question's vector of length 1; one without direction when there is no embedder."""
    return np.zeros(0, np.float32) if question.vector is None else unit(question.vector.astype(np.float32))


def _unit_of(stored: object, question: Asked) -> F32:
    """A stored vector, of length 1, in the space of the question's."""
    dim = 0 if question.vector is None else len(question.vector)
    if stored is None or not dim:
        return np.zeros(dim, np.float32)
    return unit(np.asarray(stored).astype(np.float32))


def pool_of(
    question: Asked,
    found: Sequence[Found],
    costs: I64,
    projection: Projection | None,
    language: str,
    hops: Mapping[Name, float] | None,
) -> Pool:
    """The arrays over candidates, which are in order of their scores.

    Parameters
    ----------
    question : Asked
    found : sequence of n Found
    costs : array of int64, shape (n,)
    projection : Projection or None
        None: no codes are stored, and nothing is known of aspects.
    language : str
        Whose stop words ask for nothing.
    hops : mapping, optional
        Name -> how strongly the chunks found first bring it up.
    """
    vectors = np.stack([one.vector for one in found]) if found else np.zeros((0, 0), np.float32)
    there: I64 = np.empty(0, np.int64)
    covered = np.zeros((0, len(found)), np.float32)
    if projection is not None and question.tokens is not None and any(one.codes is not None for one in found):
        there = aspects(question.words, language)
        covered = coverage(question.tokens[there] @ projection.matrix, [one.codes for one in found])
    candidates = [one.candidate for one in found]
    relevance = vectors @ unit_question(question) if vectors.shape[1] else _scaled(candidates)
    return Pool(
        question=question.text,
        candidates=candidates,
        relevance=relevance.astype(np.float32),
        similarity=np.clip(vectors @ vectors.T, -1.0, 1.0).astype(np.float32),
        coverage=covered,
        weights=np.ones(len(there), np.float32),
        costs=costs,
        hops=None if hops is None else np.array([hops.get(one.name, 0.0) for one in candidates], np.float32),
        aspects=[question.words[i].strip("#▁Ġ ") for i in there.tolist()],
    )


def _scaled(candidates: Sequence[Candidate]) -> F32:
    """Scores as shares of the best one, in place of cosines where there are no vectors."""
    scores = np.array([one.score for one in candidates], np.float32)
    return scores / max(float(scores.max(initial=0.0)), 1e-9)


def in_order(found: Sequence[Found]) -> list[Found]:
    """The best score first, equal ones by id, then tenant."""
    return sorted(found, key=lambda one: (-one.candidate.score, one.candidate.name))
