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


RUNS = {
    "rag-widened.jsonl": "as `ramet.Rag` finds them, second hop included",
    "rag.jsonl": "the nearest ones by exact search, no second hop",
}
"""File of results -> what the candidates are."""
SHOWN = ("topk", "mmr", "adaptive_k", "adagres", "greedy", "beam", "mcts", "auto", "greedy, tuned", "beam, tuned")


def block(folder: Path) -> str:
    """Return Markdown for the results of ``rag`` in `folder`."""
    runs = {name: records.read(folder / name) for name in RUNS if (folder / name).exists()}
    if not runs:
        return NONE
    head = next(iter(runs.values()))[0]
    out = [
        "Evidence recall / all gold in / evidence F1 at a budget (mean tokens used in brackets), on questions of the "
        f"test half, the same candidates for every strategy, {head['model']}, budgets in tokens of {head['reader']} "
        "for chunks as rendered; in the last column the longest mean time. *Tuned*: price chosen on the train half.",
        "",
    ]
    for name, lines in runs.items():
        out += [f"**Candidates: {RUNS[name]}**", ""]
        for one in rag_summary.sets(lines):
            out += _table(one, rag_summary.of(lines, one))
        out += ["```text", *(target.rstrip() for target in targets(lines)), "```", ""]
    readers = records.read(folder / "rag-reader.jsonl") if (folder / "rag-reader.jsonl").exists() else []
    crossed = records.read(folder / "rag-cross.jsonl") if (folder / "rag-cross.jsonl").exists() else []
    heads = [line for lines in (*runs.values(), readers, crossed) for line in lines]
    return "\n".join([*out, *_crossed(crossed), *_readers(readers), machine.origin(heads)])


def _crossed(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    if not lines:
        return []
    out = [
        f"With a cross-encoder ({lines[0]['model']}) as utility, budget {lines[0]['budget']}: F1, its difference from "
        "the beam's with its 95 % interval, passes of the model, seconds a question.",
        "",
        "| set | contender | F1 | less the beam's | passes | at most | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        mean, low, high = one["f1_less_beam"]
        cells = [f"{one['dataset']} ({one['n_queries']} questions)", one["contender"], f"{one['f1']:.3f}"]
        cells += [f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", f"{one['passes']:.0f}", f"{one['most_passes']:.0f}"]
        out.append("| " + " | ".join([*cells, f"{one['ms'] / 1e3:.2f}"]) + " |")
    return [*out, ""]


def _table(name: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = [budget for budget in BUDGETS if budget in rag_summary.budgets(lines)]
    out = [
        f"| {name} ({lines[0]['n_queries']} questions) | " + " | ".join(map(str, shown)) + " | ms |",
        "|---" * (2 + len(shown)) + "|",
    ]
    there = {line["contender"] for line in lines}
    for contender in (name for name in SHOWN if name in there):
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
