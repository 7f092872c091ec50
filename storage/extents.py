"""Where new posting lists go: free extents that nobody can read any more, else the end of the file.

An extent freed by transaction T is part of every state before T. It may be written again once all live snapshots,
other processes included, are of T or later: then no reader can reach its old content, and a crash in mid-write falls
back to a state that does not refer to it either.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog

# Up to this many lists are placed one by one into free extents. More are kept together, because neighbouring cells
# that are neighbours in the file are read as one (chosen by feel: a split writes 2 to 8 lists, a build thousands).
SMALL_BATCH = 64

# Lists of a large batch that a free run must hold to be used: shorter ones are left to small batches.
FEWEST_TOGETHER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeRun:
    """Adjacent free pages, and the entries of the FREE table that they stand in."""

    page: int
    """First page."""
    n_pages: int
    """Length in pages."""
    keys: tuple[tuple[int, int], ...]
    """(transaction, page) of each entry; empty for what is left of an entry that was used in part."""
    txn: int
    """Newest transaction among them."""


def merged(runs: Iterable[FreeRun]) -> list[FreeRun]:
    """Return the runs sorted by page, adjacent ones joined. Pure."""
    joined: list[FreeRun] = []
    for run in sorted(runs, key=lambda run: run.page):
        last = joined[-1] if joined else None
        if last is not None and last.page + last.n_pages == run.page:
            joined[-1] = FreeRun(
                page=last.page,
                n_pages=last.n_pages + run.n_pages,
                keys=last.keys + run.keys,
                txn=max(last.txn, run.txn),
            )
        else:
            joined.append(run)
    return joined


def best_fit(runs: list[FreeRun], n_pages: int) -> int | None:
    """Return the index of the shortest run of at least `n_pages` pages, the first of equals, or None. Pure."""
    fitting = [(run.n_pages, i) for i, run in enumerate(runs) if run.n_pages >= n_pages]
    return min(fitting)[1] if fitting else None


def oldest_reader(environment: Any) -> int | None:
    """Return the oldest transaction that a live snapshot of any process reads, None when there is no snapshot."""
    environment.reader_check()
    seen = [line.split()[2] for line in environment.readers().splitlines()[1:] if len(line.split()) == 3]
    return min((int(txn) for txn in seen if txn != "-"), default=None)


class Allocator:
    """Gives out and takes back extents within one write transaction.

    Parameters
    ----------
    environment, txn : LMDB environment and write transaction
    end_page : int
        Pages in use at the start of the transaction.
    """

    def __init__(self, environment: Any, txn: Any, end_page: int) -> None:
        self.end_page = end_page
        self._environment = environment
        self._txn = txn
        self._runs: list[FreeRun] | None = None
        self._used: list[tuple[int, int]] = []
        self._freed: list[FreeRun] = []
        self._fresh: dict[int, int] = {}

    def allocate(self, n_pages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the first page of an extent for each list: consecutive extents where they fit, in the order given.

        Parameters
        ----------
        n_pages : array of int64, shape (n,)
            Pages of each list, 1 or more.
        """
        runs = self._reusable()
        total = int(n_pages.sum())
        whole = best_fit(runs, total)
        if whole is not None:
            starts = self._take(runs, whole, total) + np.cumsum(n_pages) - n_pages
        elif runs and len(n_pages) <= SMALL_BATCH:
            starts = np.array([self._allocate_one(runs, n) for n in n_pages.tolist()], dtype=np.int64)
        else:
            starts = self._fill_runs(runs, n_pages)
        self._fresh.update(zip(starts.tolist(), n_pages.tolist(), strict=True))
        return starts

    def free(self, page: int, n_pages: int) -> None:
        """Take an extent back. Nobody gets it before this transaction is the oldest that is read.

        An extent of this very transaction goes back at once: no committed state ever referred to it.
        """
        if self._fresh.pop(page, None) is not None:
            runs = self._reusable()
            # Runs that stand in the FREE table stay as they are, the others are written anew by `save`.
            own = [run for run in runs if not run.keys] + [FreeRun(page=page, n_pages=n_pages, keys=(), txn=0)]
            runs[:] = [run for run in runs if run.keys] + merged(own)
        else:
            self._freed.append(FreeRun(page=page, n_pages=n_pages, keys=(), txn=self._txn.id()))

    def save(self) -> None:
        """Write the changes to the FREE table."""
        for used in self._used:
            self._txn.delete(catalog.FREE + catalog.FREE_KEY.pack(*used))
        rest = [run for run in self._runs or [] if not run.keys]
        for run in merged(self._freed) + rest:
            key = catalog.FREE + catalog.FREE_KEY.pack(run.txn, run.page)
            self._txn.put(key, catalog.U32_VALUE.pack(run.n_pages))

    def _fill_runs(self, runs: list[FreeRun], n_pages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Place many lists: as many in a row as fit into each long free run, longest first, the rest at the end."""
        starts = np.empty(len(n_pages), np.int64)
        ends, done = np.cumsum(n_pages), 0
        for run in sorted(runs, key=lambda run: (-run.n_pages, run.page)):
            before = int(ends[done - 1]) if done else 0
            last = int(np.searchsorted(ends, before + run.n_pages, side="right"))
            if done == len(n_pages) or last - done < min(FEWEST_TOGETHER, len(n_pages) - done):
                break
            length = int(ends[last - 1]) - before
            self._take(runs, next(i for i, known in enumerate(runs) if known is run), length)
            starts[done:last] = run.page + ends[done:last] - n_pages[done:last] - before
            done = last
        rest = n_pages[done:]
        if len(rest):
            starts[done:] = self._extend(int(rest.sum())) + np.cumsum(rest) - rest
        return starts

    def _allocate_one(self, runs: list[FreeRun], n_pages: int) -> int:
        fit = best_fit(runs, n_pages)
        return self._extend(n_pages) if fit is None else self._take(runs, fit, n_pages)

    def _extend(self, n_pages: int) -> int:
        start, self.end_page = self.end_page, self.end_page + n_pages
        return start

    def _take(self, runs: list[FreeRun], index: int, n_pages: int) -> int:
        run = runs.pop(index)
        self._used.extend(run.keys)
        if run.n_pages > n_pages:
            rest = FreeRun(page=run.page + n_pages, n_pages=run.n_pages - n_pages, keys=(), txn=run.txn)
            runs.insert(index, rest)
        return run.page

    def _reusable(self) -> list[FreeRun]:
        """Return the free runs that no live snapshot can reach, read from the catalog on first use."""
        if self._runs is None:
            entries = [
                (*catalog.FREE_KEY.unpack(key[1:]), catalog.U32_VALUE.unpack(value)[0])
                for key, value in catalog.scan(self._txn, catalog.FREE)
            ]
            oldest = oldest_reader(self._environment) if entries else None
            # Without a reader the newest committed state is what counts: the transaction before this one.
            horizon = self._txn.id() - 1 if oldest is None else oldest
            self._runs = merged(
                FreeRun(page=page, n_pages=n_pages, keys=((txn, page),), txn=txn)
                for txn, page, n_pages in entries
                if txn <= horizon
            )
        return self._runs
