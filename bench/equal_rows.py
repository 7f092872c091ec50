"""Recall at the same number of rows scanned: what a history of writes has cost, whatever the lists look like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench import summary

TARGETS = (0.90, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Two curves compared at one recall of the first."""

    target: float
    """Recall of the yardstick."""
    rows: float | None
    """Rows that the yardstick scans for it; None when it never reaches it."""
    recall: float | None
    """Recall of the other curve at that many rows; None when it does not reach so far."""
    points: float | None
    """How much lower that is, in points of one per cent; below zero: the other curve is better."""


def gaps(yardstick: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> list[Gap]:
    """Compare two curves of (recall, mean rows scanned) at each of `TARGETS`."""
    out = []
    for target in TARGETS:
        rows = summary.at_recall(yardstick, target)
        recall = None if rows is None else at_rows(other, rows)
        points = None if recall is None else 100 * (target - recall)
        # A curve that begins above the target is compared where it begins.
        if rows is not None and recall is not None and (first := min(yardstick)) and first[0] > target:
            points = 100 * (first[0] - recall)
        out.append(Gap(target=target, rows=rows, recall=recall, points=points))
    return out


def at_rows(points: Sequence[tuple[float, float]], rows: float) -> float | None:
    """Return the recall at `rows` scanned, interpolated linearly in the logarithm of the rows.

    The inverse of `summary.at_recall`: on the Pareto front, so that both ways lead to the same place.

    Parameters
    ----------
    points : Sequence[tuple[float, float]]
        (recall, mean rows scanned) of each setting, in any order.
    rows : float
        Rows scanned.

    Returns
    -------
    float or None
        None below the first point. Beyond the last one more rows change nothing: its recall.
    """
    front = summary.pareto(points)
    above = [point for point in front if point[1] >= rows]
    below = [point for point in front if point[1] <= rows]
    if not below:
        return None
    low = below[-1]
    if not above or above[0] == low:
        return low[0]
    high = above[0]
    share = (math.log(rows) - math.log(low[1])) / (math.log(high[1]) - math.log(low[1]))
    return low[0] + share * (high[0] - low[0])
