"""The catalog of a collection that is made as a whole: every table from arrays in the order of its keys.

The data files are there already (see `prepare`, `write_extents`); what is written here refers to them. Nothing of it
depends on time, chance or what was in memory before, so the same arrays give the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog, records, tenants
from ramet.storage.compact_catalog import WORK, Building
from ramet.storage.compact_files import new_file
from ramet.storage.datafile import read_at, write_at
from ramet.storage.errors import SYSTEM_ERRORS, translated
from ramet.storage.field_keys import CHUNK_BITS, CHUNK_KEY, spanned
from ramet.storage.format import (
    BLOCK_ROWS,
    CATALOG,
    PAGE_BYTES,
    POSTINGS,
    ROWS,
    SUMS_ROWS,
    SUMS_VECTORS,
    VECTORS,
    WRITER_LOCK,
    ListLayout,
    check_settings,
    checksum,
)
from ramet.storage.homes import HomeTable
from ramet.storage.paths import sync_directory
from ramet.storage.postings import ListBatch, write_batch
from ramet.storage.reader import I64, LIST_DTYPE, U8, U32

TOGETHER = 65_536
"""Entries made and written together."""

TOGETHER_BYTES = 8 << 20
"""Bytes of a data file read together for its checksums."""

TXN = 3
"""Number of the transaction that a new collection is the state of; odd, as a compact copy of LMDB needs it."""

Entry = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkTenant:
    """A tenant and its records, whose rows follow each other."""

    name: str
    first_row: int
    n_records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkTables:
    """Everything that the catalog of a new collection says. Iterators give pieces in the order of their keys."""

    settings: dict[str, Any]
    meta: dict[str, Any]
    """Entries of the engine's own, name -> what JSON can say."""
    collection: bytes
    """Name of the collection, 16 bytes, as in the header of its data files."""
    created_with: str
    n_rows: int
    id_width: int
    end_page: int
    tenants: Sequence[BulkTenant]
    """By number."""
    cells: tuple[U32, U32, U8]
    """Parents, levels and payload of the cells 0, 1, ..."""
    children: Iterable[tuple[int, U32]]
    ids: Iterator[tuple[int, list[bytes], U32]]
    """Tenant, ids that rise from piece to piece, and their rows."""
    long_ids: Iterable[tuple[int, bytes]]
    """Rows, which rise, and ids that do not fit a slot."""
    lists: tuple[U32, U32, npt.NDArray[np.void]]
    """Tenant, cell and entry (`LIST_DTYPE`) of every posting list, by tenant and cell."""
    homes: Iterator[HomeTable]
    """Of the rows 0, 1, ... in pieces."""
    blobs: dict[str, bytes]
    pending: Sequence[tuple[int, int]]
    """Lists that wait to be split."""
    visible: bool
    """Whether tenants see their rows at once; False: they will when their contents are entered."""


def prepare(directory: Path, settings: dict[str, Any], collection: bytes) -> None:
    """Make a directory with the data files of a collection, each with its header and nothing else."""
    checked = check_settings(settings)
    directory.mkdir(parents=True, exist_ok=True)
    for name in [POSTINGS, ROWS, *([VECTORS] if checked["vector_bytes"] else [])]:
        (directory / name).unlink(missing_ok=True)
        file = new_file(directory, name, collection)
        file.sync()
        file.close()
    (directory / WRITER_LOCK).touch()
    sync_directory(directory)


def layout_of(settings: dict[str, Any]) -> ListLayout:
    """Layout of the posting lists of a collection with these settings."""
    return ListLayout(n_factors=settings["n_factors"], code_bytes=settings["code_bytes"])


def write_rows(directory: Path, name: str, first_row: int, table: U8) -> None:
    """Write rows of rows.bin or vectors.bin at their place, and wait for the disk."""
    fd = os.open(directory / name, os.O_RDWR | os.O_CLOEXEC)
    try:
        write_at(fd, PAGE_BYTES + first_row * table.shape[1], np.ascontiguousarray(table).data.cast("B"))
        os.fdatasync(fd)
    finally:
        os.close(fd)


def read_rows(directory: Path, name: str, first_row: int, n: int, stride: int) -> U8:
    """Rows that `write_rows` wrote, uint8 of shape (n, stride)."""
    fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return np.frombuffer(_read(fd, PAGE_BYTES + first_row * stride, n * stride), np.uint8).reshape(n, stride)
    finally:
        os.close(fd)


def write_extents(directory: Path, layout: ListLayout, batch: ListBatch, pages: I64) -> npt.NDArray[np.void]:
    """Write posting lists at their pages, and wait for the disk; returns their entries, `LIST_DTYPE`."""
    fd = os.open(directory / POSTINGS, os.O_RDWR | os.O_CLOEXEC)
    try:
        n_pages = layout.pages_for(np.diff(batch.starts))
        entries = write_batch(layout, batch, pages, n_pages, lambda at, content: write_at(fd, at, content))
        os.fdatasync(fd)
        return entries
    finally:
        os.close(fd)


def _read(fd: int, offset: int, n_bytes: int) -> bytearray:
    content = bytearray(n_bytes)
    read_at(fd, offset, memoryview(content))
    return content


def write_catalog(directory: Path, tables: BulkTables) -> None:
    """Write the catalog, from nothing: whatever a call before left is removed.

    Raises
    ------
    StorageFullError, StorageError
    """
    (directory / CATALOG).unlink(missing_ok=True)
    work = directory / WORK
    shutil.rmtree(work, ignore_errors=True)
    building = Building(work)
    try:
        _put_head(building, tables)
        _put_cells(building, tables)
        for number, name in ((SUMS_ROWS, ROWS), (SUMS_VECTORS, VECTORS)):
            stride = max(tables.id_width, 1) if name == ROWS else tables.settings["vector_bytes"]
            if stride:
                _put_sums(building, directory / name, number, tables.n_rows, stride)
        _put_ids(building, tables)
        _put_lists(building, tables)
        _put_homes(building, tables)
        for row, name_bytes in tables.long_ids:
            building.put([catalog.LONG_IDS + catalog.U32_KEY.pack(row)], [name_bytes])
        _put_rest(building, tables)
        building.finish(directory / CATALOG, TXN)
    except SYSTEM_ERRORS as error:
        raise translated(error, directory) from error  # while what shows that the disk is full is still there
    finally:
        building.close()
    sync_directory(directory)


def _put_summed(building: Building, key: bytes, content: bytes) -> None:
    building.put([key], [catalog.summed(key, content)])


def _put_head(building: Building, tables: BulkTables) -> None:
    """Meta entries and tenants."""
    header = catalog.Header(
        collection=tables.collection,
        n_rows=tables.n_rows,
        n_live=tables.n_rows,
        end_page=tables.end_page,
        id_width=tables.id_width,
        n_tenants=len(tables.tenants),
        n_cells=len(tables.cells[0]),
    )
    catalog.write_meta(building.txn, tables.settings, tables.created_with, header)
    for name, entry in tables.meta.items():
        catalog.put_json(building.txn, catalog.ENGINE_PREFIX + name, entry)
    numbers = {tenant.name.encode(): number for number, tenant in enumerate(tables.tenants)}
    for name_bytes in sorted(numbers):
        _put_summed(building, catalog.TENANTS + name_bytes, catalog.U32_VALUE.pack(numbers[name_bytes]))


def _put_cells(building: Building, tables: BulkTables) -> None:
    parents, levels, payload = tables.cells
    n, width = payload.shape
    for first in range(0, n, 4096):
        part = slice(first, min(first + 4096, n))
        table = np.empty((part.stop - first, 8 + width), np.uint8)
        table[:, :4] = parents[part].astype("<u4").view(np.uint8).reshape(-1, 4)
        table[:, 4:8] = levels[part].astype("<u4").view(np.uint8).reshape(-1, 4)
        table[:, 8:] = payload[part]
        keys = [catalog.CELLS + key for key in records.byte_items(np.arange(part.start, part.stop), ">u4")]
        contents = records.byte_rows(table)
        building.put(keys, [catalog.summed(key, one) for key, one in zip(keys, contents, strict=True)])


def _put_sums(building: Building, path: Path, number: int, n_rows: int, stride: int) -> None:
    """Checksums of the blocks of a file of rows."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        together = max(TOGETHER_BYTES // stride // BLOCK_ROWS, 1) * BLOCK_ROWS
        for first in range(0, n_rows, together):
            end = min(first + together, n_rows)
            content = memoryview(_read(fd, PAGE_BYTES + first * stride, (end - first) * stride))
            keys, sums = list[bytes](), list[bytes]()
            for block, a, b in records.blocks_between(first, end):
                keys.append(catalog.SUMS + catalog.SUMS_KEY.pack(number, block))
                sums.append(catalog.SUM_VALUE.pack(checksum(content[(a - first) * stride : (b - first) * stride])))
            building.put(keys, sums)
    finally:
        os.close(fd)


def _put_ids(building: Building, tables: BulkTables) -> None:
    for tenant, names, rows in tables.ids:
        prefix = catalog.IDS + catalog.U32_KEY.pack(tenant)
        building.put([prefix + name for name in names], records.byte_items(rows, "<u4"))


def _put_lists(building: Building, tables: BulkTables) -> None:
    owners, cells, entries = tables.lists
    for first in range(0, len(cells), TOGETHER):
        part = slice(first, first + TOGETHER)
        keys = np.stack([owners[part], cells[part]], axis=1).astype(">u4")
        values = records.byte_rows(entries[part].view(np.uint8).reshape(-1, LIST_DTYPE.itemsize))
        building.put([catalog.LISTS + key for key in records.byte_rows(keys.view(np.uint8))], values)


def _put_homes(building: Building, tables: BulkTables) -> None:
    first = 0
    for table in tables.homes:
        n = len(table.owners)
        keys = [catalog.HOMES + key for key in records.byte_items(np.arange(first, first + n), ">u4")]
        building.put(keys, table.encoded())
        first += n
    if first != tables.n_rows:
        raise ValueError(f"homes of {first} rows for {tables.n_rows}")


def _put_rest(building: Building, tables: BulkTables) -> None:
    """Blobs, members, children, waiting lists, uses of cells, and what tenants see."""
    for key, blob in sorted((catalog.name_key(catalog.BLOBS, name), blob) for name, blob in tables.blobs.items()):
        _put_summed(building, key, blob)
    for number, tenant in enumerate(tables.tenants):
        member = tenants.Member(
            number=number, name=tenant.name, n_records=tenant.n_records, changed=TXN, logged=TXN, n_log=0
        )
        _put_summed(building, catalog.MEMBERS + catalog.U32_KEY.pack(number), tenants.encode_member(member))
    for cell, below in tables.children:
        _put_summed(building, catalog.CHILDREN + catalog.U32_KEY.pack(cell), below.astype("<u4").tobytes())
    for pair in sorted(tables.pending):
        building.put([catalog.PENDING + catalog.PAIR_KEY.pack(*pair)], [b"\1"])
    used, uses = np.unique(tables.lists[1], return_counts=True)
    keys = [catalog.USES + key for key in records.byte_items(used, ">u4")]
    building.put(keys, records.byte_items(uses, "<u4"))
    if tables.visible:
        for number, tenant in enumerate(tables.tenants):
            entries = list(_seen(number, tenant))
            building.put([key for key, _ in entries], [value for _, value in entries])


def _seen(number: int, tenant: BulkTenant) -> Iterator[Entry]:
    """Bitmaps of the rows that a tenant sees."""
    first, end = tenant.first_row, tenant.first_row + tenant.n_records
    while first < end:
        chunk = first >> CHUNK_BITS
        last = min((chunk + 1) << CHUNK_BITS, end)
        yield catalog.VISIBLE + catalog.U32_KEY.pack(number) + CHUNK_KEY.pack(chunk), spanned(first, last)
        first = last
