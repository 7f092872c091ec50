"""Strategies: ways to choose a set of chunks that fits.

All are functions ``choose(pool, limit, utility, **parameters) -> Choice``. They read nothing but their arguments,
change nothing, and give the same choice for the same arguments (but for times, and `mcts` under a deadline); the order
of the candidates decides nothing: ties go by score, then id.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.choice import Choice, Limit
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies import adagres, adaptive_k, beam, greedy, mcts, mmr, topk
from ramet.engine.rag.utility import SetUtility

__all__ = ["STRATEGIES", "Choice", "Limit", "choose", "parameters_of"]

STRATEGIES: Mapping[str, Callable[..., Choice]] = {
    "topk": topk.choose,
    "mmr": mmr.choose,
    "adaptive_k": adaptive_k.choose,
    "adagres": adagres.choose,
    "greedy": greedy.choose,
    "beam": beam.choose,
    "mcts": mcts.choose,
}


def parameters_of(strategy: str) -> dict[str, Any]:
    """Parameters of a strategy with their defaults.

    Raises
    ------
    ArgumentError
        There is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise ArgumentError("strategy", f"must be one of {', '.join(map(repr, STRATEGIES))}, got {strategy!r}")
    found = inspect.signature(STRATEGIES[strategy]).parameters.values()
    return {one.name: one.default for one in found if one.kind is one.KEYWORD_ONLY}


def choose(strategy: str, pool: Pool, limit: Limit, utility: SetUtility, **parameters: Any) -> Choice:
    """Choose by a strategy's name.

    Parameters
    ----------
    strategy : str
        One of `STRATEGIES`.
    pool : Pool
    limit : Limit
    utility : SetUtility
    **parameters
        Of the strategy.

    Raises
    ------
    ArgumentError
        No such strategy; no such parameter; a parameter is out of range; `limit` has costs of another pool.
    """
    known = parameters_of(strategy)
    for name in parameters:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ArgumentError(name, f"is no parameter of {strategy!r}, which {takes}")
    if len(limit.costs) != len(pool.candidates):
        raise ArgumentError("limit", f"has {len(limit.costs)} costs for {len(pool.candidates)} candidates")
    return STRATEGIES[strategy](pool, limit, utility, **parameters)
