"""Ids of the records of a job: those that the input gives, or the position in the input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.work import I64, Work
from ramet.storage.datafile import write_at
from ramet.storage.records import EncodedIds, slot_width

KEPT = "rows/ids"

SORT_COPIES = 4
"""Times that the ids of a tenant are held while they are sorted."""


class Ids:
    """Ids by number of the record as it was read.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._facts = work.read["blocks"]
        self.longest: int = work.read["longest_id"]
        """Bytes of the longest."""

    def of(self, rows: I64) -> EncodedIds:
        """Ids of some records."""
        out: list[bytes] = [b""] * len(rows)
        for number, places, local in self._work.by_block(rows):
            for place, name in zip(places.tolist(), self._of_block(number, local), strict=True):
                out[place] = name
        lengths = np.fromiter(map(len, out), np.int64, len(out))
        return EncodedIds(encoded=out, lengths=lengths)

    def _of_block(self, number: int, local: I64) -> list[bytes]:
        name, place = self._facts[number]["name"], self._work.source
        if self._facts[number]["has_ids"]:
            ends = place.get_array(f"read/{name}.idx", np.int64)
            content = (place.path / f"read/{name}.ids").read_bytes()
            starts = np.concatenate([[0], ends[:-1]])
            pairs = zip(starts[local].tolist(), ends[local].tolist(), strict=True)
            return [content[a:b] for a, b in pairs]
        positions = local + self._facts[number]["first_position"]
        if self._facts[number]["has_positions"]:
            positions = place.get_array(f"read/{name}.pos", np.int64)[local] + self._facts[number]["file_position"]
        return [b"%d" % position for position in positions.tolist()]

    @cached_property
    def _kind(self) -> np.dtype[Any]:
        return np.dtype([("name", f"S{max(self.longest, 1)}"), ("length", "<u2")])

    def keep(self, first_row: int, ids: EncodedIds) -> None:
        """Remember the ids of rows of the collection, for the table that finds them."""
        table = np.zeros(len(ids.encoded), self._kind)
        table["name"], table["length"] = ids.encoded, ids.lengths
        fd = os.open(self._work.place.of(KEPT), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            write_at(fd, first_row * self._kind.itemsize, table.data)
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def sorted(self, records: I64) -> Iterator[tuple[int, list[bytes], npt.NDArray[np.uint32]]]:
        """Tenant, ids and rows, by tenant and id; ``records``: of each tenant, in the order of rows."""
        first = 0
        for tenant, n in enumerate(records.tolist()):
            for rows in self._parts(first, n):
                table = self._table(rows)
                order = np.lexsort((table["length"], table["name"]))
                for a in range(0, len(order), 65_536):
                    part = order[a : a + 65_536]
                    yield tenant, self._bytes(table[part]), rows[part].astype(np.uint32)
            first += n

    @staticmethod
    def _bytes(table: npt.NDArray[np.void]) -> list[bytes]:
        """The ids; NumPy strips zero bytes at the end, which an id may have."""
        names: list[bytes] = table["name"].tolist()
        stripped = np.char.str_len(table["name"]) < table["length"]
        for i in np.flatnonzero(stripped).tolist():
            names[i] = names[i].ljust(int(table["length"][i]), b"\0")
        return names

    def _table(self, rows: I64) -> npt.NDArray[np.void]:
        first, last = int(rows[0]), int(rows[-1]) + 1
        if last - first == len(rows):
            return self._work.place.get_array(KEPT, self._kind, first, len(rows))
        parts = [
            self._work.place.get_array(KEPT, self._kind, a, min(last - a, 1 << 20))[
                rows[(rows >= a) & (rows < a + (1 << 20))] - a
            ]
            for a in range(first, last, 1 << 20)
        ]
        return np.concatenate(parts)

    def _parts(self, first: int, n: int) -> Iterator[I64]:
        """Rows of a tenant in parts whose ids rise from part to part, each small enough to be sorted in memory."""
        most = max(
            65_536, self._work.block_rows * self._work.plan.settings.dim * 4 // (SORT_COPIES * self._kind.itemsize)
        )
        if n <= most:
            if n:
                yield np.arange(first, first + n)
            return
        step = max(1, n // 65_536)
        sample = np.sort(self._table(np.arange(first, first + n, step))["name"])
        n_parts = -(-n // (most // 2))
        cuts = np.unique(sample[np.linspace(0, len(sample) - 1, n_parts + 1).astype(int)[1:-1]])
        for number in range(len(cuts) + 1):
            rows = [np.empty(0, np.int64)]
            for a in range(first, first + n, 1 << 20):
                part = np.arange(a, min(a + (1 << 20), first + n))
                names = self._table(part)["name"]
                rows.append(part[np.searchsorted(cuts, names, side="right") == number])
            found = np.concatenate(rows)
            if len(found):
                yield found

    def long_ids(self, n_rows: int) -> Iterator[tuple[int, bytes]]:
        """Rows whose ids do not fit a slot, and the ids."""
        width = slot_width(self.longest)
        if self.longest < width:
            return
        for a in range(0, n_rows, 65_536):
            rows = np.arange(a, min(a + 65_536, n_rows))
            table = self._table(rows)
            long = np.flatnonzero(table["length"] >= width)
            yield from zip(rows[long].tolist(), self._bytes(table[long]), strict=True)
