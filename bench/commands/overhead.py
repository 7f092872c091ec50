"""``python -m bench overhead``: what one query costs outside the kernels.

Measured on a collection so small that the kernels have almost nothing to do (200 rows, one list probed), so the figure
is an upper bound of the overhead: argument checks, snapshot, tenant lookup, results.
"""

import argparse
import gc
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import peers, records
from bench.commands import options
from bench.machine import commit as current_commit
from bench.machine import describe

N_ROWS = 200
DIM = 128
K = 10
LIMIT_US = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverheadLine:
    """One kind of collection."""

    command: str = "overhead"
    machine: dict[str, Any] = field(default_factory=describe)
    commit: str = field(default_factory=current_commit)
    contender: str
    metric: str
    rows: int = N_ROWS
    dim: int = DIM
    k: int = K
    n_queries: int
    p50_us: float
    p99_us: float
    numpy_us: float
    """The same process's time for one (1, 128) x (128, 200) product: what the work itself would cost in NumPy."""


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("overhead", help="cost of one query outside the kernels")
    parser.add_argument("--codes", default="sq8,none", help="Ramet's posting lists")
    parser.add_argument("--metric", default="l2,cosine,ip", help="metrics, with commas")
    parser.add_argument("--queries", type=options.positive, default=20_000, help="queries timed (default 20000)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every code and metric."""
    lines = []
    for name in peers.names("-", args.codes):
        for metric in options.metric_list(args.metric, "l2"):
            line = _measure(name, metric, args.queries)
            lines.append(asdict(line))
            print(f"{name:>12} {metric:>7}  p50 {line.p50_us:.1f} us, p99 {line.p99_us:.1f} us (limit {LIMIT_US:g} us)")
    path = Path(args.out) / "overhead.jsonl"
    records.write(path, lines)
    print(f"-> {path}")
    return 0


def _measure(name: str, metric: str, n_queries: int) -> OverheadLine:
    import ramet

    vectors = np.random.default_rng(0).standard_normal((N_ROWS, DIM)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, ramet.connect(folder, create=True) as database:
        docs = database.create_collection("tiny", dim=DIM, metric=metric, codes=name.removeprefix("ramet-"))
        docs.build(vectors)
        lines = list(vectors)
        times = _times(lambda query: docs.query(query, K, nprobe=1).ids, lines, n_queries)
    product = _times(lambda query: query[None] @ vectors.T, lines, min(n_queries, 5_000))
    return OverheadLine(
        contender=name,
        metric=metric,
        n_queries=n_queries,
        p50_us=float(np.percentile(times, 50)) / 1e3,
        p99_us=float(np.percentile(times, 99)) / 1e3,
        numpy_us=float(np.percentile(product, 50)) / 1e3,
    )


def _times(call: Any, queries: list[np.ndarray], n_queries: int) -> np.ndarray:
    """Return the times of `n_queries` calls in nanoseconds, after as many as there are queries."""
    clock = time.perf_counter_ns
    for query in queries:
        call(query)
    times = np.empty(n_queries, np.int64)
    gc.collect()
    gc.disable()
    try:
        for number in range(n_queries):
            query = queries[number % len(queries)]
            started = clock()
            call(query)
            times[number] = clock() - started
    finally:
        gc.enable()
    return times
