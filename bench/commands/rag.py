"""``python -m bench rag``: selection under a budget, every strategy on the same candidates."""

import argparse
from pathlib import Path
from typing import Any

from bench import machine, peers, plot_rag, rag_runs, rag_summary, rag_texts, rag_training, records, texts
from bench.commands import options
from bench.rag_halves import Halves, halves, header
from ramet.engine.rag.agent import SHIPPED, Agent


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("rag", help="evidence, tokens and time of selection strategies under budgets")
    options.add_text(parser)
    parser.add_argument("--sets", default=",".join(rag_texts.SETS), help=f"one or more of {', '.join(rag_texts.SETS)}")
    parser.add_argument("--budgets", default=",".join(map(str, rag_runs.BUDGETS)), help="tokens for chunks")
    parser.add_argument("--train-questions", type=options.positive, default=300, help="of a set, at most (default 300)")
    parser.add_argument(
        "--widen",
        action="store_true",
        help="candidates as ramet.Rag finds them, with the second hop (rag-widened.jsonl)",
    )
    parser.add_argument("--agent", type=Path, default=SHIPPED, help="weights of the agent (default: as shipped)")
    parser.add_argument("--train-agent", type=Path, help="train an agent on the train half, write it here, and use it")
    parser.add_argument(
        "--only-auto",
        action="store_true",
        help="measure auto, and put it into the results of an earlier run",
    )
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every set that is there."""
    where, there = texts.asked(args.text, args.sets)
    budgets = [int(one) for one in peers.split(args.budgets)]
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    pools = {name: halves(where, name, args.train_questions, widen=args.widen) for name in there}
    agent = _agent(args, where, pools)
    lines: list[dict[str, Any]] = []
    for name, (n, train, test) in pools.items():
        found = rag_runs.run(train, test, agent, budgets, only_auto=args.only_auto)
        lines += [header("rag", name, n, len(test), len(train)) | line for line in rag_runs.lines(found)]
        print(f"  {name}: {n:,} documents, {len(train)} questions to tune on, {len(test)} to test with", flush=True)
    kind = "rag-widened" if args.widen else "rag"
    stem = Path(args.out) / (kind if there == list(rag_texts.SETS) else f"{kind}-{'-'.join(there)}")
    if args.only_auto:
        lines = replaced(records.read(stem.with_suffix(".jsonl")), lines)
    records.write(stem.with_suffix(".jsonl"), lines)
    plot_rag.rag(lines, stem.with_suffix(".png"))
    print(rag_summary.text(lines))
    print(f"-> {stem}.jsonl and .png\n", flush=True)
    return 0


def replaced(before: list[dict[str, Any]], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results with some of their lines in another version; none is new."""
    new = {(line["dataset"], line["contender"], line["budget"], line["half"]): line for line in lines}
    return [new.get((line["dataset"], line["contender"], line["budget"], line["half"]), line) for line in before]


def _agent(args: argparse.Namespace, where: Path, pools: dict[str, Halves]) -> Agent | None:
    """The agent to measure; None when there is none."""
    if args.train_agent is None:
        if args.agent.exists():
            return Agent.load(args.agent)
        print(f"without auto: there is no {args.agent}", flush=True)
        return None
    learned = {name: train for name, (_, train, _) in pools.items()}
    if args.widen:  # it is to know candidates without the second hop, too
        n = args.train_questions
        learned |= {f"{name}, one hop": halves(where, name, n, widen=False)[1] for name in pools}
    agent, said = rag_training.trained(learned)
    agent.save(args.train_agent)
    print(said, flush=True)
    print(f"-> {args.train_agent}", flush=True)
    return agent
