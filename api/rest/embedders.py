"""The models of a server: loaded once, shared by the collections that use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from ramet import Embedder, StaticEmbedder, TextEmbedder
from ramet.api.rest.settings import Settings

STATIC = "static:"

Timed = Callable[[str], AbstractContextManager[None]]


class Embedders:
    """Which embedder a collection is opened with."""

    def __init__(self, settings: Settings, timed: Timed) -> None:
        self._default, self._named, self._timed = settings.embedder, settings.embedders, timed
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
                found = self._loaded[name] = _Counted(_loaded(name), self._timed)
            return found


def _loaded(name: str) -> Any:
    return StaticEmbedder(name.removeprefix(STATIC)) if name.startswith(STATIC) else Embedder(name)


class _Counted:
    """An embedder whose time is counted as the stage "embed"; in all else the one that is inside."""

    def __init__(self, inside: Any, timed: Timed) -> None:
        self._inside, self._timed = inside, timed
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

    def _run(self, name: str, *arguments: Any) -> Any:
        with self._timed("embed"):
            return getattr(self._inside, name)(*arguments)

    def __getattr__(self, name: str) -> Any:
        """What only some embedders have: vectors of tokens."""
        found = getattr(self._inside, name)
        return partial(self._run, name) if name.startswith("embed") else found

    def __repr__(self) -> str:
        return repr(self._inside)
