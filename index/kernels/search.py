"""One compiled call from queries to rows: navigate, prune, prefetch, scan, rerank, top-k."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.memory import major_faults, will_need
from ramet.index.kernels.navigate import group_budget, nearest_cells
from ramet.index.kernels.plan import COSINE, FLOAT16, FLOAT32, INT8, IP, L2, SQ8, UINT8
from ramet.index.kernels.query import N_SCALARS, prepare, prepare_bytes
from ramet.index.kernels.rerank import fetch_rows, hopeful, rerank
from ramet.index.kernels.scan import scan_bytes, scan_float, scan_sq8
from ramet.index.kernels.simd import array_u32, array_u64, prefetch
from ramet.index.kernels.topk import EMPTY, distance_of, number_of, sort_heap

# Counters that a search adds to its `stats` array (int64).
LISTS, ROWS, ABSENT, FAULTS, RERANKED = 0, 1, 2, 3, 4
N_STATS = 5
ASK = 1
AHEAD = 4096  # bytes of the next list asked for before the current one is scanned


@njit(cache=True, nogil=True)
def keep_near(cells, n, ratio, metric):
    """Probes whose centroid is within ``ratio`` times the nearest one's true distance (SPANN, query-aware pruning).

    Estimates are squared distances, so the ratio is squared here, once. Inner products have no such ratio.
    """
    if ratio <= 0.0 or metric == IP or n == 0:
        return n
    limit = max(distance_of(cells[0]), np.float32(0.0)) * np.float32(ratio * ratio)
    kept = 1
    while kept < n and distance_of(cells[kept]) <= limit:
        kept += 1
    return kept


@njit(cache=True, nogil=True)
def list_bytes(plan, capacity, count):
    """Bytes of an extent that a scan touches: all columns up to the last code."""
    if plan.kind == SQ8:
        return 16 * capacity + count * plan.dim
    if plan.kind == FLOAT32 or plan.kind == FLOAT16:
        n_columns = 2 if plan.metric == COSINE else 1
        return 4 * n_columns * capacity + count * plan.dim * (4 if plan.kind == FLOAT32 else 2)
    return 12 * capacity + count * plan.dim


@njit(cache=True, nogil=True)
def fetch_lists(plan, cells, n, address, counts, capacities, spans, flags):
    """Start reading the chosen lists from disk; returns how many were not wholly cached."""
    for i in range(n):
        at = number_of(cells[i])
        spans[i, 0] = address[at]
        spans[i, 1] = address[at] + np.uint64(list_bytes(plan, capacities[at], counts[at]))
    return will_need(spans, n, flags)


@njit(cache=True, nogil=True)
def scan_lists(plan, cells, n, floats, operand, scalars, norm, out, heap):
    """Scan the chosen lists, nearest first, into ``heap``; returns its size and the rows looked at."""
    address = array_u64(np.uintp(plan.list_address), plan.n_cells)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    capacities = array_u32(np.uintp(plan.list_capacity), plan.n_cells)
    query = np.uintp(floats.ctypes.data)
    bytes_ = np.uintp(operand.ctypes.data)
    size = 0
    looked = 0
    for i in range(n):
        at = number_of(cells[i])
        extent, capacity, count = np.int64(address[at]), np.int64(capacities[at]), np.int64(counts[at])
        if i + 1 < n:
            following = np.uintp(address[number_of(cells[i + 1])])
            for line in range(0, AHEAD, 64):
                prefetch(following + np.uintp(line))
        looked += count
        if plan.kind == SQ8:
            size = scan_sq8(
                extent, capacity, count, plan.n_rows, plan.dim, bytes_, scalars, plan.metric, out, heap, size
            )
        elif plan.kind == INT8 or plan.kind == UINT8:
            size = scan_bytes(
                extent, capacity, count, plan.n_rows, plan.dim, plan.kind, bytes_, norm, plan.metric, out, heap, size
            )
        else:
            size = scan_float(
                extent, capacity, count, plan.n_rows, plan.dim, plan.kind, query, plan.metric, out, heap, size
            )
    return size, looked


@njit(cache=True, nogil=True)
def cells_of(plan, starts, given, q, n_groups, signed, scalars, out, cells):
    """Cells that query ``q`` probes, ascending, as keys in ``cells``; returns how many."""
    if given.shape[0] == 0:
        return nearest_cells(plan, plan.metric, starts, n_groups, signed, scalars, out, cells)
    n = 0
    while n < min(given.shape[1], cells.size) and given[q, n] != EMPTY:
        cells[n] = given[q, n]
        n += 1
    return n


@njit(cache=True, nogil=True)
def with_own_cell(plan, starts, n_groups, signed, scalars, out, cells, n):
    """Under inner product, probe the cell that a twin of the query was put into as well; returns the new count.

    Cells are ranked by inner product but vectors are put into cells by distance, so without this a record might not
    be found by its own vector. ``cells`` has room for one more than ``n``.
    """
    own = np.empty(1, np.uint64)
    if nearest_cells(plan, L2, starts, n_groups, signed, scalars, out, own) == 0:
        return n
    for i in range(n):
        if number_of(cells[i]) == number_of(own[0]):
            return n
    cells[n] = own[0]
    return n + 1


@njit(cache=True, nogil=True)
def rerank_pool(plan, pool, size, floats, scalars, fetch, spans, flags, heap, stats):
    """Exact top-k of the candidates ``pool[:size]`` in ``heap``; returns its size. Arguments as in ``search_many``."""
    sort_heap(pool, size)
    size = hopeful(pool, size, heap.size, plan.metric, scalars)
    if fetch:
        stats[ABSENT] += fetch_rows(pool, size, np.int64(plan.vectors), plan.vector_bytes, spans, flags)
        stats[ABSENT] += fetch_rows(pool, size, np.int64(plan.ids), plan.id_bytes, spans, flags)
    stats[RERANKED] += size
    query = np.uintp(floats.ctypes.data)
    return rerank(pool, size, np.int64(plan.vectors), plan.vector_bytes, query, plan.dim, plan.metric, plan.half, heap)


@njit(cache=True, nogil=True)
def write_top(heap, size, rows, distances):
    """Write the keys ``heap[:size]`` out, nearest first; -1 and infinity behind them. The heap is sorted by this."""
    sort_heap(heap, size)
    for i in range(rows.size):
        rows[i] = np.int64(number_of(heap[i])) if i < size else -1
        distances[i] = distance_of(heap[i]) if i < size else np.float32(np.inf)


@njit(cache=True, nogil=True)
def search_many(
    plans, starts, given, queries, first, last, nprobe, effort, ratio, pool_size, fetch, longest, rows, distances, stats
):
    """Top-k rows of queries ``first .. last``.

    Parameters
    ----------
    plans : record array (1,) of ``PLAN``
    starts : int64 array (n_groups + 1,)
        First member of each group of cells.
    given : uint64 array (n, nprobe) or (0, 0)
        Cells chosen by another navigator, as keys; empty: navigate here.
    queries : float32 array (n, dim), C order
    nprobe : int
        Posting lists to read for each query.
    effort, ratio : float
        Of navigation and of pruning (0: off).
    pool_size : int
        Candidates reranked, at least k; ignored when lists hold the vectors themselves.
    fetch : int
        0: nothing; ``ASK`` (1): look for lists that are not in the page cache and start reading them together; 2: start
        reading all of them, without looking.
    longest : int
        Length of the scratch for distances: the longest list, group, or number of groups.
    rows : int64 array (n, k), written
        -1 where fewer than k rows were found.
    distances : float32 array (n, k), written
        Ascending; infinity where fewer were found. Squared L2, ``1 - cos`` or minus the inner product.
    stats : int64 array (5,), added to
        Lists read, rows scanned, spans not cached, major faults, rows reranked.
    """
    plan = plans[0]
    k = rows.shape[1]
    address = array_u64(np.uintp(plan.list_address), plan.n_cells)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    capacities = array_u32(np.uintp(plan.list_capacity), plan.n_cells)
    padded = (plan.dim + 63) // 64 * 64
    floats = np.empty(plan.dim, np.float32)
    signed = np.empty(padded, np.int8)
    operand = np.empty(padded, np.uint8)
    scalars = np.empty(N_SCALARS, np.float32)
    out = np.empty(longest, np.float32)
    cells = np.empty(min(nprobe, plan.n_cells) + 1, np.uint64)
    heap = np.empty(k, np.uint64)
    pool = np.empty(max(pool_size, k) if plan.kind == SQ8 else 1, np.uint64)
    spans = np.empty((max(cells.size, pool.size, k), 2), np.uint64)
    flags = np.empty(longest * plan.dim * 4 // 4096 + 64 if fetch == ASK else 0, np.uint8)
    n_groups = group_budget(plan, nprobe, effort) if given.shape[0] == 0 else 0
    usage = np.empty(32, np.int64)
    faults = major_faults(usage)
    for q in range(first, last):
        prepare(queries[q], plan.metric, floats, signed, scalars)
        n = cells_of(plan, starts, given, q, n_groups, np.uintp(signed.ctypes.data), scalars, out, cells[:-1])
        n = keep_near(cells, n, ratio, plan.metric)
        if plan.metric == IP and plan.n_members > 0:
            n = with_own_cell(plan, starts, n_groups, np.uintp(signed.ctypes.data), scalars, out, cells, n)
        if fetch:
            stats[ABSENT] += fetch_lists(plan, cells, n, address, counts, capacities, spans, flags)
        if plan.kind == SQ8:
            size, looked = scan_lists(plan, cells, n, floats, signed.view(np.uint8), scalars, 0, out, pool)
            size = rerank_pool(plan, pool, size, floats, scalars, fetch, spans, flags, heap, stats)
        else:
            norm = 0
            if plan.kind == INT8 or plan.kind == UINT8:
                norm = prepare_bytes(queries[q], plan.kind, operand)
            size, looked = scan_lists(plan, cells, n, floats, operand, scalars, norm, out, heap)
        if fetch and plan.kind != SQ8:
            stats[ABSENT] += fetch_rows(heap, size, np.int64(plan.ids), plan.id_bytes, spans, flags)
        stats[LISTS] += n
        stats[ROWS] += looked
        write_top(heap, size, rows[q], distances[q])
    stats[FAULTS] += major_faults(usage) - faults
