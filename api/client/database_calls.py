"""What a server can be asked about its collections, as operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ramet.api.client.asking import Server
from ramet.api.client.batches import given
from ramet.api.client.collection_calls import ROOT, collection_path
from ramet.api.client.messages import LONG_S, Operation, Request
from ramet.api.client.results import Facts, facts_of, parsed, verify_report
from ramet.api.client.values import to_json
from ramet.engine import arguments
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import DTYPES, Settings

if TYPE_CHECKING:
    from ramet import VerifyReport


class DatabaseCalls:
    """Operations on the collections of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def collections(self) -> Operation[list[str]]:
        """Names, sorted."""
        request = Request(method="GET", path=f"{ROOT}/collections")
        return self.server.told(request, lambda reply: sorted(one["name"] for one in parsed(reply)["collections"]))

    def create_collection(
        self, name: Any, properties: dict[str, Any], embedder: Any, exist_ok: bool
    ) -> Operation[Facts]:
        """Make a collection; ``properties``: arguments of `Database.create_collection` by name."""
        refuse_embedder(embedder)
        arguments.collection_name(name)
        dtype = properties["dtype"] = _dtype(properties["dtype"])
        if properties["dim"] is None:  # that of the server's embedder
            _checked(1, properties)
        else:
            properties["dim"] = _checked(properties["dim"], properties).dim
        body = given(name=name, exist_ok=bool(exist_ok) or None, **{**properties, "dtype": dtype})
        request = Request(method="POST", path=f"{ROOT}/collections", body=to_json(body), repeatable=bool(exist_ok))
        return self.server.told(request, facts_of)

    def collection(self, name: Any, embedder: Any = None) -> Operation[Facts]:
        """Look a collection up."""
        refuse_embedder(embedder)
        path = collection_path(arguments.collection_name(name))
        return self.server.told(Request(method="GET", path=path), facts_of)

    def delete_collection(self, name: Any) -> Operation[None]:
        """Delete a collection and its files."""
        path = collection_path(arguments.collection_name(name))
        return self.server.told(Request(method="DELETE", path=path, repeatable=False), lambda reply: None)

    def verify(self, name: Any) -> Operation[VerifyReport]:
        """Check a collection, also one that is put aside."""
        path = f"{collection_path(arguments.collection_name(name))}/verify"
        return self.server.told(Request(method="POST", path=path, timeout_s=LONG_S), verify_report)

    def backups(self) -> Operation[list[dict[str, Any]]]:
        """Backups that the server has."""
        request = Request(method="GET", path=f"{ROOT}/backups")
        return self.server.told(request, lambda reply: list(parsed(reply)["backups"]))


def refuse_embedder(embedder: Any) -> None:
    """Refuse an embedder: the server has its own.

    Raises
    ------
    ArgumentError
    """
    if embedder is not None:
        raise ArgumentError("embedder", "is chosen on the server (RAMET_EMBEDDER); leave it out, or send vectors")


def _dtype(dtype: Any) -> str:
    try:
        return dtype if isinstance(dtype, str) else str(np.dtype(dtype).name)
    except TypeError as error:
        raise ArgumentError("dtype", f"{dtype!r} is not a dtype; use one of {', '.join(DTYPES)}") from error


def _checked(dim: Any, properties: dict[str, Any]) -> Settings:
    """Properties of a collection that may be made."""
    names = ("metric", "dtype", "codes", "durability", "language")
    return Settings.checked(dim, *(properties[name] for name in names))
