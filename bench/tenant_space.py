"""What many tenants in one collection cost beside one tenant with the same records: memory, open files, disk.

Memory is anonymous memory of fresh processes (see `bench.memory`), the median of several, less that of a process that
has only imported the package. ``runtime`` is what searching any collection needs.
"""

import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import child, memory
from bench.building import Arrays
from bench.datasets import save_atomically
from bench.peers import tenant_ramet
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION
from bench.peers.tenant_base import Load
from bench.tenancy import SEED, SMALLEST, Tenancy

N_QUERIES = 1_000
PROCESSES = 3
FEW = 10
"""Tenants of the collection that idle tenants are counted against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Figures of one run. KB are 10**3 bytes, MB 10**6."""

    runtime_mb: float
    one_mb: float
    """All records in one tenant: open, after 1,000 queries."""
    weighted_mb: float
    """As tenants, after 1,000 queries of tenants drawn with their sizes as weights."""
    uniform_mb: float
    """As tenants, after 1,000 queries of tenants drawn with equal chances."""
    weighted_ratio: float
    """``weighted_mb / one_mb``: what a program sees."""
    uniform_ratio: float
    weighted_over_runtime_ratio: float
    """The same without the runtime, which is most of both."""
    uniform_over_runtime_ratio: float
    n_idle: int
    """Tenants of the idle collection, with `SMALLEST` records each."""
    idle_kb: float
    """Memory per further tenant in a collection that is open and has answered one query of one tenant."""
    idle_open_kb: float
    """The same when it is open and nothing more."""
    idle_files: float
    """Open file descriptors per further tenant."""
    one_disk_mb: float
    tenants_disk_mb: float
    disk_kb: float
    """Disk per tenant beyond that of the same records in one tenant."""
    disk_compact_kb: float
    """The same when both have been compacted."""


def measure(job: Load, codes: str, queries: np.ndarray) -> Space:
    """Fill the collections that are not there yet and compare them.

    Parameters
    ----------
    job : Load
        The run's data and folder.
    codes : str
        Kind of posting lists.
    queries : np.ndarray
        (n, dim) float32.
    """
    tenants, one = tenant_ramet.folder_of(job, codes), job.work / f"one-{codes}"
    tenant_ramet.fill(tenants, job, codes, job.tenancy.owner)
    tenant_ramet.fill(one, job, codes, None)
    query_file = job.work / "space-queries.npy"
    save_atomically(query_file, queries[:N_QUERIES])
    base = {"metric": job.metric, "queries": str(query_file), "contender": f"ramet-{codes}"}
    import_mb = _median([memory.import_mb() for _ in range(PROCESSES)])
    runtime_mb = _median([memory.runtime_mb(base) for _ in range(PROCESSES)]) - import_mb

    def opened(folder: Path, asked: list[str]) -> dict[str, float]:
        runs = [child.run("tenant-memory", {**base, "folder": str(folder), "asked": asked}) for _ in range(PROCESSES)]
        return {
            "mb": _median([run["mb"] for run in runs]) - import_mb,
            "files": _median([run["files"] for run in runs]),
        }

    one_mb = opened(one, ["default"] * N_QUERIES)["mb"]
    weighted_mb = opened(tenants, _drawn(job.tenancy, weighted=True))["mb"]
    uniform_mb = opened(tenants, _drawn(job.tenancy, weighted=False))["mb"]
    return Space(
        runtime_mb=runtime_mb,
        one_mb=one_mb,
        weighted_mb=weighted_mb,
        uniform_mb=uniform_mb,
        weighted_ratio=weighted_mb / one_mb,
        uniform_ratio=uniform_mb / one_mb,
        weighted_over_runtime_ratio=_ratio(weighted_mb - runtime_mb, one_mb - runtime_mb),
        uniform_over_runtime_ratio=_ratio(uniform_mb - runtime_mb, one_mb - runtime_mb),
        **_idle(job, codes, opened),
        **_disk(tenants, one, len(job.tenancy.sizes)),
    )


def _drawn(tenancy: Tenancy, *, weighted: bool) -> list[str]:
    """Names of the tenants that ask."""
    rng = np.random.default_rng([SEED, 4, weighted])
    shares = tenancy.sizes / tenancy.sizes.sum() if weighted else None
    names = tenancy.names()
    return [names[tenant] for tenant in rng.choice(len(names), N_QUERIES, p=shares)]


def _idle(job: Load, codes: str, opened: Any) -> dict[str, Any]:
    """Compare an open collection of many small tenants with one of a few that hold the same records."""
    n_tenants = len(job.tenancy.sizes)
    n_rows = n_tenants * SMALLEST
    vectors = np.load(job.arrays.base(job.metric, unit_vectors=False), mmap_mode="r")[:n_rows]
    arrays = Arrays(folder=job.work / "idle")
    arrays.folder.mkdir(exist_ok=True)
    save_atomically(arrays.base(job.metric, unit_vectors=False), vectors)
    small = Load(
        arrays=arrays,
        tenancy=job.tenancy,
        asked=job.asked,
        metric=job.metric,
        threads=job.threads,
        batch=job.batch,
        work=job.work,
        reuse=False,
    )
    seen: dict[tuple[int, int], dict[str, float]] = {}
    for n in (FEW, n_tenants):
        folder = job.work / f"idle-{n}-{codes}"
        tenant_ramet.fill(folder, small, codes, np.arange(n_rows, dtype=np.int32) % n)
        for asks in (0, 1):
            seen[n, asks] = opened(folder, ["tenant-00000"] * asks)
    more = n_tenants - FEW
    kb = [1e3 * (seen[n_tenants, asks]["mb"] - seen[FEW, asks]["mb"]) / more for asks in (0, 1)]
    files = (seen[n_tenants, 1]["files"] - seen[FEW, 1]["files"]) / more
    return {"n_idle": n_tenants, "idle_open_kb": kb[0], "idle_kb": kb[1], "idle_files": files}


def _disk(tenants: Path, one: Path, n_tenants: int) -> dict[str, Any]:
    import ramet

    before = [disk_bytes(folder) for folder in (tenants, one)]
    for folder in (tenants, one):
        with ramet.connect(folder) as database:
            docs: Any = database.collection(COLLECTION)
            docs.compact()
    after = [disk_bytes(folder) for folder in (tenants, one)]
    return {
        "tenants_disk_mb": before[0] / 1e6,
        "one_disk_mb": before[1] / 1e6,
        "disk_kb": (before[0] - before[1]) / n_tenants / 1e3,
        "disk_compact_kb": (after[0] - after[1]) / n_tenants / 1e3,
    }


def memory_job(job: dict[str, Any]) -> dict[str, float]:
    """Child process: open the collection, ask one query for each name in ``job["asked"]``, then report."""
    import ramet

    queries = np.load(job["queries"])
    with ramet.connect(job["folder"]) as database:
        docs: Any = database.collection(COLLECTION)
        for number, tenant in enumerate(job["asked"]):
            docs.query(queries[number % len(queries)], tenant=tenant)
        return {"mb": memory.anonymous_mb(), "files": float(len(os.listdir("/proc/self/fd")))}


def _median(values: list[float]) -> float:
    return float(statistics.median(values))


def _ratio(value: float, other: float) -> float:
    return value / max(other, 0.1)  # both are some MB; less than 0.1 is the noise of a process
