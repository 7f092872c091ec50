"""``python -m bench rag-run``: from a question to a cited answer, with a model behind a server and without one."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench import machine, rag_run, records


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("rag-run", help="cited answers from Python's manual, with a GGUF model and without")
    parser.add_argument("--gguf", type=Path, help="the model (default: SmolLM2 135M from its package)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, and record what came."""
    head = {"command": "rag-run", "machine": machine.describe(), "commit": machine.commit()}
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, rag_run.manual(Path(folder) / "data") as docs:
        with rag_run.backends(args.gguf) as named:
            for line in rag_run.run(docs, named, rag_run.QUESTIONS):
                found.append(head | line)
                cited = ", ".join(one["id"] for one in line["citations"]) or "nothing"
                print(f"[{line['backend']}] {line['question']}\n  {line['answer']}\n  cites {cited}; "
                      f"{line['prompt_tokens']} + {line['output_tokens']} tokens, "
                      f"{line['seconds']['total']:.2f} s", flush=True)  # fmt: skip
    records.write(args.out / "rag-run.jsonl", found)
    print(f"-> {args.out / 'rag-run.jsonl'}", flush=True)
    return 0
