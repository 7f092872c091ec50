"""Figures and maintenance of a collection on a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ramet.api.client.batches import given
from ramet.api.client.collection_calls import CollectionCalls
from ramet.api.client.messages import LONG_S, Operation
from ramet.api.client.results import compact_report, curve_of, parsed, verify_report
from ramet.api.client.vectors import query_form, refuse_endless
from ramet.engine import arguments
from ramet.engine.hits import CompactReport, CurvePoint

if TYPE_CHECKING:
    from ramet import VerifyReport

STEP_S = 10.0
"""Seconds of maintenance in one request, which a server ends after some time."""


class Upkeep(CollectionCalls):
    """Figures and maintenance."""

    def tenants(self) -> Operation[dict[str, int]]:
        """Tenants with their numbers of records; see `Collection.tenants`."""
        return self._get(
            "/tenants", lambda reply: {one["name"]: int(one["records"]) for one in parsed(reply)["tenants"]}
        )

    def stats(self, tenant: Any = None) -> Operation[dict[str, Any]]:
        """Sizes, list lengths, recall curves; see `Collection.stats`."""
        query = () if tenant is None else (("tenant", arguments.name(tenant, "tenant")),)
        return self._get("/stats", lambda reply: dict(parsed(reply)), query)

    def compact(self, *, timeout_s: Any) -> Operation[CompactReport]:
        """Write the collection anew; see `Collection.compact`."""
        busy_s = arguments.seconds(timeout_s, "timeout_s")
        return self._post("/compact", None, compact_report, busy_s=busy_s, timeout_s=LONG_S)

    def maintain(self, seconds: Any, *, timeout_s: Any) -> Operation[bool]:
        """Go on with rebalancing; see `Collection.maintain`."""
        return self._maintained(arguments.seconds(seconds, "seconds"), arguments.seconds(timeout_s, "timeout_s"))

    def _maintained(self, seconds: float, busy_s: float) -> Operation[bool]:
        ends = time.monotonic() + seconds
        left = seconds
        while True:
            body = {"seconds": max(0.0, min(left, STEP_S))}
            done = yield from self._post(
                "/maintain", body, lambda reply: bool(parsed(reply)["done"]), busy_s=busy_s, timeout_s=LONG_S
            )
            left = ends - time.monotonic()
            if done or left <= 0:
                return done

    def calibrate(self, queries: Any, *, tenant: Any) -> Operation[list[CurvePoint]]:
        """Measure the recall curve with own queries; see `Collection.calibrate`."""
        block, _ = query_form(queries, self.facts.settings, "queries")
        refuse_endless(block, "query", "queries")
        name = None if tenant is None else arguments.name(tenant, "tenant")
        body = {"vectors": block.tolist(), **given(tenant=name)}
        return self._post("/calibrate", body, curve_of, timeout_s=LONG_S)

    def verify(self) -> Operation[VerifyReport]:
        """Check every checksum; see `Collection.verify`."""
        return self._post("/verify", None, verify_report, timeout_s=LONG_S)

    def backup(self, name: Any) -> Operation[None]:
        """Copy the collection on the server."""
        body = {"name": arguments.collection_name(name)}
        return self._post("/backups", body, lambda reply: None, repeatable=False, timeout_s=LONG_S)

    def flush(self) -> Operation[None]:
        """Put everything that is committed on disk; see `Collection.flush`."""
        return self._post("/flush", None, lambda reply: None)
