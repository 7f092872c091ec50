"""Lines, table and target of ``bench ingest``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.summary import number

TARGET_PER_S = 5_000.0
"""Of everything but the embedding together."""
ONE_CALL = "one call"


def line(
    contender: str, what: str, calls: str, seconds: Sequence[float], n: int, cpu: Sequence[float] = ()
) -> dict[str, Any]:
    """Return one line from the seconds of several rounds, and from those of all cores where these were measured."""
    median = float(np.median(seconds))
    return {
        "contender": contender,
        "what": what,
        "calls": calls,
        "seconds": median,
        "seconds_of_rounds": list(seconds),
        "records_per_s": n / median,
        "us_per_record": 1e6 * median / n,
        "cpu_us_per_record": 1e6 * float(np.median(cpu)) / n if len(cpu) else None,
    }


def text(of_run: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary for people, and which targets are met."""
    cells = [["contender", "what", "calls", "records/s", "us/record", "cpu us/record"]]
    for one in of_run:
        cells.append([one["contender"], one["what"], one["calls"], f"{one['records_per_s']:,.0f}"])
        cells[-1] += [number(one["us_per_record"], 1), number(one["cpu_us_per_record"], 1)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*body, *targets(of_run)])


def targets(of_run: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the target is met, in one call and in batches."""
    out = []
    for one in of_run:
        if one["contender"] == "ramet" and one["what"] == "everything":
            met = "met   " if one["records_per_s"] >= TARGET_PER_S else "MISSED"
            rate = f"{one['records_per_s']:,.0f} records/s"
            out.append(f"  {met} everything but the embedding, {one['calls']}: {rate} (>= {TARGET_PER_S:,.0f})")
    return out


def profile_text(profile: Sequence[Mapping[str, Any]]) -> str:
    """Return the profile for people."""
    out = ["where the time goes (everything, one call; by the profiler)"]
    for order in dict.fromkeys(one["by"] for one in profile):
        out.append(f" {order}:")
        own = [one for one in profile if one["by"] == order]
        out += [f"  {one['share']:6.1%} {one['seconds']:7.3f} s {one['calls']:>9,} x {one['function']}" for one in own]
    return "\n".join(out)
