"""Monte Carlo tree search over sets of chunks: the idea of CORAG/CARROT (arXiv 2411.00744), made to keep its budget.

A node is a set, reached by adding one candidate at a time. What differs from the published search, and why:

- A child exists only if it fits: the budget is part of the search, and no result can be over it.
- Values are brought to 0 to 1 by the lowest and highest seen for this question, so that `exploration` and
  `cost_weight` mean the same for every utility.
- A node is judged by the best set below it, not by the mean of all its children, which favours subtrees without bad
  members over those with the best one. The result is the best set seen, by its own value.
- Children are opened in the order of their gain, a few at first and more with every visit, instead of all of them:
  about fifty model passes do where the published search takes a thousand. With a utility that costs passes, the order
  comes from the coverage of the question, which costs none.
- With a utility that costs no passes, every new node is completed greedily, and judged by what that ends in.
- The same set is one node, however it was reached, and is valued once.
- It starts from the greedy solution, so it is never worse; and what it has found is never lost, so more iterations or
  more time are never worse either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.choice import Choice, Limit, best_of, ranked
from ramet.engine.rag.parameters import number, whole
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.strategies.defaults import PRICE
from ramet.engine.rag.strategies.greedy import climbed
from ramet.engine.rag.strategies.run import Run
from ramet.engine.rag.utility import CoverageUtility, SetUtility

F64 = npt.NDArray[np.float64]

ITERATIONS = 64
"""128 find no better sets, on the questions for training; 16 find sets of 0.2 % less value."""
EXPLORATION = 0.3
COST_WEIGHT = 0.1
BATCH = 4
MAX_PASSES = 50
WIDENING = 2.0
"""Children that a node may have, times the square root of its visits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """The search's parameters, checked."""

    iterations: int
    exploration: float
    cost_weight: float
    batch: int
    max_passes: int
    deadline_s: float


@dataclass(slots=True, eq=False)
class _Node:
    """A set of candidates."""

    order: tuple[int, ...]
    value: float
    """The utility, less the price of every member."""
    cost: int
    best: float
    """Highest value of this set and all found below it."""
    visits: int = 1
    children: list[_Node] = field(default_factory=list)
    waiting: list[int] | None = None
    """Candidates that fit and are no child yet, the best last; None before the first look."""
    gains: F64 | None = None
    """What candidates that fit add, -inf for others; None before the first look."""
    exhausted: bool = False


def choose(
    pool: Pool,
    limit: Limit,
    utility: SetUtility,
    *,
    iterations: int = ITERATIONS,
    exploration: float = EXPLORATION,
    cost_weight: float = COST_WEIGHT,
    price: float = PRICE,
    batch: int = BATCH,
    max_passes: int = MAX_PASSES,
    deadline_ms: float | None = None,
) -> Choice:
    """Search for the set of the highest value, from the greedy one on.

    Parameters
    ----------
    pool : Pool
    limit : Limit
    utility : SetUtility
    iterations : int
        Nodes to expand, at least 0; 0 gives the greedy set.
    exploration : float
        Weight C of little visited nodes in UCB, at least 0.
    cost_weight : float
        Weight of tokens spent (as a share of the limit) against a node in UCB, at least 0.
    price : float
        What a chunk must add to be taken, at least 0, in the utility's units: part of what is searched for.
    batch : int
        Sets that are valued together, 1 to 1,024.
    max_passes : int
        Sets to value, each of which a model reads unless it is known, for utilities that need one; at least 1. (A
        cross-encoder with ``normalize="minmax"`` reads ten more when it is first asked.)
    deadline_ms : float, optional
        Stop after this time and return the best set until then; a model is given time for one `batch` at least.
        Choices then depend on the machine's speed.

    Returns
    -------
    Choice
        `gains` are those of the utility, the price taken off.
    """
    settings = _Settings(
        iterations=whole(iterations, "iterations", 0, 1 << 31),
        exploration=number(exploration, "exploration", 0.0),
        cost_weight=number(cost_weight, "cost_weight", 0.0),
        batch=whole(batch, "batch", 1, 1024),
        max_passes=whole(max_passes, "max_passes", 1, 1 << 31),
        deadline_s=math.inf if deadline_ms is None else number(deadline_ms, "deadline_ms", 0.0) / 1000.0,
    )
    run = Run(pool, limit, utility, number(price, "price", 0.0))
    tree = _Tree(run, settings)
    tree.search()
    order = tree.best.order
    values = utility.many([order[:size] for size in range(len(order) + 1)])
    gains = (np.diff(values) - run.price).tolist()
    for size in range(1, len(order) + 1):
        run.step(order[:size], gains[size - 1])
    return run.done(order, gains)


class _Tree:
    """All sets looked at, and how they were found from each other."""

    def __init__(self, run: Run, settings: _Settings) -> None:
        self._run = run
        self._settings = settings
        self._cheap = run.utility.cheap
        self._guide = run if self._cheap else Run(run.pool, run.limit, CoverageUtility(run.pool), PRICE)
        self._ends: dict[frozenset[int], float] = {}
        self._root = _Node((), 0.0, 0, 0.0)
        self._nodes = {frozenset[int](): self._root}
        self._low = self._high = 0.0
        self.best = self._root

    def search(self) -> None:
        """Start from the greedy solution, then expand nodes until something runs out."""
        self._seed()
        self._run.trace.append({"iteration": 0, "value": round(self.best.value, 6), "sets": len(self._nodes)})
        for iteration in range(1, self._settings.iterations + 1):
            if self._root.exhausted or self._passes_left() == 0 or self._late():
                break
            before = self.best
            self._iterate()
            if self.best is not before:
                self._run.trace.append(
                    {"iteration": iteration, "value": round(self.best.value, 6), "sets": len(self._nodes)}
                )  # fmt: skip

    def _seed(self) -> None:
        """The greedy solution of the utility, or else of what stands in for it, with all its beginnings."""
        order = climbed(self._guide)[0][: self._passes_left()]
        self._run.trace.clear()
        path = [self._root]
        sets = [tuple(order[:size]) for size in range(1, len(order) + 1)]
        bounded = not self._cheap and math.isfinite(self._settings.deadline_s)
        size = self._settings.batch if bounded else max(len(sets), 1)
        for first in range(0, len(sets), size):
            if bounded and first and self._late():  # the first batch is always valued: nothing were found without it
                break
            for node in self._valued(sets[first : first + size]):
                path[-1].children.append(node)
                self._back(path, node)
                path.append(node)

    def _iterate(self) -> None:
        """Walk down to a node that may grow, and grow it."""
        node, path = self._root, [self._root]
        while True:
            waiting = self._waiting(node)
            alive = [child for child in node.children if not child.exhausted]
            if waiting and (not alive or len(node.children) < 1 + WIDENING * math.sqrt(node.visits)):
                for child in self._grown(node, waiting):
                    self._back(path, child)
                return
            if not alive:
                node.exhausted = True
                return
            node = self._chosen(node, alive)
            path.append(node)

    def _chosen(self, node: _Node, alive: list[_Node]) -> _Node:
        """The child of the highest upper confidence bound; the first of equal ones."""
        scale = 1.0 / (self._high - self._low or 1.0)
        weight = self._settings.cost_weight / max(self._run.limit.tokens, 1)
        unknown = self._settings.exploration * math.sqrt(math.log(1 + node.visits))
        chosen, highest = alive[0], -math.inf
        for child in alive:  # most of the search's own time is spent here
            bound = (child.best - self._low) * scale + unknown / math.sqrt(child.visits) - weight * child.cost
            if bound > highest:
                chosen, highest = child, bound
        return chosen

    def _waiting(self, node: _Node) -> list[int]:
        """Candidates by which a node can still grow, the best last."""
        if node.waiting is None:
            gains = self._gains(node)
            known = {c for child in node.children for c in child.order}
            order = ranked(gains, self._run.places, gains > -np.inf)[::-1].tolist()
            node.waiting = [c for c in order if c not in known]
        return node.waiting

    def _gains(self, node: _Node) -> F64:
        """What candidates that fit add to a node, -inf for others; of the guide where the utility costs passes."""
        if node.gains is None:
            node.gains = self._guide.gains(node.order)
        return node.gains

    def _grown(self, node: _Node, waiting: list[int]) -> list[_Node]:
        """New children of a node: the next candidate and how it would end, or the next few."""
        size = 1 if self._cheap else min(self._settings.batch, self._passes_left())
        taken = [waiting.pop() for _ in range(min(size, len(waiting)))]
        if self._cheap:
            gains = self._gains(node)
            grown = [self._node((*node.order, c), node.value + float(gains[c])) for c in taken]
            for child in grown:
                child.best = max(child.best, self._completed(child))
        else:
            grown = self._valued([(*node.order, c) for c in taken])
        node.children += grown
        return grown

    def _completed(self, node: _Node) -> float:
        """Value of a node when it is completed greedily; each set is completed once."""
        path = [node]
        while frozenset(path[-1].order) not in self._ends:
            last = path[-1]
            gains = self._gains(last)
            best = best_of(gains, self._run.places, gains > 0.0)
            if best < 0:
                self._ends[frozenset(last.order)] = last.value
                break
            path.append(self._node((*last.order, best), last.value + float(gains[best])))
        end = self._ends[frozenset(path[-1].order)]
        self._ends.update((frozenset(one.order), end) for one in path)
        return end

    def _valued(self, sets: list[tuple[int, ...]]) -> list[_Node]:
        """Nodes of sets, valued by the utility."""
        if not self._cheap:
            self._run.evaluations += len(sets)
        values = self._run.utility.many(sets)
        return [self._node(one, float(v) - self._run.price * len(one)) for one, v in zip(sets, values, strict=True)]

    def _node(self, order: tuple[int, ...], value: float) -> _Node:
        """The node of a set: that which is there, or a new one."""
        key = frozenset(order)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node(order, value, self._run.limit.used(order), value)
            self._low, self._high = min(self._low, value), max(self._high, value)
            if value > self.best.value:
                self.best = node
        return node

    def _back(self, path: list[_Node], child: _Node) -> None:
        """Tell all nodes on the way what was found below them."""
        for node in path:
            node.visits += 1
            node.best = max(node.best, child.best)

    def _late(self) -> bool:
        """Whether the time is over."""
        return self._run.seconds >= self._settings.deadline_s

    def _passes_left(self) -> int:
        """Sets that may still be valued.

        Those of this search are counted, also if their values were known before: so the choice depends neither on
        earlier searches by the same utility nor on those of other threads.
        """
        n_valued = len(self._nodes) - 1  # all but the empty one
        return 1 << 31 if self._cheap else max(self._settings.max_passes - n_valued, 0)
