"""What a set of chunks is worth to the reader of a question.

A set utility values sets, never orders: strategies search for the set of the highest value that fits. It need not be
monotone (a chunk may make a set worse), so a strategy can stop before the budget is spent.

`CoverageUtility` needs no model: it is sums over the arrays of a pool. Utilities that ask a cross-encoder or a
function of the user's are in `ramet.engine.rag.scored`, and imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.links import linked
from ramet.engine.rag.parameters import number
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.scored import CallableUtility, CrossEncoderUtility

__all__ = ["CallableUtility", "CoverageUtility", "CrossEncoderUtility", "SetUtility", "utility_for"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Chosen on questions for training (HotpotQA, MuSiQue); docs/rag-strategies.md has the figures.
RELEVANCE = 2.0
LINKS = 0.3
HOPS = 0.3
REDUNDANCY = 0.0
"""Coverage already gives nothing for what is said twice; a further penalty only cost recall."""
REDUNDANCY_FLOOR = 0.8
"""Chunks on one subject have cosines of 0.5 to 0.7; above this they say the same."""
DISTRACTION = 0.0
REACH = 0.5
"""A chunk that alone covers this much (in aspects) does not distract."""


class SetUtility(Protocol):
    """Value of sets of candidates, given as numbers of candidates in a pool."""

    @property
    def passes(self) -> int:
        """Texts that a model has read so far."""
        ...

    @property
    def cheap(self) -> bool:
        """The gains of all candidates cost about as much as one value, and no model reads anything."""
        ...

    def gains(self, chosen: Sequence[int], among: Sequence[int] | None = None) -> F64:
        """By how much each candidate raises the value of a set, (n,); -inf for those in it and for those not asked.

        Parameters
        ----------
        chosen : sequence of int
            The set.
        among : sequence of int, optional
            The candidates to look at, None for all. A utility that is cheap may answer for the others, too.
        """
        ...

    def value(self, chosen: Sequence[int]) -> float:
        """Value of one set; 0 for the empty one."""
        ...

    def many(self, sets: Sequence[Sequence[int]]) -> F64:
        """Values of several sets, with the model's work done in batches."""
        ...


class CoverageUtility:
    """How well a set covers the aspects of the question, without a model.

    F(S) = sum over aspects a of weight(a) max over c in S of coverage(a, c)
    + relevance * sum over c in S of near(c)
    + links * sum over c in S of max over d in S of link(c, d)
    + hops * sum over c in S of hop(c)
    - redundancy * sum over pairs of S of max(0, cos(c, d) - redundancy_floor)
    - distraction * sum over c in S of max(0, near(c)) max(0, 1 - own(c) / 0.5)

    with own(c) the coverage that S loses without c, near(c) the cosine of question and chunk less the median of the
    pool's (models differ in what is near; what is further than most is no gain, then), link(c, d) from
    `ramet.engine.rag.links`, hop(c) from `Pool.hops` (`ramet.engine.rag.widening`). Negative cosines of aspects count
    as 0. Without aspects there is nothing to cover, and near(c) is scaled so that the best candidate has 1.

    Parameters
    ----------
    pool : Pool
    relevance, links, hops, redundancy, distraction : float
        Weights of the terms above, at least 0.
    redundancy_floor : float
        Cosine from which two chunks repeat each other, -1 to 1.

    Notes
    -----
    Gains of all candidates cost O((a + |S|) n). The first term is monotone and submodular, the second modular and of
    either sign; links are worth more together, the last two less: the sum is neither monotone nor submodular.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        relevance: float = RELEVANCE,
        links: float = LINKS,
        hops: float = HOPS,
        redundancy: float = REDUNDANCY,
        redundancy_floor: float = REDUNDANCY_FLOOR,
        distraction: float = DISTRACTION,
    ) -> None:
        alpha = number(relevance, "relevance", 0.0)
        bond = number(links, "links", 0.0)
        step = number(hops, "hops", 0.0)
        beta = number(redundancy, "redundancy", 0.0)
        floor = number(redundancy_floor, "redundancy_floor", -1.0, 1.0)
        self._distraction = number(distraction, "distraction", 0.0)
        self._coverage: F64 = (
            np.maximum(pool.coverage.astype(np.float64), 0.0) * pool.weights.astype(np.float64)[:, None]
        )
        near = _near(pool)
        self._near: F64 = np.maximum(near, 0.0)
        self._relevance: F64 = alpha * near
        if pool.hops is not None:
            self._relevance += step * pool.hops.astype(np.float64)
        n = len(pool.candidates)
        self._links: F64 = bond * linked(pool.candidates) if bond else np.zeros((n, n))
        self._linking = bool(self._links.any())
        self._repeats: F64 = beta * np.maximum(pool.similarity.astype(np.float64) - floor, 0.0)
        np.fill_diagonal(self._repeats, 0.0)
        self._repeating = bool(self._repeats.any())

    @property
    def passes(self) -> int:
        """No model reads anything."""
        return 0

    @property
    def cheap(self) -> bool:
        """Gains are sums over arrays."""
        return True

    def gains(self, chosen: Sequence[int], among: Sequence[int] | None = None) -> F64:
        """By how much each candidate raises the value, (n,); -inf for those in the set."""
        members = np.asarray(chosen, np.int64)
        best = self._best(members)
        gains: F64 = np.maximum(self._coverage - best[:, None], 0.0).sum(axis=0) + self._relevance
        if self._linking and len(members):
            to_members = self._links[:, members]
            gains += to_members.max(axis=1) + np.maximum(to_members - self._bonds(members), 0.0).sum(axis=1)
        if self._repeating and len(members):
            gains -= self._repeats[members].sum(axis=0)
        if self._distraction:
            gains -= self._distraction * self._distracting(members, best)
        gains[members] = -np.inf
        return gains

    def value(self, chosen: Sequence[int]) -> float:
        """Value of one set."""
        members = np.asarray(chosen, np.int64)
        total = float(self._best(members).sum() + self._relevance[members].sum())
        if self._linking:
            total += float(self._bonds(members).sum())
        if self._repeating:
            total -= 0.5 * float(self._repeats[np.ix_(members, members)].sum())
        if self._distraction:
            total -= self._distraction * float(self._near[members] @ _idle(self._own(members)))
        return total

    def many(self, sets: Sequence[Sequence[int]]) -> F64:
        """Values of several sets."""
        return np.array([self.value(chosen) for chosen in sets], np.float64)

    def new_aspects(self, chosen: Sequence[int], candidate: int) -> F64:
        """What a candidate adds to each aspect, in weighted cosine, (a,); all zero for one in the set."""
        best = self._best(np.asarray(chosen, np.int64))
        new: F64 = np.maximum(self._coverage[:, candidate] - best, 0.0)
        return new

    def linked_with(self, chosen: Sequence[int], candidate: int) -> int | None:
        """The first member of a set that a candidate is linked with, if that counts."""
        bonds = self._links[candidate, list(chosen)]
        return chosen[int(bonds.argmax())] if bonds.any() else None

    def _best(self, members: I64) -> F64:
        """Coverage of each aspect by a set, (a,)."""
        if not len(members):
            return np.zeros(len(self._coverage))
        best: F64 = self._coverage[:, members].max(axis=1)
        return best

    def _bonds(self, members: I64) -> F64:
        """Strongest link of each member to another one, (m,)."""
        if not len(members):
            return np.zeros(0)
        bonds: F64 = self._links[np.ix_(members, members)].max(axis=1)
        return bonds

    def _own(self, members: I64) -> F64:
        """What the coverage of a set would lose without each of its members, (m,)."""
        first, second, owner = self._two_best(members)
        own: F64 = np.zeros(len(members))
        np.add.at(own, owner, first - second)
        return own

    def _two_best(self, members: I64) -> tuple[F64, F64, I64]:
        """Of each aspect: best coverage, second best, and which member has the best."""
        covered = self._coverage[:, members]
        aspects = np.arange(len(covered))
        if not len(members) or not len(covered):
            return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
        owner = covered.argmax(axis=1)
        first = covered[aspects, owner]
        if len(members) == 1:
            return first, np.zeros(len(covered)), owner
        rest = covered.copy()
        rest[aspects, owner] = -1.0
        return first, rest.max(axis=1), owner

    def _distracting(self, members: I64, best: F64) -> F64:
        """By how much each candidate raises the sum of the distraction term, (n,)."""
        new = self._near * _idle(np.maximum(self._coverage - best[:, None], 0.0).sum(axis=0))
        if not len(members):
            return new
        first, second, owner = self._two_best(members)
        left = np.maximum(first[:, None] - np.maximum(second[:, None], self._coverage[: len(first)]), 0.0)
        owned = np.zeros((len(members), len(self._near)))
        np.add.at(owned, owner, left)
        before = self._near[members] @ _idle(self._own(members))
        added: F64 = new + self._near[members] @ _idle(owned) - before
        return added


def _near(pool: Pool) -> F64:
    """Relevance less that of the middle of the pool, (n,); scaled where there are no aspects beside it."""
    relevance = pool.relevance.astype(np.float64)
    if not len(relevance):
        return relevance
    near: F64 = relevance - np.median(relevance)
    if pool.weights.any():
        return near
    highest = near.max()
    return near / highest if highest > 0.0 else np.ones(len(near))


def _idle(own: F64) -> F64:
    """Share of a chunk that only distracts, 0 to 1, from what it alone covers."""
    share: F64 = np.maximum(1.0 - own / REACH, 0.0)
    return share


def utility_for(utility: object, pool: Pool, **parameters: float) -> SetUtility:
    """The utility that a user named or gave, over one pool.

    Parameters
    ----------
    utility : {"coverage"}, cross-encoder or callable
        A cross-encoder has `predict`; a callable gets (question, list of candidates) and returns a number.
    pool : Pool
    **parameters : float
        Of the utility's constructor.

    Raises
    ------
    ArgumentError
        None of these.
    """
    if utility == "coverage":
        return CoverageUtility(pool, **parameters)
    if hasattr(utility, "predict"):
        return CrossEncoderUtility(utility, pool, **parameters)  # type: ignore[arg-type]
    if callable(utility):
        return CallableUtility(utility, pool, **parameters)
    raise ArgumentError("utility", f"must be 'coverage', a cross-encoder or a callable, got {utility!r}")
