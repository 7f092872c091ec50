"""Records as bytes: ids in slots of rows.bin, homes, row blocks. Arithmetic only, nothing is opened here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage.catalog import MAX_ID_BYTES
from ramet.storage.errors import DuplicateIdError
from ramet.storage.format import BLOCK_ROWS

# Widths of a slot of rows.bin. The first append takes the narrowest that holds its longest id.
SLOT_WIDTHS = (8, 16, 24, 40, 64)

# Length byte of a slot whose id stands in LONG_IDS.
LONG_ID = 255

# Up to this length NumPy sorts padded ids faster than Python sorts byte strings.
_SORT_PADDED_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedIds:
    """Ids of one append, checked."""

    encoded: list[bytes]
    """utf-8 of each id."""
    lengths: npt.NDArray[np.int64]
    """Bytes of each, 1 to `MAX_ID_BYTES`."""

    @property
    def longest(self) -> int:
        """Bytes of the longest id, 0 when there are none."""
        return int(self.lengths.max(initial=0))


def encode_ids(ids: Sequence[str]) -> EncodedIds:
    """Encode and check ids.

    Raises
    ------
    ValueError
        An id is empty, longer than `MAX_ID_BYTES` bytes of utf-8, or no valid text.
    TypeError
        An id is no str.
    """
    encoded = list(map(str.encode, ids))
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    wrong = np.flatnonzero((lengths < 1) | (lengths > MAX_ID_BYTES))
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"id {first} has {lengths[first]} bytes of utf-8; give it 1 to {MAX_ID_BYTES}")
    return EncodedIds(encoded=encoded, lengths=lengths)


def slot_width(longest: int) -> int:
    """Return the narrowest slot that holds ids of `longest` bytes, at most the widest one."""
    return next((width for width in SLOT_WIDTHS if longest < width), SLOT_WIDTHS[-1])


def pack_slots(ids: EncodedIds, width: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return slots of rows.bin, uint8 of shape (n, width), and the positions of the ids that do not fit."""
    slots = np.zeros((len(ids.encoded), width), dtype=np.uint8)
    padded = np.array(ids.encoded, dtype=f"S{width - 1}")
    slots[:, 0] = np.where(ids.lengths < width, ids.lengths, LONG_ID)
    slots[:, 1:] = padded.view(np.uint8).reshape(-1, width - 1)
    too_long = np.flatnonzero(ids.lengths >= width)
    slots[too_long, 1:] = 0
    return slots, too_long


def sorted_order(ids: EncodedIds) -> list[int]:
    """Return the positions of the ids in the order of their bytes.

    Raises
    ------
    DuplicateIdError
        An id occurs twice.
    """
    encoded = ids.encoded
    order: list[int]
    # Padding with zeros must not make two ids equal, so ids that end with a zero byte go the slow way.
    if ids.longest <= _SORT_PADDED_BYTES and not any(name[-1] == 0 for name in encoded):
        padded = np.array(encoded, dtype=f"S{max(ids.longest, 1)}")
        places = np.argsort(padded, kind="stable")
        ordered = padded[places]
        twins = np.flatnonzero(ordered[1:] == ordered[:-1])
        duplicates = [encoded[int(places[i])] for i in twins]
        order = places.tolist()
    else:
        order = sorted(range(len(encoded)), key=encoded.__getitem__)
        duplicates = [encoded[i] for i, j in pairwise(order) if encoded[i] == encoded[j]]
    if duplicates:
        raise DuplicateIdError([name.decode() for name in duplicates], len(duplicates))
    return order


def byte_items(numbers: npt.NDArray[Any], dtype: str) -> list[bytes]:
    """Return numbers as byte strings of the given NumPy dtype, one each."""
    column = np.ascontiguousarray(numbers, dtype=dtype)
    items: list[bytes] = column.view(f"V{column.itemsize}").tolist()
    return items


def byte_rows(table: npt.NDArray[np.uint8]) -> list[bytes]:
    """Return the rows of a uint8 table of shape (n, width) as byte strings."""
    n, width = table.shape
    items: list[bytes] = np.ascontiguousarray(table).view(f"V{width}").reshape(n).tolist()
    return items


def blocks_between(first_row: int, end_row: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first row, end row) of the part of each row block that lies in ``first_row <= row < end_row``."""
    row = first_row
    while row < end_row:
        block = row // BLOCK_ROWS
        end = min((block + 1) * BLOCK_ROWS, end_row)
        yield block, row, end
        row = end
