"""Records that come and go: insert, replace, delete, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.change import Change
from ramet.engine.contents import Content
from ramet.engine.errors import ConflictError
from ramet.engine.hits import UpsertReport
from ramet.engine.ownership import refuse_foreign
from ramet.storage.homes import HomeTable
from ramet.storage.writer import Writer

I64 = npt.NDArray[np.int64]

MOST_TENANTS = 512
"""Tenants in one transaction; larger calls are cut."""

MOST_BYTES = 64 << 20
"""Bytes of documents in one transaction, about, unless one alone has more. Their words take several times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one transaction, those of a tenant one after the other."""

    names: list[str]
    block: npt.NDArray[Any]
    """Their vectors, (n, dim) in the collection's dtype; zeros where there is none."""
    bare: npt.NDArray[np.bool_] | None
    """Which have no vector, (n,); None: all have one."""
    content: Content
    tenants: list[tuple[str, int, int]]
    """(tenant, first, last): whose the records ``first .. last`` are."""
    at: I64
    """Their positions in the call."""

    def __len__(self) -> int:
        return len(self.names)

    def taken(self, positions: I64) -> Batch:
        """Some of the records, positions rising."""
        chosen = positions.tolist()
        edges = [(tenant, *np.searchsorted(positions, (first, last)).tolist()) for tenant, first, last in self.tenants]
        return Batch(
            names=[self.names[i] for i in chosen],
            block=self.block[positions],
            bare=None if self.bare is None else self.bare[positions],
            content=self.content.taken(chosen),
            tenants=[(tenant, first, last) for tenant, first, last in edges if last > first],
            at=self.at[positions],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Records of one call, checked."""

    names: list[str]
    block: npt.NDArray[Any]
    bare: npt.NDArray[np.bool_] | None
    content: Content
    tenants: str | list[str]
    """Whose all are, or whose each is."""

    def batches(self, size: int) -> list[Batch]:
        """Cut them into transactions of at most ``size``; records of one tenant stay together and in order.

        Large documents make smaller ones (`MOST_BYTES`).
        """
        tenants, order = self.tenants, np.arange(len(self.names))
        if not isinstance(tenants, str):
            numbers: dict[str, int] = {}
            keys = np.array([numbers.setdefault(tenant, len(numbers)) for tenant in tenants], np.int64)
            order = np.argsort(keys, kind="stable")
            tenants = [tenants[i] for i in order.tolist()]
        found: list[Batch] = []
        ends = _bytes_until(self.content.documents, order)
        for first, last in _light(ends, _pieces(tenants, len(order), size)):
            whose = [tenants] * (last - first) if isinstance(tenants, str) else tenants[first:last]
            found.append(self._batch(order[first:last], list(_runs(whose))))
        return found

    def _batch(self, positions: I64, tenants: list[tuple[str, int, int]]) -> Batch:
        chosen = positions.tolist()
        in_order = isinstance(self.tenants, str) and len(chosen) > 0
        part: Any = slice(chosen[0], chosen[-1] + 1) if in_order else positions  # a slice copies nothing
        return Batch(
            names=self.names[part] if in_order else [self.names[i] for i in chosen],
            block=self.block[part],
            bare=None if self.bare is None or not self.bare[part].any() else self.bare[part],
            content=self.content.taken(chosen),
            tenants=tenants,
            at=positions,
        )


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


def _bytes_until(documents: Sequence[str | None] | None, order: I64) -> I64 | None:
    """Bytes of documents up to each record and with it, at most; None without documents."""
    if documents is None:
        return None
    sizes = [0 if text is None else len(text) * (1 if text.isascii() else 4) for text in documents]
    found: I64 = np.cumsum(np.array(sizes, np.int64)[order])
    return found


def _light(ends: I64 | None, pieces: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Cut pieces further, until each has `MOST_BYTES` of documents at most, or one record."""
    for first, last in pieces:
        while ends is not None and first < last:
            before = int(ends[first - 1]) if first else 0
            end = max(first + 1, int(np.searchsorted(ends, before + MOST_BYTES, side="right")))
            if end >= last:
                break
            yield first, end
            first = end
        yield first, last


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
    runs = [(writer.ensure_tenant(tenant), first, last) for tenant, first, last in batch.tenants]
    old = np.concatenate([writer.rows_of(number, batch.names[first:last]) for number, first, last in runs])
    n_skipped, there = 0, batch.at[old >= 0]
    if on_conflict == "skip" and (old >= 0).any():
        batch, n_skipped = batch.taken(np.flatnonzero(old < 0)), int((old >= 0).sum())
        runs = [(writer.ensure_tenant(tenant), first, last) for tenant, first, last in batch.tenants]
        old = old[old < 0]
    if len(batch):
        _insert(change, batch, runs, old)
    n_replaced = int((old >= 0).sum())
    return UpsertReport(n_inserted=len(batch) - n_replaced, n_replaced=n_replaced, n_skipped=n_skipped, there=there)


def _insert(change: Change, batch: Batch, runs: list[tuple[int, int, int]], old: I64) -> None:
    """Append records, in place of the rows ``old`` where these are not negative, for everybody who sees these."""
    writer, names = change.writer, batch.names
    raw = np.ascontiguousarray(batch.block).view(np.uint8).reshape(len(batch), -1)
    first_row = writer.new_rows(names, raw if change.settings.codes != "none" else None)
    change.know(first_row, batch.block)
    change.contents.store(first_row, len(batch), batch.content)
    rows = np.arange(first_row, first_row + len(batch), dtype=np.int64)
    owners = np.concatenate([np.full(last - first, number, np.uint32) for number, first, last in runs])
    seen: dict[int, list[I64]] = {}
    for number, first, last in runs:
        seen.setdefault(number, []).append(np.arange(first, last))
    replaced = np.flatnonzero(old >= 0)
    if len(replaced):
        for viewer, places in _withdraw(change, old[replaced]).items():
            theirs = replaced[places]
            others = theirs[owners[theirs] != viewer]
            if len(others):
                writer.bind_ids(viewer, [names[i] for i in others.tolist()], rows[others])
                seen.setdefault(viewer, []).append(others)
    for number, first, last in runs:
        writer.bind_ids(number, names[first:last], rows[first:last])
    viewers = {tenant: np.sort(np.concatenate(parts)) for tenant, parts in seen.items()}
    _put_into_lists(change, rows, owners, viewers, batch.bare)


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


def _put_into_lists(
    change: Change,
    rows: I64,
    owners: npt.NDArray[Any],
    seen: dict[int, I64],
    bare: npt.NDArray[np.bool_] | None,
) -> None:
    """Put new rows into the lists of everybody who sees them, and store their homes."""
    parts: list[tuple[I64, npt.NDArray[Any], npt.NDArray[Any]]] = []
    for tenant, mine in seen.items():
        starts, cells = change.insert(tenant, rows[mine], None if bare is None else bare[mine])
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
