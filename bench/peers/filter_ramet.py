"""Ramet: metadata in the collection, and ``where=`` with every query."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import child
from bench.filter_sets import Fields
from bench.peers.base import Setting, disk_bytes
from bench.peers.filter_base import FilterContender, Job
from bench.peers.ramet import COLLECTION, Ramet, id_rows
from bench.peers.tenant_base import Search
from bench.peers.tenant_ramet import DEFAULT


class RametFilters(FilterContender):
    """Built with its metadata, and asked for its default recall. Filters were evaluated before the clock starts."""

    unit_vectors = False
    untuned = DEFAULT

    def __init__(self, codes: str) -> None:
        self.codes = codes
        self.name = f"ramet-{codes}"

    def take(self, job: Job) -> dict[str, Any]:
        """Build the collection in a child process, then open it here."""
        folder, fields = job.work / self.name, job.work / "fields.npz"
        job.fields.save(fields)
        facts = child.run(
            "build-filters",
            {
                "base": str(job.arrays.base(job.metric, unit_vectors=False)),
                "fields": str(fields),
                "metric": job.metric,
                "codes": self.codes,
                "threads": job.threads,
                "folder": str(folder),
            },
        )
        self._wheres = job.filters.wheres()
        self._database = ramet.connect(folder)
        self.docs: Any = self._database.collection(COLLECTION)
        return facts

    def settings(self) -> list[Setting]:
        """Nothing to tune."""
        return []

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Query, and read the ids and distances, which are part of what the others return."""
        wheres, query = self._wheres, self.docs.query
        for number in tenants:
            query(np.ones(self.docs.dim, np.float32), k, where=wheres[number])

        def search(vector: np.ndarray, number: int) -> Any:
            found = query(vector, k, where=wheres[number], include=())
            return found.ids, found.distances

        return search

    def rows(self, answer: Any) -> np.ndarray:
        """Ids are row numbers in decimal."""
        return id_rows(answer[0])[0]

    def explained(self, query: np.ndarray, number: int, k: int) -> dict[str, Any]:
        """How the planner answers a query with a filter."""
        found: Any = self.docs.query(query, k, where=self._wheres[number], explain=True)
        said: dict[str, Any] = found.explanation.to_dict()
        return said

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class RametNewFilters(FilterContender):
    """The same collection; every query comes with a filter that was not met before."""

    unit_vectors = False
    untuned = DEFAULT

    def __init__(self, other: RametFilters) -> None:
        self._other = other
        self.name = f"{other.name} (new filter)"

    def take(self, job: Job) -> dict[str, Any]:
        """Nothing: the other one has it open."""
        return {"load_s": None}

    def settings(self) -> list[Setting]:
        """Nothing to tune."""
        return []

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Query after what is known of filters was forgotten.

        Filters of the same cost that differ in every query would need a truth for each of them. Forgetting is no
        business of users, so there is no public way to do it; it takes a fraction of a microsecond.
        """
        warm = self._other.searcher(setting, tenants, k)
        forget = self._other.docs._opened.filters.clear

        def search(vector: np.ndarray, number: int) -> Any:
            forget()
            return warm(vector, number)

        return search

    def rows(self, answer: Any) -> np.ndarray:
        """As the other one."""
        return self._other.rows(answer)


def build_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: build a collection with metadata; the ids are row numbers.

    ``job``: ``base`` (``.npy``), ``fields`` (``.npz``), ``metric``, ``codes``, ``threads``, ``folder``.
    """
    Ramet(job["codes"]).warm_up(job["metric"])
    vectors, metadata = np.load(job["base"]), Fields.read(Path(job["fields"])).dicts()
    with ramet.connect(job["folder"], create=True) as database:
        docs = database.create_collection(COLLECTION, dim=vectors.shape[1], metric=job["metric"], codes=job["codes"])
        begun = time.perf_counter()
        report = docs.build(vectors, metadata=metadata, n_threads=job["threads"])
        seconds = time.perf_counter() - begun
    facts = {"n_lists": report.n_lists, "stages": json.loads(json.dumps(report.stages, default=float))}
    return {"load_s": seconds, "facts": facts, "disk_mb": disk_bytes(Path(job["folder"])) / 1e6}
