"""``python -m bench memory``: anonymous memory that an open collection needs, beside its vectors' size."""

import argparse
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import datasets, memory, peers, records, runs
from bench.commands import options
from bench.machine import commit as current_commit
from bench.machine import describe

LIMIT = 0.08
"""Share of the vectors' bytes that an open collection may need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLine:
    """One data set."""

    command: str = "memory"
    machine: dict[str, Any] = field(default_factory=describe)
    commit: str = field(default_factory=current_commit)
    dataset: str
    contender: str
    metric: str
    vectors_mb: float
    open_mb: float
    """Over a process that only imported the package; after 1,000 queries at recall 0.95."""
    runtime_mb: float
    """Of it, what searching any collection needs: NumPy, Numba, compiled kernels."""
    open_over_runtime_mb: float
    """Of it, this collection."""


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("memory", help="anonymous memory of an open collection")
    options.add_datasets(parser, ",".join(datasets.SOURCES))
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists")
    options.add_run(parser, rounds=1)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, open and search every data set."""
    lines = []
    for name in peers.split(args.dataset):
        dataset = datasets.load(name, data=args.data)
        task = runs.Task.of(dataset, dataset.metric)
        for contender in peers.names("-", args.codes):
            with tempfile.TemporaryDirectory(dir=datasets.cache_dir()) as folder:
                lines.append(_one(task, contender, Path(folder), args.threads))
    records.write(Path(args.out) / "memory.jsonl", [asdict(line) for line in lines])
    return 0


def _one(task: runs.Task, contender: str, folder: Path, threads: int) -> MemoryLine:
    built = runs.build(task, contender, threads, folder, reuse=False)
    setting = {"name": "recall", "value": 0.95, "swept": False}
    found = memory.of_open_index(contender, built.folder, task.metric, built.queries, setting)
    vectors_mb = task.dataset.base.nbytes / 1e6
    line = MemoryLine(
        dataset=task.dataset.name,
        contender=contender,
        metric=task.metric,
        vectors_mb=vectors_mb,
        open_mb=found["open_mb"],
        runtime_mb=found["runtime_mb"],
        open_over_runtime_mb=found["open_over_runtime_mb"],
    )
    print(
        f"  {line.dataset}: {line.open_mb:.1f} MB, {line.open_mb / vectors_mb:.1%} of the vectors (limit {LIMIT:.0%}); "
        f"runtime {line.runtime_mb:.1f} MB, this collection {line.open_over_runtime_mb:.1f} MB, "
        f"{line.open_over_runtime_mb / vectors_mb:.1%}"
    )
    return line
