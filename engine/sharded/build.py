"""Making an empty sharded collection."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine import checks
from ramet.engine.errors import ArgumentError
from ramet.engine.settings import Settings
from ramet.engine.sharded.manifest import Manifest, ShardEntry, write_cells, write_manifest
from ramet.index import defaults
from ramet.index.clustering import ClusterConfig, cluster
from ramet.index.source import ArraySource
from ramet.index.tree import plant
from ramet.storage.errors import ExistsError, translated
from ramet.storage.paths import check_parent, is_taken, sync_directory, temporary_beside
from ramet.storage.store import Store

CELLS_PER_SHARD = 64


def make_sharded(
    path: Path, settings: Settings, sample: Any, n_shards: int, *, n_cells: int | None = None, seed: int = 0
) -> Manifest:
    """Make an empty sharded collection, whose cells are those of a sample of vectors.

    Parameters
    ----------
    path : Path
        Of the collection; its parent is the database.
    settings : Settings
    sample : array-like (n, dim)
        Vectors like those that will come. The shards get like numbers of them.
    n_shards : int
    n_cells : int, optional
        About so many cells of the shared tree. When left out, one for 64 vectors of the sample, at least 64 a shard:
        the cells should be about as many as the posting lists that there will be.
    seed : int
        Same seed, same sample: same cells.

    Raises
    ------
    ArgumentError
        A wrong argument, or too few different vectors for so many shards.
    ExistsError
        Something is there already.
    """
    path = checks.collection_path(path)
    block = checks.stored_form(sample, settings, "sample")
    fine = max(n_shards * CELLS_PER_SHARD, len(block) // defaults.LIST_SIZE)
    wanted = fine if n_cells is None else n_cells
    source = ArraySource(block, unit=settings.metric.unit)
    config = ClusterConfig(list_size=max(1, len(block) // max(1, wanted)), seed=seed)
    leaves = plant(cluster(source, np.arange(len(block), dtype=np.int64), config), seed).leaves
    if len(leaves) < n_shards:
        raise ArgumentError("sample", f"has {len(leaves)} cells, too few for {n_shards} shards; pass more vectors")
    edges = np.linspace(0, len(leaves), n_shards + 1).astype(int).tolist()
    if is_taken(path):
        raise ExistsError(path)
    temporary = temporary_beside(path)
    try:
        check_parent(path)
        temporary.mkdir()
        entries = [ShardEntry(f"shard-{i:04d}", edges[i], edges[i + 1]) for i in range(n_shards)]
        for entry in entries:
            Store.create(temporary / entry.name, settings.to_storage()).close()
        manifest = Manifest(
            settings=settings,
            n_cells=len(leaves),
            cells_sum=write_cells(temporary, leaves),
            shards=tuple(entries),
            next_number=n_shards,
        )
        write_manifest(temporary, manifest)
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise translated(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest
