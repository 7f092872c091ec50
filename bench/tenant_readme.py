"""Markdown for the top README: queries of tenants by size, and what a tenant costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine, records, tenant_summary

START = "<!-- bench:tenants:start -->"
END = "<!-- bench:tenants:end -->"
NONE = "No results yet: `python -m bench tenants` makes some."
SPACE = "tenants-space-"


def block(folder: Path) -> str:
    """Return Markdown for all results of ``tenants`` on whole data sets in `folder`: latency, then space."""
    files = sorted(folder.glob("tenants-*.jsonl"))
    speed = _whole(path for path in files if not path.name.startswith(SPACE))
    space = _whole(path for path in files if path.name.startswith(SPACE))
    parts = (_speed(speed) if speed else []) + (_space(space) if space else [])
    if not parts:
        return NONE
    return "\n".join([*parts, "", machine.origin([lines[0] for lines in speed + space])])


def _whole(files: Any) -> list[list[dict[str, Any]]]:
    return [lines for path in files if (lines := records.read(path)) and lines[0]["full"]]


def _speed(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    titles = list(dict.fromkeys(tenant_summary.title_of(line) for lines in runs for line in lines))
    out = [
        "Single query of a tenant, p50 in microseconds, all cached, every query by another tenant of about that size; "
        f"in brackets times {tenant_summary.YARDSTICK}, then recall@10 within the tenant. Ramet is asked for its "
        "default recall of 0.95; (tuned) and all others got the smallest effort that reaches it on separate queries, "
        "up to a cap.",
        "",
        "| data set | records of the tenant | " + " | ".join(titles) + " |",
        "|---" * (2 + len(titles)) + "|",
    ]
    for lines in runs:
        for label, group in tenant_summary.by_class(lines).items():
            own = {tenant_summary.title_of(line): line for line in group}
            cells = [_name(lines[0]), label, *(_cell(own.get(title)) for title in titles)]
            out.append("| " + " | ".join(cells) + " |")
    return [*out, ""]


def _cell(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return "-"
    ratio = "" if line["ratio"] is None else f" ({line['ratio']:.2f})"
    missed = "" if line["reached"] is not False else ", cap"
    return f"{line['p50_us']:.0f}{ratio}, {line['recall']:.3f}{missed}"


def _name(head: Mapping[str, Any]) -> str:
    order = ", 50 in a row" if head["sticky"] else ""
    return f"{head['dataset']}, {head['n_tenants']:,} tenants, {head['membership']}{order}"


def _space(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    out = [
        "What the tenants cost beside the same records in one tenant. Memory is anonymous memory after 1,000 queries "
        "of tenants drawn by size or evenly, as a multiple of the one tenant's; the other figures are per tenant, "
        "memory and files of tenants that nobody has asked yet.",
        "",
        "| data set | contender | memory, by size | memory, evenly | idle memory (KB) | open files | disk (KB) |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in (line for lines in runs for line in lines):
        cells = [_name(line), line["contender"], f"{line['weighted_ratio']:.2f}", f"{line['uniform_ratio']:.2f}"]
        cells += [f"{line['idle_kb']:.2f}", f"{line['idle_files']:g}", f"{line['disk_kb']:.2f}"]
        out.append("| " + " | ".join(cells) + " |")
    return out
