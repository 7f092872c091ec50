"""Hot search: every setting of every contender in one process, interleaved, medians over rounds.

Interleaved, because two cores of a shared machine drift by ten per cent within minutes: contenders measured one after
the other would be compared with the weather in between. Each turn begins with a few queries that are not counted,
since the turn before it belonged to another index and filled the caches.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from bench import truth as exact
from bench.datasets import Dataset
from bench.peers.base import Contender, Setting

WARM_QUERIES = 30
# Settings outside are not timed: below, nobody would use them; above, more effort changes nothing but the time.
MIN_RECALL = 0.5
ENOUGH_RECALL = 0.9995


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One setting of one contender."""

    contender: str
    setting: Setting
    recall: float
    """Of the single queries."""
    recall_batch: float
    """Of the batch; differs from `recall` only if the two paths search differently."""
    p50_us: float
    p99_us: float
    qps: float
    """Queries per second, the whole batch on all threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An opened contender and what its answers are judged by."""

    contender: Contender
    queries: np.ndarray
    """(n_queries, dim) float32 in the form the contender wants (of unit length under cosine, or not)."""
    dataset: Dataset
    metric: str
    truth: exact.Truth


@dataclass(slots=True, kw_only=True)
class _Case:
    """A setting in the course of the measurement."""

    entry: Entry
    setting: Setting
    recall: float
    recall_batch: float = 0.0
    p50_ns: list[float] = field(default_factory=list)
    p99_ns: list[float] = field(default_factory=list)
    batch_s: list[float] = field(default_factory=list)


def run(entries: Sequence[Entry], *, k: int = 10, rounds: int = 5, threads: int = 2) -> list[list[Timing]]:
    """Measure all settings of all entries, interleaved.

    Parameters
    ----------
    entries : Sequence[Entry]
        What to measure.
    k : int
        Neighbours per query.
    rounds : int
        Times each setting has its turn; figures are medians over them.
    threads : int
        Threads of the batch searches. Single queries use one.

    Returns
    -------
    list[list[Timing]]
        For each entry the timings of its settings.
    """
    groups = [_cases(entry, k) for entry in entries]
    for _ in range(rounds):
        for case in _round_robin(groups):
            _time_turn(case, k, threads)
    for case in (case for group in groups for case in group):
        contender = case.entry.contender
        contender.apply(case.setting, threads)
        answer = contender.search_batch(case.entry.queries, k, case.setting, threads)
        case.recall_batch = recall_of(case.entry, contender.rows(answer), k)
    return [[_timing(case) for case in group] for group in groups]


def _cases(entry: Entry, k: int) -> list[_Case]:
    """Return the settings worth timing, with their recall; this first pass also brings everything into memory."""
    cases = []
    enough = False
    for setting in entry.contender.settings():
        if setting.swept and enough:
            continue
        recall = recall_of(entry, answers(entry.contender, entry.queries, k, setting), k)
        enough = enough or recall >= ENOUGH_RECALL
        if recall >= MIN_RECALL or not setting.swept:
            cases.append(_Case(entry=entry, setting=setting, recall=recall))
    return cases


def answers(contender: Contender, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
    """Search each query on its own; return the rows found, (n_queries, k) int64, -1 where there was nothing."""
    contender.apply(setting, 1)
    found = np.full((len(queries), k), -1, np.int64)
    for number, query in enumerate(queries):
        rows = contender.rows(contender.search_one(query, k, setting))[0]
        found[number, : len(rows)] = rows
    return found


def recall_of(entry: Entry, found: np.ndarray, k: int) -> float:
    """Return the recall@k of the rows found for an entry's queries, (n_queries, m)."""
    dataset = entry.dataset
    return exact.recall(found, dataset.base, dataset.queries, entry.metric, entry.truth, k)


def _round_robin(groups: Sequence[list[_Case]]) -> Iterator[_Case]:
    """First setting of each group, second of each, and so on."""
    for turn in zip_longest(*groups):
        yield from (case for case in turn if case is not None)


def _time_turn(case: _Case, k: int, threads: int) -> None:
    """One round of one setting: all queries singly, then as a batch."""
    contender, queries = case.entry.contender, case.entry.queries
    times = time_single(contender, queries, k, case.setting)
    case.p50_ns.append(float(np.percentile(times, 50)))
    case.p99_ns.append(float(np.percentile(times, 99)))
    contender.apply(case.setting, threads)
    contender.search_batch(queries[:WARM_QUERIES], k, case.setting, threads)
    started = time.perf_counter()
    contender.search_batch(queries, k, case.setting, threads)
    case.batch_s.append(time.perf_counter() - started)


def time_single(contender: Contender, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
    """Return the time of each query on its own, in nanoseconds, (n_queries,) int64."""
    contender.apply(setting, 1)
    search, clock = contender.search_one, time.perf_counter_ns
    lines = list(queries)  # rows as arrays of their own: cutting them out is the caller's cost in every library
    times = np.empty(len(lines), np.int64)
    for query in lines[:WARM_QUERIES]:
        search(query, k, setting)
    gc.collect()
    gc.disable()
    try:
        for number, query in enumerate(lines):
            started = clock()
            search(query, k, setting)
            times[number] = clock() - started
    finally:
        gc.enable()
    return times


def _timing(case: _Case) -> Timing:
    return Timing(
        contender=case.entry.contender.name,
        setting=case.setting,
        recall=case.recall,
        recall_batch=case.recall_batch,
        p50_us=float(np.median(case.p50_ns)) / 1e3,
        p99_us=float(np.median(case.p99_ns)) / 1e3,
        qps=len(case.entry.queries) / float(np.median(case.batch_s)),
    )
