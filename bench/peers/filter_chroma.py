"""Chroma with the same metadata and conditions, in a process and a Python environment of its own, where it is timed."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench import chroma
from bench.datasets import cache_dir
from bench.peers.base import Setting, sweep
from bench.peers.filter_base import FilterContender, Job
from bench.peers.tenant_base import Search

EF = [100, 400]  # the default, and more; every change means opening the collection again, which takes seconds
MOST_QUERIES = 12  # of a class: with a filter, one takes seconds
WARM_QUERIES = 1
_REPORT = "bench-report.json"


class ChromaFilters(FilterContender):
    """A persistent collection; M and ef of its construction as with the other graphs."""

    name = "chroma"
    most_queries = MOST_QUERIES
    most_rounds = 1

    def take(self, job: Job) -> dict[str, Any]:
        """Fill the collection (or take it from the cache)."""
        fields = json.dumps(job.fields.dicts())
        digest = hashlib.sha256(fields.encode()).hexdigest()[:12]
        name = f"{job.arrays.folder.name}-{job.metric}-{digest}-chroma-{chroma.VERSION}"
        folder = cache_dir() / "indexes" / name if job.reuse else job.work / "chroma"
        self._wheres, self._ef = job.filters.wheres(), 0
        report = folder / _REPORT
        reused = report.exists()
        if not reused:
            shutil.rmtree(folder, ignore_errors=True)
        self._process = chroma.beside(folder)
        if not reused:
            file = job.work / "fields.json"
            file.write_text(fields)
            base = str(job.arrays.base(job.metric, unit_vectors=True))
            message = {"do": "load", "base": base, "fields": str(file), "metric": job.metric}
            report.write_text(json.dumps(self._process.ask(message)))
        facts: dict[str, Any] = json.loads(report.read_text())
        return facts | {"facts": {"reused": reused, "version": chroma.VERSION}}

    def settings(self) -> list[Setting]:
        """Sweep ef_search."""
        return sweep("ef", EF)

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Ask the other process, query by query."""
        self._apply(setting)

        def search(query: np.ndarray, tenant: int) -> Any:
            return self._ask([query], [tenant], k)["ids"][0]

        return search

    def times(self, setting: Setting, queries: Sequence[np.ndarray], tenants: Sequence[int], k: int) -> np.ndarray:
        """Time queries in the other process."""
        self._apply(setting)
        return np.array(self._ask(queries, tenants, k, WARM_QUERIES)["ns"], np.int64)

    def _apply(self, setting: Setting) -> None:
        if self._ef != int(setting.value):
            self._ef = int(setting.value)
            self._process.ask({"do": "effort", "ef": self._ef})

    def _ask(self, queries: Sequence[np.ndarray], tenants: Sequence[int], k: int, warm: int = 0) -> Any:
        asked = {"queries": [query.tolist() for query in queries], "wheres": [self._wheres[one] for one in tenants]}
        return self._process.ask({"do": "query", **asked, "k": k, "warm": warm})

    def rows(self, answer: Any) -> np.ndarray:
        """Ids are row numbers in decimal."""
        return np.array([int(name) for name in answer], np.int64)

    def close(self) -> None:
        """End the process."""
        self._process.__exit__(None, None, None)
