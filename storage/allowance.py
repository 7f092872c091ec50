"""How much a caller lets be read of what records carry: who answers strangers bounds what one answer takes of memory.

The limit belongs to the running context (thread or task) and not to a snapshot, as one answer may take several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ramet.storage.errors import ReadLimitError


class _Allowance:
    """Bytes that may still be read."""

    __slots__ = ("left", "most")

    def __init__(self, most: int) -> None:
        self.most = self.left = most


_CURRENT: ContextVar[_Allowance | None] = ContextVar("ramet_allowance", default=None)


@contextmanager
def at_most(n_bytes: int) -> Iterator[None]:
    """Let documents, metadata and vectors of so many bytes be read inside, each as often as it is asked for.

    Reading more raises `ReadLimitError`, before the rest is read.
    """
    token = _CURRENT.set(_Allowance(n_bytes))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def spend(n_bytes: int) -> None:
    """Count bytes that are read, or are about to be.

    Raises
    ------
    ReadLimitError
        They are more than `at_most` lets be read.
    """
    current = _CURRENT.get()
    if current is not None:
        current.left -= n_bytes
        if current.left < 0:
            raise ReadLimitError(current.most)
