"""When to look for data that is not in the page cache.

Asking the kernel about every extent costs some 10 us a query, and not asking costs a page fault of 50 to 100 us for
every page that is missing. So a collection starts by asking; after a run of queries that missed nothing it stops; a
query that then takes a major page fault (the cache was squeezed) switches the asking on again.
"""

from __future__ import annotations

import os

QUIET_CALLS = 64
"""Calls in a row that must find everything cached before the asking stops."""

SWITCH = "RAMET_PREFETCH"
"""Environment variable; 0 switches prefetching off (to measure what it is worth)."""


class Residency:
    """Whether the next search should prefetch, and what searches have read.

    Races between threads only delay a switch, or lose a count.

    Parameters
    ----------
    may_ask : bool
        Whether the kernel tells this process what is cached: it does so only to those who may write the file. Otherwise
        every extent is asked for, always.

    Attributes
    ----------
    lists, rows, vectors : int
        Posting lists read, rows of them compared, and full-precision vectors compared, since this object was made.
    """

    __slots__ = ("_allowed", "_quiet", "fetch", "lists", "rows", "vectors")

    def __init__(self, *, may_ask: bool = True) -> None:
        self._allowed = (1 if may_ask else 2) if os.environ.get(SWITCH, "1") != "0" else 0
        self.fetch = self._allowed
        self._quiet = 0
        self.lists = self.rows = self.vectors = 0

    def count(self, lists: int, rows: int, vectors: int) -> None:
        """Add up what a search read."""
        self.lists += lists
        self.rows += rows
        self.vectors += vectors

    def note(self, absent: int, faults: int) -> None:
        """Take in what a search saw: spans that were not cached, and major page faults."""
        if self.fetch:
            self._quiet = 0 if absent else self._quiet + 1
            self.fetch = self._allowed if self._quiet < QUIET_CALLS else 0
        elif faults and self._allowed:
            self.fetch, self._quiet = self._allowed, 0
