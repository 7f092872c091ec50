"""What a collection on a server can be asked, as operations: arguments checked, requests made, answers read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ramet.api.client.asking import BUSY_S, Server
from ramet.api.client.messages import Operation, Reply, Request, T
from ramet.api.client.results import Facts
from ramet.api.client.values import to_json

ROOT = "/v1"


def segment(name: str) -> str:
    """A name as one part of a path, whatever is in it: slashes, dots, spaces."""
    return quote(name, safe="").replace(".", "%2E")


def collection_path(name: str) -> str:
    """Path of a collection."""
    return f"{ROOT}/collections/{name}"


class CollectionCalls:
    """What all operations on one collection need; `Reading`, `Writing` and `Upkeep` add them.

    Parameters
    ----------
    server : Server
    facts : Facts
    """

    def __init__(self, server: Server, facts: Facts) -> None:
        self.server = server
        self.facts = facts
        self.path = collection_path(facts.name)

    def _post(
        self,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[Reply], T],
        *,
        repeatable: bool = True,
        busy_s: float = BUSY_S,
        timeout_s: float | None = None,
    ) -> Operation[T]:
        """Ask with a body of JSON."""
        content = b"" if body is None else to_json(body)
        request = Request(
            method="POST", path=self.path + path, body=content, repeatable=repeatable, timeout_s=timeout_s
        )
        return self.server.told(request, read, busy_s=busy_s)

    def _get(self, path: str, read: Callable[[Reply], T], query: tuple[tuple[str, str], ...] = ()) -> Operation[T]:
        return self.server.told(Request(method="GET", path=self.path + path, query=query), read)
