"""`moving.json`: records that are on their way from one shard to another.

There is no transaction over several shards. A record that moves is written in its new shard first and then deleted from
its old one; the note that was written before says which copy is to stay, should the process die in between. Whoever
writes next finishes that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from ramet.engine.sharded.hosts import Host
from ramet.engine.sharded.manifest import Manifest, write_whole
from ramet.storage.errors import CorruptionError

JOURNAL = "moving.json"

Move = tuple[str, str, int, int]
"""Tenant, id, the position of the shard that a record leaves, and of that where it goes."""


def note(path: Path, manifest: Manifest, moves: Iterable[Move]) -> None:
    """Note moves before the first of them begins."""
    names = [shard.name for shard in manifest.shards]
    found = [[tenant, name, names[old], names[new]] for tenant, name, old, new in moves]
    write_whole(path / JOURNAL, json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def clear(path: Path) -> None:
    """Forget them when all have ended."""
    (path / JOURNAL).unlink(missing_ok=True)


def finish(path: Path, manifest: Manifest, host: Host, timeout_s: float) -> None:
    """End the moves of a process that died. The caller holds the writer's lock.

    Raises
    ------
    CorruptionError
        The note is damaged.
    """
    file = path / JOURNAL
    if not file.is_file():
        return
    positions = {shard.name: i for i, shard in enumerate(manifest.shards)}
    try:
        stored: list[Any] = json.loads(file.read_bytes())
        moves = [(str(t), str(name), positions.get(old), positions.get(new)) for t, name, old, new in stored]
    except (TypeError, ValueError) as error:
        raise CorruptionError(file, "the whole file", "moves of records", error) from error
    known = [(tenant, name, old, new) for tenant, name, old, new in moves if old is not None and new is not None]
    carry_grants_and_delete(host, known, timeout_s, only_arrived=True)
    clear(path)


def carry_grants_and_delete(host: Host, moves: Iterable[Move], timeout_s: float, *, only_arrived: bool = False) -> None:
    """The second half of moves: whoever saw the old records sees the new ones, and the old ones go.

    ``only_arrived``: pass over records that are not in both shards.
    """

    def way(move: Move) -> tuple[str, int, int]:
        return move[0], move[2], move[3]

    for (tenant, old, new), group in groupby(sorted(moves, key=way), key=way):
        ids = [move[1] for move in group]
        if only_arrived:
            asked = ([(tenant, ids)],)
            here, there = host.call([(old, "owners", asked), (new, "owners", asked)])
            pairs = zip(ids, here[0], there[0], strict=True)
            ids = [name for name, owner, other in pairs if owner == tenant == other]
        if ids:
            (viewers,) = host.call([(old, "viewers", (tenant, ids))])
            grant_as(host, new, tenant, ids, viewers, timeout_s)
            host.call([(old, "delete", (ids, tenant, timeout_s))], again=False)


def grant_as(
    host: Host, shard: int, tenant: str, ids: list[str], viewers: list[tuple[str, ...]], timeout_s: float
) -> None:
    """Let others see records of a tenant, each by those given for it.

    Somebody who sees the old record under the id does not see the new one yet: that is no conflict, as a shard knows
    only its own records.
    """
    pairs = sorted((seen, name) for name, seen in zip(ids, viewers, strict=True) if seen)
    for seen, group in groupby(pairs, key=lambda pair: pair[0]):
        host.call([(shard, "grant", ([name for _, name in group], tenant, seen, timeout_s))], again=False)
