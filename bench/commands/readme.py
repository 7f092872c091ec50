"""``python -m bench readme``: fill the marked blocks of README.md and docs/scale.md with tables from bench/results."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import (
    filter_readme,
    machine,
    rag_readme,
    records,
    scale_doc,
    server_readme,
    summary,
    tenant_readme,
    text_readme,
)
from bench.child import ROOT

START = "<!-- bench:ann:start -->"
END = "<!-- bench:ann:end -->"
NONE = "No results yet: `python -m bench ann --dataset glove100` makes some."


def register(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("readme", help="write the figures of bench/results into README.md and docs/scale.md")
    parser.add_argument("--results", type=Path, default=records.RESULTS, help="folder to read (default bench/results)")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="file to fill")
    parser.add_argument("--scale", type=Path, default=ROOT / "docs" / "scale.md", help="file to fill with build jobs")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when the block is stale")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fill the blocks, or check them."""
    old = args.readme.read_text(encoding="utf8")
    new = filled(old, block(args.results))
    for part in (tenant_readme, filter_readme, text_readme, rag_readme, server_readme):
        new = filled(new, part.block(args.results), part.START, part.END)
    scale = args.scale.read_text(encoding="utf8")
    planned = filled(scale, scale_doc.block(args.results), scale_doc.START, scale_doc.END)
    return max([_kept(args.readme, old, new, args.check), _kept(args.scale, scale, planned, args.check)])


def _kept(path: Path, old: str, new: str, check: bool) -> int:
    """Write a file, or say whether it is stale."""
    if check:
        print(f"{path} is up to date" if new == old else f"{path} is stale: run python -m bench readme")
        return int(new != old)
    path.write_text(new, encoding="utf8")
    print(f"-> {path}")
    return 0


def filled(text: str, content: str, start: str = START, end: str = END) -> str:
    """Return `text` with `content` between two marks.

    Raises
    ------
    ValueError
        When the marks are missing or in the wrong order.
    """
    head, found_start, rest = text.partition(start)
    _, found_end, tail = rest.partition(end)
    if not found_start or not found_end:
        raise ValueError(f"the file has no block between {start} and {end}")
    return f"{head}{start}\n{content}\n{end}{tail}"


def block(folder: Path) -> str:
    """Return Markdown for all results of ``ann`` on whole data sets in `folder`: hot, then cold."""
    runs = [records.read(path) for path in sorted(folder.glob("ann-*.jsonl"))]
    whole = [lines for lines in runs if lines and lines[0]["full"]]
    parts = [
        part
        for mode, table in (("hot", _hot), ("cold", _cold))
        if (of_mode := [lines for lines in whole if lines[0]["mode"] == mode])
        for part in table(of_mode)
    ]
    return "\n".join(parts) if parts else NONE


def _hot(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    out = [
        "Single query, p50 in microseconds, all cached, interpolated to equal recall@10 (in brackets: times hnswlib); "
        "memory is anonymous memory that the open index adds to a process that only imported the library, as a share "
        "of the vectors. For Ramet nearly all of it is the runtime that any collection needs "
        "(`bench/results/memory.jsonl`).",
        "",
        "| data set | contender | recall 0.95 | recall 0.99 | build (s) | memory | disk (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    for lines in runs:
        for row in summary.table(lines):
            memory = summary.share(row["open_share"])
            cells = [_name(lines[0]), row["contender"], *(_latency(row, target) for target in summary.TARGETS)]
            cells += [f"{row['build_s']:.1f}", memory, f"{row['disk_mb']:.0f}"]
            out.append("| " + " | ".join(cells) + " |")
    return [*out, "", machine.origin([lines[0] for lines in runs]), ""]


def _cold(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    out = [
        "Single query, p50 in milliseconds, the files dropped from the page cache before every query.",
        "",
        "| data set | contender | recall 0.95 | recall 0.99 |",
        "|---|---|---|---|",
    ]
    for lines in runs:
        for row in summary.table(lines):
            p50s = [row[f"p50@{target}"] for target in summary.TARGETS]
            cells = [_name(lines[0]), row["contender"], *("-" if p50 is None else f"{p50 / 1e3:.2f}" for p50 in p50s)]
            out.append("| " + " | ".join(cells) + " |")
    return [*out, "", machine.origin([lines[0] for lines in runs])]


def _name(head: Mapping[str, Any]) -> str:
    return f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']})"


def _latency(row: Mapping[str, Any], target: float) -> str:
    p50, ratio = row[f"p50@{target}"], row[f"ratio@{target}"]
    if p50 is None:
        return "not reached"
    return f"{p50:.0f}" if ratio is None else f"{p50:.0f} ({ratio:.2f})"
