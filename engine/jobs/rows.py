"""Stage *rows*: the rows of a bucket of lists, gathered from the units that assigned them, get their numbers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.ids import Ids
from ramet.engine.jobs.placing import Bucket, Places
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.truth import Truth
from ramet.engine.jobs.work import NO_COPY, Work, assigned_dtype, joined
from ramet.index.codes import encode_rows
from ramet.storage import bulk, records
from ramet.storage.format import ROWS, VECTORS

STAGED = VECTORS
"""Full-precision rows by number: the collection's own file where it has one, else one of the job."""


def copy_dtype(n_factors: int, code_bytes: int) -> np.dtype[Any]:
    """A copy of a row on its way to a list."""
    return np.dtype([("list", "<u4"), ("row", "<u4"), ("factors", "<u4", (n_factors,)), ("codes", "u1", (code_bytes,))])


class RowStage(Stage):
    """Units are buckets of lists."""

    name = "rows"

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> None:
        """Make the collection's directory, once, and load what all units share."""
        work = self._work
        if not work.place.has("rows/prepared"):
            bulk.prepare(work.out, work.plan.settings.to_storage(), work.collection)
            if not work.plan.settings.to_storage()["vector_bytes"]:
                (work.place.of(STAGED)).touch()
            work.place.put_json("rows/prepared", True)
        _ = self.places.slices, self.ids, self.truth

    @cached_property
    def places(self) -> Places:
        """Where everything goes."""
        return Places(self._work)

    @cached_property
    def ids(self) -> Ids:
        """Ids of the records read."""
        return Ids(self._work)

    @cached_property
    def truth(self) -> Truth:
        """The nearest rows of the queries that recall is measured with."""
        return Truth(self._work)

    def n_units(self) -> int:
        """Buckets."""
        return len(self.places.buckets)

    def is_done(self, unit: int) -> bool:
        """Whether the rows of a bucket are written."""
        return self._work.place.has(f"rows/{unit:06d}.keys")

    def weight(self, unit: int) -> int:
        """Rows of a bucket."""
        return self.places.buckets[unit].n_rows

    def run(self, unit: int) -> None:
        """Number and write the rows of a bucket, and send their copies on their way."""
        work, bucket = self._work, self.places.buckets[unit]
        keys, vectors = self._gathered(unit)
        order = np.lexsort((keys["row"], keys["list"]))
        keys, vectors = keys[order], vectors[order]
        flat = vectors.view(np.uint8).reshape(len(keys), -1)
        bulk.write_rows(staged_in(work), STAGED, bucket.first_row, flat)
        self._write_ids(bucket, keys["row"])
        self.truth.look(unit, bucket.first_row, vectors)
        self._send_copies(unit, bucket, keys, vectors)
        work.place.put_array(f"rows/{unit:06d}.keys", keys)

    def _gathered(self, bucket: int) -> tuple[npt.NDArray[np.void], npt.NDArray[Any]]:
        """Records of a bucket from the files of all units."""
        work, settings = self._work, self._work.plan.settings
        kind = assigned_dtype(work.plan.closure.replicas)
        keys, vectors = [], []
        for number in range(self.places.n_units):
            a, b = self.places.slices[number, bucket : bucket + 2].tolist()
            if a < b:
                keys.append(work.place.get_array(f"assign/{number:06d}.keys", kind, a, b - a))
                vectors.append(work.vectors(f"assign/{number:06d}.vecs", a, b - a))
        empty = np.empty((0, settings.dim), settings.dtype)
        return joined(keys, np.empty(0, kind)), joined(vectors, empty)

    def _write_ids(self, bucket: Bucket, rows: npt.NDArray[np.uint32]) -> None:
        encoded = self.ids.of(rows.astype(np.int64))
        width = records.slot_width(self.ids.longest)
        slots, _ = records.pack_slots(encoded, width)
        bulk.write_rows(self._work.out, ROWS, bucket.first_row, slots)
        self.ids.keep(bucket.first_row, encoded)

    def _send_copies(self, unit: int, bucket: Bucket, keys: npt.NDArray[np.void], vectors: npt.NDArray[Any]) -> None:
        """Write the copies of the rows, coded, by the bucket that they go to."""
        settings = self._work.plan.settings
        layout = self.places.layout
        which, ranks = np.nonzero(keys["copies"] != NO_COPY)
        lists = keys["copies"][which, ranks]
        order = np.argsort(lists, kind="stable")
        which, lists = which[order], lists[order]
        out = np.empty(len(which), copy_dtype(layout.n_factors, layout.code_bytes))
        out["list"], out["row"] = lists, bucket.first_row + which
        factors, codes = encode_rows(vectors[which], settings.kind, settings.metric.unit)
        out["factors"], out["codes"] = factors.T, codes
        bounds = np.array([one.first_list for one in self.places.buckets] + [len(self.places.homes)])
        self._work.place.put_array(f"rows/{unit:06d}.copies", out)
        self._work.place.put_array(f"rows/{unit:06d}.bounds", np.searchsorted(lists, bounds).astype("<i8"))

    def clean(self) -> None:
        """What the units of the assignment left is not needed any more; their counts are."""
        for number in range(self.places.n_units):
            self._work.place.drop(f"assign/{number:06d}.keys")
            self._work.place.drop(f"assign/{number:06d}.vecs")


def staged_in(work: Work) -> Any:
    """Directory of the file of full-precision rows."""
    return work.out if work.plan.settings.to_storage()["vector_bytes"] else work.place.path
