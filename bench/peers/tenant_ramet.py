"""Ramet: one collection, and every query names its tenant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import child
from bench.datasets import save_atomically
from bench.peers.base import Setting, sweep
from bench.peers.ramet import COLLECTION, NPROBE, id_rows
from bench.peers.tenant_base import Load, Search, TenantContender

DEFAULT = Setting(name="recall", value=0.95, swept=False)  # what a query gets that names neither recall nor nprobe


class RametTenants(TenantContender):
    """Filled by upsert with the tenants' records mixed, in a process of its own."""

    unit_vectors = False
    untuned = DEFAULT

    def __init__(self, codes: str) -> None:
        self.codes = codes
        self.name = f"ramet-{codes}"

    def load(self, job: Load) -> dict[str, Any]:
        """Fill the collection, then open it here."""
        folder = folder_of(job, self.codes)
        facts = fill(folder, job, self.codes, job.tenancy.owner)
        self._names = job.tenancy.names()
        self._database = ramet.connect(folder)
        self._docs: Any = self._database.collection(COLLECTION)
        return facts

    def settings(self) -> list[Setting]:
        """Sweep nprobe; a tenant with fewer lists is read whole."""
        return sweep("nprobe", NPROBE)

    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Query, and read the ids and distances, which are part of what the others return."""
        names, query = self._names, self._docs.query
        effort: dict[str, Any] = {} if setting == DEFAULT else {setting.name: int(setting.value)}

        def search(vector: np.ndarray, tenant: int) -> Any:
            found = query(vector, k, tenant=names[tenant], **effort)
            return found.ids, found.distances

        return search

    def rows(self, answer: Any) -> np.ndarray:
        """Ids are row numbers in decimal."""
        return id_rows(answer[0])[0]

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def folder_of(job: Load, codes: str) -> Path:
    """Database that holds the tenants' collection of this run."""
    return job.work / f"tenants-{codes}"


def fill(folder: Path, job: Load, codes: str, owner: np.ndarray | None) -> dict[str, Any]:
    """Fill a collection in `folder` in a child process (see `live.load_job`); nothing, when there is one already."""
    if folder.exists():
        return {}
    owner_file = None
    if owner is not None:
        owner_file = folder.with_name(f"{folder.name}-owner.npy")
        save_atomically(owner_file, owner)
    return child.run(
        "load-tenants",
        {
            "base": str(job.arrays.base(job.metric, unit_vectors=False)),
            "owner": None if owner_file is None else str(owner_file),
            "metric": job.metric,
            "codes": codes,
            "folder": str(folder),
            "batch": job.batch,
        },
    )
