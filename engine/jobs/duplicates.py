"""Ids that come twice: found by their digests, so that memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.engine.jobs.grouping import tenants_of
from ramet.engine.jobs.ids import Ids
from ramet.engine.jobs.record_files import get_bare
from ramet.engine.jobs.work import I64, Work
from ramet.storage.format import checksum

TOGETHER = 1 << 22
"""Digests that are sorted at a time, about."""


class Bare(NamedTuple):
    """A record without a vector, as it was read."""

    block: str
    at: int
    """Which of those of its block."""
    owner: int
    name: bytes
    record: dict[str, Any]
    """With id, text, metadata, tenant, and row in its file."""


def find_duplicates(work: Work) -> tuple[list[tuple[int, int]], list[Bare]]:
    """Records of one tenant that have one id.

    Returns
    -------
    pairs : list of (int, int)
        Numbers of the first record read and of a later one; by the later one.
    bare : list of Bare
        Records without a vector whose id another record has; of those without a vector the first is not among them.
    """
    if not any(facts["has_ids"] for facts in work.read["blocks"]):
        return [], []
    ids = Ids(work)
    for number, block in enumerate(work.blocks):
        if not work.place.has(f"read/{block.name}.digests"):
            work.place.put_array(f"read/{block.name}.digests", _digests(work, ids, number))
    n_parts = max(1, -(-work.n_read // TOGETHER))
    found = list[tuple[int, int]]()
    for part in range(n_parts):
        found += _twins(work, ids, *_in_part(work, part, n_parts))
    bare = _bare_twins(work, ids) if work.read["n_bare"] else []
    for block in work.blocks:
        work.place.drop(f"read/{block.name}.digests")
    return sorted(found, key=lambda pair: pair[1]), bare


def bare_of(work: Work, name: str) -> Iterator[Bare]:
    """Records without a vector of a block."""
    numbers = {tenant: number for number, tenant in enumerate(work.tenants)}
    for at, record in enumerate(get_bare(work.source, name)):
        owner = numbers[record["tenant"] or work.plan.tenant]
        yield Bare(name, at, owner, record["id"].encode(), record)


def _bare_twins(work: Work, ids: Ids) -> list[Bare]:
    every = [one for facts in work.read["blocks"] if facts["n_bare"] for one in bare_of(work, facts["name"])]
    digests = np.array([_digest(one.owner, one.name) for one in every], np.uint64)
    taken = set[tuple[int, bytes]]()
    for block in work.blocks:
        alike = np.isin(work.place.get_array(f"read/{block.name}.digests", np.uint64), digests)
        rows = block.first_row + np.flatnonzero(alike)
        taken |= set(zip(_owners(work, rows), ids.of(rows).encoded, strict=True))
    out = list[Bare]()
    for one in every:
        if (one.owner, one.name) in taken:
            out.append(one)
        taken.add((one.owner, one.name))
    return out


def _digest(owner: int, name: bytes) -> int:
    return checksum(b"%d\0" % owner, name)


def _digests(work: Work, ids: Ids, number: int) -> npt.NDArray[np.uint64]:
    block = work.blocks[number]
    owners = tenants_of(work, block.name, block.n).tolist()
    names = ids.of(block.first_row + np.arange(block.n)).encoded
    pairs = zip(owners, names, strict=True)
    return np.fromiter((_digest(owner, name) for owner, name in pairs), np.uint64, block.n)


def _in_part(work: Work, part: int, n_parts: int) -> tuple[npt.NDArray[np.uint64], I64]:
    """Digests that fall into a part, and the numbers of their records."""
    digests, rows = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for block in work.blocks:
        all_of_block = work.place.get_array(f"read/{block.name}.digests", np.uint64)
        mine = np.flatnonzero(all_of_block % np.uint64(n_parts) == part)
        digests.append(all_of_block[mine])
        rows.append(block.first_row + mine)
    return np.concatenate(digests), np.concatenate(rows)


def _twins(work: Work, ids: Ids, digests: npt.NDArray[np.uint64], rows: I64) -> list[tuple[int, int]]:
    order = np.lexsort((rows, digests))
    digests, rows = digests[order], rows[order]
    same = np.flatnonzero(digests[1:] == digests[:-1])
    if not len(same):
        return []
    suspects = np.unique(np.concatenate([rows[same], rows[same + 1]]))
    pairs = zip(_owners(work, suspects), ids.of(suspects).encoded, strict=True)
    seen, out = dict[tuple[int, bytes], int](), list[tuple[int, int]]()
    for row, key in zip(suspects.tolist(), pairs, strict=True):
        if key in seen:
            out.append((seen[key], row))
        else:
            seen[key] = row
    return out


def _owners(work: Work, rows: I64) -> list[int]:
    """Tenants of some records, whose numbers rise."""
    out = list[int]()
    for number, _, local in work.by_block(rows):
        block = work.blocks[number]
        out += tenants_of(work, block.name, block.n)[local].tolist()
    return out
