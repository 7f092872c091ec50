"""Errors of the engine; with those of storage (``ramet.storage.errors``) they are what a caller meets.

::

    RametError
    ├── ArgumentError (ValueError)        an argument is wrong; nothing was done
    ├── UnknownCollectionError (KeyError) no collection of that name in this database
    ├── CollectionExistsError             a collection of that name is there already
    ├── NotEmptyError                     build() on a collection that has records
    └── StorageError ...                  damaged, foreign, busy, full or closed files
"""

from __future__ import annotations

from ramet._error import RametError


class ArgumentError(RametError, ValueError):
    """An argument is wrong: the message names it, says what was found and what to pass. Nothing was done."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument
        self.problem = problem

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str, str]]:
        return type(self), (self.argument, self.problem)


class UnknownCollectionError(RametError, KeyError):
    """No collection of that name in this database."""

    def __str__(self) -> str:
        return str(self.args[0])


class CollectionExistsError(RametError):
    """A collection of that name is there already."""


class NotEmptyError(RametError):
    """``build`` fills an empty collection, and this one has records."""


def one_of(value: object, argument: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of the allowed words, else `ArgumentError`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(argument, f"{value!r} is not known; use one of {', '.join(map(repr, allowed))}")
    return str(value)
