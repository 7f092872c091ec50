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


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """The lists that hold a row."""

    owner: int
    """Tenant number of the record's owner."""
    lists: list[tuple[int, int]]
    """(tenant, cell) of every list with a copy of the row."""


def decode_homes(value: bytes) -> Homes:
    """Decode a value of the HOMES table; struct.error or a wrong length means damage."""
    owner, n = catalog.HOME_HEAD.unpack_from(value)
    words = struct.unpack_from(f"<{2 * n}I", value, catalog.HOME_HEAD.size)
    if len(value) != catalog.HOME_HEAD.size + 8 * n:
        raise struct.error(f"{n} homes in {len(value)} bytes")
    return Homes(owner=owner, lists=list(zip(words[::2], words[1::2], strict=True)))


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
        key = catalog.TENANTS + name.encode()
        value = self._reading().get(key)
        return None if value is None else self._tenant(key, value)[0]

    @storage_errors
    def tenants(self) -> dict[str, int]:
        """Return the number of records of every tenant by name."""
        return {name: count for name, (_, count) in self._tenant_table().items()}

    def _tenant_table(self) -> dict[str, tuple[int, int]]:
        """Return name -> (number, records)."""
        table: dict[str, tuple[int, int]] = {}
        for key, value in catalog.scan(self._reading(), catalog.TENANTS):
            entry = self._tenant(key, value)  # first: the checksum covers the name
            table[key[1:].decode()] = entry
        return table

    def _tenant(self, key: bytes, value: bytes) -> tuple[int, int]:
        """Return (number, records) from an entry of the TENANTS table, or raise `CorruptionError`."""
        content = catalog.unsummed(key, value, self._place()[0])
        try:
            number, n_records = catalog.TENANT_VALUE.unpack(content)
        except struct.error as error:
            raise self._damaged(f"tenant {key[1:]!r}", f"{catalog.TENANT_VALUE.size} bytes", error) from error
        return number, n_records

    @storage_errors
    def lists(self, tenant: int) -> ListDirectory:
        """Return the directory of a tenant's posting lists, sorted by cell; empty when it has none.

        Raises
        ------
        CorruptionError
            An entry points outside postings.bin or counts more rows than its extent holds.
        """
        items = list(catalog.scan(self._reading(), catalog.LISTS + catalog.U32_KEY.pack(tenant)))
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
