"""One tenant's lists at one snapshot, ready for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.curve import RecallCurve
from ramet.engine.residency import Residency
from ramet.engine.settings import Settings
from ramet.engine.threads import in_pieces
from ramet.index import defaults
from ramet.index.errors import BrokenNavigatorError
from ramet.index.kernels.exact import TOGETHER, exact_many
from ramet.index.kernels.plan import IP, L2, PLAN, SQ8
from ramet.index.kernels.search import ABSENT, FAULTS, N_STATS, search_many
from ramet.index.navigate import HNSW_MAGIC, GroupNavigator, Navigator
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG, PAGE_BYTES
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

NAVIGATOR = "navigator/{tenant}"
"""Name of the blob with a tenant's navigator."""

CURVE = "curve/{tenant}"
"""Name of the meta entry with a tenant's recall curve."""

PIECE = 8
"""Queries that are worth handing to another thread together."""


_NONE_GIVEN = np.empty((0, 0), np.uint64)


def load_navigator(data: bytes) -> Navigator:
    """The navigator that was stored, of whichever kind."""
    if data[: len(HNSW_MAGIC)] == HNSW_MAGIC:
        from ramet.index.navigate_hnsw import HnswNavigator  # faiss takes 80 ms to import

        return HnswNavigator.from_bytes(data)
    return GroupNavigator.from_bytes(data)


def pool_for(k: int) -> int:
    """Candidates that are reranked for ``k`` results from 8-bit codes."""
    return k + max(defaults.RERANK_EXTRA, k // 2)


class Searcher:
    """Arrays and addresses of one tenant's subtree; valid for snapshots with the transaction id it was made from.

    Parameters
    ----------
    store : Store
        Where the snapshot comes from.
    snapshot : Snapshot
    settings : Settings
    tenant : int
        Number of the tenant.
    """

    def __init__(self, store: Store, snapshot: Snapshot, settings: Settings, tenant: int) -> None:
        self.txn_id = snapshot.txn_id
        self._mappings = snapshot.mappings  # the plan holds addresses only
        self.tenant = tenant
        self.directory = snapshot.lists(tenant)
        self.n_lists = len(self.directory)
        self.n_records = snapshot.count(tenant)
        self.curve = RecallCurve.from_meta(snapshot.meta(CURVE.format(tenant=tenant)), self.n_lists)
        self._probes: dict[tuple[float, int], int] = {}
        self._metric = settings.metric
        if self.n_lists:
            self.navigator = self._navigator(store, snapshot, settings)
            self._fill(store, snapshot, settings)

    def _navigator(self, store: Store, snapshot: Snapshot, settings: Settings) -> Navigator:
        name = NAVIGATOR.format(tenant=self.tenant)
        data = snapshot.blob(name)
        try:
            navigator = None if data is None else load_navigator(data)
        except BrokenNavigatorError as error:
            raise CorruptionError(store.path / CATALOG, f"blob {name!r}", "a navigator", error) from error
        if navigator is None or navigator.n_cells != self.n_lists or navigator.dim != settings.dim:
            found = "none" if navigator is None else f"{navigator.n_cells} cells x {navigator.dim}"
            raise CorruptionError(
                store.path / CATALOG, f"blob {name!r}", f"{self.n_lists} cells x {settings.dim}", found
            )
        return navigator

    def _fill(self, store: Store, snapshot: Snapshot, settings: Settings) -> None:
        self._address = (np.uint64(snapshot.postings_address) + self.directory.pages * np.uint64(PAGE_BYTES)).astype(
            np.uint64
        )
        self._capacity = store.layout.capacities_for(self.directory.n_pages).astype(np.uint32)
        self._counts = np.ascontiguousarray(self.directory.counts, dtype=np.uint32)
        plan = np.zeros(1, PLAN)
        self.navigator.fill(plan)
        plan["metric"], plan["kind"] = self._metric.number, settings.kind
        plan["n_rows"] = snapshot.n_rows
        plan["list_address"] = self._address.ctypes.data
        plan["list_count"] = self._counts.ctypes.data
        plan["list_capacity"] = self._capacity.ctypes.data
        plan["ids"], plan["id_bytes"] = snapshot.rows_address + PAGE_BYTES, snapshot.id_bytes
        if settings.kind == SQ8:
            plan["vectors"] = snapshot.vectors_address + PAGE_BYTES
            plan["vector_bytes"] = settings.vector_bytes
            plan["half"] = int(settings.dtype_name == "float16")
        self.plan = plan
        self._sq8 = settings.kind == SQ8
        self._walks_inside = isinstance(self.navigator, GroupNavigator)
        self.longest = max(self.navigator.scratch(), int(self._counts.max()), 1)

    def nprobe_for(self, recall: float, k: int) -> int:
        """Probes for a recall target, from the measured curve."""
        key = (recall, k)
        probes = self._probes.get(key)
        if probes is None:
            probes = self._probes[key] = max(1, self.curve.nprobe_for(recall, k))
        return probes

    def search(
        self,
        queries: Floats,
        k: int,
        nprobe: int,
        *,
        ratio: float = 0.0,
        residency: Residency,
        n_threads: int = 1,
    ) -> tuple[Rows, Floats]:
        """Rows and distances of the top k of each query, from ``nprobe`` lists.

        Reading every list gives exact results: then distances come from full-precision rows throughout.
        """
        n = len(queries)
        rows: Rows = np.empty((n, k), np.int64)
        distances: Floats = np.empty((n, k), np.float32)
        if nprobe >= self.n_lists and self._sq8:
            in_pieces(lambda a, b: exact_many(self.plan, queries, a, b, rows, distances), n, n_threads, TOGETHER)
            return rows, distances
        pool = pool_for(k)
        ratio = 0.0 if nprobe >= self.n_lists else ratio  # every list means every list

        def work(first: int, last: int) -> None:
            stats = np.zeros(N_STATS, np.int64)
            given = self._given(queries, first, last, nprobe)
            search_many(
                self.plan, self.navigator.starts, given, queries, first, last, nprobe, 1.0, ratio, pool,
                residency.fetch, self.longest, rows, distances, stats,
            )  # fmt: skip
            residency.note(stats.item(ABSENT), stats.item(FAULTS))

        if n == 1:
            work(0, 1)
        else:
            in_pieces(work, n, n_threads, PIECE)
        return rows, distances

    def _given(self, queries: Floats, first: int, last: int, nprobe: int) -> npt.NDArray[np.uint64]:
        """Cells from a navigator outside the kernel, for queries ``first .. last``; empty when the kernel navigates."""
        if self._walks_inside:
            return _NONE_GIVEN
        keys = np.empty((last, min(nprobe, self.n_lists)), np.uint64)
        keys[first:] = self.navigator.nearest(queries[first:last], nprobe, self._metric.number)
        return keys

    def probed(self, query: Floats, nprobe: int) -> list[int]:
        """Cells whose lists a query may read, nearest first."""
        ranked = self._positions(query, nprobe, self._metric.number)
        if self._metric.number == IP:  # the cell of the query's twin is read as well
            ranked += self._positions(query, 1, L2)
        return [int(cell) for cell in self.directory.cells[ranked]]

    def _positions(self, query: Floats, nprobe: int, metric: int) -> list[int]:
        keys: Any = self.navigator.nearest(query[None], nprobe, metric)[0]
        return [int(key) for key in keys & np.uint64(0xFFFFFFFF)]
