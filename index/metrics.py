"""The metrics, one row each: numbers used by kernels, what a user sees, what the data must satisfy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.index.kernels import plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric as the index sees it."""

    name: str
    number: int
    """As in kernels: ``plan.L2``, ``COSINE`` or ``IP``."""
    unit: bool
    """Whether vectors are scaled to unit length in working space; then zero vectors are refused."""
    score_of_zero: float
    """Score at distance 0: a score is this minus the distance."""

    def scores(self, distances: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores, larger is better: minus the squared distance (l2), the cosine, or the inner product."""
        return np.float32(self.score_of_zero) - distances


METRICS = {
    "l2": Metric(name="l2", number=plan.L2, unit=False, score_of_zero=0.0),
    "cosine": Metric(name="cosine", number=plan.COSINE, unit=True, score_of_zero=1.0),
    "ip": Metric(name="ip", number=plan.IP, unit=False, score_of_zero=0.0),
}
