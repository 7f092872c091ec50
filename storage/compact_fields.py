"""The filter tables of a compaction: the same values under new row numbers, in full pages."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from pyroaring import BitMap

from ramet.storage import catalog
from ramet.storage.compact_files import Source
from ramet.storage.errors import CorruptionError
from ramet.storage.field_keys import (
    CHUNK_BITS,
    CHUNK_KEY,
    PAIR,
    PAIR_KEY,
    pair_keys,
    serialized,
    single_row,
    united,
)
from ramet.storage.format import CATALOG
from ramet.storage.number_pages import FILL, MOST, pieces_of, sorted_pairs
from ramet.storage.reader import U32
from ramet.storage.renumber import NO_ROW, in_pieces

Entry = tuple[bytes, bytes]
Put = Callable[[Sequence[bytes], Sequence[bytes]], None]


def write_fields(source: Source, put: Put) -> None:
    """Write the tables of visible rows, values and numbers.

    Parameters
    ----------
    source : Source
    put : callable
        Takes keys, which rise, and values.

    Raises
    ------
    CorruptionError
        An entry cannot be read, or names a row that does not exist.
    """
    txn = source.snapshot.transaction
    for table in (catalog.VISIBLE, catalog.VALUES):
        _put_all(put, _bitmaps(source, catalog.scan(txn, table)))
    _put_all(put, _pages(source, catalog.scan(txn, catalog.NUMBERS)))


def _put_all(put: Put, entries: Iterator[Entry]) -> None:
    for piece in in_pieces(entries):
        put([key for key, _ in piece], [value for _, value in piece])


def _bitmaps(source: Source, entries: Iterator[Entry]) -> Iterator[Entry]:
    """Yield bitmaps under new numbers; those of one value come behind each other, and are one until it is cut anew."""
    numbering = source.numbering.new
    for start, group in groupby(entries, key=lambda entry: entry[0][: -CHUNK_KEY.size]):
        values = [value for _, value in group]
        row = single_row(values[0]) if len(values) == 1 else None
        if row is not None and row < len(numbering):  # most values of a field with many
            new_row: int = numbering.item(row)
            if new_row != NO_ROW:
                chunk = new_row >> CHUNK_BITS
                yield start + CHUNK_KEY.pack(chunk), serialized([new_row], chunk)
            continue
        try:
            rows = united(values).to_array()
        except ValueError as error:
            raise _damaged(source, start, "roaring bitmaps", error) from error
        new = np.sort(_renumbered(source, start, np.asarray(rows, np.uint32)))
        cuts = np.flatnonzero(np.diff(new >> np.uint32(CHUNK_BITS))) + 1
        for part in np.split(new, cuts) if len(cuts) else [new]:
            if len(part):
                yield start + CHUNK_KEY.pack(int(part[0]) >> CHUNK_BITS), _packed(part)


def _packed(rows: U32) -> bytes:
    if len(rows) == 1:
        return serialized(rows.tolist(), int(rows[0]) >> CHUNK_BITS)
    bitmap = BitMap(rows.tolist())
    bitmap.run_optimize()
    return bitmap.serialize()


def _pages(source: Source, entries: Iterator[Entry]) -> Iterator[Entry]:
    """Yield pages of pairs under new numbers, a field of a tenant at a time."""
    for start, group in groupby(entries, key=lambda entry: entry[0][: -PAIR_KEY.size]):
        try:
            pairs = np.frombuffer(b"".join([value for _, value in group]), PAIR).copy()
        except ValueError as error:
            raise _damaged(source, start, "pairs of 12 bytes", error) from error
        pairs["row"] = _renumbered(source, start, pairs["row"].astype(np.uint32), keep=True)
        pairs, _ = sorted_pairs(pairs[pairs["row"] != NO_ROW])
        keys, content, size = pair_keys(pairs), pairs.tobytes(), PAIR.itemsize
        first = 0
        for last in pieces_of(len(pairs), MOST, FILL) if len(pairs) else []:
            yield start + keys[size * first : size * (first + 1)], content[size * first : size * last]
            first = last


def _renumbered(source: Source, start: bytes, rows: U32, *, keep: bool = False) -> U32:
    """Return new numbers, without those of rows that are gone, or with `NO_ROW` in their place."""
    numbering = source.numbering.new
    if len(rows) and int(rows.max()) >= len(numbering):
        raise _damaged(source, start, f"rows below {len(numbering)}", int(rows.max()))
    new: U32 = numbering[rows]
    return new if keep else new[new != NO_ROW]


def _damaged(source: Source, start: bytes, expected: str, found: Any) -> CorruptionError:
    where = f"entries {start[1:]!r} of table {start[0]}"
    return CorruptionError(source.path / CATALOG, where, expected, found)
