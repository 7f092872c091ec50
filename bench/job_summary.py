"""Tables and targets of ``bench jobs``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.summary import number

Line = Mapping[str, Any]
Lines = Sequence[Line]

TEMPORARY = 2.5
"""Temporary files, in multiples of the input, at most."""
RATIO = 1.5
"""Time a record of the largest job, in multiples of the build in memory, at most."""
SPEEDUP = 1.6
"""Of two workers over one, at least."""
POINTS = 0.5
"""Recall that shards may miss."""
RECALL = 0.95


def of(lines: Lines, kind: str) -> list[Line]:
    """Return the lines of one kind, by size."""
    return sorted((line for line in lines if line["kind"] == kind), key=lambda line: line["rows"])


def text(part: str, lines: Lines) -> str:
    """Return what one part found, for people, with the targets."""
    tell: dict[str, Callable[[Lines], list[str]]] = {"size": _size, "kill": _kill, "ray": _ray}
    return "\n".join(tell[part](lines))


def _size(lines: Lines) -> list[str]:
    columns = ("what", "rows", "s", "us/record", "own MB", "group MB", "temporary", "recall", "nprobe", "for 0.95")
    cells = [list(columns)]
    for line in (*of(lines, "job"), *of(lines, "memory")):
        share = line.get("temporary_share")
        cells.append([
            line["kind"], f"{line['rows']:,}", f"{line['seconds']:.1f}", f"{line['us_per_record']:.1f}",
            f"{line['peak_bytes'] / 1e6:,.0f}", _megabytes(line.get("cap_most")),
            "-" if share is None else f"{share:.2f}x", number(line.get("recall"), 4), number(line.get("nprobe"), 0),
            number(line.get("nprobe_095"), 1),
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    out = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return out + _size_targets(lines)


def _megabytes(n_bytes: float | None) -> str:
    return "-" if n_bytes is None else f"{n_bytes / 1e6:,.0f}"


def _size_targets(lines: Lines) -> list[str]:
    job = of(lines, "job")[-1]
    cap = f"in a group of {job['cap'] / 1e9:g} GB" if job.get("cap") else f"without a cap ({job.get('cap_why')})"
    ended = "was killed" if job["killed"] else "ended"
    out = [
        f"  {job['rows']:,} rows with {job['memory'] / 1e9:g} GB {cap}: {ended}",
        f"  temporary files {job['temporary_share']:.2f} times the input (target <= {TEMPORARY:g})",
    ]
    if "curve" in job:
        best = max(recall for _, _, recall in job["curve"])
        out.append(f"  recall up to {best:.4f} (target: {RECALL:g} reachable)")
    for one in of(lines, "compared"):
        rows = f"{one['memory_rows']:,}"
        out.append(
            f"  time a record {one['ratio']:.2f} times that of the build in memory of {rows} (target <= {RATIO})"
        )
    return out


def _kill(lines: Lines) -> list[str]:
    line = lines[0]
    counted: dict[str, int] = {}
    for kill in line["kills"]:
        counted[kill["stage"]] = counted.get(kill["stage"], 0) + 1
    same = "the same bytes" if line["equal"] else f"differ: {', '.join(line['differ'])}"
    return [
        f"  {line['rows']:,} rows, killed {line['n_kills']} times, in "
        + ", ".join(f"{stage} ({n})" for stage, n in counted.items()),
        f"  {line['n_files']} files: {same}",
        f"  {line['seconds']:.1f} s without a kill, {line['broken_seconds']:.1f} s with: {line['lost_s']:.1f} s lost, "
        f"{line['lost_starting_s']:.1f} s of them to start again",
    ]


def _ray(lines: Lines) -> list[str]:
    out = []
    for line in of(lines, "workers"):
        told = f"split {line['split_s']:.1f} s, shards {line['shards_s']:.1f} s"
        out.append(f"  {line['rows']:,} rows, {line['workers']} worker(s): {line['seconds']:.1f} s in all, {told}")
        if "both_ratio" in line:
            out.append(
                f"  faster with two: split {line['split_ratio']:.2f}, shards {line['shards_ratio']:.2f}, both "
                f"{line['both_ratio']:.2f} (target >= {SPEEDUP:g})"
            )
    for line in of(lines, "lost"):
        where = ", ".join(f"{kill['stage']}: {'killed' if kill['killed'] else 'none found'}" for kill in line["kills"])
        same = "the same bytes" if line["equal"] else f"differ: {', '.join(line['differ'])}"
        out.append(f"  workers killed ({where}): {same}, {line['lost_s']:+.1f} s")
    for line in of(lines, "recall"):
        out.append(
            f"  recall {line['recall_shards']:.4f} of {line['shards']} shards, {line['recall_single']:.4f} of one "
            f"collection: {line['points']:+.2f} points worse (target <= {POINTS:g}); one query "
            f"{line['p50_shards_us']:.0f} and {line['p50_single_us']:.0f} us"
        )
    return out
