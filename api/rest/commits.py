"""Writes of concurrent requests, in order and with commits in common.

Each collection that is being written to has one thread, which takes what waits in the order in which it came. While it
commits, upserts gather; the next commit takes all that may be joined. A request is answered after its commit, so a
success means what the collection's durability promises, as if it had been alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from ramet import (
    AccessError,
    ClosedError,
    Collection,
    CorruptionError,
    MissingError,
    ReadOnlyError,
    UpsertReport,
    WriterBusyError,
)
from ramet.api.rest.pool import OverloadedError, back, deliver
from ramet.engine.embedded import Embedded

T = TypeVar("T")

RECORDS_TOGETHER = 4_096
"""Records of a joint upsert, at most: the engine writes so many in one transaction, so all of them or none."""

TENANTS_TOGETHER = 256
"""And tenants."""

BYTES_TOGETHER = 32 << 20
"""And bytes of documents."""

MOST_BYTES_WAITING = 512 << 20
"""Bytes of vectors and documents that may wait for commits."""

WAIT_S = 10.0
"""Seconds to wait for another process that writes."""

_FOR_ALL = (AccessError, ClosedError, CorruptionError, MissingError, ReadOnlyError, WriterBusyError)
"""What would happen to each request alone as well."""


@dataclass(slots=True, kw_only=True)
class Upsert:
    """What one request wants to have stored; lists of equal length."""

    ids: list[str]
    tenants: list[str]
    """The owner of each."""
    vectors: Any = None
    """Array (n, dim), or a list with None for records without one, or what the embedder made; None: there are none."""
    documents: list[str | None] | None = None
    metadata: list[dict[str, Any] | None] | None = None
    on_conflict: str = "replace"

    @property
    def kind(self) -> tuple[Any, ...]:
        """Upserts of the same kind may be joined: then none makes the engine refuse the others for their form."""
        vectors = self.vectors
        if isinstance(vectors, Embedded):
            return self.on_conflict, vectors.embedder.identity
        shape = (vectors.shape[1:], vectors.dtype.str) if isinstance(vectors, np.ndarray) else type(vectors)
        return self.on_conflict, shape

    @property
    def document_bytes(self) -> int:
        """Of all documents, as the engine counts them: it writes no more than so many in one transaction."""
        return sum(len(text) if text.isascii() else 4 * len(text) for text in self.documents or () if text is not None)

    @property
    def n_bytes(self) -> int:
        """Of vectors and documents, about."""
        vectors = self.vectors.block if isinstance(self.vectors, Embedded) else self.vectors
        if isinstance(vectors, np.ndarray):
            return self.document_bytes + int(vectors.nbytes)
        return self.document_bytes + sum(32 * len(vector) for vector in vectors or () if vector is not None)


@dataclass(slots=True, kw_only=True)
class _Job:
    """A request that waits."""

    future: asyncio.Future[Any]
    n_bytes: int
    records: Upsert | None = None
    work: Callable[[], Any] | None = None
    """Instead of records."""


class Commits:
    """The writing side of the server. Its methods belong to one event loop.

    Parameters
    ----------
    most_waiting : int
        Writes that may be unanswered at a time.
    seen : callable, optional
        Called on the event loop with the number of upserts that had one commit, and the seconds it took.
    """

    def __init__(self, most_waiting: int = 1_024, seen: Callable[[int, float], None] | None = None) -> None:
        self._most_waiting, self._seen = most_waiting, seen
        self._writers: dict[Collection, _Writer] = {}
        self.n_waiting = 0
        self.n_bytes = 0

    def upsert(self, collection: Collection, records: Upsert) -> asyncio.Future[UpsertReport]:
        """Store records; the future has the report on these records once they are committed.

        Raises
        ------
        OverloadedError
            Too many writes wait.
        """
        return self._enter(collection, _Job(future=_future(), n_bytes=records.n_bytes, records=records))

    def run(self, collection: Collection, work: Callable[[], T]) -> asyncio.Future[T]:
        """Call something that writes, when its turn has come; the future has what it returns or raises.

        Raises
        ------
        OverloadedError
        """
        context = contextvars.copy_context()
        return self._enter(collection, _Job(future=_future(), n_bytes=0, work=lambda: context.run(work)))

    async def drain(self) -> None:
        """Wait until nothing waits."""
        while self.n_waiting:
            await asyncio.sleep(0.005)

    def _enter(self, collection: Collection, job: _Job) -> asyncio.Future[Any]:
        if self.n_waiting >= self._most_waiting or (self.n_waiting and self.n_bytes + job.n_bytes > MOST_BYTES_WAITING):
            raise OverloadedError("writes")
        self.n_waiting += 1
        self.n_bytes += job.n_bytes
        writer = self._writers.get(collection)
        if writer is None:
            writer = self._writers[collection] = _Writer(collection, self._answer, self._ended)
        writer.jobs.append(job)
        if len(writer.jobs) and not writer.running:
            writer.start()
        return job.future

    def _answer(self, jobs: list[_Job], answers: list[Any], n_joined: int, seconds: float) -> None:
        """Hand out answers; on the event loop."""
        for job, answer in zip(jobs, answers, strict=True):
            self.n_waiting -= 1
            self.n_bytes -= job.n_bytes
            if isinstance(answer, BaseException):
                deliver(job.future, None, answer)
            else:
                deliver(job.future, answer, None)
        if self._seen is not None and n_joined:
            self._seen(n_joined, seconds)

    def _ended(self, writer: _Writer) -> None:
        """A writer's thread found nothing more to do; what has come meanwhile gets another one."""
        writer.running = False
        if writer.jobs:
            writer.start()
        else:
            del self._writers[writer.collection]


class _Writer:
    """One collection's queue, and the thread that works it off, which lives as long as there is something in it."""

    def __init__(self, collection: Collection, answer: Callable[..., None], ended: Callable[[_Writer], None]) -> None:
        self.collection = collection
        self.jobs: deque[_Job] = deque()
        """The event loop appends on the right, the thread takes on the left."""
        self.running = False
        self._answer, self._ended = answer, ended

    def start(self) -> None:
        """Work the queue off on a thread. Python's end waits for it: a commit that has begun is not cut off."""
        self.running = True
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(loop,), name=f"ramet-write-{self.collection.name}").start()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while self.jobs:
            joined = self._next()
            wanted = [job for job in joined if not job.future.cancelled()]
            given_up = [job for job in joined if job.future.cancelled()]
            back(loop, self._answer, given_up, [None] * len(given_up), 0, 0.0)
            if wanted:
                self._do(wanted, loop)
        back(loop, self._ended, self)

    def _next(self) -> list[_Job]:
        """The first job that waits, and those behind it that may share its commit."""
        first = self.jobs.popleft()
        if first.records is None:
            return [first]
        joined = _Joined(first.records)
        taken = [first]
        while self.jobs and (records := self.jobs[0].records) is not None and joined.takes(records):
            taken.append(self.jobs.popleft())
        return taken

    def _do(self, jobs: list[_Job], loop: asyncio.AbstractEventLoop) -> None:
        """Do jobs in one commit; if that fails for the sake of one of them, each in its own."""
        n_joined = len(jobs) if jobs[0].records is not None else 0
        begin = perf_counter()
        try:
            answers: list[Any] = _done(self.collection, jobs)
        except BaseException as error:
            if len(jobs) > 1 and not isinstance(error, _FOR_ALL):
                for job in jobs:
                    self._do([job], loop)
                return
            answers = [error] * len(jobs)
        back(loop, self._answer, jobs, answers, n_joined, perf_counter() - begin)


class _Joined:
    """Upserts that are to be one, as far as it takes to know whether another one may join them."""

    def __init__(self, first: Upsert) -> None:
        self._kind = first.kind
        self._keys: set[tuple[str, str]] = set()
        self._tenants: set[str] = set()
        self._n_bytes = 0
        self._add(first, list(zip(first.tenants, first.ids, strict=True)))

    def _add(self, records: Upsert, keys: list[tuple[str, str]]) -> None:
        self._keys.update(keys)
        self._tenants.update(records.tenants)
        self._n_bytes += records.document_bytes

    def takes(self, records: Upsert) -> bool:
        """Let another upsert join if it may."""
        if records.kind != self._kind or len(self._keys) + len(records.ids) > RECORDS_TOGETHER:
            return False
        if len(self._tenants.union(records.tenants)) > TENANTS_TOGETHER:
            return False
        if self._n_bytes + records.document_bytes > BYTES_TOGETHER:
            return False
        keys = list(zip(records.tenants, records.ids, strict=True))
        if not self._keys.isdisjoint(keys):
            return False  # the later one is to replace the earlier one
        self._add(records, keys)
        return True


def _done(collection: Collection, jobs: Sequence[_Job]) -> list[Any]:
    """Do one job, or joint upserts, and return the answer to each."""
    work = jobs[0].work
    if work is not None:
        return [work()]
    wanted = [job.records for job in jobs if job.records is not None]
    report = collection.upsert(
        [name for one in wanted for name in one.ids],
        _vectors([one.vectors for one in wanted]),
        documents=_column([one.documents for one in wanted], wanted),
        metadata=_column([one.metadata for one in wanted], wanted),
        tenant=_tenants(wanted),
        on_conflict=wanted[0].on_conflict,
        timeout_s=WAIT_S,
    )
    return _shares(report, wanted)


def _vectors(parts: list[Any]) -> Any:
    """All vectors; the parts are of one form."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if isinstance(parts[0], Embedded):
        return Embedded.joined(parts)
    return [vector for part in parts for vector in part]


def _column(parts: list[list[Any] | None], wanted: list[Upsert]) -> list[Any] | None:
    """Documents or metadata of all, None where a request has none."""
    if all(part is None for part in parts):
        return None
    filled = ([None] * len(one.ids) if part is None else part for part, one in zip(parts, wanted, strict=True))
    return [value for part in filled for value in part]


def _shares(report: UpsertReport, wanted: list[Upsert]) -> list[UpsertReport]:
    """What of a joint report is about the records of each request."""
    if len(wanted) == 1:
        return [report]
    ends = np.cumsum([len(one.ids) for one in wanted])
    known = np.bincount(np.searchsorted(ends, report.there, side="right"), minlength=len(wanted)).tolist()
    skips = wanted[0].on_conflict == "skip"
    return [
        UpsertReport(n_inserted=len(one.ids) - n, n_replaced=0 if skips else n, n_skipped=n if skips else 0)
        for one, n in zip(wanted, known, strict=True)
    ]


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _tenants(wanted: list[Upsert]) -> str | list[str]:
    """Whose the records are: one name where it is the same for all, which spares the engine sorting them."""
    owners = [tenant for one in wanted for tenant in one.tenants]
    return owners[0] if len(set(owners)) == 1 else owners
