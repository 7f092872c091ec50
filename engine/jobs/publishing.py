"""Putting the shards of a job together: one directory, the cells, and a manifest."""

from __future__ import annotations

import os

from ramet.engine.jobs.planting import Planted
from ramet.engine.jobs.splitting import name_of
from ramet.engine.jobs.work import Work
from ramet.engine.sharded.manifest import Manifest, ShardEntry, write_cells, write_manifest
from ramet.storage.paths import sync_directory


def gather_shards(work: Work) -> None:
    """Put the shards into one directory, with the cells and a manifest; may be done again after an interruption."""
    edges = work.place.get_json("shards.json")
    work.out.mkdir(exist_ok=True)
    entries = []
    for shard, (first, last) in enumerate(edges):
        inside, made = work.out / name_of(shard), work.place.path / name_of(shard) / "out"
        if made.exists():
            os.rename(made, inside)
        n_rows = Work.opened(work.place.path / name_of(shard)).n_rows
        entries.append(ShardEntry(name_of(shard), first, last, n_rows))
    sync_directory(work.out)
    planted = Planted(work)
    leaves = planted.centroids[planted.first_leaf :]
    manifest = Manifest(
        settings=work.plan.settings,
        n_cells=len(leaves),
        cells_sum=write_cells(work.out, leaves),
        shards=tuple(entries),
        next_number=len(entries),
        identity=work.job["collection"],
    )
    write_manifest(work.out, manifest)
