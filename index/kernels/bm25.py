"""BM25 over posting lists: term by term within a window of rows, so that memory depends on neither rows nor lists."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.topk import distance_of, insert, number_of, pack, sort_heap

WINDOW = 8192
"""Rows whose scores are summed up together: 32 KiB of float32, which the fastest cache holds."""

_NO_ROW = np.int64(1) << 40
_LOW_16 = np.uint64(0xFFFF)
_COUNT_SHIFT = np.uint64(16)
_ROW_SHIFT = np.uint64(32)


@njit(cache=True, nogil=True)
def bm25_top(postings, starts, weights, parameters, rows, scores):
    """Write the rows with the highest scores to ``rows`` and ``scores``, equal ones by row; returns how many there are.

    ``postings``: uint64 (n,), row << 32 | frequency << 16 | length of the row; those of term i are
    ``starts[i]:starts[i + 1]`` (int64), rows rising, each at most once. ``weights``: float64 (terms,), positive.
    ``parameters``: float64 (3,): k1, b, mean length. A score is the sum over the terms, in their order, of
    weight * frequency / (frequency + k1 * (1 - b + b * length / mean)), each rounded to float32.
    ``rows``: int64 (k,), ``scores``: float32 (k,), mutated. O(postings * log k + rows / 8192 * terms).
    """
    k1, b, mean = parameters[0], parameters[1], parameters[2]
    fixed, slope = k1 * (1.0 - b), k1 * b / mean
    at = starts[:-1].copy()
    heap = np.empty(rows.size, np.uint64)
    sums = np.zeros(WINDOW, np.float32)
    seen = np.zeros(WINDOW, np.bool_)  # a sum may be 0 in a damaged file
    touched = np.empty(WINDOW, np.int32)
    size = 0
    while True:
        first = _first_row(postings, starts, at)
        if first == _NO_ROW:
            break
        n = 0
        for term in range(weights.size):
            i, end, weight = at[term], starts[term + 1], weights[term]
            while i < end:
                posting = postings[i]
                place = np.int64(posting >> _ROW_SHIFT) - first
                if place >= WINDOW:
                    break
                frequency = np.float64((posting >> _COUNT_SHIFT) & _LOW_16)
                length = np.float64(posting & _LOW_16)
                if not seen[place]:
                    seen[place] = True
                    touched[n] = place
                    n += 1
                sums[place] += np.float32(weight * frequency / (frequency + fixed + slope * length))
                i += 1
            at[term] = i
        for j in range(n):
            place = touched[j]
            size = insert(heap, size, pack(-sums[place], first + place))
            sums[place] = 0.0
            seen[place] = False
    sort_heap(heap, size)
    for i in range(size):
        rows[i] = np.int64(number_of(heap[i]))
        scores[i] = -distance_of(heap[i])
    return size


@njit(cache=True, nogil=True)
def _first_row(postings, starts, at):
    """Lowest row that a list has from its place ``at`` on; ``_NO_ROW`` when all lists are at their ends."""
    first = _NO_ROW
    for term in range(at.size):
        if at[term] < starts[term + 1]:
            first = min(first, np.int64(postings[at[term]] >> _ROW_SHIFT))
    return first
