"""What a strategy may spend, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.pool import Pool

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Tokens for chunks, and what each candidate costs of them."""

    tokens: int
    """At least 0; what the prompt has left for chunks. A set may cost as much, not more."""
    costs: I64
    """Tokens of each candidate, (n,), at least 0."""

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise ArgumentError("tokens", f"must be at least 0, got {self.tokens}")
        if np.any(np.asarray(self.costs) < 0):
            raise ArgumentError("costs", "must be at least 0")

    def used(self, chosen: Sequence[int]) -> int:
        """Tokens of a set."""
        return int(self.costs[np.asarray(chosen, np.int64)].sum())

    def left(self, chosen: Sequence[int]) -> int:
        """Tokens that a set leaves."""
        return self.tokens - self.used(chosen)

    def fitting(self, chosen: Sequence[int]) -> Flags:
        """Which candidates outside the set fit beside it, (n,)."""
        fits: Flags = self.costs <= self.left(chosen)
        fits[np.asarray(chosen, np.int64)] = False
        return fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a strategy chose, and why."""

    order: tuple[int, ...]
    """Numbers of the chosen candidates in the order gained; each once, and together within the limit."""
    gains: tuple[float, ...]
    """What each added when it was taken, in the strategy's own terms; as long as `order`."""
    reasons: dict[int, str]
    """For every candidate of the pool, chosen or left out, why."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """What was decided, step by step."""
    passes: int = 0
    """Texts that a model read for this choice."""
    evaluations: int = 0
    """Sets whose value, or whose gains, were asked for."""
    seconds: float = 0.0


def precedence(pool: Pool) -> I64:
    """Place of each candidate by score, highest first, id and tenant: what decides between equals, (n,)."""
    order = sorted(range(len(pool.candidates)), key=lambda c: (-pool.candidates[c].score, pool.candidates[c].name))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def best_of(values: F64, places: I64, allowed: Flags) -> int:
    """The allowed candidate of the highest value, by place among equals; -1 if none is allowed."""
    found = np.flatnonzero(allowed)
    if not len(found):
        return -1
    highest = found[values[found] == values[found].max()]
    return int(highest[places[highest].argmin()])


def ranked(values: F64, places: I64, allowed: Flags) -> I64:
    """The allowed candidates by value, highest first, by place among equals."""
    found = np.flatnonzero(allowed)
    return found[np.lexsort((places[found], -values[found]))]
