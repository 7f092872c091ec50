"""What one transaction does to the lists of tenants: rows that come, go and move, with everything that follows."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.contents import Contents
from ramet.engine.placement import Placement
from ramet.engine.placements import Placements
from ramet.engine.settings import Settings
from ramet.engine.text.analysis import Analyzer
from ramet.index.codes import encode_rows
from ramet.index.source import ArraySource
from ramet.storage.errors import CorruptionError
from ramet.storage.format import COPY, NO_LIST, POSTINGS, ROW_MASK
from ramet.storage.homes import HomeTable
from ramet.storage.postings import ListBatch, ListEdit
from ramet.storage.writer import Writer

Floats = npt.NDArray[np.float32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

SLACK = 0.35
"""Free places in a list that is written anew: what it takes in until it is split."""

ROOT = 0
NO_PARENT = 0xFFFFFFFF
_NO_CELLS = np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """(row, cell) pairs of one tenant, with the copy bit in the row where the row's nearest cell is another."""

    rows: U32
    cells: U32

    @classmethod
    def of(cls, rows: npt.NDArray[Any], starts: I64, cells: U32) -> Entries:
        """Entries of rows in lists, CSR, the nearest cell of each row first."""
        numbers = np.repeat(rows.astype(np.uint32), np.diff(starts))
        numbers[np.setdiff1d(np.arange(len(numbers)), starts[:-1])] |= np.uint32(COPY)
        return cls(rows=numbers, cells=cells)


class Change:
    """Collects nothing: every call is carried out in the writer's transaction at once.

    Parameters
    ----------
    writer : Writer
    settings : Settings
    placements : Placements
        Of this transaction.
    pool : Executor, optional
        Threads for assignments.
    analyzer : Analyzer
        Takes documents apart into words.
    """

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        placements: Placements,
        pool: Executor | None,
        analyzer: Analyzer,
    ) -> None:
        self.writer = writer
        self.settings = settings
        self.contents = Contents(writer, analyzer)
        self.pool = pool
        self._placements = placements
        self._fresh: tuple[int, npt.NDArray[Any]] | None = None

    def placement(self, tenant: int) -> Placement:
        """The tenant's cells; a tenant without any starts at the root."""
        found = self._placements.of(tenant)
        if not found.n_cells:
            self._plant(found)
        return found

    def tidied(self, tenant: int) -> Placement:
        """The tenant's cells, for the start of something: positions taken before are void."""
        found = self.placement(tenant)
        found.tidy()
        return found

    def lists(self) -> dict[int, int]:
        """Number of lists of every tenant that the transaction has changed so far."""
        return {tenant: self.placement(tenant).n_cells for tenant in self.writer.touched}

    def forget(self, tenant: int) -> None:
        """Drop what is kept of a tenant that is no more."""
        self._placements.forget(tenant)

    def _plant(self, placement: Placement) -> None:
        """Let a tenant begin at the root, which is made when there is none."""
        root = np.array([ROOT], np.uint32)
        if not self.writer.n_cells:
            payload = np.zeros((1, 4 * self.settings.dim), np.uint8)
            self.writer.put_cells(root, np.array([NO_PARENT], np.uint32), np.zeros(1, np.uint32), payload)
        centroid = self.writer.cells(root).payload.view(np.float32).reshape(1, -1)
        placement.add(root, centroid)

    # ------------------------------------------------------------------------------------------------ vectors

    def know(self, first_row: int, vectors: npt.NDArray[Any]) -> None:
        """Remember the vectors of rows that are in no list yet."""
        self._fresh = (first_row, vectors)

    def vectors(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Full-precision vectors of rows, (n, dim) in the collection's dtype."""
        settings = self.settings
        if settings.codes != "none":
            return self.writer.vectors(rows).view(settings.dtype).reshape(len(rows), settings.dim)
        out = np.empty((len(rows), settings.dim), settings.dtype)
        old = np.ones(len(rows), bool)
        if self._fresh is not None:
            first, block = self._fresh
            new = (rows >= first) & (rows < first + len(block))
            out[new] = block[rows[new].astype(np.int64) - first]
            old = ~new
        if old.any():
            out[old] = self._from_lists(rows[old])
        return out

    def _from_lists(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Vectors of rows from their posting lists, where lists hold the vectors themselves."""
        homes = self.writer.homes_of(rows)
        first = homes.starts[:-1]
        keys = homes.tenants[first].astype(np.uint64) << np.uint64(32) | homes.cells[first]
        out = np.zeros((len(rows), self.settings.dim), self.settings.dtype)
        for key in np.unique(keys[~homes.bare]).tolist():
            mine = np.flatnonzero(keys == np.uint64(key))
            content = self.writer.read_list(key >> 32, key & 0xFFFFFFFF)
            held = content.rows & np.uint32(ROW_MASK)
            order = np.argsort(held)
            place = np.searchsorted(held[order], rows[mine])
            at = order[np.minimum(place, len(order) - 1)] if len(order) else place
            if not len(order) or (held[at] != rows[mine]).any():
                where = f"list (tenant {key >> 32}, cell {key & 0xFFFFFFFF})"
                raise CorruptionError(self.writer.path / POSTINGS, where, f"rows {rows[mine][:3]}", "others")
            out[mine] = content.codes[at].view(self.settings.dtype).reshape(len(mine), self.settings.dim)
        return out

    def points(self, rows: npt.NDArray[Any]) -> Floats:
        """Vectors of rows as the index sees them: float32, of unit length under cosine."""
        vectors = self.vectors(rows)
        return ArraySource(vectors, unit=self.settings.metric.unit).take(np.arange(len(rows), dtype=np.int64))

    # ------------------------------------------------------------------------------------------------ lists

    def insert(self, tenant: int, rows: npt.NDArray[Any], bare: npt.NDArray[np.bool_] | None = None) -> tuple[I64, U32]:
        """Put rows that the tenant does not have into its lists; returns them, CSR ``(starts, cells)``.

        The caller stores them as the rows' homes. ``bare`` rows have no vector: `NO_LIST` stands for their list.
        """
        self.contents.enter(tenant, rows, bare)
        if bare is None or not bare.any():
            return self._list(tenant, rows)
        starts, cells = self._list(tenant, rows[~bare]) if not bare.all() else (np.zeros(1, np.int64), _NO_CELLS)
        counts = np.ones(len(rows), np.int64)
        counts[~bare] = np.diff(starts)
        ends = np.cumsum(counts)
        every = np.full(int(ends[-1]), NO_LIST, np.uint32)
        every[np.repeat(~bare, counts)] = cells
        return np.concatenate([[0], ends]), every

    def _list(self, tenant: int, rows: npt.NDArray[Any]) -> tuple[I64, U32]:
        """Put rows that have vectors into lists."""
        placement = self.tidied(tenant)
        points = self.points(rows)
        starts, cells = placement.assign(points, self.pool)
        self.edit(placement, Entries.of(rows, starts, cells), None)
        home = placement.positions(cells[starts[:-1]])
        np.add.at(placement.drift, home, points - placement.centroids[home])
        placement.changed_rows += len(rows)
        return starts, cells

    def remove(self, tenant: int, rows: npt.NDArray[Any], homes: HomeTable, points: Floats) -> None:
        """Take rows out of the tenant's lists. The caller stores their homes.

        Parameters
        ----------
        tenant : int
        rows : array of int, shape (n,)
        homes : HomeTable
            Where they are; lists of other tenants stay.
        points : float32 array (n, dim)
            Their vectors, from `points`.
        """
        gone = np.unique(homes.of_row[homes.tenants == tenant])
        self.contents.leave(tenant, rows[gone], homes.bare[gone])
        mine = (homes.tenants == tenant) & (homes.cells != NO_LIST)
        if not mine.any():
            return
        placement = self.placement(tenant)
        of_row, cells = homes.of_row[mine], homes.cells[mine]
        first = np.concatenate([[True], of_row[1:] != of_row[:-1]]) if len(of_row) else np.zeros(0, bool)
        home = placement.positions(cells[first])
        np.subtract.at(placement.drift, home, points[of_row[first]] - placement.centroids[home])
        self.edit(placement, None, Entries(rows=rows[of_row].astype(np.uint32), cells=cells))
        placement.changed_rows += len(rows)

    def reassign(self, placement: Placement, rows: I64) -> None:
        """Assign rows of a tenant anew, home and copies, and bring lists and homes up to date.

        Parameters
        ----------
        rows : int64 array, rising
        """
        if len(rows) == 0:
            return
        tenant = placement.tenant
        before = self.writer.homes_of(rows)
        points = self.points(rows)
        starts, cells = placement.assign(points, self.pool)
        mine = before.tenants == tenant
        counts = np.bincount(before.of_row[mine], minlength=len(rows))
        old_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        old_cells = before.cells[mine]
        self._swap(placement, Entries.of(rows, old_starts, old_cells), Entries.of(rows, starts, cells))
        self._note_moves(placement, points, old_cells[old_starts[:-1]], cells[starts[:-1]])
        self.writer.put_home_table(rows, before.with_lists(tenant, starts, cells))

    def _swap(self, placement: Placement, old: Entries, new: Entries) -> None:
        """Edit the lists from old entries to new ones; what is in both stays where it is."""
        shift = np.uint64(32)
        old_keys = old.cells.astype(np.uint64) << shift | old.rows
        new_keys = new.cells.astype(np.uint64) << shift | new.rows
        come, go = ~np.isin(new_keys, old_keys), ~np.isin(old_keys, new_keys)
        self.edit(
            placement,
            Entries(rows=new.rows[come], cells=new.cells[come]),
            Entries(rows=old.rows[go], cells=old.cells[go]),
        )

    def _note_moves(self, placement: Placement, points: Floats, old: U32, new: U32) -> None:
        """Follow the drift of cells whose home rows went or came."""
        moved = old != new
        there = np.array([placement.has(cell) for cell in old.tolist()], bool) & moved
        left = placement.positions(old[there])
        np.subtract.at(placement.drift, left, points[there] - placement.centroids[left])
        into = placement.positions(new[moved])
        np.add.at(placement.drift, into, points[moved] - placement.centroids[into])

    def edit(self, placement: Placement, come: Entries | None, go: Entries | None) -> None:
        """Write lists with other rows; lists that are too long or too short now are put on the waiting list."""
        none = Entries(rows=np.empty(0, np.uint32), cells=np.empty(0, np.uint32))
        come, go = come or none, go or none
        cells = np.union1d(come.cells, go.cells).astype(np.uint32)
        if not len(cells):
            return
        lengths = self.writer.edit_lists(placement.tenant, self._edit_of(cells, come, go), SLACK)
        known = np.array([placement.has(cell) for cell in cells.tolist()], bool)
        placement.lengths[placement.positions(cells[known])] = lengths[known]
        waits = placement.is_long(cells, lengths) | ((lengths < placement.shortest) & (placement.n_cells > 1))
        self.writer.set_pending(placement.tenant, cells[known & waits], cells[~(known & waits)])

    def _edit_of(self, cells: U32, come: Entries, go: Entries) -> ListEdit:
        """The edit that makes entries come and go."""
        order = np.lexsort((come.rows & np.uint32(ROW_MASK), come.cells))
        entering = come.rows[order]
        distinct, back = np.unique(entering & np.uint32(ROW_MASK), return_inverse=True)
        factors, codes = encode_rows(self.vectors(distinct), self.settings.kind, self.settings.metric.unit)
        leaving = np.lexsort((go.rows, go.cells))
        edges = np.concatenate([cells.astype(np.int64), [1 << 32]])
        return ListEdit(
            cells=cells,
            add=ListBatch(
                starts=np.searchsorted(come.cells[order], edges),
                rows=entering,
                factors=np.ascontiguousarray(factors[:, back]),
                codes=codes[back],
            ),
            drop_starts=np.searchsorted(go.cells[leaving], edges),
            drop_rows=go.rows[leaving] & np.uint32(ROW_MASK),
        )
