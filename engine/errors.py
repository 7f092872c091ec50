"""Errors of the engine; with those of storage (``ramet.storage.errors``) they are what a caller meets.

::

    RametError
    ├── ArgumentError (ValueError)        an argument is wrong; nothing was done
    ├── UnknownCollectionError (KeyError) no collection of that name in this database
    ├── CollectionExistsError             a collection of that name is there already
    ├── NotEmptyError                     build() on a collection that has records
    ├── UnknownTenantError (KeyError)     no tenant of that name
    ├── UnknownIdError (KeyError)         no record of that id
    ├── NotOwnerError                     the record belongs to another tenant
    ├── ConflictError                     the tenant has a record of that id already
    ├── MissingEmbedderError              a text came to a collection that was opened without an embedder
    ├── ModelMismatchError                the embedder's model is not the one that made the collection's vectors
    ├── AnalysisMismatchError             another release would find other words than those that are stored
    ├── MissingPackageError (ImportError)  an optional package is not installed; the message names the extra
    └── StorageError ...                  damaged, foreign, busy, full or closed files
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ramet._error import RametError


class ArgumentError(RametError, ValueError):
    """An argument is wrong: the message names it, says what was found and what to pass. Nothing was done."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument
        self.problem = problem

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str, str]]:
        return type(self), (self.argument, self.problem)


class MissingPackageError(RametError, ImportError):
    """A package that only some users need is not installed: the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed; install it with: pip install "ramet[{extra}]"')
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        return type(self), (self.package, self.extra)


class UnknownCollectionError(RametError, KeyError):
    """No collection of that name in this database."""

    def __str__(self) -> str:
        return str(self.args[0])


class CollectionExistsError(RametError):
    """A collection of that name is there already."""


class NotEmptyError(RametError):
    """``build`` fills an empty collection, and this one has records."""


def _some(ids: list[str]) -> str:
    """The first ids of a list, to show."""
    shown = ", ".join(map(repr, ids[:5]))
    return f"{shown} and {len(ids) - 5} more" if len(ids) > 5 else shown


class UnknownTenantError(RametError, KeyError):
    """No tenant of that name in this collection. Nothing was done."""

    def __init__(self, tenant: str, argument: str) -> None:
        self.problem = f"no tenant {tenant!r} in this collection; tenants() names those that there are"
        super().__init__(f"{argument}: {self.problem}")
        self.tenant = tenant
        self.argument = argument

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[UnknownTenantError], tuple[str, str]]:
        return type(self), (self.tenant, self.argument)


class UnknownIdError(RametError, KeyError):
    """A tenant has no record of that id. Nothing was done."""

    def __init__(self, tenant: str, ids: list[str]) -> None:
        super().__init__(f"ids: tenant {tenant!r} has no {_some(ids)}; insert the records first")
        self.tenant = tenant
        self.ids = ids

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[UnknownIdError], tuple[str, list[str]]]:
        return type(self), (self.tenant, self.ids)


class NotOwnerError(RametError):
    """The records belong to another tenant, which granted them to this one. Nothing was done."""

    def __init__(self, tenant: str, ids: list[str]) -> None:
        super().__init__(
            f"ids: {_some(ids)} are granted to tenant {tenant!r}, not owned by it; only the owner may replace, delete, "
            "grant or revoke them (the owner can revoke the grant)"
        )
        self.tenant = tenant
        self.ids = ids

    def __reduce__(self) -> tuple[type[NotOwnerError], tuple[str, list[str]]]:
        return type(self), (self.tenant, self.ids)


class ConflictError(RametError):
    """A tenant has records of these ids already. Nothing was done."""

    def __init__(self, tenant: str, ids: list[str], advice: str) -> None:
        super().__init__(f"ids: tenant {tenant!r} has {_some(ids)} already; {advice}")
        self.tenant = tenant
        self.ids = ids
        self.advice = advice

    def __reduce__(self) -> tuple[type[ConflictError], tuple[str, list[str], str]]:
        return type(self), (self.tenant, self.ids, self.advice)


class MissingEmbedderError(RametError):
    """A text has to be embedded, and the collection was opened without an embedder. Nothing was done."""

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection {collection!r} was opened without an embedder, so it cannot make vectors of texts: open it "
            'with db.collection(name, embedder=ramet.Embedder(...)), which needs pip install "ramet[text]", or pass '
            "vectors"
        )
        self.collection = collection

    def __reduce__(self) -> tuple[type[MissingEmbedderError], tuple[str]]:
        return type(self), (self.collection,)


class AnalysisMismatchError(RametError):
    """The words of the collection's documents were found by other rules or another stemmer. Nothing was done."""

    def __init__(self, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        was, now = (
            f"language {one.get('language')!r}, rules {one.get('version')}, PyStemmer {one.get('stemmer') or '-'}"
            for one in (known, given)
        )
        super().__init__(
            f"documents: the words of this collection were found with {was}, here it is {now}; words of both cannot "
            "be mixed: install that release of PyStemmer (or of ramet, for other rules), or copy the records to a new "
            "collection. Queries go on working"
        )
        self.known, self.given = dict(known), dict(given)

    def __reduce__(self) -> tuple[type[AnalysisMismatchError], tuple[dict[str, Any], dict[str, Any]]]:
        return type(self), (self.known, self.given)


class ModelMismatchError(RametError):
    """The embedder's model is not the one that made the vectors of the collection. Nothing was done."""

    def __init__(self, collection: str, known: str, given: str) -> None:
        super().__init__(
            f"embedder: the vectors of collection {collection!r} were made by {known}, this embedder is {given}; "
            "vectors of different models cannot be compared: use that model, or make a new collection for this one"
        )
        self.collection, self.known, self.given = collection, known, given

    def __reduce__(self) -> tuple[type[ModelMismatchError], tuple[str, str, str]]:
        return type(self), (self.collection, self.known, self.given)


def one_of(value: object, argument: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of the allowed words, else `ArgumentError`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(argument, f"{value!r} is not known; use one of {', '.join(map(repr, allowed))}")
    return str(value)
