"""``python -m bench rag``: selection under a budget, every strategy on the same candidates."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import (
    datasets,
    machine,
    peers,
    plot_rag,
    rag_pools,
    rag_reader,
    rag_runs,
    rag_summary,
    rag_texts,
    rag_training,
    rag_widened,
    records,
    texts,
)
from bench.commands import options
from bench.rag_pools import Asked
from bench.rag_texts import TEST, TRAIN
from ramet.engine.rag.agent import SHIPPED, Agent

READER = "all-MiniLM-L6-v2's tokenizer"
Halves = tuple[int, list[Asked], list[Asked]]
"""Documents, and the questions of train and of test."""


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
        "--reader", type=options.positive, metavar="N", help="ask a local GGUF model N questions of each set, too"
    )
    parser.add_argument("--gguf", type=Path, help="the model for --reader (default: Gemma 3 270m from its packages)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every set that is there."""
    where, there = texts.asked(args.text, args.sets)
    budgets = [int(one) for one in peers.split(args.budgets)]
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    pools = {name: _pools(where, name, args) for name in there}
    agent = _agent(args, where, pools)
    lines: list[dict[str, Any]] = []
    for name, (n, train, test) in pools.items():
        found = rag_runs.run(train, test, agent, budgets)
        lines += [_header(name, n, len(test), len(train)) | line for line in rag_runs.lines(found)]
        print(f"  {name}: {n:,} documents, {len(train)} questions to tune on, {len(test)} to test with", flush=True)
    kind = "rag-widened" if args.widen else "rag"
    stem = Path(args.out) / (kind if there == list(rag_texts.SETS) else f"{kind}-{'-'.join(there)}")
    records.write(stem.with_suffix(".jsonl"), lines)
    plot_rag.rag(lines, stem.with_suffix(".png"))
    print(rag_summary.text(lines))
    print(f"-> {stem}.jsonl and .png\n", flush=True)
    if args.reader:
        _read(args, {name: of[2] for name, of in pools.items()}, agent)
    return 0


def _pools(where: Path, name: str, args: argparse.Namespace) -> Halves:
    """Documents of a set, and the questions of either half with their candidates."""
    of = rag_texts.load(where, name)
    made = rag_pools.Pools(of)
    halves = of.of(TRAIN)[: args.train_questions], of.of(TEST)
    if not args.widen:
        return len(of.ids), made.of(halves[0]), made.of(halves[1])
    with datasets.work_dir() as work, rag_widened.filled(of, made, work / "data") as rag:
        train, test = (rag_widened.asked(rag, of, made, half) for half in halves)
    return len(of.ids), train, test


def _agent(
    args: argparse.Namespace, where: Path, pools: dict[str, tuple[int, list[Asked], list[Asked]]]
) -> Agent | None:
    """The agent to measure; None when there is none."""
    if args.train_agent is None:
        if args.agent.exists():
            return Agent.load(args.agent)
        print(f"without auto: there is no {args.agent}", flush=True)
        return None
    learned = {name: train for name, (_, train, _) in pools.items()}
    if args.widen:  # it is to know candidates without the second hop, too
        plain = argparse.Namespace(**vars(args) | {"widen": False})
        learned |= {f"{name}, one hop": _pools(where, name, plain)[1] for name in pools}
    agent, said = rag_training.trained(learned)
    agent.save(args.train_agent)
    print(said, flush=True)
    print(f"-> {args.train_agent}", flush=True)
    return agent


def _header(name: str, rows: int, n: int, n_train: int) -> dict[str, Any]:
    run = records.Run(
        command="rag", dataset=name, rows=rows, full=True, dim=384, metric="cosine", mode="hot", threads=1,
        k=rag_pools.CANDIDATES, rounds=1, n_queries=n,
    )  # fmt: skip
    more = {"model": texts.MODEL, "reader": READER, "candidates": rag_pools.CANDIDATES, "n_train": n_train}
    return asdict(run) | more


def _read(args: argparse.Namespace, tests: dict[str, list[Asked]], agent: Agent | None) -> None:
    """Answers of a model, a line per set, contender and budget."""
    lines: list[dict[str, Any]] = []
    with rag_reader.served(args.gguf) as llm:
        for name, test in tests.items():
            answered = [one for one in test if one.question.answers]
            chosen = sorted(answered, key=lambda one: one.question.id)[: args.reader]
            if not chosen:
                print(f"  {name}: no answers to compare with", flush=True)
                continue
            for line in rag_reader.run(llm, chosen, agent):
                lines.append(_header(name, len(chosen), len(chosen), 0) | {"llm": llm.name} | line)
                print(f"  {name} {line['contender']} {line['budget']}: EM {line['em']:.3f} F1 {line['answer_f1']:.3f} "
                      f"tokens {line['prompt_tokens']:.0f}", flush=True)  # fmt: skip
    if lines:
        records.write(Path(args.out) / "rag-reader.jsonl", lines)
        print(f"mean EM {np.mean([line['em'] for line in lines]):.3f} -> {args.out}/rag-reader.jsonl", flush=True)
