"""Who sees a record: grant, revoke, and the end of a tenant."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ramet.engine.change import Change
from ramet.engine.curves import OWN
from ramet.engine.errors import ConflictError, UnknownIdError
from ramet.engine.navigation import MOVED, NAVIGATOR
from ramet.engine.ownership import known, refuse_foreign
from ramet.storage.homes import HomeTable
from ramet.storage.writer import Writer

I64 = npt.NDArray[np.int64]


def _owned_rows(writer: Writer, owner: int, tenant: str, names: list[str]) -> I64:
    """Rows of ids that a tenant must have, all of them its own."""
    rows = writer.rows_of(owner, names)
    missing = [name for name, row in zip(names, rows.tolist(), strict=True) if row < 0]
    if missing:
        raise UnknownIdError(tenant, missing)
    refuse_foreign(writer, owner, tenant, names)
    return rows


def refuse_grant(writer: Writer, names: list[str], tenant: str, to: tuple[str, ...]) -> None:
    """Raise what a grant would meet, before anything is written: unknown or foreign records, ids that are taken."""
    rows = _owned_rows(writer, known(writer, tenant, "tenant"), tenant, names)
    for other in to:
        number = writer.tenant_number(other)
        if number is not None:
            theirs = writer.rows_of(number, names)
            taken = np.flatnonzero((theirs >= 0) & (theirs != rows))
            if len(taken):
                raise ConflictError(
                    other, [names[i] for i in taken.tolist()], "a tenant sees one record under an id; delete its own"
                )


def refuse_revoke(writer: Writer, names: list[str], tenant: str, to: tuple[str, ...]) -> None:
    """Raise what a revocation would meet: unknown tenants, records of somebody else."""
    owner = known(writer, tenant, "tenant")
    for other in to:
        known(writer, other, "to")
    refuse_foreign(writer, owner, tenant, names)


def grant(change: Change, names: list[str], tenant: str, to: tuple[str, ...]) -> int:
    """Let other tenants see records; returns how many (record, tenant) pairs are new."""
    writer = change.writer
    owner = known(writer, tenant, "tenant")
    rows = _owned_rows(writer, owner, tenant, names)
    total = 0
    for other in to:
        number = writer.ensure_tenant(other)
        new = np.flatnonzero(writer.rows_of(number, names) < 0)
        if number == owner or not len(new):
            continue
        new = new[np.argsort(rows[new])]
        before = writer.homes_of(rows[new])
        starts, cells = change.insert(number, rows[new], before.bare)
        writer.put_home_table(rows[new], before.with_lists(number, starts, cells))
        writer.bind_ids(number, [names[i] for i in new.tolist()], rows[new])
        total += len(new)
    return total


def revoke(change: Change, names: list[str], tenant: str, to: tuple[str, ...]) -> int:
    """Take records back; returns how many (record, tenant) pairs ended."""
    writer = change.writer
    owner = known(writer, tenant, "tenant")
    rows = writer.rows_of(owner, names)
    total = 0
    for other in to:
        number = known(writer, other, "to")
        theirs = writer.rows_of(number, names)
        seen = np.flatnonzero((theirs >= 0) & (theirs == rows))
        if number == owner or not len(seen):
            continue
        total += len(seen)
        _take_back(change, number, [names[i] for i in seen.tolist()], rows[seen])
    return total


def _take_back(change: Change, viewer: int, names: list[str], rows: I64) -> None:
    """Take rows of other owners out of a tenant's lists and ids."""
    writer = change.writer
    rows = np.sort(rows)
    before = writer.homes_of(rows)
    change.remove(viewer, rows, before, change.points(rows))
    none = np.zeros(len(rows) + 1, np.int64)
    writer.put_home_table(rows, before.with_lists(viewer, none, np.empty(0, np.uint32)))
    writer.unbind_ids(viewer, names)


def drop(change: Change, tenant: str) -> int:
    """Delete a tenant, the records that it owns (for everybody), and its view of those granted to it.

    Returns
    -------
    int
        Records deleted.
    """
    writer = change.writer
    number = known(writer, tenant, "name")
    names, rows = writer.ids_of_tenant(number)
    order = np.argsort(rows)
    rows, names = rows[order], [names[i] for i in order.tolist()]
    homes = writer.homes_of(rows)
    left = homes.with_lists(number, np.zeros(len(rows) + 1, np.int64), np.empty(0, np.uint32))
    own = homes.owners == number
    _withdraw_shared(change, names, rows, left, own)
    for cell in writer.lists(number).cells.tolist():  # whole lists, without a look at their rows
        writer.delete_list(number, cell)
    writer.put_home_table(rows[~own], left.chosen(~own))
    writer.drop_rows(rows[own])
    writer.unbind_ids(number, names)
    for name in (NAVIGATOR, MOVED):
        writer.put_blob(name.format(tenant=number), None)
    writer.set_meta(OWN.format(tenant=number), None)
    change.contents.forget(number)
    change.forget(number)
    writer.delete_tenant(number)
    return int(own.sum())


def _withdraw_shared(change: Change, names: list[str], rows: I64, homes: HomeTable, own: npt.NDArray[np.bool_]) -> None:
    """Take rows that go away from the other tenants who see them."""
    shared = np.flatnonzero(own & (np.diff(homes.starts) > 0))
    if not len(shared):
        return
    mask = np.zeros(len(rows), bool)
    mask[shared] = True
    theirs, points = homes.chosen(mask), change.points(rows[shared])
    for viewer in np.unique(theirs.tenants).tolist():
        places = np.unique(theirs.of_row[theirs.tenants == viewer])
        change.remove(viewer, rows[shared], theirs, points)
        change.writer.unbind_ids(viewer, [names[i] for i in shared[places].tolist()])
