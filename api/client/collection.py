"""A collection on a server, with the methods of `ramet.Collection`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ramet import ClosedError
from ramet.api.client.asking import BUSY_S
from ramet.api.client.described import Described
from ramet.api.client.messages import Operation, T
from ramet.api.client.rag import RemoteRag
from ramet.engine.hits import AddReport, CompactReport, CurvePoint, Hits, Records, UpsertReport

if TYPE_CHECKING:
    from ramet import VerifyReport
    from ramet.api.client.transports import Transport


class RemoteCollection(Described):
    """A collection on a server. Get one from `RemoteDatabase`; threads may share it.

    Methods, arguments, results and errors are those of `ramet.Collection`, whose docstrings hold here, too. Left out,
    ``tenant`` is the only one of the key, else "default". ``timeout_s`` is how long to wait for another writer, by
    asking again. A call that is larger than a request may be is several requests (``docs/client.md``).
    """

    _transport: Transport

    def _run(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises
        ------
        ClosedError
        """
        if self._closed:
            raise ClosedError(f"collection {self.name!r}")
        return self._transport.run(operation)

    # ------------------------------------------------------------------------------------------------ writing

    def upsert(
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
        return self._run(
            self._calls.upsert(
                ids, vectors, documents=documents, metadata=metadata, tenant=tenant, on_conflict=on_conflict,
                timeout_s=timeout_s,
            )
        )  # fmt: skip

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Any = None,
        tenant: str | None = None,
        timeout_s: float = BUSY_S,
    ) -> int:
        """Delete records by id or filter; returns how many there were."""
        return self._run(self._calls.delete(ids, where=where, tenant=tenant, timeout_s=timeout_s))

    def grant(
        self, ids: Sequence[str], *, to: str | Sequence[str], tenant: str | None = None, timeout_s: float = BUSY_S
    ) -> int:
        """Let other tenants see records; returns how many (record, tenant) are new."""
        return self._run(self._calls.grant(ids, to=to, tenant=tenant, timeout_s=timeout_s))

    def revoke(
        self, ids: Sequence[str], *, to: str | Sequence[str], tenant: str | None = None, timeout_s: float = BUSY_S
    ) -> int:
        """Take records back; returns how many (record, tenant) ended."""
        return self._run(self._calls.revoke(ids, to=to, tenant=tenant, timeout_s=timeout_s))

    def drop_tenant(self, name: str, *, timeout_s: float = BUSY_S) -> int:
        """Delete a tenant with what it owns; returns how many records that were."""
        return self._run(self._calls.drop_tenant(name, timeout_s=timeout_s))

    def add_texts(
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
        return self._run(
            self._calls.add_texts(
                texts, ids, metadata=metadata, tenant=tenant, on_conflict=on_conflict, timeout_s=timeout_s,
                chunk_tokens=chunk_tokens, overlap=overlap, token_codes=token_codes,
            )
        )  # fmt: skip

    def delete_texts(self, ids: Sequence[str], *, tenant: str | None = None, timeout_s: float = BUSY_S) -> int:
        """Delete documents with all their chunks; returns how many records that were."""
        return self._run(self._calls.delete_texts(ids, tenant=tenant, timeout_s=timeout_s))

    # ------------------------------------------------------------------------------------------------ reading

    def query(
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
        return self._run(
            self._calls.query(
                vectors, k, text=text, mode=mode, where=where, tenant=tenant, recall=recall, nprobe=nprobe, exact=exact,
                prune=prune, fusion=fusion, alpha=alpha, include=include, with_vectors=with_vectors, explain=explain,
                check=check,
            )
        )  # fmt: skip

    def get(
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
        return self._run(
            self._calls.get(
                ids, where=where, limit=limit, cursor=cursor, tenant=tenant, include=include, with_vectors=with_vectors
            )
        )

    def count(self, tenant: str | None = None, *, where: Any = None) -> int:
        """Records of a tenant, or of all that the key may see."""
        return self._run(self._calls.count(tenant, where=where))

    def __len__(self) -> int:
        """Records of all tenants that the key may see."""
        return self.count()

    def tenants(self) -> dict[str, int]:
        """Tenants of the key by name, with the number of records that each sees."""
        return self._run(self._calls.tenants())

    def stats(self, tenant: str | None = None) -> dict[str, Any]:
        """Sizes, list lengths, recall curves. Without ``tenant`` the key has to be for all."""
        return self._run(self._calls.stats(tenant))

    # ----------------------------------------------------------------------------------------------- maintenance

    def compact(self, *, timeout_s: float = BUSY_S) -> CompactReport:
        """Write the collection anew, without anything that was deleted."""
        return self._run(self._calls.compact(timeout_s=timeout_s))

    def maintain(self, seconds: float = 60.0, *, timeout_s: float = BUSY_S) -> bool:
        """Go on with rebalancing for about so many seconds; returns whether all is done."""
        return self._run(self._calls.maintain(seconds, timeout_s=timeout_s))

    def calibrate(self, queries: Any, *, tenant: str | None = None, n_threads: int | None = None) -> list[CurvePoint]:
        """Measure the recall curve again with your own queries. ``n_threads`` is passed over."""
        return self._run(self._calls.calibrate(queries, tenant=tenant))

    def verify(self) -> VerifyReport:
        """Check every checksum and every cross-reference; finds damage, changes nothing."""
        return self._run(self._calls.verify())

    def backup(self, name: str) -> None:
        """Copy the collection as it is at this moment into a backup of that name on the server."""
        self._run(self._calls.backup(name))

    def flush(self) -> None:
        """Put everything that is committed on disk."""
        self._run(self._calls.flush())

    def _rag(self, **options: Any) -> RemoteRag:
        """What `ramet.Rag` of this collection is."""
        return RemoteRag(self, **options)

    def close(self) -> None:
        """The collection cannot be used afterwards; the connections are those of the database."""
        self._closed = True

    def __enter__(self) -> RemoteCollection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
