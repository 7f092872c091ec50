"""Postings of words: their bytes, and the reads that snapshots and writers share.

A posting says that a row has a word: one uint64 with the row in its high 32 bits, then 16 bits for how often the word
occurs in the row and 16 for how many words the row has, so postings sort by row as they are. A word's postings stand in
fragments of at most 240, each short enough that LMDB keeps it inside a leaf page. The key of a fragment ends with its
first row.

Under the empty word stands every row with text that the tenant sees now, with its length in the low 32 bits. What the
tenant no longer sees leaves that list at once; its postings under other words stay until a compaction, and readers
leave them out.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ramet.storage import catalog
from ramet.storage.format import checksum
from ramet.storage.reader import I64, U64, CatalogReader, storage_errors

Flags = npt.NDArray[np.bool_]

# Postings of a fragment. With a key of 106 bytes and LMDB's 8 bytes per entry these are 2,034 bytes; entries above
# 2,038 would get an overflow page of their own.
FRAGMENT = 240
MAX_TERM_BYTES = 96

# The word under which the rows with text stand.
EVERY_TEXT = b""

# Largest frequency and length that a posting holds; larger ones are stored as this.
MAX_COUNT = 0xFFFF

TEXTS_VALUE = struct.Struct("<QQQ")

ROW_SHIFT = np.uint64(32)
_COUNT_SHIFT = np.uint64(16)
_LOW_32 = np.uint64(0xFFFFFFFF)
_LOW_16 = np.uint64(MAX_COUNT)
_DIGEST_BYTES = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """How much text a tenant sees."""

    documents: int
    """Rows with text, those whose text has no word included."""
    words: int
    """Words of all of them, repetitions included."""
    dropped: int
    """Rows that left since the last compaction: with 0, every posting is of a row that the tenant sees."""


def encoded_term(word: str) -> bytes:
    """Return the bytes of a word in keys; long ones are cut and end with a digest of the whole.

    Raises
    ------
    ValueError
        The word is empty, holds a zero byte, or cannot be encoded.
    """
    encoded = word.encode()
    if not encoded or 0 in encoded:
        raise ValueError(f"a word has at least one character and no zero byte, got {word!r}")
    if len(encoded) <= MAX_TERM_BYTES:
        return encoded
    head = encoded[: MAX_TERM_BYTES - _DIGEST_BYTES].decode(errors="ignore").encode()  # no half character at its end
    return head + b"\1" + f"{checksum(encoded):016x}".encode()


def tenant_key(tenant: int) -> bytes:
    """Return what all keys of a tenant's postings begin with."""
    return catalog.TERMS + catalog.U32_KEY.pack(tenant)


def term_key(tenant: int, term: bytes) -> bytes:
    """Return what the keys of a term's fragments begin with; 4 bytes with the first row, big-endian, follow."""
    return tenant_key(tenant) + term + b"\0"


def packed(rows: U64, frequencies: U64, lengths: U64) -> U64:
    """Return postings, uint64 of the same shape."""
    most = np.uint64(MAX_COUNT)
    counts: U64 = np.minimum(frequencies, most) << _COUNT_SHIFT | np.minimum(lengths, most)
    return rows << ROW_SHIFT | counts


def rows_in(postings: U64) -> U64:
    """Return the row of each posting, and of each entry of the list of rows with text."""
    return postings >> ROW_SHIFT


def frequencies_in(postings: U64) -> U64:
    """Return how often the word occurs in each posting's row; `MAX_COUNT` for that or more."""
    return postings >> _COUNT_SHIFT & _LOW_16


def lengths_in(postings: U64) -> U64:
    """Return how many words each posting's row has; `MAX_COUNT` for that or more."""
    return postings & _LOW_16


def text_lengths_in(texts: U64) -> U64:
    """Return the exact length of each entry of the list of rows with text."""
    return texts & _LOW_32


def with_rows(postings: U64, rows: npt.NDArray[np.uint32]) -> U64:
    """Return postings under other row numbers."""
    return rows.astype(np.uint64) << ROW_SHIFT | postings & _LOW_32


def fragment_cuts(counts: I64, full: Flags) -> tuple[I64, I64]:
    """Cut sequences of postings that lie behind each other into fragments.

    Parameters
    ----------
    counts : array of int64, shape (n,)
        Postings of each sequence; none makes no fragment.
    full : array of bool, shape (n,)
        Whether a sequence ends with the last posting of its word: then all fragments but the last are full, since more
        will come behind. Elsewhere they are equally long, so that the next row that comes between finds room.

    Returns
    -------
    of : array of int64, shape (m,)
        Sequence of each fragment.
    starts : array of int64, shape (m + 1,)
        Fragment i is ``starts[i]:starts[i + 1]`` of all postings.
    """
    pieces = -(-counts // FRAGMENT)
    of = np.repeat(np.arange(len(counts)), pieces)
    place = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    inside = np.where(full[of], place * FRAGMENT, place * counts[of] // np.maximum(pieces[of], 1))
    starts = (np.cumsum(counts) - counts)[of] + inside
    return of, np.append(starts, counts.sum())


def fragment_entries(bases: Sequence[bytes], postings: U64, of: I64, starts: I64) -> tuple[list[bytes], list[bytes]]:
    """Return keys and values of fragments; `bases` are the `term_key` of the sequences, the rest as `fragment_cuts`."""
    firsts = rows_in(postings[starts[:-1]]).astype(">u4").view("V4").tolist()
    keys = [bases[i] + row for i, row in zip(of.tolist(), firsts, strict=True)]
    content, ends = postings.tobytes(), (8 * starts).tolist()
    return keys, [content[a:b] for a, b in pairwise(ends)]


class TermReader(CatalogReader):
    """Reads of words; a base of `Snapshot` and of the writer."""

    __slots__ = ()

    @property
    def n_rows(self) -> int:
        """Row numbers given out so far."""
        raise NotImplementedError

    @storage_errors
    def texts(self, tenant: int) -> Texts:
        """Return how much text a tenant sees; zeros for one that never had any.

        Raises
        ------
        CorruptionError
            The entry does not match its checksum.
        """
        key = catalog.TEXTS + catalog.U32_KEY.pack(tenant)
        content = catalog.get_summed(self._reading(), key, self._place()[0])
        if content is None:
            return Texts(documents=0, words=0, dropped=0)
        if len(content) != TEXTS_VALUE.size:
            raise self._damaged(f"texts of tenant {tenant}", f"{TEXTS_VALUE.size} bytes", content)
        documents, words, dropped = TEXTS_VALUE.unpack(content)
        return Texts(documents=documents, words=words, dropped=dropped)

    @storage_errors
    def postings(self, tenant: int, words: Sequence[str]) -> list[U64]:
        """Return the postings of words, rows rising; see `rows_in`, `frequencies_in`, `lengths_in`.

        Rows that the tenant no longer sees are among them when ``texts(tenant).dropped`` is not 0.

        Parameters
        ----------
        tenant : int
        words : sequence of str
            As given to `add_words`.

        Returns
        -------
        list of arrays of uint64, shape (n_i,)
            Empty for words that no row has.

        Raises
        ------
        ValueError
            A word is empty or holds a zero byte.
        CorruptionError
            Rows do not rise, or do not exist.
        """
        return [self._postings(tenant, encoded_term(word)) for word in words]

    @storage_errors
    def text_rows(self, tenant: int) -> U64:
        """Return the rows with text that a tenant sees, rising, with their lengths; see `text_lengths_in`.

        Raises
        ------
        CorruptionError
            Rows do not rise, or do not exist.
        """
        return self._postings(tenant, EVERY_TEXT)

    def _postings(self, tenant: int, term: bytes) -> U64:
        values = [value for _, value in catalog.scan(self._reading(), term_key(tenant, term))]
        content = b"".join(values)
        if len(content) % 8:
            raise self._damaged(f"postings of {term!r} of tenant {tenant}", "8-byte postings", len(content))
        found = np.frombuffer(content, "<u8").astype(np.uint64, copy=False)
        # The scorer writes to where rows point and relies on their order: a damaged one must not get there.
        if len(found) and (int(found[-1] >> ROW_SHIFT) >= self.n_rows or (found[1:] <= found[:-1]).any()):
            raise self._damaged(f"postings of {term!r} of tenant {tenant}", f"rising rows below {self.n_rows}", found)
        return found
