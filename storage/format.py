"""Bytes of the data files: header page, posting list layout, checksums. Arithmetic only, nothing is opened here.

Everything is little-endian except the keys of the catalog, which are big-endian so that they sort.
"""

import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ramet.storage.errors import CorruptionError, FormatError

FORMAT_VERSION = 3

# Unit of the posting file and size of every header. 4096 is the page of the page cache on the machines we know, and
# a reader asks the kernel for whole pages anyway.
PAGE_BYTES = 4096

# Bytes at the end of every extent that belong to no column: scans load codes in blocks of 64 bytes and may read past
# the last row, which must never touch a page behind the end of the file.
SPARE_BYTES = 64

# A capacity is a multiple of this, so that every 4-byte column starts on a cache line (16 x 4 = 64 bytes).
CAPACITY_STEP = 16

# Rows per checksum of rows.bin and vectors.bin: 128 KiB blocks at 512-byte rows, 8 bytes of checksum each.
BLOCK_ROWS = 256

POSTINGS, ROWS, VECTORS, CATALOG = "postings.bin", "rows.bin", "vectors.bin", "catalog.mdb"
WRITER_LOCK = "writer.lock"
MAGIC = {POSTINGS: b"RAMETPST", ROWS: b"RAMETROW", VECTORS: b"RAMETVEC"}

# Bit of a row number in a posting list: the row's nearest list is another one of the same tenant, this is a copy.
COPY = 1 << 31
ROW_MASK = COPY - 1

# In the homes of a row, in place of a cell: the tenant sees the row, which has no vector and is in no list.
NO_LIST = 0xFFFFFFFF

# Number of a file in the keys of the `sums` table.
SUMS_ROWS, SUMS_VECTORS = 0, 1

# magic, format version, page bytes, collection's random name; followed by the xxh3_64 of these bytes.
_HEADER = struct.Struct("<8sII16s")
_HEADER_SUM = struct.Struct("<Q")
HEADER_USED = _HEADER.size + _HEADER_SUM.size

# When a commit is on the disk: before it returns, or at the next sync point (see `durability`).
DURABILITIES = ("commit", "batch")

REQUIRED_SETTINGS = ("n_factors", "code_bytes", "cell_bytes", "vector_bytes")


def checksum(*parts: Any) -> int:
    """Return the xxh3_64 of the concatenated buffers (C-contiguous arrays or bytes)."""
    digest = xxhash.xxh3_64()
    for part in parts:
        digest.update(part)
    return digest.intdigest()


def pack_header(name: str, collection: bytes) -> bytes:
    """Return the header page (4096 bytes) of the data file `name` of the collection with this 16-byte random name."""
    head = _HEADER.pack(MAGIC[name], FORMAT_VERSION, PAGE_BYTES, collection)
    return (head + _HEADER_SUM.pack(checksum(head))).ljust(PAGE_BYTES, b"\0")


def check_header(file: str | Path, name: str, page: bytes, collection: bytes | None) -> None:
    """Refuse a data file whose header page is not the expected one.

    Parameters
    ----------
    file : str or Path
        Path for the error message.
    name : str
        Which data file it should be, one of `MAGIC`.
    page : bytes
        The first bytes of the file, at least `HEADER_USED` of them unless the file is shorter.
    collection : bytes or None
        16-byte random name of the collection; None skips the comparison.

    Raises
    ------
    CorruptionError
        Too short, or the header's own checksum fails.
    FormatError
        Foreign magic, other format version, other page size, or a file of another collection.
    """
    if len(page) < HEADER_USED:
        raise CorruptionError(file, "header page", f"{PAGE_BYTES} bytes", f"{len(page)} bytes")
    magic, version, page_bytes, owner = _HEADER.unpack_from(page)
    if magic != MAGIC[name]:
        raise FormatError(file, f"magic {MAGIC[name]!r}", repr(magic))
    if version != FORMAT_VERSION:
        raise FormatError(file, f"format version {FORMAT_VERSION}", f"format version {version}")
    (found,) = _HEADER_SUM.unpack_from(page, _HEADER.size)
    expected = checksum(page[: _HEADER.size])
    if found != expected:
        raise CorruptionError(file, "header page", f"checksum {expected:016x}", f"{found:016x}")
    if page_bytes != PAGE_BYTES:
        raise FormatError(file, f"pages of {PAGE_BYTES} bytes", f"{page_bytes}")
    if collection is not None and owner != collection:
        raise FormatError(file, f"a file of collection {collection.hex()}", f"one of collection {owner.hex()}")


def check_byte_order(path: str | Path) -> None:
    """Refuse to work on a big-endian machine, where the mapped columns would be read wrongly."""
    if sys.byteorder != "little":
        raise FormatError(path, "a little-endian machine", "a big-endian one")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLayout:
    """Arithmetic of a posting list inside its extent.

    Columns follow each other (structure of arrays) for a capacity `cap`: ``rows u32[cap]``, then `n_factors` columns
    of 4-byte words ``[cap]``, then ``codes u8[cap][code_bytes]``. `cap` is always `capacity_for(n_pages)`, so it is
    not stored.
    """

    n_factors: int
    """Columns of 4-byte words (float32 or int32) beside each row; 0 or more."""
    code_bytes: int
    """Bytes of code per row; 0 or more."""

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes in all columns together."""
        return 4 + 4 * self.n_factors + self.code_bytes

    def capacity_for(self, n_pages: int) -> int:
        """Return the rows that fit into `n_pages` pages: the largest multiple of 16."""
        return (n_pages * PAGE_BYTES - SPARE_BYTES) // self.row_bytes // CAPACITY_STEP * CAPACITY_STEP

    def capacities_for(self, n_pages: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return `capacity_for` of each element, as int64 of the same shape."""
        fit = (n_pages.astype(np.int64) * PAGE_BYTES - SPARE_BYTES) // self.row_bytes
        return fit // CAPACITY_STEP * CAPACITY_STEP

    def pages_for(self, n_rows: npt.ArrayLike, slack: float = 0.0) -> npt.NDArray[np.int64]:
        """Return the smallest numbers of pages whose capacity holds the lists.

        Parameters
        ----------
        n_rows : array of int, shape (n,)
            Rows of each list; an empty list takes the pages of one row.
        slack : float
            Share of free places to add, 0.25 for a quarter more than `n_rows`.
        """
        wanted = np.ceil(np.maximum(np.asarray(n_rows, dtype=np.int64), 1) * (1.0 + slack)).astype(np.int64)
        capacity = (wanted + CAPACITY_STEP - 1) // CAPACITY_STEP * CAPACITY_STEP
        return (capacity * self.row_bytes + SPARE_BYTES + PAGE_BYTES - 1) // PAGE_BYTES

    def factor_offset(self, capacity: int, factor: int) -> int:
        """Return the byte offset of factor column `factor` in an extent of that capacity."""
        return 4 * capacity * (1 + factor)

    def codes_offset(self, capacity: int) -> int:
        """Return the byte offset of the codes in an extent of that capacity."""
        return 4 * capacity * (1 + self.n_factors)


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the settings after checking what storage itself needs: four sizes and the durability.

    Raises
    ------
    ValueError
        `n_factors`, `code_bytes`, `cell_bytes` or `vector_bytes` is missing, no int, or negative; `durability` is there
        and neither "commit" nor "batch".
    """
    for name in REQUIRED_SETTINGS:
        size = settings.get(name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"settings[{name!r}] must be a number of at least 0, got {size!r}")
    durability = settings.get("durability", DURABILITIES[0])
    if durability not in DURABILITIES:
        raise ValueError(f"settings['durability'] must be one of {', '.join(DURABILITIES)}, got {durability!r}")
    return dict(settings)


def concatenated(parts: Sequence[bytes], width: int) -> npt.NDArray[np.uint8]:
    """Return equally long byte strings as a uint8 array of shape (n, width)."""
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), width)
