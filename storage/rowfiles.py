"""Appending to the files of fixed-width rows, with a checksum per block of 256 rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.datafile import DataFile
from ramet.storage.errors import CorruptionError
from ramet.storage.format import BLOCK_ROWS, PAGE_BYTES, checksum
from ramet.storage.records import blocks_between, byte_items

# Blocks written and hashed at a time: the second pass then finds the bytes in the cache, also for a mapped input.
BLOCKS_PER_PIECE = 16


def append_rows_to(file: DataFile, txn: Any, number: int, first_row: int, table: npt.NDArray[np.uint8]) -> None:
    """Write rows behind the committed ones and update the checksums of the blocks they fall into.

    Parameters
    ----------
    file : DataFile
    txn : LMDB write transaction
    number : int
        Number of the file in the SUMS table.
    first_row : int
        Row number of ``table[0]``; all rows before it are committed or written.
    table : array of uint8, shape (n, stride), C-contiguous

    Raises
    ------
    CorruptionError
        The rows before, in the same block, no longer match their checksum.
    OSError
    """
    n, stride = table.shape
    blocks: list[int] = []
    sums: list[int] = []
    before = _rows_before(file, txn, number, first_row, stride)
    piece = BLOCKS_PER_PIECE * BLOCK_ROWS
    for start in range(first_row - first_row % BLOCK_ROWS, first_row + n, piece):
        a, b = max(start, first_row), min(start + piece, first_row + n)
        file.write(PAGE_BYTES + a * stride, table[a - first_row : b - first_row].data)
        for block, row, end in blocks_between(a, b):
            blocks.append(block)
            sums.append(checksum(before, table[row - first_row : end - first_row]))
            before = b""
    keys = [catalog.SUMS + bytes([number]) + key for key in byte_items(np.array(blocks), ">u4")]
    catalog.put_sorted(txn, keys, byte_items(np.array(sums, dtype=np.uint64), "<u8"))


def _rows_before(file: DataFile, txn: Any, number: int, first_row: int, stride: int) -> bytes:
    """Return the rows that share a block with `first_row` and come before it, once they match their checksum."""
    block, n_before = divmod(first_row, BLOCK_ROWS)
    if not n_before:
        return b""
    content = file.read(PAGE_BYTES + block * BLOCK_ROWS * stride, n_before * stride)
    stored = txn.get(catalog.SUMS + catalog.SUMS_KEY.pack(number, block))
    found = catalog.SUM_VALUE.pack(checksum(content))
    if found != stored:
        # Hashing them again together with the new rows would hide the damage from verify for ever.
        where = f"rows {block * BLOCK_ROWS} to {first_row - 1}"
        expected = "a checksum" if stored is None else f"checksum {stored[::-1].hex()}"
        raise CorruptionError(file.path, where, expected, found[::-1].hex())
    return content
