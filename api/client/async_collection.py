"""A collection on a server, for event loops: the methods of `RemoteCollection`, each to be awaited."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet import ClosedError
from ramet.api.client.asking import BUSY_S
from ramet.api.client.async_rag import AsyncRemoteRag
from ramet.api.client.described import Described
from ramet.api.client.messages import Operation, T
from ramet.engine.hits import AddReport, CompactReport, CurvePoint, Hits, Records, UpsertReport

if TYPE_CHECKING:
    from ramet import VerifyReport
    from ramet.api.client.transports import AsyncTransport


class AsyncRemoteCollection(Described):
    """A collection on a server, for one event loop. Get one from `AsyncRemoteDatabase`.

    Methods, arguments, results and errors are those of `RemoteCollection`, whose docstrings hold here, too; every
    method but `close` is to be awaited.
    """

    _transport: AsyncTransport

    async def _run(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises
        ------
        ClosedError
        """
        if self._closed:
            raise ClosedError(f"collection {self.name!r}")
        return await self._transport.run(operation)

    # ------------------------------------------------------------------------------------------------ writing

    async def upsert(
        self,
        ids: Sequence[str],
        vectors: Any = None,
        *,
        documents: Sequence[str | None] | None = None,
        metadata: Sequence[dict[str, Any] | None] | None = None,
        tenant: str | Sequence[str] | None = None,
        on_conflict: str = "replace",
        timeout_s: float = BUSY_S,
    ) -> UpsertReport:
        """Insert records, or replace those of the same id."""
        return await self._run(
            self._calls.upsert(
                ids, vectors, documents=documents, metadata=metadata, tenant=tenant, on_conflict=on_conflict,
                timeout_s=timeout_s,
            )
        )  # fmt: skip

    async def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Any = None,
        tenant: str | None = None,
        timeout_s: float = BUSY_S,
    ) -> int:
        """Delete records by id or filter; returns how many there were."""
        return await self._run(self._calls.delete(ids, where=where, tenant=tenant, timeout_s=timeout_s))

    async def grant(
        self, ids: Sequence[str], *, to: str | Sequence[str], tenant: str | None = None, timeout_s: float = BUSY_S
    ) -> int:
        """Let other tenants see records; returns how many (record, tenant) are new."""
        return await self._run(self._calls.grant(ids, to=to, tenant=tenant, timeout_s=timeout_s))

    async def revoke(
        self, ids: Sequence[str], *, to: str | Sequence[str], tenant: str | None = None, timeout_s: float = BUSY_S
    ) -> int:
        """Take records back; returns how many (record, tenant) ended."""
        return await self._run(self._calls.revoke(ids, to=to, tenant=tenant, timeout_s=timeout_s))

    async def drop_tenant(self, name: str, *, timeout_s: float = BUSY_S) -> int:
        """Delete a tenant with what it owns; returns how many records that were."""
        return await self._run(self._calls.drop_tenant(name, timeout_s=timeout_s))

    async def add_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        *,
        metadata: Sequence[dict[str, Any] | None] | None = None,
        tenant: str | None = None,
        chunk_tokens: int | None = None,
        overlap: int = 0,
        on_conflict: str = "replace",
        token_codes: bool | str = "auto",
        timeout_s: float = BUSY_S,
    ) -> AddReport:
        """Store documents: cut and embedded by the server."""
        return await self._run(
            self._calls.add_texts(
                texts, ids, metadata=metadata, tenant=tenant, on_conflict=on_conflict, timeout_s=timeout_s,
                chunk_tokens=chunk_tokens, overlap=overlap, token_codes=token_codes,
            )
        )  # fmt: skip

    async def delete_texts(self, ids: Sequence[str], *, tenant: str | None = None, timeout_s: float = BUSY_S) -> int:
        """Delete documents with all their chunks; returns how many records that were."""
        return await self._run(self._calls.delete_texts(ids, tenant=tenant, timeout_s=timeout_s))

    # ------------------------------------------------------------------------------------------------ reading

    async def query(
        self,
        vectors: Any = None,
        k: int = 10,
        *,
        text: str | Sequence[str] | None = None,
        mode: str | None = None,
        where: Any = None,
        tenant: str | Sequence[str] | None = None,
        recall: float | None = None,
        nprobe: int | None = None,
        exact: bool = False,
        prune: float | None = None,
        fusion: str = "rrf",
        alpha: float = 0.5,
        include: Sequence[str] | None = None,
        with_vectors: bool = False,
        explain: bool = False,
        n_threads: int | None = None,
        check: bool = False,
    ) -> Hits:
        """The records nearest to a vector, or best for some words, or both; for one query or each of a batch.

        ``n_threads`` is the server's own and passed over; ``check`` is refused.
        """
        return await self._run(
            self._calls.query(
                vectors, k, text=text, mode=mode, where=where, tenant=tenant, recall=recall, nprobe=nprobe, exact=exact,
                prune=prune, fusion=fusion, alpha=alpha, include=include, with_vectors=with_vectors, explain=explain,
                check=check,
            )
        )  # fmt: skip

    async def get(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Any = None,
        limit: int | None = None,
        cursor: str | None = None,
        tenant: str | None = None,
        include: Sequence[str] | None = None,
        with_vectors: bool = True,
    ) -> Records:
        """Records by id, or all that match a filter, or all of a tenant, page by page."""
        return await self._run(
            self._calls.get(
                ids, where=where, limit=limit, cursor=cursor, tenant=tenant, include=include, with_vectors=with_vectors
            )
        )

    async def count(self, tenant: str | None = None, *, where: Any = None) -> int:
        """Records of a tenant, or of all that the key may see."""
        return await self._run(self._calls.count(tenant, where=where))

    async def tenants(self) -> dict[str, int]:
        """Tenants of the key by name, with the number of records that each sees."""
        return await self._run(self._calls.tenants())

    async def stats(self, tenant: str | None = None) -> dict[str, Any]:
        """Sizes, list lengths, recall curves. Without ``tenant`` the key has to be for all."""
        return await self._run(self._calls.stats(tenant))

    # ----------------------------------------------------------------------------------------------- maintenance

    async def compact(self, *, timeout_s: float = BUSY_S) -> CompactReport:
        """Write the collection anew, without anything that was deleted."""
        return await self._run(self._calls.compact(timeout_s=timeout_s))

    async def maintain(self, seconds: float = 60.0, *, timeout_s: float = BUSY_S) -> bool:
        """Go on with rebalancing for about so many seconds; returns whether all is done."""
        return await self._run(self._calls.maintain(seconds, timeout_s=timeout_s))

    async def calibrate(
        self, queries: Any, *, tenant: str | None = None, n_threads: int | None = None
    ) -> list[CurvePoint]:
        """Measure the recall curve again with your own queries. ``n_threads`` is passed over."""
        return await self._run(self._calls.calibrate(queries, tenant=tenant))

    async def verify(self) -> VerifyReport:
        """Check every checksum and every cross-reference; finds damage, changes nothing."""
        return await self._run(self._calls.verify())

    async def backup(self, name: str) -> None:
        """Copy the collection as it is at this moment into a backup of that name on the server."""
        await self._run(self._calls.backup(name))

    async def flush(self) -> None:
        """Put everything that is committed on disk."""
        await self._run(self._calls.flush())

    def _rag(self, **options: Any) -> AsyncRemoteRag:
        """What `ramet.Rag` of this collection is."""
        return AsyncRemoteRag(self, **options)

    def close(self) -> None:
        """The collection cannot be used afterwards; the connections are those of the database."""
        self._closed = True

    async def __aenter__(self) -> AsyncRemoteCollection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
