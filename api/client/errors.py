"""Errors of a client, where the embedded engine has none.

::

    RametError
    └── ServerError                  the server says no, and the engine has no name for it
        ├── ServerUnavailableError   nobody answers, the connection broke off, or it is too busy, also after retries
        │   └── ServerTimeoutError   no answer within the time
        ├── ServerRefusedError       key, rights, limits: the request may not be made, or not now
        └── ServerResponseError      what came is no answer of a Ramet server

Everything that the engine raises, a client raises by the same class (`ramet.api.client.problems`).
"""

from __future__ import annotations

from typing import Any

from ramet._error import RametError


class ServerError(RametError):
    """A server did not do what was asked.

    Attributes
    ----------
    url : str
        Of the server.
    problem : str
        What is wrong, and what to do.
    status : int or None
        Of HTTP, when there was an answer.
    code : str or None
        By which the server names the error.
    request_id : str or None
        By which its log names the request.
    retry_after_s : float or None
        Seconds after which the server asks to try again.
    """

    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"{url}: {problem}")
        self.url = url
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.url, self.problem, self.__dict__)


class ServerUnavailableError(ServerError):
    """Nobody answers, the connection broke off, or the server is too busy; also after retries."""


class ServerTimeoutError(ServerUnavailableError):
    """No answer came within the time. Whether the call was carried out is not known."""


class ServerRefusedError(ServerError):
    """The key is missing or wrong or lacks a right, or a limit of the server is exceeded. Nothing was done."""


class ServerResponseError(ServerError):
    """What came is no answer of a Ramet server, or of one of another release."""


def _again(kind: type[ServerError], url: str, problem: str, details: dict[str, Any]) -> ServerError:
    """An error that came from another process."""
    error = kind(url, problem)
    error.__dict__.update(details)
    return error
