"""Markdown for the top README: quality of text search, and ingest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine, records, text_summary

START = "<!-- bench:text:start -->"
END = "<!-- bench:text:end -->"
NONE = "No results yet: `python -m bench text` and `python -m bench ingest` make some."


def block(folder: Path) -> str:
    """Return Markdown for the results of ``text`` and ``ingest`` in `folder`."""
    quality = records.read(folder / "text.jsonl") if (folder / "text.jsonl").exists() else []
    ingest = [lines for path in sorted(folder.glob("ingest-*.jsonl")) if (lines := records.read(path))]
    parts = (_quality(quality) if quality else []) + (_ingest(ingest) if ingest else [])
    if not parts:
        return NONE
    return "\n".join([*parts, machine.origin([lines[0] for lines in ([quality] if quality else []) + ingest])])


def _quality(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    ours = [line for line in lines if line["contender"] == text_summary.OURS]
    sets = {line["dataset"]: line for line in ours}
    means = text_summary.means(lines)
    out = [
        f"nDCG@10 with {lines[0]['model']}, in brackets that of the reference (exact search over the same vectors; "
        "bm25s over the same words; both fused), and p50 of a single query in microseconds, without the "
        "embedding of the query.",
        "",
        "| method | " + " | ".join(f"{name} ({one['rows']:,})" for name, one in sets.items()) + " | mean nDCG@10 |",
        "|---" * (2 + len(sets)) + "|",
    ]
    for method in dict.fromkeys(line["method"] for line in ours):
        own = {line["dataset"]: line for line in ours if line["method"] == method}
        cells = [
            f"{own[name]['ndcg']:.3f} ({own[name]['reference_ndcg']:.3f}), {own[name]['p50_us']:.0f}" for name in sets
        ]
        out.append("| " + " | ".join([_named(method, lines[0]), *cells, f"{means[method]:.3f}"]) + " |")
    theirs = {line["dataset"]: line for line in lines if line["contender"] == "bm25s"}
    cells = [f"{theirs[name]['ndcg']:.3f}, {theirs[name]['p50_us']:.0f}" if name in theirs else "-" for name in sets]
    return [*out, "| " + " | ".join(["bm25s, keyword", *cells, "-"]) + " |", ""]


def _named(method: str, head: Mapping[str, Any]) -> str:
    if method.endswith("tuned"):
        return f"{method} on SciFact's other queries (alpha {head['tuned_alpha']:g})"
    return f"{method} (alpha {head['alpha']:g})" if method.endswith("weighted") else method


def _ingest(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    out = [
        "Documents into an empty collection, every call durable: records/s.",
        "",
        "| documents | contender | what | calls | records/s |",
        "|---|---|---|---|---|",
    ]
    for lines in runs:
        for line in lines:
            cells = [f"{line['dataset']} ({line['rows']:,})", line["contender"], line["what"], line["calls"]]
            out.append("| " + " | ".join([*cells, f"{line['records_per_s']:,.0f}"]) + " |")
    return [*out, ""]
