"""Lines, table and targets of ``bench filters``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.filter_sets import ALL
from bench.summary import number
from bench.tenant_measure import TARGET, Case

RATIOS = {"50%": 2.0, "50% near": 2.0, "10%": 3.0, "10% near": 3.0}
"""Targets: p50 with a filter evaluated before, in multiples of the same without a filter."""


def lines(cases: Iterable[Case], n_rows: int, loads: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one line per case, with its relation to the same contender without a filter."""
    cases = list(cases)
    plain = {case.contender.name: case.p50_us for case in cases if case.work.of.label == ALL}
    out = []
    for case in cases:
        of, p50, own = case.work.of, case.p50_us, plain.get(case.contender.name)
        out.append(
            {
                "contender": case.contender.name,
                "class": of.label,
                "allowed": of.size,
                "share": of.size / n_rows,
                "near": of.label.endswith("near"),
                "filters": len(of.tenants),
                "class_queries": case.n_queries,
                "setting": case.setting.label,
                "tuning_recall": case.tuned,
                "reached": case.reached,
                "recall": case.recall,
                "strangers": case.strangers,
                "short": case.short,
                "full_share": 1 - case.short / case.n_queries,
                "p50_us": p50,
                "p99_us": case.p99_us,
                "ratio": p50 / own if own else None,
                **loads[case.contender.name],
            }
        )
    return out


def by_class(of_run: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group lines by class, in the order in which they were measured."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in of_run:
        groups.setdefault(line["class"], []).append(line)
    return groups


def text(of_run: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary of one run for people, and which targets are met."""
    columns = [
        "filter",
        "allowed",
        "contender",
        "setting",
        "recall",
        "k rows",
        "p50 us",
        "p99 us",
        "x own",
        "strangers",
    ]
    cells = [columns]
    for label, group in by_class(of_run).items():
        for line in group:
            cells.append(
                [
                    label,
                    f"{line['allowed']:,}",
                    line["contender"],
                    line["setting"],
                    f"{line['recall']:.4f}{'*' if line['reached'] is False else ' '}",
                    f"{line['full_share']:.1%}",
                    number(line["p50_us"], 1),
                    number(line["p99_us"], 1),
                    number(line["ratio"], 2),
                    str(line["strangers"]),
                ]
            )
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    legend = "x own: times the same contender without a filter; *: recall 0.95 is not reached with the largest effort"
    return "\n".join([*body, legend, *targets(of_run)])


def targets(of_run: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each target whether Ramet meets it."""
    out = []
    warm = [line for line in of_run if line["contender"].startswith("ramet-") and "(" not in line["contender"]]
    for name in dict.fromkeys(line["contender"] for line in warm):
        own = {line["class"]: line for line in warm if line["contender"] == name}
        filtered = [line for line in own.values() if line["class"] != ALL]
        if not filtered:
            continue
        worst = min(filtered, key=lambda line: line["recall"])
        noise = 2 * np.sqrt(0.05 * 0.95 / (10 * worst["class_queries"]))
        out.append(_said(name, f"recall {worst['recall']:.4f} at {worst['class']}", worst["recall"] >= TARGET - noise))
        short = sum(line["short"] for line in filtered)
        out.append(_said(name, f"{short} queries with fewer than k rows", short == 0))
        for label, limit in RATIOS.items():
            if label in own and own[label]["ratio"] is not None:
                ratio = own[label]["ratio"]
                out.append(
                    _said(name, f"{ratio:.2f} times the unfiltered query at {label} (<= {limit:g})", ratio <= limit)
                )
        falling = [own[label]["p50_us"] for label in ("1%", "0.1%", "0.01%") if label in own]
        shown = ", ".join(f"{p50:.1f}" for p50 in falling)
        out.append(_said(name, f"p50 falling below 1%: {shown} us", bool((np.diff(falling) < 0).all())))
    return out


def _said(name: str, what: str, met: bool) -> str:
    return f"  {'met   ' if met else 'MISSED'} {name}: {what}"
