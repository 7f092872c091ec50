"""What can be written to a collection while it is in use: the methods that `Collection` inherits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ramet.engine import adding, checks, records
from ramet.engine import where as filters
from ramet.engine.embedded import Embedded
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import CompactReport, UpsertReport
from ramet.engine.live import Live
from ramet.engine.opened import Opened
from ramet.engine.partly import in_parts
from ramet.engine.settings import Settings
from ramet.storage.store import DEFAULT_TIMEOUT_S, Store
from ramet.storage.writer import Writer


class CollectionWrites:
    """Writes; `Collection` adds what is needed to build and to read."""

    _store: Store
    _settings: Settings
    _live: Live
    _opened: Opened

    @in_parts
    def upsert(
        self,
        ids: Sequence[str],
        vectors: Any = None,
        *,
        documents: Sequence[str | None] | None = None,
        metadata: Sequence[dict[str, Any] | None] | None = None,
        tenant: str | Sequence[str] = checks.DEFAULT_TENANT,
        on_conflict: str = "replace",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> UpsertReport:
        """Insert records, or replace those of the same id.

        Works on an empty collection and on a built one, with batches of any size. Every 8,192 records, ordered by
        tenant, are one transaction, which readers see whole or not at all; when the call returns, all of them are
        committed, and on disk unless the collection was made with ``durability="batch"``.

        Parameters
        ----------
        ids : sequence of str
            Each once for a tenant.
        vectors : array-like (n, dim), optional
            One for each id. When left out, the collection's embedder makes them of the documents, as far as it reads
            them (`add_texts` cuts long ones). Records without a vector are found by words and filters only: there is
            no embedder, or None stands in the list.
        documents : sequence of str or None, optional
            Text of each record, 4 MiB at most, kept with it and found by words.
        metadata : sequence of dict or None, optional
            Flat: field -> str, int, float, bool, datetime or list of str; what ``where=`` goes by.
            A record that is replaced takes nothing over from the old one.
        tenant : str or sequence of str
            Owner of all records, or the owner of each. Tenants are made as needed.
        on_conflict : str
            When a tenant has a record of that id: "replace" it, for everybody it is granted to; "skip" the new one; or
            "error".
        timeout_s : float
            How long to wait for another writer, in seconds.

        Returns
        -------
        UpsertReport

        Raises
        ------
        ArgumentError
            A wrong argument, in any record; nothing was written.
        ConflictError
            An id exists, and ``on_conflict`` is "error"; nothing was written.
        NotOwnerError
            A record of that id is granted to the tenant by another one; nothing was written.
        WriterBusyError
            Somebody else was writing all that time.
        StorageFullError
            No room. Here and with `WriterBusyError` in the middle of a long call, the transactions before stay, and the
            error's ``partly_done`` is true; calling again with all records is safe unless ``on_conflict`` is "error".
        """
        action = one_of(on_conflict, "on_conflict", ("replace", "skip", "error"))
        seconds = checks.seconds(timeout_s, "timeout_s")
        bind: Callable[[Writer], None] | None = None
        column = vectors.column() if isinstance(vectors, Embedded) else vectors
        found = records.checked(ids, column, documents, metadata, tenant, self._settings)
        if isinstance(vectors, Embedded):
            bind = partial(self._opened.bind_model, embedder=vectors.embedder)
        elif vectors is None and self._opened.embedder is not None:
            found, bind = adding.with_vectors(self._opened, found)
        return self._live.upsert(found, on_conflict=action, timeout_s=seconds, before=bind)

    @in_parts
    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: Any = None,
        tenant: str = checks.DEFAULT_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Delete records, for everybody they are granted to as well; returns how many there were.

        Ids that the tenant does not have are passed over, so deleting twice is no error. The records are out of every
        list from the next snapshot on; their bytes stay in the files until `compact`.

        Parameters
        ----------
        ids : sequence of str, optional
        where : dict, optional
            Instead of ids: the records whose metadata match, as far as the tenant owns them. Every 8,192 are one
            transaction. An empty filter is refused; `drop_tenant` deletes everything.

        Raises
        ------
        UnknownTenantError
            No tenant of that name.
        NotOwnerError
            Some of the records are granted to the tenant by another one; nothing was deleted.
        WriterBusyError, StorageFullError
        """
        name, seconds = checks.name(tenant, "tenant"), checks.seconds(timeout_s, "timeout_s")
        if (ids is None) == (where is None):
            raise ArgumentError("ids", "pass either ids or where, and one of them")
        if ids is not None:
            return self._live.delete(checks.names(ids, "ids"), name, seconds)
        chosen = filters.parse(where)
        if chosen is None:
            raise ArgumentError("where", "is empty and would delete everything; use drop_tenant for that")
        return self._live.delete_matching(chosen, name, seconds)

    @in_parts
    def grant(
        self,
        ids: Sequence[str],
        *,
        to: str | Sequence[str],
        tenant: str = checks.DEFAULT_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Let other tenants see records of a tenant, under the same ids; returns how many (record, tenant) are new.

        Vectors are stored once, whoever sees them.

        Parameters
        ----------
        ids : sequence of str
            Records that ``tenant`` owns.
        to : str or sequence of str
            Who shall see them; tenants are made as needed. Granting twice is no error.
        tenant : str
            The owner.

        Raises
        ------
        UnknownTenantError, UnknownIdError, NotOwnerError
            The owner does not exist, or does not own some of the records; nothing was granted.
        ConflictError
            One of the others has a record of its own under one of the ids; nothing was granted.
        WriterBusyError, StorageFullError
        """
        return self._live.grant(
            checks.names(ids, "ids"),
            checks.name(tenant, "tenant"),
            checks.tenants(to, "to"),
            checks.seconds(timeout_s, "timeout_s"),
        )

    @in_parts
    def revoke(
        self,
        ids: Sequence[str],
        *,
        to: str | Sequence[str],
        tenant: str = checks.DEFAULT_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Take records back that were granted to other tenants; returns how many (record, tenant) ended.

        From the next snapshot on these tenants do not see them. What was not granted is passed over.

        Raises
        ------
        UnknownTenantError
            The owner or one of the others does not exist; nothing was revoked.
        NotOwnerError
            Some of the records belong to somebody else; nothing was revoked.
        WriterBusyError, StorageFullError
        """
        return self._live.revoke(
            checks.names(ids, "ids"),
            checks.name(tenant, "tenant"),
            checks.tenants(to, "to"),
            checks.seconds(timeout_s, "timeout_s"),
        )

    def tenants(self) -> dict[str, int]:
        """Tenants by name, with the number of records that each sees: its own and those granted to it."""
        with self._store.read() as snapshot:
            return dict(sorted(snapshot.tenants().items()))

    def drop_tenant(self, name: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> int:
        """Delete a tenant in one transaction: the records that it owns, for everybody, and its view of others'.

        Returns
        -------
        int
            Records deleted.

        Raises
        ------
        UnknownTenantError
            No tenant of that name.
        WriterBusyError, StorageFullError
        """
        return self._live.drop_tenant(checks.name(name, "name"), checks.seconds(timeout_s, "timeout_s"))

    def maintain(self, seconds: float = 60.0, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Go on with the rebalancing that writes have left, for about so many seconds; returns whether all is done.

        Writes do this in small steps anyway; nobody has to call it.
        """
        return self._live.maintain(checks.seconds(seconds, "seconds"), checks.seconds(timeout_s, "timeout_s"))

    def compact(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> CompactReport:
        """Write the collection anew, without anything that was deleted: gives space back, and erases.

        Afterwards no byte of a deleted vector or id is in the directory. (The file system may keep old blocks that
        belong to no file.) Readers go on meanwhile and see the new files from their next query on; other writers wait.
        The disk needs room for the new files beside the old ones. Lists that lie near in the tree lie together again.

        Parameters
        ----------
        timeout_s : float
            How long to wait for another writer, in seconds.

        Returns
        -------
        CompactReport

        Raises
        ------
        WriterBusyError, ReadOnlyError
        CorruptionError
            Something does not match its checksum; the collection is as it was.
        StorageFullError
            No room for the new files; the collection is as it was.
        """
        return self._live.compact(checks.seconds(timeout_s, "timeout_s"))

    def flush(self) -> None:
        """Put everything that is committed on disk. Only collections with ``durability="batch"`` need it."""
        self._store.flush()
