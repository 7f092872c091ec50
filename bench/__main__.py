"""Command line of the benchmarks: ``python -m bench COMMAND``, run from the repository root."""

import argparse
import os
import sys

from bench.child import clean_environment
from bench.commands import (
    ann,
    churn,
    exact,
    fill,
    filters,
    ingest,
    jobs,
    memory,
    overhead,
    rag,
    rag_cross,
    rag_reader,
    rag_run,
    readme,
    refresh,
    scale,
    server,
    sharing,
    start,
    tenants,
    text,
)

COMMANDS = (
    ann,
    scale,
    start,
    memory,
    overhead,
    exact,
    tenants,
    sharing,
    fill,
    churn,
    filters,
    text,
    ingest,
    rag,
    rag_cross,
    rag_reader,
    rag_run,
    server,
    refresh,
    jobs,
    readme,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser with one subcommand per module of ``bench.commands``."""
    root = argparse.ArgumentParser(prog="python -m bench", description="Measure Ramet beside other indexes.")
    subparsers = root.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.register(subparsers)
    return root


def main(argv: list[str]) -> int:
    """Run one command.

    Returns
    -------
    int
        Exit status: 0, or 1 when a check failed (``exact``, ``sharing``, ``churn``, ``jobs``).
    """
    args = parser().parse_args(argv)
    return int(args.run(args))


if __name__ == "__main__":
    environment = clean_environment()
    if environment != dict(os.environ):
        # A forced BLAS kernel is read when the library loads, so this process starts again without it.
        os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], environment)
    try:
        sys.exit(main(sys.argv[1:]))
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("RAMET_BENCH_TRACEBACK"):
            raise
        sys.exit(f"bench: {error}  (RAMET_BENCH_TRACEBACK=1 shows where)")
