"""Records read by id and page by page, over all shards."""

from __future__ import annotations

from heapq import merge

from ramet.engine.hits import Records
from ramet.engine.listing import cursor_after
from ramet.engine.reads import Include
from ramet.engine.sharded.opened import Shards
from ramet.engine.where import Filter


def by_id(shards: Shards, tenant: str, ids: list[str], include: Include) -> Records:
    """Records of a tenant by id, in that order; ids that it does not have are left out."""
    parts: list[Records] = shards.ask("by_id", tenant, ids, include)
    found = {record.id: record for part in parts for record in part}
    return Records(found[name] for name in ids if name in found)


def page(
    shards: Shards, tenant: str, chosen: Filter | None, limit: int | None, after: str | None, include: Include
) -> Records:
    """The next records of a tenant that a filter allows, in the order of the bytes of their ids.

    Every shard gives a whole page: it is not known before which of them holds the first ids.
    """
    parts: list[Records] = shards.ask("page", tenant, chosen, limit, after, include)
    found = Records()
    for record in merge(*parts, key=lambda record: record.id.encode()):
        if not found or found[-1].id != record.id:  # a record that is just being moved is in two shards
            found.append(record)
    if limit is not None:
        more = len(found) > limit or any(part.cursor for part in parts)
        found = Records(found[:limit])
        found.cursor = cursor_after(found[-1].id) if more and found else None
    return found
