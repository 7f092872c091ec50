"""Exact distances of candidate rows, from their full-precision vectors."""

from __future__ import annotations

import numpy as np
from numba import njit

from ramet.index.kernels.memory import will_need
from ramet.index.kernels.plan import COSINE, L2
from ramet.index.kernels.simd import dot_f16, dot_f32, dot_f32_f16, l2_f32, l2_f32_f16, prefetch
from ramet.index.kernels.topk import insert, number_of, pack, sort_heap


@njit(cache=True, nogil=True)
def exact_distance(query, row, dim, metric, half):
    """Distance of one float row at address ``row``; ``query``: address of floats (unit length under cosine)."""
    if metric == L2:
        return l2_f32_f16(query, row, dim) if half else l2_f32(query, row, dim)
    inner = dot_f32_f16(query, row, dim) if half else dot_f32(query, row, dim)
    if metric == COSINE:
        norm = dot_f16(row, row, dim) if half else dot_f32(row, row, dim)
        return np.float32(1.0) - inner / np.sqrt(norm)
    return -inner


@njit(cache=True, nogil=True)
def fetch_rows(pool, size, vectors, vector_bytes, spans, flags):
    """Start reading the candidates' rows from disk; returns the number that were not cached."""
    for i in range(size):
        low = np.uint64(vectors + np.int64(number_of(pool[i])) * vector_bytes)
        spans[i, 0] = low
        spans[i, 1] = low + np.uint64(vector_bytes)
    return will_need(spans, size, flags)


@njit(cache=True, nogil=True)
def rerank(pool, size, vectors, vector_bytes, query, dim, metric, half, heap):
    """Exact top-k of the candidate rows.

    Parameters
    ----------
    pool : uint64 array, mutated
        ``pool[:size]``: heap of candidate keys (estimated distance, row).
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
    sort_heap(pool, size)
    found = 0
    for i in range(size):
        row = number_of(pool[i])
        at = np.uintp(vectors + np.int64(row) * vector_bytes)
        found = insert(heap, found, pack(exact_distance(query, at, dim, metric, half), row))
    return found
