"""Where every row and every list will be, known as soon as all rows have their lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.planting import Planted
from ramet.engine.jobs.work import I64, Work, units_of
from ramet.storage.bulk import layout_of
from ramet.storage.format import ListLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Lists that are handled together, and the rows whose nearest list is one of them."""

    first_list: int
    last_list: int
    first_row: int
    n_rows: int


class Places:
    """Places of rows and lists. Rows are numbered by list, then as they were read.

    Parameters
    ----------
    work : Work
        Its assign stage is done.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self.n_units: int = work.place.get_json("assign/units")
        """Units of that stage."""
        self.planted = Planted(work)
        n_lists = len(self.planted.cells)
        self.homes: I64 = np.zeros(n_lists, np.int64)
        """Rows of each list whose nearest it is."""
        self.copies: I64 = np.zeros(n_lists, np.int64)
        """Copies that want to be in each list."""
        for unit in range(self.n_units):
            homes, copies = self._counts(unit)
            self.homes += homes
            self.copies += copies

    def _counts(self, unit: int) -> npt.NDArray[np.uint32]:
        return self._work.place.get_array(f"assign/{unit:06d}.counts", np.uint32).reshape(2, -1)

    @cached_property
    def buckets(self) -> list[Bucket]:
        """Stretches of lists."""
        firsts = np.concatenate([[0], np.cumsum(self.homes)])
        return [
            Bucket(first_list=a, last_list=b, first_row=int(firsts[a]), n_rows=int(firsts[b] - firsts[a]))
            for a, b in units_of(self.homes, self._work.kept_rows("rows"))
        ]

    @cached_property
    def slices(self) -> I64:
        """Where each bucket begins in the file of each unit, (n_units, n_buckets + 1)."""
        bounds = np.array([bucket.first_list for bucket in self.buckets] + [len(self.homes)])
        out = np.empty((self.n_units, len(bounds)), np.int64)
        for unit in range(self.n_units):
            out[unit] = np.concatenate([[0], np.cumsum(self._counts(unit)[0], dtype=np.int64)])[bounds]
        return out

    @cached_property
    def lengths(self) -> I64:
        """Rows of each list, copies included: there is no copy where a list would pass the bound."""
        room = np.maximum(self._work.plan.cluster.bound - self.homes, 0)
        return self.homes + np.minimum(self.copies, room)

    @cached_property
    def layout(self) -> ListLayout:
        """Of the posting lists."""
        return layout_of(self._work.plan.settings.to_storage())

    @cached_property
    def pages(self) -> I64:
        """First page of each list, and behind the last one the end of the file, (n_lists + 1,)."""
        n_pages = np.where(self.lengths > 0, self.layout.pages_for(self.lengths), 0)
        return 1 + np.concatenate([[0], np.cumsum(n_pages)]).astype(np.int64)

    @cached_property
    def records(self) -> I64:
        """Records of each tenant; their rows follow each other by tenant."""
        sizes = np.bincount(self.planted.owners, weights=self.homes, minlength=len(self._work.tenants))
        return sizes.astype(np.int64)
