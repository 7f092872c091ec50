"""hnswlib with its filter, a Python function that is called for every record that the search meets.

The function is as fast as one can be that Python calls: an item of a ``bytearray``, by its bound method. The graph is
walked until ef allowed records are found, so selective filters make it visit all records.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import building
from bench.peers.base import Setting, sweep
from bench.peers.filter_base import FilterContender, Job
from bench.peers.hnswlib import EF, Hnswlib
from bench.peers.tenant_base import Search

MOST_QUERIES = 24  # of a class: a selective filter takes a fifth of a second


class HnswlibFilters(FilterContender):
    """The saved index, opened, with a byte for each record and filter."""

    name = "hnswlib-filter"
    most_queries = MOST_QUERIES
    most_rounds = 1

    def take(self, job: Job) -> dict[str, Any]:
        """Build the index in a process of its own (or take it from the cache) and read it."""
        report = building.build("hnswlib", job.arrays, job.metric, job.threads, job.work, reuse=job.reuse)
        dim = np.load(job.arrays.base(job.metric, True), mmap_mode="r").shape[1]
        opened: Any = building.opened("hnswlib", Path(report["folder"]), job.metric, dim)
        assert isinstance(opened, Hnswlib)
        self._index: Any = opened._index
        self._tenancy = job.filters.tenancy
        return {"load_s": report["build_s"], "facts": report["facts"] | {"reused": report["build_reused"]}}

    def settings(self) -> list[Setting]:
        """Sweep ef."""
        return sweep("ef", EF)

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Search on the calling thread, with the filter's function; None instead of its error for too few records."""
        index = self._index
        index.set_ef(max(int(setting.value), k))
        may = {tenant: None if tenant == 0 else self._function(tenant) for tenant in tenants}

        def search(query: np.ndarray, tenant: int) -> Any:
            try:
                return index.knn_query(query, k, num_threads=1, filter=may[tenant])
            except RuntimeError:  # fewer than k were found
                return None

        return search

    def _function(self, tenant: int) -> Any:
        mask = bytearray(len(self._tenancy.owner))
        np.frombuffer(mask, np.uint8)[self._tenancy.rows(tenant)] = 1
        return mask.__getitem__

    def rows(self, answer: Any) -> np.ndarray:
        """Labels are row numbers."""
        return np.empty(0, np.int64) if answer is None else np.asarray(answer[0])[0].astype(np.int64)

    def close(self) -> None:
        """Nothing but memory."""
        self._index = None
