"""What all strategies do the same way: count, time, note steps, and say why each candidate is in or out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.choice import Choice, Limit, precedence
from ramet.engine.rag.pool import Pool
from ramet.engine.rag.utility import CoverageUtility, SetUtility

F64 = npt.NDArray[np.float64]

ALIKE = 0.8
"""Cosine of two chunks from which one is said to repeat the other."""
MOST_WORDS = 4
"""Aspects that a reason names."""
TOO_LITTLE = 0.02
"""What a chunk adds to an aspect is not worth a word below this."""


class Run:
    """One choice in the making.

    Attributes
    ----------
    places : array of int64, shape (n,)
        `precedence` of the pool.
    evaluations : int
        Counted here and by the strategy.
    trace : list of dict
    """

    def __init__(self, pool: Pool, limit: Limit, utility: SetUtility, price: float = 0.0) -> None:
        self.pool = pool
        self.limit = limit
        self.utility = utility
        self.price = price
        self.places = precedence(pool)
        self.evaluations = 0
        self.trace: list[dict[str, Any]] = []
        self._passes = utility.passes
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._started

    @property
    def passes(self) -> int:
        """Texts that a model read since the start."""
        return self.utility.passes - self._passes

    def gains(self, chosen: Sequence[int]) -> F64:
        """What each candidate that fits adds to the value less its price, (n,); -inf for all others."""
        fits = self.limit.fitting(chosen)
        self.evaluations += 1 if self.utility.cheap else int(fits.sum())
        gains = self.utility.gains(chosen, None if self.utility.cheap else np.flatnonzero(fits).tolist())
        return np.where(fits, gains - self.price, -np.inf)

    def step(self, chosen: Sequence[int], gain: float, **more: Any) -> None:
        """Note that the last of `chosen` was taken."""
        used = self.limit.used(chosen)
        self.trace.append(
            {
                "step": len(chosen), "id": self.pool.candidates[chosen[-1]].id, "gain": round(float(gain), 6),
                "tokens": used, "left": self.limit.tokens - used, **more,
            }
        )  # fmt: skip

    def done(
        self, order: Sequence[int], gains: Sequence[float], *, word: str = "gain", rest: str | None = None
    ) -> Choice:
        """Return the choice.

        Parameters
        ----------
        order, gains : sequences
            Chosen candidates in the order gained, and what each added.
        word : str
            What the strategy calls that.
        rest : str, optional
            Why candidates that fit were left out. None: by their gain.
        """
        seconds, passes = self.seconds, self.passes
        reasons = {int(c): self._why_in(order[:i], c, gains[i], word) for i, c in enumerate(order)}
        left = self.limit.left(order)
        by_gain = rest is None and self.utility.cheap
        worth = self.utility.gains(order) - self.price if by_gain else None
        for c in range(len(self.pool.candidates)):
            if c not in reasons:
                gain = None if worth is None else float(worth[c])
                reasons[c] = self._does_not_fit(c, left) if rest else self._why_not(order, c, left, gain)
                reasons[c] = reasons[c] or rest or "what was chosen is worth more"
        return Choice(
            order=tuple(int(c) for c in order), gains=tuple(float(gain) for gain in gains),
            reasons=dict(sorted(reasons.items())), trace=self.trace, passes=passes, evaluations=self.evaluations,
            seconds=seconds,
        )  # fmt: skip

    def _why_in(self, before: Sequence[int], candidate: int, gain: float, word: str) -> str:
        """Why a candidate was taken."""
        said = [f"{word} {gain:.3f}"]
        if isinstance(self.utility, CoverageUtility):
            other = self.utility.linked_with(before, candidate)
            if other is not None:
                said.insert(0, f"linked with {self.pool.candidates[other].id!r}")
            new = self.utility.new_aspects(before, candidate)
            most = [int(a) for a in np.argsort(-new, kind="stable")[:MOST_WORDS] if new[a] >= TOO_LITTLE]
            if most and len(self.pool.aspects) == len(new):
                said.insert(0, f"covers {', '.join(repr(self.pool.aspects[a]) for a in most)}")
        return "; ".join(said)

    def _why_not(self, order: Sequence[int], c: int, left: int, gain: float | None) -> str:
        """Why one candidate was not taken; empty if nothing is against it but the others."""
        if self.limit.costs[c] > self.limit.tokens:
            return self._does_not_fit(c, left)
        if gain is None or gain <= 0.0:
            likeness = self.pool.similarity[c, list(order)]
            if len(order) and likeness.max() >= ALIKE:
                other = self.pool.candidates[order[int(likeness.argmax())]].id
                return f"adds nothing new: {likeness.max():.2f} like {other!r}"
        if gain is not None and gain <= 0.0:
            price = f", price {self.price:g}" if self.price else ""
            return f"adds too little: gain {gain + self.price:.3f}{price}"
        return self._does_not_fit(c, left)

    def _does_not_fit(self, c: int, left: int) -> str:
        """How much of the limit one candidate would need; empty if it fits."""
        cost = int(self.limit.costs[c])
        if cost > self.limit.tokens:
            return f"does not fit: {cost} tokens, the limit is {self.limit.tokens}"
        return f"does not fit: {cost} tokens, {left} left" if cost > left else ""
