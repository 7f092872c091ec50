"""Records read by id, page by page, and counted."""

from __future__ import annotations

import base64

import numpy as np
from pyroaring import BitMap

from ramet.engine import reads
from ramet.engine.hits import Records
from ramet.engine.opened import Opened
from ramet.engine.reads import Include
from ramet.engine.where import Filter
from ramet.storage.snapshot import Snapshot

PIECE = 1024
"""Ids looked at together."""

SPARSE = 64
"""When at most one in so many of the records a page walks over matches, the matching ones are sorted instead."""


def by_id(opened: Opened, tenant: str, ids: list[str], include: Include) -> Records:
    """Records of a tenant by id, in that order; ids that it does not have are left out."""
    with opened.store.read() as snapshot:
        number = snapshot.tenant_number(tenant)
        if number is None:
            return Records()
        rows = snapshot.rows_of(number, ids)
        there = rows >= 0
        names = [name for name, known in zip(ids, there.tolist(), strict=True) if known]
        return Records(reads.records(snapshot, opened.settings, (number, tenant), names, rows[there], include))


def page(
    opened: Opened, tenant: str, chosen: Filter | None, limit: int | None, after: str | None, include: Include
) -> Records:
    """The next records of a tenant that a filter allows, in the order of the bytes of their ids."""
    with opened.store.read() as snapshot:
        number = snapshot.tenant_number(tenant)
        member = None if number is None else snapshot.member(number)
        if number is None or member is None:
            return Records()
        wanted = member.n_records + 1 if limit is None else limit + 1  # one more tells whether there is a next page
        rows = None if chosen is None else opened.filters.of(snapshot, member, chosen).bitmap
        if rows is not None and len(rows) * SPARSE <= member.n_records:
            names, found = _sorted(snapshot, rows, after, wanted)
        else:
            names, found = _walked(snapshot, number, rows, after, wanted)
        more = limit is not None and len(names) > limit
        names, found = names[:limit], found[:limit]
        records = reads.records(snapshot, opened.settings, (number, tenant), names, np.array(found, np.int64), include)
    return Records(records, cursor_after(names[-1]) if more else None)


def _sorted(snapshot: Snapshot, rows: BitMap, after: str | None, wanted: int) -> tuple[list[str], list[int]]:
    """The first ids behind ``after``, of few rows."""
    numbers = np.array(rows, np.int64)
    pairs = sorted(zip((name.encode() for name in snapshot.ids_of(numbers)), numbers.tolist(), strict=True))
    behind = [pair for pair in pairs if after is None or pair[0] > after.encode()][:wanted]
    return [name.decode() for name, _ in behind], [row for _, row in behind]


def _walked(
    snapshot: Snapshot, tenant: int, rows: BitMap | None, after: str | None, wanted: int
) -> tuple[list[str], list[int]]:
    """The first ids behind ``after`` whose row is among the rows (None: all)."""
    names: list[str] = []
    found: list[int] = []
    while len(names) < wanted:
        ids, numbers = snapshot.ids_after(tenant, after, PIECE)
        for name, row in zip(ids, numbers.tolist(), strict=True):
            if rows is None or row in rows:
                names.append(name)
                found.append(row)
        if len(ids) < PIECE:
            break
        after = ids[-1]
    return names[:wanted], found[:wanted]


def cursor_after(name: str) -> str:
    """What a caller passes to go on behind an id."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def count_matching(opened: Opened, tenant: str, chosen: Filter | None) -> int:
    """Records of a tenant that a filter allows; all of them for None."""
    with opened.store.read() as snapshot:
        number = snapshot.tenant_number(tenant)
        member = None if number is None else snapshot.member(number)
        if member is None:
            return 0
        return member.n_records if chosen is None else opened.filters.of(snapshot, member, chosen).count
