"""Calls of several transactions: whether one that failed has committed some of them is said by its error."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from ramet._error import RametError

P = ParamSpec("P")
T = TypeVar("T")


class _Call:
    """A call that writes, as far as it has come."""

    __slots__ = ("committed",)

    def __init__(self) -> None:
        self.committed = False


_CALL: ContextVar[_Call | None] = ContextVar("ramet_call", default=None)


def committed() -> None:
    """Take note of a transaction that the running call has committed."""
    call = _CALL.get()
    if call is not None:
        call.committed = True


def in_parts(method: Callable[P, T]) -> Callable[P, T]:
    """A method that may take several transactions: its errors tell by ``partly_done`` whether any was committed."""

    @wraps(method)
    def called(*arguments: P.args, **options: P.kwargs) -> T:
        call = _Call()
        token = _CALL.set(call)
        try:
            return method(*arguments, **options)
        except RametError as error:
            error.partly_done = call.committed
            raise
        finally:
            _CALL.reset(token)

    return called
