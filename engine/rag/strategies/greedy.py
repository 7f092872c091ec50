"""One chunk after the other, each the one that adds most: for coverage hardly worse than any search, and the fastest.

For monotone submodular utilities the greedy set is worth at least 1 - 1/e of the best one of its size (Nemhauser,
Wolsey and Fisher 1978); here neither holds exactly, but beam and tree search find sets worth only 1 % more.
"""

from __future__ import annotations

import numpy as np

from ramet.engine.rag.choice import Choice, Limit, best_of
from ramet.engine.rag.parameters import number
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.defaults import PRICE
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import SetUtility


def choose(pool: Pool, limit: Limit, utility: SetUtility, *, price: float = PRICE, per_token: float = 0.0) -> Choice:
    """Take the candidate of the highest gain while one fits and gains more than its price.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        With a cross-encoder every step costs a pass for each candidate that fits.
    price : float
        What a chunk must add to be taken, at least 0, in the utility's units. 0 fills the budget with whatever adds
        anything.
    per_token : float
        Exponent r of the costs: the candidate of the highest gain / cost^r is taken. 0 to 2. Above 0 short chunks
        are favoured, which cost recall where chunks are of about the same length.

    Returns
    -------
    Choice
        `gains` are those of the utility, the price taken off.
    """
    run = Run(pool, limit, utility, number(price, "price", 0.0))
    exponent = number(per_token, "per_token", 0.0, 2.0)
    order, gains = climbed(run, exponent)
    return run.done(order, gains)


def climbed(run: Run, exponent: float = 0.0) -> tuple[list[int], list[float]]:
    """The greedy order and its gains."""
    divisor = np.maximum(run.limit.costs, 1).astype(np.float64) ** exponent
    order: list[int] = []
    gains: list[float] = []
    while True:
        gain = run.gains(order)
        # No candidate is preferred for being cheap when its gain is not positive: those are not allowed at all.
        best = best_of(gain / divisor, run.places, gain > 0.0)
        if best < 0:
            return order, gains
        order.append(best)
        gains.append(float(gain[best]))
        run.step(order, gains[-1])
