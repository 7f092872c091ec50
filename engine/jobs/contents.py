"""Stage *contents*: documents, metadata and token codes of the rows, and what finds them.

They go through an ordinary writer, a stretch of rows in each transaction. At the end the collection is written anew, so
that its bytes do not show in how many transactions it came about.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ramet.engine import upsert
from ramet.engine.change import Change
from ramet.engine.contents import Content, Contents
from ramet.engine.jobs.duplicates import bare_of
from ramet.engine.jobs.placing import Places
from ramet.engine.jobs.record_files import unpacked
from ramet.engine.jobs.stages import Stage
from ramet.engine.jobs.work import I64, Work, assigned_dtype
from ramet.engine.opened import MODEL
from ramet.engine.placements import Placements
from ramet.engine.records import checked
from ramet.engine.text.analysis import Analyzer
from ramet.engine.token_codes import Projection
from ramet.storage.compact import compact
from ramet.storage.store import Store
from ramet.storage.writer import Writer

ROWS_TOGETHER, BYTES_TOGETHER = 16_384, 8 << 20
"""Rows of a transaction, and bytes of what they hold: at most, but for one row that has more."""

LOOKED_AT = 65_536
"""Rows whose lengths are looked at together."""

AT = "job"
"""META entry while the stage runs: transactions that are behind it."""


class ContentStage(Stage):
    """Units are stretches of rows, then blocks of records without a vector, then the compaction.

    Parameters
    ----------
    work : Work
    identity : str, optional
        Of the model that made the vectors.
    projection : Projection, optional
        That made the token codes.
    """

    name = "contents"
    in_order = True

    def __init__(self, work: Work, identity: str | None, projection: Projection | None) -> None:
        self._work = work
        self._identity = identity
        self._projection = projection

    @cached_property
    def _n_stretches(self) -> int:
        return len(self._bounds) - 1

    @cached_property
    def _bounds(self) -> list[int]:
        """First row of each transaction, and the number of rows: by what rows hold, and not by memory."""
        work, name = self._work, "kept/contents"
        if not work.place.has(name):
            bounds, n_bytes = list[int](), 0
            for first in range(0, work.n_rows, LOOKED_AT):
                lengths = lengths_of(work, self._rows_read(first, min(first + LOOKED_AT, work.n_rows)))
                for row, length in enumerate(lengths.tolist(), first):
                    if not bounds or row - bounds[-1] == ROWS_TOGETHER or n_bytes + length > BYTES_TOGETHER:
                        bounds.append(row)
                        n_bytes = 0
                    n_bytes += length
            work.place.put_json(name, [*bounds, work.n_rows])
        found: list[int] = work.place.get_json(name)
        return found

    @cached_property
    def _bare(self) -> list[str]:
        """Blocks with chunks that have no vector; of shards, the first one takes them, as they have no nearest cell."""
        if self._work.part is not None and self._work.part.first_group > 0:
            return []
        return [facts["name"] for facts in self._work.read["blocks"] if facts["n_bare"]]

    @property
    def _needed(self) -> bool:
        return bool(self._work.read["has_contents"])

    def n_units(self) -> int:
        """None when the records are vectors and nothing else."""
        return self._n_stretches + len(self._bare) + 1 if self._needed else 0

    def is_done(self, unit: int) -> bool:
        """Whether the transaction of a unit is committed, and known to be."""
        return self._work.place.has(f"contents/{unit:06d}")

    def weight(self, unit: int) -> int:
        """Rows of a stretch."""
        return self._bounds[unit + 1] - self._bounds[unit] if unit < self._n_stretches else 0

    def run(self, unit: int) -> None:
        """Enter a stretch, or one of the last two steps."""
        with Store.open(self._work.out) as store:
            if unit < self._n_stretches:
                self._once(store, unit, self._enter)
            elif unit < self.n_units() - 1:
                self._once(store, unit, self._add_bare)
            else:
                self._compact(store)
        self._work.place.put_json(f"contents/{unit:06d}", True)

    def _once(self, store: Store, unit: int, act: Callable[[Writer, int], None]) -> None:
        """A unit in a transaction, unless that was committed before the job was stopped."""
        with store.read() as snapshot:
            if (snapshot.meta(AT) or 0) > unit:
                return
        with store.write() as writer:
            act(writer, unit)
            writer.set_meta(AT, unit + 1)

    def _enter(self, writer: Writer, unit: int) -> None:
        """Contents of a stretch of rows."""
        work = self._work
        first = self._bounds[unit]
        rows = self._rows_read(first, self._bounds[unit + 1])
        found = contents_of(work, rows)
        if unit == 0 and self._identity is not None:
            writer.set_meta(MODEL, self._identity)
            if self._projection is not None:
                self._projection.bind(writer)
        columns = [[one[i] for one in found] for i in range(3)]
        documents, metadata, tokens = ([None, column][any(one is not None for one in column)] for column in columns)
        entered = Contents(writer, Analyzer(work.plan.settings.language))
        entered.store(first, len(rows), Content(documents=documents, metadata=metadata, tokens=tokens))
        bounds = np.cumsum(self._places.records)
        for tenant in range(len(work.tenants)):
            a = max(first, int(bounds[tenant - 1]) if tenant else 0)
            b = min(first + len(rows), int(bounds[tenant]))
            if a < b:
                entered.enter(tenant, np.arange(a, b))

    @cached_property
    def _places(self) -> Places:
        return Places(self._work)

    def _rows_read(self, first: int, last: int) -> I64:
        """Numbers of rows as they were read."""
        kind, parts = assigned_dtype(self._work.plan.closure.replicas), []
        for unit, bucket in enumerate(self._places.buckets):
            a, b = max(first, bucket.first_row), min(last, bucket.first_row + bucket.n_rows)
            if a < b:
                at = a - bucket.first_row
                parts.append(self._work.place.get_array(f"rows/{unit:06d}.keys", kind, at, b - a)["row"])
        return np.concatenate(parts).astype(np.int64)

    def _add_bare(self, writer: Writer, unit: int) -> None:
        """Chunks in which the embedder knows no word: they are found by words only. Nothing is rebalanced meanwhile."""
        settings, name = self._work.plan.settings, self._bare[unit - self._n_stretches]
        found = [one.record for one in bare_of(self._work, name) if (name, one.at) not in self._work.dropped_bare]
        if not found:
            return
        columns = {key: [one[key] for one in found] for key in ("id", "text", "metadata")}
        owners = [one["tenant"] or self._work.plan.tenant for one in found]
        records = checked(columns["id"], None, columns["text"], columns["metadata"], owners, settings)
        placements = Placements(writer, settings, {})
        change = Change(writer, settings, placements, None, Analyzer(settings.language))
        for batch in records.batches(len(found)):
            upsert.write(change, batch, "error")
        placements.store()

    def _compact(self, store: Store) -> None:
        """Write the collection anew, once."""
        place = self._work.place
        with store.read() as snapshot:
            now, counted = snapshot.txn_id, snapshot.meta(AT) is not None
        if counted:
            with store.write() as writer:
                writer.set_meta(AT, None)
                now = writer.txn_id
        if not place.has("contents/before"):
            place.put_json("contents/before", now)
        if place.get_json("contents/before") == now:
            compact(store, cell_order=np.arange(len(self._places.planted.parents), dtype=np.uint32))


def lengths_of(work: Work, rows: I64) -> I64:
    """Bytes that records have as documents, metadata and token codes, by their numbers as read."""
    out = np.zeros(len(rows), np.int64)
    for number, places, local in work.by_block(rows):
        block = work.blocks[number]
        if work.source.has(f"read/{block.name}.content_ends"):
            ends = work.source.mapped_array(f"read/{block.name}.content_ends", np.int64)
            out[places] = ends[local] - np.where(local > 0, ends[np.maximum(local, 1) - 1], 0)
    return out


def contents_of(work: Work, rows: I64) -> list[tuple[Any, Any, Any]]:
    """Document, metadata and token codes of records, by their numbers as read."""
    out: list[tuple[Any, Any, Any]] = [(None, None, None)] * len(rows)
    for number, places, found in work.by_block(rows):
        block = work.blocks[number]
        if not work.source.has(f"read/{block.name}.content_ends"):
            continue
        ends = work.source.get_array(f"read/{block.name}.content_ends", np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        with open(work.source.path / f"read/{block.name}.contents", "rb") as file:
            for at, local in zip(places.tolist(), found.tolist(), strict=True):
                file.seek(int(starts[local]))
                out[at] = unpacked(file.read(int(ends[local] - starts[local])))
    return out
