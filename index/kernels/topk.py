"""Bounded top-k of (distance, number) pairs, packed into uint64 keys.

A key holds the distance in its high half, as bits that sort like the float, and a row or cell number in its low
half. So one integer comparison orders pairs by distance, ties by number: results do not depend on the order in
which lists are read. A max-heap of keys keeps the smallest ``k``; its root is the current threshold.
"""

from __future__ import annotations

import numpy as np

from ramet.index.kernels.compiled import njit
from ramet.index.kernels.simd import bits_float, float_bits

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SIGN = np.uint32(0x80000000)
_NAN = np.uint32(0x7FC00000)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@njit(cache=True, nogil=True, inline="always")
def pack(distance, number):
    """Key (uint64) of a float32 distance and a uint32 number; NaN of either sign sorts last, -0.0 is 0.0."""
    bits = float_bits(np.float32(distance) + np.float32(0.0))  # the sum turns -0.0 into 0.0
    if distance != distance:
        bits = _NAN  # what an invalid operation gives on x86 has its sign bit set, and would sort first
    if bits & _SIGN:
        bits = ~bits
    else:
        bits = bits | _SIGN
    return (np.uint64(bits) << _SHIFT) | np.uint64(number)


@njit(cache=True, nogil=True, inline="always")
def distance_of(key):
    """Float32 distance of a key."""
    bits = np.uint32(key >> _SHIFT)
    if bits & _SIGN:
        bits = bits & ~_SIGN
    else:
        bits = ~bits
    return bits_float(np.uint32(bits))


@njit(cache=True, nogil=True, inline="always")
def number_of(key):
    """Uint32 number of a key."""
    return np.uint32(key & _LOW)


@njit(cache=True, nogil=True)
def sift_down(heap, size, at, key):
    """Put ``key`` at ``at`` or below so that the max-heap ``heap[:size]`` is in order. O(log size)."""
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key


@njit(cache=True, nogil=True)
def insert(heap, size, key):
    """Offer ``key`` to the bounded max-heap ``heap[:size]``; returns its new size. O(log size)."""
    if size == heap.size:
        if key < heap[0]:
            sift_down(heap, size, 0, key)
        return size
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] >= key:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = key
    return size + 1


@njit(cache=True, nogil=True)
def insert_once(heap, size, key):
    """``insert`` for keys that may come again: the copies of a row in several posting lists have the same key.

    O(size), but eight keys a cycle; a key that has left the heap cannot come back, since the threshold only falls.
    """
    if size == heap.size and key >= heap[0]:
        return size
    seen = False
    for i in range(size):  # no early exit, so that LLVM can compare eight keys at a time
        seen |= heap[i] == key
    return size if seen else insert(heap, size, key)


@njit(cache=True, nogil=True)
def sort_heap(heap, size):
    """Turn the max-heap ``heap[:size]`` into ascending order, in place. O(size log size)."""
    for end in range(size - 1, 0, -1):
        key = heap[end]
        heap[end] = heap[0]
        sift_down(heap, end, 0, key)


@njit(cache=True, nogil=True)
def pack_many(distances, numbers, keys):
    """Keys of float32 (n, k) distances and int64 (n, k) numbers; negative numbers leave ``keys`` as it was."""
    for i in range(distances.shape[0]):
        for j in range(distances.shape[1]):
            if numbers[i, j] >= 0:
                keys[i, j] = pack(distances[i, j], numbers[i, j])
