"""The searchers of a collection's tenants: loaded on first use, refreshed after commits, bounded in memory."""

from __future__ import annotations

import os
import threading
from itertools import count
from typing import Any

from ramet.engine.forking import tell_after_fork
from ramet.engine.searcher import Searcher, bases_of
from ramet.engine.settings import Settings
from ramet.storage.snapshot import Snapshot

CACHE_BYTES = 64 << 20
"""Memory that the searchers of a collection may take together; the one used last always stays."""

SWITCH = "RAMET_CACHE_MB"
"""Environment variable: another bound, in MiB."""


class StaleSnapshotError(Exception):
    """The tenant's searcher is of a newer state than the snapshot: take a new snapshot."""


class Searchers:
    """Least recently used searchers go first when there is no room. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, Searcher] = {}
        self._lock = threading.Lock()
        self._clock = count(1)
        self._n_bytes = 0
        self._core: Any = None
        self._most = int(float(os.environ[SWITCH]) * (1 << 20)) if SWITCH in os.environ else CACHE_BYTES

        tell_after_fork(self)

    def after_fork(self) -> None:
        """Begin empty in a forked child."""
        self._lock = threading.Lock()
        self._known, self._n_bytes = {}, 0

    def of(self, snapshot: Snapshot, tenant: str) -> Searcher | None:
        """The searcher of a tenant for a snapshot; None when the snapshot knows no such tenant.

        Raises
        ------
        StaleSnapshotError
            Another thread has seen a later change of this tenant already.
        """
        found = self._known.get(tenant)
        if found is None or not found.changed <= snapshot.txn_id <= found.valid_to or found.core is not snapshot.core:
            with self._lock:
                found = self._current(snapshot, tenant)
            if found is None:
                return None
        found.used = next(self._clock)
        return found

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._known.clear()
            self._n_bytes = 0

    def _current(self, snapshot: Snapshot, tenant: str) -> Searcher | None:
        """Find, bring up to date or load a searcher; the lock is held."""
        if self._core is not snapshot.core:  # compacted: what is kept would keep the deleted files on disk
            self._core = snapshot.core
            self._known, self._n_bytes = {}, 0
        known = self._known.get(tenant)
        if known is not None:
            if known.changed <= snapshot.txn_id <= known.valid_to:
                return known
            if known.changed > snapshot.txn_id:
                raise StaleSnapshotError
        member = snapshot.member_named(tenant)
        if member is None:
            self._forget(tenant)
            return None
        if known is not None and (known.tenant, known.changed) == (member.number, member.changed):
            if known.bases == bases_of(snapshot):
                known.valid_to = snapshot.txn_id
                return known
        fresh = None if known is None else known.refreshed(snapshot, member)
        if fresh is None:
            fresh = Searcher(snapshot, self._settings, member)
        self._forget(tenant)
        self._known[tenant] = fresh
        self._n_bytes += fresh.n_bytes
        if self._n_bytes > self._most:
            self._make_room(tenant)
        return fresh

    def _forget(self, tenant: str) -> None:
        gone = self._known.pop(tenant, None)
        if gone is not None:
            self._n_bytes -= gone.n_bytes

    def _make_room(self, keep: str) -> None:
        """Drop what was used longest ago until an eighth of the room is free; searches under way keep their own."""
        for tenant in sorted(self._known, key=lambda name: self._known[name].used):
            if self._n_bytes <= self._most - self._most // 8:
                break
            if tenant != keep:
                self._forget(tenant)

    def __contains__(self, tenant: object) -> bool:
        return tenant in self._known
