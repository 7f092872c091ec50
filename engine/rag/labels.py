"""Labels for the configuration agent: what every configuration is worth for a question, found by trying all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.agent import GRIDS, STRATEGY_NAMES, configuration
from ramet.engine.rag.choice import Limit
from ramet.engine.rag.features import features
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies import choose
from ramet.engine.rag.utility import CoverageUtility

F32 = npt.NDArray[np.float32]

BUDGETS = (128, 256, 512, 1024, 2048)
RECALL_SHARE = 0.25
"""Weight of recall beside F1 in what is learned: F1 alone forgives a missing hop for a chunk less."""
MOST_VALUES = max(len(grid) for _, grid in GRIDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A question whose evidence is known."""

    pool: Pool
    gold: frozenset[int]
    """Numbers of its evidence among the candidates."""
    n_gold: int
    """Pieces of evidence that there are, also those that are no candidates; at least 1."""
    key: str = ""
    """Examples with the same key, such as one question with other candidates, are never on either side of a
    validation; without one an example stands alone."""
    group: str = ""
    """The corpus; each weighs the same in training, however many questions it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Features and worth of every configuration, one row for each question and budget."""

    features: F32
    """(m, f)"""
    worth: F32
    """(m, strategies, values); NaN where a grid has fewer values."""
    question: npt.NDArray[np.int64]
    """(m,): number of the question."""
    group: npt.NDArray[np.str_]
    """(m,)"""
    budget: npt.NDArray[np.int64]
    """(m,)"""


def worth(order: Sequence[int], gold: frozenset[int], n_gold: int, recall_share: float = RECALL_SHARE) -> float:
    """F1 of the evidence, and some recall."""
    hits = len(gold.intersection(order))
    recall = hits / n_gold
    f1 = 2.0 * hits / (len(order) + n_gold)
    return (1.0 - recall_share) * f1 + recall_share * recall


def labelled(
    examples: Sequence[Labelled],
    budgets: Sequence[int] = BUDGETS,
    recall_share: float = RECALL_SHARE,
    progress: Callable[[int, int], object] | None = None,
) -> Labels:
    """Try every configuration on every question under every budget.

    Parameters
    ----------
    examples : sequence of Labelled
    budgets : sequence of int
        Tokens for chunks.
    recall_share : float
        Weight of recall beside F1, 0 to 1.
    progress : callable, optional
        Called with (questions done, questions in all).
    """
    rows: list[F32] = []
    values: list[F32] = []
    for done, one in enumerate(examples, 1):
        utility = CoverageUtility(one.pool)
        for budget in budgets:
            rows.append(features(one.pool, budget))
            values.append(_tried(one, budget, recall_share, utility))
        if progress is not None:
            progress(done, len(examples))
    return Labels(
        features=np.stack(rows),
        worth=np.stack(values),
        question=np.repeat(_numbers(examples), len(budgets)),
        group=np.repeat(np.array([one.group for one in examples]), len(budgets)),
        budget=np.tile(np.array(budgets, np.int64), len(examples)),
    )


def _numbers(examples: Sequence[Labelled]) -> npt.NDArray[np.int64]:
    """A number for every key, (n,), without gaps."""
    known: dict[str | int, int] = {}
    return np.array([known.setdefault(one.key or i, len(known)) for i, one in enumerate(examples)], np.int64)


def _tried(one: Labelled, budget: int, recall_share: float, utility: CoverageUtility) -> F32:
    """Worth of every configuration, (strategies, values)."""
    limit = Limit(tokens=budget, costs=one.pool.costs)
    out = np.full((len(STRATEGY_NAMES), MOST_VALUES), np.nan, np.float32)
    for row, strategy in enumerate(STRATEGY_NAMES):
        size = len(GRIDS[strategy][1])
        for column in range(size):
            _, parameters = configuration(strategy, column / max(size - 1, 1))
            choice = choose(strategy, one.pool, limit, utility, **parameters)
            out[row, column] = worth(choice.order, one.gold, one.n_gold, recall_share)
    return out
