"""Latency at equal recall, and the table printed at the end of a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

TARGETS = (0.95, 0.99)
YARDSTICK = "hnswlib"


def at_recall(points: Sequence[tuple[float, float]], target: float) -> float | None:
    """Return the latency at which `target` recall is reached, interpolated between measured settings.

    The logarithm of the latency is interpolated linearly in recall along the Pareto front, so a setting that is beaten
    in both by another has no say. A front that begins above the target gives its first latency: an upper bound.

    Parameters
    ----------
    points : Sequence[tuple[float, float]]
        (recall, latency) of each setting, in any order.
    target : float
        Recall wanted.

    Returns
    -------
    float or None
        In the unit of the points; None when no setting reaches the target.
    """
    front = pareto(points)
    above = [point for point in front if point[0] >= target]
    if not above:
        return None
    high = above[0]
    below = [point for point in front if point[0] < target]
    if not below:
        return high[1]
    low = below[-1]
    share = (target - low[0]) / (high[0] - low[0])
    return math.exp((1 - share) * math.log(low[1]) + share * math.log(high[1]))


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats in recall at the same or lower latency, by rising recall."""
    front: list[tuple[float, float]] = []
    for recall, latency in sorted(points, key=lambda point: (-point[0], point[1])):
        if not front or latency < front[-1][1]:
            front.append((recall, latency))
    return front[::-1]


def series(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group lines by contender (and by prefetch in the cold mode), in the order they come."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(line_name(line), []).append(line)
    return groups


def line_name(line: Mapping[str, Any]) -> str:
    """Return the contender's name, told apart by prefetch where that was switched."""
    suffix = " (no prefetch)" if line.get("prefetch") is False else ""
    return f"{line['contender']}{suffix}"


def swept_points(lines: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return (recall, p50_us) of the swept settings."""
    return [(line["recall"], line["p50_us"]) for line in lines if line["swept"]]


def table(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per contender: interpolated p50 per target, ratios to hnswlib, build, memory, disk."""
    groups = series(lines)
    vector_mb = lines[0]["rows"] * lines[0]["dim"] * 4 / 1e6
    yardstick = groups.get(YARDSTICK, [])
    out = []
    for name, group in groups.items():
        first = group[0]
        row: dict[str, Any] = {"contender": name, "max_recall": max(line["recall"] for line in group)}
        for target in TARGETS:
            p50 = at_recall(swept_points(group), target)
            of_yardstick = at_recall(swept_points(yardstick), target)
            row[f"p50@{target}"] = p50
            row[f"ratio@{target}"] = p50 / of_yardstick if p50 and of_yardstick else None
        row["build_s"] = first["build_s"]
        row["build_speedup"] = yardstick[0]["build_s"] / first["build_s"] if yardstick else None
        row["peak_mb"], row["open_mb"], row["disk_mb"] = first["peak_mb"], first["open_mb"], first["disk_mb"]
        row["open_share"] = first["open_mb"] / vector_mb if first["open_mb"] is not None else None
        over = first.get("open_over_runtime_mb")
        row["over_runtime"] = over / vector_mb if over is not None else None
        out.append(row)
    return out


def text(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary of one run for people."""
    head = lines[0]
    title = (
        f"{head['dataset']}, {head['rows']:,} x {head['dim']}, {head['metric']}, {head['mode']}; recall@{head['k']}, "
        f"single-query p50 in us interpolated to equal recall; x = times {YARDSTICK}"
    )
    columns = ["contender", "p50@.95", "x", "p50@.99", "x", "build s", "faster", "peak MB", "open MB", "of vectors"]
    columns += ["over runtime", "disk MB", "best recall"]
    cells = [columns]
    for row in table(lines):
        cells.append(
            [
                row["contender"],
                *(number(row[f"{kind}@{target}"], 1 if kind == "p50" else 2) for target in TARGETS for kind in _KINDS),
                number(row["build_s"], 1),
                number(row["build_speedup"], 1),
                number(row["peak_mb"], 0),
                number(row["open_mb"], 1),
                share(row["open_share"]),
                share(row["over_runtime"]),
                number(row["disk_mb"], 0),
                number(row["max_recall"], 4),
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([title, *body, *_beside(lines)])


_KINDS = ("p50", "ratio")


def _read(line: Mapping[str, Any]) -> str:
    """What a cold query read, by file, where that was measured."""
    read = line.get("read_kib") or {}
    return "".join(f", {file} {kib:.0f} KiB" for file, kib in read.items() if kib >= 1)


def _beside(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on settings outside the sweep: what somebody gets who asks for a recall."""
    return [
        f"{line_name(line)} {line['setting']}: recall {line['recall']:.4f}, p50 {line['p50_us']:.1f} us{_read(line)}"
        for line in lines
        if not line["swept"]
    ]


def share(value: float | None) -> str:
    """Return `value` in per cent, ``-`` for None."""
    return "-" if value is None else f"{value:.1%}"


def number(value: float | None, digits: int) -> str:
    """Return `value` with so many decimals, ``-`` for None."""
    return "-" if value is None else f"{value:.{digits}f}"
