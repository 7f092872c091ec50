"""Filling empty indexes batch by batch: Ramet durably, hnswlib in memory."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import live
from bench.building import unit
from bench.datasets import Dataset
from bench.live import Calls, Stopwatch
from bench.peers.ramet import COLLECTION

ORDERS = ("shuffled", "stored")
WINDOW = 10
"""Consecutive batches over which the worst rate is taken."""


def arranged(dataset: Dataset, order: str) -> Dataset:
    """Return the data set with its rows in the order in which they arrive.

    ``stored`` is the order of the set itself, by frequency of the words: what arrives is less and less like what is
    there already. ``shuffled`` is a seeded random order.
    """
    if order == "stored":
        return dataset
    rows = np.random.default_rng(live.ORDER_SEED).permutation(len(dataset.base))
    return Dataset(
        name=dataset.name, base=dataset.base[rows], queries=dataset.queries, metric=dataset.metric, full=dataset.full
    )


def fill_ramet(dataset: Dataset, metric: str, codes: str, batch: int, folder: Path) -> Calls:
    """Fill a new collection in `folder` (in place of an older one) by durable upserts; the ids are row numbers."""
    shutil.rmtree(folder, ignore_errors=True)
    with ramet.connect(folder, create=True) as database:
        docs = live.create(database, COLLECTION, dataset.base.shape[1], metric, codes)
        return live.upsert_all(docs, dataset.base, [str(row) for row in range(len(dataset.base))], batch)


def fill_hnswlib(dataset: Dataset, metric: str, batch: int, threads: int) -> Calls:
    """Add all vectors to an hnswlib graph whose size is known in advance. Nothing is written to disk."""
    import hnswlib

    from bench.peers.hnswlib import EF_CONSTRUCTION, SPACES, M

    vectors = unit(dataset.base) if metric == "cosine" else dataset.base
    index = hnswlib.Index(space=SPACES[metric], dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    watch = Stopwatch()
    for part in live.batches(len(vectors), batch):
        rows = np.arange(part.start, part.stop)
        watch.time(len(rows), index.add_items, vectors[part], rows, num_threads=threads)
    return watch.calls()


def build_fresh(dataset: Dataset, metric: str, codes: str, folder: Path, threads: int, first: int = 0) -> float:
    """Build a new collection in `folder` from all vectors at once; return the seconds. Ids count from `first`."""
    ids = [str(first + row) for row in range(len(dataset.base))]
    with ramet.connect(folder, create=True) as database:
        docs = live.create(database, COLLECTION, dataset.base.shape[1], metric, codes)
        return live.timed(lambda: docs.build(dataset.base, ids, n_threads=threads))


def line(contender: str, runs: list[Calls]) -> dict[str, Any]:
    """Return what several fills by one contender come to: medians, but the worst of what must not happen."""
    rates = [calls.rate for calls in runs]
    typical = runs[int(np.argsort(rates)[len(rates) // 2])]
    seconds = np.concatenate([calls.seconds for calls in runs])
    return {
        "kind": "fill",
        "contender": contender,
        "records_per_s": float(np.median(rates)),
        "total_s": float(np.median([calls.total_s for calls in runs])),
        "worst_window_per_s": float(min(calls.rates(WINDOW).min() for calls in runs)),
        "window": WINDOW,
        "call_p50_s": float(np.percentile(seconds, 50)),
        "call_p99_s": float(np.percentile(seconds, 99)),
        "slowest_call_s": float(seconds.max()),
        # the time series of the round with the median rate
        "ends_s": (typical.begun_s + typical.seconds).tolist(),
        "call_s": typical.seconds.tolist(),
        "call_records": int(typical.records[0]),
    }
