"""What every contender does that keeps tenants apart."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.building import Arrays
from bench.peers.base import Setting
from bench.tenancy import Tenancy

Search = Callable[[np.ndarray, int], Any]
"""(query, tenant) -> the library's own answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to load, and how."""

    arrays: Arrays
    tenancy: Tenancy
    asked: frozenset[int]
    """Tenants that will be searched; what is built for each tenant may leave the others out."""
    metric: str
    threads: int
    batch: int
    """Records per call, where records arrive in calls."""
    work: Path
    """Folder of this run."""
    reuse: bool
    """Take shared indexes of earlier runs from the cache."""


class TenantContender(ABC):
    """One index for all tenants, or one for each."""

    name: str
    unit_vectors = True
    """Under cosine: gets vectors of unit length."""
    most_queries: int | None = None
    """Fewer queries than the others are asked, where one takes milliseconds; None: as many."""
    most_rounds: int | None = None
    """Fewer rounds than the others have, where a query takes seconds; None: as many."""
    untuned: Setting | None = None
    """A setting that is measured as it is, for a contender that promises a recall by itself."""

    @abstractmethod
    def load(self, job: Load) -> dict[str, Any]:
        """Take in all records and be ready to search; return ``load_s`` and further facts."""

    @abstractmethod
    def settings(self) -> list[Setting]:
        """Search settings in increasing effort, up to where the effort is capped."""

    @abstractmethod
    def searcher(self, setting: Setting, tenants: Sequence[int], k: int) -> Search:
        """Return a function that searches for the `tenants` named; preparing it is not timed, calling it is.

        It holds until the next call of this method.
        """

    def times(
        self, setting: Setting, queries: Sequence[np.ndarray], tenants: Sequence[int], k: int
    ) -> np.ndarray | None:
        """Time queries in the process where the contender lives, in nanoseconds, (n,) int64; None: it lives here."""
        return None

    @abstractmethod
    def rows(self, answer: Any) -> np.ndarray:
        """Return the rows in an answer, (n,) int64, with n at most k; -1 is "nothing"."""

    def close(self) -> None:  # noqa: B027 - memory goes with the object unless a contender says otherwise
        """Release files and memory."""
