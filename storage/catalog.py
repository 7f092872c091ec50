"""The catalog: every fact that needs a transaction, in one LMDB file.

All tables live in LMDB's unnamed database, told apart by the first byte of the key. Named databases would need a
handle each, and py-lmdb opens such a handle in a *write* transaction: opening a collection would then wait for
whoever is writing to it at the moment, and readers must never wait for a writer. Sorting, range scans and appending
work the same. Keys are big-endian so that ranges sort, values little-endian so that NumPy reads them in place.

=========  ====================================  ==========================================================
table      key after the table's byte            value
=========  ====================================  ==========================================================
META       name                                  checksum u64 of key and JSON, JSON
TENANTS    name                                  checksum u64 of key and rest, number u32
CELLS      cell u32                              checksum u64 of key and rest, parent u32 (0xFFFFFFFF: none),
                                                 level u32, payload bytes
SUMS       file u8, block u32                    checksum u64 of the block's committed bytes
IDS        tenant u32, id                        row u32
LISTS      tenant u32, cell u32                  page u64, n_pages u32, count u32, checksum u64
HOMES      row u32                               owner u32, n u16, n x (tenant u32, cell u32)
LONG_IDS   row u32                               id
BLOBS      name                                  checksum u64 of key and bytes, bytes
FREE       transaction u64, page u64             n_pages u32
MEMBERS    tenant u32                            checksum u64 of key and rest, n_records u64, changed u64,
                                                 logged u64, n_log u32, name
CHILDREN   cell u32                              checksum u64 of key and rest, n x cell u32
LOG        tenant u32, transaction u64           m u32, m x cell u32 whose payload, n x cell u32 whose list changed
PENDING    tenant u32, cell u32                  one byte: a list that waits to be split or merged
USES       cell u32                              number of lists in the cell, over all tenants: u32; none for 0
DOCUMENTS  row u32                               checksum u64 of key and text, text in utf-8
METADATA   row u32                               checksum u64 of key and rest, JSON
VISIBLE    tenant u32, rows >> 16: u16           roaring bitmap: rows that the tenant sees
VALUES     tenant u32, field, 0, kind u8, value, roaring bitmap: rows whose field has that value
           0, 1, rows >> 16: u16
NUMBERS    tenant u32, field, 0, kind u8,        (value, row) pairs in order, from the one in the key on
           value u64, row u32
TERMS      tenant u32, term, 0, row u32          postings of a word, rows rising from the one in the key on
TEXTS      tenant u32                            checksum u64 of key and rest, documents u64, words u64,
                                                 dropped u64
TOKENS     row u32                               checksum u64 of key and rest, n x 64 int8: a code for each token
                                                 of the document
=========  ====================================  ==========================================================

Checksums are xxh3_64. The tables without one of their own are checked against each other and against the data files.
"""

import errno
import json
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from ramet.storage.errors import CorruptionError, DuplicateIdError, FormatError, translated
from ramet.storage.format import CATALOG, FORMAT_VERSION, check_settings, checksum

META, TENANTS, CELLS, SUMS, IDS, LISTS, HOMES, LONG_IDS, BLOBS, FREE = (bytes([n]) for n in range(1, 11))
MEMBERS, CHILDREN, LOG, PENDING, USES = (bytes([n]) for n in range(11, 16))
DOCUMENTS, METADATA, VISIBLE, VALUES, NUMBERS, TERMS, TEXTS = (bytes([n]) for n in range(16, 23))
TOKENS = bytes([23])
LAST_TABLE = TOKENS

TOKEN_BYTES = 64

# A key of LMDB may have 511 bytes; the table's byte and the tenant number come off, and the rest is a round number.
MAX_ID_BYTES = 480

PAIR_KEY = struct.Struct(">II")
U32_KEY = struct.Struct(">I")
SUMS_KEY = struct.Struct(">BI")
FREE_KEY = struct.Struct(">QQ")
LOG_KEY = struct.Struct(">IQ")
MEMBER_HEAD = struct.Struct("<QQQI")
LIST_VALUE = struct.Struct("<QIIQ")
CELL_HEAD = struct.Struct("<II")
HOME_HEAD = struct.Struct("<IH")
U32_VALUE = struct.Struct("<I")
SUM_VALUE = struct.Struct("<Q")

ENGINE_PREFIX = "engine/"

# META entry of a catalog whose place another directory takes, or was about to take: see `compact`.
SUPERSEDED = "superseded"

# Address space for the catalog, not bytes on disk. Halved until the kernel grants it (containers limit it).
MAP_BYTES = 1 << 40
MIN_MAP_BYTES = 1 << 26

# Snapshots open at once over all processes; 64 bytes of the lock file each.
MAX_READERS = 1024


def open_environment(path: Path, *, readonly: bool = False, lock: bool = True, sync: bool = True) -> lmdb.Environment:
    """Open the LMDB file of a collection directory.

    Parameters
    ----------
    path : Path
        The collection directory.
    readonly : bool
        Open without the right to write.
    lock : bool
        Use LMDB's lock file, by which writers see this process's snapshots. Without it, a writer may reuse space that
        an open snapshot still reads, so it is left out only when the lock file may not be written.
    sync : bool
        Wait for the disk at every commit.

    Raises
    ------
    AccessError, FormatError, CorruptionError, StorageFullError
    """
    size = MAP_BYTES
    while True:
        try:
            # lib_version 0 fixes the LMDB 0.9 file format, which an environment variable could change otherwise.
            # One spare transaction makes begin and abort of a reader cost 0.1 us.
            return lmdb.open(
                str(path / CATALOG), subdir=False, map_size=size, max_readers=MAX_READERS, max_spare_txns=1,
                readonly=readonly, lock=lock, create=not readonly, mode=0o644, lib_version=0, readahead=False,
                sync=sync,
            )  # fmt: skip
        except (lmdb.Error, OSError) as error:
            code = getattr(error, "code", 0) or getattr(error, "errno", 0)
            if code != errno.ENOMEM or size <= MIN_MAP_BYTES:
                raise translated(error, path / CATALOG) from error
            size //= 2


def scan(txn: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of all keys that start with `prefix`, in order."""
    cursor = txn.cursor()
    if cursor.set_range(prefix):
        n = len(prefix)
        for item in cursor.iternext():
            if item[0][:n] != prefix:
                return
            yield item


def scan_between(txn: Any, first: bytes, last: bytes) -> list[tuple[bytes, bytes]]:
    """Return (key, value) of all keys from `first` to `last`, both included."""
    found: list[tuple[bytes, bytes]] = []
    cursor = txn.cursor()
    if cursor.set_range(first):
        for item in cursor.iternext():
            if item[0] > last:
                break
            found.append(item)
    return found


def range_is_empty(txn: Any, prefix: bytes) -> bool:
    """Tell whether no key starts with `prefix`."""
    cursor = txn.cursor()
    return not (cursor.set_range(prefix) and cursor.key()[: len(prefix)] == prefix)


def delete_range(txn: Any, prefix: bytes) -> None:
    """Delete every entry whose key starts with `prefix`."""
    cursor = txn.cursor()
    there = cursor.set_range(prefix)
    while there and cursor.key().startswith(prefix):
        there = cursor.delete() and bool(cursor.key())


def put_sorted(txn: Any, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Write many entries whose keys rise; twice as fast, and with full pages, when they come behind all others."""
    if not keys:
        return
    cursor = txn.cursor()
    behind = not cursor.last() or cursor.key() < keys[0]
    cursor.putmulti(zip(keys, values, strict=True), append=behind)


def refuse_existing(txn: Any, prefix: bytes, keys: Sequence[bytes]) -> None:
    """Raise `DuplicateIdError` when one of the rising keys, all of the table and tenant in `prefix`, exists."""
    cursor = txn.cursor()
    if not cursor.set_range(prefix) or cursor.key()[: len(prefix)] != prefix:
        return
    # The last key of the range: one step back from the first key behind it.
    found = cursor.set_range(prefix[:1] + U32_KEY.pack(U32_KEY.unpack(prefix[1:])[0] + 1))
    if (cursor.prev() if found else cursor.last()) and cursor.key() < keys[0]:
        return
    get = txn.get
    known = [key for key in keys if get(key) is not None]
    if known:
        raise DuplicateIdError([key[len(prefix) :].decode() for key in known], len(known))


def name_key(table: bytes, name: str) -> bytes:
    """Return the key of a named entry.

    Raises
    ------
    ValueError
        The name is empty or too long.
    """
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_ID_BYTES:
        raise ValueError(f"a name has 1 to {MAX_ID_BYTES} bytes of utf-8, got {name!r}")
    return table + encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts in META that every snapshot carries."""

    collection: bytes
    """Random 16-byte name, repeated in the header of every data file."""
    n_rows: int
    """Row numbers given out so far; rows.bin and vectors.bin are committed up to here."""
    n_live: int
    """Records that exist."""
    end_page: int
    """Pages of postings.bin in use, the header page included."""
    id_width: int
    """Bytes of a slot of rows.bin; 0 before the first append."""
    n_tenants: int
    """Tenant numbers given out so far; they are never reused."""
    n_cells: int
    """Cell numbers given out by `Writer.new_cells` so far, which does not reuse them either."""


# Header field -> what a new collection starts with. Every field is one META entry of the same name.
_COUNTERS = {"n_rows": 0, "n_live": 0, "end_page": 1, "id_width": 0, "n_tenants": 0, "n_cells": 0}


def write_new_meta(txn: Any, settings: dict[str, Any], created_with: str) -> bytes:
    """Write the META table of an empty collection and return its random 16-byte name."""
    collection = uuid.uuid4()
    write_meta(txn, settings, created_with, Header(collection=collection.bytes, **_COUNTERS))
    return collection.bytes


def write_meta(txn: Any, settings: dict[str, Any], created_with: str, header: Header) -> None:
    """Write the META table of a new collection."""
    entries = {
        "format_version": FORMAT_VERSION,
        "settings": settings,
        "created_with": created_with,
        "collection": header.collection.hex(),
        **{key: getattr(header, key) for key in _COUNTERS},
    }
    for key, entry in entries.items():
        put_json(txn, key, entry)


def put_json(txn: Any, key: str, entry: Any) -> None:
    """Write one META entry."""
    put_summed(txn, META + key.encode(), json.dumps(entry, ensure_ascii=False).encode())


def put_summed(txn: Any, key: bytes, content: bytes) -> None:
    """Write an entry with a checksum of key and content in front, replacing what was there."""
    # LMDB writes a smaller value into the pages of a larger one of the same transaction and leaves the page count as
    # it was, which the walker of `lmdbfile.structure_problems` takes for damage.
    txn.delete(key)
    txn.put(key, summed(key, content))


def summed(key: bytes, content: bytes) -> bytes:
    """Return a value with the checksum of key and content in front."""
    return SUM_VALUE.pack(checksum(key, content)) + content


def get_summed(txn: Any, key: bytes, path: Path) -> bytes | None:
    """Read an entry that `put_summed` wrote; None when there is none.

    Raises
    ------
    CorruptionError
        It does not match its checksum.
    """
    value: bytes | None = txn.get(key)
    return None if value is None else unsummed(key, value, path)


def unsummed(key: bytes, value: bytes, path: Path) -> bytes:
    """Return the content of a value that `put_summed` wrote; raise `CorruptionError` when its checksum differs."""
    content = value[SUM_VALUE.size :]
    found = SUM_VALUE.pack(checksum(key, content))
    if found != value[: SUM_VALUE.size]:
        where = f"entry {key[1:]!r} of table {key[0]}"
        expected = f"checksum {value[: SUM_VALUE.size][::-1].hex()}"
        raise CorruptionError(path / CATALOG, where, expected, found[::-1].hex())
    return content


def get_json(txn: Any, key: str, path: Path) -> Any:
    """Read one META entry of the room itself; it has to be there.

    Raises
    ------
    CorruptionError
        Missing, no JSON, or not what its checksum says.
    """
    raw = get_summed(txn, META + key.encode(), path)
    try:
        if raw is not None:
            return json.loads(raw)
    except ValueError:
        pass
    raise CorruptionError(path / CATALOG, f"meta entry {key!r}", "JSON", raw)


def read_header(txn: Any, path: Path) -> Header:
    """Read the counters of a collection.

    Raises
    ------
    CorruptionError
        An entry is missing or no count.
    """
    counts: dict[str, int] = {}
    for key in _COUNTERS:
        count = get_json(txn, key, path)
        if not isinstance(count, int) or count < 0:
            raise CorruptionError(path / CATALOG, f"meta entry {key!r}", "a count", count)
        counts[key] = count
    return Header(collection=bytes.fromhex(get_json(txn, "collection", path)), **counts)


def is_superseded(txn: Any) -> bool:
    """Tell whether another directory took the place of this one, or was about to."""
    return txn.get(META + SUPERSEDED.encode()) is not None


def write_header(txn: Any, header: Header, before: Header) -> None:
    """Write the counters that differ from those in `before`."""
    for key in _COUNTERS:
        if getattr(header, key) != getattr(before, key):
            put_json(txn, key, getattr(header, key))


def read_settings(txn: Any, path: Path) -> dict[str, Any]:
    """Check the format version and return the settings given at creation.

    Raises
    ------
    FormatError
        No catalog of Ramet, or of another format version.
    CorruptionError
        The entries are there but make no sense.
    """
    if txn.get(META + b"format_version") is None:
        raise FormatError(path / CATALOG, "a catalog of Ramet", "an LMDB file without its entries")
    version = get_json(txn, "format_version", path)
    if version != FORMAT_VERSION:
        raise FormatError(path / CATALOG, f"format version {FORMAT_VERSION}", f"format version {version}")
    settings = get_json(txn, "settings", path)
    try:
        return check_settings(settings)
    except (ValueError, AttributeError) as error:
        raise CorruptionError(path / CATALOG, "meta entry 'settings'", "valid sizes", error) from error
