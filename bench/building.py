"""Build every contender in a process of its own, so that its peak memory is its own, and keep what was saved."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import child, machine, memory
from bench.datasets import Dataset, cache_dir, save_atomically
from bench.peers import make
from bench.peers.base import Contender, disk_bytes

_REPORT = "build-report.json"
# contender -> package whose version names a kept index; a new version is built again
_PACKAGES = {"hnswlib": "hnswlib", "faiss-hnsw": "faiss-cpu", "faiss-ivf": "faiss-cpu", "usearch": "usearch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """Files with one data set's vectors, as given and with unit length."""

    folder: Path

    def base(self, metric: str, unit_vectors: bool) -> Path:
        """Return the file of the vectors a contender indexes under `metric`."""
        return self.folder / ("base-unit.npy" if metric == "cosine" and unit_vectors else "base.npy")

    def queries(self, metric: str, unit_vectors: bool) -> Path:
        """Return the file of the queries a contender gets under `metric`."""
        return self.folder / ("queries-unit.npy" if metric == "cosine" and unit_vectors else "queries.npy")


def prepare(dataset: Dataset, metric: str) -> Arrays:
    """Write a data set's arrays where child processes read them (kept in the cache by content)."""
    arrays = Arrays(folder=cache_dir() / "arrays" / dataset.key)
    for name, vectors in (("base", dataset.base), ("queries", dataset.queries)):
        if not (arrays.folder / f"{name}.npy").exists():
            save_atomically(arrays.folder / f"{name}.npy", vectors)
        if metric == "cosine" and not (arrays.folder / f"{name}-unit.npy").exists():
            save_atomically(arrays.folder / f"{name}-unit.npy", unit(vectors))
    return arrays


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` divided by their norms (computed in float64), float32."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / norms).astype(np.float32)


def build(name: str, arrays: Arrays, metric: str, threads: int, work: Path, *, reuse: bool = False) -> dict[str, Any]:
    """Build one contender in a child process and save it.

    Parameters
    ----------
    name : str
        Contender.
    arrays : Arrays
        Vectors of the data set.
    metric : str
        ``l2``, ``cosine`` or ``ip``.
    threads : int
        Threads for the build.
    work : Path
        Folder of this run; the index goes into ``work/name``.
    reuse : bool
        Take an index of an earlier run, of the same library version, from the cache, and keep this one there.
        Ramet is never reused.

    Returns
    -------
    dict[str, Any]
        ``folder`` (str), ``build_s``, ``save_s``, ``peak_mb``, ``peak_added_mb``, ``disk_mb``, ``build_reused``,
        ``facts`` (what the contender reports of itself).
    """
    folder = _kept(name, arrays, metric, threads) if reuse and name in _PACKAGES else work / name
    report_file = folder / _REPORT
    if reuse and report_file.exists():
        kept: dict[str, Any] = json.loads(report_file.read_text())
        return kept | {"build_reused": True, "folder": str(folder)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unit_vectors = not name.startswith("ramet-")  # known without importing the contender here
    job = {
        "contender": name,
        "base": str(arrays.base(metric, unit_vectors)),
        "metric": metric,
        "threads": threads,
        "folder": str(folder),
    }
    report = child.run("build", job)
    report["disk_mb"] = disk_bytes(folder) / 1e6
    report_file.write_text(json.dumps(report))
    return report | {"build_reused": False, "folder": str(folder)}


def _kept(name: str, arrays: Arrays, metric: str, threads: int) -> Path:
    version = machine.describe()["versions"].get(_PACKAGES[name], "unknown")
    return cache_dir() / "indexes" / f"{arrays.folder.name}-{metric}-{threads}t-{name}-{version}"


def build_job(job: dict[str, Any]) -> dict[str, Any]:
    """Child process: build and save; the peak is that of the build alone, vectors and libraries included."""
    contender = make(job["contender"])
    contender.warm_up(job["metric"])
    vectors = np.load(job["base"])  # read before the clock starts: a user has them in memory too
    folder = Path(job["folder"])
    memory.reset_peak()
    before_mb = memory.status_mb("VmRSS")
    started = time.perf_counter()
    facts = contender.build(vectors, job["metric"], job["threads"], folder)
    build_s = time.perf_counter() - started
    # Not ru_maxrss: a child inherits that from the process that started it, through exec.
    peak_mb = memory.status_mb("VmHWM")
    started = time.perf_counter()
    contender.save(folder)
    save_s = time.perf_counter() - started
    contender.close()
    return {
        "build_s": build_s,
        "save_s": save_s,
        "peak_mb": peak_mb,
        "peak_added_mb": peak_mb - before_mb,
        "facts": facts,
    }


def opened(name: str, folder: Path, metric: str, dim: int) -> Contender:
    """Return the contender with its saved index open in this process."""
    contender = make(name)
    contender.open(folder, metric, dim)
    return contender
