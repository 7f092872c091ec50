"""The writing side of a sharded collection: which shard takes what; behind the same methods as `engine/live.py`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ConflictError, NotOwnerError, UnknownIdError, UnknownTenantError
from ramet.engine.hits import CompactReport, UpsertReport
from ramet.engine.live import Live
from ramet.engine.settings import Settings
from ramet.engine.sharded import journal
from ramet.engine.sharded.opened import ShardedStore, Shards
from ramet.engine.sharded.shard import Made
from ramet.engine.text.analysis import Analyzer
from ramet.engine.upsert import Records
from ramet.engine.where import Filter
from ramet.storage.writer import Writer

I64 = npt.NDArray[np.int64]

_NOWHERE = -1


class ShardedLive(Live):
    """Writes to one open sharded collection, one call at a time over all processes.

    A call that concerns several shards is a transaction in each of them, not one in all.

    Parameters
    ----------
    store : ShardedStore
    settings : Settings
    model_of : callable
        Identity of the model that vectors are made with, for a call that makes them.
    """

    def __init__(self, store: ShardedStore, settings: Settings, model_of: Callable[[], str | None]) -> None:
        self._sharded = store
        self._model_of = model_of
        self.analyzer = Analyzer(settings.language)

    def upsert(
        self,
        records: Records,
        *,
        on_conflict: str,
        timeout_s: float,
        before: Callable[[Writer], None] | None = None,
    ) -> UpsertReport:
        """Insert or replace records, each in the shard of its nearest cell.

        A record that is there and whose new vector belongs to another shard moves (`journal`); who saw it still does.
        """
        made = Made() if before is None else Made(model=self._model_of())
        n_given = len(records.names)
        with self._sharded.writing(timeout_s) as (shards, left_s):
            places = places_of(shards, records, on_conflict)
            there = np.flatnonzero(places != _NOWHERE)
            if on_conflict == "skip" and len(there):
                kept = np.flatnonzero(places == _NOWHERE)
                records, places = taken(records, kept), places[kept]
            write(self._sharded, shards, records, places, targets_of(shards, records, places), made, left_s)
        n_skipped = n_given - len(records.names)
        n_replaced = 0 if n_skipped else len(there)
        return UpsertReport(
            n_inserted=len(records.names) - n_replaced, n_replaced=n_replaced, n_skipped=n_skipped, there=there
        )

    def delete(self, names: list[str], tenant: str, timeout_s: float) -> int:
        """Delete records; see `Collection.delete`."""
        with self._sharded.writing(timeout_s) as (shards, left_s):
            having = having_tenant(shards, tenant, "tenant")
            placed_ids(shards, tenant, names)
            return sum(shards.host.call([(i, "delete", (names, tenant, left_s)) for i in having], again=False))

    def delete_matching(self, chosen: Filter, tenant: str, timeout_s: float, *, whole: bool = False) -> int:
        """Delete the records of a tenant that a filter allows; see `Collection.delete`."""
        with self._sharded.writing(timeout_s) as (shards, left_s):
            having = having_tenant(shards, tenant, "tenant")
            calls = [(i, "delete_matching", (chosen, tenant, left_s, whole)) for i in having]
            return sum(shards.host.call(calls, again=False))

    def grant(self, names: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """Let other tenants see records; see `Collection.grant`."""
        if not names:
            return 0
        with self._sharded.writing(timeout_s) as (shards, left_s):
            having_tenant(shards, tenant, "tenant")
            places = placed_ids(shards, tenant, names)
            missing = [name for name, place in zip(names, places, strict=True) if place == _NOWHERE]
            if missing:
                raise UnknownIdError(tenant, missing)
            for other in to:
                _refuse_taken(shards, names, tenant, other)
            calls = [(i, "grant", (ids, tenant, to, left_s)) for i, ids in _by_place(names, places)]
            return sum(shards.host.call(calls, again=False))

    def revoke(self, names: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """Take records back from other tenants; see `Collection.revoke`."""
        if not names:
            return 0
        with self._sharded.writing(timeout_s) as (shards, left_s):
            having_tenant(shards, tenant, "tenant")
            having = {other: set(having_tenant(shards, other, "to")) for other in to}
            places = placed_ids(shards, tenant, names)
            calls = []
            for i, ids in _by_place(names, places):
                seeing = tuple(other for other in to if i in having[other])
                if i != _NOWHERE and seeing:
                    calls.append((i, "revoke", (ids, tenant, seeing, left_s)))
            return sum(shards.host.call(calls, again=False))

    def drop_tenant(self, tenant: str, timeout_s: float) -> int:
        """Delete a tenant with everything that it owns; see `Collection.drop_tenant`."""
        with self._sharded.writing(timeout_s) as (shards, left_s):
            having = having_tenant(shards, tenant, "name")
            return sum(shards.host.call([(i, "drop_tenant", (tenant, left_s)) for i in having], again=False))

    def maintain(self, seconds: float, timeout_s: float) -> bool:
        """Go on with rebalancing of lists that waits, an equal time in each shard."""
        with self._sharded.writing(timeout_s) as (shards, left_s):
            each = seconds / len(shards.host)
            return all(shards.ask("maintain", each, left_s))

    def compact(self, timeout_s: float) -> CompactReport:
        """Write every shard anew, one after the other."""
        with self._sharded.writing(timeout_s) as (shards, left_s):
            reports: list[CompactReport] = shards.ask("compact", left_s)
        return CompactReport(
            n_bytes_before=sum(one.n_bytes_before for one in reports),
            n_bytes_after=sum(one.n_bytes_after for one in reports),
        )


# ---------------------------------------------------------------------------------------------------- where records are


@dataclass(frozen=True, slots=True)
class _Found:
    """Where the ids of one tenant are, and which belong to others."""

    places: I64
    foreign: list[str]


def find(shards: Shards, asked: list[tuple[str, list[str]]]) -> list[_Found]:
    """For each tenant, where the ids that it sees are; `-1` where there is none."""
    places = [np.full(len(names), _NOWHERE, np.int64) for _, names in asked]
    foreign: list[set[str]] = [set() for _ in asked]
    for shard, owners in enumerate(shards.ask("owners", asked)):
        for i, (tenant, names) in enumerate(asked):
            for at, owner in enumerate(owners[i]):
                if owner is not None:
                    places[i][at] = shard
                    if owner != tenant:
                        foreign[i].add(names[at])
    return [
        _Found(where, [name for name in names if name in theirs])
        for (_, names), where, theirs in zip(asked, places, foreign, strict=True)
    ]


def placed_ids(shards: Shards, tenant: str, names: list[str]) -> list[int]:
    """Positions of the shards of ids, -1 where there is none.

    Raises
    ------
    NotOwnerError
        Some are granted to the tenant by another one.
    """
    (found,) = find(shards, [(tenant, names)])
    if found.foreign:
        raise NotOwnerError(tenant, found.foreign)
    places: list[int] = found.places.tolist()
    return places


def having_tenant(shards: Shards, tenant: str, argument: str) -> list[int]:
    """Positions of the shards in which there is a tenant.

    Raises
    ------
    UnknownTenantError
        It is in none.
    """
    having = [i for i, tenants in enumerate(shards.ask("has_tenant", tenant)) if tenants]
    if not having:
        raise UnknownTenantError(tenant, argument)
    return having


def _refuse_taken(shards: Shards, names: list[str], tenant: str, other: str) -> None:
    """Refuse a grant of ids under which the other tenant sees another record."""
    taken: set[str] = set()
    if other != tenant:
        for (owners,) in shards.ask("owners", [(other, names)]):
            taken.update(name for name, owner in zip(names, owners, strict=True) if owner not in (None, tenant))
    if taken:
        ids = [name for name in names if name in taken]
        raise ConflictError(other, ids, "a tenant sees one record under an id; delete its own")


def _by_place(names: list[str], places: Sequence[int]) -> list[tuple[int, list[str]]]:
    """Ids of each shard."""
    pairs = sorted(zip(places, range(len(names)), strict=True))
    return [(place, [names[i] for _, i in group]) for place, group in groupby(pairs, key=lambda pair: pair[0])]


def places_of(shards: Shards, records: Records, on_conflict: str) -> I64:
    """Position of the shard in which each record is now, -1 for new ones.

    Raises
    ------
    ConflictError
        There are some, and ``on_conflict`` is "error".
    NotOwnerError
        Records of other tenants would be replaced.
    """
    places = np.full(len(records.names), _NOWHERE, np.int64)
    owned = of_tenants(records)
    asked = [(tenant, [records.names[i] for i in positions.tolist()]) for tenant, positions in owned]
    for (tenant, positions), (_, names), found in zip(owned, asked, find(shards, asked), strict=True):
        places[positions] = found.places
        there = [name for name, place in zip(names, found.places.tolist(), strict=True) if place != _NOWHERE]
        if there and on_conflict == "error":
            raise ConflictError(tenant, there, 'pass on_conflict="replace" or "skip", or use other ids')
        if found.foreign and on_conflict == "replace":
            raise NotOwnerError(tenant, found.foreign)
    return places


def of_tenants(records: Records) -> list[tuple[str, I64]]:
    """Positions of the records of each tenant."""
    if isinstance(records.tenants, str):
        return [(records.tenants, np.arange(len(records.names)))] if records.names else []
    found: dict[str, list[int]] = {}
    for i, tenant in enumerate(records.tenants):
        found.setdefault(tenant, []).append(i)
    return [(tenant, np.array(positions)) for tenant, positions in found.items()]


def targets_of(shards: Shards, records: Records, places: I64) -> I64:
    """Position of the shard where each record is to live: of its nearest cell; without a vector, where it is or any."""
    found = shards.manifest.shard_of(shards.cells.home(records.block))
    if records.bare is not None:
        for i in np.flatnonzero(records.bare).tolist():
            anywhere = zlib.crc32(records.names[i].encode()) % len(shards.host)
            found[i] = places[i] if places[i] != _NOWHERE else anywhere
    return found


def write(
    store: ShardedStore,
    shards: Shards,
    records: Records,
    places: I64,
    targets: I64,
    made: Made,
    timeout_s: float,
) -> None:
    """Store records in their shards, and take out of other shards those that moved."""
    moves = moves_of(records, places, targets)
    if moves:
        journal.note(store.path, shards.manifest, moves)
    calls: list[tuple[int, str, tuple[Any, ...]]] = []
    for shard in np.unique(targets).tolist():
        calls.append((shard, "upsert", (taken(records, np.flatnonzero(targets == shard)), made, timeout_s)))
    shards.host.call(calls, again=False)
    if moves:
        journal.carry_grants_and_delete(shards.host, moves, timeout_s)
        journal.clear(store.path)


def moves_of(records: Records, places: I64, targets: I64) -> list[journal.Move]:
    """Records that are in another shard than they shall be."""
    owners, found = records.tenants, []
    for i in np.flatnonzero((places != _NOWHERE) & (places != targets)).tolist():
        owner = owners if isinstance(owners, str) else owners[i]
        found.append((owner, records.names[i], int(places[i]), int(targets[i])))
    return found


def taken(records: Records, positions: I64) -> Records:
    """Some of the records."""
    chosen, tenants = positions.tolist(), records.tenants
    if len(chosen) == len(records.names):
        return records
    return Records(
        names=[records.names[i] for i in chosen],
        block=records.block[positions],
        bare=None if records.bare is None or not records.bare[positions].any() else records.bare[positions],
        content=records.content.taken(chosen),
        tenants=tenants if isinstance(tenants, str) else [tenants[i] for i in chosen],
    )
