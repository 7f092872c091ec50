"""The data files of a compaction: what lives, under its new row numbers, and nothing else."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog, records
from ramet.storage.datafile import DataFile
from ramet.storage.errors import CorruptionError
from ramet.storage.format import (
    BLOCK_ROWS,
    CATALOG,
    PAGE_BYTES,
    POSTINGS,
    ROW_MASK,
    checksum,
    concatenated,
    pack_header,
)
from ramet.storage.postings import ListBatch, write_batch
from ramet.storage.reader import I64, LIST_DTYPE, U32, check_directory
from ramet.storage.renumber import CellOrder, Numbering, new_rows
from ramet.storage.rowfiles import append_rows_to
from ramet.storage.snapshot import Snapshot

# Bytes of rows or lists that are read before they are written together.
TOGETHER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is compacted."""

    snapshot: Snapshot
    """Its newest state; the writer's lock is held, so it stays the newest."""
    numbering: Numbering
    """Old and new row numbers."""
    order: CellOrder
    """In which the lists of a tenant are to lie."""

    @property
    def path(self) -> Path:
        """The directory that is compacted."""
        return self.snapshot.core.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Entries of all posting lists, in the order of their keys."""

    keys: list[bytes]
    """Tenant and cell."""
    entries: npt.NDArray[np.void]
    """`LIST_DTYPE`"""
    end_page: int
    """Pages of the posting file."""


def new_file(directory: Path, name: str, collection: bytes) -> DataFile:
    """Make a data file with its header."""
    (directory / name).touch(exist_ok=False)
    file = DataFile(directory / name)
    file.write(0, memoryview(pack_header(name, collection)))
    return file


def check_blocks(snapshot: Snapshot, number: int, name: str, stride: int) -> None:
    """Read a file of rows from end to end, and compare it with its checksums.

    Raises
    ------
    CorruptionError
        A block of rows does not match.
    """
    core, txn, piece = snapshot.core, snapshot.transaction, _rows_together(stride)
    for start in range(0, snapshot.n_rows, piece):
        end = min(start + piece, snapshot.n_rows)
        content = os.pread(core.fds[name], (end - start) * stride, PAGE_BYTES + start * stride)
        for block, a, b in records.blocks_between(start, end):
            found = catalog.SUM_VALUE.pack(checksum(content[(a - start) * stride : (b - start) * stride]))
            stored = txn.get(catalog.SUMS + catalog.SUMS_KEY.pack(number, block), b"")
            if found != stored:
                expected = f"checksum {stored[::-1].hex() or 'entry'}"
                raise CorruptionError(core.path / name, f"rows {a} to {b - 1}", expected, found[::-1].hex())


def _rows_together(stride: int) -> int:
    """Rows of a file that are handled together: whole blocks."""
    return max(TOGETHER_BYTES // stride // BLOCK_ROWS, 1) * BLOCK_ROWS


def write_slots(source: Source, file: DataFile, txn: Any, number: int, width: int) -> I64:
    """Write the ids of the rows into slots; return the new numbers of those whose ids are too long for one."""
    too_long = [np.empty(0, np.int64)]
    piece = _rows_together(width)
    for start in range(0, len(source.numbering.old), piece):
        ids = records.encode_ids(source.snapshot.ids_of(source.numbering.old[start : start + piece]))
        slots, long_ones = records.pack_slots(ids, width)
        append_rows_to(file, txn, number, start, slots)
        too_long.append(long_ones + start)
    return np.concatenate(too_long)


def write_vectors(source: Source, file: DataFile, txn: Any, number: int, stride: int) -> None:
    """Write the full-precision rows."""
    piece = _rows_together(stride)
    for start in range(0, len(source.numbering.old), piece):
        rows = source.numbering.old[start : start + piece]
        append_rows_to(file, txn, number, start, source.snapshot.vectors(rows))


def write_lists(source: Source, file: DataFile) -> Lists:
    """Write all posting lists without gaps: tenant after tenant, in the order of cells.

    Raises
    ------
    CorruptionError
        A list does not match its checksum, lies outside the file, or names a row that nobody sees.
    """
    keys, entries = _directory(source)
    names = concatenated(keys, 8).view(">u4").reshape(len(keys), 2).astype(np.uint32)
    order = np.lexsort((source.order.places(names[:, 1]), names[:, 0]))
    layout, page = source.snapshot.core.layout, 1
    n_pages = layout.pages_for(entries["count"])
    weights = np.cumsum(entries["count"][order].astype(np.int64) * layout.row_bytes + PAGE_BYTES)
    first = 0
    while first < len(order):
        before = int(weights[first - 1]) if first else 0
        last = max(int(np.searchsorted(weights, before + TOGETHER_BYTES, side="right")), first + 1)
        which = order[first:last]
        pages = page + np.cumsum(n_pages[which]) - n_pages[which]
        batch = _read_lists(source, names[which], entries[which])
        entries[which] = write_batch(layout, batch, pages, n_pages[which], file.write)
        page, first = page + int(n_pages[which].sum()), last
    return Lists(keys=keys, entries=entries, end_page=page)


def _directory(source: Source) -> tuple[list[bytes], npt.NDArray[np.void]]:
    """Return tenant and cell of all posting lists, as bytes, and their entries."""
    snapshot = source.snapshot
    items = list(catalog.scan(snapshot.transaction, catalog.LISTS))
    damaged: object = "an entry of another length"
    if all(len(key) == 9 and len(value) == LIST_DTYPE.itemsize for key, value in items):
        content = concatenated([value for _, value in items], LIST_DTYPE.itemsize)
        entries = content.view(LIST_DTYPE).ravel().copy()
        bad = check_directory(entries, snapshot.core.layout, snapshot.end_page)
        if not bad.any():
            return [key[1:] for key, _ in items], entries
        damaged = entries[bad][0]
    raise CorruptionError(source.path / CATALOG, "lists", f"extents below page {snapshot.end_page}", damaged)


def _read_lists(source: Source, names: U32, entries: npt.NDArray[np.void]) -> ListBatch:
    """Read lists, compare them with their checksums, and give their rows the new numbers."""
    snapshot, mask = source.snapshot, np.uint32(ROW_MASK)
    for page, n_pages in zip(entries["page"].tolist(), entries["n_pages"].tolist(), strict=True):
        # The mapping reads single pages when they are touched: ask for whole lists, of the entire batch at once.
        os.posix_fadvise(snapshot.core.fds[POSTINGS], page * PAGE_BYTES, n_pages * PAGE_BYTES, os.POSIX_FADV_WILLNEED)
    contents = [snapshot.read_list(tenant, cell, check=True) for tenant, cell in names.tolist()]
    rows = [
        new_rows(source.numbering, content.rows & mask, source.path, f"list (tenant {tenant}, cell {cell})")
        | (content.rows & ~mask)
        for (tenant, cell), content in zip(names.tolist(), contents, strict=True)
    ]
    return ListBatch(
        starts=np.concatenate([[0], np.cumsum(entries["count"], dtype=np.int64)]).astype(np.int64),
        rows=np.concatenate(rows),
        factors=np.ascontiguousarray(np.concatenate([content.factors for content in contents], axis=1)),
        codes=np.concatenate([content.codes for content in contents]),
    )
