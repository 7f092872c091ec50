"""The page of a job's report: one HTML file with tables and drawn plots, which needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg text{font:12px system-ui,sans-serif;fill:#444}code{font-size:.9em}
"""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 240, 56, 34, 16


def page_of(report: dict[str, Any]) -> str:
    """The page of a report, as `JobReport.to_dict` gives it."""
    name = Path(report["collection"]).name
    parts = [
        f"<h1>Build of {escape(name)}</h1>",
        f"<p>{_sentence(report)}</p>",
        "<h2>Time and memory</h2>",
        _table(
            ["stage", "seconds", "records", "records/s", "peak memory, MB"],
            [_stage_row(one) for one in report["stages"]],
        ),
        "<h2>Recall on held-out records</h2>",
        _recall(report),
        "<h2>Rows of posting lists, copies included</h2>",
        _bars(report["lengths"]),
        _table(["", ""], _shape(report)),
        "<h2>Inputs</h2>",
        _table(
            ["file", "format", "rows", "MB"],
            [
                [one["path"], one["format"], _count(one["rows"]), f"{one['bytes'] / 1e6:,.1f}"]
                for one in report["inputs"]
            ],
        ),
        "<h2>Not taken</h2>",
        _rejects(report),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Build of {escape(name)}</title>"
    return f"{head}<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"


def _count(n: int | None) -> str:
    return "not said" if n is None else f"{n:,}"


def _sentence(report: dict[str, Any]) -> str:
    settings = report["settings"]
    return (
        f"{report['n_records']:,} records of {settings['dim']} dimensions ({escape(settings['dtype'])}, "
        f"{escape(settings['metric'])}) from {report['n_input']:,} rows of {len(report['inputs']):,} inputs, of "
        f"{report['n_tenants']:,} tenants; {report['n_rejected']:,} were not taken. {report['seconds']:,.1f} seconds, "
        f"at most {report['peak_bytes'] / 1e6:,.0f} MB of memory, {report['n_bytes'] / 1e6:,.1f} MB on disk."
    )


def _stage_row(one: dict[str, Any]) -> list[str]:
    rate = one["records"] / one["seconds"] if one["seconds"] and one["records"] > 1 else 0
    return [
        one["stage"], f"{one['seconds']:,.2f}", f"{one['records']:,}" if rate else "", f"{rate:,.0f}" if rate else "",
        f"{one['peak_bytes'] / 1e6:,.0f}",
    ]  # fmt: skip


def _shape(report: dict[str, Any]) -> list[list[str]]:
    return [
        ["shards", _shards(report)],
        ["posting lists", f"{report['n_lists']:,}"],
        ["cells of the tree", f"{report['n_cells']:,} on {report['depth']:,} levels"],
        ["lists that hold a record, on average", f"{report['n_replicas']:.2f}"],
    ]


def _shards(report: dict[str, Any]) -> str:
    asked, found = report["shards_asked"], report["n_shards"]
    return f"{found:,}" if asked in (None, found) else f"{found:,} of {asked:,}: there are not enough cells for more"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = ["" if i == 0 or (not one[:1].isdigit() and tag == "td") else " class=n" for i, one in enumerate(row)]
        return "".join(f"<{tag}{kind}>{escape(one)}</{tag}>" for kind, one in zip(kinds, row, strict=True))

    head = f"<tr>{cells(headings, 'th')}</tr>" if any(headings) else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _rejects(report: dict[str, Any]) -> str:
    if not report["n_rejected"]:
        return "<p>Everything was taken.</p>"
    reasons = _table(["reason", "records"], [[reason, f"{n:,}"] for reason, n in report["reasons"].items()])
    named = report["rejected"][:100]
    rows = [[one["file"], f"{one['row']:,}", one["reason"], one["detail"]] for one in named]
    return f"{reasons}<p>The first {len(named):,}:</p>{_table(['file', 'row', 'reason', 'detail'], rows)}"


def _frame(inside: str, labels: str) -> str:
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img"><g stroke="#bbb"><line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" '
        f'x2="{WIDTH - 8}" y2="{HEIGHT - BOTTOM}"/></g>{inside}{labels}</svg>'
    )


def _bars(histogram: Sequence[tuple[int, int]]) -> str:
    """Lists by length."""
    most, step = max((n for _, n in histogram), default=1) or 1, (WIDTH - LEFT - 8) / max(1, len(histogram))
    bars, labels = [], [f'<text x="{LEFT}" y="12">lists</text>']
    for i, (least, n) in enumerate(histogram):
        tall = (HEIGHT - BOTTOM - TOP - 14) * n / most
        x, y = LEFT + i * step, HEIGHT - BOTTOM - tall
        bars.append(f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{step - 4:.1f}" height="{tall:.1f}" fill="#4a78b0"/>')
        labels.append(f'<text x="{x + step / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle">{n:,}</text>')
        labels.append(
            f'<text x="{x + step / 2:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">from {least:,}</text>'
        )
    return _frame("".join(bars), "".join(labels))


def _recall(report: dict[str, Any]) -> str:
    curve = report["curve"]
    if not curve:
        return (
            "<p>Not measured here: of several tenants each has a curve of its own, and small collections read all.</p>"
        )
    probes = sorted({p for _, p, _ in curve})
    places = {p: LEFT + 20 + i * (WIDTH - LEFT - 120) / max(1, len(probes) - 1) for i, p in enumerate(probes)}
    low = min(r for _, _, r in curve)
    scale = (HEIGHT - BOTTOM - TOP) / max(1e-9, 1 - low)
    inside, labels = [], []
    for k, colour in zip(sorted({k for k, _, _ in curve}), ("#4a78b0", "#b0684a"), strict=False):
        points = [(places[p], TOP + (1 - r) * scale) for kk, p, r in curve if kk == k]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        inside.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        labels.append(f'<text x="{points[-1][0] + 6:.1f}" y="{points[-1][1] + 4:.1f}">recall@{k}</text>')
    for recall in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        if recall >= low:
            y = TOP + (1 - recall) * scale
            inside.append(f'<line x1="{LEFT}" x2="{WIDTH - 90}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>')
            labels.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{recall:g}</text>')
    labels += [
        f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{p:,}</text>' for p, x in places.items()
    ]
    labels.append(f'<text x="{WIDTH - 90}" y="{HEIGHT - 4}" text-anchor="end">posting lists read</text>')
    return _frame("".join(inside), "".join(labels)) + (
        f"<p>A query reads {report['nprobe']:,} posting lists by default (recall@10 0.95).</p>"
    )
