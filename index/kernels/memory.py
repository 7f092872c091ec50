"""System calls for kernels: prefetching and watching mapped files (Linux).

The C functions are bound by name, so that kernels that call them stay cacheable on disk.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ramet.index.kernels.compiled import njit

PAGE = 4096
WILLNEED = 3
RUSAGE_THREAD = 1
MAJOR_FAULTS = 9  # index of ru_majflt in struct rusage, in 8-byte words (two timevals, four maxima, ru_minflt)
GAP_PAGES = 4  # neighbouring extents closer than this are read as one: a read costs more than 16 KiB of bytes

madvise = types.ExternalFunction("madvise", types.int32(types.uintp, types.uintp, types.int32))
mincore = types.ExternalFunction("mincore", types.int32(types.uintp, types.uintp, types.uintp))
getrusage = types.ExternalFunction("getrusage", types.int32(types.int32, types.uintp))


@njit(cache=True, nogil=True)
def major_faults(words):
    """Major page faults of this thread so far. ``words``: int64 array of at least 18, overwritten."""
    getrusage(np.int32(RUSAGE_THREAD), np.uintp(words.ctypes.data))
    return words[MAJOR_FAULTS]


@njit(cache=True, nogil=True)
def missing_pages(address, n_bytes, flags):
    """Pages of ``[address, address + n_bytes)`` that are not in the page cache.

    ``flags``: uint8 array with one element a page, overwritten. The address is rounded down to a page. Empty flags
    mean that the kernel must not be asked, since it tells nobody but the owner (Linux 5.2): all counts as missing.
    """
    if flags.size == 0:
        return 1
    start = address & ~np.uintp(PAGE - 1)
    n_pages = min(np.intp((address + n_bytes - start + PAGE - 1) // PAGE), flags.size)
    if mincore(start, np.uintp(n_pages * PAGE), np.uintp(flags.ctypes.data)) != 0:
        return 0
    missing = 0
    for i in range(n_pages):
        missing += 1 - (flags[i] & 1)
    return missing


@njit(cache=True, nogil=True)
def will_need(spans, n, flags):
    """Start reading the spans that are not cached, neighbours together.

    Parameters
    ----------
    spans : uint64 array (m, 2), mutated
        First address and end address of each span; sorted by this function.
    n : int
        Spans in use.
    flags : uint8 array
        Scratch for residency, one element a page of the largest span.

    Returns
    -------
    int
        Spans that were not wholly cached.
    """
    for i in range(1, n):  # insertion sort: n is the number of probes
        low, high = spans[i, 0], spans[i, 1]
        j = i - 1
        while j >= 0 and spans[j, 0] > low:
            spans[j + 1, 0] = spans[j, 0]
            spans[j + 1, 1] = spans[j, 1]
            j -= 1
        spans[j + 1, 0] = low
        spans[j + 1, 1] = high
    absent = 0
    start = np.uint64(0)
    end = np.uint64(0)
    for i in range(n):
        low = spans[i, 0] & ~np.uint64(PAGE - 1)
        high = spans[i, 1]
        if missing_pages(np.uintp(low), np.uintp(high - low), flags) == 0:
            continue
        absent += 1
        if end != 0 and low <= end + np.uint64(GAP_PAGES * PAGE):
            end = max(end, high)
            continue
        if end != 0:
            madvise(np.uintp(start), np.uintp(end - start), np.int32(WILLNEED))
        start, end = low, high
    if end != 0:
        madvise(np.uintp(start), np.uintp(end - start), np.int32(WILLNEED))
    return absent
