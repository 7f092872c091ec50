"""Documents stored in the place of what was there of them, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ramet.engine import upsert
from ramet.engine.change import Change
from ramet.engine.documents import DOCUMENT, known_documents, refuse_taken, rows_of_documents
from ramet.engine.errors import ConflictError
from ramet.engine.hits import UpsertReport
from ramet.engine.ownership import refuse_foreign_rows
from ramet.engine.upsert import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What was stored."""

    report: UpsertReport
    skipped: frozenset[str]
    """Documents that were left out, because they were there."""


def replaced(change: Change, records: Records, documents: list[str], on_conflict: str) -> Replaced:
    """Store the chunks of documents; see `Live.replace`.

    Raises
    ------
    ConflictError
        A document is there, and that is an error; or one of the ids is of a record of something else.
    NotOwnerError
        A document is there, granted by another tenant.
    """
    writer, tenant = change.writer, records.tenants
    assert isinstance(tenant, str)
    number = writer.tenant_number(tenant)
    skipped: set[str] = set()
    if number is not None:
        if on_conflict != "replace":
            skipped = known_documents(writer, number, documents)
        if skipped and on_conflict == "error":
            raise ConflictError(tenant, sorted(skipped), "they came while the texts were embedded")
        if skipped:
            records = without(records, skipped)
            documents = [name for name in documents if name not in skipped]
        refuse_taken(writer, number, tenant, [*records.names, *documents], documents)
        old = rows_of_documents(writer, number, documents)
        refuse_foreign_rows(writer, number, tenant, old)
        stale = sorted(set(writer.ids_of(old)) - set(records.names))
        upsert.delete(change, number, stale)
    report = UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0)
    for batch in records.batches(max(1, len(records.names))):
        report += upsert.write(change, batch, "replace")
    return Replaced(report=report, skipped=frozenset(skipped))


def without(records: Records, documents: set[str]) -> Records:
    """Records that are of other documents."""
    fields = records.content.metadata
    assert fields is not None
    kept = [i for i, one in enumerate(fields) if one is not None and one[DOCUMENT] not in documents]
    return Records(
        names=[records.names[i] for i in kept],
        block=records.block[kept],
        bare=None if records.bare is None else records.bare[np.array(kept, np.int64)],
        content=records.content.taken(kept),
        tenants=records.tenants,
    )
