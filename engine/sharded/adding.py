"""Documents to records, over all shards: chunks go where their vectors belong."""

from __future__ import annotations

from typing import Any

import numpy as np

from ramet.engine.adding import Documents, Part, add_parts, embedded, with_codes
from ramet.engine.embedding import TextEmbedder
from ramet.engine.errors import ConflictError
from ramet.engine.hits import AddReport, UpsertReport
from ramet.engine.replacing import Replaced, without
from ramet.engine.sharded.live import places_of, taken, targets_of, write
from ramet.engine.sharded.opened import ShardedStore, Shards
from ramet.engine.sharded.shard import Made
from ramet.engine.token_codes import Projection
from ramet.engine.upsert import Records


def add(
    store: ShardedStore,
    embedder: TextEmbedder,
    documents: Documents,
    chunks: tuple[int | None, int],
    how: tuple[str, Any],
    timeout_s: float,
) -> AddReport:
    """Cut, embed and store documents; ``how``: on_conflict and token_codes of `Collection.add_texts`."""
    on_conflict, token_codes = how
    encoded = with_codes(embedder, token_codes)
    settings = store.now().manifest.settings

    def stored(part: Part) -> Replaced:
        with store.writing(timeout_s) as (shards, left_s):
            projection = projection_of(shards) if encoded else None
            records, projection = embedded(part, embedder, documents.tenant, settings, (encoded, projection))
            made = Made(embedder.identity, projection) if part.texts else Made()
            skipped = _late(shards, part, documents.tenant, on_conflict)
            if skipped:
                records = without(records, skipped)
            mine = [name for name in part.documents if name not in skipped]
            report = _replace(store, shards, records, mine, made, left_s)
            return Replaced(report=report, skipped=frozenset(skipped))

    with store.writing(timeout_s) as (shards, _):
        chosen = _without_conflicts(shards, documents, on_conflict)
    return add_parts(documents, chosen, embedder, chunks, stored)


def projection_of(shards: Shards) -> Projection | None:
    """What token codes of the collection were made with."""
    found: list[Projection | None] = shards.ask("projection")
    return next((one for one in found if one is not None), None)


def _without_conflicts(shards: Shards, documents: Documents, on_conflict: str) -> list[int]:
    """Positions of the documents that are to be stored."""
    if on_conflict == "replace":
        shards.ask("refuse_documents", documents.tenant, documents.ids, documents.ids)
        return list(range(len(documents.ids)))
    known = set[str]().union(*shards.ask("known_documents", documents.tenant, documents.ids))
    if known and on_conflict == "error":
        raise ConflictError(documents.tenant, sorted(known), 'pass on_conflict="replace" or "skip", or use other ids')
    return [i for i, name in enumerate(documents.ids) if name not in known]


def _late(shards: Shards, part: Part, tenant: str, on_conflict: str) -> set[str]:
    """Documents that came while the texts were embedded, and are to be skipped for that."""
    if on_conflict == "replace":
        return set()
    known = set[str]().union(*shards.ask("known_documents", tenant, part.documents))
    if known and on_conflict == "error":
        raise ConflictError(tenant, sorted(known), "they came while the texts were embedded")
    return known


def _replace(
    store: ShardedStore, shards: Shards, records: Records, documents: list[str], made: Made, timeout_s: float
) -> UpsertReport:
    """Store chunks in the place of all that is there of their documents, shard by shard.

    Those that take chunks come first, so that a chunk that moves is not gone before it has come.
    """
    tenant = records.tenants
    assert isinstance(tenant, str)
    shards.ask("refuse_documents", tenant, [*records.names, *documents], documents)
    places = places_of(shards, records, "replace")
    targets = targets_of(shards, records, places)
    taking = np.unique(targets).tolist()
    having = [i for i, there in enumerate(shards.ask("has_tenant", tenant)) if there and i not in taking]
    write(store, shards, records, places, targets, made, timeout_s)
    for shard in [*taking, *having]:
        mine = taken(records, np.flatnonzero(targets == shard))
        shards.host.call([(shard, "drop_stale", (mine.names, documents, tenant, timeout_s))], again=False)
    n_replaced = int((places >= 0).sum())
    return UpsertReport(n_inserted=len(records.names) - n_replaced, n_replaced=n_replaced, n_skipped=0)
