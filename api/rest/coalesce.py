"""Concurrent single queries, answered together: one call of the engine for all that wait and ask alike.

A query that comes when a thread is free is searched at once. While all threads are busy, queries gather; whichever
thread is free next takes all that differ in nothing but the vector, up to `TOGETHER`. So nothing waits for company,
and the more requests come, the less each of them costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ramet import Collection
from ramet.api.rest.answers import bodies_of
from ramet.api.rest.pool import OverloadedError, Pool, back, deliver
from ramet.engine.allowance import at_most

TOGETHER = 16
"""Queries of one call of the engine, at most: one thread searches while others do, or answers are sent. With 64
requests in flight on 2 cores, 64 together came to 3,083 queries/s, 32 to 3,702, 16 to 3,939, 8 to 3,602."""


class Ask(NamedTuple):
    """Everything about a query but its vector."""

    collection: Collection
    dim: int
    """Of the vector: a wrong one must not meet others in one array."""
    tenants: tuple[str, ...]
    k: int = 10
    recall: float | None = None
    nprobe: int | None = None
    exact: bool = False
    prune: float | None = None
    include: tuple[str, ...] | None = None


Waiting = tuple[Any, "asyncio.Future[bytes]"]


class Coalescer:
    """Searches, off the event loop.

    All of it but the work of the threads runs on one event loop; there are no locks. A bucket is a queue that the
    event loop fills and one or more threads empty. Whoever makes it non-empty (the loop that puts the first query in,
    or a thread that leaves some behind) has it entered in the pool's queue, so no query is forgotten; a bucket that
    turns out to be empty costs nothing.

    Parameters
    ----------
    pool : Pool
    seen : callable, optional
        Called on the event loop with the number of queries that were answered together, and the seconds it took.
    most_bytes : int
        What one call of the engine may read of documents and metadata; what is more fails, alone.
    """

    def __init__(
        self, pool: Pool, seen: Callable[[int, float], None] | None = None, most_bytes: int = 64 << 20
    ) -> None:
        self._pool = pool
        self._seen = seen
        self._most_bytes = most_bytes
        self._buckets: dict[Ask, deque[Waiting]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def search(self, ask: Ask, vector: Any) -> asyncio.Future[bytes]:
        """The answer to a query, as JSON; the vector is a list of numbers or an array (dim,).

        Raises
        ------
        OverloadedError
            Too many requests wait.
        """
        pool = self._pool
        if pool.n_waiting >= pool.most_waiting:
            raise OverloadedError("queries")
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        bucket = self._buckets.get(ask)
        if bucket is None:
            bucket = self._buckets[ask] = deque()
        pool.n_waiting += 1
        bucket.append((vector, future))
        if len(bucket) == 1:
            pool.put(lambda: self._take(ask, bucket))
        return future

    def _take(self, ask: Ask, bucket: deque[Waiting]) -> None:
        """Answer what waits in a bucket; on a thread of the pool."""
        taken: list[Waiting] = []
        try:
            while len(taken) < TOGETHER:
                taken.append(bucket.popleft())
        except IndexError:
            pass
        if bucket:
            self._pool.put(lambda: self._take(ask, bucket))
        if not taken:
            return
        wanted = [one for one in taken if not one[1].cancelled()]
        begin = perf_counter()
        answers = _answers(ask, [vector for vector, _ in wanted], self._most_bytes) if wanted else []
        seconds = perf_counter() - begin
        assert self._loop is not None
        back(self._loop, self._deliver, ask, len(taken), seconds, [future for _, future in wanted], answers)

    def _deliver(
        self,
        ask: Ask,
        n_taken: int,
        seconds: float,
        futures: list[asyncio.Future[bytes]],
        answers: list[bytes | BaseException],
    ) -> None:
        """Hand out answers; on the event loop."""
        self._pool.n_waiting -= n_taken
        for future, answer in zip(futures, answers, strict=True):
            if isinstance(answer, bytes):
                deliver(future, answer, None)
            else:
                deliver(future, None, answer)
        if not self._buckets.get(ask, True):  # empty: only this loop fills it, so it can be forgotten
            del self._buckets[ask]
        if self._seen is not None:
            self._seen(n_taken, seconds)


def _answers(ask: Ask, vectors: list[Any], most_bytes: int) -> list[bytes | BaseException]:
    """Answers or errors, one for each vector."""
    try:
        with np.errstate(over="ignore"):
            block = np.array(vectors, np.float32)
        with at_most(most_bytes):
            return list(bodies_of(_hits(ask, block)))
    except BaseException as error:
        if len(vectors) == 1:
            return [error]
    return [answer for vector in vectors for answer in _answers(ask, [vector], most_bytes)]  # one bad query fails alone


def _hits(ask: Ask, block: Any) -> Any:
    return ask.collection.query(
        block,
        ask.k,
        tenant=ask.tenants if len(ask.tenants) > 1 else ask.tenants[0],
        recall=ask.recall,
        nprobe=ask.nprobe,
        exact=ask.exact,
        prune=ask.prune,
        include=ask.include,
        n_threads=1,
    )
