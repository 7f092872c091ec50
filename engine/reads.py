"""From rows to what users see: ids, documents, metadata, vectors, records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine import checks
from ramet.engine import metadata as meta
from ramet.engine.hits import Columns, Floats, Hits, Record
from ramet.engine.searcher import Rows, Searcher
from ramet.engine.settings import Settings
from ramet.storage.allowance import spend
from ramet.storage.errors import CorruptionError
from ramet.storage.format import CATALOG, NO_LIST, POSTINGS
from ramet.storage.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """What comes with ids."""

    documents: bool = True
    metadata: bool = True
    vectors: bool = False
    tokens: bool = False
    """Token codes; not among what users can name."""
    tenants: bool = False
    """In which tenant each record is known by its id; not among what users can name either."""

    @classmethod
    def of(cls, include: object, with_vectors: bool) -> Include:
        """What is asked for; None: documents and metadata.

        Raises
        ------
        ArgumentError
        """
        found = checks.included(("documents", "metadata") if include is None else include)
        return cls(
            documents="documents" in found, metadata="metadata" in found, vectors=with_vectors or "vectors" in found
        )


def no_hits(n: int, single: bool, settings: Settings, include: Include) -> Hits:
    """Results of ``n`` queries that found nothing."""
    shape = (0,) if single else (n, 0)
    ids: list[Any] = [] if single else [[] for _ in range(n)]
    none = np.empty((0, settings.dim), settings.dtype)
    columns = Columns(
        vectors=(none if single else [none] * n) if include.vectors else None,
        documents=([] if single else [[] for _ in range(n)]) if include.documents else None,
        metadata=([] if single else [[] for _ in range(n)]) if include.metadata else None,
    )
    return Hits(ids, np.empty(shape, np.float32), settings.metric, not single, columns)


def columns_of(
    snapshot: Snapshot, settings: Settings, rows: Rows, include: Include, tenants: Collection[int]
) -> Columns:
    """What comes with rows that ``tenants`` see."""
    return Columns(
        vectors=vectors_of(snapshot, settings, rows, tenants) if include.vectors else None,
        documents=documents_of(snapshot, rows) if include.documents else None,
        metadata=metadata_of(snapshot, rows) if include.metadata else None,
        tokens=snapshot.tokens(rows) if include.tokens and snapshot.has_tokens else None,
        tenants=tenants_of(snapshot, rows, tenants) if include.tenants else None,
    )


def tenants_of(snapshot: Snapshot, rows: Rows, tenants: Collection[int]) -> list[str]:
    """Names of the tenants in which rows are known by their ids: of those given, the owner, or else the first.

    Parameters
    ----------
    snapshot : Snapshot
    rows : array of int64, shape (n,)
    tenants : collection of int
        Every row is seen by one of them.
    """
    names = {number: one.name for number in tenants if (one := snapshot.member(number)) is not None}
    if len(names) == 1:
        return list(names.values()) * len(rows)
    homes = snapshot.homes_of(rows)
    found: list[str] = []
    for i, owner in enumerate(homes.owners.tolist()):
        seeing = {owner, *homes.tenants[homes.starts[i] : homes.starts[i + 1]].tolist()}
        found.append(names[owner] if owner in names else next(names[one] for one in tenants if one in seeing))
    return found


def documents_of(snapshot: Snapshot, rows: Rows) -> list[str | None]:
    """Documents of rows, None where there is none; nothing is looked up when no record has one."""
    return snapshot.documents(rows) if snapshot.has_documents else [None] * len(rows)


def metadata_of(snapshot: Snapshot, rows: Rows) -> list[dict[str, Any] | None]:
    """Metadata of rows, None where there is none; nothing is looked up when no record has any."""
    if not snapshot.has_metadata:
        return [None] * len(rows)
    return [None if one is None else meta.decode(one) for one in snapshot.metadata(rows, counted=True)]


def hits(
    snapshot: Snapshot,
    settings: Settings,
    rows: Rows,
    distances: Floats,
    single: bool,
    include: Include,
    tenants: Collection[int],
) -> Hits:
    """Results with ids and what comes with them; rows of -1 (fewer than k found) are cut off."""
    if single:
        found = rows[0]
        if found[-1] < 0:
            found = found[found >= 0]
        names, near = snapshot.ids_of(found), distances[0, : len(found)]
        return Hits(names, near, settings.metric, False, columns_of(snapshot, settings, found, include, tenants))
    counts = (rows >= 0).sum(axis=1)
    flat = rows[rows >= 0]
    ends = np.cumsum(counts).tolist()
    columns = columns_of(snapshot, settings, flat, include, tenants)
    split = Columns(
        vectors=None if columns.vectors is None else np.split(columns.vectors, ends[:-1]),
        documents=_cut(columns.documents, ends),
        metadata=_cut(columns.metadata, ends),
        tokens=_cut(columns.tokens, ends),
        tenants=_cut(columns.tenants, ends),
    )
    return Hits(_cut(snapshot.ids_of(flat), ends) or [], distances, settings.metric, True, split)


def ranked(
    snapshot: Snapshot,
    settings: Settings,
    found: list[tuple[Rows, npt.NDArray[np.floating[Any]]]],
    single: bool,
    include: Include,
    tenants: Collection[int],
) -> Hits:
    """Results of keyword and hybrid searches: rows and scores of each query, best first."""
    ids, columns = [], []
    k = max((len(rows) for rows, _ in found), default=0)
    distances = np.full((len(found), k), np.inf, np.float32)
    for i, (rows, scores) in enumerate(found):
        ids.append(snapshot.ids_of(rows))
        distances[i, : len(rows)] = -scores
        of = columns_of(snapshot, settings, rows, replace(include, vectors=False), tenants)
        vectors = optional_vectors(snapshot, settings, rows, tenants) if include.vectors else None
        columns.append(replace(of, vectors=vectors))
    if single:
        return Hits(ids[0], distances[0], None, False, columns[0])
    every = Columns(
        vectors=[one.vectors for one in columns] if include.vectors else None,
        documents=[one.documents for one in columns] if include.documents else None,
        metadata=[one.metadata for one in columns] if include.metadata else None,
        tokens=[one.tokens for one in columns] if include.tokens and snapshot.has_tokens else None,
        tenants=[one.tenants for one in columns] if include.tenants else None,
    )
    return Hits(ids, distances, None, True, every)


def _cut(values: list[Any] | None, ends: list[int]) -> list[list[Any]] | None:
    """A list cut behind each of the positions."""
    if values is None:
        return None
    return [values[low:high] for low, high in zip([0, *ends[:-1]], ends, strict=True)]


def optional_vectors(
    snapshot: Snapshot, settings: Settings, rows: Rows, tenants: Collection[int]
) -> list[npt.NDArray[Any] | None]:
    """Stored vectors of rows, None for records without one."""
    bare = snapshot.homes_of(rows).bare
    vectors = iter(vectors_of(snapshot, settings, rows[~bare], tenants))
    return [None if without else next(vectors) for without in bare.tolist()]


def vectors_of(
    snapshot: Snapshot, settings: Settings, rows: npt.NDArray[np.int64], tenants: Collection[int]
) -> npt.NDArray[Any]:
    """Stored vectors of rows, in the collection's dtype, bit for bit; shape (n, dim).

    They come from the file of full-precision rows, or, when lists hold the vectors, from a list of one of the tenants,
    who see these rows: nobody's request reads a list of somebody else.
    """
    spend(len(rows) * settings.vector_bytes)
    if settings.codes != "none":
        return snapshot.vectors(rows).view(settings.dtype).reshape(len(rows), settings.dim)
    out = np.empty((len(rows), settings.dim), settings.dtype)
    for i, row in enumerate(rows.tolist()):
        homes = [pair for pair in snapshot.homes(row).lists if pair[0] in tenants and pair[1] != NO_LIST]
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
    snapshot: Snapshot, settings: Settings, tenant: tuple[int, str], ids: list[str], rows: Rows, include: Include
) -> list[Record]:
    """Records of a tenant (its number and name), whose rows are known."""
    number, name = tenant
    none = [None] * len(ids)
    columns = columns_of(snapshot, settings, rows, Include(documents=include.documents, metadata=include.metadata), ())
    vectors = optional_vectors(snapshot, settings, rows, (number,)) if include.vectors else none
    parts = zip(ids, vectors, columns.documents or none, columns.metadata or none, strict=True)
    return [Record(one, vector, name, document, metadata) for one, vector, document, metadata in parts]


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
