"""faiss with a bitmap of the allowed rows, made before the clock starts; without a filter, its plain search."""

from typing import Any

import numpy as np

from bench.peers.filter_base import FilterContender, Job
from bench.peers.tenant_faiss import FaissFiltered, FaissHnswFilter, FaissIvfFilter


class FaissWithFilters(FaissFiltered, FilterContender):
    """An index whose tenants are filters."""

    def take(self, job: Job) -> dict[str, Any]:
        """Build or read the index."""
        return FaissFiltered.load(self, job.as_load())

    def _filter(self, tenant: int) -> tuple[Any, np.ndarray]:
        if tenant == 0:
            return None, np.empty(0, np.uint8)
        return super()._filter(tenant)


class FaissHnswFilters(FaissWithFilters, FaissHnswFilter):
    """The graph is walked as ever; records that the filter lets pass are kept."""


class FaissIvfFilters(FaissWithFilters, FaissIvfFilter):
    """Lists are read as ever; records that the filter lets pass are compared."""
