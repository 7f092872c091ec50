"""The process's search threads: one pool, made on first use and again after a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """A forked child has the pool object but none of its threads."""
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget)


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def search_pool() -> ThreadPoolExecutor:
    """The pool that searches of batches share; kernels release the GIL."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(n_cores(), thread_name_prefix="ramet-search")
    return _pool


def in_pieces(work: Callable[[int, int], Any], n: int, n_threads: int, smallest: int) -> None:
    """Run ``work(first, last)`` over ``range(n)`` in pieces on the search threads, or here when there is one piece.

    Several pieces a thread, so that a slow core does not hold up the batch.
    """
    pieces = min(4 * n_threads, max(1, n // smallest)) if n_threads > 1 else 1
    if pieces == 1:
        work(0, n)
        return
    bounds = [n * i // pieces for i in range(pieces + 1)]
    pool = search_pool()
    futures = [pool.submit(work, low, high) for low, high in pairwise(bounds)]
    wait(futures)
    for future in futures:
        future.result()
