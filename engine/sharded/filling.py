"""Building all shards from arrays, and measuring recall over all of them."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ramet.engine.builder import BuildOptions, Progress, Vectors
from ramet.engine.calibrate import curve_points, depths
from ramet.engine.contents import Content
from ramet.engine.curve import DEFAULT_RECALL, RecallCurve
from ramet.engine.curves import to_meta
from ramet.engine.errors import ArgumentError, NotEmptyError
from ramet.engine.hits import BuildReport, CurvePoint, Floats
from ramet.engine.reads import Include
from ramet.engine.search import Effort
from ramet.engine.sharded.asking import near
from ramet.engine.sharded.manifest import write_manifest
from ramet.engine.sharded.opened import ShardedStore
from ramet.engine.sharded.routing import probes_of
from ramet.storage.store import DEFAULT_TIMEOUT_S

NOTHING = Include(documents=False, metadata=False)


def build(
    store: ShardedStore,
    block: Vectors,
    names: list[str],
    content: Content,
    options: BuildOptions,
    progress: Progress | None,
) -> BuildReport:
    """Build every shard from the vectors whose nearest cells it has; see `Collection.build`.

    Every shard measures a curve of its own; the report has none over all of them (`calibrate` measures it).
    """
    begun, reports = perf_counter(), []
    with store.writing(DEFAULT_TIMEOUT_S) as (shards, _):
        if any(shards.ask("count", None)):
            raise NotEmptyError(f"collection {store.path.name!r} has records already; add more of them with upsert()")
        homes = shards.manifest.shard_of(shards.cells.home(block))
        for shard in range(len(shards.host)):
            mine = np.flatnonzero(homes == shard)
            if len(mine):
                chosen = mine.tolist()
                arguments = block[mine], [names[i] for i in chosen], content.taken(chosen), options
                reports += shards.host.call([(shard, "build", arguments)], again=False)
            if progress is not None:
                progress("write", (shard + 1) / len(shards.host))
        entries = [
            replace(one, records=n) for one, n in zip(shards.manifest.shards, shards.ask("count", None), strict=True)
        ]
        write_manifest(store.path, shards.manifest.after(entries))
        facts = [one[0] for one in shards.ask("facts", (options.tenant,), DEFAULT_RECALL, 10)]
        probes = probes_of(shards, options.tenant, facts, Effort(recall=DEFAULT_RECALL), 10)
    stages = {stage: sum(one.stages.get(stage, 0.0) for one in reports) for one in reports for stage in one.stages}
    return BuildReport(
        n_records=len(names),
        n_lists=sum(one.n_lists for one in reports),
        n_replicas=sum(one.n_replicas * one.n_records for one in reports) / max(len(names), 1),
        seconds=perf_counter() - begun,
        stages=stages,
        curve=[],
        nprobe=probes,
        n_bytes=sum(one.n_bytes for one in reports),
    )


def calibrate(store: ShardedStore, queries: Floats, tenant: str, n_threads: int) -> list[CurvePoint]:
    """Measure the recall curve of a tenant over all shards, and keep it in the manifest; see `Collection.calibrate`."""
    with store.writing(DEFAULT_TIMEOUT_S) as (shards, _):
        facts = [one[0] for one in shards.ask("facts", (tenant,), DEFAULT_RECALL, 10)]
        n_lists, n_records = sum(one.lists for one in facts), sum(one.records for one in facts)
        if not n_lists:
            raise ArgumentError("tenant", f"{tenant!r} has no records to measure on")
        ks, depth = depths(n_records)

        def distances(nprobe: int, exact: bool) -> npt.NDArray[np.float32]:
            effort = Effort(recall=DEFAULT_RECALL, nprobe=None if exact else nprobe, exact=exact, n_threads=n_threads)
            return near(shards, (tenant,), queries, depth, effort, NOTHING, False).distances(depth)

        curve = RecallCurve(curve_points(distances, ks, n_lists) if ks else [], n_lists)
        curves = {**shards.manifest.curves, tenant: to_meta(curve, given=True)}
        write_manifest(store.path, replace(shards.manifest.after(shards.manifest.shards), curves=curves))
    return curve.table()
