"""One tenant's lists at one snapshot, ready for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.allowed import Allowed
from ramet.engine.contents import BARE
from ramet.engine.curve import RecallCurve
from ramet.engine.curves import curve_of, ladder_of, nprobe_for
from ramet.engine.navigation import centroids_of, load_navigator, with_cells
from ramet.engine.planner import Facts, Plan
from ramet.engine.residency import Residency
from ramet.engine.settings import Settings
from ramet.engine.threads import in_pieces
from ramet.index import defaults
from ramet.index.kernels.exact import TOGETHER, exact_many
from ramet.index.kernels.filtered import N_FILTERED, nearest_rows, search_allowed
from ramet.index.kernels.plan import IP, L2, PLAN, SQ8
from ramet.index.kernels.search import ABSENT, FAULTS, LISTS, N_STATS, RERANKED, ROWS, search_many
from ramet.index.navigate import GroupNavigator
from ramet.storage.format import PAGE_BYTES
from ramet.storage.reader import ListDirectory
from ramet.storage.snapshot import Snapshot
from ramet.storage.tenants import Member

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

PIECE = 8
"""Queries that are worth handing to another thread together."""

MOST_DEAD = 4
"""A searcher is made anew when more than one in this many of its cells has no list any more."""

LEAST_CHANGED = 64
"""Changed lists that are entered one by one at least, however few lists there are."""

OBJECT_BYTES = 900
"""What a searcher of one list takes: the objects around its few numbers."""

GIVEN_AHEAD = 4
"""Cells that a navigator outside the kernel chooses for a filtered query, for each that it reads first."""

SAMPLED, LEAST_STEP = 12, 4
"""A filtered query compares about so many of the rows that are nearer than the k-th allowed one, to know its rank among
all, but never more than one in ``LEAST_STEP`` of the rows it looks at."""

_NONE_GIVEN = np.empty((0, 0), np.uint64)
_NO_LADDER = np.empty(0, np.float64)
_NO_WORDS = np.empty(0, np.uint64)
_NONE_LISTED = np.empty(0, np.uint32)


def pool_for(k: int) -> int:
    """Candidates that are reranked for ``k`` results from 8-bit codes."""
    return k + max(defaults.RERANK_EXTRA, k // 2)


def bases_of(snapshot: Snapshot) -> tuple[int, int, int]:
    """Addresses of the mapped files; another triple means that addresses taken before are of another mapping."""
    return snapshot.postings_address, snapshot.rows_address, snapshot.vectors_address


class Searcher:
    """Arrays and addresses of one tenant's lists, as of transaction ``changed``.

    Later snapshots may use it, too, as long as the tenant has not changed since.

    Parameters
    ----------
    snapshot : Snapshot
    settings : Settings
    member : Member
        The tenant, as the snapshot sees it.
    """

    __slots__ = (
        "_address", "_capacity", "_counts", "_mappings", "_numbers", "_place", "_settings", "_sorted", "bases",
        "changed", "core", "curve", "longest", "n_listed", "n_lists", "n_records", "navigator", "plan", "tenant",
        "used", "valid_to",
    )  # fmt: skip

    def __init__(self, snapshot: Snapshot, settings: Settings, member: Member) -> None:
        self._settings = settings
        self._take(snapshot, member)
        directory = snapshot.lists(member.number)
        self.n_lists = len(directory)
        self.curve: RecallCurve = curve_of(snapshot, member.number, self.n_lists)
        if not self.n_lists:
            return
        self._numbers, self.navigator = load_navigator(snapshot, snapshot.core.path, settings, member.number, directory)
        at = np.searchsorted(directory.cells, self._numbers)
        self._address = self._addresses(directory.pages[at])
        self._counts = np.ascontiguousarray(directory.counts[at], np.uint32)
        self._capacity = snapshot.core.layout.capacities_for(directory.n_pages[at]).astype(np.uint32)
        self._sorted: U32 | None = None
        self._fill(snapshot)

    def _take(self, snapshot: Snapshot, member: Member) -> None:
        """Take over what does not depend on the lists."""
        self.tenant = member.number
        self.n_records = member.n_records - len(snapshot.rows_with_field(member.number, BARE))  # those with a vector
        self.changed = member.changed
        self.valid_to = snapshot.txn_id
        self.core = snapshot.core  # of another one, transactions have other numbers
        self.bases = bases_of(snapshot)
        self._mappings = snapshot.mappings  # the plan holds addresses only
        self.used = 0

    def _addresses(self, pages: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return (np.uint64(self.bases[0]) + pages * np.uint64(PAGE_BYTES)).astype(np.uint64)

    def _fill(self, snapshot: Snapshot) -> None:
        """Make the plan; the arrays belong to this object."""
        settings = self._settings
        plan = np.zeros(1, PLAN)
        self.navigator.fill(plan)
        plan["metric"], plan["kind"] = settings.metric.number, settings.kind
        plan["n_cells"], plan["n_rows"] = len(self._counts), snapshot.n_rows
        plan["list_address"] = self._address.ctypes.data
        plan["list_count"] = self._counts.ctypes.data
        plan["list_capacity"] = self._capacity.ctypes.data
        plan["ids"], plan["id_bytes"] = self.bases[1] + PAGE_BYTES, snapshot.id_bytes
        if settings.kind == SQ8:
            plan["vectors"] = self.bases[2] + PAGE_BYTES
            plan["vector_bytes"] = settings.vector_bytes
            plan["half"] = int(settings.dtype_name == "float16")
        self.plan = plan
        self.n_listed = int(self._counts.sum())
        self.longest = max(self.navigator.scratch(), int(self._counts.max()), 1)

    @property
    def n_bytes(self) -> int:
        """Memory held, about."""
        if not self.n_lists:
            return OBJECT_BYTES
        own = self._address.nbytes + self._counts.nbytes + self._capacity.nbytes
        return OBJECT_BYTES + own + (self.navigator.n_bytes + self._numbers.nbytes if self.n_lists > 1 else 0)

    def refreshed(self, snapshot: Snapshot, member: Member) -> Searcher | None:
        """The tenant's searcher for a newer snapshot, made from this one; None when it has to be made from scratch.

        Costs what the changed lists cost, and copies of 16 bytes a list. One thread at a time may do this.
        """
        # One list has a navigator that knows no centroid; a graph cannot pass over cells that are gone.
        if self.n_lists < 2 or not isinstance(self.navigator, GroupNavigator):
            return None
        if bases_of(snapshot) != self.bases or member.number != self.tenant:
            return None
        changes = snapshot.changes(member, self.changed)
        if changes is None or len(changes.cells) + len(changes.moved) > self.n_lists // 2 + LEAST_CHANGED:
            return None
        cells = np.union1d(changes.cells, changes.moved).astype(np.uint32)
        directory = snapshot.lists(member.number, cells)
        known = np.isin(cells, self._sort())
        back = cells[known][self._counts[self._at(cells[known])] == 0]  # while it was gone, it may have moved
        new = np.intersect1d(np.concatenate([cells[~known], back, changes.moved]), directory.cells).astype(np.uint32)
        after = self._copied(snapshot, member)
        after._drop(cells[known])
        if len(new):
            after._add(new, centroids_of(snapshot, self._settings, new))
        after._enter(snapshot, directory)
        after.n_lists = int(np.count_nonzero(after._counts))
        if not after.n_lists or (len(after._counts) - after.n_lists) * MOST_DEAD > len(after._counts):
            return None
        after.curve = curve_of(snapshot, self.tenant, after.n_lists)
        after._fill(snapshot)
        return after

    def _sort(self) -> U32:
        """Cell numbers in order; the index from them to positions is made on first use."""
        if self._sorted is None:
            self._place = np.argsort(self._numbers, kind="stable")
            self._sorted = self._numbers[self._place]
        return self._sorted

    def _copied(self, snapshot: Snapshot, member: Member) -> Searcher:
        after: Searcher = object.__new__(type(self))
        after._settings, after.navigator = self._settings, self.navigator
        after._numbers, after._sorted, after._place = self._numbers, self._sorted, self._place
        after._address, after._counts = self._address.copy(), self._counts.copy()
        after._capacity = self._capacity.copy()
        after._take(snapshot, member)
        return after

    def _at(self, cells: U32) -> npt.NDArray[np.int64]:
        """Positions of cells that are known."""
        assert self._sorted is not None
        return self._place[np.searchsorted(self._sorted, cells)]

    def _drop(self, cells: U32) -> None:
        """Empty the lists of known cells, until they are entered again."""
        self._counts[self._at(cells)] = 0

    def _add(self, cells: U32, centroids: Floats) -> None:
        """Give cells new positions behind the others, with empty lists; a known cell leaves its old one for good."""
        assert isinstance(self.navigator, GroupNavigator) and self._sorted is not None
        n, more = len(self._counts), len(cells)
        self.navigator = with_cells(self.navigator, centroids)
        kept = ~np.isin(self._sorted, cells)
        rest = self._sorted[kept]
        at = np.searchsorted(rest, cells)
        self._sorted = np.insert(rest, at, cells)
        self._place = np.insert(self._place[kept], at, np.arange(n, n + more))
        self._numbers = np.concatenate([self._numbers, cells])
        self._address = np.concatenate([self._address, np.zeros(more, np.uint64)])
        self._counts = np.concatenate([self._counts, np.zeros(more, np.uint32)])
        self._capacity = np.concatenate([self._capacity, np.zeros(more, np.uint32)])

    def _enter(self, snapshot: Snapshot, directory: ListDirectory) -> None:
        """Enter where lists are and how long."""
        place = self._at(directory.cells)
        self._address[place] = self._addresses(directory.pages)
        self._counts[place] = directory.counts
        self._capacity[place] = snapshot.core.layout.capacities_for(directory.n_pages)

    def nprobe_for(self, recall: float, k: int) -> int:
        """Probes for a recall target, from the measured curve."""
        return nprobe_for(self.curve, self.n_lists, recall, k)

    def search(
        self,
        queries: Floats,
        k: int,
        nprobe: int,
        *,
        ratio: float = 0.0,
        exact: bool = False,
        residency: Residency,
        n_threads: int = 1,
        stats: npt.NDArray[np.int64] | None = None,
    ) -> tuple[Rows, Floats]:
        """Rows and distances of the top k of each query, from ``nprobe`` lists.

        ``exact``: from every list, with full-precision distances throughout. ``stats``: counters to add to.
        """
        n = len(queries)
        rows: Rows = np.empty((n, k), np.int64)
        distances: Floats = np.empty((n, k), np.float32)
        if exact and self._settings.kind == SQ8:
            in_pieces(lambda a, b: exact_many(self.plan, queries, a, b, rows, distances), n, n_threads, TOGETHER)
            return rows, distances
        nprobe = self.n_lists if exact else min(nprobe, self.n_lists)
        ratio = 0.0 if nprobe >= self.n_lists else ratio  # every list means every list
        pool, longest = pool_for(k), self.longest

        def work(first: int, last: int) -> None:
            counted = np.zeros(N_STATS, np.int64)
            given = self._given(queries, first, last, nprobe)
            search_many(
                self.plan, self.navigator.starts, given, queries, first, last, nprobe, 1.0, ratio, pool,
                residency.fetch, longest, rows, distances, counted,
            )  # fmt: skip
            residency.note(counted.item(ABSENT), counted.item(FAULTS))
            residency.count(counted.item(LISTS), counted.item(ROWS), counted.item(RERANKED))
            if stats is not None:
                stats[:] += counted

        if n == 1:
            work(0, 1)
        else:
            in_pieces(work, n, n_threads, PIECE)
        return rows, distances

    def facts(self, k: int, n_allowed: int) -> Facts:
        """What the plan of a filtered search depends on."""
        settings = self._settings
        return Facts(
            n_records=self.n_records, n_lists=self.n_lists, n_listed=self.n_listed, k=k, n_allowed=n_allowed,
            code_bytes=settings.dim if settings.kind == SQ8 else settings.vector_bytes,
            vector_bytes=settings.vector_bytes if settings.kind == SQ8 else 0,
        )  # fmt: skip

    def search_allowed(
        self,
        queries: Floats,
        k: int,
        plan: Plan,
        allowed: Allowed,
        *,
        recall: float | None = None,
        ratio: float = 0.0,
        residency: Residency,
        n_threads: int = 1,
    ) -> tuple[Rows, Floats, npt.NDArray[np.int64]]:
        """Rows and distances of the top k allowed rows of each query, and counters (`search_allowed` in the kernels).

        ``recall``: target that a query reads further lists for; None: it does so only for k rows.
        """
        n = len(queries)
        rows: Rows = np.empty((n, k), np.int64)
        distances: Floats = np.empty((n, k), np.float32)
        counted: list[npt.NDArray[np.int64]] = []
        ladder = _NO_LADDER if recall is None else ladder_of(self.curve, self.n_lists, self.n_records, recall, k)
        step = 0 if recall is None else max(LEAST_STEP, int(plan.rank / SAMPLED))
        may_list = plan.mode == "rows" or plan.most < self.n_lists
        listed = allowed.listed if may_list else _NONE_LISTED
        words = allowed.words if plan.mode != "rows" else _NO_WORDS
        reach = min(self.n_lists, GIVEN_AHEAD * plan.nprobe)

        def work(first: int, last: int) -> None:
            stats = np.zeros(N_FILTERED, np.int64)
            if plan.mode == "rows":
                nearest_rows(self.plan, queries, first, last, listed, residency.fetch, rows, distances, stats)
            else:
                search_allowed(
                    self.plan, self.navigator.starts, self._given(queries, first, last, reach), queries, first, last,
                    self.n_lists, plan.nprobe, plan.most, ladder, step, ratio, words, listed, pool_for(k),
                    residency.fetch, self.longest, rows, distances, stats,
                )  # fmt: skip
            residency.note(stats.item(ABSENT), stats.item(FAULTS))
            residency.count(stats.item(LISTS), stats.item(ROWS), stats.item(RERANKED))
            counted.append(stats)

        in_pieces(work, n, n_threads, PIECE)
        return rows, distances, np.sum(counted, axis=0, dtype=np.int64)

    def rows_scanned(self, queries: Floats, nprobe: int, residency: Residency) -> float:
        """Rows that a query compares its vector with, on average, copies included."""
        stats = np.zeros(N_STATS, np.int64)
        self.search(queries, 1, nprobe, residency=residency, stats=stats)
        return float(stats[ROWS]) / len(queries)

    def _given(self, queries: Floats, first: int, last: int, nprobe: int) -> npt.NDArray[np.uint64]:
        """Cells from a navigator outside the kernel, for queries ``first .. last``; empty when the kernel navigates."""
        if isinstance(self.navigator, GroupNavigator):
            return _NONE_GIVEN
        keys = np.empty((last, min(nprobe, self.n_lists)), np.uint64)
        keys[first:] = self.navigator.nearest(queries[first:last], nprobe, self._settings.metric.number)
        return keys

    def probed(self, query: Floats, nprobe: int) -> list[int]:
        """Cells whose lists a query may read, nearest first."""
        metric = self._settings.metric.number
        ranked = self._positions(query, nprobe, metric)
        if metric == IP:  # the cell of the query's twin is read as well
            ranked += self._positions(query, 1, L2)
        return [int(cell) for cell in self._numbers[ranked]]

    def _positions(self, query: Floats, nprobe: int, metric: int) -> list[int]:
        """Positions of the cells nearest to a query; like the kernel, it passes over cells without a list."""
        n_dead = len(self._counts) - self.n_lists
        keys: Any = self.navigator.nearest(query[None], nprobe + n_dead, metric)[0]
        found = [int(key) for key in keys & np.uint64(0xFFFFFFFF)]
        return [position for position in found if self._counts[position]][:nprobe]
