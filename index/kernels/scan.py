"""Scan one posting list into a bounded heap, one function for each kind of list.

A list is an extent with columns: rows uint32[cap], factor columns 4-byte words [cap], codes [cap][width]; every column
starts at a multiple of 64 bytes because cap is a multiple of 16 (``docs/storage-format.md``). All scans take the
address of the extent, offer ``(distance, row)`` keys to the heap and return its new size. Row numbers that a
damaged file could hold are checked before they are offered, so that no later step reads out of bounds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ramet.index.kernels.plan import COSINE, FLOAT16, INT8, IP, L2, ROW_MASK
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


@njit(cache=True, nogil=True, inline="always")
def threshold(heap, size):
    """Largest distance that can still enter the heap."""
    return np.float32(np.inf) if size < heap.size else distance_of(heap[0])


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
    alpha = np.float32(0.0) if metric == IP else np.float32(1.0)
    beta = np.float32(1.0) if metric == IP else np.float32(2.0)
    base = alpha * scalars[NORM2]
    offset = np.float32(128.0) * scalars[SUM8]
    for i in range(count):
        row = first + i
        ahead = codes + row * dim + AHEAD
        prefetch(np.uintp(ahead))
        prefetch(np.uintp(ahead + 64))
        product = np.float32(dot_u8_s8(np.uintp(codes + row * dim), signed, dim)) - offset
        at = factors + row * 4
        norm = load_f32(np.uintp(at))
        mid = load_f32(np.uintp(at + column))
        step = load_f32(np.uintp(at + 2 * column))
        inner = mid * scalars[SUM] + step * (scalars[SCALE] * product)
        out[i] = base + alpha * norm - beta * inner


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
        at = np.uintp(codes + i * width)
        if metric == L2:
            out[i] = l2_f32_f16(query, at, dim) if kind == FLOAT16 else l2_f32(query, at, dim)
        else:
            inner = dot_f32_f16(query, at, dim) if kind == FLOAT16 else dot_f32(query, at, dim)
            if metric == COSINE:
                out[i] = np.float32(1.0) - inner * load_f32(np.uintp(extent + column + 4 * i))
            else:
                out[i] = -inner
    return offer(out, count, extent, n_rows, heap, size)


@njit(cache=True, nogil=True)
def scan_bytes(extent, capacity, count, n_rows, dim, kind, operand, norm, metric, out, heap, size):
    """Scan a list of int8 or uint8 rows; integer arithmetic, rounded once to float32.

    ``operand``: address of the query's bytes (``prepare_bytes``); ``norm``: its squared norm.
    """
    column = 4 * capacity
    codes = extent + 3 * column
    for i in range(count):
        at = np.uintp(codes + i * dim)
        total = np.int64(load_i32(np.uintp(extent + 2 * column + 4 * i)))
        if kind == INT8:
            inner = np.int64(dot_u8_s8(operand, at, dim)) - 128 * total
        else:
            inner = np.int64(dot_u8_s8(at, operand, dim)) + 128 * total
        length = np.int64(load_i32(np.uintp(extent + column + 4 * i)))
        if metric == L2:
            out[i] = np.float32(norm + length - 2 * inner)
        elif metric == COSINE:
            lengths = np.float64(norm) * np.float64(length)  # not positive in a damaged list only
            out[i] = np.float32(1.0 - inner / np.sqrt(lengths)) if lengths > 0.0 else np.float32(1.0)
        else:
            out[i] = np.float32(-inner)
    return offer(out, count, extent, n_rows, heap, size)
