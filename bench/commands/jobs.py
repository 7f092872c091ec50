"""``python -m bench jobs``: build jobs under a memory cap, killed and resumed, and on Ray."""

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import datasets, job_data, job_kill, job_ray, job_size, job_summary, machine, plot_jobs, records, synthetic
from bench.commands import options
from bench.job_size import Conditions
from bench.peers import split

FILES = {"size": f"jobs-size-{synthetic.NARROW_NAME}", "kill": "jobs-kill", "ray": "jobs-ray"}
"""Part -> name of its results."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(MB|GB)")


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("jobs", help="build jobs under a memory cap, killed and resumed, and on Ray")
    parser.add_argument("--parts", default=",".join(FILES), help=f"some of {','.join(FILES)}")
    parser.add_argument("--sizes", default="100000,1000000,10000000", help="rows, with commas")
    parser.add_argument("--memory", type=size, default="1GB", help="what a job may take (default 1GB)")
    parser.add_argument("--cap", type=size, default="1.5GB", help="where the kernel kills it (default 1.5GB)")
    parser.add_argument("--kill-rows", type=options.positive, default=200_000, help="rows of the job that is killed")
    parser.add_argument("--kills", type=options.positive, default=20, help="times that it is killed (default 20)")
    parser.add_argument(
        "--kill-memory", type=size, default="400MB", help="what it may take; little, so that there are many units"
    )
    parser.add_argument("--ray-rows", type=options.positive, default=1_000_000, help="rows of the jobs on Ray")
    parser.add_argument("--data", type=Path, help="folder with files such as s10m96.npy (else they are made, and kept)")
    parser.add_argument("--threads", type=options.positive, default=2, help="workers (default 2)")
    parser.add_argument("--rounds", type=options.positive, help="default: 3 below a million rows, else 1")
    parser.add_argument("--k", type=options.positive, default=10, help="neighbours per query (default 10)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def size(text: str) -> int:
    """Parse bytes such as ``1.5GB``."""
    match = _SIZE.fullmatch(text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 400MB or 1.5GB")
    return int(float(match[1]) * {"MB": 10**6, "GB": 10**9}[match[2]])


def run(args: argparse.Namespace) -> int:
    """Measure the parts asked for; return 1 when bytes differ, or a job was killed by its cap."""
    chosen = split(args.parts)
    if unknown := set(chosen) - FILES.keys():
        raise ValueError(f"--parts {', '.join(sorted(unknown))}: known are {', '.join(FILES)}")
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    failed = False
    with datasets.work_dir() as work:
        given = Conditions(
            work=work, data=args.data, memory=args.memory, cap=args.cap, workers=args.threads, rounds=args.rounds,
            k=args.k,
        )  # fmt: skip
        job_size.warm_up(given)
        for part in chosen:
            begun = time.perf_counter()
            print(f" {part}", flush=True)
            lines = _measured(part, args, given)
            print(f"  {part} took {time.perf_counter() - begun:.0f} s", flush=True)
            if lines:
                failed |= any(line.get("killed") or line.get("equal") is False for line in lines)
                _written(part, lines, args)
    return int(failed)


def _measured(part: str, args: argparse.Namespace, given: Conditions) -> list[dict[str, Any]]:
    """Return the lines of one part."""
    do: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "size": lambda: _sizes(sorted({options.positive(one) for one in args.sizes.split(",")}), given),
        "kill": lambda: job_kill.measure(args.kill_rows, args.kills, job_kill.conditions(given, args.kill_memory)),
        "ray": lambda: job_ray.measure(args.ray_rows, given),
    }
    if part == "ray" and (why := job_ray.missing()):
        print(f"  left out: {why}", flush=True)
        return []
    return do[part]()


def _sizes(sizes: list[int], given: Conditions) -> list[dict[str, Any]]:
    lines = [line for rows in sizes for line in job_size.measure(rows, given)]
    compared = job_size.compared(lines)
    return [*lines, compared] if compared else lines


def _written(part: str, lines: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Write the lines of one part, each with what the run is about, and draw the sizes."""
    head = records.Run(
        command="jobs", dataset=synthetic.NARROW_NAME, rows=0, full=True, dim=synthetic.NARROW_DIM,
        metric=job_data.METRIC, mode="hot", threads=args.threads, k=args.k, rounds=args.rounds or 0,
        n_queries=job_data.N_QUERIES,
    )  # fmt: skip
    memory = args.kill_memory if part == "kill" else args.memory
    joined = [asdict(head) | {"memory": memory} | line for line in lines]
    path = Path(args.out) / f"{FILES[part]}.jsonl"
    records.write(path, joined)
    print(job_summary.text(part, joined))
    print(f"-> {path}\n", flush=True)
    if part == "size":
        plot_jobs.sizes(joined, Path(args.out) / "jobs-size.png")
