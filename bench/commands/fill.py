"""``python -m bench fill``: durable batches into an empty collection; its recall beside that of a fresh build."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import curves, datasets, filling, live, machine, peers, plot_live, records, runs
from bench import truth as exact
from bench.commands import options
from bench.curves import Content
from bench.peers.base import disk_bytes
from bench.peers.ramet import COLLECTION

ROWS = 300_000
LIMITS = {"slowest_call_s": 2.0, "points": 1.0}
PEERS = ("hnswlib",)


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("fill", help="records/s from empty, in durable batches; recall beside a fresh build")
    options.add_datasets(parser, "glove100,glove50,navec300")
    parser.add_argument("--rows", type=options.positive, default=ROWS, help=f"at most so many vectors (default {ROWS})")
    parser.add_argument("--batch", type=options.positive, default=1_000, help="records per call (default 1000)")
    parser.add_argument("--order", choices=filling.ORDERS, default="shuffled", help="in which the records arrive")
    parser.add_argument("--codes", default="sq8", help="Ramet's posting lists")
    parser.add_argument("--metric", choices=options.METRICS, help="default: the data set's own")
    parser.add_argument("--peers", default="hnswlib", help="hnswlib, for reference (not durable), or -")
    options.add_run(parser, rounds=3)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fill every data set asked for."""
    if unknown := set(peers.split(args.peers)) - set(PEERS):
        raise ValueError(f"--peers {', '.join(sorted(unknown))}: known are {', '.join(PEERS)}")
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    for name in peers.split(args.dataset):
        dataset = filling.arranged(load_at_most(name, args.data, args.rows), args.order)
        for codes in peers.split(args.codes):
            _one(dataset, args.metric or dataset.metric, codes, args)
    return 0


def load_at_most(name: str, data: Path | None, rows: int) -> datasets.Dataset:
    """Load a set cut at `rows`, or whole when it has fewer."""
    whole = datasets.load(name, data=data)
    return whole if len(whole.base) <= rows else datasets.load(name, data=data, rows=rows)


def _one(dataset: datasets.Dataset, metric: str, codes: str, args: argparse.Namespace) -> None:
    print(f"{dataset.name}, {len(dataset.base):,} rows, {metric}, {args.order}, ramet-{codes}", flush=True)
    content = Content(dataset=dataset, metric=metric, truth=exact.of_dataset(dataset, metric), k=args.k)
    with datasets.work_dir() as work:
        lines = _fills(dataset, metric, codes, work, args)
        states, facts = _states(content, codes, work, args.threads)
    lines[0] |= facts
    lines += [{"contender": f"ramet-{codes}"} | line for line in curves.lines(states)]
    counts = {"threads": args.threads, "k": args.k, "rounds": args.rounds, "n_queries": len(dataset.queries)}
    head = runs.header_of("fill", dataset, metric, **counts)
    joined = [asdict(head) | {"order": args.order, "batch": args.batch} | line for line in lines]
    suffix = ("" if args.order == "shuffled" else f"-{args.order}") + ("" if codes == "sq8" else f"-{codes}")
    stem = Path(args.out) / f"fill-{dataset.name}-{len(dataset.base)}-{metric}{suffix}"
    records.write(stem.with_suffix(".jsonl"), joined)
    plot_live.fill(joined, stem.with_suffix(".png"))
    _show(joined)
    print(f"-> {stem}.jsonl and .png\n", flush=True)


def _fills(
    dataset: datasets.Dataset, metric: str, codes: str, work: Path, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Fill in turns; return one line per contender, Ramet first."""
    live.warm_up(metric, codes)
    done: dict[str, list[live.Calls]] = {}
    for _ in range(args.rounds):
        ours = filling.fill_ramet(dataset, metric, codes, args.batch, work / "filled")
        done.setdefault(f"ramet-{codes}", []).append(ours)
        for peer in peers.split(args.peers):
            done.setdefault(peer, []).append(filling.fill_hnswlib(dataset, metric, args.batch, args.threads))
    return [filling.line(name, of_contender) for name, of_contender in done.items()]


def _states(
    content: Content, codes: str, work: Path, threads: int
) -> tuple[dict[str, list[curves.Point]], dict[str, Any]]:
    """Return the curves of the collection as filled, after maintenance, and built afresh; and facts about them."""
    import ramet

    build_s = filling.build_fresh(content.dataset, content.metric, codes, work / "fresh", threads)
    facts: dict[str, Any] = {"fresh_build_s": build_s, "fresh_disk_mb": disk_bytes(work / "fresh") / 1e6}
    facts["disk_mb"] = disk_bytes(work / "filled") / 1e6
    with ramet.connect(work / "filled") as filled, ramet.connect(work / "fresh") as fresh:
        docs: Any = filled.collection(COLLECTION)
        built: Any = fresh.collection(COLLECTION)
        states = {"fresh": curves.measure(built, content, threads), "filled": curves.measure(docs, content, threads)}
        facts["default_recall"] = curves.default_recall(docs, content, threads)
        facts["fresh_default_recall"] = curves.default_recall(built, content, threads)
        facts["lost"] = curves.unfindable(docs, content, threads)
        facts |= live.settle(docs)
        states["maintained"] = curves.measure(docs, content, threads)
        facts["maintained_default_recall"] = curves.default_recall(docs, content, threads)
        facts["compact_s"] = live.timed(docs.compact)
    facts["compact_disk_mb"] = disk_bytes(work / "filled") / 1e6
    return states, facts


def _show(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        if line["kind"] == "fill":
            print(
                f"  {line['contender']}: {line['records_per_s']:,.0f} records/s; worst {line['window']} batches "
                f"{line['worst_window_per_s']:,.0f}; slowest call {line['slowest_call_s']:.3f} s "
                f"(target <= {LIMITS['slowest_call_s']:g} for Ramet)"
            )
    ours = lines[0]
    print(
        f"  recall at the default: filled {ours['default_recall']:.4f}, maintained "
        f"{ours['maintained_default_recall']:.4f}, fresh {ours['fresh_default_recall']:.4f}; {ours['lost']} records "
        f"not found by their own vectors; disk {ours['disk_mb']:.0f} MB, compacted {ours['compact_disk_mb']:.0f}, "
        f"fresh {ours['fresh_disk_mb']:.0f}"
    )
    print("\n".join(curves.gap_text(lines, LIMITS["points"])))
