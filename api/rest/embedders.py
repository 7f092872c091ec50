"""The models of a server: loaded once, shared by the collections that use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from ramet import Embedder, StaticEmbedder, TextEmbedder
from ramet.api.rest.settings import Settings
from ramet.api.rest.tokens import counted, payer

STATIC = "static:"

Timed = Callable[[str], AbstractContextManager[None]]
Seen = Callable[[str, int], None]


class Embedders:
    """Which embedder a collection is opened with.

    Parameters
    ----------
    settings : Settings
    timed : callable
        Makes a context that counts time as a stage's.
    seen : callable
        Called with a kind and a number of tokens.
    """

    def __init__(self, settings: Settings, timed: Timed, seen: Seen) -> None:
        self._default, self._named, self._timed, self._seen = settings.embedder, settings.embedders, timed, seen
        self._loaded: dict[str, TextEmbedder] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load every model that the settings name.

        Raises
        ------
        ArgumentError, MissingPackageError
            There is no such model, or the package that reads it is not installed.
        """
        for model in {self._default, *self._named.values()}:
            if model is not None:
                self._model(model)

    def named(self, collection: str) -> TextEmbedder | None:
        """The embedder that the settings name for this collection and no other."""
        return self._model(self._named[collection]) if collection in self._named else None

    @property
    def default(self) -> TextEmbedder | None:
        """The embedder of collections that none is named for."""
        return None if self._default is None else self._model(self._default)

    def _model(self, name: str) -> TextEmbedder:
        with self._lock:
            found = self._loaded.get(name)
            if found is None:
                found = self._loaded[name] = Counted(_loaded(name), self._timed, self._seen)
            return found


def _loaded(name: str) -> Any:
    return StaticEmbedder(name.removeprefix(STATIC)) if name.startswith(STATIC) else Embedder(name)


class Counted:
    """An embedder whose time is counted as the stage "embed", and whose tokens are counted against the key that asks.

    In all else it is the one that is inside.
    """

    def __init__(self, inside: Any, timed: Timed, seen: Seen) -> None:
        self._inside, self._timed, self._seen = inside, timed, seen
        self.identity: str = inside.identity
        self.dim: int = inside.dim
        self.max_tokens: int | None = inside.max_tokens

    def embed_documents(self, texts: list[str]) -> Any:
        """Vectors of documents."""
        return self._run("embed_documents", texts)

    def embed_queries(self, texts: list[str]) -> Any:
        """Vectors of queries."""
        return self._run("embed_queries", texts)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text."""
        found: list[int] = self._inside.count_tokens(texts)
        return found

    def _run(self, name: str, texts: Any) -> Any:
        with self._timed("embed"):
            if counted():
                self._count([texts] if isinstance(texts, str) else texts)
            return getattr(self._inside, name)(texts)

    def _count(self, texts: list[str]) -> None:
        """Count tokens before they are used: of requests that come at once, only those that are at it go over.

        Raises
        ------
        Refusal
            ``rate_limited``
        """
        account = payer()
        if account is not None:
            account.ask()
        n = sum(self._inside.count_tokens(texts))
        self._seen("embedded", n)
        if account is not None:
            account.spend(n)

    def __getattr__(self, name: str) -> Any:
        """What only some embedders have: vectors of tokens."""
        found = getattr(self._inside, name)
        return partial(self._run, name) if name.startswith("embed") else found

    def __repr__(self) -> str:
        return repr(self._inside)
