"""What a client knows of a collection without asking, alike for both kinds of client."""

from __future__ import annotations

from typing import Any

from ramet.api.client.asking import Server
from ramet.api.client.collection_calls import CollectionCalls
from ramet.api.client.rag_calls import RagCalls
from ramet.api.client.reading import Reading
from ramet.api.client.results import Facts
from ramet.api.client.upkeep import Upkeep
from ramet.api.client.writing import Writing


class Calls(Reading, Writing, Upkeep, RagCalls):
    """All operations on a collection."""


class Described:
    """Properties of a collection on a server."""

    def __init__(self, transport: Any, server: Server, facts: Facts) -> None:
        self._transport = transport
        self._calls = Calls(server, facts)
        self._facts = facts
        self._server = server
        self._settings = facts.settings
        self._closed = False

    name = property(lambda self: self._facts.name, doc="Name of the collection.")
    url = property(lambda self: self._server.url + self._calls.path, doc="Address of the collection.")
    dim = property(lambda self: self._settings.dim, doc="Dimension of the vectors.")
    metric = property(lambda self: self._settings.metric_name, doc='"cosine", "l2" or "ip".')
    dtype = property(lambda self: self._settings.dtype_name, doc='"float32", "float16", "int8" or "uint8".')
    language = property(lambda self: self._settings.language, doc="How documents are taken apart into words.")
    durability = property(lambda self: self._settings.durability, doc='"commit" or "batch".')
    codes = property(lambda self: self._settings.codes, doc='What posting lists hold: "none" or "sq8".')
    embedder = property(lambda self: self._facts.embedder, doc="Which model makes vectors of texts, or None.")
    closed = property(lambda self: self._closed or self._transport.closed, doc="Whether it was closed.")

    def __bool__(self) -> bool:
        """Always true: an empty collection is a collection."""
        return True

    def __repr__(self) -> str:
        s = self._settings
        kind = type(self).__name__
        return f"{kind}({self.name!r}, dim={s.dim}, metric={s.metric_name!r}, dtype={s.dtype_name!r}, url={self.url!r})"


__all__ = ["Calls", "CollectionCalls", "Described"]
