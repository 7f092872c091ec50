"""What is known of a question that was asked: its pool and its utilities, kept for when it is asked again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from ramet.engine.rag.pool import Name, Pool
from ramet.engine.rag.utility import SetUtility, utility_for

MOST_KEPT = 64
"""Questions whose pools are kept; one of 60 chunks takes some 100 KB."""
MOST_BYTES = 32 << 20
"""Of all pools that are kept, but for the last one: a pool of 1,000 chunks takes 20 MB."""
MOST_UTILITIES = 8
"""Of one question."""


@dataclass(slots=True)
class Considered:
    """The pool of a question, with what was valued in it so far."""

    pool: Pool
    seeds: dict[Name, str]
    """Name of a candidate of the second hop -> id of the chunk that brought it up."""
    stages: list[dict[str, Any]]
    """What was done to get it, with times."""
    _utilities: dict[Hashable, tuple[object, SetUtility]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def utility(self, given: object) -> SetUtility:
        """The utility that was asked for, with the values that it knows already.

        Raises
        ------
        ArgumentError
        """
        key = given if isinstance(given, str) else id(given)
        with self._lock:
            if key not in self._utilities:
                made = utility_for(given, self.pool)
                if len(self._utilities) >= MOST_UTILITIES:
                    self._utilities.clear()
                # The object itself is kept, too: after it is gone, its id would be another one's.
                self._utilities[key] = (given, made)
            return self._utilities[key][1]


def size_of(pool: Pool) -> int:
    """About how many bytes a pool takes, with the arrays of the coverage utility over it: two (n, n) of float64."""
    texts = sum(len(one.text) for one in pool.candidates)
    return 5 * pool.similarity.nbytes + 3 * pool.coverage.nbytes + texts


class Memory:
    """The last questions, as many as are allowed. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Considered] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], Considered]) -> Considered:
        """What is known under a key, made if need be."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return replace(self._known[key], stages=[{"stage": "known", "ms": 0.0}])
        made = make()
        with self._lock:
            self._known[key] = made
            self._known.move_to_end(key)
            sizes = sum(size_of(one.pool) for one in self._known.values())
            while len(self._known) > 1 and (len(self._known) > MOST_KEPT or sizes > MOST_BYTES):
                sizes -= size_of(self._known.popitem(last=False)[1].pool)
        return made
