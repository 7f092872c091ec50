"""Lines, table and targets of ``bench text``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.summary import number
from bench.text_measure import Case

TOLERANCE = 0.01
"""Target: largest difference of Ramet's nDCG@10 from its reference."""
OURS = "ramet"
MEAN = "mean"


def lines(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return one line per case of a set; Ramet's say what the reference of the same mode has."""
    reference = {case.mode: case.ndcg for case in cases if case.contender == "reference"}
    out = []
    for case in cases:
        theirs = reference[case.mode.split(" (")[0]] if case.contender == OURS else None
        out.append(
            {
                "contender": case.contender,
                "method": case.mode,
                "ndcg": case.ndcg,
                "reference_ndcg": theirs,
                "difference": None if theirs is None else case.ndcg - theirs,
                "p50_us": float(np.median(case.p50_ns)) / 1e3 if case.p50_ns else None,
                "p99_us": float(np.median(case.p99_ns)) / 1e3 if case.p99_ns else None,
            }
        )
    return out


def text(of_run: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary for people, and which targets are met."""
    columns = ["set", "contender", "method", "nDCG@10", "reference", "difference", "p50 us", "p99 us"]
    cells = [columns]
    for line in of_run:
        difference = "-" if line["difference"] is None else f"{line['difference']:+.4f}"
        cells.append([line["dataset"], line["contender"], line["method"], f"{line['ndcg']:.4f}"])
        cells[-1] += [number(line["reference_ndcg"], 4), difference, number(line["p50_us"], 0)]
        cells[-1].append(number(line["p99_us"], 0))
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([*body, *targets(of_run)])


def means(of_run: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean nDCG of each of Ramet's methods over the sets; ``better`` is the mean of the better of dense and keyword."""
    ours = [line for line in of_run if line["contender"] == OURS]
    out = {
        method: float(np.mean([line["ndcg"] for line in ours if line["method"] == method]))
        for method in dict.fromkeys(line["method"] for line in ours)
    }
    sets = dict.fromkeys(line["dataset"] for line in ours)
    single = [
        max(line["ndcg"] for line in ours if line["dataset"] == name and line["method"] in ("dense", "keyword"))
        for name in sets
    ]
    return out | {"better": float(np.mean(single))}


def targets(of_run: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each target whether it is met."""
    ours = [line for line in of_run if line["contender"] == OURS]
    worst = max((line for line in ours if "(" not in line["method"]), key=lambda line: abs(line["difference"]))
    said = f"largest difference from the reference {worst['difference']:+.4f} ({worst['dataset']}, {worst['method']})"
    out = [_said(f"{said}, at most {TOLERANCE:g}", abs(worst["difference"]) <= TOLERANCE)]
    of_method = means(of_run)
    for method in of_method:
        if method.startswith("hybrid"):
            better = f"the better of dense and keyword {of_method['better']:.4f}"
            said = f"{method} {of_method[method]:.4f} on average, {better}"
            out.append(_said(said, of_method[method] >= of_method["better"]))
    return out


def _said(what: str, met: bool) -> str:
    return f"  {'met   ' if met else 'MISSED'} {what}"
