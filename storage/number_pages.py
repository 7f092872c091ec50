"""Ordered pages of (code, row) pairs: the numbers of one field of a tenant.

A page's key is its first pair. Pages are small enough to lie inside the leaves of LMDB's tree, where larger entries
would take whole pages of 4 KiB each, and batches are merged into all pages that they touch at once.
"""

from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.storage.field_keys import PAIR, PAIR_KEY, Pairs, pair_keys
from ramet.storage.reader import I64

MOST = 150
"""Pairs in a page at most: with the longest key, still inside a leaf of LMDB."""
FILL = 108
"""Pairs in a page that a split makes: three such entries fill a leaf."""
FEW = 36
"""A page of fewer pairs is joined with the next one when something leaves it."""

_BYTES = PAIR.itemsize
_BEHIND = b"\xff" * 13


def _seek(cursor: Any, prefix: bytes, pair: bytes) -> bool:
    """Go to the page that a pair belongs in, the first one when the pair comes before all; False without pages."""
    wanted, n = prefix + pair, len(prefix)
    found = cursor.set_range(wanted)
    if found and cursor.key() == wanted:
        return True
    if (cursor.prev() if found else cursor.last()) and cursor.key()[:n] == prefix:
        return True
    return bool(cursor.set_range(prefix)) and cursor.key()[:n] == prefix


def pages_between(cursor: Any, prefix: bytes, first: bytes, last: bytes) -> list[bytes]:
    """Return the pages in which pairs from `first` to `last` may be."""
    if not _seek(cursor, prefix, first):
        return []
    end, n, values = prefix + last, len(prefix), []
    for key, value in cursor.iternext():
        if key > end or key[:n] != prefix:
            break
        values.append(value)
    return values


def pages_with(cursor: Any, prefix: bytes, codes: list[bytes]) -> list[bytes]:
    """Return the pages in which pairs with one of some rising codes may be."""
    values: list[bytes] = []
    after = b""  # key of the page behind the last one read; the cursor is there
    for code in codes:
        first, last = prefix + code + b"\0\0\0\0", prefix + code + b"\xff\xff\xff\xff"
        if first >= after and not _seek(cursor, prefix, first[len(prefix) :]):
            return values
        while True:
            after = cursor.key()
            if not after.startswith(prefix):
                after = prefix + _BEHIND
            if after > last:
                break
            values.append(cursor.value())
            cursor.next()
    return values


class _Touched:
    """Pages that an edit touches, in order, and which of its pairs go to each."""

    def __init__(self, cursor: Any, prefix: bytes, marks: list[bytes], shrinks: bool) -> None:
        self.keys: list[bytes] = []
        self.values: list[bytes] = []
        self.firsts: list[int] = []
        self.joined: list[bool] = []
        self.appended = False
        i, after, forced = 0, b"", False
        while i < len(marks) or forced:
            if not forced and not _seek(cursor, prefix, marks[i]):
                break
            key, value = cursor.item()
            self.keys.append(key)
            self.values.append(value)
            self.firsts.append(i)
            self.joined.append(key == after)
            after = cursor.key() if cursor.next() else b""
            after = after if after.startswith(prefix) else b""
            end = bisect_left(marks, after[len(prefix) :], i) if after else len(marks)
            if not after and i < len(marks) and len(value) >= _BYTES:
                code, row = np.frombuffer(value[-_BYTES:], PAIR)[0]
                self.appended = PAIR_KEY.pack(int(code), int(row)) < marks[i]
            # What gets small is joined with its neighbour, which therefore is looked at, too.
            forced = bool(shrinks and after and len(value) // _BYTES - (end - i) < FEW)
            i = end


def sorted_pairs(pairs: Pairs) -> tuple[Pairs, I64]:
    """Return pairs in order, and the order; fast when they are one or two rising runs."""
    order = np.argsort(pairs["code"], kind="stable")
    found = pairs[order]
    same = found["code"][1:] == found["code"][:-1]
    if (same & (found["row"][1:] < found["row"][:-1])).any():
        order = np.lexsort((pairs["row"], pairs["code"]))
        found = pairs[order]
    return found, order


def pieces_of(n: int, most: int, fill: int) -> list[int]:
    """Return the ends of pieces of `n` pairs: one piece when at most `most`, else even ones of at most `fill`."""
    if n <= most:
        return [n]
    count = -(-n // fill)
    return [n * (i + 1) // count for i in range(count)]


def add_pairs(txn: Any, prefix: bytes, codes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32]) -> None:
    """Add pairs that are not there yet."""
    new = _paired(codes, rows)
    marks = _marks(new)
    touched = _Touched(txn.cursor(), prefix, marks, shrinks=False)
    old = np.frombuffer(b"".join(touched.values), PAIR)
    merged, _ = sorted_pairs(np.concatenate([old, new]))
    counts = np.array([len(value) // _BYTES for value in touched.values], np.int64)
    starts = np.cumsum(counts) - counts + np.array(touched.firsts, np.int64)
    _write(txn, prefix, touched, merged, starts.tolist())


def drop_pairs(txn: Any, prefix: bytes, codes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32]) -> None:
    """Take pairs out; those that are not there are passed over."""
    gone = _paired(codes, rows)
    touched = _Touched(txn.cursor(), prefix, _marks(gone), shrinks=True)
    if not touched.keys:
        return
    old = np.frombuffer(b"".join(touched.values), PAIR)
    both, order = sorted_pairs(np.concatenate([old, gone]))
    from_old = order < len(old)  # of equal pairs the old one comes first
    followed = np.zeros(len(both), np.bool_)
    followed[:-1] = (both[1:] == both[:-1]) & ~from_old[1:]
    stays = (~followed)[from_old]
    counts = np.array([len(value) // _BYTES for value in touched.values], np.int64)
    ends = np.concatenate([[0], np.cumsum(stays)])
    starts = ends[np.cumsum(counts) - counts]
    _write(txn, prefix, touched, old[stays], starts.tolist())


def _paired(codes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32]) -> Pairs:
    pairs = np.empty(len(codes), PAIR)
    pairs["code"], pairs["row"] = codes, rows
    return sorted_pairs(pairs)[0]


def _marks(pairs: Pairs) -> list[bytes]:
    keys = pair_keys(pairs)
    return [keys[i : i + _BYTES] for i in range(0, len(keys), _BYTES)]


def _write(txn: Any, prefix: bytes, touched: _Touched, pairs: Pairs, starts: list[int]) -> None:
    """Write the pairs of the touched pages, which begin at `starts`, in pages that are neither long nor short."""
    pieces = _pieces(touched, starts or [0], len(pairs))
    content = pairs.tobytes()
    names = pair_keys(pairs[np.array([first for first, _ in pieces], np.int64)])
    new = {
        prefix + names[_BYTES * i : _BYTES * (i + 1)]: content[_BYTES * first : _BYTES * last]
        for i, (first, last) in enumerate(pieces)
    }
    for key in touched.keys:
        if key not in new:
            txn.delete(key)
    old = dict(zip(touched.keys, touched.values, strict=True))
    for key, value in new.items():
        if old.get(key) != value:
            txn.put(key, value)


def _pieces(touched: _Touched, starts: list[int], n: int) -> list[tuple[int, int]]:
    """Return first and last place of the pages to write: joined where they are small, cut where they are long."""
    found: list[tuple[int, int]] = []
    joined = touched.joined or [False]
    linked = False  # whether the page before borders on the last one found, or is it
    for i, first in enumerate(starts):
        last = starts[i + 1] if i + 1 < len(starts) else n
        linked = linked and joined[i]
        if first == last:
            continue
        begin, end = found[-1] if linked else (0, 0)
        if linked and min(end - begin, last - first) < FEW and last - begin <= FILL:
            found[-1] = (begin, last)
            continue
        linked = True
        full = touched.appended and i + 1 == len(starts)
        ends = pieces_of(last - first, MOST, MOST if full else FILL)
        found += [(first + a, first + b) for a, b in zip([0, *ends], ends, strict=False)]
    return found
