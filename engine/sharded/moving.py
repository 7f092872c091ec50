"""Records of a shard, page by page, and their way into another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine import reads
from ramet.engine.collection import Collection
from ramet.engine.contents import Content
from ramet.engine.sharded.cells import SharedCells
from ramet.engine.sharded.shard import Made, Shard, viewers_of
from ramet.engine.upsert import Records
from ramet.storage.snapshot import Snapshot

I64 = npt.NDArray[np.int64]

PAGE = 4096
"""Records read together."""

NO_CELL = -1


@dataclass(frozen=True, slots=True)
class Page:
    """Some records that a tenant owns."""

    tenant: str
    names: list[str]
    rows: I64
    bare: npt.NDArray[np.bool_]
    cells: I64
    """The shared cell of each, -1 where there is no vector."""

    def taken(self, which: npt.NDArray[np.bool_]) -> Page:
        """Some of them, by a mask."""
        names = [name for name, chosen in zip(self.names, which.tolist(), strict=True) if chosen]
        return Page(self.tenant, names, self.rows[which], self.bare[which], self.cells[which])


def pages(snapshot: Snapshot, collection: Collection, cells: SharedCells) -> Iterator[Page]:
    """All records of a shard, each once: with its owner."""
    settings = collection._settings  # the classes of a collection are one unit
    for member in snapshot.members():
        after: str | None = None
        while True:
            names, rows = snapshot.ids_after(member.number, after, PAGE)
            if not names:
                break
            after = names[-1]
            homes = snapshot.homes_of(rows)
            own = homes.owners == member.number
            mine, bare = rows[own], homes.bare[own]
            home = np.full(len(mine), NO_CELL, np.int64)
            home[~bare] = cells.home(reads.vectors_of(snapshot, settings, mine[~bare], (member.number,)))
            kept = [name for name, chosen in zip(names, own.tolist(), strict=True) if chosen]
            yield Page(member.name, kept, mine, bare, home)


def carry(snapshot: Snapshot, source: Collection, page: Page, target: Shard, made: Made, timeout_s: float) -> None:
    """Write records of one shard to another, with everything that belongs to them, and who sees them."""
    if not page.names:
        return
    settings = source._settings
    number = snapshot.tenant_number(page.tenant)
    assert number is not None
    block = np.zeros((len(page.names), settings.dim), settings.dtype)
    block[~page.bare] = reads.vectors_of(snapshot, settings, page.rows[~page.bare], (number,))
    content = Content(
        documents=reads.documents_of(snapshot, page.rows) if snapshot.has_documents else None,
        metadata=reads.metadata_of(snapshot, page.rows) if snapshot.has_metadata else None,
        tokens=snapshot.tokens(page.rows) if snapshot.has_tokens else None,
    )
    bare = page.bare if page.bare.any() else None
    records = Records(names=page.names, block=block, bare=bare, content=content, tenants=page.tenant)
    target.upsert(records, made, timeout_s)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, viewers in zip(page.names, viewers_of(snapshot, page.rows), strict=True):
        groups.setdefault(viewers, []).append(name)
    for viewers, names in groups.items():
        if viewers:
            target.grant(names, page.tenant, viewers, timeout_s)
