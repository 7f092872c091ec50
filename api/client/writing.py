"""Writes to a collection on a server."""

from __future__ import annotations

from typing import Any

import numpy as np

from ramet.api.client import batches
from ramet.api.client.batches import Sending, given, pieces
from ramet.api.client.collection_calls import CollectionCalls, segment
from ramet.api.client.messages import LONG_S, Operation, Reply, Request
from ramet.api.client.reading import filter_of
from ramet.api.client.results import parsed, upsert_report
from ramet.engine import arguments
from ramet.engine.errors import ArgumentError, one_of
from ramet.engine.hits import AddReport, UpsertReport

CONFLICTS = ("replace", "skip", "error")

TEXTS_TOGETHER = 128
"""Documents of one request: the server embeds them before it answers."""


def number(reply: Reply, name: str) -> int:
    """The one number of an answer."""
    return int(parsed(reply)[name])


class Writing(CollectionCalls):
    """Writes."""

    def upsert(
        self, ids: Any, vectors: Any, *, documents: Any, metadata: Any, tenant: Any, on_conflict: Any, timeout_s: Any
    ) -> Operation[UpsertReport]:
        """Insert or replace records; see `Collection.upsert`."""
        action = one_of(on_conflict, "on_conflict", CONFLICTS)
        busy_s, settings = arguments.seconds(timeout_s, "timeout_s"), self.facts.settings
        batch = batches.records(ids, vectors, (documents, metadata), tenant, action, settings)
        form = batch.vectors
        width = (form.itemsize * settings.dim if isinstance(form, np.ndarray) else 0) + batches.RECORD_BYTES

        def check() -> None:
            """Refuse a wrong argument in any record, as long as none is written."""
            from ramet.engine import records  # loads the compiler, which calls of one request need not

            whose = arguments.DEFAULT_TENANT if tenant is None else tenant
            records.checked(ids, vectors, documents, metadata, whose, settings)

        together = max(1, min(self.server.max_records, self.server.max_bytes // width))
        if form is None and self.facts.embedder is not None:
            together = min(together, TEXTS_TOGETHER)
        return self._written(batch, together, busy_s, check)

    def _written(self, batch: batches.RecordBatch, together: int, busy_s: float, check: Any) -> Operation[UpsertReport]:
        how = Sending(
            server=self.server,
            path=f"{self.path}/records",
            repeatable=batch.on_conflict != "error",
            busy_s=busy_s,
            timeout_s=LONG_S if batch.vectors is None else None,
        )
        reports = yield from batches.sent(batch, together, how, upsert_report, check)
        return sum(reports, UpsertReport(n_inserted=0, n_replaced=0, n_skipped=0))

    def delete(self, ids: Any, *, where: Any, tenant: Any, timeout_s: Any) -> Operation[int]:
        """Delete records; see `Collection.delete`."""
        busy_s = arguments.seconds(timeout_s, "timeout_s")
        rest = _tenant(tenant)
        if (ids is None) == (where is None):
            raise ArgumentError("ids", "pass either ids or where, and one of them")
        if ids is not None:
            return self._in_pieces("/records/delete", arguments.names(ids, "ids"), rest, "deleted", busy_s)
        chosen = filter_of(where)
        if chosen is None:
            raise ArgumentError("where", "is empty and would delete everything; use drop_tenant for that")
        body = {
            "where": chosen,
            **rest,
        }  # not twice: it would delete what others have written in between, and count less
        return self._post(
            "/records/delete", body, lambda reply: number(reply, "deleted"), busy_s=busy_s, repeatable=False
        )

    def grant(self, ids: Any, *, to: Any, tenant: Any, timeout_s: Any) -> Operation[int]:
        """Let other tenants see records; see `Collection.grant`."""
        return self._shared("grant", "granted", ids, to, tenant, timeout_s)

    def revoke(self, ids: Any, *, to: Any, tenant: Any, timeout_s: Any) -> Operation[int]:
        """Take records back; see `Collection.revoke`."""
        return self._shared("revoke", "revoked", ids, to, tenant, timeout_s)

    def _shared(self, verb: str, counted: str, ids: Any, to: Any, tenant: Any, timeout_s: Any) -> Operation[int]:
        names, rest = arguments.names(ids, "ids"), _tenant(tenant)
        others = list(arguments.tenants(to, "to"))
        busy_s = arguments.seconds(timeout_s, "timeout_s")
        return self._in_pieces(f"/records/{verb}", names, {"to": others, **rest}, counted, busy_s)

    def _in_pieces(
        self, path: str, names: list[str], rest: dict[str, Any], counted: str, busy_s: float
    ) -> Operation[int]:
        """Do something with records by id, so many at a time; the sum of what was counted."""
        total = 0
        for some in pieces(names, self.server.max_records):
            body = {"ids": some, **rest}
            total += yield from self._post(path, body, lambda reply: number(reply, counted), busy_s=busy_s)
        return total

    def drop_tenant(self, name: Any, *, timeout_s: Any) -> Operation[int]:
        """Delete a tenant; see `Collection.drop_tenant`."""
        path = f"{self.path}/tenants/{segment(arguments.name(name, 'name'))}"
        request = Request(method="DELETE", path=path, repeatable=False)
        busy_s = arguments.seconds(timeout_s, "timeout_s")
        return self.server.told(request, lambda reply: number(reply, "deleted"), busy_s=busy_s)

    def add_texts(
        self, texts: Any, ids: Any, *, metadata: Any, tenant: Any, on_conflict: Any, timeout_s: Any, **options: Any
    ) -> Operation[AddReport]:
        """Store documents; see `Collection.add_texts`."""
        action = one_of(on_conflict, "on_conflict", CONFLICTS)
        busy_s = arguments.seconds(timeout_s, "timeout_s")
        rest = {**_tenant(tenant), "on_conflict": action, **_chunks(**options)}
        batch = batches.texts(texts, ids, metadata, rest)

        def check() -> None:
            """Refuse a wrong document, as long as none is stored."""
            from ramet.engine import adding

            adding.checked(batch.texts, batch.ids, batch.metadata, arguments.DEFAULT_TENANT)

        return self._added(batch, action, busy_s, check)

    def _added(self, batch: batches.TextBatch, action: str, busy_s: float, check: Any) -> Operation[AddReport]:
        how = Sending(
            server=self.server,
            path=f"{self.path}/texts",
            repeatable=action != "error",
            busy_s=busy_s,
            timeout_s=LONG_S,
        )
        found = yield from batches.sent(batch, min(TEXTS_TOGETHER, self.server.max_records), how, parsed, check)
        total = {name: sum(int(one[name]) for one in found) for name in ("documents", "skipped", "chunks", "replaced")}
        return AddReport(
            ids=batch.ids,
            n_documents=total["documents"],
            n_skipped=total["skipped"],
            n_chunks=total["chunks"],
            n_replaced=total["replaced"],
            n_tokens=sum(int(one["tokens"]) for one in found),
        )

    def delete_texts(self, ids: Any, *, tenant: Any, timeout_s: Any) -> Operation[int]:
        """Delete documents; see `Collection.delete_texts`."""
        names, busy_s = arguments.names(ids, "ids"), arguments.seconds(timeout_s, "timeout_s")
        return self._in_pieces("/texts/delete", names, _tenant(tenant), "deleted", busy_s)


def _tenant(tenant: Any) -> dict[str, Any]:
    return {} if tenant is None else {"tenant": arguments.name(tenant, "tenant")}


def _chunks(*, chunk_tokens: Any, overlap: Any, token_codes: Any) -> dict[str, Any]:
    """How documents are cut, as far as it is not the default."""
    if token_codes not in ("auto", True, False):
        raise ArgumentError("token_codes", f'is {token_codes!r}; pass "auto", True or False')
    return given(
        chunk_tokens=None if chunk_tokens is None else arguments.positive(chunk_tokens, "chunk_tokens", 1 << 31),
        overlap=arguments.whole(overlap, "overlap") or None,
        token_codes=None if token_codes == "auto" else bool(token_codes),
    )
