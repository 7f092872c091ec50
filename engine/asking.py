"""From a checked question to hits: one snapshot, then near vectors, words, or both."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.engine import reads
from ramet.engine.allowed import Allowed
from ramet.engine.explain import Explanation
from ramet.engine.hits import Floats, Hits
from ramet.engine.opened import Opened
from ramet.engine.reads import Include
from ramet.engine.search import Effort, search
from ramet.engine.searcher import Rows, Searcher
from ramet.engine.searchers import StaleSnapshotError
from ramet.engine.text import fusion, keyword
from ramet.engine.where import Filter
from ramet.storage.snapshot import Snapshot
from ramet.storage.tenants import Member

EVERYTHING = Include()

LEAST_FUSED = 100
"""Candidates that either side of a hybrid search gives at least."""

Found = list[tuple[Rows, npt.NDArray[np.floating[Any]]]]


@dataclass(slots=True, kw_only=True)  # not frozen: that would cost a microsecond a query
class Question:
    """A query whose arguments are checked."""

    queries: Floats | None
    """(n, dim); None in a keyword search."""
    texts: list[str] | None
    single: bool
    k: int
    where: Filter | None
    effort: Effort
    include: Include
    fusion: str = "rrf"
    alpha: float = 0.5
    explain: bool = False
    check: bool = False
    known: npt.NDArray[np.bool_] | None = None
    """Texts whose vectors mean something; None: all."""
    corpus: list[keyword.Statistics] | None = None
    """For each text, when what is asked is a part of a larger corpus."""

    def __len__(self) -> int:
        if self.queries is not None:
            return len(self.queries)
        return len(self.texts or ())


def begin(opened: Opened, names: tuple[str, ...]) -> tuple[Snapshot, list[Searcher]]:
    """A snapshot, which the caller closes, and the searchers of the tenants that have lists in it."""
    while True:
        snapshot = opened.store.read()
        try:
            found = [opened.searchers.of(snapshot, name) for name in names]
        except StaleSnapshotError:  # another thread has seen a newer commit since: so do we
            snapshot.close()
            continue
        except BaseException:
            snapshot.close()
            raise
        return snapshot, [searcher for searcher in found if searcher is not None and searcher.n_lists]


def near(
    opened: Opened,
    names: tuple[str, ...],
    queries: Floats,
    single: bool,
    k: int,
    effort: Effort,
    include: Include,
    check: bool,
) -> Hits:
    """Near vectors, without a filter: the shortest way."""
    settings = opened.settings
    snapshot, searchers = begin(opened, names)
    with snapshot:
        if not searchers or len(queries) == 0:
            return reads.no_hits(len(queries), single, settings, include)
        if check:
            _check(snapshot, searchers, queries, effort, k)
        rows, distances = search(searchers, queries, k, effort, opened.residency)
        return reads.hits(snapshot, settings, rows, distances, single, include, [one.tenant for one in searchers])


def _check(snapshot: Snapshot, searchers: list[Searcher], queries: Floats, effort: Effort, k: int) -> None:
    for searcher in searchers:
        reads.check_lists(snapshot, searcher, queries, effort.probes(searcher, k))


def answer(opened: Opened, question: Question, mode: str, names: tuple[str, ...]) -> Hits:
    """Hits found in the long way, for tenants by name: filtered, by words, fused or explained."""
    begun = time.perf_counter()
    snapshot, searchers = begin(opened, names)
    with snapshot:
        scope = Scope(
            opened=opened,
            snapshot=snapshot,
            names=names,
            searchers=searchers,
            question=question,
            explanation=Explanation(len(question), wanted=question.explain),
        )
        found = _WAYS[mode](scope)
        if question.explain:
            named = {one.number: one.name for one in scope.members}  # a number would tell how many tenants there are
            for shown in scope.explanation.tenants:
                shown["tenant"] = named[shown["tenant"]]
    if question.explain:
        scope.explanation.total_us = (time.perf_counter() - begun) * 1e6
        found.explanation = scope.explanation
    return found


@dataclass(kw_only=True)
class Scope:
    """What a filtered question is asked of: tenants that exist, and the rows of each that it may find."""

    opened: Opened
    snapshot: Snapshot
    names: tuple[str, ...]
    searchers: list[Searcher]
    question: Question
    explanation: Explanation

    @cached_property
    def members(self) -> list[Member]:
        """The tenants that exist, those without lists included."""
        found = [self.snapshot.member_named(name) for name in self.names]
        return [member for member in found if member is not None]

    def near(self, queries: Floats, k: int) -> tuple[Rows, Floats]:
        """Rows and distances of the records nearest to each query."""
        question, chosen = self.question, self.question.where
        if not self.searchers or not len(queries):
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        if question.check:
            _check(self.snapshot, self.searchers, queries, question.effort, k)
        allowed: list[Allowed | None] | None = None
        if chosen is not None:
            filters, snapshot = self.opened.filters, self.snapshot
            with self.explanation.stage("filter"):
                allowed = [filters.of(snapshot, s.tenant, s.changed, chosen, listed=True) for s in self.searchers]
        residency = self.opened.residency
        return search(self.searchers, queries, k, question.effort, residency, allowed, self.explanation)

    def words(self, number: int, k: int) -> tuple[Rows, Floats]:
        """Rows and scores of the records whose documents fit the words of a text best."""
        assert self.question.texts is not None
        text, corpus = self.question.texts[number], self.question.corpus
        filters, chosen, snapshot = self.opened.filters, self.question.where, self.snapshot
        changed = {member.number: member.changed for member in self.members}

        def rows(tenant: int, chosen: Filter | None) -> BitMap:
            return filters.of(snapshot, tenant, changed[tenant], chosen).bitmap

        with self.explanation.stage("filter"):
            allowed = None if chosen is None else {tenant: rows(tenant, chosen) for tenant in changed}
        with self.explanation.stage("words"):
            analyzer = self.opened.live.analyzer
            return keyword.search(
                snapshot, list(changed), analyzer, text, k, lambda tenant: rows(tenant, None), allowed,
                None if corpus is None else corpus[number],
            )  # fmt: skip


def statistics(opened: Opened, texts: list[str], names: tuple[str, ...]) -> list[keyword.Statistics]:
    """What the scores of keyword searches of some tenants depend on, for each text."""
    with opened.store.read() as snapshot:
        changed = {one.number: one.changed for name in names if (one := snapshot.member_named(name)) is not None}

        def rows(tenant: int) -> BitMap:
            return opened.filters.of(snapshot, tenant, changed[tenant], None).bitmap

        analyzer = opened.live.analyzer
        return [keyword.statistics(snapshot, list(changed), analyzer, text, rows) for text in texts]


def _filtered(scope: Scope) -> Hits:
    question, settings = scope.question, scope.opened.settings
    assert question.queries is not None
    rows, distances = scope.near(question.queries, question.k)
    with scope.explanation.stage("records"):
        if not rows.shape[1]:
            return reads.no_hits(len(rows), question.single, settings, question.include)
        tenants = [searcher.tenant for searcher in scope.searchers]
        return reads.hits(scope.snapshot, settings, rows, distances, question.single, question.include, tenants)


def _words(scope: Scope) -> Hits:
    assert scope.question.texts is not None
    return _ranked(scope, [scope.words(i, scope.question.k) for i in range(len(scope.question.texts))])


def _hybrid(scope: Scope) -> Hits:
    """Both rankings, fused."""
    question = scope.question
    assert question.queries is not None and question.texts is not None
    depth = max(LEAST_FUSED, 2 * question.k)
    near, distances = scope.near(question.queries, depth)
    found: Found = []
    for i in range(len(question.texts)):
        there = (near[i] >= 0) & (question.known is None or bool(question.known[i]))
        dense = near[i][there], -distances[i][there]
        worded = scope.words(i, depth)
        with scope.explanation.stage("fuse"):
            if question.fusion == "rrf":
                found.append(fusion.reciprocal_rank(dense[0], worded[0], question.k))
            else:
                found.append(fusion.weighted(dense, worded, question.k, question.alpha))
    return _ranked(scope, found)


def _ranked(scope: Scope, found: Found) -> Hits:
    question = scope.question
    tenants = [member.number for member in scope.members]
    with scope.explanation.stage("records"):
        return reads.ranked(scope.snapshot, scope.opened.settings, found, question.single, question.include, tenants)


_WAYS = {"dense": _filtered, "keyword": _words, "hybrid": _hybrid}
