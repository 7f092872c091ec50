"""``python -m bench rag-cross``: selection with a cross-encoder, by passes."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import machine, rag_cross, rag_pools, rag_texts, records, texts
from bench.commands import options
from bench.rag_texts import TEST, TRAIN


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("rag-cross", help="tree search and beam with a cross-encoder: evidence and passes")
    options.add_text(parser)
    parser.add_argument("--sets", default="hotpotqa,musique", help=f"one or more of {', '.join(rag_texts.SETS)}")
    parser.add_argument("--questions", type=options.positive, default=25, help="of the test half of a set (default 25)")
    parser.add_argument("--train-questions", type=options.positive, default=150, help="of a set, at most (default 150)")
    parser.add_argument("--budget", type=options.positive, default=256, help="tokens for chunks (default 256)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Teach one model on all sets, and measure every set."""
    where, there = texts.asked(args.text, args.sets)
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    halves = {name: _halves(where, name, args) for name in there}
    model = rag_cross.taught(rag_cross.examples([one for train, _ in halves.values() for one in train]))
    found: list[dict[str, Any]] = []
    for name, (train, test) in halves.items():
        run_of = records.Run(
            command="rag-cross", dataset=name, rows=0, full=True, dim=384, metric="cosine", mode="hot", threads=2,
            k=rag_pools.CANDIDATES, rounds=1, n_queries=len(test),
        )  # fmt: skip
        header = asdict(run_of) | {"model": f"{texts.MODEL}, taught", "n_train": len(train)}
        found += [header | line for line in rag_cross.lines(model, test, args.budget)]
        _say(found[-len(rag_cross.CONTENDERS) :])
    records.write(Path(args.out) / "rag-cross.jsonl", found)
    print(f"-> {Path(args.out) / 'rag-cross.jsonl'}", flush=True)
    return 0


def _halves(where: Path, name: str, args: argparse.Namespace) -> tuple[list[rag_pools.Asked], list[rag_pools.Asked]]:
    of = rag_texts.load(where, name)
    made = rag_pools.Pools(of)
    return made.of(of.of(TRAIN)[: args.train_questions]), made.of(of.of(TEST)[: args.questions])


def _say(lines: list[dict[str, Any]]) -> None:
    first = lines[0]
    print(f"  {first['dataset']}, {first['n_queries']} questions, budget {first['budget']}")
    for one in lines:
        mean, low, high = one["f1_less_beam"]
        print(
            f"    {one['contender']:>7}: F1 {one['f1']:.3f} ({mean:+.3f} [{low:+.3f}, {high:+.3f}] against the beam), "
            f"recall {one['recall']:.3f}, {one['passes']:.0f} passes (at most {one['most_passes']:.0f}), "
            f"{one['ms'] / 1e3:.2f} s",
            flush=True,
        )
