"""Table and targets of ``bench rag``. What is called the best of ours was chosen on train, and is judged on test."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.rag_runs import BASELINES, FIXED, HALF_OF, OURS, TUNED
from bench.rag_texts import MULTI_HOP
from bench.summary import number

Line = Mapping[str, Any]
Lines = Sequence[Line]

AUTO_WITHIN = 0.01
ENOUGH_SETS, ENOUGH_BUDGETS = 2, 2
ALL_GOLD_AT = 512
ALL_GOLD = {"hotpotqa": 1.25, "musique": 1.5}
"""Target: all-gold recall at `ALL_GOLD_AT`, in times that of `topk`."""
MCTS_MS = 50.0
COLUMNS = ("recall", "all_gold", "precision", "f1", "in_context")


def sets(of_run: Lines) -> list[str]:
    """Names of the sets, as measured."""
    return list(dict.fromkeys(line["dataset"] for line in of_run))


def of(of_run: Lines, name: str, *, half: bool = False) -> list[Line]:
    """The lines of one set."""
    return [line for line in of_run if line["dataset"] == name and line["half"] == half]


def line_of(lines: Lines, contender: str, budget: int) -> Line:
    """The line of a contender under a budget."""
    return next(line for line in lines if line["contender"] == contender and line["budget"] == budget)


def budgets(lines: Lines) -> list[int]:
    """The budgets, as measured."""
    return list(dict.fromkeys(line["budget"] for line in lines))


def best_of_ours(lines: Lines, measure: str) -> str:
    """The one of ours with the best mean over budgets on train."""
    names = [name for name in OURS if any(line["contender"] == name for line in lines)]

    def quality(name: str) -> float:
        return sum(line["train"][measure] for line in lines if line["contender"] == name)

    return max(names, key=quality)


def text(of_run: Lines) -> str:
    """Return the summary for people."""
    out: list[str] = []
    for name in sets(of_run):
        lines = of(of_run, name)
        pool = lines[0]["pool"]
        out += ["", f"{name}: {lines[0]['n_queries']} questions; in the candidates: recall {pool['recall']:.3f}, all"]
        out[-1] += f" gold {pool['all_gold']:.3f}; tuned on train: {lines[0]['tuned']}"
        out += _aligned([["budget", "contender", *COLUMNS, "tokens", "ms"], *(_cells(line) for line in lines)])
        out += _aligned([["budget", "ours less", "F1, same budget", "recall, tokens used", "with >= as many"]])
        out += _aligned([row for line in lines if line["ours"] for row in _differences(line)])
    return "\n".join([*out, "", *targets(of_run)])


def _cells(line: Line) -> list[str]:
    values = [number(line[name], 3) for name in COLUMNS]
    return [str(line["budget"]), line["contender"], *values, f"{line['tokens']:.0f}", f"{line['ms']:.2f}"]


def _differences(line: Line) -> list[list[str]]:
    return [
        [
            str(line["budget"]),
            f"{line['contender']} - {name}",
            *(interval(found[m]) for m in ("f1", "recall", "recall_up")),
        ]
        for name, found in line["against"].items()
    ]


def interval(difference: Sequence[float]) -> str:
    """A difference with its interval."""
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*difference)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))] if cells else []
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def targets(of_run: Lines) -> list[str]:
    """Say of each target whether it is met."""
    return [
        *_both_comparisons(of_run),
        *_auto(of_run),
        *_half_the_tokens(of_run),
        *_all_gold(of_run),
        *_latency(of_run),
    ]


def _said(what: str, met: bool) -> str:
    return f"  {'met   ' if met else 'MISSED'} {what}"


def wins(line: Line, measure: str) -> bool:
    """Whether the interval of the difference is above zero against every baseline."""
    return all(line["against"][name][measure][1] > 0.0 for name in BASELINES)


def won(lines: Lines, name: str) -> dict[str, list[int]]:
    """Budgets at which one of ours wins, by comparison; ``both``: those at which it wins both."""
    own = [line for line in lines if line["contender"] == name]
    out = {
        measure: [line["budget"] for line in own if wins(line, measure)] for measure in ("f1", "recall", "recall_up")
    }
    return out | {"both": [budget for budget in out["f1"] if budget in out["recall"]]}


def _both_comparisons(of_run: Lines) -> list[str]:
    out, enough = [], 0
    for name in [one for one in sets(of_run) if one in MULTI_HOP]:
        lines = of(of_run, name)
        ours = best_of_ours(lines, "f1")
        found = won(lines, ours)
        enough += len(found["f1"]) >= ENOUGH_BUDGETS and len(found["recall"]) >= ENOUGH_BUDGETS
        out.append(
            f"         {name}, {ours}: F1 at equal budget won at {found['f1']}, recall at equal tokens at "
            f"{found['recall']} (with at least as many tokens for the baseline: {found['recall_up']})"
        )
    what = f"best of ours wins both comparisons against {', '.join(BASELINES)} on {enough} multi-hop sets"
    what += f", at least {ENOUGH_SETS}"
    return [_said(what, enough >= ENOUGH_SETS), *out]


def _auto(of_run: Lines) -> list[str]:
    out = []
    for name in sets(of_run):
        lines = of(of_run, name)
        if all(line["contender"] != "auto" for line in lines):
            continue
        tuned = {line["contender"] for line in lines if line["contender"].endswith(TUNED)}
        fixed = (*FIXED, *sorted(tuned))
        means = {
            one: sum(line["f1"] for line in lines if line["contender"] == one) / len(budgets(lines))
            for one in (*fixed, "auto")
        }
        best = max(fixed, key=lambda one: means[one])
        what = f"{name}: F1 of auto {means['auto']:.3f}, of the best fixed strategy ({best}) {means[best]:.3f}, "
        out.append(_said(f"{what}at most {AUTO_WITHIN:g} below", means["auto"] >= means[best] - AUTO_WITHIN))
    return out


def _half_the_tokens(of_run: Lines) -> list[str]:
    out, enough = [], 0
    for name in [one for one in sets(of_run) if one in MULTI_HOP]:
        halves = of(of_run, name, half=True)
        if not halves:
            continue
        topk = line_of(of(of_run, name), "topk", HALF_OF)
        ours = max(halves, key=lambda line: line["train"]["recall"])
        met = all(ours[measure] >= topk[measure] for measure in ("recall", "in_context") if topk[measure] is not None)
        enough += met and ours["tokens"] <= 0.5 * topk["tokens"]
        out.append(
            f"         {name}, {ours['contender']}: recall {ours['recall']:.3f} ({topk['recall']:.3f}), answer in "
            f"context {number(ours['in_context'], 3)} ({number(topk['in_context'], 3)}), "
            f"tokens {ours['tokens']:.0f} ({topk['tokens']:.0f})"
        )
    what = f"recall and answer in context of topk at {HALF_OF} with half of its tokens on {enough} multi-hop sets"
    return [_said(f"{what}, at least {ENOUGH_SETS}", enough >= ENOUGH_SETS), *out] if out else []


def _all_gold(of_run: Lines) -> list[str]:
    out = []
    for name, factor in ALL_GOLD.items():
        lines = [line for line in of(of_run, name) if line["budget"] == ALL_GOLD_AT]
        if not lines:
            continue
        ours = line_of(lines, best_of_ours(lines, "all_gold"), ALL_GOLD_AT)
        topk = line_of(lines, "topk", ALL_GOLD_AT)
        ratio = ours["all_gold"] / topk["all_gold"] if topk["all_gold"] else float("inf")
        what = (
            f"{name}: all gold at {ALL_GOLD_AT} {ours['all_gold']:.3f} ({ours['contender']}), {ratio:.2f} times that of"
        )
        out.append(_said(f"{what} topk ({topk['all_gold']:.3f}), at least {factor:g}", ratio >= factor))
    return out


def _latency(of_run: Lines) -> list[str]:
    slow = [line for line in of_run if line["contender"] == "mcts" and not line["half"]]
    if not slow:
        return []
    worst = max(slow, key=lambda line: line["ms"])
    what = f"mcts {worst['ms']:.1f} ms a question at most ({worst['dataset']}, {worst['budget']} tokens; p99"
    return [_said(f"{what} {worst['p99_ms']:.1f}), at most {MCTS_MS:g}", worst["ms"] <= MCTS_MS)]
