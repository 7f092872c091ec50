"""``python -m bench filters``: queries with filters from 50 % of the records down to one in ten thousand."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import building, datasets, filter_sets, filter_summary, machine, plot_filters, records, runs, tenant_measure
from bench import peers as contenders_of
from bench.commands import options
from bench.peers import filters
from bench.peers.filter_base import FilterContender, Job

PEERS = ",".join(filters.PEERS)


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("filters", help="queries with filters of all selectivities, beside other libraries")
    options.add_datasets(parser, "glove100")
    parser.add_argument("--peers", default=PEERS, help=f"other contenders, or - for none (default {PEERS})")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists, or - for no Ramet")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    parser.add_argument("--queries", type=options.positive, default=500, help="queries per class and round")
    parser.add_argument("--rows", type=options.positive, help="use only so many vectors")
    parser.add_argument("--reuse-peers", action="store_true", help="take peers' indexes of earlier runs from the cache")
    options.add_run(parser, rounds=5)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every data set asked for."""
    contenders = filters.make(args.peers, args.codes)
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    for name in contenders_of.split(args.dataset):
        _one(name, contenders, args)
    return 0


def _one(name: str, contenders: Sequence[FilterContender], args: argparse.Namespace) -> None:
    whole = datasets.load(name, data=args.data, rows=args.rows, n_queries=2 * datasets.N_QUERIES)
    metric = args.metric or whole.metric
    fields = filter_sets.describe(whole.base, metric)
    chosen = filter_sets.make(fields)
    scene = tenant_measure.Scene(
        dataset=replace(whole, queries=whole.queries[::2].copy()),  # every second: words are sorted by frequency
        tuning=whole.queries[1::2].copy(),
        tenancy=chosen.tenancy,
        metric=metric,
        k=args.k,
    )
    print(f"{whole.label}, {metric}: {len(whole.base):,} rows, {len(chosen.chosen) - 1} filters", flush=True)
    with datasets.work_dir() as work:
        job = Job(
            arrays=building.prepare(scene.dataset, metric),
            fields=fields,
            filters=chosen,
            metric=metric,
            threads=args.threads,
            work=work,
            reuse=args.reuse_peers,
        )
        lines = _measured(scene, contenders, job, args)
    stem = Path(args.out) / f"filters-{whole.label}-{metric}"
    records.write(stem.with_suffix(".jsonl"), lines)
    plot_filters.filters(lines, stem.with_suffix(".png"))
    print(filter_summary.text(lines))
    print(f"-> {stem}.jsonl and .png\n", flush=True)


def _measured(
    scene: tenant_measure.Scene, contenders: Sequence[FilterContender], job: Job, args: argparse.Namespace
) -> list[dict[str, Any]]:
    loads: dict[str, dict[str, Any]] = {}
    try:
        for contender in contenders:
            loads[contender.name] = contender.take(job)
            if loads[contender.name]["load_s"] is not None:
                print(f"  {contender.name}: loaded in {loads[contender.name]['load_s']:.1f} s", flush=True)
        classes = job.filters.classes
        cases = tenant_measure.run(scene, classes, contenders, n_queries=args.queries, rounds=args.rounds, sticky=False)
        plans = _plans(scene, contenders, job)
    finally:
        for contender in contenders:
            if contender.name in loads:
                contender.close()
    counts = {"threads": args.threads, "k": args.k, "rounds": args.rounds, "n_queries": args.queries}
    head = asdict(runs.header_of("filters", scene.dataset, scene.metric, **counts))
    lines = filter_summary.lines(cases, len(scene.dataset.base), loads)
    return [head | line | {"plan": plans.get((line["contender"], line["class"]))} for line in lines]


def _plans(
    scene: tenant_measure.Scene, contenders: Sequence[FilterContender], job: Job
) -> dict[tuple[str, str], dict[str, Any]]:
    """How each contender that can say so answers one query of each class."""
    out = {}
    for contender in contenders:
        explained = getattr(contender, "explained", None)
        if explained is None:
            continue
        for of in job.filters.classes:
            said = explained(scene.dataset.queries[0], int(of.tenants[0]), scene.k)
            out[contender.name, of.label] = said["tenants"][0] if said["tenants"] else {}
    return out
