"""faiss: one index over the records of all tenants, searched with a filter.

The filter is a bitmap over all rows, the fastest selector for tenants in no order, and is made before the clock starts.
"""

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np

from bench import building
from bench.memory import anonymous_mb
from bench.peers.base import Setting, sweep
from bench.peers.faiss_hnsw import EF
from bench.peers.faiss_ivf import NPROBE
from bench.peers.tenant_base import Load, Search, TenantContender

_faiss: Any = faiss  # its parameter classes get their constructors at import

MOST_EF = 4_096
"""Cap of efSearch. A query then visits several thousand records of all tenants and takes some ten milliseconds; a
tenant with one record in a thousand has four of them among 4,096, so more effort is no longer search but a scan."""
MOST_QUERIES = 200  # of a class: at milliseconds a query, p50 needs no more


class FaissFiltered(TenantContender):
    """A saved index of `index_name`, opened, with a selector for each tenant."""

    index_name: str
    _index: Any
    most_queries = MOST_QUERIES

    def load(self, job: Load) -> dict[str, Any]:
        """Build the index in a process of its own (or take it from the cache) and read it."""
        self._tenancy = job.tenancy
        report = building.build(self.index_name, job.arrays, job.metric, job.threads, job.work, reuse=job.reuse)
        before_mb, begun = anonymous_mb(), time.perf_counter()
        self._index = faiss.read_index(f"{report['folder']}/index.faiss")
        facts = {**report["facts"], "open_s": time.perf_counter() - begun, "reused": report["build_reused"]}
        return {"load_s": report["build_s"], "memory_mb": anonymous_mb() - before_mb, "facts": facts}

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Search on the calling thread, with the tenant's filter."""
        faiss.omp_set_num_threads(1)
        index, value = self._index, int(setting.value)
        filters = {tenant: self._filter(tenant) for tenant in tenants}
        parameters = {tenant: self._parameters(filters[tenant][0], value) for tenant in tenants}
        self._kept = filters  # the parameters refer to the selectors, and those to their bits, without owning them

        def search(query: np.ndarray, tenant: int) -> Any:
            return index.search(query[None], k, params=parameters[tenant])

        return search

    def _filter(self, tenant: int) -> tuple[Any, np.ndarray]:
        """Return a selector of the tenant's rows, and the bits it reads."""
        mask = np.zeros(len(self._tenancy.owner), bool)
        mask[self._tenancy.rows(tenant)] = True
        bits = np.packbits(mask, bitorder="little")
        return faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits)), bits

    @abstractmethod
    def _parameters(self, selector: Any, value: int) -> Any:
        """Parameters of one search."""

    def rows(self, answer: Any) -> np.ndarray:
        """Labels are row numbers, -1 where fewer were found."""
        return np.asarray(answer[1])[0].astype(np.int64)


class FaissHnswFilter(FaissFiltered):
    """The graph is walked as ever; records that the filter lets pass are kept."""

    name = "faiss-hnsw-filter"
    index_name = "faiss-hnsw"

    def settings(self) -> list[Setting]:
        """Sweep efSearch."""
        return sweep("ef", [*EF, 2_048, MOST_EF])

    def _parameters(self, selector: Any, value: int) -> Any:
        return _faiss.SearchParametersHNSW(sel=selector, efSearch=value)


class FaissIvfFilter(FaissFiltered):
    """Lists are read as ever; records that the filter lets pass are compared."""

    name = "faiss-ivf-filter"
    index_name = "faiss-ivf"

    def settings(self) -> list[Setting]:
        """Sweep nprobe up to all lists, which is exact search with a filter."""
        return sweep("nprobe", [*NPROBE, 768, 1_024, 1_536, 2_048, 1 << 20], int(self._index.nlist))

    def _parameters(self, selector: Any, value: int) -> Any:
        return _faiss.SearchParametersIVF(sel=selector, nprobe=value)
