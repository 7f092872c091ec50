"""Records that come and go: insert, replace, delete, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.change import Change
from ramet.engine.errors import ConflictError
from ramet.engine.hits import UpsertReport
from ramet.engine.ownership import refuse_foreign
from ramet.storage.homes import HomeTable
from ramet.storage.writer import Writer

I64 = npt.NDArray[np.int64]

MOST_TENANTS = 512
"""Tenants in one transaction; larger calls are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one transaction, those of a tenant one after the other."""

    names: list[str]
    block: npt.NDArray[Any]
    """Their vectors, (n, dim) in the collection's dtype."""
    tenants: list[tuple[str, int, int]]
    """(tenant, first, last): whose the records ``first .. last`` are."""

    def __len__(self) -> int:
        return len(self.names)


def batches(names: list[str], block: npt.NDArray[Any], tenants: str | list[str], size: int) -> list[Batch]:
    """Cut records into transactions of at most ``size``; records of one tenant stay together and in order."""
    order = None
    if not isinstance(tenants, str):
        numbers: dict[str, int] = {}
        keys = np.array([numbers.setdefault(tenant, len(numbers)) for tenant in tenants], np.int64)
        order = np.argsort(keys, kind="stable")
        names, tenants = [names[i] for i in order.tolist()], [tenants[i] for i in order.tolist()]
    found: list[Batch] = []
    for first, last in _pieces(tenants, len(names), size):
        part = block[first:last] if order is None else block[order[first:last]]
        whose = [tenants] * (last - first) if isinstance(tenants, str) else tenants[first:last]
        found.append(Batch(names=names[first:last], block=part, tenants=list(_runs(whose))))
    return found


def _pieces(tenants: str | list[str], n: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut ``range(n)`` into pieces of at most ``size`` records and MOST_TENANTS tenants, who are in order."""
    first = n_tenants = 0
    for i in range(n) if not isinstance(tenants, str) else ():
        n_tenants += i == first or tenants[i] != tenants[i - 1]
        if i - first == size or n_tenants > MOST_TENANTS:
            yield first, i
            first, n_tenants = i, 1
    for start in range(first, n, size):
        yield start, min(start + size, n)


def _runs(tenants: list[str]) -> Iterator[tuple[str, int, int]]:
    """(tenant, first, last) of each run of equal names."""
    first = 0
    for i in range(1, len(tenants) + 1):
        if i == len(tenants) or tenants[i] != tenants[first]:
            yield tenants[first], first, i
            first = i


def refuse(writer: Writer, batch: Batch, on_conflict: str) -> None:
    """Refuse records that may not be written.

    Raises
    ------
    ConflictError
        Ids exist and ``on_conflict`` is "error".
    NotOwnerError
        Records of another tenant, granted to this one, would be replaced.
    """
    if on_conflict == "skip":
        return
    for tenant, first, last in batch.tenants:
        number = writer.tenant_number(tenant)
        if number is None:
            continue
        names = batch.names[first:last]
        there = writer.rows_of(number, names) >= 0
        if on_conflict == "error" and there.any():
            ids = [name for name, known in zip(names, there.tolist(), strict=True) if known]
            raise ConflictError(tenant, ids, 'pass on_conflict="replace" or "skip", or use other ids')
        if there.any():
            refuse_foreign(writer, number, tenant, names)


def write(change: Change, batch: Batch, on_conflict: str) -> UpsertReport:
    """Insert or replace the records of a batch."""
    writer = change.writer
    numbers = [writer.ensure_tenant(tenant) for tenant, _, _ in batch.tenants]
    old = np.concatenate(
        [
            writer.rows_of(number, batch.names[first:last])
            for number, (_, first, last) in zip(numbers, batch.tenants, strict=True)
        ]
    )
    owners = np.concatenate(
        [np.full(b - a, number, np.uint32) for number, (_, a, b) in zip(numbers, batch.tenants, strict=True)]
    )
    kept = np.ones(len(batch), bool) if on_conflict != "skip" else old < 0
    names = [name for name, keep in zip(batch.names, kept.tolist(), strict=True) if keep]
    _insert(change, names, batch.block[kept], owners[kept], old[kept])
    n_replaced = int((old[kept] >= 0).sum())
    return UpsertReport(n_inserted=len(names) - n_replaced, n_replaced=n_replaced, n_skipped=len(batch) - len(names))


def _insert(change: Change, names: list[str], block: npt.NDArray[Any], owners: npt.NDArray[Any], old: I64) -> None:
    """Append records, in place of the rows ``old`` where these are not negative, for everybody who sees these."""
    writer = change.writer
    if not names:
        return
    raw = np.ascontiguousarray(block).view(np.uint8).reshape(len(block), -1)
    first = writer.new_rows(names, raw if change.settings.codes != "none" else None)
    change.know(first, block)
    rows = np.arange(first, first + len(names), dtype=np.int64)
    seen: dict[int, list[I64]] = {}
    for owner in np.unique(owners).tolist():
        mine = np.flatnonzero(owners == owner)
        seen[owner] = [mine]
    replaced = np.flatnonzero(old >= 0)
    if len(replaced):
        for viewer, places in _withdraw(change, old[replaced]).items():
            theirs = replaced[places]
            others = theirs[owners[theirs] != viewer]
            if len(others):
                writer.bind_ids(viewer, [names[i] for i in others.tolist()], rows[others])
                seen.setdefault(viewer, []).append(others)
    for owner in np.unique(owners).tolist():
        mine = np.flatnonzero(owners == owner)
        writer.bind_ids(owner, [names[i] for i in mine.tolist()], rows[mine])
    _put_into_lists(change, rows, owners, {t: np.sort(np.concatenate(parts)) for t, parts in seen.items()})


def _withdraw(change: Change, old: I64) -> dict[int, I64]:
    """Take rows out of every list and forget them; returns who saw which of them, as positions in ``old``."""
    writer = change.writer
    order = np.argsort(old, kind="stable")
    homes, points = writer.homes_of(old[order]), change.points(old[order])
    seen: dict[int, I64] = {}
    for viewer in np.unique(homes.tenants).tolist():
        seen[viewer] = order[np.unique(homes.of_row[homes.tenants == viewer])]
        change.remove(viewer, old[order], homes, points)
    writer.drop_rows(old)
    return seen


def _put_into_lists(change: Change, rows: I64, owners: npt.NDArray[Any], seen: dict[int, I64]) -> None:
    """Put new rows into the lists of everybody who sees them, and store their homes."""
    parts: list[tuple[I64, npt.NDArray[Any], npt.NDArray[Any]]] = []
    for tenant, mine in seen.items():
        starts, cells = change.insert(tenant, rows[mine])
        of_row = np.repeat(mine, np.diff(starts))
        parts.append((of_row, np.full(len(of_row), tenant, np.uint32), cells))
    of_row = np.concatenate([part[0] for part in parts])
    order = np.argsort(of_row, kind="stable")
    homes = HomeTable(
        owners=owners.astype(np.uint32),
        starts=np.concatenate([[0], np.cumsum(np.bincount(of_row, minlength=len(rows)))]).astype(np.int64),
        tenants=np.concatenate([part[1] for part in parts])[order],
        cells=np.concatenate([part[2] for part in parts])[order],
    )
    change.writer.put_home_table(rows, homes)


def delete(change: Change, owner: int, names: list[str]) -> int:
    """Delete records that a tenant owns, for everybody; ids that it does not have are passed over."""
    writer = change.writer
    rows = writer.rows_of(owner, names)
    there = np.flatnonzero(rows >= 0)
    if not len(there):
        return 0
    mine = [names[i] for i in there.tolist()]
    for viewer, places in _withdraw(change, rows[there]).items():
        writer.unbind_ids(viewer, [mine[i] for i in places.tolist()])
    return len(mine)
