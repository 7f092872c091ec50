"""From a checked question to hits, over all shards that can hold an answer."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ramet.engine.asking import LEAST_FUSED, Question
from ramet.engine.explain import Explanation
from ramet.engine.hits import Floats, Hits
from ramet.engine.reads import Include
from ramet.engine.search import Effort
from ramet.engine.sharded.merging import Merged, Part
from ramet.engine.sharded.opened import Shards
from ramet.engine.sharded.routing import probes_of, rounded, shares
from ramet.engine.sharded.shard import Facts
from ramet.engine.text import fusion
from ramet.engine.text.keyword import Statistics

I64 = npt.NDArray[np.int64]


def near(
    shards: Shards, names: tuple[str, ...], queries: Floats, k: int, effort: Effort, include: Include, check: bool
) -> Merged:
    """Near vectors, without a filter: in the shards that are near, and in the others where these hold too few."""
    facts: list[list[Facts]] = shards.ask("facts", names, effort.recall, k)
    wanted = np.zeros((len(queries), len(facts)), np.int64)
    for i, tenant in enumerate(names if len(queries) else ()):
        theirs = [shard[i] for shard in facts]
        wanted = np.maximum(wanted, shares(shards, queries, probes_of(shards, tenant, theirs, effort, k), theirs))
    parts = _searched(shards, names, queries, wanted, k, effort, include, check)
    merged = Merged(len(queries), k, parts, once=len(names) == 1)
    there = max((sum(shard[i].records for shard in facts) for i in range(len(names))), default=0)
    short = np.array([len(found) < min(k, there) for found in merged.found], bool)
    rest = np.where((wanted == 0) & short[:, None], [max(one.lists for one in shard) for shard in facts], 0)
    if not rest.any():
        return merged
    parts += _searched(shards, names, queries, rest, k, effort, include, check)
    return Merged(len(queries), k, parts, once=len(names) == 1)


def _searched(
    shards: Shards,
    names: tuple[str, ...],
    queries: Floats,
    wanted: I64,
    k: int,
    effort: Effort,
    include: Include,
    check: bool,
) -> list[Part]:
    """Hits of each shard for the queries that want lists of it; those that want about as many go together."""
    calls, chosen = [], []
    probes = rounded(wanted)
    for shard in range(wanted.shape[1]):
        for number in np.unique(probes[wanted[:, shard] > 0, shard]).tolist():
            mine = np.flatnonzero((probes[:, shard] == number) & (wanted[:, shard] > 0))
            how = effort if effort.exact else replace(effort, nprobe=number)
            calls.append((shard, "near", (names, np.ascontiguousarray(queries[mine]), k, how, include, check)))
            chosen.append(mine)
    return list(zip(chosen, shards.host.call(calls), strict=True))


def filtered(shards: Shards, question: Question, names: tuple[str, ...], k: int, explained: Explanation) -> Merged:
    """Near vectors under a filter, or explained: each shard finds ``k``, as records that match may be in any."""
    part = replace(question, texts=None, single=False, k=k)
    return _merged(shards, part, "dense", names, explained)


def words(shards: Shards, question: Question, names: tuple[str, ...], k: int, explained: Explanation) -> Merged:
    """The documents that fit words best, with scores by the statistics of all shards together."""
    texts = question.texts or []
    counted: list[list[Statistics]] = shards.ask("statistics", texts, names)
    corpus = list(counted[0])
    for more in counted[1:]:
        corpus = [one + other for one, other in zip(corpus, more, strict=True)]
    part = replace(question, queries=None, single=False, k=k, corpus=corpus)
    return _merged(shards, part, "keyword", names, explained)


def _merged(shards: Shards, part: Question, mode: str, names: tuple[str, ...], explained: Explanation) -> Merged:
    found: list[Hits] = shards.ask("answer", part, mode, names)
    for entry, hits in zip(shards.manifest.shards, found, strict=True):
        if hits.explanation is not None:
            _explain(explained, entry.name, hits.explanation)
    every = np.arange(len(part), dtype=np.int64)
    return Merged(len(part), part.k, [(every, hits) for hits in found], once=len(names) == 1)


def _explain(explained: Explanation, shard: str, more: Explanation) -> None:
    for stage, microseconds in more.stages.items():
        explained.add(stage, microseconds)
    explained.tenants.extend({**tenant, "shard": shard} for tenant in more.tenants)


def answer(shards: Shards, question: Question, mode: str, names: tuple[str, ...], explained: Explanation) -> Hits:
    """Hits of a question that is filtered, by words, both or explained."""
    settings, include = shards.manifest.settings, question.include
    if mode == "keyword":
        found = words(shards, question, names, question.k, explained)
        return found.hits(settings, question.single, include, ranked=True)
    if mode == "dense":
        found = filtered(shards, question, names, question.k, explained)
        return found.hits(settings, question.single, include, ranked=False)
    return _hybrid(shards, question, names, explained)


def _hybrid(shards: Shards, question: Question, names: tuple[str, ...], explained: Explanation) -> Hits:
    """Both rankings over all shards, fused."""
    assert question.queries is not None
    depth = max(LEAST_FUSED, 2 * question.k)
    asked = replace(question, include=replace(question.include, tenants=True))
    if question.where is None and not question.explain:
        dense = near(shards, names, question.queries, depth, question.effort, asked.include, question.check)
    else:
        dense = filtered(shards, asked, names, depth, explained)
    worded = words(shards, asked, names, depth, explained)
    fused = _Fused(dense, worded, question)
    return fused.hits(shards.manifest.settings, question.single, question.include, ranked=True)


class _Fused(Merged):
    """Two lists of hits of each query, fused to one."""

    def __init__(self, dense: Merged, worded: Merged, question: Question) -> None:
        self._parts = [*dense._parts, *worded._parts]  # both are of this class
        shift = len(dense._parts)
        known = question.known
        self.found = []
        for i, (near, words) in enumerate(zip(dense.found, worded.found, strict=True)):
            kept = near if known is None or known[i] else []
            self.found.append(self._fused(kept, [(d, part + shift, row, at) for d, part, row, at in words], question))

    def _fused(
        self, near: list[tuple[float, int, int, int]], words: list[tuple[float, int, int, int]], question: Question
    ) -> list[tuple[float, int, int, int]]:
        """The best of both; a record is the same in both by its id and tenant."""
        number: dict[tuple[str, str], int] = {}
        every: list[tuple[float, int, int, int]] = []
        ranks = []
        for found in (near, words):
            tenants = self.column("tenants", found)
            rows = np.empty(len(found), np.int64)
            for i, one in enumerate(found):
                key = (self.id_of(one), tenants[i])
                rows[i] = number.setdefault(key, len(every))
                if rows[i] == len(every):
                    every.append(one)
            ranks.append((rows, -np.array([one[0] for one in found], np.float64)))
        (dense, _), (worded, _) = ranks
        if question.fusion == "rrf":
            best, scores = fusion.reciprocal_rank(dense, worded, question.k)
        else:
            best, scores = fusion.weighted(ranks[0], ranks[1], question.k, question.alpha)
        return [(-score, *every[row][1:]) for row, score in zip(best.tolist(), scores.tolist(), strict=True)]


def explained(shards: Shards, question: Question, mode: str, names: tuple[str, ...]) -> Hits:
    """As `answer`, with an explanation where one is wanted."""
    begun, explanation = perf_counter(), Explanation(len(question), wanted=question.explain)
    found = answer(shards, question, mode, names, explanation)
    if question.explain:
        explanation.total_us = (perf_counter() - begun) * 1e6
        found.explanation = explanation
    return found


def scanned(shards: Shards, queries: Floats, effort: Effort, names: tuple[str, ...]) -> float:
    """Rows that a query compares its vector with, on average over the queries, in all shards that it is sent to."""
    k, total = 10, 0.0
    facts: list[list[Facts]] = shards.ask("facts", names, effort.recall, k)
    for i, tenant in enumerate(names if len(queries) else ()):
        theirs = [shard[i] for shard in facts]
        wanted = rounded(shares(shards, queries, probes_of(shards, tenant, theirs, effort, k), theirs))
        for shard in range(wanted.shape[1]):
            for number in np.unique(wanted[wanted[:, shard] > 0, shard]).tolist():
                mine = np.flatnonzero(wanted[:, shard] == number)
                how = replace(effort, nprobe=number)
                part = np.ascontiguousarray(queries[mine])
                (mean,) = shards.host.call([(shard, "scanned", (part, how, (tenant,)))])
                total += mean * len(mine)
    return total / max(len(queries), 1)
