"""One search over the lists of one tenant or of several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.engine.allowed import Allowed
from ramet.engine.curves import probes_of_rank
from ramet.engine.explain import Explanation
from ramet.engine.planner import Plan
from ramet.engine.planner import plan as make_plan
from ramet.engine.residency import Residency
from ramet.engine.searcher import Floats, Rows, Searcher
from ramet.index.kernels.search import N_STATS


@dataclass(slots=True, kw_only=True)  # not frozen: that would cost a microsecond a query
class Effort:
    """How hard to search."""

    recall: float
    """Target, unless one of the following says otherwise."""
    nprobe: int | None = None
    exact: bool = False
    ratio: float = 0.0
    """Of true distances, beyond which lists are skipped; 0: none are."""
    n_threads: int = 1

    @property
    def target(self) -> float | None:
        """Recall that a filtered query goes on for; None when the caller says how much is read."""
        return self.recall if self.nprobe is None and not self.exact and not self.ratio else None

    def probes(self, searcher: Searcher, k: int) -> int:
        """Posting lists to read of one tenant."""
        if self.exact:
            return searcher.n_lists
        return searcher.nprobe_for(self.recall, k) if self.nprobe is None else min(self.nprobe, searcher.n_lists)


def search(
    searchers: Sequence[Searcher],
    queries: Floats,
    k: int,
    effort: Effort,
    residency: Residency,
    allowed: Sequence[Allowed | None] | None = None,
    explanation: Explanation | None = None,
) -> tuple[Rows, Floats]:
    """Rows and distances of the top ``k`` of each query.

    As many columns as the tenants have (allowed) records, at most ``k``. Rows are -1 and distances infinite where
    fewer were found. A row that several tenants see comes once.

    Parameters
    ----------
    allowed : sequence of Allowed or None, optional
        For each searcher the rows that may be returned; None: all of its tenant.
    explanation : Explanation, optional
        Filled with what was done.
    """
    if allowed is None and explanation is None:
        if len(searchers) == 1:
            return _of_one(searchers[0], queries, k, effort, residency)
        parts = [_of_one(searcher, queries, k, effort, residency) for searcher in searchers]
    else:
        sets: Sequence[Allowed | None] = [None] * len(searchers) if allowed is None else allowed
        parts = [
            _allowed_of_one(searcher, queries, k, effort, residency, mine, explanation)
            for searcher, mine in zip(searchers, sets, strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
    with nullcontext() if explanation is None else explanation.stage("merge"):
        rows = np.concatenate([rows for rows, _ in parts], axis=1)
        distances = np.concatenate([distances for _, distances in parts], axis=1)
        return _best(rows, distances, min(k, rows.shape[1]))


def _of_one(
    searcher: Searcher, queries: Floats, k: int, effort: Effort, residency: Residency, stats: Any = None
) -> tuple[Rows, Floats]:
    k = min(k, searcher.n_records)
    probes = effort.probes(searcher, k)
    return searcher.search(
        queries, k, probes, ratio=effort.ratio, exact=effort.exact, residency=residency, n_threads=effort.n_threads,
        stats=stats,
    )  # fmt: skip


def _allowed_of_one(
    searcher: Searcher,
    queries: Floats,
    k: int,
    effort: Effort,
    residency: Residency,
    allowed: Allowed | None,
    explanation: Explanation | None,
) -> tuple[Rows, Floats]:
    """One tenant, under a filter or explained."""
    explained = Explanation(wanted=False) if explanation is None else explanation
    n_allowed = searcher.n_records if allowed is None else min(allowed.count, searcher.n_records)
    k = min(k, n_allowed)
    with explained.stage("plan"):
        plan = plan_for(searcher, k, effort, n_allowed, filtered=allowed is not None)
    if allowed is None or plan.mode == "unfiltered":
        stats = np.zeros(N_STATS, np.int64)
        with explained.stage("search"):
            found = _of_one(searcher, queries, k, effort, residency, stats)
            if allowed is not None and k and found[0].min(initial=0) < 0:
                found = _completed(searcher, queries, found, allowed, residency)
    elif plan.mode == "nothing":
        found = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        stats = None
    else:
        with explained.stage("search"):
            rows, distances, stats = searcher.search_allowed(
                queries, k, plan, allowed, recall=effort.target, ratio=effort.ratio, residency=residency,
                n_threads=effort.n_threads,
            )  # fmt: skip
            found = rows, distances
    explained.tenant(searcher.tenant, plan, n_allowed, stats)
    return found


def _completed(
    searcher: Searcher, queries: Floats, found: tuple[Rows, Floats], allowed: Allowed, residency: Residency
) -> tuple[Rows, Floats]:
    """Answers without a filter, those with fewer than k rows found again as under one: k rows match, so k come back."""
    rows, distances = found
    short = np.flatnonzero(rows[:, -1] < 0)
    plan = Plan(mode="index", reason="fewer than k", nprobe=1, most=searcher.n_lists)
    rows[short], distances[short], _ = searcher.search_allowed(
        np.ascontiguousarray(queries[short]), rows.shape[1], plan, allowed, residency=residency
    )
    return rows, distances


def plan_for(searcher: Searcher, k: int, effort: Effort, n_allowed: int, *, filtered: bool) -> Plan:
    """The plan of a search of one tenant."""
    if not filtered:
        probes = effort.probes(searcher, k)
        return Plan(mode="unfiltered", reason="no filter", nprobe=probes, rank=float(k))
    recall = effort.recall
    return make_plan(
        searcher.facts(k, n_allowed),
        lambda rank: probes_of_rank(searcher.curve, searcher.n_lists, recall, rank),
        exact=effort.exact,
        nprobe=effort.nprobe,
    )


def _best(rows: Rows, distances: Floats, k: int) -> tuple[Rows, Floats]:
    """The ``k`` nearest of each line, each row once, ascending; ties by row, as a search of one tenant gives them."""
    order = np.lexsort((rows, distances), axis=1)
    rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
    again = np.zeros(rows.shape, bool)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]  # the same row has the same distance, so its copies lie together
    again |= rows < 0
    order = np.argsort(again, axis=1, kind="stable")
    rows = np.where(again, -1, rows)
    distances = np.where(again, np.float32(np.inf), distances).astype(np.float32)
    return np.take_along_axis(rows, order, 1)[:, :k], np.take_along_axis(distances, order, 1)[:, :k]
