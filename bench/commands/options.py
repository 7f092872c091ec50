"""Options that several subcommands share."""

import argparse
from pathlib import Path

from bench import records
from bench.datasets import SOURCES

METRICS = ("l2", "cosine", "ip")
DEFAULT_PEERS = "hnswlib,faiss-hnsw,faiss-ivf,usearch"


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        help="directory with NAME.npy files (default: RAMET_BENCH_DATA, then the cache, then fetch)",
    )


def add_run(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    """Add the options of everything that builds and times."""
    add_data(parser)
    parser.add_argument("--threads", type=positive, default=2, help="threads of builds and batches (default 2)")
    parser.add_argument("--rounds", type=positive, default=rounds, help=f"rounds of timing (default {rounds})")
    parser.add_argument("--k", type=positive, default=10, help="neighbours per query (default 10)")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder for results (default bench/results)")


def add_datasets(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add ``--dataset``, one name or several with commas."""
    known = ", ".join(SOURCES)
    parser.add_argument("--dataset", required=default is None, default=default, help=f"one or more of: {known}")


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def metric_list(option: str | None, default: str) -> list[str]:
    """Return the metrics named in a comma-separated option."""
    chosen = [part.strip() for part in (option or default).split(",") if part.strip()]
    unknown = [name for name in chosen if name not in METRICS]
    if unknown or not chosen:
        raise ValueError(f"--metric {option!r}: known are {', '.join(METRICS)}")
    return chosen


def add_text(parser: argparse.ArgumentParser) -> None:
    """Add ``--text``."""
    parser.add_argument("--text", type=Path, help="folder with the text sets (default: RAMET_BENCH_TEXT)")
