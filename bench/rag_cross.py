"""Tree search with a cross-encoder beside a beam with the same one: what they choose, and in how many passes.

No package brings the weights of a cross-encoder, so one is made (`bench.rag_cross_model`), taught on the questions for
training to say how much of the evidence a set of passages holds and how little else (F1). What is compared is the
search, not the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.rag_measure import Table, checked, difference, judged
from bench.rag_pools import Asked
from ramet.engine.rag.choice import Limit
from ramet.engine.rag.strategies import choose
from ramet.engine.rag.utility import CrossEncoderUtility

MOST_PASSES = 50
CONTENDERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "mcts": ("mcts", {"price": 0.0, "max_passes": MOST_PASSES}),
    "greedy": ("greedy", {"price": 0.0}),
    "beam": ("beam", {"price": 0.0, "width": 8}),
}
"""Strategy and parameters. F1 falls with a needless passage, so it takes no price."""
MEASURES = ("recall", "precision", "f1", "all_gold", "tokens", "chunks", "ms", "passes")

SETS_OF_ONE_QUESTION = 12
MOST_PASSAGES = 3
SEED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A set of passages, and how good it is as evidence."""

    question: str
    text: str
    worth: float
    """F1 of the evidence."""


def examples(pools: Sequence[Asked], seed: int = SEED) -> list[Example]:
    """Sets of one to three candidates, of the evidence and of others, with their F1."""
    rng, out = np.random.default_rng(seed), list[Example]()
    for one in pools:
        gold = np.array(sorted(one.gold), np.int64)
        others = np.setdiff1d(np.arange(min(20, len(one.pool.candidates))), gold)
        for _ in range(SETS_OF_ONE_QUESTION):
            size = int(rng.integers(1, MOST_PASSAGES + 1))
            n_gold = min(int(rng.integers(0, size + 1)), len(gold))
            n_other = min(size - n_gold, len(others))
            if n_gold + n_other == 0:
                continue
            chosen = np.sort(np.concatenate([rng.choice(gold, n_gold, False), rng.choice(others, n_other, False)]))
            text = "\n\n".join(one.pool.candidates[c].text for c in chosen.tolist())
            worth = judged(one, chosen.tolist())["f1"]
            out.append(Example(question=one.question.text, text=text, worth=worth))
    return out


def measured(model: Any, name: str, pools: Sequence[Asked], budget: int) -> Table:
    """Let a contender choose for every question, each with a utility that knows nothing yet."""
    strategy, parameters = CONTENDERS[name]
    rows, orders = [], []
    for one in pools:
        utility = CrossEncoderUtility(model, one.pool)
        choice = choose(strategy, one.pool, Limit(tokens=budget, costs=one.pool.costs), utility, **parameters)
        row = checked(name, judged(one, choice.order), budget, one.question.id)
        rows.append(row | {"ms": 1e3 * choice.seconds, "passes": float(choice.passes)})
        orders.append(tuple(choice.order))
    return Table(values={measure: np.array([row[measure] for row in rows]) for measure in MEASURES}, orders=orders)


def lines(model: Any, pools: Sequence[Asked], budget: int) -> list[dict[str, Any]]:
    """A line for every contender, with its F1 less that of the beam."""
    tables = {name: measured(model, name, pools, budget) for name in CONTENDERS}
    beam, out = tables["beam"].values["f1"], []
    for name, table in tables.items():
        less = difference(table.values["f1"], beam)
        out.append(
            {
                "contender": name,
                "parameters": CONTENDERS[name][1],
                "budget": budget,
                **{measure: table.mean(measure) for measure in MEASURES},
                "most_passes": float(table.values["passes"].max()),
                "f1_less_beam": [less.mean, less.low, less.high],
            }
        )
    return out
