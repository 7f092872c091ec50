"""Exact distances of candidate rows, from their full-precision vectors."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.memory import will_need
from ramet.index.kernels.plan import COSINE, IP, L2
from ramet.index.kernels.query import NORM2, SCALE
from ramet.index.kernels.simd import dot_f16, dot_f32, dot_f32_f16, l2_f32, l2_f32_f16, load_f32, prefetch
from ramet.index.kernels.topk import distance_of, insert, number_of, pack

# Between these squared norms, products of float32 neither overflow nor lose digits to underflow.
SHORTEST, LONGEST = np.float32(1e-25), np.float32(1e37)

MOST_SPANS = 4096  # spans sorted and asked for at once
SLACK = 6.0  # standard deviations of the estimate's error; measured: 4 loses 0.1 points of recall, 6 none


@njit(cache=True, nogil=True)
def exact_distance(query, row, dim, metric, half):
    """Distance of one float row at address ``row``; ``query``: address of floats (unit length under cosine)."""
    if metric == L2:
        return l2_f32_f16(query, row, dim) if half else l2_f32(query, row, dim)
    inner = dot_f32_f16(query, row, dim) if half else dot_f32(query, row, dim)
    if metric == COSINE:
        norm = dot_f16(row, row, dim) if half else dot_f32(row, row, dim)
        if not half and not SHORTEST < norm < LONGEST:
            return careful_cosine(query, row, dim)
        return np.float32(1.0) - inner / np.sqrt(norm) if norm != 0.0 else np.float32(1.0)
    return -inner


@njit(cache=True, nogil=True)
def careful_cosine(query, row, dim):
    """Cosine distance of a float32 row whose squared norm leaves the range of float32, in float64.

    The cosine of a row of zeros, which only a damaged file can hold, counts as 0.
    """
    inner = 0.0
    norm = 0.0
    for j in range(dim):
        value = np.float64(load_f32(row + np.uintp(4 * j)))
        inner += value * np.float64(load_f32(query + np.uintp(4 * j)))
        norm += value * value
    return np.float32(1.0 - inner / np.sqrt(norm)) if norm != 0.0 else np.float32(1.0)


@njit(cache=True, nogil=True)
def fetch_rows(keys, size, base, n_bytes, spans, flags):
    """Start reading rows of ``n_bytes`` each (vectors or ids) from disk; returns the number that were not cached."""
    size = min(size, MOST_SPANS)  # the rest of a very large k is read page by page
    for i in range(size):
        low = np.uint64(base + np.int64(number_of(keys[i])) * n_bytes)
        spans[i, 0] = low
        spans[i, 1] = low + np.uint64(n_bytes)
    return will_need(spans, size, flags)


@njit(cache=True, nogil=True)
def hopeful(pool, size, k, metric, scalars):
    """How many of the sorted candidates can still be among the true k nearest; the rest need no exact distance.

    The estimate of a squared distance is off by ``2 <q - x, e>``, e the rounding error of the code, and by as much
    again for the rounding of the query. Near neighbours have about the query's range, hence its step, so the error's
    standard deviation is about ``step * sqrt((d + |q|^2) / 3)``. A candidate that lies more than SLACK of these
    behind the k-th estimate is left out. Inner products and queries of zeros have no such bound: all are kept.
    """
    if metric == IP or size <= k or scalars[NORM2] <= np.float32(0.0):
        return size
    nearest = distance_of(pool[k - 1])
    far = max(nearest, np.float32(0.0))
    step = scalars[SCALE]
    if far > scalars[NORM2]:
        step *= np.sqrt(far / scalars[NORM2])  # rows much longer than the query have a longer step, too
    spread = step * np.sqrt((far + max(far, scalars[NORM2])) / np.float32(3.0))
    limit = nearest + np.float32(SLACK) * spread
    kept = k
    while kept < size and distance_of(pool[kept]) <= limit:
        kept += 1
    return kept


@njit(cache=True, nogil=True)
def rerank(pool, size, vectors, vector_bytes, query, dim, metric, half, heap):
    """Exact top-k of the candidate rows.

    Parameters
    ----------
    pool : uint64 array, mutated
        ``pool[:size]``: candidate keys (estimated distance, row), ascending.
    vectors : int
        Address of row 0; rows are ``vector_bytes`` apart.
    heap : uint64 array (k,), written
        Keys (exact distance, row), as a max-heap.

    Returns
    -------
    int
        Keys in ``heap``.
    """
    for i in range(size):
        low = vectors + np.int64(number_of(pool[i])) * vector_bytes
        for line in range(0, vector_bytes, 64):
            prefetch(np.uintp(low + line))
    found = 0
    for i in range(size):
        row = number_of(pool[i])
        at = np.uintp(vectors + np.int64(row) * vector_bytes)
        found = insert(heap, found, pack(exact_distance(query, at, dim, metric, half), row))
    return found
