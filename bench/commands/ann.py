"""``python -m bench ann``: recall against latency of Ramet and its peers, in one run, hot or cold."""

import argparse
from pathlib import Path
from typing import Any

from bench import cold, datasets, machine, peers, plot, records, runs, summary
from bench.commands import options

RAMET_CODES = "sq8,none"


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("ann", help="recall against latency, all contenders in one run")
    options.add_datasets(parser, None)
    parser.add_argument("--peers", default=options.DEFAULT_PEERS, help="other contenders, or - for none")
    parser.add_argument("--codes", default=RAMET_CODES, help="Ramet's posting lists (sq8,none,auto), or - for no Ramet")
    parser.add_argument("--metric", help="l2, cosine, ip or several with commas (default: the data set's own)")
    parser.add_argument("--mode", choices=("hot", "cold"), default="hot")
    parser.add_argument("--rows", type=options.positive, help="index only the first so many vectors")
    parser.add_argument(
        "--reuse-peers", action="store_true", help="take peers' indexes of earlier runs from the cache (marked so)"
    )
    options.add_run(parser, rounds=5)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every data set and metric asked for."""
    names = _with_mode(peers.names(args.peers, args.codes), args.mode)
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    for name in peers.split(args.dataset):
        dataset = datasets.load(name, data=args.data, rows=args.rows)
        for metric in options.metric_list(args.metric, dataset.metric):
            _one(runs.Task.of(dataset, metric), names, args)
    return 0


def _with_mode(names: list[str], mode: str) -> list[str]:
    """Leave out contenders without a cold mode, and say so."""
    if mode == "hot":
        return names
    kept = [name for name in names if peers.make(name).mappable]
    for name in names:
        if name not in kept:
            print(f"{name}: left out, it holds its index in anonymous memory and has no cold mode")
    if not kept:
        raise ValueError("no contender with a cold mode is left")
    return kept


def _one(task: runs.Task, names: list[str], args: argparse.Namespace) -> None:
    dataset = task.dataset
    print(f"{dataset.label}, {task.metric}, {args.mode}", flush=True)
    with datasets.work_dir() as work:
        built = [runs.build(task, name, args.threads, work, reuse=args.reuse_peers) for name in names]
        lines = _hot(built, args) if args.mode == "hot" else _cold(built, args)
    n_queries = len(dataset.queries) if args.mode == "hot" else min(cold.N_QUERIES, len(dataset.queries))
    header = runs.header(
        "ann", task, mode=args.mode, threads=args.threads, k=args.k, rounds=args.rounds, n_queries=n_queries
    )
    joined = [records.joined(header, line) for line in lines]
    stem = Path(args.out) / f"ann-{dataset.label}-{task.metric}-{args.mode}"
    records.write(stem.with_suffix(".jsonl"), joined)
    plot.recall_latency(joined, stem.with_suffix(".png"))
    print(summary.text(joined))
    print(f"-> {stem}.jsonl and .png\n", flush=True)


def _hot(built: list[runs.Built], args: argparse.Namespace) -> list[records.Line]:
    groups = runs.hot(built, k=args.k, rounds=args.rounds, threads=args.threads)
    return [line for one, timings in zip(built, groups, strict=True) for line in runs.hot_lines(one, timings)]


def _cold(built: list[runs.Built], args: argparse.Namespace) -> list[records.Line]:
    return [line for one in built for line in runs.cold_lines(one, k=args.k, rounds=args.rounds)]
