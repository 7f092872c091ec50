"""How many lists of which shard a query reads.

The nearest cells of the shared tree stand for the nearest lists of all shards together: of as large a share of the
cells as of the lists is to be read, each shard reads its part. A shard that has none of them is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ramet.engine.curves import nprobe_for, parsed
from ramet.engine.search import Effort
from ramet.engine.sharded.opened import Shards
from ramet.engine.sharded.shard import Facts

I64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

GROWTH = 0.5
"""Power by which the lists that a recall takes grow with all lists, where only the curves of shards are known: as
`ramet.engine.curves` takes it for a tenant that grows."""


COARSE = 0.75
"""Where there are fewer cells than lists, so much of the ratio counts: coarse cells say less well which lists are near.
On 60,000 records in 4 shards of 900 lists together, 256 cells gave recall 0.945 for 0.95 with the whole ratio."""


def probes_of(shards: Shards, tenant: str, facts: Sequence[Facts], effort: Effort, k: int) -> int:
    """Lists of a tenant that a query reads, over all shards."""
    total = sum(one.lists for one in facts)
    if effort.exact or not total:
        return total
    if effort.nprobe is not None:
        return min(effort.nprobe, total)
    measured = parsed(shards.manifest.curves.get(tenant))
    if measured is not None:
        return int(nprobe_for(measured, total, effort.recall, k))
    if all(one.probes >= one.lists for one in facts):
        return total
    most: float = max(one.probes * (total / one.lists) ** GROWTH for one in facts if one.lists)
    return min(total, math.ceil(most))


def shares(shards: Shards, queries: Floats, probes: int, facts: Sequence[Facts]) -> I64:
    """Lists that each query reads in each shard, (n_queries, n_shards); 0: the shard is not asked."""
    lists = np.array([one.lists for one in facts], np.int64)
    total, n_cells = int(lists.sum()), len(shards.cells)
    if probes >= total:
        return np.broadcast_to(lists, (len(queries), len(lists))).copy()
    wide = (n_cells / total) ** (COARSE if n_cells < total else 1.0)
    near = shards.cells.near(queries, max(1, math.ceil(probes * wide)))
    shard = shards.manifest.shard_of(np.maximum(near, 0))
    owned = np.maximum(np.diff(shards.manifest.edges), 1)
    counts = np.stack([((shard == i) & (near >= 0)).sum(axis=1) for i in range(len(lists))], axis=1)
    wanted: I64 = np.ceil(counts * lists / owned).astype(np.int64)
    return np.minimum(wanted, lists)


def rounded(probes: I64) -> I64:
    """Probes rounded up to few different numbers, so that the queries of a batch go together."""
    exponent = np.maximum(np.floor(np.log2(np.maximum(probes, 1))).astype(np.int64) - 3, 0)
    step = np.left_shift(np.int64(1), exponent)
    found: I64 = -(-probes // step) * step
    return found
