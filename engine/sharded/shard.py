"""One shard: an ordinary collection, and what the collection around it asks of it.

Arguments and results are plain data, so that the same calls reach a shard in this process and one in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine import asking, listing
from ramet.engine.asking import Question
from ramet.engine.builder import BuildOptions, build
from ramet.engine.collection import Collection
from ramet.engine.contents import Content
from ramet.engine.documents import known_documents, refuse_taken, rows_of_documents
from ramet.engine.errors import ModelMismatchError
from ramet.engine.hits import BuildReport, CompactReport, Hits, Reads, UpsertReport
from ramet.engine.hits import Records as Found
from ramet.engine.opened import MODEL
from ramet.engine.ownership import refuse_foreign_rows
from ramet.engine.reads import Include
from ramet.engine.search import Effort
from ramet.engine.searcher import Floats
from ramet.engine.text.keyword import Statistics
from ramet.engine.token_codes import Projection
from ramet.engine.upsert import Records
from ramet.engine.where import Filter
from ramet.storage.findings import VerifyReport
from ramet.storage.snapshot import Snapshot
from ramet.storage.store import Store
from ramet.storage.writer import Writer

Named = tuple[str, list[str]]
"""A tenant and ids."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides how many lists of a tenant are read, in one shard."""

    lists: int
    probes: int
    """For the recall asked for, by the shard's own curve."""
    records: int


@dataclass(frozen=True, slots=True)
class Made:
    """What vectors and token codes that are stored were made with; None: nothing that has to be remembered."""

    model: str | None = None
    projection: Projection | None = None


class Shard:
    """The records of some cells.

    Parameters
    ----------
    path : Path
        Directory of the collection.
    """

    def __init__(self, path: Path) -> None:
        self.collection = Collection(Store.open(path))
        self._opened = self.collection._opened  # all of this is one unit

    def is_current(self) -> bool:
        """Tell whether the collection at the path is still the one that is open here; costs one stat(2)."""
        return self._opened.is_current()

    # ------------------------------------------------------------------------------------------------ queries

    def near(
        self, names: tuple[str, ...], queries: Floats, k: int, effort: Effort, include: Include, check: bool
    ) -> Hits:
        """As `asking.near`, of a batch."""
        return asking.near(self._opened, names, queries, False, k, effort, include, check)

    def answer(self, question: Question, mode: str, names: tuple[str, ...]) -> Hits:
        """As `asking.answer`."""
        return asking.answer(self._opened, question, mode, names)

    def statistics(self, texts: list[str], names: tuple[str, ...]) -> list[Statistics]:
        """As `asking.statistics`."""
        return asking.statistics(self._opened, texts, names)

    def facts(self, names: tuple[str, ...], recall: float, k: int) -> list[Facts]:
        """Of each tenant."""
        found = []
        for name in names:
            snapshot, searchers = asking.begin(self._opened, (name,))
            snapshot.close()
            found.append(Facts(0, 0, 0))
            for one in searchers:
                found[-1] = Facts(one.n_lists, one.nprobe_for(recall, k), one.n_records)
        return found

    def scanned(self, queries: Floats, effort: Effort, names: tuple[str, ...]) -> float:
        """As `Collection.scanned`."""
        return self.collection._scanned(queries, effort, names)

    # ------------------------------------------------------------------------------------------------ reads

    def by_id(self, tenant: str, ids: list[str], include: Include) -> Found:
        """As `listing.by_id`."""
        return listing.by_id(self._opened, tenant, ids, include)

    def page(self, tenant: str, chosen: Filter | None, limit: int | None, after: str | None, include: Include) -> Found:
        """As `listing.page`."""
        return listing.page(self._opened, tenant, chosen, limit, after, include)

    def count_matching(self, tenant: str, chosen: Filter | None) -> int:
        """As `listing.count_matching`."""
        return listing.count_matching(self._opened, tenant, chosen)

    def count(self, tenant: str | None) -> int:
        """As `Collection.count`."""
        return self.collection.count(tenant)

    def tenants(self) -> dict[str, int]:
        """As `Collection.tenants`."""
        return self.collection.tenants()

    def stats(self, tenant: str | None) -> dict[str, Any]:
        """As `Collection.stats`."""
        return self.collection.stats(tenant)

    def reads(self) -> Reads:
        """As `Collection.reads`."""
        return self.collection.reads()

    def verify(self) -> VerifyReport:
        """As `Collection.verify`."""
        return self.collection.verify()

    def owners(self, asked: Sequence[Named]) -> list[list[str | None]]:
        """Of each id of each tenant, who owns the record that the tenant sees under it; None: there is none here."""
        with self._opened.store.read() as snapshot:
            found: list[list[str | None]] = []
            names: dict[int, str] = {}
            for tenant, ids in asked:
                number = snapshot.tenant_number(tenant)
                found.append([None] * len(ids))
                if number is None:
                    continue
                rows = snapshot.rows_of(number, ids)
                there = np.flatnonzero(rows >= 0)
                owners = snapshot.homes_of(rows[there]).owners.tolist() if len(there) else []
                for i, owner in zip(there.tolist(), owners, strict=True):
                    if owner not in names:
                        member = snapshot.member(owner)
                        names[owner] = "" if member is None else member.name
                    found[-1][i] = names[owner]
        return found

    def has_tenant(self, tenant: str) -> bool:
        """Whether there is a tenant of that name."""
        with self._opened.store.read() as snapshot:
            return snapshot.tenant_number(tenant) is not None

    def viewers(self, tenant: str, ids: list[str]) -> list[tuple[str, ...]]:
        """Who sees records of a tenant beside itself, sorted; of ids that it has here."""
        with self._opened.store.read() as snapshot:
            number = snapshot.tenant_number(tenant)
            if number is None:
                return [()] * len(ids)
            rows = snapshot.rows_of(number, ids)
            return viewers_of(snapshot, rows)

    def model(self) -> Any:
        """The model whose vectors are here."""
        with self._opened.store.read() as snapshot:
            return snapshot.meta(MODEL)

    def projection(self) -> Projection | None:
        """What token codes here were made with."""
        with self._opened.store.read() as snapshot:
            return Projection.of(snapshot)

    def known_documents(self, tenant: str, ids: list[str]) -> set[str]:
        """Documents of `add_texts` that have chunks here, or a record under their id."""
        with self._opened.store.read() as snapshot:
            number = snapshot.tenant_number(tenant)
            return set() if number is None else known_documents(snapshot, number, ids)

    def refuse_documents(self, tenant: str, ids: list[str], documents: list[str]) -> None:
        """Raise what storing chunks under these ids, in the place of documents, would meet."""
        with self._opened.store.read() as snapshot:
            number = snapshot.tenant_number(tenant)
            if number is not None:
                refuse_taken(snapshot, number, tenant, ids, documents)
                refuse_foreign_rows(snapshot, number, tenant, rows_of_documents(snapshot, number, documents))

    # ------------------------------------------------------------------------------------------------ writes

    def build(self, block: Any, names: list[str], content: Content, options: BuildOptions) -> BuildReport:
        """As `Collection.build`."""
        opened = self._opened
        return build(opened.store, opened.settings, block, names, content, opened.live.analyzer, options, None)

    def upsert(self, records: Records, made: Made, timeout_s: float) -> UpsertReport:
        """Insert or replace records."""
        return self._opened.live.upsert(records, on_conflict="replace", timeout_s=timeout_s, before=self._bind(made))

    def drop_stale(self, kept: list[str], documents: list[str], tenant: str, timeout_s: float) -> int:
        """Delete chunks of documents, but those of these ids; returns how many."""
        with self._opened.store.read() as snapshot:
            number = snapshot.tenant_number(tenant)
            if number is None:
                return 0
            stale = sorted(set(snapshot.ids_of(rows_of_documents(snapshot, number, documents))) - set(kept))
        return self._opened.live.delete(stale, tenant, timeout_s) if stale else 0

    def _bind(self, made: Made) -> Callable[[Writer], None]:
        def bind(writer: Writer) -> None:
            known = writer.meta(MODEL)
            if made.model is not None and known not in (None, made.model):
                raise ModelMismatchError(self.collection.name, str(known), made.model)
            if made.model is not None and known is None:
                writer.set_meta(MODEL, made.model)
            if made.projection is not None:
                made.projection.bind(writer)

        return bind

    def delete(self, ids: list[str], tenant: str, timeout_s: float) -> int:
        """As `Live.delete`."""
        return self._opened.live.delete(ids, tenant, timeout_s)

    def delete_matching(self, chosen: Filter, tenant: str, timeout_s: float, whole: bool) -> int:
        """As `Live.delete_matching`."""
        return self._opened.live.delete_matching(chosen, tenant, timeout_s, whole=whole)

    def grant(self, ids: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """As `Live.grant`."""
        return self._opened.live.grant(ids, tenant, to, timeout_s)

    def revoke(self, ids: list[str], tenant: str, to: tuple[str, ...], timeout_s: float) -> int:
        """As `Live.revoke`."""
        return self._opened.live.revoke(ids, tenant, to, timeout_s)

    def drop_tenant(self, tenant: str, timeout_s: float) -> int:
        """As `Live.drop_tenant`."""
        return self._opened.live.drop_tenant(tenant, timeout_s)

    def maintain(self, seconds: float, timeout_s: float) -> bool:
        """As `Live.maintain`."""
        return self._opened.live.maintain(seconds, timeout_s)

    def compact(self, timeout_s: float) -> CompactReport:
        """As `Live.compact`."""
        return self._opened.live.compact(timeout_s)

    def flush(self) -> None:
        """As `Collection.flush`."""
        self.collection.flush()

    def close(self) -> None:
        """Give the files back."""
        self.collection.close()


def viewers_of(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> list[tuple[str, ...]]:
    """Names of those who see rows beside their owners, sorted."""
    homes = snapshot.homes_of(rows)
    numbers = np.unique(homes.tenants).tolist()
    names = {number: member.name for number in numbers if (member := snapshot.member(number)) is not None}
    found = []
    for i, owner in enumerate(homes.owners.tolist()):
        seeing = set(homes.tenants[homes.starts[i] : homes.starts[i + 1]].tolist()) - {owner}
        found.append(tuple(sorted(names[one] for one in seeing)))
    return found
