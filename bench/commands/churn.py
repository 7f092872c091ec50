"""``python -m bench churn``: a collection replaced completely while another process queries it."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import churning, curves, datasets, filling, live, machine, peers, plot_live, records, runs
from bench import truth as exact
from bench.churning import Churned, Exchange
from bench.commands import options
from bench.curves import Content
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION

ROWS = 150_000
STEPS = 100
QUIET_S = 10.0
LIMITS = {"p99_ratio": 3.0, "points": 1.0, "disk_ratio": 1.5}


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("churn", help="a collection replaced completely while another process queries it")
    options.add_datasets(parser, "glove100")
    parser.add_argument("--rows", type=options.positive, default=ROWS, help=f"records (default {ROWS}); twice are used")
    parser.add_argument("--steps", type=options.positive, default=STEPS, help=f"parts of it (default {STEPS})")
    parser.add_argument("--start", choices=("build", "fill"), default="build", help="how the first content gets there")
    parser.add_argument("--quiet", type=float, default=QUIET_S, help=f"seconds without writes (default {QUIET_S:g})")
    parser.add_argument("--pause-us", type=int, default=0, help="what the reader sleeps between queries (default 0)")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    options.add_run(parser, rounds=1)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Churn every data set asked for; return 1 when a deleted record came back or an inserted one was missing."""
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    failed = False
    for name in peers.split(args.dataset):
        dataset = datasets.load(name, data=args.data)
        for codes in peers.split(args.codes):
            failed |= _one(dataset, args.metric or dataset.metric, codes, args)
    return int(failed)


def _one(dataset: datasets.Dataset, metric: str, codes: str, args: argparse.Namespace) -> bool:
    data = churning.exchange(dataset.base, args.rows)
    last = churning.contents(data, dataset, "last")
    content = Content(dataset=last, metric=metric, truth=exact.of_dataset(last, metric), first=data.n, k=args.k)
    print(f"{dataset.name}, {data.n:,} of {len(dataset.base):,} rows, {metric}, ramet-{codes}", flush=True)
    live.warm_up(metric, codes)
    rounds, lines = [], []
    for _ in range(args.rounds):
        with datasets.work_dir() as work:
            done = _churn(work, data, dataset, metric, codes, args)
            print(f"  {done.reader}", flush=True)
            rounds.append(done)
            states, facts = _states(content, codes, work, args.threads)
        lines = [summary(rounds) | facts, *steps(done), *curves.lines(states)]  # states and steps of the last round
    counts = {"threads": args.threads, "k": args.k, "rounds": args.rounds, "n_queries": len(dataset.queries)}
    head = asdict(runs.header_of("churn", last, metric, **counts)) | {"start": args.start, "pause_us": args.pause_us}
    joined = [head | {"contender": f"ramet-{codes}"} | line for line in lines]
    suffix = ("" if args.start == "build" else f"-{args.start}") + ("" if codes == "sq8" else f"-{codes}")
    stem = Path(args.out) / f"churn-{dataset.name}-{data.n}-{metric}{suffix}"
    records.write(stem.with_suffix(".jsonl"), joined)
    plot_live.churn(joined, stem.with_suffix(".png"))
    _show(joined)
    print(f"-> {stem}.jsonl and .png\n", flush=True)
    return bool(lines[0]["returned"] or lines[0]["missed"] or lines[0]["short"])


def _churn(
    work: Path, data: Exchange, dataset: datasets.Dataset, metric: str, codes: str, args: argparse.Namespace
) -> Churned:
    folder, first = work / "churned", churning.contents(data, dataset, "first")
    if args.start == "build":
        filling.build_fresh(first, metric, codes, folder, args.threads)
    else:
        filling.fill_ramet(first, metric, codes, 1_000, folder)
    return churning.run(
        folder,
        data,
        dataset.queries,
        steps=args.steps,
        quiet_s=args.quiet,
        pause_s=args.pause_us / 1e6,
        k=args.k,
    )


def _states(
    content: Content, codes: str, work: Path, threads: int
) -> tuple[dict[str, list[curves.Point]], dict[str, Any]]:
    """Compare the churned collection with a fresh build of its content, before and after compacting it."""
    import ramet

    filling.build_fresh(content.dataset, content.metric, codes, work / "fresh", threads, first=content.first)
    facts: dict[str, Any] = {"fresh_disk_mb": disk_bytes(work / "fresh") / 1e6}
    facts["disk_mb"] = disk_bytes(work / "churned") / 1e6
    with ramet.connect(work / "churned") as churned, ramet.connect(work / "fresh") as fresh:
        docs: Any = churned.collection(COLLECTION)
        built: Any = fresh.collection(COLLECTION)
        states = {"fresh": curves.measure(built, content, threads), "churned": curves.measure(docs, content, threads)}
        facts["default_recall"] = curves.default_recall(docs, content, threads)
        facts["fresh_default_recall"] = curves.default_recall(built, content, threads)
        facts["lost"] = curves.unfindable(docs, content, threads)
        facts |= live.settle(docs)
        facts["compact_s"] = live.timed(docs.compact)
        states["compacted"] = curves.measure(docs, content, threads)
        facts["lost_compacted"] = curves.unfindable(docs, content, threads)
    facts["compact_disk_mb"] = disk_bytes(work / "churned") / 1e6
    facts["disk_ratio"] = facts["compact_disk_mb"] / facts["fresh_disk_mb"]
    return states, facts


def summary(rounds: list[Churned]) -> dict[str, Any]:
    """Return one line on all rounds: latencies are medians over them, counts of what must not happen are sums."""
    figures = [_figures(done) for done in rounds]
    line: dict[str, Any] = {name: float(np.median([one[name] for one in figures])) for name in figures[0]}
    counts = {name: sum(done.reader[name] for done in rounds) for name in ("returned", "missed", "short")}
    line["reader_queries"] = int(np.median([done.reader["n_queries"] for done in rounds]))
    return {"kind": "summary", **line, **counts}


def _figures(done: Churned) -> dict[str, float]:
    times = {
        "quiet": done.took_us(*done.quiet[0]),
        "during": done.took_us(done.steps[0].begun_ns, done.steps[-1].ended_ns),
        "after": done.took_us(*done.quiet[1]),
    }
    if not all(len(took) for took in times.values()):
        raise RuntimeError("the reader finished no query in one of the phases; give --quiet or --rows a larger value")
    out = {
        f"{phase}_p{share}_us": float(np.percentile(took, share)) for phase, took in times.items() for share in (50, 99)
    }
    out |= {f"{phase}_worst_us": float(took.max()) for phase, took in times.items()}
    seconds = np.array([step.delete_s + step.insert_s for step in done.steps])
    return out | {
        "p99_ratio": out["during_p99_us"] / out["quiet_p99_us"],
        "p50_ratio": out["during_p50_us"] / out["quiet_p50_us"],
        "step_s": float(np.median(seconds)),
        "slowest_step_s": float(seconds.max()),
    }


def steps(done: Churned) -> list[dict[str, Any]]:
    """Return one line per step."""
    out = []
    for number, step in enumerate(done.steps):
        took = done.took_us(step.begun_ns, step.ended_ns)
        out.append(
            {
                "kind": "step",
                "step": number,
                "delete_s": step.delete_s,
                "insert_s": step.insert_s,
                "reader_queries": len(took),
                "p50_us": float(np.percentile(took, 50)) if len(took) else None,
                "p99_us": float(np.percentile(took, 99)) if len(took) else None,
            }
        )
    return out


def _show(lines: list[dict[str, Any]]) -> None:
    line = lines[0]
    for phase in ("quiet", "during", "after"):
        print(
            f"  {phase:>6}: p50 {line[f'{phase}_p50_us']:.1f} us, p99 {line[f'{phase}_p99_us']:.1f} us, worst "
            f"{line[f'{phase}_worst_us'] / 1e3:.1f} ms"
        )
    print(f"  p99 during / quiet: {line['p99_ratio']:.2f} (target <= {LIMITS['p99_ratio']:g})")
    print(f"  a step: {line['step_s']:.3f} s, slowest {line['slowest_step_s']:.3f} s")
    print(
        f"  deleted records returned {line['returned']}, inserted ones not found {line['missed']}, short answers "
        f"{line['short']}, of {line['reader_queries']:,} queries; records not found by their own vectors "
        f"{line['lost']}, after compacting {line['lost_compacted']} (targets 0)"
    )
    print(
        f"  recall at the default {line['default_recall']:.4f}, fresh {line['fresh_default_recall']:.4f}; disk "
        f"{line['disk_mb']:.0f} MB, compacted {line['compact_disk_mb']:.0f} MB, {line['disk_ratio']:.2f} times a fresh "
        f"build (target <= {LIMITS['disk_ratio']:g})"
    )
    print("\n".join(curves.gap_text(lines, LIMITS["points"])))
