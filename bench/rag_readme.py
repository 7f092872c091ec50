"""Markdown for the top README: selection under a budget."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine, rag_summary, records
from bench.rag_summary import line_of, targets
from bench.summary import number

START = "<!-- bench:rag:start -->"
END = "<!-- bench:rag:end -->"
NONE = "No results yet: `python -m bench rag` makes some."
BUDGETS = (256, 512, 1024)


def block(folder: Path) -> str:
    """Return Markdown for the results of ``rag`` in `folder`."""
    path = folder / "rag.jsonl"
    lines = records.read(path) if path.exists() else []
    if not lines:
        return NONE
    head = lines[0]
    out = [
        f"Evidence recall / all gold in / evidence F1 at a budget (mean tokens used in brackets), on questions of the "
        f"test half, {head['candidates']} candidates each, {head['model']}, budgets in tokens of {head['reader']} for "
        "chunks as rendered. *Tuned*: parameters of a baseline chosen on the train half.",
        "",
    ]
    for name in rag_summary.sets(lines):
        out += _table(name, rag_summary.of(lines, name))
    out += ["```text", *(target.rstrip() for target in targets(lines)), "```", ""]
    readers = records.read(folder / "rag-reader.jsonl") if (folder / "rag-reader.jsonl").exists() else []
    return "\n".join([*out, *_readers(readers), machine.origin([head, *readers[:1]])])


def _table(name: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = [budget for budget in BUDGETS if budget in rag_summary.budgets(lines)]
    out = [
        f"| {name} ({lines[0]['n_queries']} questions) | " + " | ".join(map(str, shown)) + " | ms |",
        "|---" * (2 + len(shown)) + "|",
    ]
    for contender in dict.fromkeys(line["contender"] for line in lines):
        own = [line_of(lines, contender, budget) for budget in shown]
        cells = [f"{one['recall']:.3f} / {one['all_gold']:.3f} / {one['f1']:.3f} ({one['tokens']:.0f})" for one in own]
        out.append("| " + " | ".join([contender, *cells, f"{max(one['ms'] for one in own):.1f}"]) + " |")
    return [*out, ""]


def _readers(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    if not lines:
        return []
    out = [
        f"Answers of {lines[0]['llm']} (few-shot completion, {lines[0]['n_queries']} questions of each set): EM / F1.",
        "",
        "| set | budget | contender | EM / F1 | answer in context | prompt tokens |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        cells = [line["dataset"], str(line["budget"]), line["contender"], f"{line['em']:.3f} / {line['answer_f1']:.3f}"]
        cells += [number(line["in_context"], 3), f"{line['prompt_tokens']:.0f}"]
        out.append("| " + " | ".join(cells) + " |")
    return [*out, ""]
