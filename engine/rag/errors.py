"""Errors of language models.

::

    LlmError                    what a backend did wrong; carries the selection when there was one
    ├── LlmUnavailableError     nobody answers at that address, also after retries
    ├── LlmTimeoutError         no whole answer within the time
    ├── LlmRefusedError         the backend says no: key, model, a prompt that is too long, too many requests
    └── LlmResponseError        what came is no answer: not JSON, no text, a stream that broke off
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ramet._error import RametError

if TYPE_CHECKING:
    from ramet.engine.rag.selection import Selection


class LlmError(RametError):
    """A language model gave no answer.

    Attributes
    ----------
    backend : str
        Which one.
    problem : str
        What went wrong, and what to do.
    selection : Selection or None
        What it was to read; selecting it again is not necessary.
    partial : str
        What had come of the answer.
    """

    def __init__(self, backend: str, problem: str, *, partial: str = "") -> None:
        super().__init__(f"{backend}: {problem}")
        self.backend = backend
        self.problem = problem
        self.partial = partial
        self.selection: Selection | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.backend, self.problem, self.partial, self.selection)


class LlmUnavailableError(LlmError):
    """Nobody answers at the backend's address, also after retries."""


class LlmTimeoutError(LlmError):
    """No whole answer came within the time."""


class LlmRefusedError(LlmError):
    """The backend refuses: key, model, a prompt that is too long, too many requests."""


class LlmResponseError(LlmError):
    """What the backend sent is no answer: not JSON, no text, a stream that broke off."""


def _again(kind: type[LlmError], backend: str, problem: str, partial: str, selection: Selection | None) -> LlmError:
    """An error that came from another process."""
    error = kind(backend, problem, partial=partial)
    error.selection = selection
    return error
