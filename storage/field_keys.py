"""Keys and codes of the filter tables: how a tenant's fields and values sort in the catalog.

A key of VALUES or NUMBERS begins with the tenant, the field's name, a zero byte and the kind of the value, so that the
values of one kind in one field are one key range, in their order:

- strings by their utf-8, which is the order of their code points; a zero byte in them becomes ``00 ff``, and ``00 01``
  ends them, so no string's key begins with another's;
- numbers by a u64 made of the float64, points in time by a u64 made of the microseconds since 1970.
"""

import struct
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from pyroaring import BitMap

from ramet.storage import catalog
from ramet.storage.reader import I64, U64

EXISTS, BOOL, STRING, ELEMENT, LONG, LONG_ELEMENT, EMPTY, NUMBER, DATE = range(1, 10)
"""Kinds: the field is there; bool; string; string in a list; the last two by digest, as too long for a key; empty list;
int or float; point in time."""

MAX_FIELD_BYTES = 128
MAX_STRING_BYTES = 256
"""Longest string, in utf-8 with its zero bytes escaped, that stands in a key; longer ones are known by a digest."""

CHUNK_BITS = 16
"""Rows whose numbers agree above these bits share a bitmap: one container of roaring."""

END = b"\0\1"
TAIL_BYTES = len(END) + 2
"""Bytes behind the value in a key of VALUES."""

CHUNK_KEY = struct.Struct(">H")
PAIR_KEY = struct.Struct(">QI")
PAIR = np.dtype([("code", "<u8"), ("row", "<u4")])
BIG_PAIR = np.dtype([("code", ">u8"), ("row", ">u4")])

# A roaring bitmap of one array container, in the portable format: cookie, containers, key, rows - 1, their offset.
_ONE = struct.Struct("<IIHHI")
_COOKIE, _OFFSET, _MOST_IN_ARRAY = 12346, 16, 4096
# Places of a bool for each row up to which rows are sorted by marking them.
_MOST_PLACES = 64
_SINGLE_BYTES = _ONE.size + 2
_SINGLE_HEAD, _SINGLE_REST = struct.pack("<II", _COOKIE, 1), struct.pack("<HI", 0, _OFFSET)
_SINGLE = np.dtype([("head", "<u8"), ("high", "<u2"), ("more", "<u2"), ("offset", "<u4"), ("low", "<u2")])

_SIGN = np.uint64(1 << 63)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

# Values up to which a union of them is made one by one.
_FEW_VALUES = 64

# As much of a bound for strings as a key can hold beside the longest field; stored strings are shorter.
_BOUND_BYTES = 300

Pairs = npt.NDArray[np.void]


def field_prefix(table: bytes, tenant: int, field: str, kind: int) -> bytes:
    """Return what all keys of a tenant's values of one kind in one field begin with."""
    return table + catalog.U32_KEY.pack(tenant) + field.encode("utf-8", "surrogatepass") + bytes((0, kind))


def escaped(text: str) -> bytes:
    """Return a string's bytes in a key; their order is the strings' order."""
    encoded = text.encode("utf-8", "surrogatepass")  # what cannot be stored is not found, and no error
    return encoded.replace(b"\0", b"\0\xff") if b"\0" in encoded else encoded


def string_suffix(text: str, kind: int, long_kind: int) -> bytes:
    """Return kind and value of a string as its key has them: the string itself, or a digest of a long one."""
    content = escaped(text)
    if len(content) > MAX_STRING_BYTES:
        kind, content = long_kind, xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
        content = content.replace(b"\0", b"\0\xff")
    return bytes((kind,)) + content + END


def string_bound(prefix: bytes, text: str) -> bytes:
    """Return a key that is not above any key of this string or of a larger one, and above those of smaller ones."""
    return prefix + escaped(text)[:_BOUND_BYTES]


def number_codes(values: npt.NDArray[np.float64]) -> U64:
    """Return uint64 codes in the order of numbers that are no NaN; 0.0 and -0.0 get the same one."""
    bits: U64 = (values + 0.0).view(np.uint64)
    codes: U64 = bits ^ np.where(bits & _SIGN, _ALL, _SIGN)
    return codes


def date_codes(microseconds: I64) -> U64:
    """Return uint64 codes in the order of points in time."""
    codes: U64 = microseconds.view(np.uint64) ^ _SIGN
    return codes


def codes_of(kind: int, values: Any) -> U64:
    """Return the codes of numbers (kind `NUMBER`) or of microseconds since 1970 (kind `DATE`)."""
    if kind == NUMBER:
        return number_codes(np.array(values, np.float64))
    return date_codes(np.array(values, np.int64))


def pair_keys(pairs: Pairs) -> bytes:
    """Return 12 bytes for each pair, that sort as the pairs do."""
    return pairs.astype(BIG_PAIR).tobytes()


def serialized(rows: list[int], chunk: int) -> bytes:
    """Return the roaring bitmap of rising rows, at least one, of one chunk."""
    if len(rows) > _MOST_IN_ARRAY:
        bitmap = BitMap(rows)
        bitmap.run_optimize()
        return bitmap.serialize()
    base = chunk << CHUNK_BITS
    lows = array("H", [row - base for row in rows])
    return _ONE.pack(_COOKIE, 1, chunk, len(rows) - 1, _OFFSET) + lows.tobytes()


def spanned(first: int, end: int) -> bytes:
    """Return the roaring bitmap of the rows ``first <= row < end``, which share a chunk."""
    return serialized(list(range(first, end)), first >> CHUNK_BITS)


def bitmap_of(rows: npt.NDArray[Any]) -> BitMap:
    """Return the bitmap of rows in any order."""
    if len(rows) <= _MOST_IN_ARRAY:
        return _from_sorted(np.sort(rows.astype(np.uint32)))
    first = int(rows.min()) >> CHUNK_BITS
    n_chunks = (int(rows.max()) >> CHUNK_BITS) + 1 - first
    if n_chunks << CHUNK_BITS > _MOST_PLACES * len(rows):
        return _from_sorted(np.unique(rows.astype(np.uint32)))
    # The content of roaring's containers, made by numpy: ten times as fast as handing over row by row.
    there = np.zeros((n_chunks, 1 << CHUNK_BITS), np.bool_)
    there.reshape(-1)[rows.astype(np.int64) - (first << CHUNK_BITS)] = True
    counts = np.count_nonzero(there, axis=1)
    dense = np.flatnonzero(counts > _MOST_IN_ARRAY)
    packed = np.packbits(there[dense], axis=1, bitorder="little")
    head = np.empty((len(dense), 2), "<u2")
    head[:, 0], head[:, 1] = dense + first, counts[dense] - 1
    offsets = 8 + 8 * len(dense) + packed.shape[1] * np.arange(len(dense), dtype="<u4")
    begin = np.array([_COOKIE, len(dense)], "<u4")
    found = BitMap.deserialize(b"".join([begin.tobytes(), head.tobytes(), offsets.tobytes(), packed.tobytes()]))
    sparse = np.flatnonzero((counts > 0) & (counts <= _MOST_IN_ARRAY))
    for chunk in sparse.tolist():
        found |= _from_sorted(np.flatnonzero(there[chunk]) + (chunk + first << CHUNK_BITS))
    return found


def _from_sorted(rows: npt.NDArray[Any]) -> BitMap:
    return BitMap(
        array("I", rows.astype(np.uint32).tobytes())
    )  # of an array of its own kind, pyroaring copies the bytes


def deserialized(value: bytes) -> BitMap:
    """Return a serialized bitmap; raise ValueError when it is none."""
    if not value:
        raise ValueError("an empty value is no bitmap")
    return BitMap.deserialize(value)


def single_row(value: bytes) -> int | None:
    """Return the row of a bitmap that holds one, as `serialized` writes it; None for any other value."""
    if len(value) != _SINGLE_BYTES or value[:8] != _SINGLE_HEAD or value[10:16] != _SINGLE_REST:
        return None
    return int.from_bytes(value[8:10], "little") << CHUNK_BITS | int.from_bytes(value[16:], "little")


def united(values: list[bytes]) -> BitMap:
    """Return the union of serialized bitmaps.

    Raises
    ------
    ValueError
        One of them cannot be read.
    """
    if len(values) == 1:
        return deserialized(values[0])
    if len(values) < _FEW_VALUES:
        return BitMap.union(*[deserialized(value) for value in values]) if values else BitMap()
    # Most values of a field with many have one row: these are read together.
    single = np.frombuffer(b"".join([value for value in values if len(value) == _SINGLE_BYTES]), _SINGLE)
    plain = (single["head"] == _COOKIE | 1 << 32) & (single["more"] == 0) & (single["offset"] == _OFFSET)
    rows = (single["high"].astype(np.uint32) << np.uint32(CHUNK_BITS)) | single["low"]
    others = [deserialized(value.tobytes()) for value in single[~plain]]
    others += [deserialized(value) for value in values if len(value) != _SINGLE_BYTES]
    return BitMap.union(bitmap_of(rows[plain]), *others)
