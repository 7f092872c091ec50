"""What a writer can do to posting lists: write them whole, or change some rows of them."""

from typing import Any

import numpy as np
import xxhash

from ramet.storage import catalog, records
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG, PAGE_BYTES, POSTINGS, ROW_MASK, ListLayout
from ramet.storage.postings import ListBatch, ListEdit, checked_batch, checked_edit, merged_lists, write_batch
from ramet.storage.reader import I64, LIST_DTYPE, U8, U32, check_directory
from ramet.storage.snapshot import ListContent, list_content
from ramet.storage.transaction import WriteTransaction

# Lists rewritten together: their content stays in the cache between the steps.
TOGETHER = 256


class ListWriter(WriteTransaction):
    """Posting lists."""

    def write_lists(
        self, tenant: int, cells: U32, starts: I64, rows: U32, factors: U32, codes: U8, slack: float = 0.0
    ) -> None:
        """Write whole posting lists of one tenant, replacing those of the same cell.

        Parameters
        ----------
        tenant : int
        cells : array of uint32, shape (n,)
            New extents are consecutive in this order.
        starts : array of int64, shape (n + 1,)
            List i holds ``rows[starts[i]:starts[i + 1]]`` and the same part of the other columns.
        rows : array of uint32, shape (total,)
            Row numbers, with the bit `format.COPY` where the row's nearest list is another one.
        factors : array of 4-byte words, shape (n_factors, total)
        codes : array of uint8, shape (total, code_bytes)
        slack : float
            Share of free places to leave in each extent, 0.25 for a quarter.

        Raises
        ------
        ValueError
            A shape does not fit, a cell is named twice, or a row does not exist.
        StorageFullError
        """
        numbers = np.ascontiguousarray(cells, dtype=np.uint32)
        batch = checked_batch(self._core.layout, numbers, starts, rows, factors, codes)
        self._check_lists(tenant, batch.rows)
        if len(numbers) == 0:
            return
        with self._step(POSTINGS) as txn:
            prefix = catalog.LISTS + catalog.U32_KEY.pack(tenant)
            new = numbers
            if not catalog.range_is_empty(txn, prefix):
                there = [self._free_list(txn, prefix + cell) for cell in records.byte_items(numbers, ">u4")]
                new = numbers[~np.array(there)]
            self._use(txn, new, 1)
            self._place_lists(txn, tenant, numbers, batch, slack)

    def _check_lists(self, tenant: int, rows: U32) -> None:
        if self.member(tenant) is None:
            raise ValueError(f"there is no tenant of number {tenant}; make it with ensure_tenant")
        largest = int((rows & np.uint32(ROW_MASK)).max(initial=0))
        if largest >= max(self.n_rows, 1):
            raise ValueError(f"a list names row {largest}, but there are {self.n_rows}")

    def _place_lists(self, txn: Any, tenant: int, cells: U32, batch: ListBatch, slack: float) -> None:
        """Write lists into new extents and enter them in the directory."""
        layout = self._core.layout
        n_pages = layout.pages_for(np.diff(batch.starts), slack)
        pages = self._allocator.allocate(n_pages)
        entries = write_batch(layout, batch, pages, n_pages, self._files[POSTINGS].write)
        self._put_entries(txn, tenant, cells, entries)

    def _put_entries(self, txn: Any, tenant: int, cells: U32, entries: Any) -> None:
        prefix = catalog.LISTS + catalog.U32_KEY.pack(tenant)
        order = np.argsort(cells)
        keys = [prefix + cell for cell in records.byte_items(cells[order], ">u4")]
        values = records.byte_rows(entries[order].view(np.uint8).reshape(len(cells), -1))
        catalog.put_sorted(txn, keys, values)
        self._touch(tenant, cells.tolist())

    def _use(self, txn: Any, cells: U32, more: int) -> None:
        """Count the lists that come (1) or go (-1) in cells."""
        for cell in records.byte_items(np.sort(cells), ">u4"):
            n = int.from_bytes(txn.get(catalog.USES + cell, b""), "little") + more
            if n > 0:
                txn.put(catalog.USES + cell, catalog.U32_VALUE.pack(n))
            else:
                txn.delete(catalog.USES + cell)

    def edit_lists(self, tenant: int, edit: ListEdit, slack: float) -> I64:
        """Drop rows from lists of one tenant and add rows to them.

        A list that only grows and has room in its extent grows in place: what is behind the committed rows, no reader
        looks at. Every other list gets a new extent. A list is made when there is none, and deleted when its last row
        goes. Whatever is kept of an old list is compared with its checksum before.

        Parameters
        ----------
        tenant : int
        edit : ListEdit
        slack : float
            Share of free places in new extents.

        Returns
        -------
        array of int64, shape (n,)
            Rows in each list afterwards.

        Raises
        ------
        ValueError
            A shape does not fit, a cell is named twice, a row does not exist, or one that is to go is not there.
        CorruptionError
            A list does not match its checksum.
        StorageFullError
        """
        edit = checked_edit(self._core.layout, edit)
        self._check_lists(tenant, edit.add.rows)
        if len(edit.cells) == 0:
            return np.empty(0, np.int64)
        with self._step(POSTINGS) as txn:
            prefix = catalog.LISTS + catalog.U32_KEY.pack(tenant)
            keys = [prefix + cell for cell in records.byte_items(edit.cells, ">u4")]
            entries = self._entries(tenant, edit.cells, [txn.get(key) for key in keys])
            grown: I64 = edit.n_added + entries["count"]
            capacities = self._core.layout.capacities_for(entries["n_pages"])
            inside = (edit.n_dropped == 0) & (entries["n_pages"] > 0) & (grown <= capacities)
            self._append_inside(txn, tenant, edit, entries, np.flatnonzero(inside))
            rest = np.flatnonzero(~inside)
            for first in range(0, len(rest), TOGETHER):
                self._rewrite(txn, tenant, edit, entries, rest[first : first + TOGETHER], slack)
        return grown - edit.n_dropped

    def _entries(self, tenant: int, cells: U32, values: list[bytes | None]) -> Any:
        """Directory entries of lists, zeros where there is none."""
        none = bytes(LIST_DTYPE.itemsize)
        try:
            entries = np.frombuffer(b"".join([value or none for value in values]), LIST_DTYPE)
        except ValueError as error:
            raise self._damaged(f"lists of tenant {tenant}", "24-byte entries", error) from error
        there = entries["n_pages"] > 0
        bad = check_directory(entries, self._core.layout, self.end_page) & there
        if len(entries) != len(cells) or bad.any():
            raise self._damaged(f"lists of tenant {tenant}", "extents that hold their rows", entries[bad])
        return entries

    def _append_inside(self, txn: Any, tenant: int, edit: ListEdit, entries: Any, which: I64) -> None:
        """Grow lists within their extents."""
        if len(which) == 0:
            return
        layout, add = self._core.layout, edit.add
        end = self.end_page * PAGE_BYTES
        mapped: Any = self.mapping(POSTINGS, end).bytes(0, end)
        view = memoryview(mapped)
        new = entries[which].copy()
        capacities = layout.capacities_for(new["n_pages"]).tolist()
        bases, counts = (new["page"] * PAGE_BYTES).tolist(), new["count"].tolist()
        places = list(zip(bases, capacities, counts, strict=True))
        found = np.array([_checksum_at(view, *place, layout) for place in places], np.uint64)
        if (found != new["checksum"]).any():
            i = int(np.flatnonzero(found != new["checksum"])[0])
            self._check_sum(view, tenant, int(edit.cells[which[i]]), entries[which[i]])
        columns = [memoryview(column).cast("B") for column in (add.rows, *add.factors)]
        codes, width = add.codes.reshape(-1).data.cast("B"), layout.code_bytes
        writes: list[tuple[int, Any]] = []
        firsts, lasts = add.starts[which].tolist(), add.starts[which + 1].tolist()
        for (base, capacity, count), first, last in zip(places, firsts, lasts, strict=True):
            # The columns of 4-byte words as a whole, old words as they were: one call instead of one for each column.
            head = bytearray(view[base : base + 4 * capacity * len(columns)])
            for at, column in enumerate(columns):
                start = 4 * (at * capacity + count)
                head[start : start + 4 * (last - first)] = column[4 * first : 4 * last]
            writes.append((base, head))
            if width:
                writes.append((base + len(head) + count * width, codes[first * width : last * width]))
        self._files[POSTINGS].write_many(writes)
        new["count"] += edit.n_added[which].astype(np.uint32)
        longer = zip(bases, capacities, new["count"].tolist(), strict=True)
        new["checksum"] = np.array([_checksum_at(view, *place, layout) for place in longer], np.uint64)
        self._put_entries(txn, tenant, edit.cells[which], new)

    def _check_sum(self, view: memoryview, tenant: int, cell: int, entry: Any) -> None:
        """Raise `CorruptionError` when the content of a list is not what its checksum says."""
        page, n_pages, count, stored = entry.tolist()
        layout = self._core.layout
        found = _checksum_at(view, page * PAGE_BYTES, layout.capacity_for(n_pages), count, layout)
        if found != stored:
            where = f"list (tenant {tenant}, cell {cell}) at pages {page} to {page + n_pages - 1}"
            raise CorruptionError(self._core.path / POSTINGS, where, f"checksum {stored:016x}", f"{found:016x}")

    def _rewrite(self, txn: Any, tenant: int, edit: ListEdit, entries: Any, which: I64, slack: float) -> None:
        """Write lists anew without the rows that go and with those that come; delete those that end up empty."""
        old = [self._content(tenant, int(edit.cells[i]), entries[i]) for i in which.tolist()]
        batch, missing = merged_lists(self._core.layout, edit, which, old)
        if missing is not None:
            raise ValueError(f"row {missing} is to leave a list of tenant {tenant} that does not hold it")
        prefix = catalog.LISTS + catalog.U32_KEY.pack(tenant)
        left = np.diff(batch.starts) > 0
        for i, stays in zip(which.tolist(), left.tolist(), strict=True):
            key = prefix + catalog.U32_KEY.pack(int(edit.cells[i]))
            if self._free_list(txn, key) and not stays:
                txn.delete(key)
        there = entries["n_pages"][which] > 0
        gone = edit.cells[which[~left & there]]
        self._touch(tenant, gone.tolist())
        self._use(txn, gone, -1)
        self._use(txn, edit.cells[which[left & ~there]], 1)
        if left.any():
            kept = ListBatch(
                starts=np.concatenate([batch.starts[:-1][left], batch.starts[-1:]]),
                rows=batch.rows, factors=batch.factors, codes=batch.codes,
            )  # fmt: skip
            self._place_lists(txn, tenant, edit.cells[which[left]], kept, slack)

    def _content(self, tenant: int, cell: int, entry: Any) -> ListContent:
        """Return the content of a list, compared with its checksum; empty for none."""
        page, n_pages, count, _ = entry.tolist()
        end = self.end_page * PAGE_BYTES
        mapping = self.mapping(POSTINGS, end)
        if n_pages:
            self._check_sum(memoryview(mapping.bytes(0, end)), tenant, cell, entry)  # type: ignore[arg-type]
        return list_content(mapping, self._core.layout, page, n_pages, count)

    def read_list(self, tenant: int, cell: int) -> ListContent:
        """Return the content of a list as this writer sees it, compared with its checksum; empty when there is none."""
        key = catalog.LISTS + catalog.PAIR_KEY.pack(tenant, cell)
        entries = self._entries(tenant, np.array([cell], np.uint32), [self._reading().get(key)])
        return self._content(tenant, cell, entries[0])

    def list_rows(self, tenant: int, cells: U32) -> list[U32]:
        """Return the row numbers (with their copy bits) of lists as this writer sees them; empty where there is none.

        To decide by, not to copy: they are not compared with a checksum.
        """
        get, prefix = self._reading().get, catalog.LISTS + catalog.U32_KEY.pack(tenant)
        entries = self._entries(tenant, cells, [get(prefix + cell) for cell in records.byte_items(cells, ">u4")])
        end = self.end_page * PAGE_BYTES
        words = self.mapping(POSTINGS, end).bytes(0, end).view(np.uint32)
        starts = entries["page"].astype(np.int64) * (PAGE_BYTES // 4)
        return [words[a : a + n] for a, n in zip(starts.tolist(), entries["count"].tolist(), strict=True)]

    def delete_list(self, tenant: int, cell: int) -> bool:
        """Delete a posting list and free its extent; return whether there was one."""
        key = catalog.LISTS + catalog.PAIR_KEY.pack(tenant, cell)
        with self._step(CATALOG) as txn:
            there = self._free_list(txn, key) and bool(txn.delete(key))
            if there:
                self._touch(tenant, [cell])
                self._use(txn, np.array([cell], np.uint32), -1)
        return there

    def _free_list(self, txn: Any, key: bytes) -> bool:
        value = txn.get(key)
        if value is None:
            return False
        page, n_pages, _, _ = catalog.LIST_VALUE.unpack(value)
        self._allocator.free(page, n_pages)
        return True


def _checksum_at(view: memoryview, base: int, capacity: int, count: int, layout: ListLayout) -> int:
    """Checksum of the first `count` rows of the list whose extent begins at byte `base` of the mapped posting file."""
    digest, at, length = xxhash.xxh3_64(), base, 4 * count
    for _ in range(1 + layout.n_factors):
        digest.update(view[at : at + length])
        at += 4 * capacity
    digest.update(view[at : at + count * layout.code_bytes])
    return digest.intdigest()
