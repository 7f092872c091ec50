"""Search by words: BM25 over what tenants see, with statistics of exactly that."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from ramet.engine.text.analysis import Analyzer
from ramet.index.kernels.bm25 import bm25_top
from ramet.storage.terms import ROW_SHIFT, TermReader, rows_in, text_lengths_in

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

K1, B = 1.5, 0.75

# To intersect bitmaps costs as much for each posting as to set this many rows of a dense array; to clear one row of it
# costs this part of setting it.
_ROWS_SET, _ROWS_CLEARED = 8, 16


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the scores of a query depend on, beside the documents themselves; those of parts of a corpus add up."""

    documents: int
    words: int
    """Of all documents."""
    frequencies: npt.NDArray[np.float64]
    """Documents with each of the query's words, (n_words,)."""

    def __add__(self, other: Statistics) -> Statistics:
        frequencies = self.frequencies + other.frequencies
        return Statistics(self.documents + other.documents, self.words + other.words, frequencies)


def statistics(
    reader: TermReader,
    tenants: Sequence[int],
    analyzer: Analyzer,
    text: str,
    visible: Callable[[int], BitMap],
) -> Statistics:
    """Return the statistics of a query, of what the tenants see; arguments as of `search`."""
    documents, words = _statistics(reader, tenants, visible)
    distinct = list(Counter(analyzer.words(text)))
    if not tenants or not distinct:
        return Statistics(documents, words, np.zeros(len(distinct)))
    found = _postings(reader, tenants, distinct, visible)
    return Statistics(documents, words, np.array([len(postings) for postings in found], np.float64))


def search(
    reader: TermReader,
    tenants: Sequence[int],
    analyzer: Analyzer,
    text: str,
    k: int,
    visible: Callable[[int], BitMap],
    allowed: Mapping[int, BitMap] | None = None,
    corpus: Statistics | None = None,
) -> tuple[I64, F32]:
    """Return the rows whose text fits best to some words.

    Scores are those of BM25 over the rows with text that the tenants see now, and no others: a row that several of them
    see counts once. A word of the query counts as often as it occurs in it.

    Parameters
    ----------
    reader : Snapshot or Writer
    tenants : sequence of int
        Tenants to search, by number, each once; unknown ones see nothing.
    analyzer : Analyzer
        The one that made the words that are stored.
    text : str
    k : int
        Most rows to return.
    visible : callable
        Number of a tenant -> the rows that it sees; only asked when rows were dropped, or for several tenants.
    allowed : mapping of int to BitMap, or None
        Rows of each tenant that may be returned; a tenant that is missing may return none. None for all. Statistics and
        with them scores do not depend on it.
    corpus : Statistics, optional
        Those of a larger corpus, of which this is a part; None: of what is here.

    Returns
    -------
    rows : array of int64, shape (m,)
        ``m <= k``: only rows that have one of the words. Best first, equal ones by row.
    scores : array of float32, shape (m,)
    """
    counts = Counter(analyzer.words(text))
    documents, words = _statistics(reader, tenants, visible)
    if not counts or not documents or not words or k < 1:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    found = _postings(reader, tenants, list(counts), visible)
    frequencies = np.array([len(postings) for postings in found], np.float64)
    if corpus is not None:
        documents, words, frequencies = corpus.documents, corpus.words, corpus.frequencies
    weights = np.log1p((documents - frequencies + 0.5) / (frequencies + 0.5)) * np.array(list(counts.values()))
    if allowed is not None:
        may = BitMap.union(BitMap(), *(allowed[tenant] for tenant in tenants if tenant in allowed))
        found = inside(found, may)
    return _best(found, weights, words / documents, k)


def inside(lists: Sequence[U64], rows: BitMap) -> list[U64]:
    """Return of each list the postings whose row is in a bitmap."""
    there = [int(postings[-1] >> ROW_SHIFT) for postings in lists if len(postings)]
    if not there or not len(rows):
        return [postings[:0] for postings in lists]
    end = max(*there, rows.max()) + 1
    if len(rows) + end // _ROWS_CLEARED < _ROWS_SET * sum(map(len, lists)):
        dense = np.zeros(end, np.bool_)
        dense[_numbers(rows)] = True
        return [postings[dense[rows_in(postings)]] for postings in lists]
    kept = [(postings, _numbers(_bitmap(rows_in(postings)) & rows)) for postings in lists]
    return [postings[np.searchsorted(postings, both.astype(np.uint64) << ROW_SHIFT)] for postings, both in kept]


def _numbers(rows: BitMap) -> npt.NDArray[np.uint32]:
    """Return the rows of a bitmap, rising."""
    return np.frombuffer(rows.to_array(), np.uint32)


def _bitmap(numbers: U64) -> BitMap:
    """Return rising row numbers as a bitmap."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))  # other sequences are read number by number


def _statistics(reader: TermReader, tenants: Sequence[int], visible: Callable[[int], BitMap]) -> tuple[int, int]:
    """Return how many rows with text the tenants see together, and how many words these have."""
    texts = [reader.texts(tenant) for tenant in tenants]
    if len(tenants) > 1 and _overlap([visible(tenant) for tenant in tenants]):
        every = _one_a_row(np.concatenate([reader.text_rows(tenant) for tenant in tenants]))
        return len(every), int(text_lengths_in(every).sum())
    return sum(one.documents for one in texts), sum(one.words for one in texts)


def _overlap(sets: Sequence[BitMap]) -> bool:
    """Tell whether a row is in two of the bitmaps."""
    return sum(map(len, sets)) > len(BitMap.union(*sets))


def _postings(
    reader: TermReader, tenants: Sequence[int], words: Sequence[str], visible: Callable[[int], BitMap]
) -> list[U64]:
    """Return the postings of each word that belong to rows which one of the tenants sees, each row once."""
    parts = []
    for tenant in tenants:
        found = reader.postings(tenant, words)
        if reader.texts(tenant).dropped:
            found = inside(found, visible(tenant))
        parts.append(found)
    if len(parts) == 1:
        return parts[0]
    return [_one_a_row(np.concatenate(of_word)) for of_word in zip(*parts, strict=True)]


def _one_a_row(entries: U64) -> U64:
    """Return postings, or rows with their lengths, in order, one of each row: tenants that share it say the same."""
    entries.sort()
    first = np.ones(len(entries), np.bool_)
    first[1:] = rows_in(entries[1:]) != rows_in(entries[:-1])
    return entries[first]


def _best(found: Sequence[U64], weights: npt.NDArray[np.float64], mean: float, k: int) -> tuple[I64, F32]:
    """Return the k best rows and their scores."""
    starts = np.cumsum([0, *map(len, found)])
    most = min(k, int(starts[-1]))
    rows, scores = np.empty(most, np.int64), np.empty(most, np.float32)
    if not most:
        return rows, scores
    n = bm25_top(np.concatenate(found), starts, weights, np.array([K1, B, mean]), rows, scores)
    return rows[:n], scores[:n]
