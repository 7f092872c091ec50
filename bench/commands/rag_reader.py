"""``python -m bench rag-reader``: what a small language model answers to what was selected."""

import argparse
from pathlib import Path
from typing import Any

from bench import machine, peers, rag_reader, rag_texts, records, texts
from bench.commands import options
from bench.rag_halves import halves, header
from bench.rag_pools import Asked
from ramet.engine.rag.agent import SHIPPED, Agent


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("rag-reader", help="exact match and F1 of a local model's answers, by strategy")
    options.add_text(parser)
    parser.add_argument("--sets", default=",".join(rag_texts.MULTI_HOP), help="sets that have answers")
    parser.add_argument("--questions", type=options.positive, default=20, help="of the test half of a set (default 20)")
    parser.add_argument("--budgets", default="512", help="tokens for chunks (default 512)")
    parser.add_argument("--widen", action="store_true", help="candidates as ramet.Rag finds them, with the second hop")
    parser.add_argument("--agent", type=Path, default=SHIPPED, help="weights of the agent (default: as shipped)")
    parser.add_argument("--gguf", type=Path, help="the model (default: Gemma 3 270m from its packages)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask about every set that has answers."""
    where, there = texts.asked(args.text, args.sets)
    budgets = [int(one) for one in peers.split(args.budgets)]
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    agent = Agent.load(args.agent) if args.agent.exists() else None
    lines: list[dict[str, Any]] = []
    with rag_reader.served(args.gguf) as llm:
        for name in there:
            n, _, test = halves(where, name, 0, widen=args.widen)
            chosen = _answered(test, args.questions)
            if not chosen:
                print(f"  {name}: no answers to compare with", flush=True)
            for line in rag_reader.run(llm, chosen, agent, budgets) if chosen else ():
                lines.append(header("rag-reader", name, n, len(chosen), 0) | {"llm": llm.name} | line)
                print(f"  {name} {line['contender']} {line['budget']}: EM {line['em']:.3f} F1 {line['answer_f1']:.3f} "
                      f"tokens {line['prompt_tokens']:.0f}", flush=True)  # fmt: skip
    records.write(Path(args.out) / "rag-reader.jsonl", lines)
    print(f"-> {args.out}/rag-reader.jsonl", flush=True)
    return 0


def _answered(test: list[Asked], n: int) -> list[Asked]:
    """The first questions that have an answer, by id."""
    return sorted((one for one in test if one.question.answers), key=lambda one: one.question.id)[:n]
