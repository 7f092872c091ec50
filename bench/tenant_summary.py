"""Lines and tables of ``bench tenants``: what a query inside a tenant costs beside a graph of that tenant alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.summary import number
from bench.tenancy import Tenancy
from bench.tenant_measure import Case

YARDSTICK = "hnswlib-per-tenant"
SPACE_TARGETS = {
    "weighted_ratio": 1.2,
    "uniform_ratio": 1.2,
    "weighted_over_runtime_ratio": 1.2,
    "uniform_over_runtime_ratio": 1.2,
    "idle_kb": 1.0,
    "idle_files": 0.0,
    "disk_kb": 8.0,
}


def lines(cases: Iterable[Case], tenancy: Tenancy, loads: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one line per case, with its relation to the yardstick and to Ramet as it comes in the same class."""
    out = []
    cases = list(cases)
    yardstick = {case.work.of.label: case.p50_us for case in cases if case.contender.name == YARDSTICK}
    ours = {case.work.of.label: case.p50_us for case in reversed(cases) if case.tuned is None}  # the first code
    for case in cases:
        of = case.work.of
        plan = case.work.plan.first(case.n_queries)
        own = tenancy.sizes[of.tenants]
        p50, theirs, default = case.p50_us, yardstick.get(of.label), ours.get(of.label)
        out.append(
            {
                "contender": case.contender.name,
                "class": of.label,
                "class_size": of.size,
                "class_smallest": int(own.min()),
                "class_largest": int(own.max()),
                "class_tenants": len(np.unique(plan.tenants)),
                "class_queries": case.n_queries,
                "setting": case.setting.label,
                "tuned": case.tuned is not None,
                "tuning_recall": case.tuned,
                "reached": case.reached,
                "recall": case.recall,
                "strangers": case.strangers,
                "p50_us": p50,
                "p99_us": case.p99_us,
                "ratio": p50 / theirs if theirs else None,
                "extra_us": p50 - theirs if theirs else None,
                "of_ramet": p50 / default if default else None,
                **loads[case.contender.name],
            }
        )
    return out


def by_class(of_run: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group lines by size class, classes by size."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in sorted(of_run, key=lambda line: line["class_size"]):
        groups.setdefault(line["class"], []).append(line)
    return groups


def title_of(line: Mapping[str, Any]) -> str:
    """Contender and, where it was tuned although it need not be, how."""
    return (
        f"{line['contender']} (tuned)"
        if line["tuned"] and line["contender"].startswith("ramet-")
        else line["contender"]
    )


def text(of_run: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary of one run for people."""
    columns = ["class", "tenants", "contender", "setting", "recall", "p50 us", "p99 us", "x", "extra us", "x ramet"]
    columns.append("strangers")
    cells = [columns]
    for label, group in by_class(of_run).items():
        for line in group:
            cells.append(
                [
                    label,
                    str(line["class_tenants"]),
                    title_of(line),
                    line["setting"],
                    f"{line['recall']:.4f}{'*' if line['reached'] is False else ' '}",
                    number(line["p50_us"], 1),
                    number(line["p99_us"], 1),
                    number(line["ratio"], 2),
                    number(line["extra_us"], 1),
                    number(line["of_ramet"], 2),
                    str(line["strangers"]),
                ]
            )
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([*body, f"x: times {YARDSTICK}; *: recall 0.95 is not reached with the largest effort allowed"])


def space_text(line: Mapping[str, Any]) -> str:
    """Return the figures of `tenant_space.Space`, each with its target if it has one."""
    out = [f"memory and disk of {line['n_tenants']:,} tenants beside one tenant ({line['contender']})"]
    for name in _SPACE_ORDER:
        target = SPACE_TARGETS.get(name)
        out.append(f"  {name:>28} {line[name]:10.3f}" + ("" if target is None else f"  (target <= {target:g})"))
    return "\n".join(out)


_SPACE_ORDER = (
    "one_mb",
    "weighted_mb",
    "uniform_mb",
    "weighted_ratio",
    "uniform_ratio",
    "weighted_over_runtime_ratio",
    "uniform_over_runtime_ratio",
    "idle_open_kb",
    "idle_kb",
    "idle_files",
    "one_disk_mb",
    "tenants_disk_mb",
    "disk_kb",
    "disk_compact_kb",
)
