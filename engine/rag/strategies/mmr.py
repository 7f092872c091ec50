"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

import numpy as np

from ramet.engine.rag.choice import Choice, Limit, best_of
from ramet.engine.rag.parameters import number
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import SetUtility

THETA = 0.7
"""Share of relevance; 0.5 to 0.7 are in use."""


def choose(pool: Pool, limit: Limit, utility: SetUtility, *, theta: float = THETA) -> Choice:
    """Take the candidate of the highest theta cos(question, c) - (1 - theta) max cos(c, chosen) while one fits.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        Not asked.
    theta : float
        From 0 (only unlike the chosen ones) to 1 (only like the question).

    Returns
    -------
    Choice
        `gains` are the marginal relevances, which may be negative.
    """
    share = number(theta, "theta", 0.0, 1.0)
    run = Run(pool, limit, utility)
    relevance, similarity = pool.relevance.astype(np.float64), pool.similarity.astype(np.float64)
    nearest = np.zeros(len(relevance))
    order: list[int] = []
    gains: list[float] = []
    while True:
        marginal = share * relevance - (1.0 - share) * nearest
        best = best_of(marginal, run.places, limit.fitting(order))
        if best < 0:
            return run.done(order, gains, word="marginal relevance", rest="passed over")
        nearest = similarity[best].copy() if not order else np.maximum(nearest, similarity[best])
        order.append(best)
        gains.append(float(marginal[best]))
        run.step(order, gains[-1])
