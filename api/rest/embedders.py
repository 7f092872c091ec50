"""The models of a server: loaded once, shared by the collections that use them."""

from __future__ import annotations

import threading
from typing import Any

from ramet import Embedder, StaticEmbedder, TextEmbedder
from ramet.api.rest.settings import Settings

STATIC = "static:"


class Embedders:
    """Which embedder a collection is opened with."""

    def __init__(self, settings: Settings) -> None:
        self._default, self._named = settings.embedder, settings.embedders
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
                found = self._loaded[name] = _loaded(name)
            return found


def _loaded(name: str) -> Any:
    return StaticEmbedder(name.removeprefix(STATIC)) if name.startswith(STATIC) else Embedder(name)
