"""The best scores until the budget is spent: what most systems do, and what every other strategy has to beat."""

from __future__ import annotations

import numpy as np

from ramet.engine.rag.choice import Choice, Limit
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import SetUtility


def choose(pool: Pool, limit: Limit, utility: SetUtility) -> Choice:
    """Take candidates by score, highest first; one that does not fit is passed over.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        Not asked.

    Returns
    -------
    Choice
        `gains` are the scores.
    """
    run = Run(pool, limit, utility)
    order = packed(run, np.argsort(run.places).tolist())
    return run.done(order, [pool.candidates[c].score for c in order], word="score", rest="passed over")


def packed(run: Run, candidates: list[int]) -> list[int]:
    """Take candidates in the order given, passing over those that do not fit."""
    order: list[int] = []
    for c in candidates:
        if run.limit.costs[c] <= run.limit.left(order):
            order.append(c)
            run.step(order, run.pool.candidates[c].score)
    return order
