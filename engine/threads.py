"""The process's search threads: one pool, made on first use and again after a fork."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
    """Run ``work(first, last)`` over ``range(n)`` in pieces, on at most ``n_threads`` of the search threads.

    The threads take the next piece when they are done with one, so that a slow core does not hold up the batch. On
    any exception, KeyboardInterrupt included, this waits for the pieces that are running: they read memory that the
    caller gives back afterwards.
    """
    n_runners = min(n_threads, n_cores(), max(1, n // smallest))
    if n_runners == 1:
        work(0, n)
        return
    pieces = min(4 * n_runners, max(1, n // smallest))
    bounds = [n * i // pieces for i in range(pieces + 1)]
    rest = iter(list(pairwise(bounds)))  # a list's iterator: taking from it is atomic under the interpreter's lock

    def runner() -> None:
        try:
            for first, last in rest:
                work(first, last)
        finally:
            collections.deque(rest, maxlen=0)  # after an error: leave no piece to take

    pool = search_pool()
    futures: list[Future[None]] = []
    try:
        futures.extend(pool.submit(runner) for _ in range(n_runners))
        for future in futures:
            future.result()
    finally:
        collections.deque(rest, maxlen=0)
        wait(futures)
