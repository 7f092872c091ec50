"""``python -m bench rag-cross``: selection with a cross-encoder, by passes."""

import argparse
from pathlib import Path
from typing import Any

from bench import machine, rag_cross, rag_texts, records, texts
from bench.commands import options
from bench.rag_cross_model import JointEncoder
from bench.rag_halves import halves, header


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
    pools = {name: halves(where, name, args.train_questions, widen=False) for name in there}
    model = JointEncoder(rag_cross.examples([one for _, train, _ in pools.values() for one in train]))
    found: list[dict[str, Any]] = []
    for name, (n, train, every) in pools.items():
        test = every[: args.questions]
        head = header("rag-cross", name, n, len(test), len(train)) | {"model": f"{texts.MODEL}, taught"}
        found += [head | line for line in rag_cross.lines(model, test, args.budget)]
        _say(found[-len(rag_cross.CONTENDERS) :])
    records.write(Path(args.out) / "rag-cross.jsonl", found)
    print(f"-> {Path(args.out) / 'rag-cross.jsonl'}", flush=True)
    return 0


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
