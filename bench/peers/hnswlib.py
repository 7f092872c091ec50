"""hnswlib: M 16, efConstruction 200, the usual setting of published comparisons."""

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from bench.peers.base import Contender, Setting, sweep

M = 16
EF_CONSTRUCTION = 200
# Its "cosine" space normalizes on every call; vectors come normalized, where inner product gives the same order.
SPACES = {"l2": "l2", "ip": "ip", "cosine": "ip"}
EF = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024]


class Hnswlib(Contender):
    """The graph library whose latency is the yardstick."""

    name = "hnswlib"

    def build(self, vectors: np.ndarray, metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Insert all vectors."""
        self._index = hnswlib.Index(space=SPACES[metric], dim=vectors.shape[1])
        self._index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
        self._index.add_items(vectors, np.arange(len(vectors)), num_threads=threads)
        return {"M": M, "ef_construction": EF_CONSTRUCTION}

    def save(self, folder: Path) -> None:
        """Write one file."""
        self._index.save_index(str(folder / "hnswlib.bin"))

    def open(self, folder: Path, metric: str, dim: int, *, mapped: bool = False) -> None:
        """Read the file into memory; there is no mapping."""
        self._index = hnswlib.Index(space=SPACES[metric], dim=dim)
        self._index.load_index(str(folder / "hnswlib.bin"))

    def settings(self) -> list[Setting]:
        """Sweep ef."""
        return sweep("ef", EF)

    def apply(self, setting: Setting, threads: int) -> None:
        """Set ef; threads are an argument of the search."""
        self._index.set_ef(int(setting.value))

    def search_one(self, query: np.ndarray, k: int, setting: Setting) -> Any:
        """Search on the calling thread."""
        return self._index.knn_query(query, k, num_threads=1)

    def search_batch(self, queries: np.ndarray, k: int, setting: Setting, threads: int) -> Any:
        """Search on `threads` threads."""
        return self._index.knn_query(queries, k, num_threads=threads)

    def rows(self, answer: Any) -> np.ndarray:
        """Labels are row numbers."""
        return np.asarray(answer[0]).astype(np.int64)
