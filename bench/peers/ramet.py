"""Ramet through its public API, with one kind of posting list (``codes``) per contender."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench.peers.base import Contender, Setting, sweep

COLLECTION = "bench"
NPROBE = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512]
TARGETS = (0.95, 0.99)
_FACTS = "bench-facts.json"  # beside the collection: what the build reported


class Ramet(Contender):
    """One collection on disk."""

    unit_vectors = False
    mappable = True

    def __init__(self, codes: str) -> None:
        self.codes = codes
        self.name = f"ramet-{codes}"

    def warm_up(self, metric: str) -> None:
        """Compile the kernels (cached on disk) by building and querying a small collection."""
        vectors = np.random.default_rng(0).standard_normal((2_000, 32)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
            collection = database.create_collection("warm", dim=32, metric=metric, codes=self.codes)
            collection.build(vectors)
            collection.query(vectors[0])
            collection.query(vectors[:100])

    def build(self, vectors: np.ndarray, metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Build the collection on disk: unlike the others' time, Ramet's includes writing and syncing the files."""
        self._database = ramet.connect(folder, create=True)
        self._docs = self._database.create_collection(COLLECTION, dim=vectors.shape[1], metric=metric, codes=self.codes)
        report = self._docs.build(vectors, n_threads=threads)
        facts = {
            "n_lists": report.n_lists,
            "n_replicas": report.n_replicas,
            "stages": {name: round(seconds, 3) for name, seconds in report.stages.items()},
            "curve": [[point.k, point.nprobe, round(float(point.recall), 5)] for point in report.curve],
            "nprobe": report.nprobe,
        }
        (folder / _FACTS).write_text(json.dumps(facts))
        return facts

    def save(self, folder: Path) -> None:
        """Nothing: what was built is on disk."""

    def open(self, folder: Path, metric: str, dim: int, *, mapped: bool = False) -> None:
        """Open the collection; it is always mapped."""
        self._database = ramet.connect(folder)
        self._docs = self._database.collection(COLLECTION)

    def settings(self) -> list[Setting]:
        """Sweep nprobe up to all lists; then the recall targets that users ask for."""
        n_lists = int(self._docs.stats()["lists"])
        return sweep("nprobe", NPROBE, n_lists) + [Setting(name="recall", value=t, swept=False) for t in TARGETS]

    def apply(self, setting: Setting, threads: int) -> None:
        """Nothing: every search names its effort."""

    def search_one(self, query: np.ndarray, k: int, setting: Setting) -> Any:
        """Query, and read the ids and distances, which are part of what the others return."""
        if setting.name == "nprobe":
            found = self._docs.query(query, k, nprobe=int(setting.value))
        else:
            found = self._docs.query(query, k, recall=setting.value)
        return found.ids, found.distances

    def search_batch(self, queries: np.ndarray, k: int, setting: Setting, threads: int) -> Any:
        """Query a batch on `threads` threads."""
        if setting.name == "nprobe":
            found = self._docs.query(queries, k, nprobe=int(setting.value), n_threads=threads)
        else:
            found = self._docs.query(queries, k, recall=setting.value, n_threads=threads)
        return found.ids, found.distances

    def rows(self, answer: Any) -> np.ndarray:
        """Ids given by default are row numbers in decimal."""
        return id_rows(answer[0])

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def id_rows(ids: Sequence[str] | Sequence[Sequence[str]]) -> np.ndarray:
    """Return ids "0".."n-1" of one query or a batch as (n, k) int64, padded with -1 where a query found fewer."""
    lists: Sequence[Sequence[str]] = [ids] if not ids or isinstance(ids[0], str) else ids  # type: ignore[list-item]
    rows = np.full((len(lists), max((len(line) for line in lists), default=0)), -1, np.int64)
    for line, found in enumerate(lists):
        rows[line, : len(found)] = [int(name) for name in found]
    return rows
