"""``python -m bench refresh``: what a commit costs a reader, by its size and by that of the collection."""

import argparse
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from bench import datasets, machine, records, synthetic
from bench.commands import options
from bench.machine import commit as current_commit
from bench.machine import describe

COMMITS = (1, 100, 1000)
"""Records written before a refresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshLine:
    """One size of collection and one size of commit; medians."""

    command: str = "refresh"
    machine: dict[str, Any] = field(default_factory=describe)
    commit: str = field(default_factory=current_commit)
    dataset: str
    rows: int
    n_lists: int
    records: int
    """Written by the commit."""
    rounds: int
    quiet_us: float
    """A query when nothing was written since the last one."""
    first_us: float
    """The first query after a commit, in another handle than the writer's."""
    write_ms: float
    """The upsert itself."""
    load_ms: float
    """The first query of a new handle, which loads everything."""


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("refresh", help="what a commit costs a reader")
    options.add_datasets(parser, synthetic.NAME)
    parser.add_argument("--sizes", default="100000,300000,1000000", help="rows, with commas (prefixes of the set)")
    options.add_run(parser, rounds=40)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build every size, and alternate writes and queries."""
    print(machine.short(describe()), current_commit(), flush=True)
    lines: list[RefreshLine] = []
    for rows in sorted({options.positive(size) for size in args.sizes.split(",")}):
        dataset = datasets.load(args.dataset, data=args.data, rows=rows)
        with datasets.work_dir() as work:
            lines += measure(dataset, Path(work), args.rounds)
    path = Path(args.out) / f"refresh-{args.dataset}.jsonl"
    records.write(path, [asdict(line) for line in lines])
    print(f"-> {path}", flush=True)
    return 0


def measure(dataset: datasets.Dataset, folder: Path, rounds: int) -> list[RefreshLine]:
    """Lines of one size."""
    with ramet.connect(folder) as writing, ramet.connect(folder) as reading:
        docs = writing.create_collection("docs", dataset.base.shape[1], dataset.metric)
        docs.build(dataset.base)
        docs.upsert(["warm"], dataset.base[:1])
        begun = time.perf_counter()
        reader = reading.collection("docs")
        reader.query(dataset.queries[0])
        load_ms = 1e3 * (time.perf_counter() - begun)
        n_lists = int(docs.stats()["lists"])
        return [_line(dataset, docs, reader, size, rounds, n_lists, load_ms) for size in COMMITS]


def _line(
    dataset: datasets.Dataset, docs: Any, reader: Any, size: int, rounds: int, n_lists: int, load_ms: float
) -> RefreshLine:
    quiet: list[float] = []
    first: list[float] = []
    writes: list[float] = []
    rng = np.random.default_rng(size)
    for number in range(rounds):
        query = dataset.queries[number % len(dataset.queries)]
        quiet.append(_timed(reader.query, query))
        chosen = dataset.base[rng.choice(len(dataset.base), size, replace=False)]
        writes.append(_timed(docs.upsert, [f"{size}-{number}-{i}" for i in range(size)], chosen))
        first.append(_timed(reader.query, query))
    line = RefreshLine(
        dataset=dataset.name,
        rows=len(dataset.base),
        n_lists=n_lists,
        records=size,
        rounds=rounds,
        quiet_us=1e6 * float(np.median(quiet)),
        first_us=1e6 * float(np.median(first)),
        write_ms=1e3 * float(np.median(writes)),
        load_ms=load_ms,
    )
    print(
        f"{line.rows:>9,} rows, {n_lists:,} lists: commit of {size:>5,}: {line.write_ms:7.2f} ms; "
        f"query {line.quiet_us:7.1f} us, after the commit {line.first_us:8.1f} us; load {load_ms:.1f} ms",
        flush=True,
    )
    return line


def _timed(call: Any, *arguments: Any) -> float:
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun
