"""Set utilities whose value somebody else says: a cross-encoder, or a function of the user's.

Each set is asked for once: answers are kept per question. What is asked for is a set, so chunks
are put in one order before (by score, id and tenant), whatever order they were found in.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.choice import precedence
from ramet.engine.rag.parameters import one_of, whole
from ramet.engine.rag.pool import Candidate, Pool

F64 = npt.NDArray[np.float64]
Set = tuple[int, ...]

NORMALIZATIONS = ("sigmoid", "minmax", "none")
MOST_BATCH = 65_536


class PairScorer(Protocol):
    """A cross-encoder, as far as it is used here: `sentence_transformers.CrossEncoder` is one."""

    def predict(self, pairs: list[tuple[str, str]], **options: Any) -> Any:
        """Scores of (question, text) pairs, one number each."""
        ...


class _Scored:
    """Values by set, each computed once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._n = len(pool.candidates)
        self._place = precedence(pool)
        self._known: dict[Set, float] = {(): 0.0}
        self._passes = 0
        self._lock = threading.RLock()  # a function of the user's may select by itself

    @property
    def passes(self) -> int:
        """Sets that were asked for, each once."""
        return self._passes

    @property
    def cheap(self) -> bool:
        """Every candidate is one more set to ask for."""
        return False

    def gains(self, chosen: Sequence[int], among: Sequence[int] | None = None) -> F64:
        """By how much each candidate raises the value, (n,); -inf for those in the set and those not asked for."""
        inside = {int(c) for c in chosen}
        asked = [c for c in (range(self._n) if among is None else map(int, among)) if c not in inside]
        gains = np.full(self._n, -np.inf)
        values = self.many([tuple(chosen), *((*chosen, c) for c in asked)])
        gains[asked] = values[1:] - values[0]
        return gains

    def value(self, chosen: Sequence[int]) -> float:
        """Value of one set."""
        return float(self.many([chosen])[0])

    def many(self, sets: Sequence[Sequence[int]]) -> F64:
        """Values of several sets; only those not asked for before cost anything."""
        ordered = [tuple(sorted((int(c) for c in chosen), key=self._place.__getitem__)) for chosen in sets]
        with self._lock:  # another thread that wants the same set waits for it
            new = list(dict.fromkeys(chosen for chosen in ordered if chosen not in self._known))
            if new:
                self._known.update(zip(new, self._ask(new), strict=True))
            return np.array([self._known[chosen] for chosen in ordered], np.float64)

    def _ask(self, sets: list[Set]) -> list[float]:
        """Values of sets that are not empty."""
        raise NotImplementedError


class CrossEncoderUtility(_Scored):
    """What a cross-encoder says to the question and the texts of a set, one after the other.

    Parameters
    ----------
    model : CrossEncoder
        Of sentence-transformers, with one score a pair; or anything with such a `predict`.
    pool : Pool
    batch_size : int
        Pairs that the model reads together.
    normalize : {"sigmoid", "minmax", "none"}
        Brings the model's scores to 0 to 1: by the sigmoid; or linearly, by the lowest and highest score that any
        of the ten best candidates gets alone, which costs ten passes a question (and longer sets may lie outside).
        Otherwise rewards, prices and thresholds mean something else for every model.
    separator : str
        Between two texts.

    Notes
    -----
    The value of the empty set is 0. Models cut long texts off; what is beyond is not valued.
    """

    ANCHORS = 10

    def __init__(
        self,
        model: PairScorer,
        pool: Pool,
        *,
        batch_size: int = 32,
        normalize: str = "sigmoid",
        separator: str = "\n\n",
    ) -> None:
        super().__init__(pool)
        if not callable(getattr(model, "predict", None)):
            raise ArgumentError("model", f"must have predict(pairs), got {type(model).__name__}")
        self._model = model
        self._batch_size = whole(batch_size, "batch_size", 1, MOST_BATCH)
        self._normalize = one_of(normalize, "normalize", NORMALIZATIONS)
        self._separator = str(separator)
        self._range: tuple[float, float] | None = None
        self._raw: dict[Set, float] = {}

    def _ask(self, sets: list[Set]) -> list[float]:
        raw = self._scores(sets)
        if self._normalize == "sigmoid":
            return [_sigmoid(score) for score in raw]
        if self._normalize == "none":
            return raw
        low, high = self._bounds()
        return [(score - low) / (high - low) if high > low else 0.5 for score in raw]

    def _bounds(self) -> tuple[float, float]:
        """Lowest and highest score of the best candidates, each alone."""
        if self._range is None:
            best = np.argsort(self._place)[: self.ANCHORS]
            alone: list[Set] = [(int(c),) for c in best]
            scores = self._scores(alone)
            self._range = min(scores), max(scores)
        return self._range

    def _scores(self, sets: list[Set]) -> list[float]:
        """The model's own scores."""
        new = [chosen for chosen in sets if chosen not in self._raw]
        if new:
            texts = [self._separator.join(self._pool.candidates[c].text for c in chosen) for chosen in new]
            pairs = [(self._pool.question, text) for text in texts]
            options = {"batch_size": self._batch_size, "show_progress_bar": False, "activation_fn": _as_it_is}
            found = np.asarray(self._model.predict(pairs, **options), np.float64)
            if found.shape not in {(len(new),), (len(new), 1)}:
                raise ArgumentError("model", f"must give one score a pair, gave {found.shape[1:]} numbers")
            if not np.isfinite(found).all():
                raise ArgumentError("model", "gave a score that is not finite")
            self._passes += len(new)
            self._raw.update(zip(new, found.ravel().tolist(), strict=True))
        return [self._raw[chosen] for chosen in sets]


class CallableUtility(_Scored):
    """What a function of the user's says.

    Parameters
    ----------
    function : callable
        Gets the question and a list of `Candidate`, best score first, never empty; returns a finite number, higher is
        better. It is called once for each set.
    pool : Pool
    """

    def __init__(self, function: Callable[[str, list[Candidate]], float], pool: Pool) -> None:
        super().__init__(pool)
        if not callable(function):
            raise ArgumentError("utility", f"must be callable, got {type(function).__name__}")
        self._function = function

    def _ask(self, sets: list[Set]) -> list[float]:
        self._passes += len(sets)
        return [self._checked([self._pool.candidates[c] for c in chosen]) for chosen in sets]

    def _checked(self, chosen: list[Candidate]) -> float:
        found = self._function(self._pool.question, chosen)
        try:
            value = float(found)
        except (TypeError, ValueError) as error:
            raise ArgumentError("utility", f"must return a number, returned {found!r}") from error
        if not math.isfinite(value):
            raise ArgumentError("utility", f"must return a finite number, returned {value}")
        return value


def _as_it_is(logits: Any) -> Any:
    """In place of the model's own activation, which differs from model to model."""
    return logits


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
