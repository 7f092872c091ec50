"""``python -m bench scale``: how build time and query time grow with the number of vectors."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, machine, measure, peers, plot, records, runs, summary, synthetic
from bench.commands import options

TARGET = 0.95
LIMITS = {"build": 1.15, "query": 0.30}
"""Exponents that growth should stay under."""


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("scale", help="growth of build and query time with the number of vectors")
    options.add_datasets(parser, synthetic.NAME)
    parser.add_argument("--sizes", default="100000,300000,1000000", help="rows, with commas (prefixes of the set)")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists, or -")
    parser.add_argument("--peers", default="-", help="other contenders (default none)")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    parser.add_argument("--reuse-peers", action="store_true", help="take peers' indexes of earlier runs from the cache")
    options.add_run(parser, rounds=5)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build every size, then time all of them interleaved."""
    names = peers.names(args.peers, args.codes)
    sizes = sorted({options.positive(size) for size in args.sizes.split(",")})
    if len(sizes) < 2:
        raise ValueError("--sizes needs at least two different sizes to fit an exponent")
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    built: list[runs.Built] = []
    with datasets.work_dir() as work:
        for rows in sizes:
            dataset = datasets.load(args.dataset, data=args.data, rows=rows)
            task = runs.Task.of(dataset, args.metric or dataset.metric)
            print(f"{args.dataset}, {rows:,} rows", flush=True)
            folder = work / str(rows)
            built += [runs.build(task, name, args.threads, folder, reuse=args.reuse_peers) for name in names]
        groups = runs.hot(built, k=args.k, rounds=args.rounds, threads=args.threads)
        joined = [line for one, timings in zip(built, groups, strict=True) for line in _lines(one, timings, args)]
    points = growth_points(joined)
    slopes = {name: (slope(p, 1), slope(p, 2)) for name, p in points.items()}
    stem = Path(args.out) / f"scale-{args.dataset}-{built[0].task.metric}"
    records.write(stem.with_suffix(".jsonl"), joined)
    plot.growth(points, slopes, stem.with_suffix(".png"))
    _show(points, slopes)
    print(f"-> {stem}.jsonl and .png", flush=True)
    return 0


def _lines(one: runs.Built, timings: list[measure.Timing], args: argparse.Namespace) -> list[dict[str, Any]]:
    header = runs.header(
        "scale",
        one.task,
        mode="hot",
        threads=args.threads,
        k=args.k,
        rounds=args.rounds,
        n_queries=len(one.task.dataset.queries),
    )
    return [records.joined(header, line) for line in runs.hot_lines(one, timings)]


def growth_points(lines: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float, float]]]:
    """Return contender -> (rows, build seconds, p50 in us at recall 0.95) per size.

    Raises
    ------
    ValueError
        When a contender does not reach the recall at some size.
    """
    points: dict[str, list[tuple[int, float, float]]] = {}
    for name, group in summary.series(lines).items():
        for rows in sorted({line["rows"] for line in group}):
            of_size = [line for line in group if line["rows"] == rows]
            p50 = summary.at_recall(summary.swept_points(of_size), TARGET)
            if p50 is None:
                raise ValueError(f"{name} does not reach recall {TARGET} with {rows:,} rows")
            points.setdefault(name, []).append((rows, of_size[0]["build_s"], p50))
    return points


def slope(points: Sequence[tuple[int, float, float]], column: int) -> float:
    """Return the exponent b of the least-squares fit ``value = a * rows ** b``."""
    rows = np.log([point[0] for point in points])
    values = np.log([point[column] for point in points])
    return float(np.polyfit(rows, values, 1)[0])


def _show(points: dict[str, list[tuple[int, float, float]]], slopes: dict[str, tuple[float, float]]) -> None:
    for name, of_sizes in points.items():
        for rows, build_s, p50 in of_sizes:
            print(f"{name:>12}  {rows:>9,} rows  build {build_s:8.1f} s  p50 at recall {TARGET} {p50:8.1f} us")
        build, query = slopes[name]
        print(
            f"{name:>12}  build grows as n^{build:.2f} (limit {LIMITS['build']}), "
            f"query as n^{query:.2f} (limit {LIMITS['query']})"
        )
