"""The catalog of a compaction: what lives, in the order of the keys, under its new row numbers."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ramet.storage import catalog, lmdbfile, records, tenants
from ramet.storage.compact_fields import write_fields
from ramet.storage.compact_files import Lists, Source, check_blocks, new_file, write_lists, write_slots, write_vectors
from ramet.storage.compact_terms import put_terms
from ramet.storage.errors import SYSTEM_ERRORS, translated
from ramet.storage.format import CATALOG, POSTINGS, ROWS, SUMS_ROWS, SUMS_VECTORS, VECTORS, concatenated
from ramet.storage.reader import I64
from ramet.storage.renumber import TOGETHER, in_pieces, new_rows

# Bytes written to the catalog before a commit, which keeps the pages of a transaction from filling the memory.
COMMIT_BYTES = 16 << 20

# Rows whose documents are held together: these may be long.
CONTENTS_TOGETHER = 256

# Directory of the catalog that is being written; what stays is a copy of it without free pages.
WORK = "work"


class Building:
    """A catalog under construction. Keys are put in rising order, so its pages are full."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._environment = catalog.open_environment(directory, sync=False)
        self.txn: Any = self._environment.begin(write=True)
        self._n_bytes = 0

    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Write entries whose keys rise."""
        catalog.put_sorted(self.txn, keys, values)
        self._n_bytes += sum(map(len, keys)) + sum(map(len, values))
        if self._n_bytes > COMMIT_BYTES:
            self.txn.commit()
            self.txn = self._environment.begin(write=True)
            self._n_bytes = 0

    def finish(self, target: Path, txn: int) -> None:
        """Write what was put, as the state of transaction `txn`, an odd number, to a new file, and sync it."""
        self.txn.commit()
        self._environment.copy(str(target), compact=True)
        lmdbfile.set_newest_txn(target, txn)

    def close(self) -> None:
        """Remove what `finish` left over, or everything."""
        self._environment.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def write_collection(source: Source, directory: Path, txn: int) -> catalog.Header:
    """Write the files of a compacted collection into a directory, and sync them.

    Parameters
    ----------
    source : Source
    directory : Path
    txn : int
        Transaction of the state that is written, an odd number above all of the old collection: whoever keeps
        something about a state of that number keeps nothing about this one.

    Raises
    ------
    CorruptionError
        Something in the old collection does not match its checksum.
    """
    files = []
    building = Building(directory / WORK)
    try:
        old = source.snapshot.header
        vector_bytes = source.snapshot.core.vector_bytes
        names = [POSTINGS, ROWS, *([VECTORS] if vector_bytes else [])]
        files = [new_file(directory, name, old.collection) for name in names]
        lists = write_lists(source, files[0])
        n_rows = len(source.numbering.old)
        width = records.slot_width(source.numbering.longest_id) if n_rows else 0
        new = replace(old, n_rows=n_rows, end_page=lists.end_page, id_width=width)
        _put_meta(source, building, new)
        _copy(source, building, catalog.TENANTS)
        _copy(source, building, catalog.CELLS)
        check_blocks(source.snapshot, SUMS_ROWS, ROWS, max(old.id_width, 1))
        too_long = write_slots(source, files[1], building.txn, SUMS_ROWS, max(width, 1))
        if vector_bytes:
            check_blocks(source.snapshot, SUMS_VECTORS, VECTORS, vector_bytes)
            write_vectors(source, files[2], building.txn, SUMS_VECTORS, vector_bytes)
        _put_rows(source, building, lists, too_long)
        _put_rest(source, building, txn)
        for file in files:
            file.sync()
        building.finish(directory / CATALOG, txn)
    except SYSTEM_ERRORS as error:
        raise translated(error, directory) from error  # while what shows that the disk is full is still there
    finally:
        for file in files:
            file.close()
        building.close()
    return new


def _put_meta(source: Source, building: Building, header: catalog.Header) -> None:
    _copy(source, building, catalog.META)
    building.txn.delete(catalog.META + catalog.SUPERSEDED.encode())
    catalog.write_header(building.txn, header, source.snapshot.header)


def _copy(source: Source, building: Building, table: bytes) -> None:
    """Copy a table whose entries have checksums, and compare them."""
    txn = source.snapshot.transaction
    for key, value in catalog.scan(txn, table):
        catalog.unsummed(key, value, source.path)
        building.put([key], [value])


def _put_rows(source: Source, building: Building, lists: Lists, too_long: I64) -> None:
    """Write the tables of ids, lists, homes and long ids."""
    txn, numbering = source.snapshot.transaction, source.numbering
    for piece in in_pieces(catalog.scan(txn, catalog.IDS)):
        rows = concatenated([value for _, value in piece], 4).view("<u4").ravel()
        found = new_rows(numbering, rows, source.path, "ids")
        building.put([key for key, _ in piece], records.byte_items(found, "<u4"))
    for first in range(0, len(lists.keys), TOGETHER):
        part = lists.entries[first : first + TOGETHER]
        values = records.byte_rows(part.view(np.uint8).reshape(len(part), -1))
        building.put([catalog.LISTS + key for key in lists.keys[first : first + TOGETHER]], values)
    for first in range(0, len(numbering.old), TOGETHER):
        old = numbering.old[first : first + TOGETHER]
        keys = records.byte_items(np.arange(first, first + len(old)), ">u4")
        homes = [txn.get(catalog.HOMES + key) for key in records.byte_items(old, ">u4")]
        there = [(catalog.HOMES + key, value) for key, value in zip(keys, homes, strict=True) if value is not None]
        building.put([key for key, _ in there], [value for _, value in there])
    for first in range(0, len(too_long), TOGETHER):
        rows = too_long[first : first + TOGETHER]
        ids = source.snapshot.ids_of(numbering.old[rows])
        keys = [catalog.LONG_IDS + key for key in records.byte_items(rows, ">u4")]
        building.put(keys, [name.encode() for name in ids])


def _put_rest(source: Source, building: Building, txn: int) -> None:
    """Write blobs, tenants, children, waiting lists, uses of cells, contents, filters, words; the logs begin anew."""
    _copy(source, building, catalog.BLOBS)
    for member in source.snapshot.members():
        fresh = replace(member, changed=txn, logged=txn, n_log=0)
        key, content = catalog.MEMBERS + catalog.U32_KEY.pack(member.number), tenants.encode_member(fresh)
        building.put([key], [catalog.summed(key, content)])
    _copy(source, building, catalog.CHILDREN)
    for table in (catalog.PENDING, catalog.USES):
        for piece in in_pieces(catalog.scan(source.snapshot.transaction, table)):
            building.put([key for key, _ in piece], [value for _, value in piece])
    for table in (catalog.DOCUMENTS, catalog.METADATA):
        _put_contents(source, building, table)
    write_fields(source, building.put)
    put_terms(source, building.put)
    _put_contents(source, building, catalog.TOKENS)


def _put_contents(source: Source, building: Building, table: bytes) -> None:
    """Write documents, metadata or token codes under the new numbers of their rows."""
    old = source.numbering.old
    for first in range(0, len(old), CONTENTS_TOGETHER):
        part = old[first : first + CONTENTS_TOGETHER]
        keys = records.byte_items(np.arange(first, first + len(part)), ">u4")
        for key, content in zip(keys, source.snapshot.contents(table, part), strict=True):
            if content is not None:
                building.put([table + key], [catalog.summed(table + key, content)])
