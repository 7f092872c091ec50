"""Collections of a server, for event loops: the methods of `AsyncRemoteDatabase`, each to be awaited."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet.api.client.asking import Server
from ramet.api.client.async_collection import AsyncRemoteCollection
from ramet.api.client.database_calls import DatabaseCalls

if TYPE_CHECKING:
    from ramet import TextEmbedder, VerifyReport
    from ramet.api.client.transports import AsyncTransport


class AsyncRemoteDatabase:
    """Collections of a server, for one event loop; made by ``await ramet.connect_async("http://...")``.

    Use it with ``async with``, or await `close`. The methods are those of `RemoteDatabase`.
    """

    def __init__(self, transport: AsyncTransport, server: Server) -> None:
        self._transport = transport
        self._server = server
        self._calls = DatabaseCalls(server)

    url = property(lambda self: self._server.url, doc="Address of the server.")
    closed = property(lambda self: self._transport.closed, doc="Whether it was closed.")

    async def collections(self) -> list[str]:
        """Names of the collections, sorted."""
        return await self._transport.run(self._calls.collections())

    async def create_collection(
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
    ) -> AsyncRemoteCollection:
        """Make an empty collection; see `RemoteDatabase.create_collection`.

        ``dim`` may be left out when the server has an embedder; an ``embedder`` cannot be given.
        """
        properties = {
            "dim": dim, "metric": metric, "dtype": dtype, "codes": codes, "language": language,
            "durability": durability,
        }  # fmt: skip
        facts = await self._transport.run(self._calls.create_collection(name, properties, embedder, exist_ok))
        return AsyncRemoteCollection(self._transport, self._server, facts)

    async def collection(self, name: str, *, embedder: TextEmbedder | None = None) -> AsyncRemoteCollection:
        """Look a collection up; see `RemoteDatabase.collection`. An ``embedder`` cannot be given."""
        return AsyncRemoteCollection(
            self._transport, self._server, await self._transport.run(self._calls.collection(name, embedder))
        )

    async def delete_collection(self, name: str) -> None:
        """Delete a collection and its files; see `RemoteDatabase.delete_collection`."""
        await self._transport.run(self._calls.delete_collection(name))

    async def verify(self, name: str) -> VerifyReport:
        """Check a collection, also one that the server has put aside; see `RemoteDatabase.verify`."""
        return await self._transport.run(self._calls.verify(name))

    async def backups(self) -> list[dict[str, Any]]:
        """Backups that the server has: name, collection, bytes, when they were made."""
        return await self._transport.run(self._calls.backups())

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncRemoteDatabase:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncRemoteDatabase({self.url!r})"
