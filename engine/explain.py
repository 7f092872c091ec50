"""What a search did: filled while it runs, then shown or sent as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.planner import Plan
from ramet.index.kernels.filtered import ALLOWED, DIRECT, N_FILTERED, ROUNDS
from ramet.index.kernels.search import LISTS, RERANKED, ROWS

Counters = npt.NDArray[np.int64]

_NOTHING = nullcontext()

COUNTED = {
    "lists": LISTS,
    "rows_looked_at": ROWS,
    "allowed_seen": ALLOWED,
    "vectors_compared": RERANKED,
    "rounds": ROUNDS,
    "answered_from_rows": DIRECT,
}
"""Names of the counters shown for each tenant."""


class Explanation:
    """What one call of search did, stage by stage and tenant by tenant.

    Attributes
    ----------
    n_queries : int
    total_us : float or None
        Microseconds of the whole call, once it has returned.
    stages : dict of str to float
        Microseconds, in the order in which stages first ran.
    total_us : float or None
        Microseconds of the whole call, where the caller measures it.
    tenants : list of dict
        For each tenant its plan and what was counted, summed over the queries of the batch.
    """

    def __init__(self, n_queries: int = 1, *, wanted: bool = True) -> None:
        self.n_queries = n_queries
        self._wanted = wanted
        self.stages: dict[str, float] = {}
        self.total_us: float | None = None
        self.tenants: list[dict[str, Any]] = []

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Add the time inside to a stage."""
        return self._timed(name) if self._wanted else _NOTHING

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begin = perf_counter()
        try:
            yield
        finally:
            self.add(name, (perf_counter() - begin) * 1e6)

    def add(self, name: str, microseconds: float) -> None:
        """Add time to a stage."""
        self.stages[name] = self.stages.get(name, 0.0) + microseconds

    def tenant(self, number: int, plan: Plan, n_allowed: int, counters: Counters | None = None) -> None:
        """Note how a tenant was searched. ``counters``: those of `search_allowed`, or the first five of them."""
        if not self._wanted:
            return
        counted = np.zeros(N_FILTERED, np.int64)
        if counters is not None:
            counted[: len(counters)] = counters
        shown: dict[str, Any] = {"tenant": number, **plan.to_dict(), "allowed": n_allowed}
        shown |= {name: counted.item(at) for name, at in COUNTED.items()}
        looked = counted.item(ROWS)
        shown["allowed_share_seen"] = counted.item(ALLOWED) / looked if looked else None
        self.tenants.append(shown)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "n_queries": self.n_queries,
            "total_us": None if self.total_us is None else round(self.total_us, 1),
            "microseconds": {name: round(us, 1) for name, us in self.stages.items()},
            "tenants": self.tenants,
        }

    def __str__(self) -> str:
        """A few lines to read."""
        total = sum(self.stages.values()) if self.total_us is None else self.total_us
        times = ", ".join(f"{name} {us:,.0f}" for name, us in self.stages.items())
        lines = [f"{self.n_queries} quer{'y' if self.n_queries == 1 else 'ies'}, {total:,.0f} us: {times}"]
        for shown in self.tenants:
            lines.append(f"tenant {shown['tenant']}: {shown['mode']} ({shown['reason']})")
            lines.append(
                f"  {shown['allowed']:,} rows allowed ({100 * shown['selectivity']:.3g} %), "
                f"{shown['lists']:,} lists in {shown['rounds']:,} rounds, {shown['rows_looked_at']:,} rows looked at, "
                f"{shown['allowed_seen']:,} of them allowed, {shown['vectors_compared']:,} vectors compared"
            )
            estimates = ", ".join(f"{mode} {us:,.0f} us" for mode, us in shown["estimated_us"].items())
            if estimates:
                lines.append(f"  estimated for one query: {estimates}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation of {self.n_queries} queries: {', '.join(self.stages)}>"
