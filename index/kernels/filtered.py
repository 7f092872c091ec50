"""Search among allowed rows only: lists nearest first until enough of the allowed are seen, or just their vectors."""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.memory import major_faults, will_need
from ramet.index.kernels.navigate import group_budget
from ramet.index.kernels.plan import INT8, IP, SQ8, UINT8
from ramet.index.kernels.query import N_SCALARS, prepare, prepare_bytes
from ramet.index.kernels.rerank import MOST_SPANS, exact_distance, fetch_rows
from ramet.index.kernels.scan import allowed_places, distances_at, offer_places, sampled_places
from ramet.index.kernels.search import (
    ABSENT,
    ASK,
    FAULTS,
    LISTS,
    RERANKED,
    ROWS,
    cells_of,
    fetch_lists,
    keep_near,
    rerank_pool,
    with_own_cell,
    write_top,
)
from ramet.index.kernels.simd import array_u32, array_u64, prefetch
from ramet.index.kernels.topk import distance_of, insert, number_of, pack, sort_heap

# Counters of a filtered search, behind those of `search`.
ALLOWED, ROUNDS, DIRECT = 5, 6, 7
N_FILTERED = 8

RUNGS = 2
"""Steps of the ladder of probes for each factor of two in the rank that is looked for."""

GROWTH = 4
"""A round asks for at most so many times the probes before it: a share is known better after each."""

WORTH = 1.15
"""A round is worth its navigation when it asks for more than so many times the probes before it."""

CHANCE, FEW_PAIRS, MOST_CLUMPED = 1.5, 20.0, 4.0
"""Of ``clumping``."""

MOST_SAMPLES = 8192  # distances of a query that its ranks are read from
BLOCK = 256  # lists whose reading is started together
AHEAD = 512  # bytes of the next lists' row numbers asked for
ROWS_AHEAD = 6  # vectors asked for ahead of the row in hand


@njit(cache=True, nogil=True)
def set_bits(rows, words):
    """Set bit ``row & 63`` of word ``row >> 6`` for each of ``rows`` (uint32); rows beyond the words are left out."""
    limit = np.uint64(words.size) << np.uint64(6)
    for i in range(rows.size):
        row = np.uint64(rows[i])
        if row < limit:
            words[row >> np.uint64(6)] |= np.uint64(1) << (row & np.uint64(63))


@njit(cache=True, nogil=True)
def rank_of(samples, n, step, near, found):
    """Twice the mean rank, among all rows seen, of the nearest allowed ones: about the rank of the last one.

    That is ``k / s`` where allowed rows lie like the others and make up the share ``s`` of them. Where they are farther
    away than most, all of them are at the end of the ranks, and it is up to twice the last one's rank: such rows are
    harder to find than those that are spread over the ranks before them.

    Parameters
    ----------
    samples : float32 array
        ``samples[:n]``: distances of every ``step``-th row seen.
    near : float32 array
        ``near[:found]``: distances of the nearest allowed rows, ascending; not empty.
    """
    before = 0
    for i in range(n):
        if samples[i] <= near[found - 1]:
            for j in range(found):
                before += np.int64(samples[i] <= near[j])
    return 2.0 * step * before / found


@njit(cache=True, nogil=True)
def clumping(lists, allowed, pairs):
    """Factor by which the rank of an allowed row understates how hard it is to find, 1 to ``MOST_CLUMPED``.

    Where a filter goes with the vectors, allowed rows share lists, so those that are looked for are found or missed
    together. ``pairs`` (ordered pairs of allowed rows in the same list) is compared with what it would be if the
    ``allowed`` rows lay in the ``lists`` by chance; lists of unequal length alone give up to ``CHANCE`` times as many.
    """
    expected = CHANCE * allowed * allowed / max(lists, 1)
    return min(MOST_CLUMPED, max(1.0, (pairs + FEW_PAIRS) / (expected + FEW_PAIRS)))


@njit(cache=True, nogil=True)
def more_probes(ladder, probes, found, k, rank, n_lists):
    """Probes that a query needs after what it has seen; ``probes`` when that was enough.

    Parameters
    ----------
    ladder : float64 array
        ``ladder[i]``: probes that find the neighbours up to rank ``k * 2 ** (i / RUNGS)`` of all rows. Empty: go on
        only while fewer than k rows are found.
    rank : float
        Of the k-th allowed neighbour among all rows, about.
    """
    wanted = probes
    if ladder.size > 0:
        rung = min(max(RUNGS * np.log2(max(rank, 1.0) / k), 0.0), ladder.size - 1.0)
        low = np.int64(rung)
        high = min(low + 1, ladder.size - 1)
        asked = np.int64(np.ceil(ladder[low] + (rung - low) * (ladder[high] - ladder[low])))
        if asked > WORTH * probes:
            wanted = min(asked, GROWTH * probes)
    if found < k:
        wanted = max(wanted, 2 * probes)
    return min(wanted, n_lists)


@njit(cache=True, nogil=True)
def further_cells(plan, starts, given, q, probes, n_lists, ratio, signed, scalars, out, visited, cells):
    """Cells among the ``probes`` nearest of query ``q`` that were not visited yet, as keys in ``cells``; how many.

    All that are left, in no order, when that is every list or when another navigator chose too few. ``visited`` (uint8
    (n_cells,)) is brought up to date. Arguments as in ``search.search_many``.
    """
    if probes >= n_lists or (given.shape[0] > 0 and probes > given.shape[1]):
        counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
        n = 0
        for cell in range(plan.n_cells):
            if counts[cell] > 0:
                cells[n] = np.uint64(cell)
                n += 1
    else:
        n_groups = group_budget(plan, probes, 1.0) if given.shape[0] == 0 else 0
        n = cells_of(plan, starts, given, q, n_groups, signed, scalars, out, cells[:probes])
        n = keep_near(cells, n, ratio, plan.metric)
        if plan.metric == IP and plan.n_members > 0:
            n = with_own_cell(plan, starts, n_groups, signed, scalars, out, cells, n)
    kept = 0
    for i in range(n):
        cell = number_of(cells[i])
        if visited[cell] == 0:
            visited[cell] = 1
            cells[kept] = cells[i]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def scan_filtered(
    plan, cells, words, floats, signed, scalars, operand, norm, places, out, heap, size, step, first, samples, n_samples
):
    """Scan the allowed rows of lists into ``heap``, and look at the distance of every ``step``-th row.

    Parameters
    ----------
    cells : uint64 array
        Keys of the cells, nearest first.
    words : uint64 array
        See ``scan.allowed_places``.
    floats, signed, scalars, operand, norm
        The prepared query (``query.prepare``, ``query.prepare_bytes``).
    places : int32 array, scratch
    out : float32 array, scratch
        Both as long as the longest list.
    heap : uint64 array
        ``heap[:size]``: keys found so far.
    step, first : int
        Rows from one sample to the next (0: none are taken), and those to pass over before the first one.
    samples : float32 array
        ``samples[:n_samples]``: distances so far; no more are taken when it is full.

    Returns
    -------
    size, first, n_samples : int
        For the next call.
    looked, allowed, pairs : int
        Rows looked at, those of them that are allowed, and ordered pairs of allowed rows in the same list.
    """
    address = array_u64(np.uintp(plan.list_address), plan.n_cells)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    capacities = array_u32(np.uintp(plan.list_capacity), plan.n_cells)
    n_rows = min(plan.n_rows, 64 * words.size)
    query, codes, exact = np.uintp(floats.ctypes.data), np.uintp(signed.ctypes.data), np.uintp(operand.ctypes.data)
    looked = 0
    allowed = 0
    pairs = 0
    for i in range(cells.size):
        at = number_of(cells[i])
        if i + 2 < cells.size:
            following = np.uintp(address[number_of(cells[i + 2])])
            for line in range(0, AHEAD, 64):
                prefetch(following + np.uintp(line))
        extent, capacity, count = np.int64(address[at]), np.int64(capacities[at]), np.int64(counts[at])
        looked += count
        here = allowed_places(extent, count, n_rows, words, places)
        if here > 0:
            allowed += here
            pairs += here * (here - 1)
            distances_at(plan, extent, capacity, places, here, query, codes, scalars, exact, norm, out)
            size = offer_places(out, here, places, extent, heap, size)
        if step > 0:
            here, first = sampled_places(extent, count, first, step, places)
            here = min(here, samples.size - n_samples)
            mine = samples[n_samples : n_samples + here]
            distances_at(plan, extent, capacity, places, here, query, codes, scalars, exact, norm, mine)
            n_samples += here
    return size, first, n_samples, looked, allowed, pairs


@njit(cache=True, nogil=True)
def scan_vectors(plan, listed, query, heap):
    """Exact top-k of the rows ``listed`` (uint32), from their vectors; returns the keys in ``heap``.

    ``query``: address of its floats. Rows beyond the collection are passed over.
    """
    size = 0
    limit = np.float32(np.inf)
    for i in range(listed.size):
        if i + ROWS_AHEAD < listed.size:
            following = np.int64(plan.vectors) + np.int64(listed[i + ROWS_AHEAD]) * plan.vector_bytes
            for line in range(0, plan.vector_bytes, 64):
                prefetch(np.uintp(following + line))
        row = listed[i]
        if row >= plan.n_rows:
            continue
        at = np.uintp(np.int64(plan.vectors) + np.int64(row) * plan.vector_bytes)
        distance = exact_distance(query, at, plan.dim, plan.metric, plan.half)
        if distance <= limit or size < heap.size:
            size = insert(heap, size, pack(distance, row))
            if size == heap.size:
                limit = distance_of(heap[0])
    return size


@njit(cache=True, nogil=True)
def fetch_vectors(plan, listed, spans, flags):
    """Start reading the vectors of rows (ascending) from disk, neighbours together; how many were not cached."""
    absent = 0
    for first in range(0, listed.size, spans.shape[0]):
        n = min(spans.shape[0], listed.size - first)
        for i in range(n):
            row = min(np.int64(listed[first + i]), plan.n_rows - 1)
            low = np.uint64(np.int64(plan.vectors) + row * plan.vector_bytes)
            spans[i, 0] = low
            spans[i, 1] = low + np.uint64(plan.vector_bytes)
        absent += will_need(spans, n, flags)
    return absent


@njit(cache=True, nogil=True)
def nearest_rows(plans, queries, first, last, listed, fetch, rows, distances, stats):
    """Exact top-k of queries ``first .. last`` among the rows ``listed``, without the index.

    Parameters
    ----------
    listed : uint32 array
        Row numbers, ascending, each once; all of them have a vector.
    plans, queries, fetch, rows, distances : see ``search.search_many``
    stats : int64 array (8,), added to
        As in ``search_allowed``.
    """
    plan = plans[0]
    k = rows.shape[1]
    floats = np.empty(plan.dim, np.float32)
    signed = np.empty((plan.dim + 63) // 64 * 64, np.int8)
    scalars = np.empty(N_SCALARS, np.float32)
    heap = np.empty(k, np.uint64)
    spans = np.empty((max(k, min(listed.size, MOST_SPANS)) if fetch else 0, 2), np.uint64)
    flags = np.empty(max(plan.vector_bytes, plan.id_bytes) // 4096 + 64 if fetch == ASK else 0, np.uint8)
    usage = np.empty(32, np.int64)
    faults = major_faults(usage)
    if fetch and first < last:
        stats[ABSENT] += fetch_vectors(plan, listed, spans, flags)
    for q in range(first, last):
        prepare(queries[q], plan.metric, floats, signed, scalars)
        size = scan_vectors(plan, listed, np.uintp(floats.ctypes.data), heap)
        if fetch:
            stats[ABSENT] += fetch_rows(heap, size, np.int64(plan.ids), plan.id_bytes, spans, flags)
        stats[RERANKED] += listed.size
        stats[DIRECT] += 1
        write_top(heap, size, rows[q], distances[q])
    stats[FAULTS] += major_faults(usage) - faults


@njit(cache=True, nogil=True)
def nearest_found(heap, size, keys, near):
    """Distances of the smallest keys of ``heap[:size]``, ascending, in ``near``; how many, at most ``near.size``.

    ``keys``: scratch as long as the heap.
    """
    for i in range(size):
        keys[i] = heap[i]
    sort_heap(keys, size)
    found = min(size, near.size)
    for i in range(found):
        near[i] = distance_of(keys[i])
    return found


@njit(cache=True, nogil=True)
def search_allowed(
    plans, starts, given, queries, first, last, n_lists, nprobe, most, ladder, step, ratio, words, listed, pool_size,
    fetch, longest, rows, distances, stats,
):  # fmt: skip
    """Top-k allowed rows of queries ``first .. last``: as many as there are, up to k.

    Each query reads ``nprobe`` lists, then more while ``more_probes`` asks for them. One that asks for more than
    ``most`` is answered from the vectors of all allowed rows instead.

    Parameters
    ----------
    n_lists : int
        Lists that are not empty.
    nprobe, most : int
        Probes to begin with, and the most to make.
    ladder : float64 array
        See ``more_probes``.
    step : int
        One in so many rows is compared, allowed or not, to know the ranks of the allowed ones; 0 without a ladder.
    words : uint64 array
        See ``scan.allowed_places``.
    listed : uint32 array
        The allowed rows, ascending; may be empty when ``most`` is ``n_lists``.
    stats : int64 array (8,), added to
        Lists read, rows looked at, spans not cached, major faults, full-precision rows read, allowed rows seen, rounds,
        queries answered from the vectors.
    plans, starts, given, queries, ratio, pool_size, fetch, longest, rows, distances : see ``search.search_many``
    """
    plan = plans[0]
    most = n_lists if plan.vectors == 0 else most  # there may be no vectors but those in the lists
    k = rows.shape[1]
    address = array_u64(np.uintp(plan.list_address), plan.n_cells)
    counts = array_u32(np.uintp(plan.list_count), plan.n_cells)
    capacities = array_u32(np.uintp(plan.list_capacity), plan.n_cells)
    padded = (plan.dim + 63) // 64 * 64
    floats, scalars = np.empty(plan.dim, np.float32), np.empty(N_SCALARS, np.float32)
    signed, operand = np.empty(padded, np.int8), np.empty(padded, np.uint8)
    out, places = np.empty(longest, np.float32), np.empty(longest, np.int32)
    cells, visited = np.empty(plan.n_cells + 1, np.uint64), np.empty(plan.n_cells, np.uint8)
    heap = np.empty(k, np.uint64)
    pool = np.empty(max(pool_size, k) if plan.kind == SQ8 else k, np.uint64)
    keys, near = np.empty(pool.size, np.uint64), np.empty(k, np.float32)
    samples = np.empty(MOST_SAMPLES if step > 0 else 0, np.float32)
    spans = np.empty((max(BLOCK, pool.size, min(listed.size, MOST_SPANS)), 2), np.uint64)
    flags = np.empty(longest * plan.dim * 4 // 4096 + 64 if fetch == ASK else 0, np.uint8)
    usage = np.empty(32, np.int64)
    faults = major_faults(usage)
    for q in range(first, last):
        prepare(queries[q], plan.metric, floats, signed, scalars)
        norm = prepare_bytes(queries[q], plan.kind, operand) if plan.kind == INT8 or plan.kind == UINT8 else 0
        visited[:] = 0
        size, probes, wanted, place, n_samples = 0, 0, min(nprobe, n_lists), 0, 0
        lists, allowed, pairs = 0, 0, 0
        while probes < wanted <= most:
            at = np.uintp(signed.ctypes.data)
            cut = ratio if probes == 0 else 0.0
            n = further_cells(plan, starts, given, q, wanted, n_lists, cut, at, scalars, out, visited, cells)
            for low in range(0, n, BLOCK):
                part = cells[low : min(low + BLOCK, n)]
                if fetch:
                    stats[ABSENT] += fetch_lists(plan, part, part.size, address, counts, capacities, spans, flags)
                size, place, n_samples, looked, more, two = scan_filtered(
                    plan, part, words, floats, signed, scalars, operand, norm, places, out, pool, size, step, place,
                    samples, n_samples,
                )  # fmt: skip
                stats[ROWS] += looked
                stats[ALLOWED] += more
                allowed, pairs = allowed + more, pairs + two
            stats[LISTS] += n
            lists += n
            stats[ROUNDS] += 1
            probes = wanted
            found = nearest_found(pool, size, keys, near)
            rank = rank_of(samples, n_samples, step, near, found) if found == k else 2.0 * plan.n_rows
            rank *= clumping(lists, allowed, pairs)
            wanted = more_probes(ladder, probes, found, k, rank, n_lists)
        if probes < wanted:
            if fetch:
                stats[ABSENT] += fetch_vectors(plan, listed, spans, flags)
            size = scan_vectors(plan, listed, np.uintp(floats.ctypes.data), heap)
            stats[RERANKED] += listed.size
            stats[DIRECT] += 1
        elif plan.kind == SQ8:
            size = rerank_pool(plan, pool, size, floats, scalars, fetch, spans, flags, heap, stats)
        else:
            heap[:size] = pool[:size]
        if fetch:
            stats[ABSENT] += fetch_rows(heap, size, np.int64(plan.ids), plan.id_bytes, spans, flags)
        write_top(heap, size, rows[q], distances[q])
    stats[FAULTS] += major_faults(usage) - faults
