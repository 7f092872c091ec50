"""Reads of the catalog inside one transaction, shared by snapshots (committed state) and writers (their own state)."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import lmdb
import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.errors import CorruptionError, translated
from ramet.storage.format import CATALOG, ListLayout, concatenated
from ramet.storage.homes import Homes, HomeTable, decode_homes
from ramet.storage.records import byte_items
from ramet.storage.tenants import Changes, Member, decode_member, logged_changes

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

# Checksum, parent and level before the payload of a cell.
CELL_HEAD_BYTES = 16

LIST_DTYPE = np.dtype([("page", "<u8"), ("n_pages", "<u4"), ("count", "<u4"), ("checksum", "<u8")])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDirectory:
    """Posting lists of one tenant, sorted by cell; arrays of equal length, owned by the caller."""

    cells: U32
    """Cell of each list."""
    pages: U64
    """First page of its extent; the byte offset in postings.bin is 4096 times this."""
    n_pages: U32
    """Pages of the extent; the capacity is `layout.capacity_for` of it."""
    counts: U32
    """Committed rows."""
    checksums: U64
    """xxh3_64 of the committed part of each column."""

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTable:
    """Cells of the tree, sorted by number unless asked for in another order; arrays owned by the caller."""

    cells: U32
    """Cell numbers."""
    parents: U32
    """Parent of each cell; 0xFFFFFFFF for none."""
    levels: U32
    """Depth of each cell."""
    payload: U8
    """Opaque bytes of each cell, shape (n, cell_bytes)."""

    def __len__(self) -> int:
        return len(self.cells)


def check_directory(entries: npt.NDArray[Any], layout: ListLayout, end_page: int) -> npt.NDArray[np.bool_]:
    """Return which directory entries (dtype `LIST_DTYPE`) would read outside their extent or outside the file."""
    start = entries["page"].astype(np.float64)  # float64: a damaged page number plus n_pages may not wrap around
    outside = (start < 1) | (start + entries["n_pages"] > end_page)
    bad: npt.NDArray[np.bool_] = outside | (entries["count"] > layout.capacities_for(entries["n_pages"]))
    return bad


P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self", bound="CatalogReader")


def storage_errors(method: Callable[Concatenate[Self, P], R]) -> Callable[Concatenate[Self, P], R]:
    """Let a method raise what LMDB raises, for example on a damaged page, as an error of this room."""

    @wraps(method)
    def wrapped(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except lmdb.Error as error:
            raise translated(error, self._place()[0] / CATALOG) from error

    return wrapped


class CatalogReader:
    """Point and range reads of the catalog; base of `Snapshot` and `Writer`.

    A subclass provides the transaction, the path, the layout and the committed end. Not thread-safe beyond what the
    transaction allows: a snapshot may be read by several threads, a writer belongs to one.
    """

    __slots__ = ()

    def _reading(self) -> Any:
        """Return the open LMDB transaction, or raise `ClosedError` or `ForkError`."""
        raise NotImplementedError

    def _place(self) -> tuple[Path, ListLayout, int, int]:
        """Return (collection directory, layout, end page, bytes of a cell's payload)."""
        raise NotImplementedError

    def _damaged(self, where: str, expected: object, found: object) -> CorruptionError:
        return CorruptionError(self._place()[0] / CATALOG, where, expected, found)

    @storage_errors
    def tenant_number(self, name: str) -> int | None:
        """Return the number of a tenant, or None when there is no tenant of that name.

        Raises
        ------
        CorruptionError
            The entry does not match its checksum.
        """
        encoded = name.encode("utf-8", "surrogatepass")  # such a name cannot have been stored: it is just unknown
        key = catalog.TENANTS + encoded
        value = self._reading().get(key) if 0 < len(encoded) <= catalog.MAX_ID_BYTES else None
        if value is None:
            return None
        content = catalog.unsummed(key, value, self._place()[0])
        if len(content) != 4:
            raise self._damaged(f"tenant {name!r}", "a number of 4 bytes", content)
        return int.from_bytes(content, "little")

    @storage_errors
    def member(self, number: int) -> Member | None:
        """Return what is kept of a tenant, by its number; None for an unknown one.

        Raises
        ------
        CorruptionError
            The entry does not match its checksum.
        """
        key = catalog.MEMBERS + catalog.U32_KEY.pack(number)
        value = self._reading().get(key)
        return None if value is None else self._member(key, value)

    def member_named(self, name: str) -> Member | None:
        """Return what is kept of a tenant, by its name; None for an unknown one. Errors as `member`."""
        number = self.tenant_number(name)
        return None if number is None else self.member(number)

    def _member(self, key: bytes, value: bytes) -> Member:
        content = catalog.unsummed(key, value, self._place()[0])
        number = catalog.U32_KEY.unpack(key[1:])[0]
        try:
            return decode_member(number, content)
        except (struct.error, UnicodeDecodeError) as error:
            raise self._damaged(f"tenant {number}", "a sound entry", error) from error

    def count(self, tenant: int) -> int:
        """Return the number of records that a tenant sees, by its number; 0 for an unknown one."""
        found = self.member(tenant)
        return 0 if found is None else found.n_records

    @storage_errors
    def members(self) -> list[Member]:
        """Return all tenants, by number."""
        return [self._member(key, value) for key, value in catalog.scan(self._reading(), catalog.MEMBERS)]

    def tenants(self) -> dict[str, int]:
        """Return the number of records that every tenant sees, by name."""
        return {member.name: member.n_records for member in self.members()}

    @storage_errors
    def changes(self, member: Member, since: int) -> Changes | None:
        """Return what changed of a tenant's lists after transaction `since`; None when that is not known."""
        return logged_changes(self._reading(), member, since)

    @storage_errors
    def lists(self, tenant: int, which: U32 | None = None) -> ListDirectory:
        """Return the directory of a tenant's posting lists, sorted by cell; empty when it has none.

        Parameters
        ----------
        tenant : int
        which : array of uint32, rising, or None
            Cells to look up; those without a list are left out. None for all.

        Raises
        ------
        CorruptionError
            An entry points outside postings.bin or counts more rows than its extent holds.
        """
        txn, prefix = self._reading(), catalog.LISTS + catalog.U32_KEY.pack(tenant)
        if which is None:
            items = list(catalog.scan(txn, prefix))
        else:
            wanted = [prefix + cell.to_bytes(4, "big") for cell in which.tolist()]
            items = [(key, value) for key in wanted if (value := txn.get(key)) is not None]
        _, layout, end_page, _ = self._place()
        try:
            keys = concatenated([key for key, _ in items], 9)
            entries = concatenated([value for _, value in items], LIST_DTYPE.itemsize).view(LIST_DTYPE).ravel()
        except ValueError as error:
            raise self._damaged(f"lists of tenant {tenant}", "24-byte entries", error) from error
        cells = np.ascontiguousarray(keys[:, 5:]).view(">u4").ravel().astype(np.uint32)
        bad = check_directory(entries, layout, end_page)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            where = f"list (tenant {tenant}, cell {cells[first]})"
            raise self._damaged(where, f"an extent below page {end_page} that holds its rows", entries[first])
        columns = {name: np.ascontiguousarray(entries[name]) for name in ("page", "n_pages", "count", "checksum")}
        return ListDirectory(
            cells=cells,
            pages=columns["page"],
            n_pages=columns["n_pages"],
            counts=columns["count"],
            checksums=columns["checksum"],
        )

    @storage_errors
    def cells(self, which: U32 | None = None) -> CellTable:
        """Return cells with their payload.

        Parameters
        ----------
        which : array of uint32, shape (n,), or None
            Cells wanted, in this order; None for all, sorted by number.

        Raises
        ------
        CorruptionError
            A wanted cell does not exist, or its value has a wrong length.
        """
        txn, (_, _, _, cell_bytes) = self._reading(), self._place()
        if which is None:
            items = list(catalog.scan(txn, catalog.CELLS))
            numbers = concatenated([key[1:] for key, _ in items], 4).view(">u4").ravel().astype(np.uint32)
            values = [value for _, value in items]
        else:
            numbers = np.array(which, dtype=np.uint32).ravel()
            values = [txn.get(catalog.CELLS + catalog.U32_KEY.pack(cell), b"") for cell in numbers.tolist()]
        width = CELL_HEAD_BYTES + cell_bytes
        wrong = [number for number, value in zip(numbers.tolist(), values, strict=True) if len(value) != width]
        if wrong:
            raise self._damaged(f"cell {wrong[0]}", f"an entry of {width} bytes", "none, or another length")
        table = concatenated(values, width)
        return CellTable(
            cells=numbers,
            parents=np.ascontiguousarray(table[:, 8:12]).view(np.uint32).ravel(),
            levels=np.ascontiguousarray(table[:, 12:16]).view(np.uint32).ravel(),
            payload=np.ascontiguousarray(table[:, CELL_HEAD_BYTES:]),
        )

    @storage_errors
    def children(self, cell: int) -> U32:
        """Return the children of a cell, uint32 of shape (n,); empty when it has none.

        Raises
        ------
        CorruptionError
            The entry does not match its checksum.
        """
        content = catalog.get_summed(self._reading(), catalog.CHILDREN + catalog.U32_KEY.pack(cell), self._place()[0])
        if content is None:
            return np.empty(0, np.uint32)
        if len(content) % 4:
            raise self._damaged(f"children of cell {cell}", "4-byte numbers", content)
        return np.frombuffer(content, dtype="<u4").astype(np.uint32)

    @storage_errors
    def all_children(self) -> list[tuple[int, U32]]:
        """Return (cell, its children) for every cell that has some."""
        found = []
        for key, value in catalog.scan(self._reading(), catalog.CHILDREN):
            content = catalog.unsummed(key, value, self._place()[0])
            found.append((catalog.U32_KEY.unpack(key[1:])[0], np.frombuffer(content, dtype="<u4").astype(np.uint32)))
        return found

    @storage_errors
    def uses(self, cells: U32) -> I64:
        """Return how many lists each cell has, of all tenants together; int64 of shape (n,)."""
        get = self._reading().get
        keys = [catalog.USES + key for key in byte_items(cells, ">u4")]
        return np.array([int.from_bytes(get(key, b""), "little") for key in keys], np.int64)

    @storage_errors
    def pending(self, tenant: int | None = None) -> list[tuple[int, int]]:
        """Return (tenant, cell) of the lists that wait to be split or merged, of one tenant or of all."""
        prefix = catalog.PENDING + (b"" if tenant is None else catalog.U32_KEY.pack(tenant))
        return [catalog.PAIR_KEY.unpack(key[1:]) for key, _ in catalog.scan(self._reading(), prefix)]

    @storage_errors
    def rows_of(self, tenant: int, ids: Sequence[str]) -> I64:
        """Return the row of each id, int64 of shape (len(ids),); -1 where the tenant has no such id."""
        get, prefix = self._reading().get, catalog.IDS + catalog.U32_KEY.pack(tenant)
        rows = np.full(len(ids), -1, dtype=np.int64)
        for i, name in enumerate(ids):
            key = name.encode("utf-8", "surrogatepass")  # such an id cannot have been stored: it is just missing
            value = get(prefix + key) if len(key) <= catalog.MAX_ID_BYTES else None
            if value is not None and len(value) != 4:
                raise self._damaged(f"id {name!r} of tenant {tenant}", "a row of 4 bytes", value)
            if value is not None:
                rows[i] = int.from_bytes(value, "little")
        return rows

    @storage_errors
    def homes(self, row: int) -> Homes:
        """Return the lists that hold a row; owner 0xFFFFFFFF and no lists when nothing was stored for it."""
        value = self._reading().get(catalog.HOMES + catalog.U32_KEY.pack(row))
        if value is None:
            return Homes(owner=0xFFFFFFFF, lists=[])
        try:
            return decode_homes(value)
        except struct.error as error:
            raise self._damaged(f"homes of row {row}", "a sound entry", error) from error

    @storage_errors
    def homes_of(self, rows: npt.NDArray[Any]) -> HomeTable:
        """Return the lists that hold each of many rows.

        Raises
        ------
        CorruptionError
            A row has no entry, or a damaged one.
        """
        get = self._reading().get
        keys = [catalog.HOMES + key for key in byte_items(rows, ">u4")]
        values = [get(key, b"") for key in keys]
        try:
            return HomeTable.decoded(values)
        except (struct.error, ValueError) as error:
            bad = next((i for i, value in enumerate(values) if len(value) < catalog.HOME_HEAD.size), 0)
            raise self._damaged(f"homes of row {rows[bad]}", "a sound entry", error) from error

    @storage_errors
    def ids_of_tenant(self, tenant: int) -> tuple[list[str], I64]:
        """Return all ids that a tenant has, in the order of their bytes, and the row of each."""
        items = list(catalog.scan(self._reading(), catalog.IDS + catalog.U32_KEY.pack(tenant)))
        rows = concatenated([value for _, value in items], 4).view("<u4").ravel().astype(np.int64)
        return [key[5:].decode() for key, _ in items], rows

    @storage_errors
    def blob(self, name: str) -> bytes | None:
        """Return the bytes stored under a name, None when there are none.

        Raises
        ------
        CorruptionError
            They do not match their checksum.
        """
        return catalog.get_summed(self._reading(), catalog.BLOBS + name.encode(), self._place()[0])

    @storage_errors
    def meta(self, key: str) -> Any | None:
        """Return the engine's own META entry of that name (without the "engine/" in front), None when missing."""
        name = catalog.ENGINE_PREFIX + key
        txn = self._reading()
        if txn.get(catalog.META + name.encode()) is None:
            return None
        return catalog.get_json(txn, name, self._place()[0])
