"""Stage *lists*: posting lists of a bucket, from its own rows and the copies that the others sent."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.placing import Bucket, Places
from ramet.engine.jobs.rows import STAGED, copy_dtype, staged_in
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import Work, joined
from ramet.index.codes import encode_rows
from ramet.storage import bulk
from ramet.storage.format import COPY
from ramet.storage.postings import ListBatch
from ramet.storage.reader import LIST_DTYPE

DROPPED = np.dtype([("row", "<u4"), ("list", "<u4")])
"""A copy for which its list had no room."""


class FillStage(Stage):
    """Units are buckets of lists."""

    name = "lists"

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Load what all units share."""
        _ = self.places.pages, self._bounds

    @cached_property
    def places(self) -> Places:
        """Where everything goes."""
        return Places(self._work)

    @cached_property
    def _bounds(self) -> npt.NDArray[np.int64]:
        """Where the copies for each bucket begin in the file of each bucket that sent some."""
        units = range(self.n_units())
        return np.stack([self._work.place.get_array(f"rows/{unit:06d}.bounds", np.int64) for unit in units])

    def n_units(self) -> int:
        """Buckets."""
        return len(self.places.buckets)

    def is_done(self, unit: int) -> bool:
        """Whether the lists of a bucket are written."""
        return self._work.place.has(f"lists/{unit:06d}.entries")

    def weight(self, unit: int) -> int:
        """Rows whose nearest list is one of the bucket's."""
        return self.places.buckets[unit].n_rows

    def run(self, unit: int) -> None:
        """Write the lists of a bucket."""
        bucket = self.places.buckets[unit]
        copies, dropped = self._within(bucket, self._copies(unit))
        batch = self._batch(bucket, copies)
        some = np.flatnonzero(np.diff(batch.starts) > 0)
        entries = np.zeros(bucket.last_list - bucket.first_list, LIST_DTYPE)
        pages = self.places.pages[bucket.first_list : bucket.last_list]
        kept = ListBatch(
            starts=np.append(batch.starts[some], batch.starts[-1]),
            rows=batch.rows, factors=batch.factors, codes=batch.codes,
        )  # fmt: skip
        entries[some] = bulk.write_extents(self._work.out, self.places.layout, kept, pages[some])
        self._work.place.put_array(f"lists/{unit:06d}.dropped", dropped)
        self._work.place.put_array(f"lists/{unit:06d}.entries", entries)

    def _copies(self, bucket: int) -> npt.NDArray[np.void]:
        """Copies for the lists of a bucket, by list and row."""
        kind = copy_dtype(self.places.layout.n_factors, self.places.layout.code_bytes)
        parts = []
        for unit in range(self.n_units()):
            a, b = self._bounds[unit, bucket : bucket + 2].tolist()
            if a < b:
                parts.append(self._work.place.get_array(f"rows/{unit:06d}.copies", kind, a, b - a))
        found = joined(parts, np.empty(0, kind))
        return found[np.lexsort((found["row"], found["list"]))]

    def _within(
        self, bucket: Bucket, copies: npt.NDArray[np.void]
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
        """Copies that find room in their lists, and those that do not."""
        lists = np.arange(bucket.first_list, bucket.last_list)
        starts = np.searchsorted(copies["list"], lists)
        rank = np.arange(len(copies)) - starts[copies["list"].astype(np.int64) - bucket.first_list]
        room = (self.places.lengths - self.places.homes)[copies["list"]]
        fits = rank < room
        dropped = np.empty(int((~fits).sum()), DROPPED)
        dropped["row"], dropped["list"] = copies["row"][~fits], copies["list"][~fits]
        return copies[fits], dropped

    def _batch(self, bucket: Bucket, copies: npt.NDArray[np.void]) -> ListBatch:
        """The lists, rows rising in each."""
        work, settings = self._work, self._work.plan.settings
        flat = bulk.read_rows(staged_in(work), STAGED, bucket.first_row, bucket.n_rows, settings.vector_bytes)
        vectors = flat.view(settings.dtype).reshape(-1, settings.dim)
        factors, codes = encode_rows(vectors, settings.kind, settings.metric.unit)
        homes = self.places.homes[bucket.first_list : bucket.last_list]
        local = np.repeat(np.arange(len(homes)), homes)
        lists = np.concatenate([local, copies["list"].astype(np.int64) - bucket.first_list])
        rows = np.concatenate([bucket.first_row + np.arange(bucket.n_rows), copies["row"]]).astype(np.int64)
        order = np.lexsort((rows, lists))
        entries = rows.astype(np.uint32)
        entries[bucket.n_rows :] |= np.uint32(COPY)
        all_factors: npt.NDArray[Any] = np.concatenate([factors, copies["factors"].T], axis=1)
        return ListBatch(
            starts=np.concatenate([[0], np.cumsum(np.bincount(lists, minlength=len(homes)))]).astype(np.int64),
            rows=entries[order],
            factors=np.ascontiguousarray(all_factors[:, order]),
            codes=np.concatenate([codes, copies["codes"]])[order],
        )

    def clean(self) -> None:
        """The copies are in their lists."""
        for unit in range(self.n_units()):
            self._work.place.drop(f"rows/{unit:06d}.copies")
        if not self._work.plan.settings.to_storage()["vector_bytes"]:
            self._work.place.drop(STAGED)
