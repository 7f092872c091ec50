"""What every contender of ``bench filters`` is given. They are tenants' contenders whose tenants are filters."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.building import Arrays
from bench.filter_sets import Fields, Filters
from bench.peers.tenant_base import Load, TenantContender


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to load, and how."""

    arrays: Arrays
    fields: Fields
    filters: Filters
    metric: str
    threads: int
    work: Path
    """Folder of this run."""
    reuse: bool
    """Take peers' indexes of earlier runs from the cache."""

    def as_load(self) -> Load:
        """The same for a contender that keeps tenants apart by filters."""
        return Load(
            arrays=self.arrays,
            tenancy=self.filters.tenancy,
            asked=frozenset(range(len(self.filters.chosen))),
            metric=self.metric,
            threads=self.threads,
            batch=10_000,
            work=self.work,
            reuse=self.reuse,
        )


class FilterContender(TenantContender):
    """Searches with filters named by number; number 0 is no filter."""

    @abstractmethod
    def take(self, job: Job) -> dict[str, Any]:
        """Take in all records and their metadata, and be ready; return ``load_s`` and further facts."""

    def load(self, job: Load) -> dict[str, Any]:
        """Not by itself: see `take`."""
        raise NotImplementedError("filters are loaded by take")
