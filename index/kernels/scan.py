"""Scan one posting list into a bounded heap, one function for each kind of list.

A list is an extent with columns: rows uint32[cap], factor columns 4-byte words [cap], codes [cap][width]; every column
starts at a multiple of 64 bytes because cap is a multiple of 16 (``docs/storage-format.md``). All scans take the
address of the extent, offer ``(distance, row)`` keys to the heap and return its new size. Row numbers that a
damaged file could hold are checked before they are offered, so that no later step reads out of bounds.

Under a filter (``allowed_places``) the row numbers are read first, and only allowed rows are compared with the query:
at 1 % a list costs its column of row numbers and hardly any codes.
"""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.plan import COSINE, FLOAT16, INT8, IP, L2, ROW_MASK, SQ8, UINT8
from ramet.index.kernels.query import NORM2, SCALE, SUM, SUM8
from ramet.index.kernels.simd import (
    dot_f32,
    dot_f32_f16,
    dot_u8_s8,
    l2_f32,
    l2_f32_f16,
    load_f32,
    load_i32,
    load_u32,
    prefetch,
)
from ramet.index.kernels.topk import distance_of, insert_once, pack

AHEAD = 2048
"""Bytes of codes asked for ahead of the row in hand: the CPU's own prefetcher stops at every page. Worth 15 to 30 % of
a scan that comes from memory, nothing when the list is in the first-level cache."""

PLACES_AHEAD = 8
"""Allowed rows whose codes are asked for ahead of the row in hand."""


@njit(cache=True, nogil=True, inline="always")
def threshold(heap, size):
    """Largest distance that can still enter the heap."""
    return np.float32(np.inf) if size < heap.size else distance_of(heap[0])


@njit(cache=True, nogil=True, inline="always")
def sq8_terms(scalars, metric):
    """What the estimates of all rows of a query have in common: constant, offset of products, factors of the sums."""
    alpha = np.float32(0.0) if metric == IP else np.float32(1.0)
    beta = np.float32(1.0) if metric == IP else np.float32(2.0)
    return alpha * scalars[NORM2], np.float32(128.0) * scalars[SUM8], alpha, beta


@njit(cache=True, nogil=True, inline="always")
def sq8_estimate(code, factor, column, dim, signed, scalars, terms):
    """Estimated distance of one SQ8 row; addresses of its code and of its first factor. ``terms``: of ``sq8_terms``."""
    base, offset, alpha, beta = terms
    product = np.float32(dot_u8_s8(np.uintp(code), signed, dim)) - offset
    norm = load_f32(np.uintp(factor))
    mid = load_f32(np.uintp(factor + column))
    step = load_f32(np.uintp(factor + 2 * column))
    inner = mid * scalars[SUM] + step * (scalars[SCALE] * product)
    return base + alpha * norm - beta * inner


@njit(cache=True, nogil=True, inline="always")
def float_distance(code, factor, dim, kind, query, metric):
    """Distance of one float32 or float16 row; ``factor``: address of its inverse norm, read under ``COSINE``."""
    at = np.uintp(code)
    if metric == L2:
        return l2_f32_f16(query, at, dim) if kind == FLOAT16 else l2_f32(query, at, dim)
    inner = dot_f32_f16(query, at, dim) if kind == FLOAT16 else dot_f32(query, at, dim)
    if metric == COSINE:
        return np.float32(1.0) - inner * load_f32(np.uintp(factor))
    return -inner


@njit(cache=True, nogil=True, inline="always")
def byte_distance(code, factor, column, dim, kind, operand, norm, metric):
    """Distance of one int8 or uint8 row; ``factor``: address of its squared norm, its sum lies a column behind."""
    at = np.uintp(code)
    total = np.int64(load_i32(np.uintp(factor + column)))
    if kind == INT8:
        inner = np.int64(dot_u8_s8(operand, at, dim)) - 128 * total
    else:
        inner = np.int64(dot_u8_s8(at, operand, dim)) + 128 * total
    length = np.int64(load_i32(np.uintp(factor)))
    if metric == L2:
        return np.float32(norm + length - 2 * inner)
    if metric == COSINE:
        lengths = np.float64(norm) * np.float64(length)  # not positive in a damaged list only
        return np.float32(1.0 - inner / np.sqrt(lengths)) if lengths > 0.0 else np.float32(1.0)
    return np.float32(-inner)


@njit(cache=True, nogil=True)
def sq8_estimates(codes, factors, column, first, count, dim, signed, scalars, metric, out):
    """Estimated distances of SQ8 rows ``first .. first + count`` of one block of columns.

    Parameters
    ----------
    codes, factors : uintp
        Addresses of uint8 (n, dim) and of the first factor column.
    column : int
        Bytes from one factor column to the next.
    signed : uintp
        Address of the query's signed bytes.
    out : float32 array (>= count,), written
        Squared L2 distance (``L2``, ``COSINE``: of unit vectors) or minus the inner product (``IP``).
    """
    terms = sq8_terms(scalars, metric)
    for i in range(count):
        row = first + i
        code = codes + row * dim
        ahead = code + AHEAD
        prefetch(np.uintp(ahead))
        prefetch(np.uintp(ahead + 64))
        out[i] = sq8_estimate(code, factors + row * 4, column, dim, signed, scalars, terms)


@njit(cache=True, nogil=True)
def offer(out, count, rows, n_rows, heap, size):
    """Offer ``out[:count]`` with the row numbers at address ``rows`` to the heap; returns its new size."""
    limit = threshold(heap, size)
    for i in range(count):
        if out[i] <= limit:
            row = load_u32(np.uintp(rows + i * 4)) & ROW_MASK
            if row < n_rows:
                size = insert_once(heap, size, pack(out[i], row))
                limit = threshold(heap, size)
    return size


@njit(cache=True, nogil=True)
def scan_sq8(extent, capacity, count, n_rows, dim, signed, scalars, metric, out, heap, size):
    """Scan a list of SQ8 codes; distances are estimates."""
    column = 4 * capacity
    sq8_estimates(extent + 4 * column, extent + column, column, 0, count, dim, signed, scalars, metric, out)
    return offer(out, count, extent, n_rows, heap, size)


@njit(cache=True, nogil=True)
def scan_float(extent, capacity, count, n_rows, dim, kind, query, metric, out, heap, size):
    """Scan a list of float32 or float16 rows; distances are exact in float32. ``query``: address of floats."""
    column = 4 * capacity
    n_factors = 1 if metric == COSINE else 0
    codes = extent + column * (1 + n_factors)
    width = dim * (2 if kind == FLOAT16 else 4)
    for i in range(count):
        out[i] = float_distance(codes + i * width, extent + column + 4 * i, dim, kind, query, metric)
    return offer(out, count, extent, n_rows, heap, size)


@njit(cache=True, nogil=True)
def scan_bytes(extent, capacity, count, n_rows, dim, kind, operand, norm, metric, out, heap, size):
    """Scan a list of int8 or uint8 rows; integer arithmetic, rounded once to float32.

    ``operand``: address of the query's bytes (``prepare_bytes``); ``norm``: its squared norm.
    """
    column = 4 * capacity
    codes = extent + 3 * column
    for i in range(count):
        out[i] = byte_distance(codes + i * dim, extent + column + 4 * i, column, dim, kind, operand, norm, metric)
    return offer(out, count, extent, n_rows, heap, size)


# ---------------------------------------------------------------------------------------------------- under a filter


@njit(cache=True, nogil=True)
def allowed_places(rows, count, n_rows, words, places):
    """Places in a list, ascending, whose rows are allowed.

    Parameters
    ----------
    rows : int
        Address of the row numbers, uint32 (count,).
    n_rows : int
        Rows in the collection, at most 64 for each of ``words``; numbers beyond are those of a damaged list.
    words : uint64 array
        Bit ``row & 63`` of word ``row >> 6`` is set for allowed rows.
    places : int32 array (>= count,), written

    Returns
    -------
    int
        Allowed rows in the list.
    """
    n = 0
    for i in range(count):
        row = load_u32(np.uintp(rows + i * 4)) & ROW_MASK
        places[n] = i
        if row < n_rows:
            n += np.int64((words[np.uintp(row >> np.uint32(6))] >> np.uint64(row & np.uint32(63))) & np.uint64(1))
    return n


@njit(cache=True, nogil=True)
def offer_places(out, n, places, rows, heap, size):
    """Offer the distances ``out[:n]`` of the rows at ``places[:n]`` to the heap; returns its new size."""
    limit = threshold(heap, size)
    for i in range(n):
        if out[i] <= limit:
            row = load_u32(np.uintp(rows + np.int64(places[i]) * 4)) & ROW_MASK
            size = insert_once(heap, size, pack(out[i], row))
            limit = threshold(heap, size)
    return size


@njit(cache=True, nogil=True)
def distances_at(plan, extent, capacity, places, n, query, signed, scalars, operand, norm, out):
    """Distances ``out[:n]`` of the rows of a list that stand at ``places[:n]``; any kind of list.

    ``query``, ``signed``, ``operand``: addresses of the query's floats, signed bytes and exact bytes, of which the kind
    of list decides what is read.
    """
    column = 4 * capacity
    if plan.kind == SQ8:
        n_factors, width = 3, plan.dim
    elif plan.kind == INT8 or plan.kind == UINT8:
        n_factors, width = 2, plan.dim
    else:
        n_factors, width = 1 if plan.metric == COSINE else 0, plan.dim * (2 if plan.kind == FLOAT16 else 4)
    codes = extent + column * (1 + n_factors)
    terms = sq8_terms(scalars, plan.metric)
    for i in range(min(n, PLACES_AHEAD)):
        for line in range(0, width, 64):
            prefetch(np.uintp(codes + np.int64(places[i]) * width + line))
    for i in range(n):
        if i + PLACES_AHEAD < n:
            following = codes + np.int64(places[i + PLACES_AHEAD]) * width
            for line in range(0, width, 64):
                prefetch(np.uintp(following + line))
        at = np.int64(places[i])
        code, factor = codes + at * width, extent + column + 4 * at
        if plan.kind == SQ8:
            out[i] = sq8_estimate(code, factor, column, plan.dim, signed, scalars, terms)
        elif plan.kind == INT8 or plan.kind == UINT8:
            out[i] = byte_distance(code, factor, column, plan.dim, plan.kind, operand, norm, plan.metric)
        else:
            out[i] = float_distance(code, factor, plan.dim, plan.kind, query, plan.metric)


@njit(cache=True, nogil=True)
def sampled_places(rows, count, first, step, places):
    """Every ``step``-th place of a list from ``first`` on, without copies of rows whose nearest list is another one.

    Returns
    -------
    int
        Places in ``places`` (int32, written).
    int
        The place to begin with in the next list, if both were one.
    """
    n = 0
    i = first
    while i < count:
        places[n] = i
        n += np.int64(load_u32(np.uintp(rows + i * 4)) <= ROW_MASK)
        i += step
    return n, i - count
