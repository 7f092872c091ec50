"""``bench rag`` on one set: contenders, the tuning of the baselines on train, and every measure of every contender."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.rag_measure import MEASURES, Chooser, Contender, Difference, Table, cut, difference, filled_up, measured
from bench.rag_pools import Asked
from ramet.engine.rag.agent import GRIDS as CHOICES
from ramet.engine.rag.agent import Agent

BUDGETS = (128, 256, 512, 1024, 2048)
HALF_OF = 1024
"""The budget of which half the tokens of `topk` are tried."""
BASELINES = ("topk", "mmr", "adagres")
FILLED = "greedy, filled"
TUNED = ", tuned"
AUTO = "auto"
OURS = ("greedy", FILLED, "beam", "mcts", AUTO)
FIXED = ("topk", "mmr", "adaptive_k", "adagres", "greedy", "beam", "mcts")
"""Strategies with their default parameters; `auto` is held to these, and to those that are tuned on train."""
GRIDS: dict[str, Sequence[Mapping[str, Any]]] = {
    "topk": [{}],
    "mmr": [{"theta": theta} for theta in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
    "adagres": [{"form": form, "scale": scale} for form in ("marginal", "total") for scale in (0.25, 0.5, 1.0, 2.0)],
}
"""What a baseline is tuned over."""
OWN_GRIDS: dict[str, Sequence[Mapping[str, Any]]] = {
    name: [{parameter: value} for value in values]
    for name, (parameter, values) in CHOICES.items()
    if name in ("greedy", "beam", "adaptive_k")
}
"""And the others, for F1: what `auto` is held to as well, since it may choose among these values."""
F1, RECALL = "f1", "recall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Ours less one baseline, each tuned for the measure that is compared."""

    f1: Difference
    """At equal budget."""
    recall: Difference
    """The baseline may spend the tokens that ours used."""
    recall_up: Difference
    """The baseline has at least the tokens that ours used."""


@dataclass(slots=True, kw_only=True)
class Result:
    """One contender under one budget."""

    contender: Contender
    budget: int
    train: Table
    test: Table
    against: dict[str, Against] = field(default_factory=dict)
    """Of ours: by baseline."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """One set."""

    results: list[Result]
    halves: list[Result]
    """Ours with half of the tokens that `topk` uses of `HALF_OF`; `budget` is `HALF_OF`."""
    tuned: dict[str, dict[str, Any]]
    """``"mmr for f1"`` -> parameters."""
    pool: dict[str, float]
    """Recall, and share of all gold, of the candidates of test: what no choice among them can exceed."""

    def of(self, name: str, budget: int) -> Result:
        """The result of a contender."""
        return next(one for one in self.results if one.contender.name == name and one.budget == budget)


def contenders(agent: Agent | None) -> list[Contender]:
    """All strategies with their defaults, `greedy` that fills its budget, and the agent's choice."""
    out = [Contender(name=name, strategy=name) for name in FIXED]
    out.append(Contender(name=FILLED, strategy="greedy", parameters={"price": 0.0}))
    return out if agent is None else [*out, Contender(name=AUTO, chooser=_by_agent(agent))]


def _by_agent(agent: Agent) -> Chooser:
    return lambda asked, limit: agent.choose(asked.pool, limit.tokens)


def run(
    train: Sequence[Asked],
    test: Sequence[Asked],
    agent: Agent | None,
    budgets: Sequence[int] = BUDGETS,
    *,
    only_auto: bool = False,
) -> Measured:
    """Measure all contenders on one set.

    Parameters
    ----------
    train, test : sequence of Asked
    agent : Agent or None
        None: without ``auto``.
    budgets : sequence of int
    only_auto : bool
        Measure the agent's choice and nothing else.
    """
    tuned = {measure: {name: _tuned(name, train, measure, budgets) for name in BASELINES} for measure in (F1, RECALL)}
    every = contenders(agent)
    if only_auto:
        every = [one for one in every if one.name == AUTO]
    else:
        every += [replace(tuned[F1][name], name=name + TUNED) for name in BASELINES if len(GRIDS[name]) > 1]
        every += [replace(_tuned(name, train, F1, budgets), name=name + TUNED) for name in OWN_GRIDS]
    out = Measured(results=[], halves=[], tuned=_said(tuned), pool=_pool(test))
    for budget in budgets:
        same = [_result(one, train, test, [budget] * 2, budget) for one in every]
        bases = {
            (measure, name): measured(one, test, [budget] * len(test))
            for measure, by_name in tuned.items()
            for name, one in by_name.items()
        }
        for result in same:
            if result.contender.name in OURS:
                result.against = {name: _against(name, result.test, test, tuned, bases) for name in BASELINES}
            out.results.append(result)
    if HALF_OF in budgets:
        out.halves = _halves([one for one in every if one.name in OURS], train, test)
    return out


def _result(one: Contender, train: Sequence[Asked], test: Sequence[Asked], each: Sequence[int], budget: int) -> Result:
    tables = [measured(one, pools, [tokens] * len(pools)) for pools, tokens in zip((train, test), each, strict=True)]
    return Result(contender=one, budget=budget, train=tables[0], test=tables[1])


def _tuned(name: str, train: Sequence[Asked], measure: str, budgets: Sequence[int]) -> Contender:
    """The baseline with those parameters that are best on train, on average over the budgets."""
    grid = [Contender(name=name, strategy=name, parameters=parameters) for parameters in (GRIDS | OWN_GRIDS)[name]]
    if len(grid) == 1:
        return grid[0]
    return max(
        grid,
        key=lambda one: float(np.mean([measured(one, train, [b] * len(train)).mean(measure) for b in budgets])),
    )


def _said(tuned: Mapping[str, Mapping[str, Contender]]) -> dict[str, dict[str, Any]]:
    return {
        f"{name} for {measure}": dict(one.parameters)
        for measure, by_name in tuned.items()
        for name, one in by_name.items()
        if one.parameters
    }


def _against(
    name: str,
    ours: Table,
    test: Sequence[Asked],
    tuned: Mapping[str, Mapping[str, Contender]],
    bases: Mapping[tuple[str, str], Table],
) -> Against:
    theirs = cut(tuned[RECALL][name], test, ours)
    up = filled_up(test, bases[RECALL, name], ours)
    return Against(
        f1=difference(ours.values["f1"], bases[F1, name].values["f1"]),
        recall=difference(ours.values["recall"], theirs.values["recall"]),
        recall_up=difference(ours.values["recall"], up),
    )


def _halves(ours: Sequence[Contender], train: Sequence[Asked], test: Sequence[Asked]) -> list[Result]:
    topk = Contender(name="topk", strategy="topk")
    tables: dict[str, list[Table]] = {one.name: [] for one in ours}
    for pools in (train, test):
        whole = measured(topk, pools, [HALF_OF] * len(pools)).values["tokens"]
        for one in ours:
            tables[one.name].append(measured(one, pools, (whole // 2).astype(np.int64).tolist()))
    return [Result(contender=one, budget=HALF_OF, train=tables[one.name][0], test=tables[one.name][1]) for one in ours]


def _pool(test: Sequence[Asked]) -> dict[str, float]:
    recall = np.array([len(one.gold) / one.n_gold for one in test])
    return {"recall": float(recall.mean()), "all_gold": float((recall == 1.0).mean())}


def lines(of: Measured) -> list[dict[str, Any]]:
    """One line per contender and budget: measures on test, means on train, differences."""
    out = []
    for result, half in [(one, False) for one in of.results] + [(one, True) for one in of.halves]:
        out.append(
            {
                "contender": result.contender.name,
                "ours": result.contender.name in OURS,
                "parameters": dict(result.contender.parameters),
                "budget": result.budget,
                "half": half,
                **{name: _number(result.test.mean(name)) for name in MEASURES},
                "p99_ms": float(np.percentile(result.test.values["ms"], 99)),
                "train": {name: _number(result.train.mean(name)) for name in MEASURES if name != "ms"},
                "against": {name: _differences(against) for name, against in result.against.items()},
                "pool": of.pool,
                "tuned": of.tuned,
            }
        )
    return out


def _differences(against: Against) -> dict[str, list[float]]:
    found = {"f1": against.f1, "recall": against.recall, "recall_up": against.recall_up}
    return {name: [one.mean, one.low, one.high] for name, one in found.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
