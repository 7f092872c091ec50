"""Checks of correctness on real sets: what a benchmark of speed takes for granted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import summary
from bench import truth as exact
from bench.datasets import Dataset
from bench.peers.ramet import NPROBE, id_rows

RELATIVE = 1e-5
"""Largest difference of a reported distance from the float64 one, as a share of the size of the numbers it is made of.

Float32 sums of several hundred products are good to about 1e-6 of that."""
BATCH = 10_000
PROMISED_RECALL = 0.95  # of a query that names neither recall nor nprobe


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found."""

    check: str
    ok: bool
    detail: str
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A built collection and what its answers are judged by."""

    docs: Any
    dataset: Dataset
    metric: str
    truth: exact.Truth
    n_lists: int
    threads: int
    k: int = 10


def all_checks(subject: Subject, n_full: int) -> Iterator[Check]:
    """Run all checks; `n_full` queries for those that read every list."""
    n_lists = subject.n_lists
    full: list[tuple[str, dict[str, Any]]] = [("full probe", {"nprobe": n_lists}), ("exact=True", {"exact": True})]
    for label, arguments in full:
        yield same_as_exact(subject, label, arguments, n_full)
    yield from reachable(subject)
    yield default_recall(subject)
    yield single_like_batch(subject)
    yield finds_itself(subject)


def same_as_exact(subject: Subject, label: str, arguments: dict[str, Any], n_queries: int) -> Check:
    """Ids (up to ties) and distances equal exact search."""
    queries = subject.dataset.queries[:n_queries]
    k = min(subject.k, subject.truth.rows.shape[1])
    found = subject.docs.query(queries, subject.k, n_threads=subject.threads, **arguments)
    rows, distances = id_rows(found.ids), np.asarray(found.distances, np.float64)
    part = exact.Truth(
        rows=subject.truth.rows[: len(queries)],
        distances=subject.truth.distances[: len(queries)],
        slack=subject.truth.slack[: len(queries)],
    )
    hits = exact.hits(rows, subject.dataset.base, queries, subject.metric, part, k)
    scale = part.slack / exact.SLACK_SHARE  # (n_queries,)
    true = exact.distances_to(subject.dataset.base, queries, rows, subject.metric)
    of_row = _worst(distances, true, scale)
    of_rank = _worst(distances, part.distances[:, : distances.shape[1]], scale)
    missed = int((hits < k).sum())
    ok = missed == 0 and of_row <= RELATIVE and of_rank <= RELATIVE
    detail = f"{missed} of {len(queries)} queries differ; distances off by {max(of_row, of_rank):.1e} of their scale"
    return Check(check=f"{label} equals exact search", ok=ok, detail=detail, value=max(of_row, of_rank))


def _worst(found: np.ndarray, true: np.ndarray, scale: np.ndarray) -> float:
    if found.shape != true.shape or not np.isfinite(found).all():
        return float("inf")
    return float((np.abs(found - true) / np.maximum(scale[:, None], np.abs(true))).max())


def reachable(subject: Subject) -> Iterator[Check]:
    """Recall 0.95 and 0.99 are reached by some number of probes."""
    best = (0.0, 0)
    needed: dict[float, int] = {}
    for nprobe in sorted({min(probes, subject.n_lists) for probes in [*NPROBE, 1_024, 2_048, subject.n_lists]}):
        best = max(best, (float(_recalls(subject, nprobe=nprobe).mean()), nprobe))
        for target in summary.TARGETS:
            if best[0] >= target:
                needed.setdefault(target, nprobe)
        if len(needed) == len(summary.TARGETS):
            break
    for target in summary.TARGETS:
        detail = f"with {needed[target]} probes" if target in needed else f"best {best[0]:.4f} with {best[1]} probes"
        yield Check(check=f"recall {target} reachable", ok=target in needed, detail=detail, value=needed.get(target))


def default_recall(subject: Subject) -> Check:
    """A query that asks for nothing gets the promised recall, within the noise of the queries' number."""
    recalls = _recalls(subject)
    recall, noise = float(recalls.mean()), 2 * float(recalls.std()) / np.sqrt(len(recalls))
    detail = f"{recall:.4f} (+- {noise:.4f}), promised {PROMISED_RECALL}"
    return Check(check="default recall", ok=bool(recall >= PROMISED_RECALL - noise), detail=detail, value=recall)


def _recalls(subject: Subject, **arguments: Any) -> np.ndarray:
    """Recall of each query, (n_queries,)."""
    dataset, k = subject.dataset, min(subject.k, subject.truth.rows.shape[1])
    found = subject.docs.query(dataset.queries, subject.k, n_threads=subject.threads, **arguments)
    return exact.hits(id_rows(found.ids), dataset.base, dataset.queries, subject.metric, subject.truth, k) / k


def single_like_batch(subject: Subject, n_queries: int = 100) -> Check:
    """One query at a time and a batch give the same ids."""
    queries = subject.dataset.queries[:n_queries]
    batch = subject.docs.query(queries, subject.k, n_threads=subject.threads).ids
    different = sum(
        list(subject.docs.query(query, subject.k).ids) != list(ids) for query, ids in zip(queries, batch, strict=True)
    )
    detail = f"{different} of {len(queries)} queries differ"
    return Check(check="single query equals batch", ok=different == 0, detail=detail, value=float(different))


def finds_itself(subject: Subject, progress: Callable[[int], None] | None = None) -> Check:
    """Each stored vector is found by itself at the default number of probes."""
    base = subject.dataset.base
    lost, nearest = lost_rows(subject.docs, base, subject.metric, subject.k, subject.threads, progress=progress)
    detail = f"{lost} of {len(base)} rows not found, {nearest} of them nearer to themselves than all they were given"
    return Check(check="each stored vector finds itself", ok=lost == 0, detail=detail, value=float(lost))


def lost_rows(
    docs: Any,
    base: np.ndarray,
    metric: str,
    k: int,
    threads: int,
    *,
    first: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Count rows that their own vectors do not find.

    A row may be missing from its own answer only if k others are at least as near: identical vectors, or under ``ip``
    longer ones in its direction.

    Parameters
    ----------
    docs : Collection
        Holds the rows of `base`, (n, dim) float32; row i has the id ``first + i``.
    progress : Callable[[int], None], optional
        Called with the number of rows done.

    Returns
    -------
    tuple[int, int]
        Rows not found, and how many of them are nearer to themselves than everything they were given.
    """
    lost = nearest = 0
    for start in range(0, len(base), BATCH):
        stop = min(start + BATCH, len(base))
        found = docs.query(base[start:stop], k, n_threads=threads)
        rows, distances = id_rows(found.ids), np.asarray(found.distances, np.float64)
        own = np.arange(start, stop)
        missing = np.flatnonzero(~(rows == first + own[:, None]).any(axis=1))
        if len(missing):
            lost += int(_displaced_wrongly(base, own[missing], distances[missing, -1], metric).sum())
            nearest += int(_displaced_wrongly(base, own[missing], distances[missing, 0], metric).sum())
        if progress is not None:
            progress(stop)
    return lost, nearest


def _displaced_wrongly(base: np.ndarray, rows: np.ndarray, last: np.ndarray, metric: str) -> np.ndarray:
    """Whether each row is nearer to itself than the last neighbour it was given, beyond rounding."""
    own = exact.distances_to(base, base[rows], rows[:, None], metric)[:, 0]
    squared = np.square(base[rows].astype(np.float64)).sum(axis=1)
    scale = np.ones(len(rows)) if metric == "cosine" else squared
    return np.asarray(own < last - RELATIVE * scale)
