"""faiss IndexIVFFlat with about 4 * sqrt(n) lists."""

import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.peers.base import Setting, sweep
from bench.peers.faiss_index import METRICS, FaissIndex

NPROBE = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]


class FaissIvf(FaissIndex):
    """Inverted lists in memory, or in a mapped file."""

    name = "faiss-ivf"
    mappable = True

    def build(self, vectors: np.ndarray, metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Train on faiss's own sample, then add all vectors."""
        faiss.omp_set_num_threads(threads)
        n_lists = max(1, min(int(4 * math.sqrt(len(vectors))), len(vectors) // 39))  # faiss warns below 39 a list
        quantizer = faiss.IndexFlat(vectors.shape[1], METRICS[metric])
        self._index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], n_lists, METRICS[metric])
        self._quantizer = quantizer  # the index refers to it without owning it
        self._index.train(vectors)
        self._index.add(vectors)
        return {"n_lists": n_lists}

    def settings(self) -> list[Setting]:
        """Sweep nprobe."""
        return sweep("nprobe", NPROBE, int(self._index.nlist))

    def apply(self, setting: Setting, threads: int) -> None:
        """Set nprobe and the OpenMP threads."""
        faiss.omp_set_num_threads(threads)
        self._index.nprobe = int(setting.value)
