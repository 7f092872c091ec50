"""hnswlib with an index for each tenant, in a dictionary: nothing is shared, and everything is in memory."""

import time
from collections.abc import Sequence
from typing import Any

import hnswlib
import numpy as np

from bench.memory import anonymous_mb
from bench.peers.base import Setting, sweep
from bench.peers.hnswlib import EF, EF_CONSTRUCTION, SPACES, M
from bench.peers.tenant_base import Load, Search, TenantContender


class HnswlibPerTenant(TenantContender):
    """The yardstick for latency: each tenant searches a graph of its own records and of no others."""

    name = "hnswlib-per-tenant"

    def load(self, job: Load) -> dict[str, Any]:
        """Build the graphs of the tenants that will be asked, each from all its records at once.

        An empty index takes 2.6 MB (its table of locks has a fixed size): those of 10,000 need over 24 GB.
        """
        vectors = np.load(job.arrays.base(job.metric, unit_vectors=True))
        before_mb, begun = anonymous_mb(), time.perf_counter()
        self._indexes, self._sizes = {}, job.tenancy.sizes
        for tenant, size in enumerate(self._sizes):
            if tenant not in job.asked:
                continue
            index = hnswlib.Index(space=SPACES[job.metric], dim=vectors.shape[1])
            index.init_index(max_elements=int(size), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
            rows = job.tenancy.rows(tenant)
            index.add_items(vectors[rows], rows, num_threads=job.threads)
            self._indexes[tenant] = index
        facts = {"M": M, "ef_construction": EF_CONSTRUCTION, "n_indexes": len(self._indexes)}
        load_s = time.perf_counter() - begun
        return {"load_s": load_s, "memory_mb": anonymous_mb() - before_mb, "facts": facts}

    def settings(self) -> list[Setting]:
        """Sweep ef."""
        return sweep("ef", EF)

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Look up the tenant's graph and search it on the calling thread."""
        indexes = {tenant: self._indexes[tenant] for tenant in tenants}
        wanted = {tenant: min(k, int(self._sizes[tenant])) for tenant in tenants}  # more than it holds is an error
        for index in indexes.values():
            index.set_ef(int(setting.value))

        def search(query: np.ndarray, tenant: int) -> Any:
            return indexes[tenant].knn_query(query, wanted[tenant], num_threads=1)

        return search

    def rows(self, answer: Any) -> np.ndarray:
        """Labels are row numbers."""
        return np.asarray(answer[0])[0].astype(np.int64)
