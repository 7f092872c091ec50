"""The best few sets of each size, extended by every candidate: the simple control of any cleverer search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ramet.engine.rag.choice import Choice, Limit
from ramet.engine.rag.parameters import number, whole
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.defaults import PRICE
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import SetUtility

WIDTH = 4
MOST_WIDTH = 1024


class _State(NamedTuple):
    """A set in the order gained."""

    order: tuple[int, ...]
    gains: tuple[float, ...]
    value: float


def choose(pool: Pool, limit: Limit, utility: SetUtility, *, width: int = WIDTH, price: float = PRICE) -> Choice:
    """Keep the `width` most valuable sets of each size; the best set of any size is the choice.

    A set is extended by candidates that fit and gain more than their price. Width 1 is `greedy`.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
        With a cross-encoder every step costs up to `width` x n passes.
    width : int
        Sets to keep, 1 to 1,024.
    price : float
        What a chunk must add to be taken, at least 0, in the utility's units.

    Returns
    -------
    Choice
        `gains` are those of the utility, the price taken off.
    """
    most = whole(width, "width", 1, MOST_WIDTH)
    run = Run(pool, limit, utility, number(price, "price", 0.0))
    best = _State((), (), 0.0)
    states = [best]
    while states:
        states = _extended(run, states, most)
        if states and states[0].value >= best.value:
            best = states[0]
        if states:
            run.trace.append(
                {"size": len(states[0].order), "sets": len(states), "value": round(states[0].value, 6)}
            )  # fmt: skip
    for size in range(1, len(best.order) + 1):
        run.step(best.order[:size], best.gains[size - 1])
    return run.done(best.order, best.gains)


def _extended(run: Run, states: list[_State], most: int) -> list[_State]:
    """The most valuable sets that are one larger, each once, best first."""
    found: list[tuple[float, float, int, int]] = []
    gains = [run.gains(state.order) for state in states]
    for s, (state, gain) in enumerate(zip(states, gains, strict=True)):
        found += [(-(state.value + gain[c]), -gain[c], int(run.places[c]), s) for c in np.flatnonzero(gain > 0.0)]
    candidates = np.argsort(run.places)
    kept: dict[frozenset[int], _State] = {}
    for _, negative, place, s in sorted(found):
        c, gain_of = int(candidates[place]), -float(negative)
        state = states[s]
        key = frozenset((*state.order, c))
        if key not in kept:
            kept[key] = _State((*state.order, c), (*state.gains, gain_of), state.value + gain_of)
            if len(kept) == most:
                break
    return list(kept.values())
