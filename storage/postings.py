"""Posting lists from arrays to extents: planned as a whole, written in large sequential pieces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage.format import PAGE_BYTES, ROW_MASK, ListLayout, checksum
from ramet.storage.reader import LIST_DTYPE

# Bytes gathered before a write. Large enough that the system call is free, small enough to stay in the cache.
BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBatch:
    """Lists to write, CSR: list i is ``rows[starts[i]:starts[i + 1]]`` and the same part of the other columns."""

    starts: npt.NDArray[np.int64]
    """Shape (n + 1,), not falling."""
    rows: npt.NDArray[np.uint32]
    """Shape (total,), C-contiguous."""
    factors: npt.NDArray[np.uint32]
    """Shape (n_factors, total), C-contiguous."""
    codes: npt.NDArray[np.uint8]
    """Shape (total, code_bytes), C-contiguous."""


def checked_batch(
    layout: ListLayout,
    cells: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.uint32],
    factors: npt.NDArray[np.uint32],
    codes: npt.NDArray[np.uint8],
) -> ListBatch:
    """Check the shapes of lists to write and make the arrays contiguous.

    Raises
    ------
    ValueError
        A shape or an item size does not fit the layout or the other arrays, or a cell is named twice.
    """
    batch = ListBatch(
        starts=np.ascontiguousarray(starts, dtype=np.int64),
        rows=np.ascontiguousarray(rows, dtype=np.uint32),
        factors=np.ascontiguousarray(factors).view(np.uint32),
        codes=np.ascontiguousarray(codes).view(np.uint8),
    )
    total = len(batch.rows)
    wanted = {
        "starts": ((len(cells) + 1,), batch.starts.shape),
        "factors": ((layout.n_factors, total), batch.factors.shape),
        "codes": ((total, layout.code_bytes), batch.codes.shape),
    }
    for name, (expected, found) in wanted.items():
        if expected != found:
            raise ValueError(f"{name} must have the shape {expected} for {len(cells)} lists, got {found}")
    bounds = batch.starts
    if bounds[0] < 0 or bounds[-1] > total or (np.diff(bounds) < 0).any():
        raise ValueError(f"starts must rise from at least 0 to at most {total}")
    if len(np.unique(cells)) != len(cells):
        raise ValueError("a cell is named twice: give every list once")
    return batch


def write_batch(
    layout: ListLayout,
    batch: ListBatch,
    pages: npt.NDArray[np.int64],
    n_pages: npt.NDArray[np.int64],
    write: Callable[[int, memoryview], None],
) -> npt.NDArray[np.void]:
    """Write lists into their extents and return their directory entries.

    Parameters
    ----------
    layout : ListLayout
    batch : ListBatch
    pages, n_pages : arrays of int64, shape (n,)
        Extent of each list.
    write : callable
        Writes a buffer at a byte offset of the posting file.

    Returns
    -------
    array of `LIST_DTYPE`, shape (n,)
    """
    buffer = np.zeros(max(BUFFER_BYTES, int(n_pages.max(initial=0)) * PAGE_BYTES), dtype=np.uint8)
    view = buffer.data
    entries = np.zeros(len(pages), dtype=LIST_DTYPE)
    entries["page"], entries["n_pages"], entries["count"] = pages, n_pages, np.diff(batch.starts)
    sums: list[int] = []
    used = start = 0  # bytes in the buffer, and where in the file they go
    for i, (page, n) in enumerate(zip(pages.tolist(), n_pages.tolist(), strict=True)):
        if used and (start + used != page * PAGE_BYTES or used + n * PAGE_BYTES > len(buffer)):
            write(start, view[:used])
            buffer[:used] = 0
            used = 0
        if not used:
            start = page * PAGE_BYTES
        extent = buffer[used : used + n * PAGE_BYTES]
        sums.append(_fill(extent, layout, batch, int(batch.starts[i]), int(batch.starts[i + 1])))
        used += n * PAGE_BYTES
    if used:
        write(start, view[:used])
    entries["checksum"] = np.array(sums, dtype=np.uint64)
    return entries


def _fill(extent: npt.NDArray[np.uint8], layout: ListLayout, batch: ListBatch, a: int, b: int) -> int:
    """Lay one list out in its zeroed extent and return its checksum."""
    capacity = layout.capacity_for(len(extent) // PAGE_BYTES)
    n = b - a
    words = extent[: 4 * capacity * (1 + layout.n_factors)].view(np.uint32)
    rows, codes = batch.rows[a:b], batch.codes[a:b]
    words[:n] = rows
    columns = [batch.factors[f, a:b] for f in range(layout.n_factors)]
    for f, column in enumerate(columns, start=1):
        words[f * capacity : f * capacity + n] = column
    start = layout.codes_offset(capacity)
    extent[start : start + n * layout.code_bytes] = codes.reshape(-1)
    return checksum(rows, *columns, codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEdit:
    """Rows that leave lists of one tenant, and rows that come into them."""

    cells: npt.NDArray[np.uint32]
    """Shape (n,): each list once."""
    add: ListBatch
    """What comes: list i takes ``add.starts[i] .. add.starts[i + 1]``."""
    drop_starts: npt.NDArray[np.int64]
    """Shape (n + 1,)"""
    drop_rows: npt.NDArray[np.uint32]
    """Rows that leave list i: ``drop_rows[drop_starts[i]:drop_starts[i + 1]]``; it holds all of them."""

    @property
    def n_added(self) -> npt.NDArray[np.int64]:
        """Rows that come into each list."""
        return np.diff(self.add.starts)

    @property
    def n_dropped(self) -> npt.NDArray[np.int64]:
        """Rows that leave each list."""
        return np.diff(self.drop_starts)


def checked_edit(layout: ListLayout, edit: ListEdit) -> ListEdit:
    """Check the shapes of an edit and make its arrays contiguous; raise ValueError as `checked_batch` does."""
    cells = np.ascontiguousarray(edit.cells, dtype=np.uint32)
    add = checked_batch(layout, cells, edit.add.starts, edit.add.rows, edit.add.factors, edit.add.codes)
    starts = np.ascontiguousarray(edit.drop_starts, dtype=np.int64)
    rows = np.ascontiguousarray(edit.drop_rows, dtype=np.uint32)
    if starts.shape != (len(cells) + 1,) or starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) < 0).any():
        raise ValueError(f"drop_starts must rise from 0 to {len(rows)} in {len(cells)} steps")
    if add.starts[0] != 0 or add.starts[-1] != len(add.rows):
        raise ValueError(f"starts must rise from 0 to {len(add.rows)}")
    return ListEdit(cells=cells, add=add, drop_starts=starts, drop_rows=rows)


def merged_lists(
    layout: ListLayout, edit: ListEdit, which: npt.NDArray[np.int64], old: Sequence[Any]
) -> tuple[ListBatch, int | None]:
    """Put what stays of old lists and what comes into them together.

    Parameters
    ----------
    layout : ListLayout
    edit : ListEdit
    which : array of int64, shape (m,)
        Lists of the edit.
    old : sequence of m contents with rows, factors and codes

    Returns
    -------
    ListBatch
        m lists; what stays keeps its order and comes first.
    int or None
        A row that should have left a list but was not in it.
    """
    added, n_old = edit.n_added[which], np.array([len(content.rows) for content in old], np.int64)
    place = np.repeat(np.arange(len(which)), n_old)
    rows = np.concatenate([content.rows for content in old])
    shift = np.uint64(32)
    held = place.astype(np.uint64) << shift | (rows & np.uint32(ROW_MASK))
    leaving = np.concatenate(
        [edit.drop_rows[edit.drop_starts[i] : edit.drop_starts[i + 1]] for i in which.tolist()]
    ).astype(np.uint64) | (np.repeat(np.arange(len(which)), edit.n_dropped[which]).astype(np.uint64) << shift)
    stays = ~np.isin(held, leaving)
    if int(stays.sum()) != len(rows) - len(leaving):
        absent = np.setdiff1d(leaving, held)
        return edit.add, int((absent if len(absent) else leaving)[0] & np.uint64(0xFFFFFFFF))
    coming = np.concatenate([np.arange(edit.add.starts[i], edit.add.starts[i + 1]) for i in which.tolist()])
    list_of = np.concatenate([place[stays], np.repeat(np.arange(len(which)), added)])
    order = np.argsort(list_of, kind="stable")
    factors = np.concatenate([content.factors for content in old], axis=1)[:, stays]
    codes = np.concatenate([content.codes for content in old])[stays]
    batch = ListBatch(
        starts=np.concatenate([[0], np.cumsum(np.bincount(list_of, minlength=len(which)))]).astype(np.int64),
        rows=np.concatenate([rows[stays], edit.add.rows[coming]])[order],
        factors=np.ascontiguousarray(np.concatenate([factors, edit.add.factors[:, coming]], axis=1)[:, order]),
        codes=np.concatenate([codes, edit.add.codes[coming]])[order],
    )
    return batch, None
