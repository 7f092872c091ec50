"""AdaGReS: relevance less a redundancy whose weight follows from the pool and the budget (arXiv 2512.25052).

The published code has defects (it never stops at a negative gain, ignores the token budget, and its loop does not end
when the best chunk does not fit), so this is written from the formulas, with what they were meant to do: it stops at
the first gain that is not positive, and a chunk that does not fit is dropped. The weight that the paper derives makes
the *total* gain of k chunks zero; the condition that it states, a *marginal* gain of zero at the k-th chunk, gives half
of that. Both can be had.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.choice import Choice, Limit, best_of
from ramet.engine.rag.parameters import number, one_of
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import SetUtility

F64 = npt.NDArray[np.float64]
FORMS = ("marginal", "total")


def choose(
    pool: Pool,
    limit: Limit,
    utility: SetUtility,
    *,
    beta: float | None = None,
    form: str = "marginal",
    scale: float = 1.0,
    floor: float = 0.0,
) -> Choice:
    """Take the candidate of the highest cos(question, c) - beta sum of cos(c, chosen) while that is positive.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        Not asked.
    beta : float, optional
        Weight of redundancy, at least 0. None: from the pool's mean cosines and the k chunks of mean length that fit.
    form : {"marginal", "total"}
        How to derive `beta`: mean relevance / ((k - 1) mean similarity), or the published twice of that.
    scale : float
        The derived `beta` times this, at least 0.
    floor : float
        Candidates with a lower cosine to the question are never taken, -1 to 1.

    Returns
    -------
    Choice
        `gains` are those of the formula.
    """
    factor = number(scale, "scale", 0.0)
    lowest = number(floor, "floor", -1.0, 1.0)
    half = 0.5 if one_of(form, "form", FORMS) == "total" else 1.0
    given = None if beta is None else number(beta, "beta", 0.0)
    run = Run(pool, limit, utility)
    relevance = np.maximum(pool.relevance.astype(np.float64), 0.0)
    similarity = np.maximum(pool.similarity.astype(np.float64), 0.0)
    weight = factor * _derived(relevance, similarity, limit, half) if given is None else given
    run.trace.append({"beta": round(weight, 6)})
    near = pool.relevance >= lowest
    repeated = np.zeros(len(relevance))
    order: list[int] = []
    gains: list[float] = []
    while True:
        marginal = relevance - weight * repeated
        best = best_of(marginal, run.places, limit.fitting(order) & near)
        if best < 0 or marginal[best] <= 0.0:
            return run.done(order, gains, rest="no gain: redundant, or too far from the question")
        order.append(best)
        gains.append(float(marginal[best]))
        repeated += similarity[best]
        run.step(order, gains[-1])


def _derived(relevance: F64, similarity: F64, limit: Limit, half: float) -> float:
    """Weight of redundancy at which the k-th chunk, or all k together, gain nothing."""
    n = len(relevance)
    if n < 2:
        return 0.0
    k = limit.tokens / max(float(limit.costs.mean()), 1.0)
    pairs = (float(similarity.sum()) - float(np.trace(similarity))) / (n * (n - 1))
    if k <= 1.0 or pairs <= 0.0:  # one chunk at most: there is nothing to be redundant with
        return 0.0
    return float(relevance.mean()) / (half * (k - 1.0) * pairs)
