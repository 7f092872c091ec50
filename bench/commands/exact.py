"""``python -m bench exact``: correctness on every data set, metric and kind of code. Exit status 1 when one fails."""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import building, checks, datasets, peers, records, runs
from bench.commands import options

N_FULL = 200


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("exact", help="correctness: full probe, self-queries, reachable recall")
    options.add_datasets(parser, ",".join(datasets.SOURCES))
    parser.add_argument("--metric", default="l2,cosine,ip", help="metrics, with commas")
    parser.add_argument("--codes", default="sq8,none", help="Ramet's posting lists")
    parser.add_argument("--rows", type=options.positive, help="index at most the first so many vectors")
    parser.add_argument("--full", type=options.positive, default=N_FULL, help="queries that read every list")
    options.add_run(parser, rounds=1)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check every combination; write the results; return 1 when a check failed."""
    lines: list[dict[str, Any]] = []
    for name in peers.split(args.dataset):
        dataset = datasets.load(name, data=args.data, rows=_rows(name, args))
        for metric in options.metric_list(args.metric, "l2"):
            task = runs.Task.of(dataset, metric)
            for contender in peers.names("-", args.codes):
                lines += _one(task, contender, args)
    path = Path(args.out) / "exact.jsonl"
    records.write(path, lines)
    failed = [line for line in lines if not line["ok"]]
    print(f"{len(lines) - len(failed)} checks passed, {len(failed)} failed -> {path}")
    return 1 if failed else 0


def _rows(name: str, args: argparse.Namespace) -> int | None:
    """Cut a set at ``--rows``, or leave it whole when it has fewer."""
    if args.rows is None:
        return None
    if datasets.SOURCES[name].fetch is None:
        return int(args.rows)
    return int(min(args.rows, len(datasets.load(name, data=args.data).base)))


def _one(task: runs.Task, contender: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    import ramet

    dataset, metric = task.dataset, task.metric
    with tempfile.TemporaryDirectory(dir=datasets.cache_dir()) as folder:
        report = building.build(contender, task.arrays, metric, args.threads, Path(folder))
        with ramet.connect(report["folder"]) as database:
            subject = checks.Subject(
                docs=database.collection("bench"),
                dataset=dataset,
                metric=metric,
                truth=task.truth,
                n_lists=report["facts"]["n_lists"],
                threads=args.threads,
                k=args.k,
            )
            found = list(checks.all_checks(subject, args.full))
    n_queries = len(dataset.queries)
    header = runs.header("exact", task, mode="hot", threads=args.threads, k=args.k, rounds=1, n_queries=n_queries)
    for check in found:
        print(
            f"{'ok  ' if check.ok else 'FAIL'}  {dataset.label} {metric} {contender}: {check.check}: {check.detail}",
            flush=True,
        )
    return [asdict(header) | {"contender": contender} | asdict(check) for check in found]
