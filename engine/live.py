"""The writing side of a collection: one transaction at a time, each followed by bounded rebalancing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ramet.engine import sharing, upsert
from ramet.engine.change import Change
from ramet.engine.compaction import compact
from ramet.engine.filters import rows_matching
from ramet.engine.forking import tell_after_fork
from ramet.engine.hits import CompactReport, UpsertReport
from ramet.engine.ownership import known, refuse_foreign
from ramet.engine.partly import committed
from ramet.engine.placements import Kept, Placements
from ramet.engine.rebalance import Deadline, rebalance, urgency
from ramet.engine.remeasure import Remeasure
from ramet.engine.replacing import Replaced, replaced
from ramet.engine.settings import Settings
from ramet.engine.text.analysis import Analyzer
from ramet.engine.threads import search_pool
from ramet.engine.upsert import Records
from ramet.engine.where import Filter
from ramet.storage.errors import WriterBusyError
from ramet.storage.store import Store
from ramet.storage.writer import Writer

CHUNK = 8192
"""Records written in one transaction; larger calls are cut."""

WAVES_S = 0.3
WAVES_S_PER_RECORD = 2e-4
"""Seconds after which a transaction begins no further wave of rebalancing: so many, and more for each record in it."""

BUSY_S = 0.5
"""Seconds from which a transaction has done enough: measurements that are due wait for a later one."""


class Live:
    """Writes to one open collection. Threads may share it: they take turns.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.RLock()
        self._kept: Kept = {}
        self._remeasure = Remeasure(store, settings)
        self.analyzer = Analyzer(settings.language)
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Begin without placements in a forked child."""
        self._lock = threading.RLock()
        self._kept = {}
        self.analyzer = Analyzer(self._settings.language)

    @contextmanager
    def _turn(self, timeout_s: float) -> Iterator[float]:
        """Wait for the other threads of this process; yields the seconds that are left to wait for other processes."""
        begun = time.monotonic()
        if not self._lock.acquire(timeout=timeout_s):
            raise WriterBusyError(self._store.path, os.getpid(), timeout_s)
        try:
            yield max(0.0, timeout_s - (time.monotonic() - begun))
        finally:
            self._lock.release()

    @contextmanager
    def _changing(self, timeout_s: float) -> Iterator[Change]:
        """A change in a transaction of its own; what is kept in memory between transactions follows its commit."""
        with self._turn(timeout_s) as left_s:
            with self._store.write(left_s) as writer:
                placements = Placements(writer, self._settings, self._kept)
                self._kept = {}  # after an error nothing that was changed in memory is trusted
                yield Change(writer, self._settings, placements, search_pool(), self.analyzer)
                placements.store()
                txn_id, touched = writer.txn_id, writer.touched
            committed()
            self._kept = placements.after_commit(txn_id, touched)

    def _settle(self, change: Change, n_records: int) -> None:
        """Rebalance the tenants that a transaction changed, for a bounded time, those with the longest lists first."""
        deadline = Deadline.after(WAVES_S + WAVES_S_PER_RECORD * n_records)
        tenants = [tenant for tenant in change.writer.touched if change.writer.member(tenant) is not None]
        for tenant in sorted(tenants, key=lambda tenant: (-urgency(change, tenant), tenant)):
            rebalance(change, tenant, deadline)

    def upsert(
        self,
        records: Records,
        *,
        on_conflict: str,
        timeout_s: float,
        before: Callable[[Writer], None] | None = None,
    ) -> UpsertReport:
        """Insert or replace records, whose arguments are checked; see `Collection.upsert`.

        ``before`` is called with the writer of each transaction first.
        """
        batches = records.batches(CHUNK)
        report = UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0)
        for number, batch in enumerate(batches):
            begun = time.monotonic()
            with self._changing(timeout_s) as change:
                if before is not None:
                    before(change.writer)
                # Refused as a whole, before anything is written, and once more when others may have written since.
                for later in batches if number == 0 else [batch]:
                    upsert.refuse(change.writer, later, on_conflict)
                report += upsert.write(change, batch, on_conflict)
                self._settle(change, len(batch))
                changed = change.lists()
            self._remeasure.after(changed, len(batch), busy=time.monotonic() - begun > BUSY_S)
        return report

    def replace(
        self,
        records: Records,
        documents: list[str],
        before: Callable[[Writer], None] | None,
        on_conflict: str,
        timeout_s: float,
    ) -> Replaced:
        """Store chunks in the place of all that is there of their documents, in one transaction.

        Parameters
        ----------
        records : Records
            Of one tenant, with the fields of `ramet.engine.documents`.
        documents : list of str
            Those that they are the chunks of.
        before : callable, optional
            Called with the writer first; what it raises ends the transaction.
        on_conflict : str
            What to do about documents that are there: "replace", "skip" or "error".
        """
        begun = time.monotonic()
        with self._changing(timeout_s) as change:
            writer = change.writer
            if before is not None:
                before(writer)
            found = replaced(change, records, documents, on_conflict)
            self._settle(change, len(records.names))
            changed = change.lists()
        self._remeasure.after(changed, len(records.names), busy=time.monotonic() - begun > BUSY_S)
        return found

    def delete(self, names: list[str], tenant: str, timeout_s: float) -> int:
        """Delete records; see `Collection.delete`."""
        total = 0
        for first in range(0, len(names), CHUNK):
            with self._changing(timeout_s) as change:
                owner = known(change.writer, tenant, "tenant")
                part = names[first : first + CHUNK]
                refuse_foreign(change.writer, owner, tenant, names if first == 0 else part)
                total += upsert.delete(change, owner, part)
                self._settle(change, min(CHUNK, len(names) - first))
        return total

    def delete_matching(self, chosen: Filter, tenant: str, timeout_s: float, *, whole: bool = False) -> int:
        """Delete the records of a tenant that a filter allows; see `Collection.delete`. ``whole``: all at once."""
        total = 0
        while True:
            with self._changing(timeout_s) as change:
                owner = known(change.writer, tenant, "tenant")
                rows = np.array(rows_matching(change.writer, owner, chosen), np.int64)
                own = rows[change.writer.homes_of(rows).owners == owner]
                part = change.writer.ids_of(own if whole else own[:CHUNK])
                total += upsert.delete(change, owner, part)
                self._settle(change, len(part))
            if whole or len(own) <= CHUNK:
                return total

    def grant(self, names: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """Let other tenants see records; see `Collection.grant`."""
        total, size = 0, max(64, CHUNK // len(to))
        for first in range(0, len(names), size):
            with self._changing(timeout_s) as change:
                part = names[first : first + size]
                sharing.refuse_grant(change.writer, names if first == 0 else part, tenant, to)
                total += sharing.grant(change, part, tenant, to)
                self._settle(change, min(size, len(names) - first))
                changed = change.lists()
            self._remeasure.after(changed, min(size, len(names) - first))
        return total

    def revoke(self, names: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """Take records back from other tenants; see `Collection.revoke`."""
        total = 0
        for first in range(0, len(names), CHUNK):
            with self._changing(timeout_s) as change:
                part = names[first : first + CHUNK]
                sharing.refuse_revoke(change.writer, names if first == 0 else part, tenant, to)
                total += sharing.revoke(change, part, tenant, to)
                self._settle(change, min(CHUNK, len(names) - first))
        return total

    def drop_tenant(self, tenant: str, timeout_s: float) -> int:
        """Delete a tenant with everything that it owns; see `Collection.drop_tenant`."""
        with self._changing(timeout_s) as change:
            n = sharing.drop(change, tenant)
            self._settle(change, n)
        return n

    def maintain(self, seconds: float, timeout_s: float) -> bool:
        """Go on with rebalancing that waits; see `Collection.maintain`."""
        deadline = Deadline.after(seconds)
        while True:
            with self._changing(timeout_s) as change:
                tenants = sorted({tenant for tenant, _ in change.writer.pending()})
                soon = Deadline.after(WAVES_S)
                waiting = [tenant for tenant in tenants if rebalance(change, tenant, soon, all_of_it=True)]
            if not waiting or deadline.passed:
                return not waiting

    def compact(self, timeout_s: float) -> CompactReport:
        """Write everything that lives anew; see `Collection.compact`."""
        with self._turn(timeout_s) as left_s:
            self._kept = {}
            return compact(self._store, left_s)
