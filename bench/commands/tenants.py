"""``python -m bench tenants``: many tenants in one collection, beside an index for each and beside filters."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import (
    building,
    datasets,
    machine,
    peers,
    plot_live,
    records,
    runs,
    tenant_measure,
    tenant_space,
    tenant_summary,
)
from bench.commands import options
from bench.peers import tenants
from bench.peers.tenant_base import Load, TenantContender
from bench.tenancy import MEMBERSHIPS, SizeClass, assign, size_classes

PARTS = ("speed", "space")
PEERS = "hnswlib-per-tenant,faiss-hnsw-filter,faiss-ivf-filter"


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("tenants", help="queries of tenants of all sizes; memory and disk per tenant")
    options.add_datasets(parser, "glove100")
    parser.add_argument("--tenants", type=options.positive, default=1_000, help="number of tenants (default 1000)")
    parser.add_argument("--membership", choices=MEMBERSHIPS, default="random", help="which records a tenant owns")
    parser.add_argument("--sticky", action="store_true", help="tenants ask 50 queries in a row instead of one")
    parser.add_argument("--peers", default=PEERS, help="other contenders, or - for none")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists, or - for no Ramet")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    parser.add_argument("--parts", default=",".join(PARTS), help="speed (latency and recall), space (memory and disk)")
    parser.add_argument("--queries", type=options.positive, default=1_000, help="queries per class and round")
    parser.add_argument("--class-tenants", type=options.positive, default=500, help="most tenants of a size class")
    parser.add_argument("--batch", type=options.positive, default=10_000, help="records per upsert (default 10000)")
    parser.add_argument("--rows", type=options.positive, help="use only so many vectors")
    parser.add_argument("--reuse-peers", action="store_true", help="take shared indexes of earlier runs from the cache")
    options.add_run(parser, rounds=5)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure the parts asked for."""
    parts = peers.split(args.parts)
    if not parts or set(parts) - set(PARTS):
        raise ValueError(f"--parts {args.parts!r}: known are {', '.join(PARTS)}")
    contenders = tenants.make(args.peers, args.codes)
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    for name in peers.split(args.dataset):
        _one(_scene(name, args), contenders, parts, args)
    return 0


def _scene(name: str, args: argparse.Namespace) -> tenant_measure.Scene:
    """Load a data set, split its queries into those to tune with and those to test with, and give rows to tenants."""
    whole = datasets.load(name, data=args.data, rows=args.rows, n_queries=2 * datasets.N_QUERIES)
    return tenant_measure.Scene(
        dataset=replace(whole, queries=whole.queries[::2].copy()),  # every second: words are sorted by frequency
        tuning=whole.queries[1::2].copy(),
        tenancy=assign(whole.base, args.tenants, args.membership),
        metric=args.metric or whole.metric,
        k=args.k,
    )


def _one(
    scene: tenant_measure.Scene, contenders: Sequence[TenantContender], parts: Sequence[str], args: argparse.Namespace
) -> None:
    classes = size_classes(scene.tenancy, args.class_tenants)
    _announce(scene, classes)
    with datasets.work_dir() as work:
        job = Load(
            arrays=building.prepare(scene.dataset, scene.metric),
            tenancy=scene.tenancy,
            asked=frozenset(int(tenant) for of in classes for tenant in of.tenants),
            metric=scene.metric,
            threads=args.threads,
            batch=args.batch,
            work=work,
            reuse=args.reuse_peers,
        )
        if "speed" in parts:
            _speed(scene, classes, contenders, job, args)
        for code in peers.split(args.codes) if "space" in parts else []:
            _space(scene, job, code, args)


def _announce(scene: tenant_measure.Scene, classes: Sequence[SizeClass]) -> None:
    sizes = scene.tenancy.sizes
    print(
        f"{scene.dataset.label}, {scene.metric}: {len(sizes):,} tenants of {sizes[0]:,} to {sizes[-1]:,} records "
        f"(exponent {scene.tenancy.exponent:.3f}), {scene.tenancy.membership} membership"
    )
    for of in classes:
        own = sizes[of.tenants]
        print(f"  class {of.label}: {len(own)} tenants of {own.min():,} to {own.max():,} records", flush=True)


def _speed(
    scene: tenant_measure.Scene,
    classes: Sequence[SizeClass],
    contenders: Sequence[TenantContender],
    job: Load,
    args: argparse.Namespace,
) -> None:
    loads = {}
    try:
        for contender in contenders:
            loads[contender.name] = contender.load(job)
            print(f"  {contender.name}: loaded in {loads[contender.name]['load_s']:.1f} s", flush=True)
        cases = tenant_measure.run(
            scene, classes, contenders, n_queries=args.queries, rounds=args.rounds, sticky=args.sticky
        )
    finally:
        for name in loads:
            next(contender for contender in contenders if contender.name == name).close()
    head = header(scene, args, n_queries=args.queries)
    lines = [head | line for line in tenant_summary.lines(cases, scene.tenancy, loads)]
    stem = Path(args.out) / stem_of(scene, sticky=args.sticky)
    records.write(stem.with_suffix(".jsonl"), lines)
    plot_live.tenants(lines, stem.with_suffix(".png"))
    print(tenant_summary.text(lines))
    print(f"-> {stem}.jsonl and .png\n", flush=True)


def _space(scene: tenant_measure.Scene, job: Load, code: str, args: argparse.Namespace) -> None:
    space = tenant_space.measure(job, code, scene.dataset.queries)
    head = header(scene, args, n_queries=tenant_space.N_QUERIES)
    line = head | {"command": "tenants-space", "contender": f"ramet-{code}"} | asdict(space)
    codes = "" if code == "sq8" else f"-{code}"
    path = Path(args.out) / f"tenants-space-{stem_of(scene, sticky=False).removeprefix('tenants-')}{codes}.jsonl"
    records.write(path, [line])
    print(tenant_summary.space_text(line))
    print(f"-> {path}\n", flush=True)


def stem_of(scene: tenant_measure.Scene, *, sticky: bool) -> str:
    """Name of the files of one run, without the suffix."""
    order = "-sticky" if sticky else ""
    tenancy = scene.tenancy
    return f"tenants-{scene.dataset.label}-{scene.metric}-{len(tenancy.sizes)}-{tenancy.membership}{order}"


def header(scene: tenant_measure.Scene, args: argparse.Namespace, *, n_queries: int) -> dict[str, Any]:
    """Return what all lines of one run share."""
    dataset, tenancy = scene.dataset, scene.tenancy
    counts = {"threads": args.threads, "k": args.k, "rounds": args.rounds, "n_queries": n_queries}
    run = runs.header_of("tenants", dataset, scene.metric, **counts)
    return asdict(run) | {
        "n_tenants": len(tenancy.sizes),
        "exponent": tenancy.exponent,
        "largest": int(tenancy.sizes[0]),
        "smallest": int(tenancy.sizes[-1]),
        "membership": tenancy.membership,
        "sticky": args.sticky,
        "batch": args.batch,
    }
