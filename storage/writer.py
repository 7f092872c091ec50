"""What a writer can do to a collection."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog, records
from ramet.storage.errors import StorageFullError
from ramet.storage.format import CATALOG, POSTINGS, ROWS, SUMS_ROWS, SUMS_VECTORS, VECTORS, checksum
from ramet.storage.postings import checked_batch, write_batch
from ramet.storage.reader import I64, U8, U32
from ramet.storage.rowfiles import append_rows_to
from ramet.storage.transaction import WriteTransaction

# Row numbers are u32, and 0xFFFFFFFF stays free to mean "none".
MAX_ROWS = 0xFFFFFFFF


class Writer(WriteTransaction):
    """A write transaction. Made by `Store.write`; a context manager that commits or rolls back.

    Reads see the writer's own changes. A writer belongs to the thread that made it. Refused arguments (ValueError,
    `DuplicateIdError`) change nothing; after any other error the writer can only be rolled back.
    """

    def ensure_tenant(self, name: str) -> int:
        """Return the number of a tenant, which is made when there is none. Numbers are never reused.

        Raises
        ------
        ValueError
            The name is empty or longer than 480 bytes of utf-8.
        """
        known = self.tenant_number(name)
        if known is not None:
            return known
        if not 0 < len(name.encode()) <= catalog.MAX_ID_BYTES:
            raise ValueError(f"a tenant's name has 1 to {catalog.MAX_ID_BYTES} bytes of utf-8, got {name!r}")
        with self._step(CATALOG):
            number = self._header.n_tenants
            self._header = replace(self._header, n_tenants=number + 1)
            self._tenants[name] = (number, 0)
            self._changed_tenants.add(name)
        return number

    def _name_of(self, tenant: int) -> str:
        for name, (number, _) in self._tenant_rows().items():
            if number == tenant:
                return name
        raise ValueError(f"there is no tenant of number {tenant}; make it with ensure_tenant")

    def append_rows(self, tenant: int, ids: Sequence[str], vectors: npt.NDArray[np.uint8] | None) -> int:
        """Append records of one tenant; their rows are consecutive.

        Parameters
        ----------
        tenant : int
            Number from `ensure_tenant`.
        ids : sequence of str
            New to the tenant; 1 to 480 bytes of utf-8 each.
        vectors : array of uint8, shape (n, vector_bytes), or None
            Full-precision rows for vectors.bin; None exactly when the collection keeps none.

        Returns
        -------
        int
            The first row number.

        Raises
        ------
        DuplicateIdError
            The tenant has some of the ids, or an id is given twice.
        ValueError
            A wrong id, shape or tenant number.
        StorageFullError
        """
        name = self._name_of(tenant)
        encoded = records.encode_ids(ids)
        order = records.sorted_order(encoded)
        n, first = len(order), self._header.n_rows
        table = self._checked_vectors(vectors, n)
        if first + n > MAX_ROWS:
            raise StorageFullError(self._core.path, f"a collection holds {MAX_ROWS} rows at most")
        if n == 0:
            return first
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        keys = [prefix + encoded.encoded[i] for i in order]
        catalog.refuse_existing(self._reading(), prefix, keys)
        with self._step(ROWS) as txn:
            width = self._header.id_width or records.slot_width(encoded.longest)
            slots, too_long = records.pack_slots(encoded, width)
            append_rows_to(self._files[ROWS], txn, SUMS_ROWS, first, slots)
            if table is not None:
                append_rows_to(self._files[VECTORS], txn, SUMS_VECTORS, first, table)
            catalog.put_sorted(txn, keys, records.byte_items(np.array(order) + first, "<u4"))
            for i in too_long.tolist():
                txn.put(catalog.LONG_IDS + catalog.U32_KEY.pack(first + i), encoded.encoded[i])
            self._header = replace(self._header, n_rows=first + n, n_live=self._header.n_live + n, id_width=width)
            self._tenants[name] = (tenant, self._tenants[name][1] + n)
            self._changed_tenants.add(name)
        return first

    def _checked_vectors(self, vectors: npt.NDArray[np.uint8] | None, n: int) -> U8 | None:
        wanted = (n, self._core.vector_bytes)
        if vectors is None and not self._core.vector_bytes:
            return None
        if vectors is None or vectors.dtype != np.uint8 or vectors.shape != wanted or not self._core.vector_bytes:
            given = "none" if vectors is None else f"{vectors.dtype} of shape {vectors.shape}"
            raise ValueError(f"vectors must be uint8 of shape {wanted} (none for 0 bytes), got {given}")
        return np.ascontiguousarray(vectors)

    def put_homes(self, first_row: int, owner: int, tenant: int, starts: I64, cells: U32) -> None:
        """Say in which lists of one tenant consecutive rows live; their lists of other tenants stay.

        Parameters
        ----------
        first_row : int
            Row ``first_row + i`` lives in ``cells[starts[i]:starts[i + 1]]``.
        owner, tenant : int
            Tenant numbers: of the records' owner, and of the lists.
        starts : array of int64, shape (n + 1,)
        cells : array of uint32

        Raises
        ------
        ValueError
            A row does not exist, or `starts` does not fit.
        """
        bounds = np.ascontiguousarray(starts, dtype=np.int64)
        n = len(bounds) - 1
        rising = n >= 0 and bounds[0] >= 0 and bounds[-1] <= len(cells) and not (np.diff(bounds) < 0).any()
        if not rising or (np.diff(bounds) > 0xFFFF).any():
            raise ValueError(f"starts must rise from at least 0 to at most {len(cells)}, by 65535 at most")
        if first_row < 0 or first_row + n > self.n_rows:
            raise ValueError(f"rows {first_row} to {first_row + n - 1} must be below {self.n_rows}")
        if n == 0:
            return
        values = records.pack_homes(owner, tenant, bounds, np.ascontiguousarray(cells, dtype=np.uint32))
        with self._step(CATALOG) as txn:
            rows = np.arange(first_row, first_row + n)
            keys = [catalog.HOMES + row for row in records.byte_items(rows, ">u4")]
            for key, old in catalog.scan_between(txn, keys[0], keys[-1]):
                txn.delete(key)  # see `catalog.put_summed`: a row may have very many homes
                i = int.from_bytes(key[1:], "big") - first_row
                values[i] = records.joined_homes(old, tenant, values[i])
            catalog.put_sorted(txn, keys, values)

    def put_cells(self, cells: U32, parents: U32, levels: U32, payload: U8) -> None:
        """Write cells of the tree, replacing those of the same number.

        Parameters
        ----------
        cells, parents, levels : arrays of uint32, shape (n,)
            Number, parent (0xFFFFFFFF for none) and depth.
        payload : array of uint8, shape (n, cell_bytes)

        Raises
        ------
        ValueError
            A shape does not fit, or a cell is named twice.
        """
        numbers = np.ascontiguousarray(cells, dtype=np.uint32)
        n, size = len(numbers), self._core.cell_bytes
        if payload.shape != (n, size) or payload.dtype != np.uint8 or len(parents) != n or len(levels) != n:
            raise ValueError(f"{n} cells need {n} parents and levels and uint8 payload of shape {(n, size)}")
        order = np.argsort(numbers)
        if n and (np.diff(numbers[order]) == 0).any():
            raise ValueError("a cell is named twice: give every cell once")
        table = np.empty((n, 8 + size), dtype=np.uint8)
        table[:, :4] = np.ascontiguousarray(parents, dtype=np.uint32).view(np.uint8).reshape(n, 4)
        table[:, 4:8] = np.ascontiguousarray(levels, dtype=np.uint32).view(np.uint8).reshape(n, 4)
        table[:, 8:] = payload
        with self._step(CATALOG) as txn:
            keys = [catalog.CELLS + key for key in records.byte_items(numbers[order], ">u4")]
            contents = records.byte_rows(table[order])
            sums = [catalog.SUM_VALUE.pack(checksum(key, content)) for key, content in zip(keys, contents, strict=True)]
            catalog.put_sorted(txn, keys, [a + b for a, b in zip(sums, contents, strict=True)])

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
        layout = self._core.layout
        batch = checked_batch(layout, numbers, starts, rows, factors, codes)
        self._name_of(tenant)
        if int(batch.rows.max(initial=0)) >= max(self.n_rows, 1):
            raise ValueError(f"a list names row {batch.rows.max()}, but there are {self.n_rows}")
        if len(numbers) == 0:
            return
        n_pages = layout.pages_for(np.diff(batch.starts), slack)
        with self._step(POSTINGS) as txn:
            prefix = catalog.LISTS + catalog.U32_KEY.pack(tenant)
            keys = [prefix + cell for cell in records.byte_items(numbers, ">u4")]
            if not catalog.range_is_empty(txn, prefix):
                for key in keys:
                    self._free_list(txn, key)
            pages = self._allocator.allocate(n_pages)
            entries = write_batch(layout, batch, pages, n_pages, self._files[POSTINGS].write)
            values = records.byte_rows(entries.view(np.uint8).reshape(len(numbers), -1))
            order = np.argsort(numbers).tolist()
            catalog.put_sorted(txn, [keys[i] for i in order], [values[i] for i in order])

    def delete_list(self, tenant: int, cell: int) -> bool:
        """Delete a posting list and free its extent; return whether there was one."""
        key = catalog.LISTS + catalog.PAIR_KEY.pack(tenant, cell)
        with self._step(CATALOG) as txn:
            return self._free_list(txn, key) and bool(txn.delete(key))

    def _free_list(self, txn: Any, key: bytes) -> bool:
        value = txn.get(key)
        if value is None:
            return False
        page, n_pages, _, _ = catalog.LIST_VALUE.unpack(value)
        self._allocator.free(page, n_pages)
        return True

    def put_blob(self, name: str, content: bytes | None) -> None:
        """Store bytes under a name, replacing what was there; None deletes."""
        key = catalog.name_key(catalog.BLOBS, name)
        with self._step(CATALOG) as txn:
            if content is None:
                txn.delete(key)
            else:
                catalog.put_summed(txn, key, content)

    def set_meta(self, key: str, entry: Any) -> None:
        """Store a JSON-able entry under the engine's own name (without "engine/" in front); None deletes.

        Raises
        ------
        ValueError, TypeError
            The entry cannot be written as JSON, or the name has a wrong length.
        """
        name = catalog.name_key(catalog.META, catalog.ENGINE_PREFIX + key)
        content = json.dumps(entry, ensure_ascii=False).encode()
        with self._step(CATALOG) as txn:
            if entry is None:
                txn.delete(name)
            else:
                catalog.put_summed(txn, name, content)
