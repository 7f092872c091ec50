"""One request, tried again where that is safe, until there is an answer or an error."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ramet._error import RametError
from ramet.api.client import problems
from ramet.api.client.messages import Failure, Operation, Pause, Reply, Request, T

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Of the pauses that double, where the server does not say how long to wait."""

BUSY_S = 10.0
"""Seconds to wait for another writer when the caller does not say."""

# 503 for a reason that does not pass by waiting.
_LASTING = {"collection_quarantined", "read_only"}


@dataclass(slots=True, kw_only=True)
class Server:
    """A server as the operations of a client know it.

    Attributes
    ----------
    url : str
        Without a slash at its end.
    retries : int
        Further attempts of one request.
    wait_s : float
        Most seconds of pauses before the attempts of one request.
    max_bytes, max_records, max_queries : int
        Of one request; larger calls are divided. ``max_bytes`` falls when the server takes less.
    """

    url: str
    retries: int = 3
    wait_s: float = 30.0
    max_bytes: int = 32 << 20
    max_records: int = 8192
    max_queries: int = 1000
    random: Callable[[], float] = field(default=random.random, repr=False)

    def asked(self, request: Request, *, busy_s: float = BUSY_S) -> Operation[Reply]:
        """Ask once, and again where that helps and is safe.

        Parameters
        ----------
        request : Request
        busy_s : float
            How long to wait for another writer, in seconds.

        Returns
        -------
        Reply
            With a status of success.

        Raises
        ------
        RametError
            What the server says is wrong, by the class that the engine has for it; or `ServerError`.
        """
        attempts, waited, begun = 0, 0.0, time.monotonic()
        while True:
            answer: Reply | Failure = yield request
            attempts += 1
            if isinstance(answer, Reply) and answer.status < 300:
                return answer
            pause = self._pause(answer, request, attempts)
            if _is_busy(answer):
                room = busy_s - (time.monotonic() - begun)
            else:
                room = self.wait_s - waited if attempts <= self.retries else -1.0
            if pause is None or pause > room:
                raise self._error(answer, request, attempts)
            waited += pause
            yield Pause(pause)

    def _pause(self, answer: Reply | Failure, request: Request, attempts: int) -> float | None:
        """Seconds after which to try again; None: not at all."""
        backoff = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempts - 1)) * (0.5 + self.random() / 2)
        if isinstance(answer, Failure):
            lost = answer.sent and (answer.timed_out or not request.repeatable)
            return None if lost else backoff
        if not request.repeatable and _may_be_done(answer):
            return None
        if answer.status in (429, 503) and answer.problem.get("code") not in _LASTING:
            return backoff if answer.retry_after_s is None else answer.retry_after_s
        return backoff if answer.status == 502 and not answer.problem else None

    def _error(self, answer: Reply | Failure, request: Request, attempts: int) -> Exception:
        if isinstance(answer, Failure):
            return problems.unreachable(answer, self.url, repeatable=request.repeatable, attempts=attempts)
        return problems.error_of(answer, self.url, attempts)

    def told(self, request: Request, read: Callable[[Reply], T], *, busy_s: float = BUSY_S) -> Operation[T]:
        """Ask, and read the answer.

        Raises
        ------
        ServerResponseError
            There is less in it, or something else, than there should be.
        """
        reply = yield from self.asked(request, busy_s=busy_s)
        try:
            return read(reply)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, RametError):
                raise
            raise problems.not_understood(reply, self.url, error) from error


def _may_be_done(answer: Reply) -> bool:
    """Whether something of a write may have been committed.

    A server that says 429 or 503 says whether that is so; a proxy may say 502 or 503 when it has lost the server in the
    middle of a request.
    """
    return answer.status != 429 and (not answer.problem or answer.problem.get("partly_done") is True)


def _is_busy(answer: Reply | Failure) -> bool:
    return isinstance(answer, Reply) and answer.problem.get("code") == "writer_busy"
