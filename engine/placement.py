"""A tenant's cells as its writer keeps them: full-precision centroids, and a navigator that follows every change."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from ramet.engine.curves import ALL_LISTS
from ramet.engine.navigation import (
    MOVED,
    NAVIGATOR,
    ROOM,
    centroids_of,
    load_navigator,
    pack_navigator,
    stale_cells,
    with_cells,
)
from ramet.engine.settings import Settings
from ramet.index import defaults
from ramet.index.assign import assign_points
from ramet.index.navigate import GroupNavigator, flat_navigator, group_centres, group_navigator, home_groups
from ramet.storage.writer import Writer

Floats = npt.NDArray[np.float32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

STORED_FROM = defaults.FLAT_CELLS + 1
"""Lists from which a tenant's navigator is stored; smaller ones are made from the cells."""

OBJECT_BYTES = 7000
"""What a placement of one cell takes."""

FEW_CELLS = 16
"""Up to so many cells many rows still have one copy, from when there were no more than `ALL_LISTS`."""

REGROUP = 2.0
"""The cells are grouped anew when there are this many times as many as at the last time, or as few."""


class Placement:
    """Cells of one tenant by position; a cell that is gone leaves its position empty.

    Parameters
    ----------
    writer : Writer
    settings : Settings
    tenant : int
    """

    def __init__(self, writer: Writer, settings: Settings, tenant: int) -> None:
        self.tenant = tenant
        self._settings = settings
        directory = writer.lists(tenant)
        self.numbers: U32
        self.numbers, navigator = (
            load_navigator(writer, writer.path, settings, tenant, directory)
            if len(directory)
            else (np.empty(0, np.uint32), None)
        )
        self.centroids: Floats = centroids_of(writer, settings, self.numbers)
        self.lengths: I64 = directory.counts[np.searchsorted(directory.cells, self.numbers)].astype(np.int64)
        self.alive = np.ones(len(self.numbers), np.uint32)
        self.drift = np.zeros(self.centroids.shape, np.float32)
        self.changed_rows = 0.0
        self._place = {int(cell): i for i, cell in enumerate(self.numbers)}
        self._navigator = navigator if isinstance(navigator, GroupNavigator) and len(directory) > 1 else None
        self._graph = navigator is not None and not isinstance(navigator, GroupNavigator)
        self._stored = len(directory) > 1 and writer.blob(NAVIGATOR.format(tenant=tenant)) is not None
        self._grouped_at = len(self.numbers)
        if self._navigator is not None and self._navigator.n_groups:
            self._grouped_at = round((self._navigator.n_groups / defaults.GROUPS_FACTOR) ** 2)
        # Cells that came, went or moved since the navigator was stored.
        self._since_stored: set[int] = stale_cells(writer, tenant, directory.cells) if self._stored else set()
        self._moved: set[int] = set()
        self._new: set[int] = set()  # since the last wave
        self._settled: dict[int, int] = {}  # cells that could not be cut, and how long their lists were

    @property
    def n_cells(self) -> int:
        """Cells that the tenant has lists in, or is about to."""
        return len(self._place)

    @property
    def n_bytes(self) -> int:
        """Memory held, about: centroids, drift and codes of each cell, and the objects around them."""
        return OBJECT_BYTES + len(self.numbers) * (9 * self._settings.dim + 200)

    @property
    def replicas(self) -> int:
        """Most lists that hold a row: one while queries read all lists anyway."""
        return defaults.REPLICAS if self.n_cells > ALL_LISTS else 1

    @property
    def longest(self) -> int:
        """Rows from which a list is to be split."""
        return defaults.SPLIT_LENGTH if self.n_cells > ALL_LISTS else defaults.SPLIT_SINGLE

    @property
    def shortest(self) -> int:
        """Rows below which a list is to be dissolved."""
        return defaults.MERGE_LENGTH if self.n_cells > FEW_CELLS else defaults.MERGE_SINGLE

    def positions(self, cells: npt.NDArray[np.unsignedinteger]) -> I64:
        """Positions of cells that the tenant has."""
        return np.fromiter((self._place[cell] for cell in cells.tolist()), np.int64, len(cells))

    def has(self, cell: int) -> bool:
        """Whether a cell is one of the tenant's."""
        return cell in self._place

    def assign(self, points: Floats, pool: Executor | None) -> tuple[I64, U32]:
        """Lists for rows, CSR ``(starts, cell numbers)``; the nearest cell of each row first.

        Parameters
        ----------
        points : float32 array (n, dim), in working space
        """
        navigator = self._grown()
        cells, counts = assign_points(points, navigator, self.centroids, self.alive, self.replicas, pool)
        taken = np.arange(cells.shape[1])[None, :] < counts[:, None]
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return starts, self.numbers[cells[taken]]

    def near(self, positions: I64, n: int) -> I64:
        """Positions of the ``n`` cells nearest to each of some cells, itself included; -1 where there are fewer."""
        navigator = self._grown()
        extra = len(self.numbers) - self.n_cells
        keys = navigator.nearest(self.centroids[positions], min(n + min(extra, n), navigator.n_cells), 0)
        found = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        found[keys == np.uint64(0xFFFFFFFFFFFFFFFF)] = -1
        found[(found >= 0) & (self.alive[found] == 0)] = -1
        return found

    def remove(self, cells: U32) -> None:
        """Take cells out."""
        at = self.positions(cells)
        self.alive[at] = 0
        self.lengths[at] = 0
        self.drift[at] = 0.0
        for cell in cells.tolist():
            del self._place[cell]
            self._settled.pop(cell, None)
        self._since_stored.update(cells.tolist())

    def add(self, cells: U32, centroids: Floats) -> None:
        """Put cells in, with empty lists."""
        n, more = len(self.numbers), len(cells)
        self.numbers = np.concatenate([self.numbers, cells]).astype(np.uint32)
        self.centroids = np.concatenate([self.centroids, centroids])
        self.lengths = np.concatenate([self.lengths, np.zeros(more, np.int64)])
        self.alive = np.concatenate([self.alive, np.ones(more, np.uint32)])
        self.drift = np.concatenate([self.drift, np.zeros((more, centroids.shape[1]), np.float32)])
        self._place.update(zip(cells.tolist(), range(n, n + more), strict=True))
        self._since_stored.update(cells.tolist())
        self._moved.update(cells.tolist())  # one that was here before may have moved while it was gone
        self._new.update(cells.tolist())

    def take_new(self) -> U32:
        """Cells that came since this was asked last, without those that have gone again; rising."""
        new = np.array(sorted(cell for cell in self._new if cell in self._place), np.uint32)
        self._new.clear()
        return new

    def settle(self, cell: int) -> None:
        """Take note that a list cannot be cut: it may grow to twice its length before this is tried again."""
        self._settled[cell] = int(self.lengths[self._place[cell]])

    def is_long(self, cells: U32, lengths: I64) -> npt.NDArray[np.bool_]:
        """Which lists are to be cut."""
        long: npt.NDArray[np.bool_] = lengths > self.longest
        for i in np.flatnonzero(long) if self._settled else ():
            long[i] = lengths[i] > 2 * self._settled.get(int(cells[i]), 0)
        return long

    def most_drifted(self, n: int, but: U32) -> U32:
        """The ``n`` cells that drifted most, weighted by their rows, without those in ``but``; rising.

        ``drift`` sums the rows that came into a cell or left it since it was centred, relative to its centroid: its
        square over the number of rows is what re-centring takes off the sum of squared distances.
        """
        gain = np.einsum("ij,ij->i", self.drift, self.drift) / np.maximum(self.lengths, 1)
        gain[(self.alive == 0) | (self.lengths == 0)] = 0.0
        gain[self.positions(but)] = 0.0
        order = np.argsort(-gain, kind="stable")[:n]
        return np.sort(self.numbers[order[gain[order] > 0]])

    def move(self, positions: I64, centroids: Floats) -> I64:
        """Give cells new centroids; returns their new positions."""
        cells = self.numbers[positions]
        lengths = self.lengths[positions]
        self.remove(cells)
        self.add(cells, centroids)
        self._moved.update(cells.tolist())
        self._new.difference_update(cells.tolist())
        at = self.positions(cells)
        self.lengths[at] = lengths
        return at

    def _grown(self) -> GroupNavigator:
        """The navigator, with every cell in it."""
        n = self.n_cells
        known = self._navigator
        regroup = n >= STORED_FROM and not self._grouped_at / REGROUP < n < self._grouped_at * REGROUP
        if known is None or regroup or (known.n_groups == 0 and n >= STORED_FROM):
            if n >= STORED_FROM:
                centres = group_centres(self.centroids, 0)
                known = group_navigator(self.centroids, centres, home_groups(self.centroids, centres))
                self._since_stored.update(self._place)  # the stored groups are out of date
            else:
                known = flat_navigator(self.centroids)
            self._navigator = known = known.with_room(np.ones(known.n_cells, bool), ROOM)
            self._grouped_at = n
        elif known.n_cells < len(self.numbers):
            self._navigator = known = with_cells(known, self.centroids[known.n_cells :])
        return known

    def tidy(self) -> None:
        """Give up the positions of cells that are gone, when these are many. Positions taken before are void."""
        if len(self.numbers) <= 2 * self.n_cells + 64:
            return
        keep = self.alive > 0
        self._navigator = None
        self.numbers, self.centroids = self.numbers[keep], np.ascontiguousarray(self.centroids[keep])
        self.lengths, self.drift = self.lengths[keep], self.drift[keep]
        self.alive = np.ones(len(self.numbers), np.uint32)
        self._place = {int(cell): i for i, cell in enumerate(self.numbers)}

    def store(self, writer: Writer) -> None:
        """Bring what readers load up to date: the navigator, when much has changed, or which centroids moved."""
        # A graph cannot leave a cell out: readers refuse it as soon as one of its cells has no list any more.
        thinned = self._graph and bool((self.lengths[self.alive > 0] == 0).any())
        if not (self._since_stored or thinned):
            return
        navigator, moved = NAVIGATOR.format(tenant=self.tenant), MOVED.format(tenant=self.tenant)
        if self.n_cells < STORED_FROM:
            if self._stored:
                writer.put_blob(navigator, None)
                writer.put_blob(moved, None)
            self._stored = self._graph = False
        elif self._graph or not self._stored or len(self._since_stored) * 8 > self.n_cells:
            known = self._grown()
            keep = self.alive > 0
            writer.put_blob(navigator, pack_navigator(self.numbers[keep], known.with_room(keep, 0.0)))
            writer.put_blob(moved, None)
            self._stored, self._graph = True, False
        elif self._moved:
            before = np.frombuffer(writer.blob(moved) or b"", "<u4")
            cells = np.union1d(before, np.array(sorted(self._moved), np.uint32))
            writer.put_blob(moved, cells.astype("<u4").tobytes())
            self._moved.clear()
            return
        else:
            return
        self._since_stored.clear()
        self._moved.clear()
