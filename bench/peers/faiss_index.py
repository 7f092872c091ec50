"""What the two faiss contenders share: saving, opening, searching."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bench.peers.base import Contender, Setting

METRICS = {"l2": faiss.METRIC_L2, "ip": faiss.METRIC_INNER_PRODUCT, "cosine": faiss.METRIC_INNER_PRODUCT}


class FaissIndex(Contender):
    """A faiss index held in ``self._index``."""

    _index: Any

    def save(self, folder: Path) -> None:
        """Write one file."""
        faiss.write_index(self._index, str(folder / "index.faiss"))

    def open(self, folder: Path, metric: str, dim: int, *, mapped: bool = False) -> None:
        """Read the file, or map its inverted lists."""
        flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if mapped else 0
        self._index = faiss.read_index(str(folder / "index.faiss"), flags)

    def search_one(self, query: np.ndarray, k: int, setting: Setting) -> Any:
        """Search on the calling thread (see ``apply``)."""
        return self._index.search(query[None], k)

    def search_batch(self, queries: np.ndarray, k: int, setting: Setting, threads: int) -> Any:
        """Search on the threads that ``apply`` set."""
        return self._index.search(queries, k)

    def rows(self, answer: Any) -> np.ndarray:
        """Labels are row numbers, -1 where fewer were found."""
        return np.asarray(answer[1]).astype(np.int64)
