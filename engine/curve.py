"""The recall curve: measured on a collection itself, it turns ``recall=`` into a number of probes."""

from __future__ import annotations

import math

import numpy as np

from ramet.engine.hits import CurvePoint

DEFAULT_RECALL = 0.95

TEXT_RECALL = 0.99
"""Default for questions in words. The curve is measured with records, and questions lie farther from documents than
documents from each other: 0.95 by the curve gave 0.944 of the nearest ten and 0.019 less nDCG@10 on SciFact, 0.99 gives
exact search's nDCG within 0.0013 for 12 to 28 us more (bench/results/text.jsonl); embedding takes milliseconds."""

MEASURED_K = (10, 100)
"""Values of k that the curve is measured at; a query's k uses the next larger one."""

MARGIN = 1.5
"""Standard errors that a measured mean must lie above the target: the curve comes from some hundred queries."""

MOST_KNOWN = 1000
"""Answers that a curve remembers."""


class RecallCurve:
    """Measured points and what follows from them.

    Parameters
    ----------
    points : list of (k, nprobe, recall, standard error)
    n_lists : int
        Posting lists of the tenant.
    """

    def __init__(self, points: list[tuple[int, int, float, float]], n_lists: int) -> None:
        self.points = points
        self.n_lists = n_lists
        self._known: dict[tuple[float, int], int] = {}

    def to_meta(self) -> list[list[float]]:
        """Form to store as JSON."""
        return [[k, nprobe, round(recall, 6), round(error, 6)] for k, nprobe, recall, error in self.points]

    def table(self) -> list[CurvePoint]:
        """The points to show."""
        return [CurvePoint(k, nprobe, recall) for k, nprobe, recall, _ in self.points]

    def nprobe_for(self, recall: float, k: int) -> int:
        """Fewest probes whose measured recall, less the margin, reaches the target.

        Between two measured points the logarithm of nprobe is interpolated; beyond the last one, all lists are read.
        """
        known = self._known.get((recall, k))
        if known is None:
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            known = self._known[recall, k] = self._probes(recall, k)
        return known

    def _probes(self, recall: float, k: int) -> int:
        if recall >= 1.0:
            return self.n_lists
        if not self.points:  # too few records to measure, or a build that was stopped before it measured
            return self.n_lists
        measured = sorted({point[0] for point in self.points})
        at = next((m for m in measured if m >= k), measured[-1])
        stretch = max(1.0, k / at)  # more neighbours lie in more lists
        known = [(p, r - MARGIN * e) for m, p, r, e in self.points if m == at]
        probes = _reach(known, recall)
        return self.n_lists if probes is None else min(self.n_lists, math.ceil(probes * stretch - 1e-9))


def _reach(known: list[tuple[int, float]], recall: float) -> float | None:
    """Probes at which a rising curve reaches ``recall``; None beyond its end."""
    best, before = -math.inf, None
    for nprobe, value in sorted(known):
        value = max(value, best)
        if value >= recall:
            if before is None or value == before[1]:
                return float(nprobe)
            part = (recall - before[1]) / (value - before[1])
            return float(np.exp(np.log(before[0]) + part * (np.log(nprobe) - np.log(before[0]))))
        best, before = value, (nprobe, value)
    return None
