"""What a writer can do to tenants, rows, ids and homes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog, records, tenants
from ramet.storage.content import ContentWriter
from ramet.storage.errors import CorruptionError, StorageFullError
from ramet.storage.format import CATALOG, PAGE_BYTES, ROW_MASK, ROWS, SUMS_ROWS, SUMS_VECTORS, VECTORS
from ramet.storage.homes import HomeTable
from ramet.storage.reader import I64, U8, U32
from ramet.storage.rowfiles import append_rows_to

# Posting lists keep row numbers of 31 bits, and the last one stays free.
MAX_ROWS = ROW_MASK

# From so many records on, the first append is taken to show how long ids are.
TELLING = 1000

# Values longer than this may stand on LMDB pages of their own; see `catalog.put_summed`.
LONG_VALUE = 1000


class RowWriter(ContentWriter):
    """Tenants, rows, ids and homes."""

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
        key = catalog.name_key(catalog.TENANTS, name)
        with self._step(CATALOG) as txn:
            number = self._header.n_tenants
            self._header = replace(self._header, n_tenants=number + 1)
            catalog.put_summed(txn, key, catalog.U32_VALUE.pack(number))
            now = txn.id()
            self._put_member(
                txn, tenants.Member(number=number, name=name, n_records=0, changed=now, logged=now, n_log=0)
            )
        return number

    def known_member(self, tenant: int) -> tenants.Member:
        """Return what is kept of a tenant; raise ValueError when there is none of that number."""
        found = self.member(tenant)
        if found is None:
            raise ValueError(f"there is no tenant of number {tenant}; make it with ensure_tenant")
        return found

    def append_rows(self, tenant: int, ids: Sequence[str], vectors: npt.NDArray[np.uint8] | None) -> int:
        """Append records of one tenant, whose ids are new to it; their rows are consecutive.

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
        self.known_member(tenant)
        encoded = records.encode_ids(ids)
        order = records.sorted_order(encoded)
        table = self._checked_rows(encoded, vectors)
        if not order:
            return self._header.n_rows
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        catalog.refuse_existing(self._reading(), prefix, [prefix + encoded.encoded[i] for i in order])
        first = self._new_rows(encoded, table)
        self._bind(tenant, encoded.encoded, order, np.arange(first, first + len(order)))
        return first

    def new_rows(self, ids: Sequence[str], vectors: npt.NDArray[np.uint8] | None) -> int:
        """Append rows that no tenant sees before `bind_ids`; return the first row number. Errors as `append_rows`."""
        encoded = records.encode_ids(ids)
        table = self._checked_rows(encoded, vectors)
        if not encoded.encoded:
            return self._header.n_rows
        # A few first records say little about the ids to come, which may be UUIDs.
        least = 0 if len(encoded.encoded) >= TELLING else len("123e4567-e89b-12d3-a456-426614174000")
        return self._new_rows(encoded, table, least)

    def _checked_rows(self, ids: records.EncodedIds, vectors: npt.NDArray[np.uint8] | None) -> U8 | None:
        n = len(ids.encoded)
        wanted = (n, self._core.vector_bytes)
        if self._header.n_rows + n > MAX_ROWS:
            raise StorageFullError(
                self._core.path, f"a collection numbers {MAX_ROWS} rows at most", "compact it: that numbers them anew"
            )
        if vectors is None and not self._core.vector_bytes:
            return None
        if vectors is None or vectors.dtype != np.uint8 or vectors.shape != wanted or not self._core.vector_bytes:
            given = "none" if vectors is None else f"{vectors.dtype} of shape {vectors.shape}"
            raise ValueError(f"vectors must be uint8 of shape {wanted} (none for 0 bytes), got {given}")
        return np.ascontiguousarray(vectors)

    def _new_rows(self, ids: records.EncodedIds, table: U8 | None, least: int = 0) -> int:
        n, first = len(ids.encoded), self._header.n_rows
        with self._step(ROWS) as txn:
            width = self._header.id_width or records.slot_width(max(ids.longest, least))
            slots, too_long = records.pack_slots(ids, width)
            append_rows_to(self._files[ROWS], txn, SUMS_ROWS, first, slots)
            if table is not None:
                append_rows_to(self._files[VECTORS], txn, SUMS_VECTORS, first, table)
            for i in too_long.tolist():
                txn.put(catalog.LONG_IDS + catalog.U32_KEY.pack(first + i), ids.encoded[i])
            self._header = replace(self._header, n_rows=first + n, n_live=self._header.n_live + n, id_width=width)
        return first

    def bind_ids(self, tenant: int, ids: Sequence[str], rows: npt.NDArray[Any]) -> None:
        """Let a tenant see rows under their ids, in place of what it saw under these ids before.

        Raises
        ------
        DuplicateIdError
            An id is given twice.
        ValueError
            An unknown tenant or a wrong id.
        """
        self.known_member(tenant)
        encoded = records.encode_ids(ids)
        self._bind(tenant, encoded.encoded, records.sorted_order(encoded), np.asarray(rows))

    def _bind(self, tenant: int, encoded: list[bytes], order: list[int], rows: npt.NDArray[Any]) -> None:
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        keys = [prefix + encoded[i] for i in order]
        with self._step(CATALOG) as txn:
            n_before = txn.stat()["entries"]
            catalog.put_sorted(txn, keys, records.byte_items(rows[order], "<u4"))
            self._count(txn, tenant, txn.stat()["entries"] - n_before)

    def unbind_ids(self, tenant: int, ids: Sequence[str]) -> int:
        """Let a tenant see records no longer; ids that it does not have are passed over. Return how many it had."""
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        keys = sorted(prefix + name for name in records.encode_ids(ids).encoded)
        with self._step(CATALOG) as txn:
            n: int = sum(map(txn.delete, keys))
            self._count(txn, tenant, -n)
        return n

    def _count(self, txn: Any, tenant: int, more: int) -> None:
        member = self.known_member(tenant)
        self._put_member(txn, replace(member, n_records=member.n_records + more))
        self._touch(tenant)

    def drop_rows(self, rows: npt.NDArray[Any]) -> None:
        """Forget rows that are in no list and that no tenant sees any more. Their bytes stay until a compaction."""
        self.drop_content(rows)
        with self._step(CATALOG) as txn:
            long_ids = not catalog.range_is_empty(txn, catalog.LONG_IDS)
            for key in records.byte_items(np.sort(rows), ">u4"):
                txn.delete(catalog.HOMES + key)
                if long_ids:
                    txn.delete(catalog.LONG_IDS + key)
            self._header = replace(self._header, n_live=self._header.n_live - len(rows))

    def put_homes(self, first_row: int, owner: int, tenant: int, starts: I64, cells: U32) -> None:
        """Say in which lists of its owner's, and of nobody else, each of consecutive rows lives.

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
        if not rising:
            raise ValueError(f"starts must rise from at least 0 to at most {len(cells)}, by 65535 at most")
        flat = np.asarray(cells[bounds[0] : bounds[-1]], np.uint32)
        table = HomeTable(
            owners=np.full(n, owner, np.uint32),
            starts=bounds - bounds[0],
            tenants=np.full(len(flat), tenant, np.uint32),
            cells=flat,
        )
        self.put_home_table(np.arange(first_row, first_row + n), table)

    def put_home_table(self, rows: npt.NDArray[Any], homes: HomeTable) -> None:
        """Say in which lists each row lives, in place of what was said before.

        Parameters
        ----------
        rows : array of int, shape (n,), rising
        homes : HomeTable

        Raises
        ------
        ValueError
            A row does not exist, is given twice, or lives in more than 65535 lists.
        """
        if len(rows) == 0:
            return
        if (np.diff(homes.starts) > 0xFFFF).any():
            raise ValueError("starts must rise by 65535 at most: a row has too many homes")
        if rows[0] < 0 or rows[-1] >= self.n_rows or (np.diff(rows) <= 0).any():
            raise ValueError(f"rows must rise and be below {self.n_rows}, got {rows[0]} to {rows[-1]}")
        with self._step(CATALOG) as txn:
            keys = [catalog.HOMES + key for key in records.byte_items(rows, ">u4")]
            values = homes.encoded()
            for key in keys:
                old = txn.get(key)
                if old is not None and len(old) > LONG_VALUE:
                    txn.delete(key)
            catalog.put_sorted(txn, keys, values)

    def vectors(self, rows: npt.NDArray[Any]) -> U8:
        """Return full-precision rows from vectors.bin as a copy, uint8 of shape (n, vector_bytes), own ones included.

        Raises
        ------
        IndexError
            A row number is not below `n_rows`.
        """
        stride = self._core.vector_bytes
        wanted = np.asarray(rows)
        if len(wanted) and (int(wanted.max()) >= self.n_rows or int(wanted.min()) < 0):
            raise IndexError(f"rows must be below {self.n_rows}")
        mapping = self.mapping(VECTORS, PAGE_BYTES + self.n_rows * stride)
        table = mapping.bytes(PAGE_BYTES, self.n_rows * stride).view(f"V{stride}")
        found: U8 = table[wanted].view(np.uint8).reshape(len(wanted), stride)
        return found

    def ids_of(self, rows: npt.NDArray[Any]) -> list[str]:
        """Return the ids of rows.

        Raises
        ------
        CorruptionError
            A slot is damaged.
        """
        width = self._header.id_width
        mapping = self.mapping(ROWS, PAGE_BYTES + self.n_rows * width)
        slots: list[bytes] = mapping.bytes(PAGE_BYTES, self.n_rows * width).view(f"V{width}")[rows].tolist()
        found: list[str] = []
        for row, slot in zip(rows.tolist(), slots, strict=True):
            name = slot[1 : slot[0] + 1]
            if slot[0] == records.LONG_ID:
                name = self._reading().get(catalog.LONG_IDS + catalog.U32_KEY.pack(row), b"")
            try:
                found.append(name.decode())
            except UnicodeDecodeError as error:
                raise CorruptionError(self._core.path / ROWS, f"row {row}", "an id", slot) from error
        return found

    def delete_tenant(self, tenant: int) -> None:
        """Forget a tenant that sees no record and has no list; its number is not used again."""
        member = self.known_member(tenant)
        number = catalog.U32_KEY.pack(tenant)
        with self._step(CATALOG) as txn:
            for table in (catalog.LOG, catalog.PENDING):
                for key in [key for key, _ in catalog.scan(txn, table + number)]:
                    txn.delete(key)
            txn.delete(catalog.MEMBERS + number)
            txn.delete(catalog.TENANTS + member.name.encode())
            self._changed.pop(tenant, None)
