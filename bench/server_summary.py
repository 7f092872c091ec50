"""Tables and targets of ``bench server``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.summary import number

Lines = Sequence[Mapping[str, Any]]

SHARE = 0.5
"""Of the throughput of the embedded batch."""
SPREAD = 5.0
"""p99 in multiples of p50, at most."""
RECOVERED = 0.9
"""Of the rate before an overload: two turns of the same load differ by a few per cent."""
INGEST, QUERIES, BODIES = 3.0, 5.0, 5.0
"""Times Chroma's records/s and queries/s; times faster than JSON."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "load": (
        "asked", "queries/s", "share", "p50 us", "p99 us", "p99/p50", "errors", "recall", "server cores",
        "driver cores", "queries/cpu s",
    ),
    "overload": (
        "clients", "200", "503", "429", "other", "queries/s", "p50 us", "p99 us", "before", "after", "1st second after",
    ),
    "chroma": ("contender", "what", "per s", "p50 us", "p99 us", "errors", "recall", "server cpu us each"),
    "bodies": ("call", "form", "ms", "of it client", "server cpu ms", "MB", "x binary"),
}  # fmt: skip


def text(part: str, lines: Lines) -> str:
    """Return the table of one part for people, and which targets are met."""
    cells = [list(COLUMNS[part]), *rows(part, lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*body, *targets(part, lines)])


def rows(part: str, lines: Lines) -> list[list[str]]:
    """Return the cells of one part."""
    make: dict[str, Callable[[Mapping[str, Any], Lines], list[str]]] = {
        "load": _load,
        "overload": _overload,
        "chroma": _chroma,
        "bodies": _bodies,
    }
    return [make[part](line, lines) for line in lines]


def _load(line: Mapping[str, Any], lines: Lines) -> list[str]:
    if "share" not in line:
        rest = [number(line["recall"], 4), "-", "-", _whole(line["queries_per_cpu_s"])]
        return [f"embedded, {line['form']}", _whole(line["qps"]), "1", "-", "-", "-", "-", *rest]
    return [
        line["form"], _whole(line["qps"]), number(line["share"], 2), _whole(line["p50_us"]), _whole(line["p99_us"]),
        number(line["p99_over_p50"], 1), str(line["errors"]), number(line["recall"], 4),
        number(line["server_cores"], 2), number(line["driver_cores"], 2), _whole(line["queries_per_server_cpu_s"]),
    ]  # fmt: skip


def _overload(line: Mapping[str, Any], lines: Lines) -> list[str]:
    counts = [f"{line[name]:,}" for name in ("answered", "refused_503", "refused_429", "other")]
    rates = [_whole(line[name]) for name in ("qps", "p50_us", "p99_us", "qps_before", "qps_after")]
    return [f"{line['in_flight']} {line['clients']}", *counts, *rates, _whole(line["first_second_after"])]


def _chroma(line: Mapping[str, Any], lines: Lines) -> list[str]:
    if line["kind"] == "ingest":
        each = 1e6 * line["server_cpu_s"] / line["records"]
        what = f"records, {line['size']:,} a call"
        return [line["contender"], what, _whole(line["records_per_s"]), "-", "-", "-", "-", number(each, 1)]
    per_cpu = line["queries_per_server_cpu_s"]
    beside = f", beside {line['beside']}" if line["contender"] == "ramet" else ""
    return [
        line["contender"], f"queries, {line['setting']}{beside}", _whole(line["qps"]), _whole(line["p50_us"]),
        _whole(line["p99_us"]), str(line["errors"]), number(line["recall"], 4),
        number(1e6 / per_cpu if per_cpu else None, 1),
    ]  # fmt: skip


def _bodies(line: Mapping[str, Any], lines: Lines) -> list[str]:
    return [
        line["call"], line["form"], number(1e3 * line["seconds"], 2), number(1e3 * line["client_s"], 2),
        number(1e3 * line["server_cpu_s"], 2), number(line["bytes"] / 1e6, 2), number(_times(line, lines), 2),
    ]  # fmt: skip


def _times(line: Mapping[str, Any], lines: Lines) -> float:
    """How many times as long a call takes as its binary form."""
    binary = next(one for one in lines if one["call"] == line["call"] and one["form"] == "binary")
    return float(line["seconds"] / binary["seconds"])


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def targets(part: str, lines: Lines) -> list[str]:
    """Say of each target of one part whether it is met."""
    of: dict[str, Callable[[Lines], list[str]]] = {
        "load": _load_targets,
        "overload": _overload_targets,
        "chroma": _chroma_targets,
        "bodies": _bodies_targets,
    }
    return of[part](lines)


def _load_targets(lines: Lines) -> list[str]:
    out = []
    for line in lines:
        if "share" not in line:
            continue
        name = line["form"]
        out.append(_said(f"{name}: {line['share']:.0%} of the embedded batch (>= {SHARE:.0%})", line["share"] >= SHARE))
        spread = line["p99_over_p50"]
        out.append(_said(f"{name}: p99 is {spread:.1f} times p50 (<= {SPREAD:g})", spread <= SPREAD))
        out.append(_said(f"{name}: {line['errors']} errors in {line['seconds']:.0f} s", line["errors"] == 0))
    return out


def _overload_targets(lines: Lines) -> list[str]:
    out = []
    for line in lines:
        name = f"{line['in_flight']} {line['clients']}"
        refused = line["refused_503"] + line["refused_429"]
        shed = refused > 0 and line["other"] == 0
        out.append(_said(f"{name}: {refused:,} refused with 503 or 429, {line['other']} other errors", shed))
        well = line["recovered"] is not None and line["recovered"] >= RECOVERED and line["errors_around"] == 0
        back = f"{name}: afterwards {line['recovered'] or 0:.0%} of the rate before (>= {RECOVERED:.0%})"
        out.append(_said(f"{back}, {line['errors_around']} errors", well))
    return out


def _chroma_targets(lines: Lines) -> list[str]:
    out = []
    rates = {line["contender"]: line["records_per_s"] for line in lines if line["kind"] == "ingest"}
    if len(rates) > 1:
        times = rates["ramet"] / rates["chroma"]
        out.append(_said(f"ingest: {times:.1f} times Chroma's records/s (>= {INGEST:g})", times >= INGEST))
    asked = [line for line in lines if line["kind"] == "queries"]
    for ours, theirs in zip(asked[::2], asked[1::2], strict=True):
        times = ours["qps"] / theirs["qps"]
        what = f"queries, {theirs['setting']}: {times:.1f} times Chroma's (>= {QUERIES:g})"
        recalls = f"recall {number(ours['recall'], 4)} and {number(theirs['recall'], 4)}"
        equal = ours["recall"] is not None and theirs["recall"] is not None and ours["recall"] >= theirs["recall"]
        out.append(_said(f"{what}, {recalls}", times >= QUERIES and equal))
    return out


def _bodies_targets(lines: Lines) -> list[str]:
    out = []
    for line in lines:
        if line["form"] != "binary":
            times = _times(line, lines)
            what = f"{line['call']}: binary is {times:.1f} times faster than {line['form']} (>= {BODIES:g})"
            out.append(_said(what, times >= BODIES))
    return out


def _said(what: str, met: bool) -> str:
    return f"  {'met   ' if met else 'MISSED'} {what}"
