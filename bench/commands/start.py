"""``python -m bench start``: time to import, to open a collection, and to the first answer in a new process."""

import argparse
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import child, datasets, machine, peers, records, runs, synthetic
from bench.commands import options

REPEATS = 7
LIMITS_S = {"import_s": 0.2, "open_s": 0.5, "first_answer_s": 1.5}

# Times in seconds. A user's clock starts at `import ramet`; loading numpy and reading the query are on it too.
SCRIPT = """
import sys, time
begin = time.perf_counter()
import ramet
imported = time.perf_counter()
import numpy as np
query = np.load(sys.argv[2])[0]
ready = time.perf_counter()
docs = ramet.connect(sys.argv[1]).collection("bench")
opened = time.perf_counter()
docs.query(query, k=10).ids
answered = time.perf_counter()
docs.query(query, k=10).ids
again = time.perf_counter()
report({
    "import_s": imported - begin,
    "open_s": opened - ready,
    "first_query_s": answered - opened,
    "second_query_s": again - answered,
    "first_answer_s": answered - begin,
})
"""


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("start", help="import, open and first answer in new processes")
    options.add_datasets(parser, synthetic.NAME)
    parser.add_argument("--rows", type=options.positive, help="index only the first so many vectors")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists")
    parser.add_argument("--repeats", type=options.positive, default=REPEATS, help=f"processes (default {REPEATS})")
    options.add_run(parser, rounds=1)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build one collection per kind of code, then start processes."""
    dataset = datasets.load(args.dataset, data=args.data, rows=args.rows)
    task = runs.Task.of(dataset, dataset.metric)
    out = []
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    with datasets.work_dir() as work:
        for name in peers.names("-", args.codes):
            one = runs.build(task, name, args.threads, work)
            medians, processes = _medians(one.folder, one.queries, args.repeats)
            header = runs.header(
                "start", task, mode="hot", threads=args.threads, k=10, rounds=args.repeats, n_queries=1
            )
            out.append(asdict(header) | {"contender": name, **medians, "processes": processes})
            for field, value in medians.items():
                limit = f"  (limit {LIMITS_S[field]:g} s)" if field in LIMITS_S else ""
                print(f"{name:>12}  {field:<16} {value:8.4f} s{limit}", flush=True)
    path = Path(args.out) / f"start-{dataset.label}.jsonl"
    records.write(path, out)
    print(f"-> {path}")
    return 0


def _medians(folder: Path, queries: Path, repeats: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Return the medians over `repeats` processes, and each process's own times."""
    child.run_script(SCRIPT, str(folder), str(queries))  # fills the compile cache and the page cache; not counted
    processes = [child.run_script(SCRIPT, str(folder), str(queries)) for _ in range(repeats)]
    return {name: statistics.median(one[name] for one in processes) for name in processes[0]}, processes
