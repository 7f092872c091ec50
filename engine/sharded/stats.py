"""Figures about a sharded collection, in the form of those about an ordinary one."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from ramet.engine.curve import DEFAULT_RECALL
from ramet.engine.curves import parsed
from ramet.engine.errors import UnknownTenantError
from ramet.engine.hits import Reads
from ramet.engine.search import Effort
from ramet.engine.sharded.opened import ShardedStore, Shards
from ramet.engine.sharded.routing import probes_of
from ramet.engine.stats import SHOWN

ADDED = ("records", "rows", "lists", "waiting")


def described(shards: Shards) -> list[dict[str, Any]]:
    """Name, cells and present number of records of each shard."""
    counts = shards.ask("count", None)
    return [{**asdict(shard), "records": n} for shard, n in zip(shards.manifest.shards, counts, strict=True)]


def reads(shards: Shards) -> Reads:
    """What searches have read of all shards."""
    parts: list[Reads] = shards.ask("reads")
    return Reads(
        lists=sum(one.lists for one in parts),
        rows=sum(one.rows for one in parts),
        vectors=sum(one.vectors for one in parts),
        bytes=sum(one.bytes for one in parts),
    )


def collect(store: ShardedStore, tenant: str | None) -> dict[str, Any]:
    """Sizes, list lengths and recall curves over all shards; ``tenant``: describe only this one.

    Percentiles of list lengths are means of those of the shards, weighted by their lists.

    Raises
    ------
    UnknownTenantError
        No tenant of that name.
    """
    shards = store.now()
    sums: Counter[str] = Counter()
    for part in shards.ask("tenants"):
        sums.update(part)
    if tenant is not None and tenant not in sums:
        raise UnknownTenantError(tenant, "tenant")
    chosen = sorted(sums, key=lambda name: (-sums[name], name))[:SHOWN] if tenant is None else [tenant]
    parts: list[dict[str, Any]] = shards.ask("stats", None)
    n_bytes: Counter[str] = Counter()
    for one in parts:
        n_bytes.update(one["bytes"])
    found = {**parts[0], "name": store.path.name, "bytes": dict(n_bytes)}
    found |= {key: sum(one[key] for one in parts) for key in ADDED}
    found["model"] = next((one["model"] for one in parts if one["model"] is not None), None)
    found["n_tenants"] = len(sums)
    found["tenants"] = {name: _tenant(shards, name) for name in chosen}
    found["generation"], found["shards"] = shards.manifest.generation, described(shards)
    return found


def _tenant(shards: Shards, name: str) -> dict[str, Any]:
    """Figures of one tenant."""
    having = [i for i, there in enumerate(shards.ask("has_tenant", name)) if there]
    parts = [one["tenants"][name] for one in shards.host.call([(i, "stats", (name,)) for i in having])]
    records, lists = sum(one["records"] for one in parts), sum(one["lists"] for one in parts)
    listed = [one for one in parts if one["lists"]]
    length = {
        key: round(sum(one["list_length"][key] * one["lists"] for one in listed) / max(lists, 1), 1)
        for key in ("min", "p50", "p90", "p99", "max")
    }
    if listed:
        length["min"] = min(one["list_length"]["min"] for one in listed)
        length["max"] = max(one["list_length"]["max"] for one in listed)
    facts = [shard[0] for shard in shards.ask("facts", (name,), DEFAULT_RECALL, 10)]
    measured = parsed(shards.manifest.curves.get(name))
    points = [] if measured is None else measured.table()
    copies = sum(one["copies"] * one["records"] for one in parts)
    return {
        "records": records,
        "documents": sum(one["documents"] for one in parts),
        "lists": lists,
        "copies": round(copies / records, 4) if records else 0.0,
        "list_length": length,
        "nprobe_at_default_recall": probes_of(shards, name, facts, Effort(recall=DEFAULT_RECALL), 10),
        "curve": [{"k": p.k, "nprobe": p.nprobe, "recall": round(p.recall, 4)} for p in points],
    }
