"""What a choice is worth: evidence, answer in context, tokens, time; and differences with their uncertainty."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.rag_pools import Asked
from bench.rag_texts import holds
from ramet.engine.rag.choice import Choice, Limit
from ramet.engine.rag.strategies import choose
from ramet.engine.rag.utility import CoverageUtility

RESAMPLES = 10_000
SEED = 5
MEASURES = ("recall", "precision", "f1", "all_gold", "in_context", "tokens", "chunks", "ms", "passes")

Chooser = Callable[[Asked, Limit], tuple[str, Mapping[str, Any]]]
ASKING = frozenset({"greedy", "beam", "mcts"})
"""Strategies that ask the utility."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A strategy with parameters, or a function that chooses."""

    name: str
    strategy: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    chooser: Chooser | None = None

    def choose(self, asked: Asked, tokens: int) -> Choice:
        """Choose for one question; the utility is made anew, as for a question that nobody asked before.

        Making it is part of the time of those that ask it.
        """
        limit = Limit(tokens=tokens, costs=asked.pool.costs)
        begun = time.perf_counter()
        strategy, parameters = (self.strategy, self.parameters) if self.chooser is None else self.chooser(asked, limit)
        if strategy not in ASKING:
            return choose(strategy, asked.pool, limit, asked.utility, **parameters)
        choice = choose(strategy, asked.pool, limit, CoverageUtility(asked.pool), **parameters)
        return replace(choice, seconds=time.perf_counter() - begun)


@dataclass(slots=True, kw_only=True)
class Table:
    """Measures of one contender under one budget, one value per question; NaN where there is nothing to measure."""

    values: dict[str, np.ndarray]
    orders: list[tuple[int, ...]]

    def mean(self, measure: str) -> float:
        """Mean over the questions that have a value; NaN if none has."""
        found = self.values[measure]
        found = found[~np.isnan(found)]
        return float(found.mean()) if len(found) else float("nan")


def judged(asked: Asked, order: Sequence[int]) -> dict[str, float]:
    """Evidence and answer of a choice."""
    hits = len(asked.gold.intersection(order))
    recall = hits / asked.n_gold
    precision = hits / len(order) if order else 0.0
    found = holds(" ".join(asked.shown[c] for c in order), asked.question.answers)
    return {
        "recall": recall,
        "precision": precision,
        "f1": 2 * recall * precision / (recall + precision) if hits else 0.0,
        "all_gold": float(hits == asked.n_gold),
        "in_context": float("nan") if found is None else float(found),
        "tokens": float(asked.pool.costs[list(order)].sum()) if order else 0.0,
        "chunks": float(len(order)),
    }


def measured(contender: Contender, pools: Sequence[Asked], budgets: Sequence[int]) -> Table:
    """Let a contender choose for every question, under a budget of its own each.

    Raises
    ------
    RuntimeError
        A choice is over its budget.
    """
    rows, orders = [], []
    for asked, budget in zip(pools, budgets, strict=True):
        choice = contender.choose(asked, budget)
        row = checked(contender.name, judged(asked, choice.order), budget, asked.question.id)
        rows.append(row | {"ms": 1e3 * choice.seconds, "passes": float(choice.passes)})
        orders.append(tuple(choice.order))
    return Table(values={name: np.array([row[name] for row in rows]) for name in MEASURES}, orders=orders)


def checked(name: str, row: dict[str, float], budget: int, question: str) -> dict[str, float]:
    """A row whose choice is within its budget.

    Raises
    ------
    RuntimeError
        It is over it.
    """
    if row["tokens"] > budget:
        raise RuntimeError(f"{name} took {row['tokens']:.0f} of {budget} tokens for {question}")
    return row


def cut(contender: Contender, pools: Sequence[Asked], ours: Table) -> Table:
    """A contender under the tokens that another one used, question by question."""
    return measured(contender, pools, ours.values["tokens"].astype(np.int64).tolist())


def filled_up(pools: Sequence[Asked], baseline: Table, ours: Table) -> np.ndarray:
    """Recall of the shortest beginning of a baseline's choice that has at least the tokens that ours used, (n,).

    The other way to make tokens equal: chunks are not divisible, and a baseline that is cut has a few tokens less.
    Here it has a few more.
    """
    out = np.empty(len(pools))
    for i, (asked, order) in enumerate(zip(pools, baseline.orders, strict=True)):
        costs = np.concatenate([[0], np.cumsum(asked.pool.costs[list(order)])]) if order else np.zeros(1)
        size = int(np.searchsorted(costs, ours.values["tokens"][i]))
        out[i] = judged(asked, order[:size])["recall"]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A mean paired difference and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def above(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0.0


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Paired bootstrap over questions (percentiles of 10,000 resamples, seeded)."""
    paired = (ours - theirs)[~np.isnan(ours - theirs)]
    rng = np.random.default_rng(SEED)
    means = np.concatenate(
        [paired[rng.integers(0, len(paired), (500, len(paired)))].mean(axis=1) for _ in range(RESAMPLES // 500)]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(mean=float(paired.mean()), low=float(low), high=float(high))
