"""Markdown for the top README: queries with filters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import filter_summary, machine, records

START = "<!-- bench:filters:start -->"
END = "<!-- bench:filters:end -->"
NONE = "No results yet: `python -m bench filters` makes some."


def block(folder: Path) -> str:
    """Return Markdown for all results of ``filters`` on whole data sets in `folder`."""
    runs = [lines for path in sorted(folder.glob("filters-*.jsonl")) if (lines := records.read(path))]
    whole = [lines for lines in runs if lines[0]["full"]]
    if not whole:
        return NONE
    parts = [part for lines in whole for part in _table(lines)]
    return "\n".join([*parts, machine.origin([lines[0] for lines in whole])])


def _table(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = list(dict.fromkeys(line["contender"] for line in lines))
    head = lines[0]
    out = [
        f"{head['dataset']} ({head['rows']:,} x {head['dim']}, {head['metric']}): single query with a filter, p50 in "
        "microseconds, then recall@10 among the records that the filter allows, and the share of queries that got 10 "
        "records where that is not all of them. Ramet is asked for its default recall of 0.95; others got the smallest "
        "effort that reaches it on separate queries, up to a cap. *New filter*: nothing is known of the filter when a "
        "query comes. *Near*: the filter allows what is near a pivot, the queries come from anywhere. The filters of "
        "faiss and hnswlib are bitmaps made before the clock starts, and hnswlib's is a Python function that it calls "
        "for every record.",
        "",
        "| the filter allows | " + " | ".join(titles) + " |",
        "|---" * (1 + len(titles)) + "|",
    ]
    for label, group in filter_summary.by_class(lines).items():
        own = {line["contender"]: line for line in group}
        out.append("| " + " | ".join([label, *(_cell(own.get(title)) for title in titles)]) + " |")
    return [*out, ""]


def _cell(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return "-"
    missed = "" if line["reached"] is not False else ", cap"
    short = "" if line["full_share"] == 1 else f", {line['full_share']:.0%} full"
    return f"{line['p50_us']:,.0f}, {line['recall']:.3f}{missed}{short}"
