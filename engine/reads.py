"""From rows to what users see: ids, vectors, records."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.hits import Floats, Hits, Record
from ramet.engine.searcher import Rows, Searcher
from ramet.engine.settings import Settings
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG, POSTINGS
from ramet.storage.snapshot import Snapshot


def no_hits(n: int, single: bool, settings: Settings, with_vectors: bool) -> Hits:
    """Results of ``n`` queries that found nothing."""
    shape = (0,) if single else (n, 0)
    ids: list[Any] = [] if single else [[] for _ in range(n)]
    none = np.empty((0, settings.dim), settings.dtype)
    vectors: Any = (none if single else [none] * n) if with_vectors else None
    return Hits(ids, np.empty(shape, np.float32), settings.metric, not single, vectors)


def hits(
    snapshot: Snapshot,
    settings: Settings,
    rows: Rows,
    distances: Floats,
    single: bool,
    with_vectors: Collection[int] | None,
) -> Hits:
    """Results with ids; rows of -1 (fewer than k found) are cut off. ``with_vectors``: from lists of these tenants."""
    if single:
        found = rows[0]
        if found[-1] < 0:
            found = found[found >= 0]
        vectors = vectors_of(snapshot, settings, found, with_vectors) if with_vectors else None
        return Hits(snapshot.ids_of(found), distances[0, : len(found)], settings.metric, False, vectors)
    counts = (rows >= 0).sum(axis=1)
    flat = rows[rows >= 0]
    names = snapshot.ids_of(flat)
    ends = np.cumsum(counts).tolist()
    ids = [names[low:high] for low, high in zip([0, *ends[:-1]], ends, strict=True)]
    split: Any = None
    if with_vectors:
        split = np.split(vectors_of(snapshot, settings, flat, with_vectors), ends[:-1])
    return Hits(ids, distances, settings.metric, True, split)


def vectors_of(
    snapshot: Snapshot, settings: Settings, rows: npt.NDArray[np.int64], tenants: Collection[int]
) -> npt.NDArray[Any]:
    """Stored vectors of rows, in the collection's dtype, bit for bit; shape (n, dim).

    They come from the file of full-precision rows, or, when lists hold the vectors, from a list of one of the tenants,
    who see these rows: nobody's request reads a list of somebody else.
    """
    if settings.codes != "none":
        return snapshot.vectors(rows).view(settings.dtype).reshape(len(rows), settings.dim)
    out = np.empty((len(rows), settings.dim), settings.dtype)
    for i, row in enumerate(rows.tolist()):
        homes = [pair for pair in snapshot.homes(row).lists if pair[0] in tenants]
        if not homes:
            raise CorruptionError(CATALOG, f"homes of row {row}", f"a list of tenants {sorted(tenants)}", "none")
        tenant, cell = homes[0]  # the first one of a tenant holds the row without the copy bit
        content = snapshot.read_list(tenant, cell)
        at = np.flatnonzero(content.rows == row)
        if len(at) == 0:
            raise CorruptionError(POSTINGS, f"list (tenant {tenant}, cell {cell})", f"row {row}", "none")
        out[i] = content.codes[at[0]].view(settings.dtype)
    return out


def records(
    snapshot: Snapshot, settings: Settings, number: int, tenant: str, ids: list[str], with_vectors: bool
) -> list[Record]:
    """Records of a tenant by id, in that order; missing ids are left out."""
    rows = snapshot.rows_of(number, ids)
    there = rows >= 0
    names = [name for name, ok in zip(ids, there.tolist(), strict=True) if ok]
    if not with_vectors:
        return [Record(name, None, tenant) for name in names]
    vectors = vectors_of(snapshot, settings, rows[there], (number,))
    return [Record(name, vector, tenant) for name, vector in zip(names, vectors, strict=True)]


def check_lists(snapshot: Snapshot, searcher: Searcher, queries: Floats, nprobe: int) -> None:
    """Verify the checksums of the lists that these queries read.

    Raises
    ------
    CorruptionError
        Naming file, extent and list.
    """
    cells = {cell for query in queries for cell in searcher.probed(query, nprobe)}
    for cell in sorted(cells):
        snapshot.read_list(searcher.tenant, cell, check=True)
