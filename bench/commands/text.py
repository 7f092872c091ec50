"""``python -m bench text``: nDCG and latency of dense, keyword and hybrid search, each beside its reference."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, machine, plot_text, records, text_measure, text_summary, texts
from bench.commands import options
from bench.text_measure import Material
from bench.text_reference import Reference


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("text", help="nDCG@10 and latency of dense, keyword and hybrid search")
    options.add_text(parser)
    parser.add_argument("--sets", default=",".join(texts.SETS), help=f"one or more of {', '.join(texts.SETS)}")
    parser.add_argument("--no-tuning", action="store_true", help="no second weight, tuned on SciFact's other queries")
    parser.add_argument("--rounds", type=options.positive, default=5, help="rounds of timing (default 5)")
    parser.add_argument("--k", type=options.positive, default=10, help="results per query (default 10)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every set that is there."""
    where, there = texts.asked(args.text, args.sets)
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    sets = {name: texts.load(where, name) for name in there}
    alpha = None if args.no_tuning else _alpha(sets)
    lines: list[dict[str, Any]] = []
    for name, of in sets.items():
        material = Material(of=of, documents=texts.document_vectors(of), queries=texts.query_vectors(of.test, name))
        with datasets.work_dir() as work:
            cases = text_measure.run(material, work / "data", alpha, args.rounds, args.k)
        head = _header(material, args) | {"alpha": text_measure.ALPHA, "tuned_alpha": alpha}
        lines += [head | line for line in text_summary.lines(cases)]
        print(f"  {name}: {len(of.ids):,} documents, {len(of.test)} queries", flush=True)
    stem = Path(args.out) / ("text" if there == list(texts.SETS) else f"text-{'-'.join(there)}")
    records.write(stem.with_suffix(".jsonl"), lines)
    plot_text.text(lines, stem.with_suffix(".png"))
    print(text_summary.text(lines))
    print(f"-> {stem}.jsonl and .png\n", flush=True)
    return 0


def _alpha(sets: dict[str, texts.TextSet]) -> float | None:
    """The weight of the dense side that suits SciFact's other queries; None when they are not there."""
    of = next((of for of in sets.values() if len(of.other)), None)
    if of is None:
        print("no tuned weight: there are no queries but those of the test", flush=True)
        return None
    vectors = texts.query_vectors(of.other, f"{of.name}-other")
    alpha = text_measure.tune(of.other, vectors, Reference.of(of.texts, texts.document_vectors(of)))
    print(f"weight of the dense side tuned on {len(of.other)} other queries of {of.name}: {alpha:g}", flush=True)
    return alpha


def _header(material: Material, args: argparse.Namespace) -> dict[str, Any]:
    run = records.Run(
        command="text",
        dataset=material.of.name,
        rows=len(material.documents),
        full=True,
        dim=material.documents.shape[1],
        metric="cosine",
        mode="hot",
        threads=1,
        k=args.k,
        rounds=args.rounds,
        n_queries=len(material.of.test),
    )
    words = float(np.mean([len(text.split()) for text in material.of.texts]))
    return asdict(run) | {"model": texts.MODEL, "mean_words": words}
