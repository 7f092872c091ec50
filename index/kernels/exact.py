"""Exact search over all lists of a subtree, for lists that hold codes: distances from full-precision rows."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.plan import ROW_MASK
from ramet.index.kernels.query import N_SCALARS, prepare
from ramet.index.kernels.rerank import exact_distance
from ramet.index.kernels.simd import array_u32, array_u64, load_u32
from ramet.index.kernels.topk import distance_of, insert_once, number_of, pack, sort_heap

TOGETHER = 16
"""Queries that share one pass over the rows: a row is read from memory once for all of them."""


@njit(cache=True, nogil=True)
def exact_many(plans, queries, first, last, rows, distances):
    """Exact top-k of queries ``first .. last`` over every row of the plan's lists.

    Arguments as in ``search.search_many``; the lists hold SQ8 codes, whose rows are read in full precision.
    """
    plan = plans[0]
    k = rows.shape[1]
    floats = np.empty((TOGETHER, plan.dim), np.float32)
    signed = np.empty((plan.dim + 63) // 64 * 64, np.int8)
    scalars = np.empty(N_SCALARS, np.float32)
    heaps = np.empty((TOGETHER, k), np.uint64)
    sizes = np.empty(TOGETHER, np.int64)
    limits = np.empty(TOGETHER, np.float32)
    for start in range(first, last, TOGETHER):
        n = min(TOGETHER, last - start)
        for q in range(n):
            prepare(queries[start + q], plan.metric, floats[q], signed, scalars)
        sizes[:] = 0
        limits[:] = np.inf
        scan_all(plan, n, floats, heaps, sizes, limits)
        for q in range(n):
            heap = heaps[q]
            sort_heap(heap, sizes[q])
            for i in range(k):
                found = i < sizes[q]
                rows[start + q, i] = np.int64(number_of(heap[i])) if found else -1
                distances[start + q, i] = distance_of(heap[i]) if found else np.float32(np.inf)


@njit(cache=True, nogil=True)
def scan_all(plan, n, floats, heaps, sizes, limits):
    """Offer every row of every list to the heaps of ``n`` queries; heaps, sizes and limits are mutated."""
    address = array_u64(np.uintp(plan.list_address), plan.n_cells)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    base, width = np.int64(floats.ctypes.data), 4 * plan.dim
    for cell in range(plan.n_cells):
        for i in range(counts[cell]):
            row = load_u32(np.uintp(address[cell] + np.uint64(4 * i))) & ROW_MASK
            if row >= plan.n_rows:
                continue
            at = np.uintp(np.int64(plan.vectors) + np.int64(row) * plan.vector_bytes)
            for q in range(n):
                distance = exact_distance(np.uintp(base + q * width), at, plan.dim, plan.metric, plan.half)
                if distance <= limits[q]:
                    sizes[q] = insert_once(heaps[q], sizes[q], pack(distance, row))
                    if sizes[q] == heaps.shape[1]:
                        limits[q] = distance_of(heaps[q, 0])
