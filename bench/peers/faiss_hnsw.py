"""faiss IndexHNSWFlat with the same parameters as hnswlib."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.peers.base import Setting, sweep
from bench.peers.faiss_index import METRICS, FaissIndex

M = 16
EF_CONSTRUCTION = 200
EF = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024]


class FaissHnsw(FaissIndex):
    """Graph over float32 vectors."""

    name = "faiss-hnsw"

    def build(self, vectors: np.ndarray, metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Insert all vectors."""
        faiss.omp_set_num_threads(threads)
        self._index = faiss.IndexHNSWFlat(vectors.shape[1], M, METRICS[metric])
        self._index.hnsw.efConstruction = EF_CONSTRUCTION
        self._index.add(vectors)
        return {"M": M, "ef_construction": EF_CONSTRUCTION}

    def settings(self) -> list[Setting]:
        """Sweep efSearch."""
        return sweep("ef", EF)

    def apply(self, setting: Setting, threads: int) -> None:
        """Set efSearch and the OpenMP threads."""
        faiss.omp_set_num_threads(threads)
        self._index.hnsw.efSearch = int(setting.value)
