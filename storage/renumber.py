"""New numbers for the rows that live: dense, in the order of owners and cells."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG, concatenated
from ramet.storage.homes import HomeTable
from ramet.storage.reader import U32, U64

# Entries of the catalog that are handled together.
TOGETHER = 1 << 16

NO_ROW = 0xFFFFFFFF

# Behind every owner and every place: a row in no list.
_LAST = np.uint64(1 << 62)

T = TypeVar("T")


def in_pieces(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield items in lists of at most `TOGETHER`."""
    rest = iter(items)
    while piece := list(islice(rest, TOGETHER)):
        yield piece


class CellOrder:
    """An order of cells: those named first, as they are named, then the others by number.

    Raises
    ------
    ValueError
        A cell is named twice.
    """

    def __init__(self, cells: npt.NDArray[np.uint32] | None) -> None:
        named = np.empty(0, np.uint32) if cells is None else np.asarray(cells, np.uint32).ravel()
        self._places = np.argsort(named)
        self._sorted = named[self._places]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError("cell_order names a cell twice")

    def places(self, cells: U32) -> U64:
        """Return numbers that sort cells into this order, uint64 of the same shape."""
        places = cells.astype(np.uint64) + np.uint64(len(self._sorted))
        if len(self._sorted):
            found = np.minimum(np.searchsorted(self._sorted, cells), len(self._sorted) - 1)
            named = self._sorted[found] == cells
            places[named] = self._places[found[named]].astype(np.uint64)
        return places


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Rows that live, under their old and their new numbers."""

    old: U32
    """Shape (n_live,): old number of each new row."""
    new: U32
    """Shape (n_rows,): new number of each old row, `NO_ROW` for those that are gone."""
    longest_id: int
    """Bytes of the longest id."""


def numbered(txn: Any, header: catalog.Header, path: Path, order: CellOrder) -> Numbering:
    """Number the rows that live anew: by owner, then by the place of the owner's nearest cell, then as they were.

    Raises
    ------
    CorruptionError
        The tables of ids and homes do not fit the counters.
    """
    live, longest = _live_rows(txn, header, path)
    owners = np.full(header.n_rows, _LAST, np.uint64)
    places = np.full(header.n_rows, _LAST, np.uint64)
    for piece in in_pieces(catalog.scan(txn, catalog.HOMES)):
        _place_rows(piece, path, order, owners, places)
    rows = np.flatnonzero(live)
    old = rows[np.lexsort((places[rows], owners[rows]))].astype(np.uint32)  # stable: equal ones stay as they were
    new = np.full(header.n_rows, NO_ROW, np.uint32)
    new[old] = np.arange(len(old), dtype=np.uint32)
    return Numbering(old=old, new=new, longest_id=longest)


def _live_rows(txn: Any, header: catalog.Header, path: Path) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which rows a tenant sees, and the length of the longest id."""
    live, longest = np.zeros(header.n_rows, np.bool_), 0
    for piece in in_pieces(catalog.scan(txn, catalog.IDS)):
        try:
            rows = concatenated([value for _, value in piece], 4).view("<u4").ravel()
            live[rows] = True
        except (ValueError, IndexError) as error:
            raise CorruptionError(path / CATALOG, "ids", f"rows below {header.n_rows}", error) from error
        longest = max(longest, *(len(key) - 5 for key, _ in piece))
    if int(live.sum()) != header.n_live:
        raise CorruptionError(path / CATALOG, "meta entry 'n_live'", int(live.sum()), header.n_live)
    return live, longest


def _place_rows(piece: list[tuple[bytes, bytes]], path: Path, order: CellOrder, owners: U64, places: U64) -> None:
    """Note the owner of rows, and the place of the first cell that the owner has each of them in."""
    try:
        rows = concatenated([key[1:] for key, _ in piece], 4).view(">u4").ravel().astype(np.int64)
        homes = HomeTable.decoded([value for _, value in piece])
        owners[rows] = homes.owners
    except (struct.error, ValueError, IndexError) as error:
        raise CorruptionError(path / CATALOG, "homes", f"entries of rows below {len(owners)}", error) from error
    of_row = homes.of_row
    own = np.flatnonzero(homes.tenants == homes.owners[of_row])
    first = own[np.unique(of_row[own], return_index=True)[1]]
    places[rows[of_row[first]]] = order.places(homes.cells[first])


def new_rows(numbering: Numbering, rows: npt.NDArray[Any], path: Path, where: str) -> U32:
    """Return the new numbers of rows; raise `CorruptionError` when one of them does not live."""
    if len(rows) and int(rows.max()) < len(numbering.new):
        found: U32 = numbering.new[rows]
        if not (found == NO_ROW).any():
            return found
    elif not len(rows):
        return np.empty(0, np.uint32)
    raise CorruptionError(path / CATALOG, where, "rows that have an id", rows[:8].tolist())
