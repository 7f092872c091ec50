"""Threads for what must not run on the event loop, with a bound on what waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


class OverloadedError(Exception):
    """More work waits than the server takes on; the client is to try again later."""

    def __init__(self, what: str, retry_after_s: int = 1) -> None:
        super().__init__(f"too many {what} wait already; try again later")
        self.retry_after_s = retry_after_s


def deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Answer a future that nobody has cancelled; on its event loop only."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Pool:
    """Threads that take work in the order in which it came.

    Handing work over never waits for a lock: the queue's ``put`` is one step in C.

    Parameters
    ----------
    n_threads : int
    most_waiting : int
        Calls of `run` that may be unanswered at a time.
    name : str
        Of the threads.
    waited : callable, optional
        Called on a thread with the seconds that what it takes has waited.
    """

    def __init__(
        self, n_threads: int, most_waiting: int, name: str, waited: Callable[[float], None] | None = None
    ) -> None:
        self.n_threads, self.most_waiting, self._name, self._waited = n_threads, most_waiting, name, waited
        self._work: queue.SimpleQueue[tuple[float, Callable[[], None]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.n_waiting = 0
        """Calls that are not answered yet; counted on the event loop only."""

    def put(self, work: Callable[[], None]) -> None:
        """Have a thread call something that raises nothing."""
        if len(self._threads) < self.n_threads:  # on first use, so that a process that forks has none
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put((perf_counter(), work))

    def _serve(self) -> None:
        while (taken := self._work.get()) is not None:
            begin, work = taken
            if self._waited is not None:
                self._waited(perf_counter() - begin)
            work()
            del taken, work  # what it refers to is not kept until the next one comes

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Call something on one of the threads; the future has what it returns or raises.

        A future that is cancelled before its turn is passed over.

        Raises
        ------
        OverloadedError
            Too many calls wait.
        """
        if self.n_waiting >= self.most_waiting:
            raise OverloadedError("requests")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        self.n_waiting += 1

        def job() -> None:
            result, error = None, None
            if not future.cancelled():
                try:
                    result = context.run(work)
                except BaseException as raised:
                    error = raised
            back(loop, self._done, future, result, error)

        self.put(job)
        return future

    def _done(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self.n_waiting -= 1
        deliver(future, result, error)

    def close(self) -> None:
        """Let the threads end when they have done what waits."""
        for _ in self._threads:
            self._work.put(None)
        self._threads.clear()


def back(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    """Call something on an event loop, unless it is gone by now, with everybody who waited."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
