"""Markdown for the top README: the server under load, beside Chroma's, and its bodies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine, records, server_summary

START = "<!-- bench:server:start -->"
END = "<!-- bench:server:end -->"
NONE = "No results yet: `python -m bench server` makes some."
LEAST_ROWS = 100_000
"""Runs on fewer vectors stay out."""

Lines = Sequence[Mapping[str, Any]]


def block(folder: Path) -> str:
    """Return Markdown for the results of ``server`` in `folder`."""
    parts: list[str] = []
    heads: list[Mapping[str, Any]] = []
    for part in server_summary.COLUMNS:
        for path in sorted(folder.glob(f"server-{part}*.jsonl")):
            lines = records.read(path)
            if lines and (part == "bodies" or lines[0]["rows"] >= LEAST_ROWS):
                parts += [_intro(part, lines), "", *_table(part, lines), ""]
                heads.append(lines[0])
    return "\n".join([*parts, machine.origin(heads)]) if heads else NONE


def _table(part: str, lines: Lines) -> list[str]:
    columns = server_summary.COLUMNS[part]
    body = ["| " + " | ".join(row) + " |" for row in server_summary.rows(part, lines)]
    return ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|", *body]


def _intro(part: str, lines: Lines) -> str:
    head = lines[0]
    data = f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']})"
    cores = head["machine"]["cores"]
    if part == "load":
        return (
            f"Load: {data}, {lines[-1]['in_flight']} requests in flight over loopback, k {head['k']}, default recall; "
            f"server and driver share {cores} cores, and *cores* says how much of them each took. *Share*: of the "
            "throughput of the same collection without a server, asked in one batch on all cores that nobody else uses."
        )
    if part == "overload":
        return (
            f"Overload: {data}, twice as many requests as the server takes at once ({head['limit']}); *before* and "
            f"*after*: queries/s at {head['usual_in_flight']} in flight."
        )
    if part == "chroma":
        return (
            f"Beside Chroma's server ({head['chroma']}): {data}, the same driver and requests in turns; records "
            "go in by each one's own client."
        )
    return (
        f"Bodies: {head['rows']:,} x {head['dim']} float32, milliseconds that a client waits, its own "
        "writing or reading of the body included. *json*: written and read by orjson with no more digits than float32 "
        "has; *json, slow*: by Python's `json` from lists. *New*: into an empty collection, the making of its index "
        "included; *replaced*: the same records again; *skipped*: nothing is written, so the body is most of it."
    )
