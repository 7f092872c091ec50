"""Collections of a server, with the methods of `ramet.Database`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet.api.client.asking import Server
from ramet.api.client.collection import RemoteCollection
from ramet.api.client.database_calls import DatabaseCalls

if TYPE_CHECKING:
    from ramet import TextEmbedder, VerifyReport
    from ramet.api.client.transports import Transport


class RemoteDatabase:
    """Collections of a server; made by ``ramet.connect("http://...")``. Threads may share it.

    Use it as a context manager, or call `close`. The methods are those of `ramet.Database`; errors are the same, and
    `ServerError` where there is no server, or it says no.
    """

    def __init__(self, transport: Transport, server: Server) -> None:
        self._transport = transport
        self._server = server
        self._calls = DatabaseCalls(server)

    url = property(lambda self: self._server.url, doc="Address of the server.")
    closed = property(lambda self: self._transport.closed, doc="Whether it was closed.")

    def collections(self) -> list[str]:
        """Names of the collections, sorted."""
        return self._transport.run(self._calls.collections())

    def create_collection(
        self,
        name: str,
        dim: int | None = None,
        metric: str = "cosine",
        dtype: Any = "float32",
        codes: str = "auto",
        *,
        language: str = "en",
        durability: str = "commit",
        embedder: TextEmbedder | None = None,
        exist_ok: bool = False,
    ) -> RemoteCollection:
        """Make an empty collection; see `ramet.Database.create_collection`.

        ``dim`` may be left out when the server has an embedder; an ``embedder`` cannot be given.
        """
        properties = {
            "dim": dim, "metric": metric, "dtype": dtype, "codes": codes, "language": language,
            "durability": durability,
        }  # fmt: skip
        facts = self._transport.run(self._calls.create_collection(name, properties, embedder, exist_ok))
        return RemoteCollection(self._transport, self._server, facts)

    def collection(self, name: str, *, embedder: TextEmbedder | None = None) -> RemoteCollection:
        """Look a collection up; see `ramet.Database.collection`. An ``embedder`` cannot be given."""
        return RemoteCollection(
            self._transport, self._server, self._transport.run(self._calls.collection(name, embedder))
        )

    def delete_collection(self, name: str) -> None:
        """Delete a collection and its files; see `ramet.Database.delete_collection`."""
        self._transport.run(self._calls.delete_collection(name))

    def verify(self, name: str) -> VerifyReport:
        """Check a collection, also one that the server has put aside; see `ramet.Database.verify`."""
        return self._transport.run(self._calls.verify(name))

    def backups(self) -> list[dict[str, Any]]:
        """Backups that the server has: name, collection, bytes, when they were made."""
        return self._transport.run(self._calls.backups())

    def close(self) -> None:
        """Close the connections to the server."""
        self._transport.close()

    def __getitem__(self, name: str) -> RemoteCollection:
        return self.collection(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __len__(self) -> int:
        """Number of collections."""
        return len(self.collections())

    def __bool__(self) -> bool:
        """Always true: an empty database is a database."""
        return True

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.collections()

    def __enter__(self) -> RemoteDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RemoteDatabase({self.url!r})"
