"""Navigation over a graph of centroids: faiss HNSW. The only file that imports faiss.

The two-level navigator (``ramet.index.navigate``) won at every size measured (``bench/results/navigation.jsonl``), so
a graph is used only when asked for: ``build(navigation="hnsw")``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.index.errors import BrokenNavigatorError
from ramet.index.kernels import plan as plans
from ramet.index.kernels.topk import EMPTY, pack_many
from ramet.index.navigate import HNSW_MAGIC
from ramet.index.source import FloatArray

LINKS = 16
EF_CONSTRUCTION = 100
EF_PER_PROBE = 2.0
"""Candidates the graph walk keeps for each cell asked for."""
EF_LEAST = 32


class HnswNavigator:
    """Cells in a faiss HNSW graph over full-precision centroids.

    Parameters
    ----------
    index : faiss.IndexHNSWFlat
    """

    def __init__(self, index: Any) -> None:
        self._index = index
        self.n_cells = int(index.ntotal)
        self.dim = int(index.d)
        self.starts = np.zeros(1, np.int64)

    @classmethod
    def build(cls, centroids: FloatArray, metric: int) -> HnswNavigator:
        """Graph over ``centroids`` (n_cells, dim); built on one thread, so that it is the same every time."""
        import faiss

        kind = faiss.METRIC_INNER_PRODUCT if metric == plans.IP else faiss.METRIC_L2
        index = faiss.IndexHNSWFlat(centroids.shape[1], LINKS, kind)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            index.add(centroids)
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(index)

    @property
    def n_bytes(self) -> int:
        """Memory held: centroids and links."""
        return self.n_cells * (4 * self.dim + 8 * LINKS)

    def fill(self, plan: npt.NDArray[np.void]) -> None:
        """Write what the kernels need when cells are given to them."""
        plan["dim"], plan["n_cells"] = self.dim, self.n_cells

    def scratch(self) -> int:
        """Floats of scratch that navigation inside the kernel needs."""
        return 1

    def nearest(self, queries: FloatArray, nprobe: int, metric: int) -> npt.NDArray[np.uint64]:
        """Keys (distance, position of the cell), uint64 (n, min(nprobe, n_cells)), ascending."""
        import faiss

        wanted = min(nprobe, self.n_cells)
        norms = np.einsum("ij,ij->i", queries, queries)
        if metric == plans.COSINE:
            queries = queries / np.sqrt(norms)[:, None]
        ef = max(EF_LEAST, int(EF_PER_PROBE * wanted))
        parameters = faiss.SearchParametersHNSW(efSearch=ef)  # type: ignore[attr-defined,unused-ignore]
        distances, cells = self._index.search(queries, wanted, params=parameters)
        short = np.flatnonzero((cells < 0).any(axis=1))
        if len(short):  # no link leads to some cells, most often under inner product: compare with all centroids
            distances[short], cells[short] = self._index.storage.search(queries[short], wanted)
        if metric == plans.IP:
            distances = -distances
        keys = np.full(cells.shape, EMPTY, np.uint64)
        pack_many(distances, cells, keys)
        keys.sort(axis=1)  # ties by number
        return keys

    def to_bytes(self) -> bytes:
        """Serialized form; ``from_bytes`` is the inverse."""
        import faiss

        return HNSW_MAGIC + faiss.serialize_index(self._index).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> HnswNavigator:
        """Rebuild a navigator.

        Raises
        ------
        BrokenNavigatorError
            The bytes are not a serialized graph.
        """
        import faiss

        if data[:4] != HNSW_MAGIC:
            raise BrokenNavigatorError(f"graph navigator: expected {HNSW_MAGIC!r}, found {data[:4]!r}")
        try:
            index = faiss.deserialize_index(np.frombuffer(data, np.uint8, offset=4))
        except (RuntimeError, MemoryError) as error:
            raise BrokenNavigatorError(f"graph navigator: faiss refuses the bytes: {error}") from error
        if not isinstance(index, faiss.IndexHNSWFlat):
            raise BrokenNavigatorError(f"graph navigator: the bytes are of a {type(index).__name__}")
        return cls(index)
