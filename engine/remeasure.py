"""When a recall curve is measured again: a tenant has grown into a class without one, doubled, or been replaced."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from ramet.engine.calibrate import measure
from ramet.engine.curve import RecallCurve
from ramet.engine.curves import ALL_LISTS, CLASS, OWN, OWN_FROM, class_of, is_given, parsed, to_meta
from ramet.engine.reads import vectors_of
from ramet.engine.searcher import Searcher
from ramet.engine.settings import Settings
from ramet.engine.threads import n_cores
from ramet.storage.errors import StorageFullError, WriterBusyError
from ramet.storage.format import ROW_MASK
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store

BUDGET = 1e7
"""Distances that the exact search of the sample may take."""
BUSY_S = 1.0
"""How long to wait for another writer, in seconds."""
MOST, LEAST = 200, 48
"""Queries of a sample."""


ENOUGH = {10: 0.997, 100: 0.97}
"""Where these curves end; a build's goes further. Beyond it lies most of the time that a measurement takes."""

MOST_PUT_OFF = 3
"""Times in a row that a measurement is put off, so that one call does not do all the work."""

CLASS_GROWTH = 1.25
"""A class is measured again with a tenant that has so many times the lists of the one that it was measured with."""


class Remeasure:
    """Follows how much tenants change, and measures when it is due. Used by one thread at a time."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._changed: dict[int, int] = {}
        self._put_off = 0

    def after(self, tenants: dict[int, int], n_records: int, *, busy: bool = False) -> None:
        """Take note of a committed change, and measure what is due.

        Parameters
        ----------
        tenants : dict
            Tenant number -> number of its lists.
        n_records : int
            Records that the change wrote.
        busy : bool
            The change took long already: put off what is due, though not for ever.
        """
        wanted: dict[str, int] = {}  # a class is measured with its largest tenant
        with self._store.read() as snapshot:
            for tenant, n_lists in sorted(tenants.items(), key=lambda item: item[1]):
                if n_lists > ALL_LISTS:
                    self._changed[tenant] = self._changed.get(tenant, 0) + n_records
                    name = self._due(snapshot, tenant, n_lists)
                    if name is not None:
                        wanted[name] = tenant
            if wanted and busy and self._put_off < MOST_PUT_OFF:
                self._put_off += 1
                return
            if wanted:
                self._put_off = 0
            curves = [(tenant, name, self._measured(snapshot, tenant)) for name, tenant in wanted.items()]
        found = [(tenant, name, curve) for tenant, name, curve in curves if curve is not None]
        if not found:
            return
        # The records are committed, so the caller is not to hear that somebody else is writing now, or that the disk is
        # full: the curve is measured again after the next change.
        with suppress(WriterBusyError, StorageFullError), self._store.write(BUSY_S) as writer:
            for tenant, name, curve in found:
                if writer.member(tenant) is not None:
                    writer.set_meta(name, to_meta(curve))
                    writer.touch(tenant)
                self._changed[tenant] = 0

    def _due(self, snapshot: Snapshot, tenant: int, n_lists: int) -> str | None:
        """Name of the curve that a tenant should be measured for now; None when none is due."""
        own = n_lists >= OWN_FROM
        name = OWN.format(tenant=tenant) if own else CLASS.format(number=class_of(n_lists))
        stored = snapshot.meta(OWN.format(tenant=tenant))
        if is_given(stored):
            return None
        known = parsed(stored if own else snapshot.meta(name))
        if known is None:
            return name
        if not own:  # a large one speaks for its class
            return name if n_lists >= CLASS_GROWTH * known.n_lists else None
        grown = not known.n_lists / 2 < n_lists < known.n_lists * 2
        replaced = self._changed.get(tenant, 0) > snapshot.count(tenant)
        return name if grown or replaced else None

    def _measured(self, snapshot: Snapshot, tenant: int) -> RecallCurve | None:
        """The curve of a tenant, measured with some of its own records as queries."""
        member = snapshot.member(tenant)
        if member is None:
            return None
        searcher = Searcher(snapshot, self._settings, member)
        if searcher.n_lists <= ALL_LISTS:
            return None
        wanted = int(min(MOST, max(LEAST, BUDGET / max(1, member.n_records))))
        rows = _sample(snapshot, tenant, wanted)
        queries = np.ascontiguousarray(vectors_of(snapshot, self._settings, rows, (tenant,)), dtype=np.float32)
        points = measure(searcher, queries, own_rows=rows, n_threads=n_cores(), enough=ENOUGH)
        return RecallCurve(points, searcher.n_lists) if points else None


def _sample(snapshot: Snapshot, tenant: int, wanted: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Some rows of a tenant, from lists here and there; the same ones for the same state."""
    directory = snapshot.lists(tenant)
    rng = np.random.default_rng([tenant, len(directory)])
    weights = directory.counts / directory.counts.sum()
    lists = rng.choice(len(directory), size=wanted, p=weights)
    rows = []
    for at in lists.tolist():
        held = snapshot.read_list(tenant, int(directory.cells[at])).rows
        rows.append(int(held[rng.integers(len(held))]) & ROW_MASK)
    return np.unique(np.array(rows, np.int64))
