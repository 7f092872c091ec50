"""Placements kept between transactions, each as long as nobody else has changed its tenant since."""

from __future__ import annotations

from ramet.engine.placement import Placement
from ramet.engine.settings import Settings
from ramet.storage.writer import Writer

MOST_BYTES = 128 << 20
"""Memory that the placements kept may take together."""

Kept = dict[int, tuple[int, Placement]]
"""Tenant -> (transaction that changed it last, its placement)."""


class Placements:
    """The placements of one transaction.

    Parameters
    ----------
    writer : Writer
    settings : Settings
    kept : dict
        From the transaction before; taken over entry by entry, where still valid.
    """

    def __init__(self, writer: Writer, settings: Settings, kept: Kept) -> None:
        self._writer = writer
        self._settings = settings
        self._kept = kept
        self._used: dict[int, Placement] = {}

    def of(self, tenant: int) -> Placement:
        """The placement of a tenant, loaded when none is known."""
        found = self._used.get(tenant)
        if found is None:
            member = self._writer.member(tenant)
            changed, found = self._kept.pop(tenant, (-1, None))
            if found is None or member is None or member.changed != changed:
                found = Placement(self._writer, self._settings, tenant)
            self._used[tenant] = found
        return found

    def forget(self, tenant: int) -> None:
        """Drop the placement of a tenant that is no more."""
        self._used.pop(tenant, None)
        self._kept.pop(tenant, None)

    def store(self) -> None:
        """Bring what readers load of the tenants up to date."""
        for placement in self._used.values():
            placement.store(self._writer)

    def after_commit(self, txn_id: int, touched: set[int]) -> Kept:
        """What to keep once the transaction is committed, the oldest dropped when it is too much."""
        kept = self._kept
        for tenant, placement in self._used.items():
            member_changed = txn_id if tenant in touched else -1
            if member_changed >= 0:
                kept[tenant] = (member_changed, placement)
        total = sum(placement.n_bytes for _, placement in kept.values())
        for tenant in list(kept):
            if total <= MOST_BYTES:
                break
            total -= kept.pop(tenant)[1].n_bytes
        return kept
