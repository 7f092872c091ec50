"""How a filtered search of one tenant is to be done: by the index, from the rows, or over all lists.

The costs are estimates of microseconds for one query, from counts and from what the steps were measured to take: GloVe,
339,479 vectors of 100 dimensions, queries and filters in turns, so that what one reads has mostly left the CPU's cache
before its turn comes again. Only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CALL_US = 25.0
"""A search, whatever it reads."""

NAVIGATE_NS = 300.0
"""A cell chosen: the 30 centroids compared for it (``docs/index.md``, Navigation), and its place in the heap."""

LIST_NS = 500.0
"""A list opened, whose first bytes come from memory, and its part in the sample of ranks."""

LOOK_NS = 3.0
"""A row number read and its bit tested."""

CODE_NS, CODE_BYTE_NS = 14.0, 0.055
"""An allowed row compared by its code, and each byte of the code."""

VECTOR_NS, VECTOR_BYTE_NS = 30.0, 0.1
"""A row compared by its vector, which lies somewhere in the file, and each byte of it."""

SMALLEST_GAIN = 1.1
"""Reading the rows is exact, so the index must be faster by this factor to be chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a plan depends on."""

    n_records: int
    """Records with a vector; so are the allowed ones."""
    n_lists: int
    n_listed: int
    """Rows in all lists, copies included."""
    code_bytes: int
    """Of a row in a list."""
    vector_bytes: int
    """Of a row in the file of vectors; 0: there is none, the lists hold the vectors."""
    n_allowed: int
    k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one tenant is searched, and why."""

    mode: str
    """``unfiltered``: all rows are allowed; ``nothing``: none is; ``index``: nearest lists, allowed rows only;
    ``rows``: the vectors of all allowed rows; ``lists``: all lists, allowed rows only."""
    reason: str
    nprobe: int = 0
    """Lists that a query reads first."""
    most: int = 0
    """Lists that it reads at most before it is answered from the rows instead."""
    selectivity: float = 1.0
    rank: float = 0.0
    """Among all rows, about the rank of the k-th allowed neighbour, if allowed rows lie like the others."""
    estimated_us: dict[str, float] = field(default_factory=dict)
    """Of one query, for each mode that was possible."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "mode": self.mode,
            "reason": self.reason,
            "nprobe": self.nprobe,
            "selectivity": self.selectivity,
            "rank": round(self.rank, 1),
            "estimated_us": {mode: round(us, 1) for mode, us in self.estimated_us.items()},
        }


def index_us(facts: Facts, nprobe: int) -> float:
    """Estimated microseconds of a filtered search of ``nprobe`` lists."""
    looked = nprobe * facts.n_listed / max(1, facts.n_lists)
    row = LOOK_NS + facts.n_allowed / facts.n_records * (CODE_NS + CODE_BYTE_NS * facts.code_bytes)
    navigate = NAVIGATE_NS if nprobe < facts.n_lists else 0.0
    return CALL_US + (nprobe * (navigate + LIST_NS) + looked * row) / 1000


def rows_us(facts: Facts) -> float:
    """Estimated microseconds of comparing all allowed rows by their vectors."""
    return CALL_US + facts.n_allowed * (VECTOR_NS + VECTOR_BYTE_NS * facts.vector_bytes) / 1000


def most_probes(facts: Facts, us: float) -> int:
    """Probes that take about as long as ``us``."""
    each = (index_us(facts, facts.n_lists) - CALL_US) / facts.n_lists + NAVIGATE_NS / 1000
    return max(0, min(facts.n_lists, int((us - CALL_US) / each)))


def plan(facts: Facts, probes_of_rank: Callable[[float], int] | None, *, exact: bool, nprobe: int | None) -> Plan:
    """Choose how to search.

    Parameters
    ----------
    facts : Facts
    probes_of_rank : callable
        Lists to read for the recall target, of the neighbours up to a rank among all rows. None: there is no target.
    exact : bool
        Every allowed row must be compared, with full-precision vectors.
    nprobe : int, optional
        Lists that the caller wants read, whatever they cost.
    """
    if facts.n_allowed == 0:
        return Plan(mode="nothing", reason="no row is allowed", selectivity=0.0)
    if facts.n_allowed >= facts.n_records:
        return Plan(mode="unfiltered", reason="every row is allowed", rank=float(facts.k))
    share = facts.n_allowed / facts.n_records
    rank = facts.k / share
    has_vectors = facts.vector_bytes > 0
    costs = {"lists": index_us(facts, facts.n_lists)}
    if has_vectors:
        costs["rows"] = rows_us(facts)
    if exact:
        mode = "rows" if has_vectors else "lists"
        return Plan(
            mode=mode,
            reason="exact search",
            nprobe=facts.n_lists,
            most=facts.n_lists,
            estimated_us=costs,
            selectivity=share,
            rank=rank,
        )
    asked = nprobe is not None or probes_of_rank is None
    probes = min(facts.n_lists, nprobe or facts.n_lists if asked else probes_of_rank(rank))  # type: ignore[misc]
    costs["index"] = index_us(facts, probes)
    if has_vectors and not asked and costs["rows"] < SMALLEST_GAIN * min(costs["index"], costs["lists"]):
        reason = f"comparing {facts.n_allowed:,} allowed rows takes less than reading {probes:,} lists"
        return Plan(mode="rows", reason=reason, nprobe=0, estimated_us=costs, selectivity=share, rank=rank)
    if probes >= facts.n_lists:
        reason = "as many lists as asked for" if asked else f"rank {rank:,.0f} takes every list"
        return Plan(
            mode="lists", reason=reason, nprobe=probes, most=probes, estimated_us=costs, selectivity=share, rank=rank
        )
    most = max(probes, most_probes(facts, costs["rows"])) if has_vectors else facts.n_lists
    reason = (
        f"{probes:,} lists, as asked for" if asked else f"{probes:,} lists find rank {rank:,.0f}, which costs least"
    )
    return Plan(mode="index", reason=reason, nprobe=probes, most=most, estimated_us=costs, selectivity=share, rank=rank)
