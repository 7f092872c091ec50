"""usearch with its default connectivity (16) and expansion on insertion (128)."""

from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index

from bench.peers.base import Contender, Setting, sweep

CONNECTIVITY = 16
EXPANSION_ADD = 128
_METRICS = {"l2": "l2sq", "ip": "ip", "cosine": "ip"}
EXPANSION = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024]


class Usearch(Contender):
    """Graph library with its own kernels."""

    name = "usearch"
    mappable = True

    def build(self, vectors: np.ndarray, metric: str, threads: int, folder: Path) -> dict[str, Any]:
        """Insert all vectors.

        On two threads it sometimes leaves one to three of the first rows unreachable (5 of 300 builds of 800 rows; on
        one thread none of 300). Larger sets were not checked for it.
        """
        # By default it stores bfloat16 where the CPU has it: half the bytes, and recall that stops short of 1.
        self._index = Index(
            ndim=vectors.shape[1],
            metric=_METRICS[metric],
            dtype="f32",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
        )
        self._index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=threads)
        return {"connectivity": CONNECTIVITY, "expansion_add": EXPANSION_ADD, "dtype": "f32"}

    def save(self, folder: Path) -> None:
        """Write one file."""
        self._index.save(str(folder / "index.usearch"))

    def open(self, folder: Path, metric: str, dim: int, *, mapped: bool = False) -> None:
        """Read the file, or map it (``view``)."""
        index = Index.restore(str(folder / "index.usearch"), view=mapped)
        if index is None:
            raise RuntimeError(f"usearch cannot read {folder / 'index.usearch'}")
        self._index = index

    def settings(self) -> list[Setting]:
        """Sweep the expansion of searches."""
        return sweep("expansion", EXPANSION)

    def apply(self, setting: Setting, threads: int) -> None:
        """Set the expansion; threads are an argument of the search."""
        self._index.expansion_search = int(setting.value)  # type: ignore[misc,unused-ignore]  # its setter is untyped

    def search_one(self, query: np.ndarray, k: int, setting: Setting) -> Any:
        """Search on one thread."""
        return self._index.search(query, k, threads=1)

    def search_batch(self, queries: np.ndarray, k: int, setting: Setting, threads: int) -> Any:
        """Search on `threads` threads."""
        return self._index.search(queries, k, threads=threads)

    def rows(self, answer: Any) -> np.ndarray:
        """Keys are row numbers; places beyond an answer's count hold nothing."""
        keys = np.atleast_2d(np.asarray(answer.keys)).astype(np.int64)
        counts = np.atleast_1d(np.asarray(getattr(answer, "counts", keys.shape[1])))
        keys[np.arange(keys.shape[1]) >= counts.reshape(-1, 1)] = -1
        return keys
