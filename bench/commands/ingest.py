"""``python -m bench ingest``: SciFact with text, metadata and words into an empty collection, records/s."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import datasets, ingest_summary, ingesting, machine, plot_text, records, texts
from bench.commands import options
from bench.ingesting import VARIANTS, Load

BATCH = 1_000


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("ingest", help="records/s of documents with text, metadata and words")
    options.add_text(parser)
    parser.add_argument("--set", default="scifact", choices=texts.SETS, help="which texts (default scifact)")
    parser.add_argument("--peers", default="chroma", help="chroma, or - for none")
    parser.add_argument("--embed", type=int, default=128, help="documents embedded to time that (default 128; 0: none)")
    parser.add_argument("--rounds", type=options.positive, default=5, help="rounds of timing (default 5)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one set."""
    where = texts.folder(args.text)
    if where is None or not texts.found(where, [args.set]):
        raise ValueError(f"no {args.set}: name the folder of the texts with --text DIR or RAMET_BENCH_TEXT")
    if args.peers not in ("chroma", "-"):
        raise ValueError(f"--peers {args.peers!r}: known is chroma")
    print(machine.short(machine.describe()), machine.commit(), flush=True)
    of = texts.load(where, args.set)
    load = ingesting.load_of(of, texts.document_vectors(of))
    ingesting.warm_up(load)
    lines = _timed(load, args)
    analysis = [ingesting.analysis_s(load) for _ in range(args.rounds)]
    lines.append(ingest_summary.line("ramet", "finding words, without storing them", "-", analysis, len(load)))
    if args.embed:
        lines += _embedded(load, args.embed, lines[0]["us_per_record"])
    profile = ingesting.profile(load, len(load))
    head = _header(of, load, args)
    joined = [head | line for line in lines]
    joined[0] |= {"profile": profile}
    stem = Path(args.out) / f"ingest-{args.set}"
    records.write(stem.with_suffix(".jsonl"), joined)
    plot_text.ingest(joined, stem.with_suffix(".png"))
    print(ingest_summary.text(joined))
    print(ingest_summary.profile_text(profile))
    print(f"-> {stem}.jsonl and .png\n", flush=True)
    return 0


Took = dict[tuple[str, str, str], list[tuple[float, float]]]
"""(contender, what, calls) -> seconds, and seconds of all cores, of every round."""


def _timed(load: Load, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Ramet and Chroma in turns; everything in one call comes first."""
    took: Took = {}
    with datasets.work_dir() as work:
        chroma = ingesting.Chroma(load, work) if args.peers == "chroma" else None
        try:
            for _ in range(args.rounds):
                _our_turn(load, took)
                if chroma is not None:
                    _their_turn(chroma, len(load), took)
        finally:
            if chroma is not None:
                chroma.close()
    lines = []
    for key, rounds in took.items():
        seconds, cpu = zip(*rounds, strict=True)
        measured = cpu if key[0] == "ramet" else ()
        lines.append(ingest_summary.line(*key, seconds, len(load), measured))
    return lines


def _our_turn(load: Load, took: Took) -> None:
    for what in sorted(VARIANTS, key=lambda what: what != "everything"):
        for calls, size in ((ingest_summary.ONE_CALL, len(load)), (f"batches of {BATCH:,}", BATCH)):
            took.setdefault(("ramet", what, calls), []).append(ingesting.ramet_seconds(load, VARIANTS[what], size))


def _their_turn(chroma: ingesting.Chroma, n: int, took: Took) -> None:
    most = min(ingesting.CHROMA_MOST, n)
    for what, size in (("vectors", most), ("everything", most), ("everything", min(BATCH, n))):
        seconds = chroma.seconds(VARIANTS[what], size)
        took.setdefault(("chroma", what, f"batches of {size:,}"), []).append((seconds, 0.0))


def _embedded(load: Load, n: int, rest_us: float) -> list[dict[str, Any]]:
    """The embedding of some documents, and what that and the rest come to."""
    try:
        model = texts.embedder()
    except RuntimeError as error:
        print(f"skipped the embedding: {error}", flush=True)
        return []
    step = max(1, len(load) // n)
    chosen = load.documents[::step][:n]
    seconds = ingesting.embedded_s(chosen, model)
    embedding = ingest_summary.line("ramet", "embedding", f"{len(chosen)} documents", [seconds], len(chosen))
    whole = (embedding["us_per_record"] + rest_us) * len(load) / 1e6
    both = ingest_summary.line("ramet", "embedding and everything", "computed from the two", [whole], len(load))
    return [embedding, both]


def _header(of: texts.TextSet, load: Load, args: argparse.Namespace) -> dict[str, Any]:
    run = records.Run(
        command="ingest",
        dataset=of.name,
        rows=len(load),
        full=True,
        dim=load.vectors.shape[1],
        metric="cosine",
        mode="durable",
        threads=1,
        k=0,
        rounds=args.rounds,
        n_queries=0,
    )
    fields = sorted(load.metadata[0])
    return asdict(run) | {"model": texts.MODEL, "fields": fields, "text_mb": sum(map(len, load.documents)) / 1e6}
